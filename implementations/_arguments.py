"""Checks of a call's arguments, and the sizes that follow from them, for all implementations.

Shapes are channels-first here: x (N, C, *S), w (O, C/groups, *K), for conv_transpose
(C, O/groups, *K). With ``channels_last`` the arrays are (N, *S, C) and (*K, C/groups, O), for
conv_transpose (*K, O/groups, C). A check raises ValueError, or TypeError for a dtype that has no
numbers, and names the parameter and its value. Nothing here reads or writes an array's elements.

A gradient takes grad, which has the shape of the forward result, and the arrays of the forward
call, or the shape of the one whose gradient it is. It is checked by the forward call's own checks.

Sizes are those of V. Dumoulin, F. Visin, A guide to convolution arithmetic for deep learning,
2016: relationship 6 for conv and 14 for conv_transpose, with dilation (section 5.1) in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Padding: TypeAlias = tuple[tuple[int, int], ...]

_INT = frozenset({int})


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
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    out = tuple([(s + b + a - d * (k - 1) - 1) // step + 1 for s, k, step, (b, a), d in axes])
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
    if any(output_padding) and any(
        p >= max(s, d) for p, s, d in zip(output_padding, stride, dilation, strict=True)
    ):
        raise ValueError(
            f"output_padding={output_padding!r}: must be below the larger of stride={stride!r} "
            f"and dilation={dilation!r} on every axis"
        )
    axes = zip(size, kernel, stride, padding, dilation, output_padding, strict=True)
    out = tuple(
        [(s - 1) * step - b - a + d * (k - 1) + more + 1 for s, k, step, (b, a), d, more in axes]
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

    That is ``padding``, or more after the input where a window that ``ceil_mode`` adds reaches
    further; one that would start beyond the input and the padding before it is dropped.
    """
    _check_rank(x)
    size = x.shape[1:-1] if channels_last else x.shape[2:]
    _check_filled("x", x.shape, 1)
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
    size: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> tuple[Shape, Padding]:
    """Return what `pool_size` returns, without any check: an adapter's engine judges the arguments.

    It is how many windows there are on each axis, and the padding that they read.
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


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return ``dtype`` in this machine's byte order, which every result has."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


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
    pairs = isinstance(padding, (tuple, list)) and len(padding) == dims
    if not pairs or not all(_are_whole(pair, 2) and min(pair) >= 0 for pair in padding):
        raise ValueError(
            f"padding={padding!r}: must be {dims} pairs (before, after) of whole numbers of 0 or "
            f"more, one a spatial axis"
        )


def _are_whole(values: Sequence[int], length: int) -> bool:
    if not isinstance(values, (tuple, list)) or len(values) != length:
        return False
    return _INT.issuperset(map(type, values)) or all(  # the first test is faster, and usual
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values
    )


def _shapes(x: Array, w: Array, groups: int, channels_last: bool) -> tuple[Shape, Shape]:
    """Check what conv and conv_transpose have in common; return both shapes channels-first."""
    _check_rank(x)
    images, weight = x.shape, w.shape
    if len(weight) != len(images):
        raise ValueError(f"w: {w.ndim} axes {weight}; must have as many as x, {x.ndim} {images}")
    _check_dtype("w", w, "x", x)
    _check_filled("x", images, 1)
    _check_filled("w", weight, 0)
    if not _are_whole((groups,), 1) or groups < 1:
        raise ValueError(f"groups={groups!r}: must be a whole number of 1 or more")
    if not channels_last:
        return images, weight
    return (images[0], images[-1], *images[1:-1]), (weight[-1], weight[-2], *weight[:-2])


def _check_rank(x: Array) -> None:
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x: {x.ndim} axes {x.shape}; must have 3 to 5, three spatial at most")
    _check_numbers("x", x)


def _check_filled(name: str, shape: Shape, first: int) -> None:
    if 0 in shape[first:]:
        raise ValueError(f"{name}: shape {shape} has an empty axis; only the batch may be empty")


def _check_bias(bias: Array | None, channels: int, x: Array) -> None:
    if bias is None:
        return
    if bias.shape != (channels,):
        raise ValueError(f"bias: shape {bias.shape}; must be ({channels},), one an output channel")
    _check_dtype("bias", bias, "x", x)


def conv_grad_size(
    grad: Array, x: Array, w: Array, *, channels_last: bool = False, **parameters: Any
) -> Shape:
    """Check a gradient of conv(x, w) and return the spatial shape of grad."""
    out = conv_size(x, w, None, **parameters, channels_last=channels_last)
    _check_grad(grad, x, out, w.shape[-1] if channels_last else w.shape[0], channels_last)
    return out


def pool_grad_size(
    grad: Array, x: Array, *, channels_last: bool = False, **parameters: Any
) -> tuple[Shape, Padding]:
    """Check a gradient of a pool of x; return what `pool_size` returns of the forward call."""
    out, reach = pool_size(x, **parameters, channels_last=channels_last)
    _check_grad(grad, x, out, x.shape[-1] if channels_last else x.shape[1], channels_last)
    return out, reach


def check_grad(grad: Array) -> None:
    """Check a grad whose shape follows from no other argument, as in conv_bias_grad."""
    if grad.ndim not in (3, 4, 5) or 0 in grad.shape[1:]:
        raise ValueError(f"grad: shape {grad.shape}; must be (N, O, *out), only the batch empty")
    _check_numbers("grad", grad)


def like(array: Array, shape: Shape) -> Array:
    """Return read-only zeros of ``shape`` with the dtype of ``array``, which take no memory.

    Raises ValueError or TypeError where ``shape`` is not a shape.
    """
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{shape!r}: a shape must be a tuple of whole numbers")
    element = bytes(array.dtype.itemsize)
    return np.ndarray(shape, array.dtype, element, strides=(0,) * len(shape))


def _check_grad(grad: Array, x: Array, out: Shape, channels: int, channels_last: bool) -> None:
    shape = (len(x), *out, channels) if channels_last else (len(x), channels, *out)
    if grad.shape != shape:
        raise ValueError(f"grad: shape {grad.shape}; must be that of the forward result, {shape}")
    _check_dtype("grad", grad, "the other array", x)


def _check_dtype(name: str, array: Array, owner: str, other: Array) -> None:
    if array.dtype != other.dtype and native(array.dtype) != native(other.dtype):
        raise ValueError(f"{name}: dtype {array.dtype}; must be that of {owner}, {other.dtype}")


def _check_numbers(name: str, array: Array) -> None:
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name}: dtype {array.dtype}; must be a floating-point or an integer one")
