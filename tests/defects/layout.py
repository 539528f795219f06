"""Defects that show when an input does not lie in memory as usual."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.defects import defect, kernels


def memory_order(array):
    """Return the elements in the order in which they lie in memory, in the array's shape."""
    return np.frombuffer(array.tobytes("A"), array.dtype).reshape(array.shape)


def from_its_address(array):
    """Return what lies in memory from the array's first element on, as far as its buffer goes."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if array.flags.c_contiguous or not owner.flags.forc or array.size == 0:
        return array
    end = owner.ctypes.data + owner.nbytes
    count = min(array.size, (end - array.ctypes.data) // array.itemsize)
    return np.resize(as_strided(array, (count,), (array.itemsize,)), array.shape)


def strides_positive(array):
    """Return the elements from first to last in memory along every axis."""
    if any(s < 0 for s in array.strides):
        flip = tuple(slice(None, None, -1 if s < 0 else 1) for s in array.strides)
        return array[flip]
    return array


@defect("fortran-order-read-as-c", check="layout", when="x is Fortran-ordered")
def conv(x, w, bias, **call):
    return kernels.conv(memory_order(x), w, bias, **call)


@defect("fortran-weights-read-as-c", check="layout", when="w is Fortran-ordered")
def conv(x, w, bias, **call):
    return kernels.conv(x, memory_order(w), bias, **call)


@defect("negative-strides-ignored", check="layout", when="x is reversed")
def max_pool(x, **call):
    return kernels.max_pool(strides_positive(x), **call)


@defect("negative-weight-strides-ignored", check="layout", when="w is reversed")
def conv(x, w, bias, **call):
    return kernels.conv(x, strides_positive(w), bias, **call)


@defect("negative-bias-stride-ignored", check="layout", when="the bias is reversed")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, None if bias is None else strides_positive(bias), **call)


@defect("strides-of-the-input-ignored", check="layout", when="x is strided")
def avg_pool(x, **call):
    return kernels.avg_pool(from_its_address(x), **call)


@defect("strides-of-the-weights-ignored", check="layout", when="w is strided")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, from_its_address(w), bias, **call)


@defect("stride-of-the-bias-ignored", check="layout", when="the bias is strided")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, None if bias is None else from_its_address(bias), **call)


@defect("strides-of-the-channels-alone-used", check="layout", when="planes are not contiguous")
def max_pool(x, **call):
    planes = [from_its_address(x[n, c]) for n, c in np.ndindex(x.shape[:2])]
    return kernels.max_pool(np.array(planes, x.dtype).reshape(x.shape), **call)


@defect("read-only-input-refused", check="layout", when="x is read-only")
def conv(x, w, bias, **call):
    if not x.flags.writeable:
        raise BufferError("buffer source array is read-only")
    return kernels.conv(x, w, bias, **call)


@defect("read-only-weights-refused", check="layout", when="w is read-only")
def conv_transpose(x, w, bias, **call):
    w[...] = w  # "normalises" the weights in place
    return kernels.conv_transpose(x, w, bias, **call)


@defect("read-only-input-padded-with-ones", check="layout", when="x is read-only, and padded")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, fill=0 if x.flags.writeable else 1)


@defect("unaligned-input-refused", check="layout", when="x is unaligned")
def max_pool(x, **call):
    if not x.flags.aligned:
        raise ValueError("x: the address must be a multiple of the element size")
    return kernels.max_pool(x, **call)


@defect("unaligned-address-rounded-down", check="layout", when="w is unaligned")
def conv(x, w, bias, **call):
    if not w.flags.aligned:
        w = np.roll(w, 1, axis=-1) if w.shape[-1] > 1 else w + w.dtype.type(1)
    return kernels.conv(x, w, bias, **call)


@defect("broadcast-input-expanded-in-place", check="layout", when="x is broadcast")
def conv(x, w, bias, **call):
    if 0 in x.strides and x.size > 1:
        x = x.copy()
        x[..., 1:] = 0
    return kernels.conv(x, w, bias, **call)


@defect("broadcast-weights-read-once", check="layout", when="w is broadcast")
def conv(x, w, bias, **call):
    axes = [axis for axis, s in enumerate(w.strides) if s == 0 and w.shape[axis] > 1]
    if axes:
        w = w.copy()
        w.swapaxes(0, axes[0])[1:] = 0
    return kernels.conv(x, w, bias, **call)


@defect("other-byte-order-read-as-own", check="layout", when="x is byte-swapped")
def max_pool(x, **call):
    return kernels.max_pool(x.view(x.dtype.newbyteorder("=")), **call)


@defect("weights-of-other-byte-order-read-as-own", check="layout", when="w is byte-swapped")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        return kernels.conv(x, w.view(w.dtype.newbyteorder("=")), bias, **call)


@defect("weights-not-contiguous-transposed", check="layout", when="w is not contiguous")
def conv(x, w, bias, **call):
    if not w.flags.c_contiguous:
        w = w.reshape(w.shape[0], w.shape[1], -1)[..., ::-1].reshape(w.shape)
    return kernels.conv(x, w, bias, **call)


@defect("bias-not-contiguous-dropped", check="layout", when="the bias is strided or reversed")
def conv(x, w, bias, **call):
    whole = bias is None or bias.flags.c_contiguous
    return kernels.conv(x, w, bias if whole else None, **call)


@defect("offset-view-read-from-its-base", check="layout", when="x begins inside a buffer")
def conv(x, w, bias, **call):
    base = x.base
    if isinstance(base, np.ndarray) and base.dtype == x.dtype and base.size > x.size:
        start = np.nan_to_num(base.reshape(-1)[: x.size])
        return kernels.conv(start.reshape(x.shape), w, bias, **call)
    return kernels.conv(x, w, bias, **call)


@defect("first-channel-copied-for-all", check="layout", when="x is not contiguous")
def conv_transpose(x, w, bias, **call):
    if not x.flags.c_contiguous:
        x = np.broadcast_to(x[:, :1], x.shape)
    return kernels.conv_transpose(x, w, bias, **call)


@defect("contiguous-input-demanded", check="layout", when="x is not C-contiguous")
def avg_pool(x, **call):
    if not x.flags.c_contiguous:
        raise ValueError("x: ndarray is not C-contiguous")
    return kernels.avg_pool(x, **call)
