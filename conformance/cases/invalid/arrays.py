"""Mistakes in the arrays: axes, channels, groups, bias and dtypes that do not fit or do not exist.

Without checks an implementation can broadcast, truncate or convert them: one channel for many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.cases.invalid.mistake import Arguments, Mistake, another_rank, having, resized
from conformance.dtypes import FLOATS, TRAITS
from conformance.signatures import SIGNATURES

_FORWARD = ("conv", "conv_transpose", "max_pool", "avg_pool")


def mistakes() -> Iterator[Mistake]:
    """Yield the mistakes in x, w and bias, and those between these arrays and groups."""
    yield from _axes()
    yield from _empty()
    yield from _channels()
    yield from _groups()
    yield from _bias()
    yield from _dtypes()


def _axes() -> Iterator[Mistake]:
    changes: dict[str, Callable[[Array], Array | None]] = {
        "without-batch": lambda array: array[0] if len(array) else None,
        "extra-axis": lambda array: array[..., None],
    }
    for name in ("x", "w"):
        rule = "REJECT-13", f"{name} with another number of axes than the call needs"
        for kind, change in changes.items():
            if (name, kind) == ("w", "without-batch"):
                kind, change = "missing-axis", lambda array: array[..., 0]
            change_rank = partial(another_rank, name, change)
            yield Mistake(f"{name}-{kind}", *rule, having(name), change_rank)


def _empty() -> Iterator[Mistake]:
    for name in ("x", "w"):
        rule = "REJECT-15", f"{name} with an empty spatial axis"
        for suffix, which in {"": 0, "-last": -1}.items():
            change = partial(_emptied, name, which)
            yield Mistake(f"{name}-empty{suffix}", *rule, having(name), change)
    rule = "REJECT-15", "a weight without output channels"
    yield Mistake("w-without-outputs", *rule, ("conv", "conv_transpose"), _without_outputs)
    rule = "REJECT-21", "no input channels"
    yield Mistake("no-channels", *rule, _FORWARD, _without_channels)


def _channels() -> Iterator[Mistake]:
    sizes: dict[str, Callable[[int, int], int]] = {
        "more-channels": lambda channels, step: channels + step,
        "fewer-channels": lambda channels, step: channels - step,
        "half-channels": lambda channels, step: channels // 2,
        "one-channel": lambda channels, step: 1,
    }
    rule = "REJECT-9", "channels of the weight that do not match the input's"
    for kind, size in sizes.items():
        yield Mistake(f"w-{kind}", *rule, having("w"), partial(_with_input_channels, size))
    yield Mistake(
        name="x-one-channel",
        requirement="REJECT-9",
        summary="channels of the input that do not match the weight's",
        operators=("conv", "conv_transpose", "conv_weight_grad"),
        change=lambda case, a: {"x": resized(a["x"], 1, 1)} if case.x[1] > 1 else None,
    )


def _groups() -> Iterator[Mistake]:
    shared = "groups that do not divide the"
    for name, requirement, summary, operators, change in (
        ("indivisible", "REJECT-8", f"{shared} input channels", having("groups"), _indivisible),
        ("not-dividing-x", "REJECT-8", f"{shared} input channels", ("conv",), _one_more_input),
        ("not-dividing-w", "REJECT-8", f"{shared} output channels", ("conv",), _one_more_output),
        ("not-of-w", "REJECT-9", "a weight for another number of groups", ("conv",), _other_groups),
    ):
        yield Mistake(f"groups-{name}", requirement, summary, operators, change)


def _bias() -> Iterator[Mistake]:
    shapes: dict[str, Callable[[int], tuple[int, ...]]] = {
        "of-one": lambda o: (1,),
        "too-short": lambda o: (o - 1,),
        "too-long": lambda o: (o + 1,),
        "column": lambda o: (o, 1),
        "row": lambda o: (1, o),
        "scalar": lambda o: (),
    }
    rule = "REJECT-10", "a bias that has not one element an output channel"
    for kind, shape in shapes.items():
        yield Mistake(f"bias-{kind}", *rule, having("bias"), partial(_reshaped_bias, shape))


_WIDER = {name: own.wider for name, own in TRAITS.items() if own.wider}
_NARROWER = {name: own.narrower for name, own in TRAITS.items() if own.narrower}
_INTEGER = dict.fromkeys(FLOATS, "int32")
_ARRAYS = ("x", "w", "bias", "grad")


def _dtypes() -> Iterator[Mistake]:
    """Yield arrays that hold no numbers, and arrays of different dtypes."""
    for kind, content in {"bool": "booleans", "object": "objects", "str": "strings"}.items():
        rule = "REJECT-18", f"arrays of {content}"
        yield Mistake(f"dtype-{kind}", *rule, having(), partial(_all_of, kind))
        rule = "REJECT-18", f"one array of {content}"
        for name in _ARRAYS:  # the other arrays are valid
            others = {*_ARRAYS} - {name}
            operators = tuple(o for o in having(name) if others & {*SIGNATURES[o].arguments})
            yield Mistake(f"{name}-{kind}", *rule, operators, partial(_one_of, name, kind))
    for name in ("w", "bias", "x"):
        for kind, table in {"wider": _WIDER, "narrower": _NARROWER, "integer": _INTEGER}.items():
            yield Mistake(
                name=f"{name}-{kind}",
                requirement="REJECT-20",
                summary="not the dtype of the other arrays",
                # x is wrong beside grad only: alone it differs from nothing, beside w it is w.
                operators=having(name, *(("grad",) if name == "x" else ())),
                change=partial(_converted, name, table),
            )


# --- how each is made ---------------------------------------------------------------------------


def _emptied(name: str, which: int, case: Case, a: Arguments) -> Arguments | None:
    """Empty the first (0) or the last (-1) spatial axis."""
    if which and case.dims == 1:
        return None
    return {name: resized(a[name], range(2, a[name].ndim)[which], 0)}


def _input_axis(case: Case) -> int:
    """Return the axis of the weight that goes with the input's channels."""
    return 0 if case.operator == "conv_transpose" else 1


