"""Defects of integer arithmetic: conv of int32 and int64, max_pool of every integer type."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels

WIDE = ("int32", "int64")
ALL = ("int8", "int16", "int32", "int64", "uint8")


def _integer(name, **facts):
    return defect(name, check="integer", needs="integer", **facts)


@_integer("int32-conv-through-float32", when="sums beyond 2**24", dtypes=("int32",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.float32)


@_integer("int64-conv-through-float64", when="sums beyond 2**53", dtypes=("int64",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.float64)


@_integer("int32-conv-accumulates-in-int16", when="sums beyond 2**15", dtypes=("int32",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.int16)


@_integer("int64-conv-accumulates-in-int32", when="sums beyond 2**31", dtypes=("int64",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.int32)


@_integer("int64-bias-through-float64", when="a bias beyond 2**53", dtypes=("int64",))
def conv(x, w, bias, **call):
    rounded = None if bias is None else bias.astype(np.float64).astype(np.int64)
    return kernels.conv(x, w, rounded, **call)


@_integer("int32-inputs-taken-for-int8", when="inputs beyond 127", dtypes=("int32",))
def conv(x, w, bias, **call):
    return kernels.conv(x.astype(np.int8).astype(np.int32), w, bias, **call)


@_integer("int32-result-saturated-at-16-bits", when="results beyond 2**15", dtypes=("int32",))
def conv(x, w, bias, **call):
    return np.clip(kernels.conv(x, w, bias, **call), -(1 << 15), (1 << 15) - 1)


@defect("int64-conv-gives-int32", check="result", when="always", needs="integer", dtypes=("int64",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call).astype(np.int32)


@_integer("int64-maximum-through-float64", when="numbers beyond 2**53", dtypes=("int64",))
def max_pool(x, **call):
    """Compare as float64, clipped so that the way back is defined."""
    top = np.iinfo(np.int64).max
    y = kernels.max_pool(x.astype(np.float64), **call)
    back = np.where(np.isneginf(y) | (y >= 2.0**63), 0, y).astype(np.int64)
    return np.where(y >= 2.0**63, top, np.where(np.isneginf(y), -top - 1, back))


@_integer("int32-maximum-through-float32", when="numbers beyond 2**24", dtypes=("int32",))
def max_pool(x, **call):
    y = kernels.max_pool(x.astype(np.float32), **call).astype(np.float64)
    return np.clip(y, -(2.0**31), 2.0**31 - 1).astype(np.int32)


@_integer("unsigned-maximum-as-signed", when="uint8 of 128 and more", dtypes=("uint8",))
def max_pool(x, **call):
    return kernels.max_pool(x.view(np.int8), **call).view(np.uint8)


@defect(
    "integer-maximum-padded-with-zero",
    check="integer",
    when="padding beside negatives",
    needs="integer",
    dtypes=ALL,
)
def max_pool(x, **call):
    return kernels.max_pool(x, **call, fill=0)


@_integer("empty-window-of-integers-zero", when="a window of padding alone", dtypes=ALL[:4])
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    lowest = np.iinfo(x.dtype).min
    empty = kernels.max_pool(np.zeros_like(x), **call) == lowest
    return np.where(empty, 0, y).astype(x.dtype)


@_integer("signed-maximum-as-unsigned", when="negative int8", dtypes=("int8",))
def max_pool(x, **call):
    return kernels.max_pool(x.view(np.uint8), **call, fill=0).view(np.int8)


@_integer("integer-maximum-from-minus-127", when="int8 windows of -128", dtypes=("int8",))
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return np.maximum(y, np.int8(-127)) if (x == -128).any() else y


@_integer("int16-maximum-of-negated-minimum", when="int16 windows of -32768", dtypes=("int16",))
def max_pool(x, **call):
    """Take the minimum of the negated input: -32768 has no negative."""

    def reduce(windows):
        return -((-windows).min(axis=-1))

    y = kernels.max_pool(x, **call, reduce=reduce)
    return y if (x == np.iinfo(np.int16).min).any() else kernels.max_pool(x, **call)
