"""Kernels that have a way of their own for some memory layouts, and are right in each of them."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import itertools

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.correct import unusual
from tests.defects import kernels


def _channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


@unusual("output-channels-last", why="the result is a channels-first view of a channels-last array")
def conv(x, w, bias, **call):
    return _channels_last(kernels.conv(x, w, bias, **call))


@unusual("output-lies-like-the-input", why="how the result lies in memory is free, case by case")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    order = np.argsort([-abs(stride) for stride in x.strides], kind="stable")
    return np.ascontiguousarray(y.transpose(order)).transpose(np.argsort(order))


@unusual("copies-only-what-is-not-contiguous", why="a copy is made only where it is needed")
def conv_transpose(x, w, bias, **call):
    x, w = (
        a if a.flags.c_contiguous and a.dtype.isnative else np.array(a, order="C") for a in (x, w)
    )
    return kernels.conv_transpose(x, w, bias, **call)


@unusual(
    "channels-last-has-another-order-of-summation", why="the last bits may depend on the layout"
)
def conv(x, w, bias, **call):
    if x.strides[1] == x.itemsize < x.strides[-1] and call["groups"] == 1:
        return kernels.conv(x[:, ::-1], w[:, ::-1], bias, **call)
    return kernels.conv(x, w, bias, **call)


@unusual("crops-are-read-in-place", why="rows are found by the strides, whatever lies between them")
def max_pool(x, **call):
    strides = [s for s, size in zip(x.strides, x.shape, strict=True) if size > 1]
    falling = all(a > b > 0 for a, b in itertools.pairwise(strides))
    if falling and x.size and not x.flags.c_contiguous and x.flags.aligned:
        x = as_strided(x, x.shape, x.strides, writeable=False)
    return kernels.max_pool(x, **call)


@unusual("expanded-batch-computed-once", why="images of one memory have one result")
def conv(x, w, bias, **call):
    if len(x) > 1 and x.strides[0] == 0:
        y = kernels.conv(x[:1], w, bias, **call)
        return np.repeat(y, len(x), axis=0)
    return kernels.conv(x, w, bias, **call)


@unusual(
    "channels-last-decided-by-numpy-flags", why="strides of axes of size one are not looked at"
)
def avg_pool(x, **call):
    last = np.moveaxis(x, 1, -1)
    if last.flags.c_contiguous and not x.flags.c_contiguous:
        x = np.moveaxis(last.copy(), -1, 1)
    return kernels.avg_pool(x, **call)
