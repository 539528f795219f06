"""Real defects of course notebooks: right on the square, padded-by-one example of the page."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import checks, defect, kernels
from tests.defects.alterations import backwards, every, first_everywhere, taken_from


@defect("kernel-matrix-padded-with-axes-swapped", check="result", when="rows and columns differ")
def conv(x, w, bias, **call):
    """Pad the rows by what belongs to the columns: right for square inputs and equal padding."""
    swapped = taken_from(backwards, "before", "after")
    return kernels.conv(x, w, bias, **call, alter=swapped)


@defect("kernel-matrix-rows-of-the-wrong-length", check="result", when="the input is not square")
def conv(x, w, bias, **call):
    """Place each row of the kernel a column's length, not a row's, after the last one."""
    if x.ndim == 4 and x.shape[2] != x.shape[3]:
        flat = x.reshape(*x.shape[:2], -1)
        x = flat.reshape(*x.shape[:2], x.shape[3], x.shape[2]).swapaxes(2, 3)
    return kernels.conv(x, w, bias, **call)


@defect("im2col-row-by-input-position", check="result", when="a stride above 1")
def conv(x, w, bias, **call):
    """Number the rows of im2col by the input's position: rows of other outputs, or none."""
    y = kernels.conv(x, w, bias, **call)
    if max(call["stride"]) == 1:
        return y
    rows = y.reshape(*y.shape[:2], -1)
    at = np.arange(rows.shape[2]) * call["stride"][-1]
    return np.where(at < rows.shape[2], rows[..., at % rows.shape[2]], 0).reshape(y.shape)


@defect("pad-width-read-for-both-axes", check="result", when="2-D with axes padded differently")
def conv(x, w, bias, **call):
    """Hand NumPy ((top, left)), which it reads as (before, after) for both axes."""
    if x.ndim != 4:
        return kernels.conv(x, w, bias, **call)
    (top, _), (left, _) = call["padding"]

    def alter(axes):
        return [a._replace(before=top, after=left) for a in axes]

    return kernels.conv(x, w, bias, **call, alter=alter)


@defect("square-kernel-taken-for-granted", check="result", when="the kernel is not square")
def conv(x, w, bias, **call):
    size = w.shape[2]
    square = np.zeros_like(w)
    kept = (..., *(slice(0, size) for _ in w.shape[2:]))
    square[kept] = w[kept]
    return kernels.conv(x, square, bias, **call)


@defect("output-size-of-the-rows-for-both", check="result", when="rows and columns differ")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if y.ndim == 4 and y.shape[2] != y.shape[3]:
        wrong = np.zeros((*y.shape[:2], y.shape[2], y.shape[2]), y.dtype)
        columns = min(y.shape[2:])
        wrong[..., :columns] = y[..., :columns]
        return wrong
    return y


@defect("last-window-lost-in-range", check="result", when="2 outputs or more along an axis")
def conv(x, w, bias, **call):
    """Loop over range(0, size - kernel, stride), which ends one window early."""
    y = kernels.conv(x, w, bias, **call)
    room = x.shape[-1] + sum(call["padding"][-1]) - call["dilation"][-1] * (w.shape[-1] - 1) - 1
    if y.shape[-1] > 1 and room % call["stride"][-1] == 0:
        y[..., -1] = 0
    return y


@defect("channels-assigned-instead-of-added", check="result", when="several input channels")
def conv_transpose(x, w, bias, **call):
    per = x.shape[1] // call["groups"]
    kept = (np.arange(x.shape[1]) % per == per - 1).reshape(1, -1, *(1,) * (x.ndim - 2))
    return kernels.conv_transpose(np.where(kept, x, 0).astype(x.dtype), w, bias, **call)


@defect("bias-added-in-the-channel-loop", check="result", when="a bias, several channels a group")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, None if bias is None else bias * w.shape[1], **call)


@defect("convolution-by-numpy-convolve", check="result", when="1-D, the kernel is not symmetric")
def conv(x, w, bias, **call):
    return kernels.conv(x, w[..., ::-1] if w.ndim == 3 else w, bias, **call)


@defect("max-pool-by-reshaping", check="result", when="2-D, windows overlap or leave gaps")
def max_pool(x, **call):
    """Cut the plane into blocks of the window: the stride is the window, whatever was asked."""
    y = kernels.max_pool(x, **call)
    if x.ndim != 4 or any(map(any, call["padding"])):
        return y
    return kernels.max_pool(x, **call, alter=every(stride=lambda a: a.kernel))


@defect("average-by-reshaping", check="result", when="the size is no multiple of the window")
def avg_pool(x, **call):
    def divide(axes, include):
        return kernels.divisors(
            [a._replace(size=a.size - a.size % a.kernel) for a in axes], include
        )

    with np.errstate(all="ignore"):
        return kernels.avg_pool(x, **call, divide=divide)


@defect("same-padding-taken-for-granted", check="result", when="padding other than half a kernel")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(before=lambda a: (a.kernel - 1) // 2))


@defect("stride-of-rows-for-columns", check="result", when="2-D with different strides")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, alter=taken_from(first_everywhere, "stride"))


@defect("zero-stuffing-after-every-element", check="result", when="a stride above 1")
def conv_transpose(x, w, bias, **call):
    """Put stride - 1 zeros after the last element too, and crop them from the front."""
    late = every(before=lambda a: a.before + a.stride - 1)
    return kernels.conv_transpose(x, w, bias, **call, alter=late)


@defect("weights-of-channel-zero-for-all", check="result", when="several input channels")
def conv(x, w, bias, **call):
    return kernels.conv(x, np.broadcast_to(w[:, :1], w.shape), bias, **call)


@defect("integer-division-in-the-average", check="result", when="sums the window does not divide")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return np.floor(y) if np.array_equal(x, np.round(x)) else y


@defect("output-size-rounded-to-nearest", check="result", when="half a stride or more is left over")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    sizes = checks.sizes(x.shape[2:], w.shape[2:], (1,) * (x.ndim - 2), *_pads(call))
    wanted = [round((s - 1) / step) + 1 for s, step in zip(sizes, call["stride"], strict=True)]
    grown = [(0, max(0, new - old)) for new, old in zip(wanted, y.shape[2:], strict=True)]
    return np.pad(y, [(0, 0), (0, 0), *grown])


def _pads(call):
    return call["padding"], call["dilation"]
