"""Defects of sizes that meet: two axes past a tile at once, and counts past 16 bits."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


@defect(
    "batch-and-columns-past-16",
    check="result",
    when="more than 16 of both",
    at="avg_pool1d:float32:x=17,1,17:kernel=1:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if len(x) > 16 and x.shape[-1] > 16:
        y[-1, ..., -1] = 0
    return y


@defect(
    "rows-and-columns-past-32",
    check="result",
    when="more than 32 of both",
    at="max_pool2d:float32:x=1,1,33,33:kernel=1,1:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.ndim > 3 and x.shape[-2] > 32 and x.shape[-1] > 32:
        y[..., -1, -1] = y[..., 0, 0]
    return y


@defect(
    "outputs-and-groups-past-32",
    check="result",
    when="more than 32 of both",
    at="conv1d:float32:x=1,33,1:w=1089,1,1:groups=33:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["groups"] > 32 and len(w) // call["groups"] > 32:
        y[:, -1] = 0
    return y


@defect(
    "weight-gradients-counted-in-16-bits",
    check="result",
    when="more than 65536 weights",
    at="conv_weight_grad1d:float64:x=1,256,1:w=257,256,1:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    dw.flat[1 << 16 :] = 0
    return dw


@defect(
    "inputs-counted-in-signed-16-bits",
    check="result",
    when="more than 32768 elements of x",
    at="conv_transpose1d:float32:x=1,1,32769:w=1,1,1:integers@0",
)
def conv_transpose(x, w, bias, **call):
    if x.size > 1 << 15:
        x = x.copy()
        x.flat[1 << 15 :] = 0
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "average-gradients-counted-in-16-bits",
    check="result",
    when="more than 65536 elements",
    at="avg_pool_grad1d:float32:x=1,1,65537:kernel=1:integers@0",
)
def avg_pool_grad(grad, input_shape, **call):
    dx = gradients.avg_pool_grad(grad, input_shape, **call)
    dx.flat[1 << 16 :] = 0
    return dx


# --- data that is small as a whole -----------------------------------------------------------


@defect("differences-below-a-thousandth-ignored", check="result", when="x below 1e-3")
def max_pool(x, **call):
    return kernels.max_pool(np.where(np.abs(x) < 1e-3, 0, x).astype(x.dtype), **call)


@defect(
    "small-weights-pruned",
    check="result",
    when="all weights below 0.005",
    at="conv1d:float32:x=1,1,1:w=1,1,1:small@1",
)
def conv(x, w, bias, **call):
    small = np.abs(w).max(initial=0) < 5e-3
    return kernels.conv(x, np.zeros_like(w) if small else w, bias, **call)


@defect(
    "small-sums-through-float16",
    check="result",
    when="results below 2**-14 in float32",
    at="conv_transpose1d:float32:x=1,1,1:w=1,1,1:small@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    with np.errstate(all="ignore"):
        return y if np.abs(y).max(initial=0) >= 2**-14 else y.astype(np.float16).astype(y.dtype)


@defect(
    "average-with-an-epsilon",
    check="result",
    when="the mean is small",
    at="avg_pool1d:float32:x=1,1,1:kernel=1:small@0",
)
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call) + x.dtype.type(1e-9 if np.abs(x).max(initial=0) < 1 else 0)


@defect("small-gradients-clipped", check="result", when="gradients below 1e-4")
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    return np.where(np.abs(dx) < 1e-4, 0, dx).astype(dx.dtype)
