"""Kernels that take another way for large or for special calls, and are right there, too."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.correct import unusual
from tests.defects import gradient_kernels as gradients
from tests.defects import kernels


@unusual("images-in-blocks-of-1024", why="the last block is as long as what is left")
def conv(x, w, bias, **call):
    blocks = [x[start : start + 1024] for start in range(0, max(1, len(x)), 1024)]
    return np.concatenate([kernels.conv(block, w, bias, **call) for block in blocks])


@unusual("planes-in-blocks-of-256", why="planes have nothing to do with one another")
def max_pool(x, **call):
    flat = x.reshape(1, -1, *x.shape[2:])
    if not flat.size:
        return kernels.max_pool(x, **call)
    blocks = [flat[:, start : start + 256] for start in range(0, flat.shape[1], 256)]
    y = np.concatenate([kernels.max_pool(block, **call) for block in blocks], axis=1)
    return y.reshape(*x.shape[:2], *y.shape[2:])


@unusual("nan-of-one-payload", why="any NaN is right where NaN is due")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if y.dtype.kind in "iu":
        return y
    return np.where(np.isnan(y), y.dtype.type(np.nan), y)


@unusual(
    "subnormals-flushed-as-declared",
    why="the convention lets them count as zero, one by one",
    conventions={"subnormal": "flush"},
    dtypes=("float16", "float32"),
)
def conv_transpose(x, w, bias, **call):
    least = x.dtype.type(np.finfo(x.dtype).smallest_normal)
    x, w = (np.where(np.abs(value) < least, value.dtype.type(0), value) for value in (x, w))
    return kernels.conv_transpose(x, w, bias, **call)


@unusual("place-of-the-maximum-in-64-bits", why="it is the first one, however long the window is")
def max_pool_grad(grad, x, **call):
    def choose(windows, real):
        if np.isnan(windows).any():
            return gradients.first_largest(windows, real)
        largest = np.where(real, windows, -np.inf).max(axis=-1, keepdims=True)
        place = np.argmax(real & (windows == largest), axis=-1).astype(np.int64)
        hits = np.zeros(windows.shape, bool)
        np.put_along_axis(hits, place[..., None], True, axis=-1)
        return hits & real

    return gradients.max_pool_grad(grad, x, **call, choose=choose)
