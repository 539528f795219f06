"""What the implementations share: argument checks, output sizes, padding, divisors.

Shapes are channels-first here: x (N, C, *S), w (O, C/groups, *K), for conv_transpose
(C, O/groups, *K). With ``channels_last`` the arrays are (N, *S, C) and (*K, C/groups, O), for
conv_transpose (*K, O/groups, C). Every check raises ValueError naming the parameter and its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Padding: TypeAlias = tuple[tuple[int, int], ...]


def conv_size(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
    *,
    channels_last: bool = False,
) -> Shape:
    """Check a call of conv and return the output's spatial shape."""
    (_, c, *size), (o, per_group, *kernel) = _shapes(x, w, groups, channels_last)
    if c != per_group * groups or o % groups:
        raise ValueError(
            f"groups={groups!r}: w{w.shape} reads {per_group} channels a group and makes {o} "
            f"channels in all, which does not suit x{x.shape}"
        )
    _check_bias(bias, o, x)
    check_axes(len(size), stride=stride, dilation=dilation)
    check_padding(len(size), padding)
    out = tuple(
        (s + before + after - d * (k - 1) - 1) // step + 1
        for s, k, step, (before, after), d in zip(
            size, kernel, stride, padding, dilation, strict=True
        )
    )
    if min(out) < 1:
        raise ValueError(
            f"w: the kernel {tuple(kernel)} with dilation={dilation!r} is larger than the input "
            f"{tuple(size)} with padding={padding!r}"
        )
    return out


def conv_transpose_size(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Shape,
    padding: Padding,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
    *,
    channels_last: bool = False,
) -> Shape:
    """Check a call of conv_transpose and return the output's spatial shape."""
    (_, c, *size), (needed, per_group, *kernel) = _shapes(x, w, groups, channels_last)
    if c != needed or c % groups:
        raise ValueError(
            f"groups={groups!r}: w{w.shape} reads {needed} channels, which does not suit x{x.shape}"
        )
    _check_bias(bias, per_group * groups, x)
    check_axes(len(size), stride=stride, dilation=dilation)
    check_axes(len(size), least=0, output_padding=output_padding)
    check_padding(len(size), padding)
    if any(p >= max(s, d) for p, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding={output_padding!r}: must be below the larger of stride={stride!r} "
            f"and dilation={dilation!r} on every axis"
        )
    out = tuple(
        (s - 1) * step - before - after + d * (k - 1) + extra + 1
        for s, k, step, (before, after), d, extra in zip(
            size, kernel, stride, padding, dilation, output_padding, strict=True
        )
    )
    if min(out) < 1:
        raise ValueError(f"padding={padding!r}: crops the whole output, its shape would be {out}")
    return out


def pool_size(
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
    *,
    channels_last: bool = False,
) -> tuple[Shape, Padding]:
    """Check a call of a pool; return the output's spatial shape and the padding that it reads.

    That is ``padding``, with more after the input where a window that ``ceil_mode`` adds reaches
    further. A window that would start beyond the input and the padding before it is dropped.
    """
    _check_rank(x)
    size = x.shape[1:-1] if channels_last else x.shape[2:]
    _check_filled("x", x.shape[1:], x.shape)
    check_axes(len(size), kernel=kernel, stride=stride, dilation=dilation)
    check_padding(len(size), padding)
    for s, k, (before, after), d in zip(size, kernel, padding, dilation, strict=True):
        if 2 * max(before, after) > k:
            raise ValueError(f"padding={padding!r}: more than half of kernel={kernel!r}")
        if s + before + after <= d * (k - 1):
            raise ValueError(
                f"kernel={kernel!r}: with dilation={dilation!r} it is larger than the input "
                f"{size} with padding={padding!r}"
            )
    return window_reach(size, kernel, stride, padding, dilation, ceil_mode)


