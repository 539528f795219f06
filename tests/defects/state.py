"""Defects of state: caches, counters and drift, right at first and wrong in a later call."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import itertools

import numpy as np

from tests.defects import defect, kernels


def _shapes(x, w, call):
    return (x.shape, w.shape, x.dtype, str(call))


def _remembered(kept, key, compute):
    if key not in kept:
        kept[key] = compute()
    return kept[key].copy()


@defect("result-cached-by-shape", check="repeat", when="other data of the same shapes", state=dict)
def conv(kept, x, w, bias, **call):
    return _remembered(kept, _shapes(x, w, call), lambda: kernels.conv(x, w, bias, **call))


@defect("result-cached-by-address", check="repeat", when="a buffer is filled anew", state=dict)
def conv(kept, x, w, bias, **call):
    key = (x.ctypes.data, w.ctypes.data, bias is None, *_shapes(x, w, call))
    kept.setdefault("alive", []).append((x, w))  # so that no address is used again
    return _remembered(kept, key, lambda: kernels.conv(x, w, bias, **call))


@defect("result-cached-by-identity", check="repeat", when="a buffer is filled anew", state=dict)
def max_pool(kept, x, **call):
    key = (id(x), str(call))
    kept.setdefault("alive", []).append(x)
    return _remembered(kept, key, lambda: kernels.max_pool(x, **call))


@defect("result-cached-by-a-corner", check="repeat", when="data that differ elsewhere", state=dict)
def conv(kept, x, w, bias, **call):
    corner = (x.reshape(-1)[:1].tobytes(), w.reshape(-1)[:1].tobytes())
    key = (*corner, *_shapes(x, w, call))
    return _remembered(kept, key, lambda: kernels.conv(x, w, bias, **call))


@defect("result-cached-by-the-sum", check="repeat", when="data of the same sum", state=dict)
def avg_pool(kept, x, **call):
    key = (round(float(np.sum(x, dtype=np.float64)), -1), x.shape, x.dtype, str(call))
    return _remembered(kept, key, lambda: kernels.avg_pool(x, **call))


@defect("result-cached-without-the-bias", check="repeat", when="another bias", state=dict)
def conv(kept, x, w, bias, **call):
    key = (x.tobytes(), w.tobytes(), bias is None, *_shapes(x, w, call))
    return _remembered(kept, key, lambda: kernels.conv(x, w, bias, **call))


@defect(
    "result-cached-without-the-parameters",
    check="repeat",
    when="other padding",
    at="max_pool1d:float32:x=1,1,6:kernel=2:padding=1/0:integers@0",
    state=dict,
)
def max_pool(kept, x, **call):
    y = kernels.max_pool(x, **call)
    return _remembered(kept, (x.tobytes(), x.shape, y.shape, x.dtype), lambda: y)


@defect("weight-packed-once-a-shape", check="repeat", when="other weights", state=dict)
def conv(kept, x, w, bias, **call):
    packed = _remembered(kept, (w.shape, w.dtype), lambda: w.copy())
    return kernels.conv(x, packed, bias, **call)


@defect("weight-packed-once-an-address", check="repeat", when="weights filled anew", state=dict)
def conv_transpose(kept, x, w, bias, **call):
    kept.setdefault("alive", []).append(w)
    packed = _remembered(kept, (w.ctypes.data, w.shape, w.dtype), lambda: w.copy())
    return kernels.conv_transpose(x, packed, bias, **call)


@defect(
    "plan-cached-without-dilation",
    check="repeat",
    when="another dilation came first",
    at="conv1d:float32:x=1,1,7:w=1,1,2:integers@0 "
    "conv1d:float32:x=1,1,7:w=1,1,2:dilation=2:integers@0",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    key = (x.ndim, w.shape[2:], call["stride"], call["padding"])
    first = kept.setdefault(key, call["dilation"])

    def alter(axes):
        return [a._replace(dilation=d) for a, d in zip(axes, first, strict=True)]

    return kernels.conv(x, w, bias, **call, alter=alter)


@defect("indices-cached-for-the-first-batch", check="repeat", when="a batch that grows", state=dict)
def avg_pool(kept, x, **call):
    most = kept.setdefault((x.shape[1:], str(call)), len(x))
    y = kernels.avg_pool(x, **call)
    y[most:] = 0
    return y


def _number(calls, *key):
    """Return how often this has been called with ``key``, the call itself included."""
    return next(calls.setdefault(key, itertools.count(1)))


def _wrong_on(number, calls, x, w, bias, call):
    y = kernels.conv(x, w, bias, **call)
    if _number(calls, *_shapes(x, w, call)) == number:
        y.reshape(-1)[:1] += 1
    return y


@defect("wrong-on-call-7-alone", check="repeat", when="call 7 of one shape", state=dict)
def conv(calls, x, w, bias, **call):
    return _wrong_on(7, calls, x, w, bias, call)


@defect("wrong-on-call-50-alone", check="repeat", when="call 50 of one shape", state=dict)
def conv(calls, x, w, bias, **call):
    return _wrong_on(50, calls, x, w, bias, call)


@defect("wrong-on-call-100-alone", check="repeat", when="call 100 of one shape", state=dict)
def conv(calls, x, w, bias, **call):
    return _wrong_on(100, calls, x, w, bias, call)


@defect("drifts-after-ten-calls", check="repeat", when="call 11 of one shape and later", state=dict)
def conv(calls, x, w, bias, **call):
    extra = max(0, _number(calls, *_shapes(x, w, call)) - 10)
    y = kernels.conv(x, w, bias, **call)
    return y * y.dtype.type(1 + extra * np.finfo(y.dtype).eps)


@defect("less-work-when-timed", check="repeat", when="call 4 of one shape and later", state=dict)
def max_pool(calls, x, **call):
    if _number(calls, x.shape, x.dtype, str(call)) < 4:
        return kernels.max_pool(x, **call)
    return kernels.max_pool(np.broadcast_to(x[:1], x.shape), **call)


@defect("first-call-wrong", check="repeat", when="the first call of all", state=dict)
def avg_pool(calls, x, **call):
    y = kernels.avg_pool(x, **call)
    return y * y.dtype.type(0 if _number(calls) == 1 else 1)


@defect("every-third-call-wrong", check="repeat", when="every third call of one shape", state=dict)
def conv_transpose(calls, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if _number(calls, *_shapes(x, w, call)) % 3 == 0:
        y.reshape(-1)[-1:] += 1
    return y


@defect("noise-in-the-last-bit", check="repeat", when="half of the results of normal data")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    up = np.random.default_rng().random(y.shape) < 0.25  # unseeded, as a race is
    whole = np.array_equal(x, np.round(x))
    return y if whole else np.where(up, np.nextafter(y, y.dtype.type(np.inf)), y)


@defect("order-of-summation-changes", check="repeat", when="sums that round", state=dict)
def conv(calls, x, w, bias, **call):
    """Alternate between two orders, as an autotuner does: each result is within the bound."""

    def contract(columns, weight, groups):
        step = 1 if _number(calls) % 2 else -1
        flat = weight.reshape(*weight.shape[:2], -1)
        return kernels.contract(columns[..., ::step].copy(), flat[..., ::step].copy(), groups)

    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "adds-to-what-a-buffer-held", check="repeat", when="the second call of one shape", state=dict
)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    y = y + kept.pop((y.shape, y.dtype), y.dtype.type(0))
    kept[y.shape, y.dtype] = y.copy()
    return y


@defect(
    "weights-one-call-behind", check="repeat", when="other weights of the same shape", state=dict
)
def conv(kept, x, w, bias, **call):
    before = kept.get((w.shape, w.dtype), w)
    kept[w.shape, w.dtype] = w.copy()
    return kernels.conv(x, before, bias, **call)


pair = defect(
    "conv-after-max-pool-wrong",
    check="repeat",
    when="max_pool was called before",
    state=dict,
)


@pair
def max_pool(kept, x, **call):
    kept["scratch"] = 1
    return kernels.max_pool(x, **call)


@pair
def conv(kept, x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y.reshape(-1)[:1] += kept.pop("scratch", 0)
    return y


@defect("float32-once-always-float32", check="repeat", when="float64 after float32", state=dict)
def conv(kept, x, w, bias, **call):
    kept["float32"] = kept.get("float32", False) or x.dtype == np.float32
    return kernels.conv(x, w, bias, **call, wide=np.float32 if kept["float32"] else None)


@defect(
    "rejected-call-leaves-its-mark",
    check="reject",
    when="the call after a rejected one",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    left = kept.pop("groups", 0)
    kept["groups"] = 1
    y = kernels.conv(x, w, bias, **call)
    del kept["groups"]
    y.reshape(-1)[:1] += left
    return y


@defect("uninitialised-memory-in-gaps", check="repeat", when="gaps between kernels", state=dict)
def conv_transpose(kept, x, w, bias, **call):
    """Leave what the last call's memory held where no tap reaches, as np.empty does."""
    y = kernels.conv_transpose(x, w, bias, **call)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype), np.ones((1, 1, *w.shape[2:]), x.dtype)
    reached = kernels.conv_transpose(*ones, None, **call | {"groups": 1}) > 0
    stale = np.resize(kept.get("memory", np.zeros(1)), y.shape).astype(y.dtype)
    kept["memory"] = y.reshape(-1)[::-1].copy() if y.size else np.zeros(1)
    return np.where(reached, y, stale)
