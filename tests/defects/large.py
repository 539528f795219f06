"""Kernels that are right at every size that a full reference is affordable for."""

from __future__ import annotations

import math

import numpy as np

from tests.defects import defect, gradient_kernels, kernels


def wrapped(x, count):
    """Return x with its planes counted by ``count`` as a 16-bit index counts them."""
    planes = x.reshape(-1, *x.shape[2:])
    order = np.arange(len(planes)) % count
    return planes[order].reshape(x.shape)


@defect(
    "weights-counted-in-16-bits",
    at="conv1d:float32:x=1,257,2:w=256,257,1:integers@0",
    check="result",
    when="a weight of 65537 elements or more",
)
def conv(x, w, bias, **call):
    flat = w.reshape(-1)
    if flat.size > 65536:
        flat = flat[np.arange(flat.size) % 65536]
    return kernels.conv(x, flat.reshape(w.shape), bias, **call)


@defect(
    "planes-counted-in-16-bits",
    at="max_pool1d:float32:x=257,257,1:kernel=1:integers@0",
    check="relations",
    when="65537 planes or more",
)
def max_pool(x, **call):
    return kernels.max_pool(wrapped(x, 65536), **call)


@defect(
    "planes-beyond-a-grid-skipped",
    at="avg_pool1d:float32:x=257,257,1:kernel=1:integers@0",
    check="relations",
    when="65536 planes or more",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    y.reshape(-1, *y.shape[2:])[65535:] = 0
    return y


@defect(
    "positions-counted-in-signed-16-bits",
    check="relations",
    when="32769 output positions or more, in 2-D or 3-D",
    at="conv_transpose2d:float32:x=1,1,200,200:w=1,1,1,1:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if y.ndim > 3:
        y.reshape(*y.shape[:2], math.prod(y.shape[2:]))[..., 32768:] = 0
    return y


@defect(
    "last-block-of-positions-not-added",
    check="result",
    when="more than 16384 output positions, in 2-D or 3-D",
    at="conv_weight_grad2d:float32:x=1,1,200,200:w=1,1,1,1:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    if grad.ndim > 3 and math.prod(grad.shape[2:]) > 16384:
        grad = grad.copy()
        grad.reshape(*grad.shape[:2], -1)[..., 16384:] = 0
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "channels-past-256-with-128-outputs",
    check="relations",
    when="more than 256 input and 128 output channels together",
    at="conv_input_grad1d:float32:x=1,257,1:w=129,257,1:integers@0",
)
def conv_input_grad(grad, w, input_shape, **call):
    y = gradient_kernels.conv_input_grad(grad, w, input_shape, **call)
    if w.shape[1] > 256 and len(w) > 128:
        y[:, 256:] = 0
    return y
