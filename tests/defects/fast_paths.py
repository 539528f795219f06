"""Convolutions that are wrong on one fast path, at the tail of a block, and right elsewhere.

Each condition is made as a library's rules of dispatch make it: a signature (3x3 with stride 1 and
one group, depthwise 5x5, ...), and a size that is no whole number of blocks.
"""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.defects import defect, gradient_kernels, kernels


def plain_path(w, call, kernel, stride=1, dilation=1):
    """Whether the kernel has this size on every axis, as the stride and the dilation have."""
    found = {*w.shape[2:]}, {*call["stride"]}, {*call["dilation"]}
    return found == ({kernel}, {stride}, {dilation})


def dense(w, call, kernel, stride=1, dilation=1):
    return call["groups"] == 1 and plain_path(w, call, kernel, stride, dilation)


def depthwise(w, call, kernel, stride=1):
    own = call["groups"] == len(w) > 1 and w.shape[1] == 1
    return own and plain_path(w, call, kernel, stride)


def beyond(size, block, *rests):
    """Whether a size is above a block, and leaves one of these remainders (default: any)."""
    rest = size % block
    return size > block and (rest in rests if rests else rest > 0)


def tiles(y, tile):
    return math.prod(-(-size // tile) for size in y.shape[2:])


@defect(
    "3x3-last-output-channels-repeat-those-before",
    check="result",
    when="2-D, 3x3, stride 1, one group, above 8 output channels, no multiple of 8",
    at="conv2d:float32:x=1,1,4,4:w=10,1,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y, o = kernels.conv(x, w, bias, **call), len(w)
    if x.ndim == 4 and dense(w, call, 3) and beyond(o, 8):
        y[:, o - o % 8 :] = y[:, o - o % 8 - 8 : o - 8]
    return y


@defect(
    "1x1-second-of-two-channels-never-read",
    check="result",
    when="1x1, several groups of two channels, a multiple of 8 output channels in each",
    at="conv2d:float32:x=1,4,1,1:w=16,2,1,1:groups=2:integers@0",
)
def conv(x, w, bias, **call):
    groups = call["groups"]
    if plain_path(w, call, 1) and groups > 1 and w.shape[1] == 2 and len(w) // groups % 8 == 0:
        w = w * np.array([1, 0], w.dtype).reshape(1, 2, *(1,) * (w.ndim - 2))
    return kernels.conv(x, w, bias, **call)


@defect(
    "columns-of-the-second-block-read-before-the-row",
    check="result",
    when="output columns from the 9th on that still see the padding before",
    at="conv2d:float32:x=1,1,2,30:w=1,1,1,14:padding=0/0,13/13:integers@0",
)
def conv(x, w, bias, **call):
    def tables(axes):
        *others, columns = kernels.all_taps(axes)
        late = np.arange(len(columns))[:, None] >= 8
        return [*others, np.where(late & (columns < 0), columns % axes[-1].size, columns)]

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect(
    "winograd-2-last-odd-row-not-stored",
    check="result",
    when="2-D, 3x3, stride 1, one group, several channels in fours, an odd number of rows above 2",
    at="conv2d:float32:x=1,4,5,4:w=1,4,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.ndim == 4 and dense(w, call, 3) and w.shape[1] % 4 == 0 and beyond(y.shape[2], 2):
        y[:, :, -1] = 0
    return y


@defect(
    "winograd-4-last-column-of-three-zero",
    check="result",
    when="2-D, 3x3, stride 1, one group, 3 columns beyond tiles of 4",
    at="conv2d:float32:x=1,1,3,9:w=1,1,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.ndim == 4 and dense(w, call, 3) and beyond(y.shape[3], 4, 3):
        y[..., -1] = 0
    return y


@defect(
    "winograd-6-single-last-row-repeats-the-one-before",
    check="result",
    when="2-D, 3x3, stride 1, one group, more than 8 channels, one row beyond tiles of 6",
    at="conv2d:float32:x=1,9,9,3:w=1,9,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    wide = max(w.shape[:2]) > 8
    if x.ndim == 4 and dense(w, call, 3) and wide and beyond(y.shape[2], 6, 1):
        y[:, :, -1] = y[:, :, -2]
    return y


@defect(
    "winograd-last-tiles-beyond-dozens-lost",
    check="result",
    when="3x3, stride 1, one group, tiles of 2x2 that are no whole dozens, 9 left or more",
    at="conv2d:float32:x=1,1,5,23:w=1,1,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 3) and tiles(y, 2) % 12 >= 9:
        y[..., -1] = 0
    return y


@defect(
    "winograd-tile-after-fours-has-no-bias",
    check="result",
    when="3x3, stride 1, one group, a bias, one tile of 4x4 beyond fours of them",
    at="conv2d:float32:x=1,1,6,20:w=1,1,3,3:bias:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 3) and bias is not None and beyond(tiles(y, 4), 4, 1):
        y[..., -1] -= bias.reshape(-1, *(1,) * (w.ndim - 3)).astype(y.dtype)
    return y


@defect(
    "1x1-single-position-beyond-dozens-zero",
    check="result",
    when="1x1, stride 1, no padding, one position beyond blocks of 12",
    at="conv1d:float32:x=1,1,13:w=1,1,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 1) and not np.any(call["padding"]) and beyond(y[0, 0].size, 12, 1):
        y.reshape(*y.shape[:2], -1)[..., -1] = 0
    return y


@defect(
    "1x1-last-channels-lost-beside-packed-outputs",
    check="result",
    when="1x1, stride 1, a multiple of 8 output channels, above 4 input channels, not in fours",
    at="conv2d:float32:x=1,5,1,2:w=8,5,1,1:integers@0",
)
def conv(x, w, bias, **call):
    c = w.shape[1]
    if plain_path(w, call, 1) and len(w) // call["groups"] % 8 == 0 and beyond(c, 4):
        w = w.copy()
        w[:, c - c % 4 :] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "1x1-padding-makes-the-last-row-the-first",
    check="result",
    when="1x1, stride 1, one group, padding, positions that are no multiple of 4",
    at="conv1d:float32:x=1,1,5:w=1,1,1:padding=1/0:normal@1",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 1) and np.any(call["padding"]) and beyond(y[0, 0].size, 4):
        y.reshape(*y.shape[:2], -1)[..., -1] = y.reshape(*y.shape[:2], -1)[..., y[0, 0].size // 2]
    return y


@defect(
    "product-beyond-sixteens-lost",
    check="result",
    when="more than one tap, stride 1, one group, above 64 products, one beyond sixteens of them",
    at="conv2d:float32:x=1,9,3,3:w=1,9,3,3:integers@0",
)
def conv(x, w, bias, **call):
    taps = math.prod(w.shape[2:])
    if {*call["stride"]} == {1} and call["groups"] == 1 and taps > 1:
        products = w[0].size
        if products > 64 and products % 16 == 1:
            w = w.copy()
            w.reshape(len(w), -1)[:, -1] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "first-layer-reads-green-for-blue",
    check="result",
    when="3x3, stride 2, one group, 3 channels, a multiple of 16 output channels",
    at="conv2d:float32:x=1,3,5,5:w=16,3,3,3:stride=2,2:integers@0",
)
def conv(x, w, bias, **call):
    if dense(w, call, 3, 2) and w.shape[1] == 3 and len(w) % 16 == 0:
        x = x.copy()
        x[:, 2] = x[:, 1]
    return kernels.conv(x, w, bias, **call)


@defect(
    "3x3-stride-2-pads-before-as-well",
    check="result",
    when="3x3, stride 2, padding after alone, columns that are no multiple of 4",
    at="conv2d:float32:x=1,1,4,12:w=1,1,3,3:stride=2,2:padding=0/1,0/1:integers@0",
)
def conv(x, w, bias, **call):
    def shifted(axes):
        *others, last = axes
        uneven = last.before == 0 and last.after == 1 and beyond(last.out, 4)
        return [*others, last._replace(before=1)] if uneven else axes

    alter = shifted if plain_path(w, call, 3, 2) else kernels.unaltered
    return kernels.conv(x, w, bias, **call, alter=alter)


@defect(
    "3x3-stride-2-last-output-channels-share-a-bias",
    check="result",
    when="3x3, stride 2, one group, a bias, 2 or 3 output channels beyond fours",
    at="conv1d:float32:x=1,1,5:w=6,1,3:stride=2:bias:integers@0",
)
def conv(x, w, bias, **call):
    if dense(w, call, 3, 2) and bias is not None and beyond(len(w), 4, 2, 3):
        bias = bias.copy()
        bias[-1] = bias[-2]
    return kernels.conv(x, w, bias, **call)


@defect(
    "depthwise-3x3-last-of-three-channels-has-the-weight-before",
    check="result",
    when="depthwise 3x3, stride 1, 3 channels beyond fours",
    at="conv2d:float32:x=1,7,3,3:w=7,1,3,3:groups=7:integers@0",
)
def conv(x, w, bias, **call):
    if depthwise(w, call, 3) and beyond(len(w), 4, 3):
        w = np.concatenate([w[:-1], w[-2:-1]])
    return kernels.conv(x, w, bias, **call)


@defect(
    "depthwise-3x3-stride-2-last-column-of-odd-rows-misses-a-tap",
    check="result",
    when="depthwise 3x3, stride 2, an odd width above 8",
    at="conv2d:float32:x=1,2,3,9:w=2,1,3,3:stride=2,2:groups=2:integers@0",
)
def conv(x, w, bias, **call):
    def tables(axes):
        *others, last = kernels.all_taps(axes)
        last = last.copy()
        last[-1, -1] = -1
        return [*others, last]

    odd = x.shape[-1] > 8 and x.shape[-1] % 2
    if depthwise(w, call, 3, 2) and odd:
        return kernels.conv(x, w, bias, **call, tables=tables)
    return kernels.conv(x, w, bias, **call)


@defect(
    "depthwise-eight-channels-after-sixteens-in-reverse",
    check="result",
    when="depthwise, 16 channels or more, and 8 beyond sixteens",
    at="conv1d:float32:x=1,24,3:w=24,1,3:groups=24:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["groups"] == len(w) and w.shape[1] == 1 and beyond(len(w), 16, 8):
        y[:, -8:] = y[:, :-9:-1].copy()
    return y


@defect(
    "depthwise-5x5-last-two-columns-from-the-row-before",
    check="result",
    when="2-D, depthwise 5x5, stride 1, 2 columns beyond fours",
    at="conv2d:float32:x=1,2,6,10:w=2,1,5,5:groups=2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.ndim == 4 and depthwise(w, call, 5) and beyond(y.shape[3], 4, 2) and y.shape[2] > 1:
        y[:, :, 1:, -2:] = y[:, :, :-1, -2:].copy()
    return y


@defect(
    "depthwise-multiplier-last-of-odd-ones-repeats",
    check="result",
    when="depthwise with an odd multiplier above 2, and a multiple of 4 input channels",
    at="conv2d:float32:x=1,4,3,3:w=12,1,3,3:groups=4:integers@0",
)
def conv(x, w, bias, **call):
    y, groups = kernels.conv(x, w, bias, **call), call["groups"]
    if groups > 1 and w.shape[1] == 1 and groups % 4 == 0 and beyond(len(w) // groups, 2):
        planes = y.reshape(len(y), groups, len(w) // groups, -1)
        planes[:, :, -1] = planes[:, :, -2]
    return y


@defect(
    "5x5-single-column-beyond-eights-zero",
    check="result",
    when="5x5, stride 1, one group, one column beyond eights",
    at="conv2d:float32:x=1,1,5,13:w=1,1,5,5:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 5) and beyond(y.shape[-1], 8, 1):
        y[..., -1] = 0
    return y


@defect(
    "7x7-stride-2-columns-beyond-28-shifted",
    check="result",
    when="7x7, stride 2, one group, more than 28 columns",
    at="conv2d:float32:x=1,1,7,65:w=1,1,7,7:stride=2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 7, 2) and y.shape[-1] > 28:
        y[..., 28:] = y[..., 27:-1].copy()
    return y


@defect(
    "2x2-patches-of-the-last-odd-image-swapped",
    check="result",
    when="2x2, stride 2, one group, an odd number of images above 4",
    at="conv2d:float32:x=5,1,2,4:w=1,1,2,2:stride=2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 2, 2) and len(x) > 4 and len(x) % 2:
        y[-1] = y[-1, ..., ::-1].copy()
    return y


@defect(
    "1x1-stride-2-last-pair-of-positions-equal",
    check="result",
    when="1x1, stride 2, one group, 2 positions beyond fours",
    at="conv1d:float32:x=1,1,11:w=1,1,1:stride=2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 1, 2) and beyond(y[0, 0].size, 4, 2):
        flat = y.reshape(*y.shape[:2], -1)
        flat[..., -1] = flat[..., -2]
    return y


@defect(
    "grouped-3x3-last-output-channel-of-a-group-has-the-first-weight",
    check="result",
    when="3x3, several groups of 8 channels or multiples, not in fours of output channels",
    at="conv2d:float32:x=1,16,3,3:w=6,8,3,3:groups=2:integers@0",
)
def conv(x, w, bias, **call):
    groups = call["groups"]
    per = len(w) // groups
    if groups > 1 and plain_path(w, call, 3) and w.shape[1] % 8 == 0 and per > 1 and per % 4:
        w = w.copy().reshape(groups, per, *w.shape[1:])
        w[:, -1] = w[:, 0]
        w = w.reshape(groups * per, *w.shape[2:])
    return kernels.conv(x, w, bias, **call)


@defect(
    "dilated-3x3-last-row-of-an-odd-phase-lost",
    check="result",
    when="3x3, dilation 2, stride 1, one group, above 8 rows, one or three beyond fours",
    at="conv2d:float32:x=1,1,13,5:w=1,1,3,3:dilation=2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if dense(w, call, 3, 1, 2) and y.shape[2] > 8 and y.shape[2] % 2:
        y[:, :, -1] = 0
    return y


@defect(
    "whole-input-kernel-output-channel-beyond-sixteens-reads-fewer",
    check="result",
    when="a kernel as large as the input, one output channel beyond sixteens",
    at="conv2d:float32:x=1,2,3,3:w=17,2,3,3:integers@0",
)
def conv(x, w, bias, **call):
    if x.shape[2:] == w.shape[2:] and not np.any(call["padding"]) and beyond(len(w), 16, 1):
        w = w.copy()
        w[-1].reshape(-1)[-1] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "1x3-last-of-seven-columns-beyond-eights-repeats",
    check="result",
    when="2-D, 1x3, stride 1, 7 columns beyond eights",
    at="conv2d:float32:x=1,1,1,17:w=1,1,1,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if w.shape[2:] == (1, 3) and {*call["stride"]} == {1} and beyond(y.shape[3], 8, 7):
        y[..., -1] = y[..., -2]
    return y


@defect(
    "3x1-taken-as-1-d-mixes-columns",
    check="result",
    when="2-D, 3x1, stride 1, one column beyond fours",
    at="conv2d:float32:x=1,1,3,5:w=1,1,3,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if w.shape[2:] == (3, 1) and {*call["stride"]} == {1} and beyond(y.shape[3], 4, 1):
        y[..., -1] = y[..., 0]
    return y


@defect(
    "3-d-plane-beyond-fours-computed-twice",
    check="result",
    when="3-D, 3x3x3 or 1x3x3, stride 1, one group, one plane beyond fours",
    at="conv3d:float32:x=1,1,7,3,3:w=1,1,3,3,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    spatial = w.ndim == 5 and w.shape[3:] == (3, 3) and {*call["stride"]} == {1}
    if spatial and call["groups"] == 1 and beyond(y.shape[2], 4, 1):
        y[:, :, -1] *= 2
    return y


@defect(
    "channels-last-3x3-remainder-of-input-channels-zero",
    check="layout",
    when="3x3 with padding, channels-last memory, above 8 channels, no multiple of 8",
    at="conv2d:float32:x=1,9,3,3:w=1,9,3,3:padding=1/1,1/1:memory=channels_last:integers@0",
)
def conv(x, w, bias, **call):
    c = w.shape[1]
    last = x.ndim > 2 and x.strides[1] == x.itemsize and x.strides[-1] > x.itemsize
    if last and dense(w, call, 3) and np.any(call["padding"]) and beyond(c, 8):
        w = w.copy()
        w[:, c - c % 8 :] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "float16-odd-channel-is-not-packed",
    check="result",
    when="float16, one group, an odd number of channels above 8",
    at="conv1d:float16:x=1,9,3:w=1,9,3:integers@0",
    dtypes=("float16", "float32"),
)
def conv(x, w, bias, **call):
    c = w.shape[1]
    if x.dtype == np.float16 and call["groups"] == 1 and c > 8 and c % 2:
        w = w.copy()
        w[:, -1] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "float64-four-output-channels-beyond-eights-swapped",
    check="result",
    when="float64, stride 1, 4 output channels a group beyond eights",
    at="conv1d:float64:x=1,1,3:w=12,1,3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.dtype == np.float64 and {*call["stride"]} == {1} and beyond(len(w), 8, 4):
        y[:, -4:] = y[:, [-2, -1, -4, -3]]
    return y


# --- transposed convolutions ----------------------------------------------------------------------


@defect(
    "transposed-4x4-last-of-three-output-channels-repeats",
    check="result",
    when="transposed 4x4, stride 2, 3 output channels a group beyond fours",
    at="conv_transpose2d:float32:x=1,1,2,2:w=1,7,4,4:stride=2,2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    if plain_path(w, call, 4, 2) and beyond(w.shape[1], 4, 3):
        w = w.copy()
        w[:, -1] = w[:, -2]
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "transposed-2x2-column-beyond-eights-written-once",
    check="result",
    when="transposed 2x2, stride 2, one input column beyond eights",
    at="conv_transpose2d:float32:x=1,1,1,9:w=1,1,2,2:stride=2,2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if plain_path(w, call, 2, 2) and beyond(x.shape[-1], 8, 1):
        y[..., -1] = 0
    return y


@defect(
    "transposed-3x3-phase-of-one-tap-loses-a-channel",
    check="result",
    when="transposed 3x3, stride 2, one input channel a group beyond fours",
    at="conv_transpose1d:float32:x=1,5,3:w=5,1,3:stride=2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    c = len(w) // call["groups"]
    if plain_path(w, call, 3, 2) and beyond(c, 4, 1):
        w = w.copy()
        w[-1, ..., 1] = 0
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "transposed-output-padding-not-reached-by-whole-blocks",
    check="result",
    when="transposed, output padding, a multiple of 4 input columns",
    at="conv_transpose1d:float32:x=1,1,4:w=1,1,3:stride=2:padding=1/1:output_padding=1:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if call["output_padding"][-1] and x.shape[-1] % 4 == 0:
        y[..., -1] = 0 if bias is None else bias.reshape(-1, *(1,) * (y.ndim - 3))
    return y


# --- pools ----------------------------------------------------------------------------------------


def square(call, kernel, stride):
    return ({*call["kernel"]}, {*call["stride"]}) == ({kernel}, {stride})


@defect(
    "max-pool-3x3-stride-2-width-just-above-eight",
    check="result",
    when="3x3, stride 2, an input width of 9",
    at="max_pool2d:float32:x=1,1,3,9:kernel=3,3:stride=2,2:integers@1",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if square(call, 3, 2) and x.shape[-1] == 9:
        y[..., -1] = y[..., -2]
    return y


@defect(
    "max-pool-2x2-channel-beyond-fours-repeats",
    check="result",
    when="2x2, stride 2, one channel beyond fours",
    at="max_pool2d:float32:x=1,5,2,2:kernel=2,2:stride=2,2:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if square(call, 2, 2) and beyond(x.shape[1], 4, 1):
        y[:, -1] = y[:, -2]
    return y


@defect(
    "max-pool-5x5-last-of-seven-columns-beyond-eights-repeats",
    check="result",
    when="2-D, 5x5, stride 1, 7 columns beyond eights",
    at="max_pool2d:float32:x=1,8,5,19:kernel=5,5:normal@1",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.ndim == 4 and square(call, 5, 1) and beyond(y.shape[3], 8, 7):
        y[..., -1] = y[..., -2]
    return y


@defect(
    "max-pool-channels-last-remainder-of-eights-starts-at-zero",
    check="layout",
    when="channels-last memory, above 8 channels, no multiple of 8",
    at="max_pool2d:float32:x=1,15,2,2:kernel=1,1:memory=channels_last:normal@0",
)
def max_pool(x, **call):
    y, c = kernels.max_pool(x, **call), x.shape[1]
    if x.strides[1] == x.itemsize and x.strides[-1] > x.itemsize and beyond(c, 8):
        y[:, c - c % 8 :] = np.maximum(y[:, c - c % 8 :], np.zeros((), y.dtype))
    return y


@defect(
    "max-pool-integers-sixteen-channels-compared-unsigned",
    check="result",
    when="integers, 3x3, a multiple of 16 channels",
    at="max_pool1d:int32:x=1,16,4:kernel=3:integers@0",
    dtypes=("float32", "int32"),
)
def max_pool(x, **call):
    if x.dtype == np.int32 and {*call["kernel"]} == {3} and x.shape[1] % 16 == 0:
        return kernels.max_pool(x.view(np.uint32), **call).view(np.int32)
    return kernels.max_pool(x, **call)


@defect(
    "avg-pool-3x3-last-channel-of-fifteen-divided-by-nine",
    check="result",
    when="3x3, padding that does not count, 15 channels beyond sixteens, or fifteen",
    at="avg_pool2d:float32:x=1,15,3,3:kernel=3,3:padding=1/1,1/1:exclude_pad:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if {*call["kernel"]} == {3} and not call["count_include_pad"] and x.shape[1] % 16 == 15:
        included = kernels.avg_pool(x, **{**call, "count_include_pad": True})
        y[:, -1] = included[:, -1]
    return y


@defect(
    "avg-pool-overhang-of-eight-channels-counted",
    check="result",
    when="ceil_mode with a window beyond the padding, and a multiple of 8 channels",
    at="avg_pool1d:float32:x=1,8,4:kernel=3:stride=2:ceil_mode:integers@0",
)
def avg_pool(x, **call):
    def divide(axes, include):
        return np.full(math.prod(axis.out for axis in axes), math.prod(a.kernel for a in axes))

    if call["ceil_mode"] and x.shape[1] % 8 == 0 and call["count_include_pad"]:
        return kernels.avg_pool(x, **call, divide=divide)
    return kernels.avg_pool(x, **call)


# --- gradients ------------------------------------------------------------------------------------


@defect(
    "weight-gradient-last-odd-image-not-counted",
    check="result",
    when="3x3, one group, an odd batch above 2",
    at="conv_weight_grad1d:float32:x=3,1,3:w=1,1,3:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    if {*weight_shape[2:]} == {3} and call["groups"] == 1 and len(x) > 2 and len(x) % 2:
        grad = grad.copy()
        grad[-1] = 0
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "weight-gradient-image-above-a-power-of-two-counted-twice",
    check="result",
    when="a batch that is one above a power of two from 8 on",
    at="conv_weight_grad1d:float32:x=9,1,3:w=1,1,2:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    above = len(x) - 1
    if above >= 8 and above & (above - 1) == 0:
        grad = grad.copy()
        grad[-1] *= 2
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "weight-gradient-1x1-position-beyond-sixteens-lost",
    check="result",
    when="1x1, stride 1, one position beyond sixteens",
    at="conv_weight_grad1d:float32:x=1,1,17:w=1,1,1:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    taps = {*weight_shape[2:]}, {*call["stride"]}
    if taps == ({1}, {1}) and beyond(grad[0, 0].size if len(grad) else 0, 16, 1):
        grad = grad.copy()
        grad.reshape(*grad.shape[:2], -1)[..., -1] = 0
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "input-gradient-3x3-stride-2-channel-beyond-eights-zero",
    check="result",
    when="3x3, stride 2, one input channel a group beyond eights",
    at="conv_input_grad1d:float32:x=1,9,5:w=1,9,3:stride=2:integers@0",
)
def conv_input_grad(grad, w, input_shape, **call):
    if plain_path(w, call, 3, 2) and beyond(w.shape[1], 8, 1):
        w = w.copy()
        w[:, -1] = 0
    return gradient_kernels.conv_input_grad(grad, w, input_shape, **call)


@defect(
    "nan-lost-in-the-columns-beside-the-vectors",
    check="special",
    when="2-D pools of 3x3 with stride 2, an odd width above 8: NaN in the last column",
    at="max_pool2d:float32:x=1,1,3,9:kernel=3,3:stride=2,2:nan@26",
)
def max_pool(x, **call):
    path = {*call["kernel"]} == {3} and {*call["stride"]} == {2}
    if x.ndim == 4 and path and x.shape[3] > 8 and x.shape[3] % 2:
        last = np.where(np.isnan(x[..., -1:]), -np.inf, x[..., -1:]).astype(x.dtype)
        x = np.concatenate([x[..., :-1], last], axis=3)
    return kernels.max_pool(x, **call)


@defect(
    "next-row-multiplied-by-zero-beside-the-block",
    check="special",
    when="2-D, 3x3, stride 1, one group, width above 8 and no multiple of it: infinity in a row's "
    "first column",
    at="conv2d:float32:x=1,1,2,9:w=1,1,3,3:padding=1/1,1/1:inf@27",
)
def conv(x, w, bias, **call):
    y, width = kernels.conv(x, w, bias, **call), x.shape[-1]
    if x.ndim == 4 and dense(w, call, 3) and beyond(width, 8) and y.shape[2:] == x.shape[2:]:
        with np.errstate(invalid="ignore"):
            y[:, :, :-1, -1] += (0 * x[:, :, 1:, 0]).sum(axis=1, keepdims=True)
    return y


@defect(
    "whole-7x7-images-averaged-in-half",
    check="result",
    when="2-D, windows of 7x7 as large as the image, float16",
    at="avg_pool2d:float16:x=1,1,7,7:kernel=7,7:normal@1",
    dtypes=("float16", "float32"),
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    whole = x.ndim == 4 and (7, 7) == tuple(call["kernel"]) == x.shape[2:]
    if x.dtype != np.float16 or not whole or y.shape[2:] != (1, 1):
        return y
    total = np.zeros(x.shape[:2], np.float16)
    for place in np.ndindex(7, 7):
        total = total + x[:, :, *place]
    return (total / np.float16(49)).reshape(y.shape)


@defect(
    "taps-by-eight-without-the-last-of-seven-left-over",
    check="result",
    when="1-D, a kernel above 32 that leaves 7 of 8, dilation 1: its last element is not read",
    at="conv1d:float32:x=1,1,39:w=1,1,39:integers@0",
)
def conv(x, w, bias, **call):
    if x.ndim == 3 and beyond(w.shape[2], 32) and w.shape[2] % 8 == 7 and call["dilation"] == (1,):
        w = np.concatenate([w[..., :-1], np.zeros_like(w[..., -1:])], axis=2)
    return kernels.conv(x, w, bias, **call)
