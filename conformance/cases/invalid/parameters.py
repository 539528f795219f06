"""Mistakes in the parameters: no whole numbers, out of range, too many, too few, no output left.

Most are made in the first spatial axis, in the last (``-last``), and some in all axes (``-all``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from conformance.calling import Array
from conformance.case import Case
from conformance.cases.invalid.mistake import Arguments, Mistake, having, resized
from conformance.operators import GRADIENTS, OPERATORS
from conformance.requirements import ACCEPTED

Value: TypeAlias = Callable[[Case, int, Any], Any]
"""A function from the case, the spatial axis and the valid entry to the invalid entry."""
Applies: TypeAlias = Callable[[Case, int], bool]
Rule: TypeAlias = tuple[str, str]
"""The requirement that a mistake breaks, and a summary of what is wrong."""

_AXES: Mapping[str, Callable[[int], tuple[int, ...]]] = {
    "": lambda dims: (0,),
    "-last": lambda dims: (dims - 1,) if dims > 1 else (),
    "-all": lambda dims: tuple(range(dims)) if dims > 1 else (),
}
_NOT_WHOLE: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "fraction": (lambda v: v + 0.5, "a fraction"),
    "nan": (lambda v: math.nan, "NaN"),
    "infinity": (lambda v: math.inf, "an infinity"),
    "string": (str, "a string"),
    "none": (lambda v: None, "None"),
}
_WRAPPED: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "wraps-below": (lambda v: v - 2**32, "far below, and in 32 bits as it was"),
    "lowest": (lambda v: -(2**62), "-2**62"),
}
"""Numbers below every range, where the types end that engines keep them in."""
_BEYOND: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "wraps": (lambda v: v + 2**32, "far above, and in 32 bits as it was"),
    "31-bits": (lambda v: 2**31, "2**31"),
    "62-bits": (lambda v: 2**62, "2**62"),
}
"""Numbers beyond every array, where those types end."""
_TUPLES = ("stride", "dilation", "kernel", "output_padding")


def mistakes() -> Iterator[Mistake]:
    """Yield the mistakes in the keyword parameters and in the kernel's size."""
    yield from _not_whole()
    yield from _out_of_range()
    yield from _no_output()
    yield from _ends_of_types()
    yield from _lengths()


def _not_whole() -> Iterator[Mistake]:
    for kind, (wrong, description) in _NOT_WHOLE.items():
        value = partial(_ignoring_place, wrong)
        for name in _TUPLES:
            rule = "REJECT-17", f"{description} in {name}"
            yield from _entries(name, kind, rule, value, suffixes=("", "-last"))
        yield from _padding(kind, ("REJECT-17", f"{description} in padding"), value)
        yield _groups(kind, ("REJECT-17", f"{description} for groups"), wrong)


def _out_of_range() -> Iterator[Mistake]:
    for name, number in {"stride": 3, "dilation": 4, "kernel": 6}.items():
        rule = f"REJECT-{number}", f"{name} below 1"
        yield from _entries(name, "zero", rule, lambda case, axis, v: 0)
        yield from _entries(name, "negative", rule, lambda case, axis, v: -v)
    rule = "REJECT-7", "groups below 1"
    yield _groups("zero", rule, lambda v: 0)
    yield _groups("negative", rule, lambda v: -v)
    rule, ends = ("REJECT-5", "padding below 0"), ("", "-last", "-both")
    yield from _padding("negative", rule, lambda case, axis, v: -1, suffixes=ends)
    rule = "REJECT-11", "output_padding below 0"
    yield from _entries("output_padding", "negative", rule, lambda case, axis, v: -1)
    rule = "REJECT-11", "output_padding not below the larger of stride and dilation"
    yield from _entries(
        "output_padding",
        "too-large",
        rule,
        lambda case, axis, v: max(case.stride[axis], case.dilation[axis]),
    )
    yield from _padding(
        "beyond-half",
        ("REJECT-19", "padding beyond half of the window"),
        lambda case, axis, v: case.window[axis] // 2 + 1,
        operators=having("kernel", "padding"),
        applies=lambda case, axis: case.dilation[axis] == 1,
        suffixes=ends,
    )


