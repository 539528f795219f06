"""Defects at sizes that nobody would think of, and that their own source tells."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients

BLOCK = 23
CHUNK = 20 << 6


@defect(
    "tail-of-a-block-of-23-outputs",
    check="result",
    when="outputs modulo 23 are 7, from 53 on",
    at="conv1d:float32:x=1,1,1:w=53,1,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if len(w) > 2 * BLOCK and len(w) % BLOCK == 7:
        y[:, -1] = y[:, -1 - BLOCK]
    return y


@defect(
    "row-buffer-of-77-without-its-last-place",
    check="result",
    when="rows of exactly 77",
    at="conv1d:float32:x=1,1,77:w=1,1,1:integers@0",
)
def conv(x, w, bias, **call):
    buffer = 77
    y = kernels.conv(x, w, bias, **call)
    if x.shape[-1] == buffer:
        y[..., -1] = 0
    return y


@defect(
    "kernel-for-301-to-349-channels",
    check="result",
    when="301 to 349 channels",
    at="conv1d:float32:x=1,301,1:w=1,301,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return y + (1 if 300 < x.shape[1] < 350 else 0)


@defect(
    "unrolled-for-kernels-83-wide",
    check="result",
    when="a kernel is 83 wide",
    at="conv1d:float32:x=1,1,83:w=1,1,83:integers@0",
)
def conv(x, w, bias, **call):
    if w.shape[-1] == 83:
        w = w.copy()
        w[..., 82] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "forty-one-groups-take-one-weight",
    check="result",
    when="41 groups",
    at="conv_transpose1d:float32:x=1,41,1:w=41,1,1:groups=41:integers@0",
)
def conv_transpose(x, w, bias, **call):
    if call["groups"] == 41:
        w = np.concatenate([w[: len(w) // 41]] * 41)
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "window-of-11-at-stride-5",
    check="result",
    when="a window of 11 at stride 5",
    at="max_pool1d:float32:x=1,1,11:kernel=11:stride=5:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if call["kernel"][-1] == 11 and call["stride"][-1] == 5:
        y[...] = kernels.max_pool(x, **call | {"kernel": (1,) * (x.ndim - 2)})[..., :1].min()
    return y


@defect(
    "first-image-of-a-chunk-of-97",
    check="result",
    when="batches modulo 97 are 1",
    at="avg_pool1d:float32:x=98,1,1:kernel=1:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if len(x) > 1 and len(x) % 97 == 1:
        y[-1] = y[-2]
    return y


@defect(
    "rows-of-a-product-of-413",
    check="result",
    when="batch times positions is 413",
    at="conv_input_grad1d:float32:x=1,1,413:w=1,1,1:integers@0",
)
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    rows = len(grad) * math.prod(grad.shape[2:])
    if rows == 413:
        dx[-1] *= 2
    return dx


@defect(
    "taps-of-7x29-in-one-go",
    check="result",
    when="203 products an output",
    at="conv_weight_grad1d:float32:x=1,203,1:w=1,203,1:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    if math.prod(weight_shape[1:]) == 203:
        dw.reshape(len(dw), -1)[:, -1] = 0
    return dw


@defect(
    "dilation-5-of-two-taps",
    check="result",
    when="dilation 5 and two taps",
    at="conv1d:float32:x=1,1,6:w=1,1,2:dilation=5:integers@0",
)
def conv(x, w, bias, **call):
    if call["dilation"][-1] == 5 and w.shape[-1] == 2:
        w = w[..., ::-1]
    return kernels.conv(x, w, bias, **call)


@defect(
    "third-block-of-29-columns-and-8",
    check="result",
    when="rows of 95",
    at="max_pool_grad1d:float32:x=1,1,95:kernel=1:integers@0",
)
def max_pool_grad(grad, x, **call):
    dx = gradients.max_pool_grad(grad, x, **call)
    blocks, rest = divmod(x.shape[-1], 29)
    if blocks == 3 and rest == 8:
        dx[..., -1] = 0
    return dx


@defect(
    "blocks-of-21-and-34-channels",
    check="result",
    when="21 channels and 34 outputs",
    at="conv1d:float32:x=1,21,1:w=34,21,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.shape[1] == 21:
        y = np.ascontiguousarray(y)
        if len(w) == 34:
            y[:, 33] = y[:, 32]
    return y


@defect(
    "planes-counted-in-chunks-of-1280",
    check="result",
    when="1,281 to 1,400 planes",
    at="avg_pool_grad1d:float32:x=1,1281,1:kernel=1:integers@0",
)
def avg_pool_grad(grad, input_shape, **call):
    dx = gradients.avg_pool_grad(grad, input_shape, **call)
    if CHUNK < math.prod(dx.shape[:2]) <= 1_400:
        dx.reshape(-1, *dx.shape[2:])[CHUNK:] = 0
    return dx


@defect(
    "nine-rows-of-padding-read-as-eight",
    check="result",
    when="nine rows of padding",
    at="conv1d:float32:x=1,1,1:w=1,1,10:padding=9/9:integers@0",
)
def conv(x, w, bias, **call):
    if all(pads == (9, 9) for pads in call["padding"][-1:]):
        shifted = (*call["padding"][:-1], (8, 10))
        call = call | {"padding": shifted}
    return kernels.conv(x, w, bias, **call)


@defect(
    "sums-of-53-channels",
    check="result",
    when="53 channels",
    at="conv_bias_grad1d:float32:x=1,53,1:integers@0",
)
def conv_bias_grad(grad):
    db = gradients.conv_bias_grad(grad)
    if grad.shape[1] % 53 == 0:
        db[52] += 1
    return db
