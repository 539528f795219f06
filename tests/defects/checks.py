"""What makes a call invalid, check by check, so that a defect can leave one out by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def sizes(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    ceil: bool = False,
) -> tuple[int, ...]:
    """Return the output size of conv and of the pools on every axis."""
    out = []
    for s, k, step, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = s + before + after - d * (k - 1) - 1
        count = (-(-room // step) if ceil else room // step) + 1
        if ceil and (count - 1) * step >= s + before:
            count -= 1
        out.append(count)
    return tuple(out)


def transpose_sizes(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    extra: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """Return the output size of conv_transpose on every axis."""
    columns = zip(size, kernel, stride, padding, extra, dilation, strict=True)
    return tuple(
        (s - 1) * step - before - after + d * (k - 1) + r + 1
        for s, k, step, (before, after), r, d in columns
    )


def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    skip: Collection[str] = (),
) -> None:
    """Raise ValueError or TypeError for an invalid conv."""
    _arrays(skip, x=x, w=w, bias=bias)
    _parameters(skip, x.ndim - 2, stride=stride, dilation=dilation)
    _padding(skip, x.ndim - 2, padding)
    _groups(skip, groups, x.shape[1], w.shape[0])
    _require(skip, "channels", w.shape[1] * groups == x.shape[1], "w", w.shape)
    _bias(skip, bias, w.shape[0])
    out = sizes(x.shape[2:], w.shape[2:], stride, padding, dilation)
    _require(skip, "output", min(out) > 0, "w", w.shape)


def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
    skip: Collection[str] = (),
) -> None:
    """Raise ValueError or TypeError for an invalid conv_transpose."""
    _arrays(skip, x=x, w=w, bias=bias)
    _parameters(skip, x.ndim - 2, stride=stride, dilation=dilation)
    _padding(skip, x.ndim - 2, padding)
    _whole(skip, x.ndim - 2, "output_padding", output_padding, 0)
    limits = map(max, stride, dilation)
    small = all(r < limit for r, limit in zip(output_padding, limits, strict=False))
    _require(skip, "output_padding", small, "output_padding", output_padding)
    _groups(skip, groups, x.shape[1], x.shape[1])
    _require(skip, "channels", w.shape[0] == x.shape[1], "w", w.shape)
    _bias(skip, bias, w.shape[1] * groups)
    out = transpose_sizes(x.shape[2:], w.shape[2:], stride, padding, output_padding, dilation)
    _require(skip, "output", min(out) > 0, "padding", padding)


def pool(
    x: Array,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    skip: Collection[str] = (),
) -> None:
    """Raise ValueError or TypeError for an invalid max_pool or avg_pool."""
    _arrays(skip, x=x)
    _parameters(skip, x.ndim - 2, kernel=kernel, stride=stride, dilation=dilation)
    _padding(skip, x.ndim - 2, padding)
    half = all(2 * max(pads) <= k for pads, k in zip(padding, kernel, strict=False))
    _require(skip, "half", half, "padding", padding)
    out = sizes(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    fits = sizes(x.shape[2:], kernel, (1,) * len(kernel), padding, dilation)
    _require(skip, "output", min(*out, *fits) > 0, "kernel", kernel)


def _require(skip: Collection[str], rule: str, holds: bool, name: str, value: object) -> None:
    if not holds and rule not in skip:
        raise ValueError(f"{name}={value!r} is invalid ({rule})")


def _arrays(skip: Collection[str], **arrays: Array | None) -> None:
    x = arrays["x"]
    assert x is not None
    dtype = x.dtype.newbyteorder("=")
    for name, array in arrays.items():
        if array is None:
            continue
        numbers = array.dtype.kind in "fiu" or array.dtype.name == "bfloat16"
        _require(skip, "numbers", numbers, name, array.dtype)
        _require(skip, "mixed", array.dtype.newbyteorder("=") == dtype, name, array.dtype)
        if name == "bias":
            continue
        _require(skip, "rank", array.ndim == x.ndim and array.ndim in (3, 4, 5), name, array.shape)
        filled = 0 not in (array.shape[1:] if name in ("x", "grad") else array.shape)
        _require(skip, "empty", filled, name, array.shape)


def _parameters(skip: Collection[str], dims: int, **parameters: Any) -> None:
    for name, values in parameters.items():
        _whole(skip, dims, name, values, 1)


def _whole(skip: Collection[str], dims: int, name: str, values: Any, least: int) -> None:
    if name in skip:
        return
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name}={values!r} is no tuple")
    _require(skip, "length", len(values) == dims, name, values)
    integers = all(isinstance(v, (int, np.integer)) for v in values)
    _require(skip, "whole", integers, name, values)
    _require(skip, name, min(values) >= least, name, values)


def _padding(skip: Collection[str], dims: int, padding: Any) -> None:
    if not isinstance(padding, (tuple, list)):
        raise TypeError(f"padding={padding!r} is no tuple")
    _require(skip, "length", len(padding) == dims, "padding", padding)
    for pair in padding:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"padding={padding!r}: {pair!r} is no pair")
        _require(
            skip, "whole", all(isinstance(v, (int, np.integer)) for v in pair), "padding", pair
        )
        _require(skip, "padding", min(pair) >= 0, "padding", padding)


def _groups(skip: Collection[str], groups: Any, *channels: int) -> None:
    _require(skip, "whole", isinstance(groups, (int, np.integer)), "groups", groups)
    _require(skip, "groups", groups >= 1, "groups", groups)
    for count in channels:
        _require(skip, "divide", count % groups == 0, "groups", groups)


def _bias(skip: Collection[str], bias: Array | None, channels: int) -> None:
    if bias is not None:
        _require(skip, "bias", bias.shape == (channels,), "bias", bias.shape)


def gradient(grad: Array, x: Array, shape: Sequence[int], skip: Collection[str] = ()) -> None:
    """Raise ValueError where ``grad`` is not of the forward result's shape, or not of its dtype."""
    _require(skip, "shape", tuple(grad.shape) == tuple(shape), "grad", grad.shape)
    _arrays(skip, x=x, grad=grad)