def window_reach(
    size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
) -> tuple[Shape, Padding]:
    """Return how many windows a pool has, and the padding that they read, without any check.

    That is what `pool_size` returns, for adapters whose engine is to judge the arguments.
    """
    out, reach = [], []
    for s, k, step, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = s + before + after - d * (k - 1) - 1
        last = -(-room // step) if ceil_mode else room // step  # start of the last window / step
        if ceil_mode and last * step >= s + before:
            last -= 1
        out.append(last + 1)
        end = last * step - room + after  # below `after` where a window less than fits is kept
        reach.append((before, end if last < room // step else max(after, end)))
    return tuple(out), tuple(reach)


def divisors(
    size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding, include: bool
) -> NDArray[np.int64]:
    """Return how many positions of each window avg_pool divides by, as (*out).

    ``include`` counts those in the padded input, else only those in the input; what ``ceil_mode``
    adds beyond the padding never counts.
    """
    count = np.ones((), np.int64)
    for s, o, k, step, (before, after) in zip(size, out, kernel, stride, padding, strict=True):
        start = np.arange(o) * step - before  # (o,)
        end = np.minimum(start + k, s + after if include else s)  # (o,)
        count = np.multiply.outer(count, end - (start if include else np.maximum(start, 0)))
    return count


def padded(x: Array, padding: Padding, fill: float, dtype: np.dtype[Any], first: int = 2) -> Array:
    """Return ``x`` in ``dtype`` with ``fill`` around the spatial axes, which start at ``first``.

    Without padding and conversion that is ``x`` itself: never write to it. Raises ValueError where
    it would crop.
    """
    if not any(map(any, padding)):
        return x.astype(dtype, copy=False)
    check_padding(x.ndim - 2, padding)
    shape, inside = list(x.shape), [slice(None)] * x.ndim
    for axis, (before, after) in enumerate(padding, first):
        inside[axis] = slice(before, before + shape[axis])
        shape[axis] += before + after
    result = np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
    result[tuple(inside)] = x
    return result


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to sum in: float32 for float16 and bfloat16, else ``dtype`` itself."""
    half = dtype.itemsize == 2 and dtype.kind in "fV"  # NumPy calls bfloat16's kind V
    return np.dtype(np.float32) if half else native(dtype)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return ``dtype`` in this machine's byte order: the result's dtype."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def lowest(dtype: np.dtype[Any]) -> float:
    """Return max_pool's padding: -inf, or the smallest value of an integer dtype."""
    return int(np.iinfo(dtype).min) if dtype.kind in "iu" else -np.inf


def check_axes(dims: int, *, least: int = 1, **parameters: Sequence[int]) -> None:
    """Check that each parameter has ``dims`` whole numbers of ``least`` or more."""
    for name, values in parameters.items():
        if not _are_whole(values, dims) or min(values) < least:
            raise ValueError(
                f"{name}={values!r}: must be {dims} whole numbers of {least} or more, one a "
                f"spatial axis"
            )


def check_padding(dims: int, padding: Padding) -> None:
    """Check that ``padding`` has ``dims`` pairs of whole numbers of 0 or more."""
    if (
        not isinstance(padding, (tuple, list))
        or len(padding) != dims
        or not all(_are_whole(pair, 2) and min(pair) >= 0 for pair in padding)
    ):
        raise ValueError(
            f"padding={padding!r}: must be {dims} pairs (before, after) of whole numbers of 0 or "
            f"more, one a spatial axis"
        )


def _are_whole(values: Sequence[int], length: int) -> bool:
    return (
        isinstance(values, (tuple, list))
        and len(values) == length
        and all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    )


def _shapes(x: Array, w: Array, groups: int, channels_last: bool) -> tuple[Shape, Shape]:
    """Check what conv and conv_transpose have in common; return both shapes channels-first."""
    _check_rank(x)
    if w.ndim != x.ndim:
        raise ValueError(f"w: {w.ndim} axes {w.shape}; must have as many as x, {x.ndim} {x.shape}")
    if native(w.dtype) != native(x.dtype):
        raise ValueError(f"w: dtype {w.dtype}; must be that of x, {x.dtype}")
    _check_filled("x", x.shape[1:], x.shape)
    _check_filled("w", w.shape, w.shape)
    if not _are_whole((groups,), 1) or groups < 1:
        raise ValueError(f"groups={groups!r}: must be a whole number of 1 or more")
    if not channels_last:
        return x.shape, w.shape
    return (x.shape[0], x.shape[-1], *x.shape[1:-1]), (w.shape[-1], w.shape[-2], *w.shape[:-2])


def _check_rank(x: Array) -> None:
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x: {x.ndim} axes {x.shape}; must have 3 to 5, three spatial at most")
    if x.dtype.kind not in "fiu" and x.dtype.name != "bfloat16":
        raise TypeError(f"x: dtype {x.dtype}; must be a floating-point or an integer one")


def _check_filled(name: str, axes: Shape, shape: Shape) -> None:
    if 0 in axes:
        raise ValueError(f"{name}: shape {shape} has an empty axis; only the batch may be empty")


def _check_bias(bias: Array | None, channels: int, x: Array) -> None:
    if bias is None:
        return
    if bias.shape != (channels,):
        raise ValueError(f"bias: shape {bias.shape}; must be ({channels},), one an output channel")
    if native(bias.dtype) != native(x.dtype):
        raise ValueError(f"bias: dtype {bias.dtype}; must be that of x, {x.dtype}")
