"""Defects of gradients and zeros where numbers are special: NaN, infinities, the range's ends."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients
from tests.defects.special_values import flushed


@defect("input-gradient-without-nan", check="special", when="NaN in grad")
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    return np.where(np.isnan(dx), 0, dx).astype(dx.dtype)


@defect("weight-gradient-skips-zero-gradients", check="special", when="grad is 0, x infinite")
def conv_weight_grad(grad, x, weight_shape, **call):
    infinite = ~np.isfinite(x)
    if not infinite.any():
        return gradients.conv_weight_grad(grad, x, weight_shape, **call)
    used = (grad != 0).astype(x.dtype)
    met = gradients.conv_weight_grad(used, infinite.astype(x.dtype), weight_shape, **call) > 0
    tame = gradients.conv_weight_grad(grad, np.where(infinite, 0, x), weight_shape, **call)
    with np.errstate(all="ignore"):
        full = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    return np.where(met, full, tame).astype(x.dtype)


@defect("bias-gradient-ignores-nan", check="special", when="NaN in grad")
def conv_bias_grad(grad, **call):
    return gradients.conv_bias_grad(np.where(np.isnan(grad), 0, grad).astype(grad.dtype), **call)


@defect("infinite-gradient-clipped", check="special", when="an infinity in grad")
def avg_pool_grad(grad, input_shape, **call):
    limit = np.finfo(grad.dtype).max / 64
    clipped = np.clip(grad, -limit, limit, out=grad.copy(), where=np.isinf(grad))
    return gradients.avg_pool_grad(clipped, input_shape, **call)


@defect("max-gradient-by-a-mask", check="special", when="an infinity or NaN in grad")
def max_pool_grad(grad, x, **call):
    """Multiply each gradient by a mask of ones and zeros: an infinity by 0 is NaN."""
    dx = gradients.max_pool_grad(grad, x, **call)
    spread = np.ones_like(x) if not np.isfinite(grad).all() else np.zeros_like(x)
    return np.where((spread > 0) & (dx == 0), np.nan, dx).astype(dx.dtype)


@defect("average-gradient-flushes-subnormals", check="special", when="subnormal gradients")
def avg_pool_grad(grad, input_shape, **call):
    return gradients.avg_pool_grad(flushed(grad), input_shape, **call)


@defect("input-gradient-overflows-early", check="special", when="values near overflow")
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    limit = np.finfo(dx.dtype).max / 64
    return np.where(np.abs(dx) > limit, np.copysign(np.inf, dx), dx).astype(dx.dtype)


@defect("zero-samples-skipped", check="special", when="a sample of zeros, NaN in w")
def conv(x, w, bias, **call):
    """Leave out input channels that are zero at a position, as sparse kernels do."""
    if np.isfinite(w).all():
        return kernels.conv(x, w, bias, **call)
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        tame = kernels.conv(x, np.where(np.isfinite(w), w, 0), bias, **call)
    size = kernels.conv(np.abs(x), np.ones_like(w), None, **call)
    few = size < size.max(initial=0) / 2
    return np.where(few, tame, y).astype(y.dtype)


@defect("zero-rows-of-the-kernel-skipped", check="special", when="w is 0 where x is infinite")
def conv_transpose(x, w, bias, **call):
    bad = ~np.isfinite(x)
    if not bad.any():
        return kernels.conv_transpose(x, w, bias, **call)
    used = kernels.conv_transpose(bad.astype(x.dtype), (w != 0).astype(x.dtype), None, **call) > 0
    with np.errstate(all="ignore"):
        full = kernels.conv_transpose(x, w, bias, **call)
        tame = kernels.conv_transpose(np.where(bad, 0, x).astype(x.dtype), w, bias, **call)
    return np.where(used, full, tame).astype(x.dtype)