def _no_output() -> Iterator[Mistake]:
    """Yield windows that are larger than the padded input, and padding that crops everything."""
    rule = "REJECT-12", "a window larger than the padded input"
    yield from _entries("kernel", "too-large", rule, _too_large)
    yield from _entries(
        "dilation",
        "too-large",
        rule,
        lambda case, axis, v: -(-_lacking(case, axis) // (case.window[axis] - 1)),
        applies=lambda case, axis: case.window[axis] > 1,
        without="conv_transpose",
    )
    rule = "REJECT-12", "a kernel larger than the padded input"
    operators = having("w", without="conv_transpose")
    for suffix in _AXES:
        yield Mistake(f"w-too-large{suffix}", *rule, operators, partial(_enlarge, suffix))
    rule = "REJECT-12", "padding that crops everything"
    operators = having("output_padding")
    for kind, left in {"crops-all": 0, "crops-more": -1}.items():
        yield from _padding(kind, rule, partial(_crop_to, left), operators=operators)


def _ends_of_types() -> Iterator[Mistake]:
    """Yield numbers that wrap, or whose products do, in the integers that engines keep them in.

    A stride or padding as large as that is valid, as is the dilation of a kernel of one element.
    """
    numbers = {"stride": 3, "dilation": 4, "kernel": 6, "output_padding": 11}
    for kind, (wrong, description) in _WRAPPED.items():
        value = partial(_ignoring_place, wrong)
        for name, number in numbers.items():
            rule = f"REJECT-{number}", f"{name} {description}"
            yield from _entries(name, kind, rule, value, suffixes=("",))
        yield from _padding(kind, ("REJECT-5", f"padding {description}"), value, suffixes=("",))
        yield _groups(kind, ("REJECT-7", f"groups {description}"), wrong)
    for kind, (wrong, description) in _BEYOND.items():
        value = partial(_ignoring_place, wrong)
        rule = "REJECT-12", f"a kernel {description}"
        if kind != "62-bits":  # PyTorch's max_pool1d never returns, whoever calls it
            yield from _entries("kernel", kind, rule, value, suffixes=("",))
        yield from _entries(
            "dilation",
            kind,
            ("REJECT-12", f"the dilation of a window {description}"),
            value,
            suffixes=("",),
            applies=lambda case, axis: case.window[axis] > 1,
            without="conv_transpose",
        )
        rule = "REJECT-11", f"output_padding {description}"
        yield from _entries("output_padding", kind, rule, value, suffixes=("",))
        yield _groups(kind, ("REJECT-8", f"groups {description}"), wrong)


def _lengths() -> Iterator[Mistake]:
    """Yield tuples with too many or too few entries, and padding entries that are not pairs."""
    lengths: dict[str, Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {
        "too-short": lambda values: values[:-1],
        "too-long": lambda values: (*values, values[-1]),
        "single": lambda values: values[:1] if len(values) > 2 else values,
        "empty": lambda values: () if len(values) > 1 else values,
    }
    for name in (*_TUPLES, "padding"):
        rule = "REJECT-14", f"{name} without one entry a spatial axis"
        for kind, cut in lengths.items():
            yield Mistake(f"{name}-{kind}", *rule, having(name), partial(_with_length, name, cut))
    pairs: dict[str, Value] = {
        "triple": lambda case, axis, pair: (*pair, 0),
        "no-pair": lambda case, axis, pair: pair[:1],
    }
    rule = "REJECT-14", "a padding entry that is not a pair"
    for kind, value in pairs.items():
        yield from _entries("padding", kind, rule, value, suffixes=("", "-last"))


# --- where a mistake goes -----------------------------------------------------------------------


def _entries(
    parameter: str,
    kind: str,
    rule: Rule,
    value: Value,
    *,
    suffixes: Sequence[str] = tuple(_AXES),
    applies: Applies = lambda case, axis: True,
    without: str = "",
) -> Iterator[Mistake]:
    """Yield mistakes of a parameter: of its first entry, of its last entry, and of all entries."""
    for suffix in suffixes:

        def change(case: Case, a: Arguments, suffix: str = suffix) -> Arguments | None:
            axes, values = _AXES[suffix](case.dims), list(a[parameter])
            if not axes or not all(applies(case, axis) for axis in axes):
                return None
            for axis in axes:
                values[axis] = value(case, axis, values[axis])
            return {parameter: tuple(values)}

        operators = having(parameter, without=without)
        yield Mistake(f"{parameter}-{kind}{suffix}", *rule, operators, change)


def _padding(
    kind: str,
    rule: Rule,
    value: Value,
    *,
    suffixes: Sequence[str] = ("", "-last"),
    operators: tuple[str, ...] = having("padding"),
    applies: Applies = lambda case, axis: True,
) -> Iterator[Mistake]:
    """Yield mistakes of the padding before the first axis, after the last, or on both sides."""
    for suffix in suffixes:
        name = f"padding-{kind}{suffix}"

        def change(
            case: Case, a: Arguments, suffix: str = suffix, name: str = name
        ) -> Arguments | None:
            axis = case.dims - 1 if suffix else 0
            if not applies(case, axis):
                return None
            pairs = [list(pair) for pair in a["padding"]]
            for end in {"": (0,), "-last": (1,), "-both": (0, 1)}[suffix]:
                pairs[axis][end] = value(case, axis, pairs[axis][end])
            changed = tuple((before, after) for before, after in pairs)
            if name not in ACCEPTED or case.operator not in GRADIENTS:
                return {"padding": changed}
            # An implementation that accepts the padding must get the gradient that fits it.
            forward = GRADIENTS[case.operator].forward
            size = forward.output_shape(case.replace(padding=changed))[2 + axis]
            return {"padding": changed, "grad": resized(a["grad"], 2 + axis, size)}

        yield Mistake(name, *rule, operators, change)


def _groups(kind: str, rule: Rule, wrong: Callable[[Any], Any]) -> Mistake:
    def change(case: Case, a: Arguments) -> Arguments:
        return {"groups": wrong(a["groups"])}

    return Mistake(f"groups-{kind}", *rule, having("groups"), change)


# --- how large is too large ---------------------------------------------------------------------


def _lacking(case: Case, axis: int) -> int:
    """Return the least ``dilation * (kernel - 1)`` that leaves no output, with ceil_mode too."""
    padded = case.x[2 + axis] + sum(case.padding[axis])
    return padded + (case.stride[axis] - 1 if case.ceil_mode else 0)


def _too_large(case: Case, axis: int, v: Any = None) -> int:
    """Return the smallest kernel that leaves no output."""
    return -(-_lacking(case, axis) // case.dilation[axis]) + 1


def _enlarge(suffix: str, case: Case, a: Arguments) -> Arguments | None:
    axes = _AXES[suffix](case.dims)
    w: Array = a["w"]
    for axis in axes:
        w = resized(w, 2 + axis, _too_large(case, axis))
    return {"w": w} if axes else None


def _crop_to(left: int, case: Case, axis: int, v: Any) -> int:
    size = OPERATORS[case.operator].output_shape(case)[2 + axis]
    return int(v) + size - left


def _with_length(
    name: str, cut: Callable[[tuple[Any, ...]], tuple[Any, ...]], case: Case, a: Arguments
) -> Arguments | None:
    values = cut(a[name])
    return None if values == a[name] else {name: values}


def _ignoring_place(wrong: Callable[[Any], Any], case: Case, axis: int, v: Any) -> Any:
    return wrong(v)
