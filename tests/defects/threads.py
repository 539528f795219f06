"""Defects of threads: right in one, wrong where calls of several threads meet."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


@defect("scratch-shared-by-threads", check="repeat", when="two calls of one shape meet", state=dict)
def conv(kept, x, w, bias, **call):
    scratch = kept.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))
    scratch[...] = x
    return kernels.conv(scratch, w, bias, **call)


@defect("argument-in-a-variable-of-the-module", check="repeat", when="any two meet", state=dict)
def max_pool(kept, x, **call):
    kept["x"] = x
    if any(stride < 0 for stride in x.strides):
        kept["x"] = x.copy()
    sizes = [k + sum(pair) for k, pair in zip(call["kernel"], call["padding"], strict=False)]
    if max(sizes, default=1) < 1:
        raise ValueError("an empty window")
    return kernels.max_pool(kept["x"], **call)


@defect("result-in-a-shared-buffer", check="repeat", when="two results of one shape", state=dict)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    buffer = kept.setdefault((y.shape, y.dtype), y)
    buffer[...] = y
    return buffer.copy()


@defect("refuses-a-second-thread", check="repeat", when="a call is made during another", state=dict)
def avg_pool(kept, x, **call):
    if kept.get("busy"):
        raise RuntimeError("the workspace is in use")
    kept["busy"] = True
    try:
        return kernels.avg_pool(x, **call)
    finally:
        kept["busy"] = False


@defect("last-used-weight", check="repeat", when="another weight is packed meanwhile", state=dict)
def conv(kept, x, w, bias, **call):
    if kept.get("of") != (w.tobytes(), w.shape, w.dtype):
        kept["packed"] = w.copy()
        kept["of"] = (w.tobytes(), w.shape, w.dtype)
    packed = kept["packed"] if kept["packed"].shape == w.shape else w
    return kernels.conv(x, packed.astype(w.dtype), bias, **call)


@defect("table-known-before-it-is-filled", check="repeat", when="two first calls meet", state=dict)
def max_pool(kept, x, **call):
    places = kept.get((x.shape, x.dtype))
    if places is None:
        places = kept[x.shape, x.dtype] = np.zeros(x.shape[-1], np.intp)
        for i in range(x.shape[-1]):
            places[i] = i
    return kernels.max_pool(x[..., places], **call)
