"""Conventions of arguments: stride, padding and the others as a library takes them.

The suite has a number an axis, and for padding a pair. PyTorch pads both ends of an axis alike, and
so has a number for it; TensorFlow has "SAME" and "VALID"; and there are functions of plain numbers
for all axes. What a convention cannot express raises `Unsupported`, with one reason for all cases.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from conformance.errors import Unsupported
from conformance.signatures import ROLES, SIGNATURES

Shape: TypeAlias = tuple[int, ...]

OWN = "pairs"
CONVENTIONS = (OWN, "torch", "tensorflow", "numbers")

_NAMES: Mapping[str, Mapping[str, str]] = {
    "torch": {"kernel": "kernel_size"},
    "tensorflow": {"kernel": "ksize", "stride": "strides", "dilation": "dilations"},
    "numbers": {},
}
"""What a library calls a parameter, if not as the suite does; a function may use either name."""
_IMPLIED = ("groups", "ceil_mode", "count_include_pad", "output_padding")
"""What TensorFlow's functions have no argument for, besides the dilation of a pool."""
_OUTPUT_SHAPE = "output_shape"
"""What they have in the place of output_padding."""


@lru_cache(maxsize=256)
def keywords(function: Callable[..., Any], convention: str, operator: str) -> dict[str, str]:
    """Return the names under which a function takes the operator's parameters, by ours.

    What the convention implies is left out unless the function names it.
    """
    try:
        named = inspect.signature(function).parameters
        is_open = any(one.kind is one.VAR_KEYWORD for one in named.values())
    except (TypeError, ValueError):  # compiled code without a signature
        named, is_open = {}, True  # type: ignore[assignment]
    found = {}
    for own in SIGNATURES[operator].parameters:
        name = _NAMES[convention].get(own, own)
        explicit = next((each for each in (name, own) if each in named), None)
        if explicit or (is_open and not _implied(convention, operator, own)):
            found[own] = explicit or name
    with_shape = convention == "tensorflow" and operator == "conv_transpose"
    if with_shape and (_OUTPUT_SHAPE in named or is_open):
        found[_OUTPUT_SHAPE] = _OUTPUT_SHAPE
    return found


def lacking(names: Mapping[str, str], convention: str, operator: str) -> list[str]:
    """Return the parameters, as a library calls them, that a function had to take."""
    return [
        _NAMES[convention].get(own, own)
        for own in SIGNATURES[operator].parameters
        if own not in names and not _implied(convention, operator, own)
    ]


def _implied(convention: str, operator: str, own: str) -> bool:
    if convention != "tensorflow":
        return False
    return own in _IMPLIED or (own == "dilation" and "pool" in operator)


def expressed(
    convention: str,
    names: Mapping[str, str],
    operator: str,
    shapes: tuple[Shape, Shape],
    parameters: Mapping[str, Any],
    layout: str = "NCHW",
) -> dict[str, Any]:
    """Return the parameters of a call in a convention, under the ``names`` of `keywords`.

    ``shapes`` are those of the forward call's input and weight, channels first, and ``()`` where
    there is none. Raises `Unsupported`, for what makes no sense as well, which invalid calls have.
    """
    try:
        return _expressed(convention, names, operator, shapes, parameters, layout)
    except (TypeError, ValueError, IndexError, ArithmeticError):
        raise Unsupported(f"an argument that has no form in the convention {convention}") from None


def _expressed(
    convention: str,
    names: Mapping[str, str],
    operator: str,
    shapes: tuple[Shape, Shape],
    parameters: Mapping[str, Any],
    layout: str,
) -> dict[str, Any]:
    if not parameters:
        return {}
    values = dict(parameters)
    if convention == "tensorflow":
        _check_lengths(parameters, {"padding"} | ({"dilation"} - {*names}))
        if not all(type(end) is int for pair in parameters["padding"] for end in pair):
            raise TypeError
        values |= _of_tensorflow(names, operator, shapes, parameters, layout)
    else:
        values["padding"] = _both_ends(convention, operator, shapes, parameters)
    if convention == "numbers":
        _check_lengths(parameters, parameters)
        values = {name: _one(value) for name, value in values.items()}
    return {name: values[own] for own, name in names.items()}


