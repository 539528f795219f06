"""Defects of single elements: all of the output is right, but for one."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

from tests.defects import defect, kernels


@defect("last-element-wrong", check="result", when="the output has more than 20 elements")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.size > 20:
        y.reshape(-1)[-1] += 1
    return y


@defect(
    "one-element-in-the-middle-wrong", check="result", when="the output has 100 elements or more"
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.size >= 100:
        y.reshape(-1)[57] *= 2
    return y


@defect("corner-of-the-last-channel-wrong", check="result", when="3 output channels or more")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if y.shape[1] > 2:
        y[(slice(None), -1, *(0,) * (y.ndim - 2))] = 0
    return y


@defect("one-lane-of-8-wrong", check="result", when="an output of 8 columns or more")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    y[..., 7::8] = y[..., 6::8][..., : y[..., 7::8].shape[-1]]
    return y


@defect("first-element-of-the-last-sample-wrong", check="result", when="a batch of 3 or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if len(y) > 2:
        y[-1].reshape(-1)[0] = 0
    return y


@defect("one-element-in-a-thousand-wrong", check="result", when="an output of 1,000 elements")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    y.reshape(-1)[999::1000] += 1
    return y
