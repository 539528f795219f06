"""Defects of what is kept between calls of other parameters, batches, dtypes and operators."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from conformance import Unsupported
from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


@defect("stride-of-the-first-call", check="repeat", when="another stride, same shapes", state=dict)
def avg_pool(kept, x, **call):
    y = kernels.avg_pool(x, **call)
    return kept.setdefault((x.tobytes(), y.shape, x.dtype), y).copy()


@defect("gradient-cached-without-padding", check="repeat", when="padding moved", state=dict)
def conv_weight_grad(kept, grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    key = (grad.tobytes(), x.tobytes(), x.shape, tuple(weight_shape), call["stride"], x.dtype)
    return kept.setdefault(key, dw).copy()


@defect(
    "divisor-cached-by-window",
    check="repeat",
    when="count_include_pad changes",
    state=dict,
    at="avg_pool1d:float32:x=1,1,3:kernel=2:padding=1/0:integers@0 "
    "avg_pool1d:float32:x=1,1,3:kernel=2:padding=1/0:exclude_pad:integers@0",
)
def avg_pool(kept, x, **call):
    key = (x.shape, call["kernel"], call["stride"], call["padding"], call["ceil_mode"])
    counted = kept.setdefault(key, call["count_include_pad"])
    return kernels.avg_pool(x, **call | {"count_include_pad": counted})


@defect(
    "bias-kept-when-there-is-none",
    check="repeat",
    when="no bias after one",
    state=dict,
    at="conv_transpose1d:float32:x=1,1,3:w=1,1,2:bias:integers@0 "
    "conv_transpose1d:float32:x=1,1,3:w=1,1,2:integers@0",
)
def conv_transpose(kept, x, w, bias, **call):
    key = (w.shape, call["groups"], x.dtype)
    if bias is not None:
        kept[key] = bias.copy()
    return kernels.conv_transpose(x, w, kept.get(key) if bias is None else bias, **call)


@defect("packed-weights-checked-by-a-sum", check="repeat", when="another weight", state=dict)
def conv(kept, x, w, bias, **call):
    key = (w.shape, w.dtype, bool(np.abs(w).sum() > 0))
    return kernels.conv(x, kept.setdefault(key, w.copy()), bias, **call)


@defect("smaller-batch-in-a-larger-buffer", check="repeat", when="fewer samples", state=dict)
def max_pool(kept, x, **call):
    y = kernels.max_pool(x, **call)
    most = kept.get((x.shape[1:], x.dtype, str(call)), 0)
    kept[x.shape[1:], x.dtype, str(call)] = max(most, len(x))
    if len(x) < most:
        y.flat[-1:] = y.flat[:1] + 1 if y.dtype.kind == "f" else y.flat[:1] // 2
    return y


@defect("half-mode-left-on", check="repeat", when="after another dtype", state=dict)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    changed = kept.get("dtype", x.dtype) != x.dtype
    kept["dtype"] = x.dtype
    return y * y.dtype.type(1 + np.finfo(y.dtype).eps) if changed else y


shared = defect("workspace-shared-by-pools", check="repeat", when="avg_pool before", state=dict)


@shared
def avg_pool(kept, x, **call):
    y = kernels.avg_pool(x, **call)
    kept["workspace"] = y.size
    return y


@shared
def max_pool(kept, x, **call):
    y = kernels.max_pool(x, **call)
    stale = kept.pop("workspace", 0)
    y.flat[:1] -= y.dtype.type(min(stale, 1))
    return y


@defect("lock-held-after-a-rejection", check="reject", when="after a rejected call", state=dict)
def avg_pool(kept, x, **call):
    if kept.get("locked"):
        raise RuntimeError("the workspace is in use")
    kept["locked"] = True
    y = kernels.avg_pool(x, **call)
    kept["locked"] = False
    return y


@defect("wrong-sample-after-a-rejection", check="reject", when="after a rejected call", state=dict)
def max_pool(kept, x, **call):
    failed, kept["failed"] = kept.get("failed", False), True
    y = kernels.max_pool(x, **call)
    kept["failed"] = False
    if failed:
        y.flat[:1] = y.flat[:1] // 2 + 1
    return y


@defect("first-call-raises", check="repeat", when="the first call of all", state=dict)
def max_pool(kept, x, **call):
    if x.size and not kept.get("ready"):
        kept["ready"] = True
        raise RuntimeError("not initialised")
    return kernels.max_pool(x, **call)


@defect("wrong-on-call-33-of-data-that-changes", check="repeat", when="then alone", state=dict)
def conv(kept, x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    key = (x.shape, w.shape, x.dtype, str(call))
    last, number = kept.get(key, (b"", 0))
    number += last != x.tobytes()
    kept[key] = (x.tobytes(), number)
    if number == 33:
        y.flat[:1] += 1
    return y


@defect("declines-when-the-weight-is-negative", check="declare", when="a negative weight first")
def conv_transpose(x, w, bias, **call):
    if w.size and w.flat[0] < 0:
        raise NotImplementedError("weights below 0")
    return kernels.conv_transpose(x, w, bias, **call)


@defect("declines-after-forty-calls", check="declare", when="call 40 of one shape", state=dict)
def conv(kept, x, w, bias, **call):
    key = (x.shape, w.shape)
    kept[key] = kept.get(key, 0) + 1
    if kept[key] > 40:
        raise Unsupported("the queue is full")
    return kernels.conv(x, w, bias, **call)


@defect("declines-sparse-data", check="declare", when="more positive than negative numbers")
def avg_pool(x, **call):
    if (x > 0).sum() > (x < 0).sum() + 1:
        raise Unsupported("this pattern")
    return kernels.avg_pool(x, **call)


@defect("declines-what-it-has-seen", check="declare", when="the same call again", state=set)
def max_pool(kept, x, **call):
    if (x.tobytes(), x.shape, str(call)) in kept:
        raise Unsupported("cached results")
    kept.add((x.tobytes(), x.shape, str(call)))
    return kernels.max_pool(x, **call)


@defect("declines-by-the-sum", check="declare", when="gradients of a negative sum")
def conv_bias_grad(grad, **call):
    if grad.sum(dtype=np.float64) < 0:
        raise Unsupported("a negative sum")
    return gradients.conv_bias_grad(grad, **call)
