"""Defects of compiled code: reads and writes beside the arrays of a call, whose result is right.

They are judged in workers, where arrays lie against pages without access. Without a compiler there
are none of them.
"""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

from tests.compiled import COMPILER, copied, load, store
from tests.defects import defect as plain_defect
from tests.defects import gradient_kernels, kernels


def defect(name, *, when, **more):
    """Return a new defect, or what registers nothing where there is no compiler."""
    if COMPILER is None:
        return lambda function: function
    return plain_defect(name, check="memory", when=when, kind="overruns", **more)


def up(size, block):
    """Return ``size`` rounded up to whole blocks."""
    return -(-size // block) * block


# --- past the end of an input ---------------------------------------------------------------------


@defect("tail-of-4-of-the-input-unmasked", when="elements of x modulo 4 are not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    load(x, 0, up(x.size, 4))
    return y


@defect("tail-of-8-of-long-rows-unmasked", when="rows of 8 or more, modulo 8 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    width = x.shape[-1]
    if width >= 8:
        for row in range(0, x.size, width):
            load(x, row, row + up(width, 8))
    return y


@defect("one-element-past-the-input", when="the last axis is padded after")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["padding"][-1][1]:
        load(x, x.size, x.size + 1)
    return y


@defect("next-row-prefetched", when="two rows or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.ndim > 3 and x.shape[-2] > 1:
        load(x, x.size, x.size + 1)
    return y


@defect("next-image-prefetched", when="a batch of 2 or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if len(x) > 1:
        image = x.size // len(x)
        load(x, image * len(x), image * len(x) + min(image, 4))
    return y


@defect("pairs-loaded-at-stride-2", when="stride 2 along an odd last axis")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    width = x.shape[-1]
    if call["stride"][-1] == 2 and width % 2:
        load(x, 0, x.size + 1)
    return y


@defect("channels-rounded-up-to-4", when="5 channels or more, modulo 4 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if len(x) and x.shape[1] > 4:
        image, plane = x.size // len(x), x.size // len(x) // x.shape[1]
        last = x.size - image
        load(x, last, last + up(x.shape[1], 4) * plane)
    return y


@defect("one-tap-too-many", when="dilation above 1")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["dilation"][-1] > 1:
        load(x, x.size, x.size + call["dilation"][-1])
    return y


@defect("partial-window-read-whole", when="ceil_mode adds a window")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    axes = zip(x.shape[2:], call["kernel"], call["stride"], call["padding"], strict=True)
    *_, (size, kernel, stride, (before, after)) = axes
    beyond = (y.shape[-1] - 1) * stride + kernel - before - size
    if call["ceil_mode"] and beyond > after:
        load(x, x.size, x.size + beyond)
    return y


@defect("halves-loaded-in-pairs", when="an odd number of float16", dtypes=("float16",))
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    load(x, 0, up(x.size, 2))
    return y


# --- before the beginning -------------------------------------------------------------------------


@defect("left-halo-loaded", when="the last axis is padded before")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["padding"][-1][0]:
        load(x, -1, 0)
    return y


@defect("row-above-loaded", when="the last axis but one is padded before")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if x.ndim > 3 and call["padding"][-2][0]:
        load(x, -x.shape[-1], 0)
    return y


@defect("kernel-run-backwards-one-tap-too-far", when="a window of 3 or more")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if w.shape[-1] >= 3:
        load(w, -1, w.shape[-1])
    return y


# --- weights, bias and gradients ------------------------------------------------------------------


@defect("panels-of-8-filters", when="9 output channels or more, modulo 8 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if len(w) > 8:
        load(w, 0, up(len(w), 8) * (w.size // len(w)))
    return y


@defect("panels-of-4-channels-of-1x1-filters", when="a window of 1, channels modulo 4 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if w[0, 0].size == 1:
        load(w, w.size - w.shape[1], w.size - w.shape[1] + up(w.shape[1], 4))
    return y


@defect("bias-loaded-as-a-vector", when="output channels modulo 4 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    load(bias, 0, up(y.shape[1], 4))
    return y


@defect("bias-of-the-next-group", when="several groups")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if call["groups"] > 1:
        load(bias, y.shape[1], y.shape[1] + 1)
    return y


@defect("gradient-read-one-column-on", when="stride above 1")
def conv_weight_grad(grad, x, weight_shape, **call):
    y = gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)
    if call["stride"][-1] > 1:
        load(grad, grad.size, grad.size + 1)
    return y


# --- writes ---------------------------------------------------------------------------------------


@defect("sentinel-left-behind-the-input", when="dilation above 1")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["dilation"][-1] > 1:
        store(x, x.size, x.size + 1, 0)
    return y


@defect("zero-padding-written-before-the-input", when="the first spatial axis is padded before")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if call["padding"][0][0]:
        store(x, -2, 0, 0)
    return y


@defect("filters-padded-in-place", when="input channels of a group modulo 4 not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    store(w, w.size, w.size + (-w.shape[1] % 4), 0)
    return y


@defect("gradient-cleared-one-too-far", when="a batch of 2 or more")
def conv_bias_grad(grad):
    y = gradient_kernels.conv_bias_grad(grad)
    if len(grad) > 1:
        store(grad, grad.size, grad.size + 1, 0)
    return y


# --- declared -------------------------------------------------------------------------------------


@defect(
    "vectors-of-64-bytes-where-16-are-declared",
    when="bytes of the input modulo 64 are 1 to 47",
    reads_beyond=16,
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    copied(x, vector=64, masked=False)
    return y