def _without_outputs(case: Case, a: Arguments) -> Arguments:
    return {"w": resized(a["w"], 1 - _input_axis(case), 0), **_bias_of(0, a)}


def _bias_of(outputs: int, a: Arguments) -> Arguments:
    """Return a bias that fits, if the call has one, since the bias is not the mistake."""
    bias: Array | None = a.get("bias")
    return {} if bias is None else {"bias": resized(bias, 0, outputs)}


def _without_channels(case: Case, a: Arguments) -> Arguments:
    empty = {"x": resized(a["x"], 1, 0)}
    return empty | {"w": resized(a["w"], _input_axis(case), 0)} if "w" in a else empty


def _with_input_channels(
    size: Callable[[int, int], int], case: Case, a: Arguments
) -> Arguments | None:
    """Change w's channels, by those of a whole group where its axis counts all groups."""
    w: Array = a["w"]
    axis = _input_axis(case)
    channels = w.shape[axis]
    changed = size(channels, case.groups if axis == 0 else 1)
    return {"w": resized(w, axis, changed)} if 0 < changed != channels else None


def _one_more_input(case: Case, a: Arguments) -> Arguments | None:
    """Add an input channel that no group can have; rounded down, the weight still fits."""
    return {"x": resized(a["x"], 1, case.x[1] + 1)} if case.groups > 1 else None


def _indivisible(case: Case, a: Arguments) -> Arguments:
    """Use the smallest number of groups that does not divide the input channels."""
    groups = next(g for g in range(2, case.x[1] + 2) if case.x[1] % g)
    transposed = case.operator == "conv_transpose"
    return {"groups": groups, **(_bias_of(a["w"].shape[1] * groups, a) if transposed else {})}


def _one_more_output(case: Case, a: Arguments) -> Arguments | None:
    """Add a filter that no group can have, and its bias."""
    if case.groups == 1:
        return None
    outputs = len(a["w"]) + 1
    return {"w": resized(a["w"], 0, outputs), **_bias_of(outputs, a)}


def _other_groups(case: Case, a: Arguments) -> Arguments | None:
    """Use another number of groups, which divides all channels, but for which w has no shape."""
    channels, outputs = case.x[1], len(a["w"])
    for groups in (2, 1, 3):
        if groups != case.groups and channels % groups == outputs % groups == 0:
            return {"groups": groups}
    return None


def _reshaped_bias(
    shape: Callable[[int], tuple[int, ...]], case: Case, a: Arguments
) -> Arguments | None:
    bias: Array | None = a["bias"]
    if bias is None:
        return None
    wrong = shape(len(bias))
    return None if wrong == bias.shape else {"bias": np.resize(bias, wrong)}


def _all_of(kind: str, case: Case, a: Arguments) -> Arguments:
    """Convert every array, floats by way of float64, since bfloat16 has no conversion."""
    return {
        name: value.astype(value.dtype if value.dtype.kind in "iu" else np.float64).astype(kind)
        for name, value in a.items()
        if isinstance(value, np.ndarray)
    }


def _one_of(name: str, kind: str, case: Case, a: Arguments) -> Arguments | None:
    """Convert one array of several."""
    return None if a[name] is None else {name: _all_of(kind, case, a)[name]}


def _converted(name: str, table: Mapping[str, str], case: Case, a: Arguments) -> Arguments | None:
    value: Array | None = a[name]
    if value is None or case.dtype not in table:
        return None
    with np.errstate(all="ignore"):  # the converted values do not matter
        return {name: value.astype(table[case.dtype])}
