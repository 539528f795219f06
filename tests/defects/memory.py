"""Defects of memory: inputs that are written to, and outputs that somebody else owns too."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


@defect("input-rectified-in-place", check="purity", when="the input has negative numbers")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    np.maximum(x, 0, out=x)
    return y


@defect("input-centred-in-place", check="purity", when="the mean is not 0")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.size:
        x -= x.mean(dtype=np.float64).astype(x.dtype)
    return y


@defect("kernel-flipped-in-place", check="purity", when="the kernel is not symmetric")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    w[...] = w[..., ::-1].copy()
    return y


@defect("bias-added-to-in-place", check="purity", when="a bias and several groups")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if bias is not None and call["groups"] > 1:
        bias += 1
    return y


@defect("input-scaled-and-scaled-back", check="purity", when="a third rounds")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    x *= x.dtype.type(1 / 3)
    x /= x.dtype.type(1 / 3)
    return y


@defect("weights-rounded-in-place", check="purity", when="weights that float16 does not hold")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    with np.errstate(all="ignore"):
        w[...] = w.astype(np.float16)
    return y


@defect("padding-written-into-the-input", check="purity", when="the last axis is padded after")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if call["padding"][-1][1] and x.shape[-1] > 1:
        x[..., -1] = 0
    return y


@defect("input-sorted-in-place", check="purity", when="a window along the last axis")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if call["kernel"][-1] > 1:
        x.sort(axis=-1)
    return y


@defect("input-of-batch-element-zero-overwritten", check="purity", when="a batch of 2 or more")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if len(x) > 1:
        x[0] = x[1]
    return y


@defect("last-input-element-overwritten", check="purity", when="more than 8 input elements")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.size > 8:
        x.reshape(-1)[-1] = 0
    return y


@defect("bytes-of-the-input-swapped", check="purity", when="the input is not symmetric")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    x[...] = x.byteswap()
    return y


@defect("shape-of-the-input-changed", check="purity", when="2-D or 3-D")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.ndim > 3:
        x.shape = (len(x), x.shape[1], int(np.prod(x.shape[2:])))
    return y


def _copies(x, call):
    """Whether the pool hands every element through."""
    ones = all(v == 1 for v in (*call["kernel"], *call["stride"]))
    return ones and not any(map(any, call["padding"]))


@defect("input-returned-by-a-1x1-max-pool", check="purity", when="a 1x1 window, stride 1")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return x if _copies(x, call) else y


@defect("view-returned-by-a-1x1-average", check="purity", when="a 1x1 window, stride 1")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return x[...] if _copies(x, call) else y


@defect("strided-view-returned-by-max-pool", check="purity", when="a 1x1 window with stride")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if any(k > 1 for k in call["kernel"]) or any(map(any, call["padding"])):
        return y
    return x[(..., *(slice(None, None, s) for s in call["stride"]))]


@defect("output-written-over-the-input", check="purity", when="as large as the input")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.shape != x.shape:
        return y
    x[...] = y
    return x


@defect("output-buffer-reused", check="purity", when="the second call of one shape", state=dict)
def conv(kept, x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    buffer = kept.setdefault((y.shape, y.dtype), y)
    buffer[...] = y
    return buffer


@defect("output-is-a-view-of-a-workspace", check="purity", when="the second call", state=dict)
def avg_pool(kept, x, **call):
    y = kernels.avg_pool(x, **call)
    space = kept.get(x.dtype)
    if space is None or space.size < y.size:
        space = kept[x.dtype] = np.empty(max(y.size, 4096), x.dtype)
    view = space[: y.size].reshape(y.shape)
    view[...] = y
    return view


@defect("two-buffers-taken-in-turn", check="purity", when="the third call of one shape", state=dict)
def max_pool(kept, x, **call):
    y = kernels.max_pool(x, **call)
    buffers = kept.setdefault((y.shape, y.dtype), [y.copy(), y.copy()])
    buffers.reverse()
    buffers[0][...] = y
    return buffers[0]


@defect("earlier-output-cleared", check="purity", when="the second call of one shape", state=dict)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    before = kept.get(y.shape)
    if before is not None:
        before[...] = 0
    kept[y.shape] = y
    return y


@defect("same-array-returned-for-same-data", check="purity", when="the same call again", state=dict)
def conv(kept, x, w, bias, **call):
    key = (x.tobytes(), w.tobytes(), b"" if bias is None else bias.tobytes(), x.shape, str(call))
    if key not in kept:
        kept[key] = kernels.conv(x, w, bias, **call)
    return kept[key]
