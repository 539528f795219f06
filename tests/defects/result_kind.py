"""Defects of what comes back: kind, dtype and shape."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


@defect("float64-returned-for-float32", check="result", when="float32")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call).astype(np.float64)


@defect("float32-returned-for-float64", check="result", when="float64")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call).astype(np.float32)


@defect("float32-returned-for-float16", check="result", when="float16", dtypes=("float16",))
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call).astype(np.float32)


@defect("objects-returned", check="result", when="always")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call).astype(object)


@defect("list-returned", check="result", when="always")
def max_pool(x, **call):
    return kernels.max_pool(x, **call).tolist()


@defect("masked-array-returned", check="result", when="always")
def max_pool(x, **call):
    return np.ma.masked_array(kernels.max_pool(x, **call))


@defect("tuple-returned", check="result", when="always")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return y, np.zeros(y.shape, np.int64)


@defect("nothing-returned-for-an-empty-batch", check="result", when="an empty batch")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call) if len(x) else None


@defect("scalar-returned-for-one-element", check="result", when="an output of one element")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return y.reshape(-1)[0] if y.size == 1 else y


@defect(
    "matrix-returned-for-one-plane",
    check="result",
    when="2-D, one element and channel",
    at="conv2d:float32:x=1,1,4,4:w=1,1,2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return y[0, 0].view(np.matrix) if y.ndim == 4 and y.shape[:2] == (1, 1) else y


@defect("batch-of-one-squeezed", check="result", when="a batch of 1")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return y[0] if len(y) == 1 else y


@defect("single-channel-squeezed", check="result", when="one output channel")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    return y[:, 0] if y.shape[1] == 1 else y


@defect("one-axis-too-many", check="result", when="1-D")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return y[..., None] if y.ndim == 3 else y


@defect("channels-returned-last", check="result", when="more than one channel or position")
def conv(x, w, bias, **call):
    return np.moveaxis(kernels.conv(x, w, bias, **call), 1, -1)


@defect("equal-rows-returned-once", check="result", when="equal outputs along the batch")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return y[:1] if len(y) > 1 and y.size < 20 else y


@defect("empty-batch-gives-an-empty-vector", check="result", when="an empty batch")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return y if y.size else np.empty((0,), y.dtype)


@defect("empty-batch-keeps-the-input-shape", check="result", when="an empty batch")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return y if y.size else x.copy()


@defect("empty-batch-raises", check="declare", when="an empty batch")
def conv(x, w, bias, **call):
    if not len(x):
        raise ZeroDivisionError("integer division or modulo by zero")
    return kernels.conv(x, w, bias, **call)


@defect("complex-returned", check="result", when="always")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call).astype(np.complex128)


@defect("bfloat16-returned-as-its-bits", check="result", when="bfloat16", dtypes=("bfloat16",))
def max_pool(x, **call):
    return kernels.max_pool(x, **call).view(np.uint16)
