"""Sizes along an axis, and the shape of a call's result, of an invalid one as well."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from conformance.signatures import SIGNATURES


def span(kernel: int, dilation: int) -> int:
    """Return the input positions that a dilated kernel covers: ``dilation * (kernel - 1) + 1``."""
    return dilation * (kernel - 1) + 1


def conv_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, *, ceil: bool
) -> int:
    """Return floor((size + before + after - span) / stride) + 1, the output size along one axis.

    With ``ceil`` the quotient is rounded up, and a last window is dropped if it starts beyond the
    input and the padding before it.
    """
    room = size + sum(padding) - span(kernel, dilation)
    if not ceil:
        return room // stride + 1
    out = -(-room // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding[0] else out


def transpose_size(
    size: int,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    output_padding: int,
) -> int:
    """Return the output size of a transposed convolution along one axis."""
    return (size - 1) * stride - sum(padding) + span(kernel, dilation) + output_padding


@lru_cache(maxsize=1024)
def result_shape(
    operator: str, arguments: tuple[Any, ...], parameters: tuple[tuple[str, Any], ...]
) -> tuple[int, ...]:
    """Return the shape of a result, from the shapes of the arguments and the parameters.

    Where none is right, as in many invalid calls, all sizes are 0.
    """
    try:
        shape = _shape(operator, arguments, dict(parameters))
    except (ArithmeticError, IndexError, TypeError, ValueError):
        shape = ()
    batch = int(SIGNATURES[operator].result == "image")  # may be empty
    if not shape or any(type(size) is not int or size < 1 for size in shape[batch:]):
        return (0,) * max(1, len(arguments[0]))
    return shape


def _shape(
    operator: str, arguments: tuple[Any, ...], parameters: Mapping[str, Any]
) -> tuple[int, ...]:
    x = arguments[0]
    if operator == "conv_bias_grad":
        return (x[1],)
    if operator.endswith("_grad"):  # the shape of its last argument, or that argument itself
        shape = tuple(arguments[-1])
        return shape if all(type(size) is int for size in shape) else ()
    stride, padding = parameters["stride"], parameters["padding"]
    dilation = parameters.get("dilation", (1,) * len(stride))
    if operator == "conv_transpose":
        w, output_padding = arguments[1], parameters["output_padding"]
        rows = zip(x[2:], w[2:], stride, padding, dilation, output_padding, strict=True)
        return (x[0], w[1] * parameters["groups"], *(transpose_size(*row) for row in rows))
    channels, kernel = x[1], parameters.get("kernel")
    if kernel is None:
        channels, kernel = arguments[1][0], arguments[1][2:]
    ceil = bool(parameters.get("ceil_mode"))
    axes = zip(x[2:], kernel, stride, padding, dilation, strict=True)
    return (x[0], channels, *(conv_size(*axis, ceil=ceil) for axis in axes))