def _check_lengths(parameters: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise `TypeError` where one of these that is not handed over as it is has another length.

    The kernel would not see that.
    """
    lengths = {n: len(v) for n, v in parameters.items() if isinstance(v, tuple)}
    if len({*lengths.values()}) > 1:
        usual = Counter(lengths.values()).most_common(1)[0][0]
        if any(lengths[name] != usual for name in names if name in lengths):
            raise TypeError


def shapes_of(operator: str, arguments: Sequence[Any], layout: str) -> tuple[Shape, Shape]:
    """Return the shapes of a call's forward input and weight, as `expressed` takes them."""
    image: Shape = ()
    weight: Shape = ()
    for name, value in zip(SIGNATURES[operator].arguments, arguments, strict=True):
        shape = value if isinstance(value, tuple) else tuple(getattr(value, "shape", ()))
        if layout == "NHWC" and len(shape) > 1:
            last = (0, -1) if ROLES[name] == "image" else (-1, -2)
            spatial = shape[1:-1] if ROLES[name] == "image" else shape[:-2]
            shape = (*(shape[axis] for axis in last), *spatial)
        if name in ("x", "input_shape"):
            image = shape
        elif name in ("w", "weight_shape"):
            weight = shape
    return image, weight


def _both_ends(
    convention: str,
    operator: str,
    shapes: tuple[Shape, Shape],
    parameters: Mapping[str, Any],
) -> Any:
    """Return the padding as one number an axis, or "same" where PyTorch has that for it."""
    padding = parameters["padding"]
    if all(before == after for before, after in padding):
        return tuple(before for before, _ in padding)
    if convention == "torch" and operator == "conv" and {*parameters["stride"]} == {1}:
        kernel, dilation = shapes[1][2:], parameters["dilation"]
        same = [_halves(d * (k - 1)) for k, d in zip(kernel, dilation, strict=False)]
        if list(map(tuple, padding)) == same:
            return "same"
    what = "PyTorch" if convention == "torch" else "one number"
    raise Unsupported(f"{what} pads both ends of an axis alike")


def _one(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    if len({*value}) != 1:
        raise Unsupported("one number is the same on every axis")
    return value[0]


def _of_tensorflow(
    names: Mapping[str, str],
    operator: str,
    shapes: tuple[Shape, Shape],
    parameters: Mapping[str, Any],
    layout: str,
) -> dict[str, Any]:
    """Return the padding as a word, and the shape of the output where it is an argument."""
    (n, _, *size), weight = shapes[0] or (0, 0), shapes[1]
    stride, padding = parameters["stride"], parameters["padding"]
    dilation = parameters.get("dilation", (1,) * len(stride))
    if parameters.get("ceil_mode"):
        raise Unsupported("TensorFlow has no ceil_mode")
    if "dilation" in parameters and "dilation" not in names and {*dilation} != {1}:
        raise Unsupported("TensorFlow's pools have no dilation")
    reach = [
        d * (k - 1) for k, d in zip(parameters.get("kernel") or weight[2:], dilation, strict=False)
    ]
    before = [first for first, _ in padding]
    axes = list(zip(size, stride, padding, reach, strict=False))
    valid, out = not any(map(any, padding)), list(size)
    if operator == "conv_transpose":
        extra = parameters["output_padding"]
        full = [(s - 1) * step + r + 1 for s, step, _, r in axes]
        out = [f - sum(p) + e for f, p, e in zip(full, padding, extra, strict=False)]
        valid = valid and all(e < step for e, step in zip(extra, stride, strict=False))
        same = before == [_halves(f - o)[0] for f, o in zip(full, out, strict=True)]
        same = same and [-(-o // step) for o, step in zip(out, stride, strict=False)] == size
    else:
        rest = [(-(-s // step) - 1) * step + r + 1 - s for s, step, _, r in axes]
        same = [*map(tuple, padding)] == [*map(_halves, rest)]
    if not (valid or same):
        raise Unsupported('TensorFlow has the paddings "SAME" and "VALID" alone')
    if parameters.get("count_include_pad") and not valid:
        raise Unsupported("TensorFlow's padding counts in no average")
    values: dict[str, Any] = {"padding": "VALID" if valid else "SAME"}
    if _OUTPUT_SHAPE in names:
        channels = weight[1] * parameters["groups"]
        last = layout == "NHWC"
        values[_OUTPUT_SHAPE] = (n, *out, channels) if last else (n, channels, *out)
    return values


def _halves(total: int) -> tuple[int, int]:
    """Return what is added at both ends, of which the second one gets what is left over."""
    total = max(0, total)
    return total // 2, total - total // 2
