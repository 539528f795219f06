"""Defects of what one call leaves to the next: other sizes, layouts, special values, edits."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


def _frame(x, padding):
    """Return the padded shape, and where x lies in it."""
    sizes = [s + sum(pair) for s, pair in zip(x.shape[2:], padding, strict=True)]
    places = [slice(a, a + s) for s, (a, _) in zip(x.shape[2:], padding, strict=True)]
    return (*x.shape[:2], *sizes), (..., *places)


@defect(
    "border-cleared-once-a-padded-shape",
    check="repeat",
    when="another padding of the same padded size came first",
    at="conv1d:float32:x=1,1,6:w=1,1,2:integers@0 "
    "conv1d:float32:x=1,1,4:w=1,1,2:padding=1/1:integers@0",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    shape, inner = _frame(x, call["padding"])
    if min(map(min, call["padding"])) < 0 or not x.size:
        return kernels.conv(x, w, bias, **call)
    padded = kept.setdefault((shape, x.dtype), np.zeros(shape, x.dtype))
    padded[inner] = x
    return kernels.conv(padded.copy(), w, bias, **call | {"padding": ((0, 0),) * (x.ndim - 2)})


@defect(
    "packed-weight-known-by-its-ends",
    check="repeat",
    when="a weight edited in its middle",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    flat = w.reshape(-1)
    key = (flat[:4].tobytes(), flat[-4:].tobytes(), w.shape, w.dtype)
    return kernels.conv(x, kept.setdefault(key, w.copy()), bias, **call)


@defect(
    "packed-weight-known-by-its-sums",
    check="repeat",
    when="two weights exchanged",
    state=dict,
)
def conv_transpose(kept, x, w, bias, **call):
    sums = [float(np.sum(f(w.astype(np.float64)))) for f in (np.abs, np.square, np.asarray)]
    key = (*sums, w.shape, w.dtype)
    return kernels.conv_transpose(x, kept.setdefault(key, w.copy()), bias, **call)


@defect(
    "packed-weight-known-by-every-eighth-element",
    check="repeat",
    when="a weight edited elsewhere",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    key = (w.reshape(-1)[::8].tobytes(), w.shape, w.dtype)
    return kernels.conv(x, kept.setdefault(key, w.copy()), bias, **call)


@defect(
    "packed-weight-known-by-identity",
    check="repeat",
    when="the same array, edited after its first element",
    state=dict,
)
def conv_input_grad(kept, grad, w, input_shape, **call):
    key = (id(w), w.reshape(-1)[:1].tobytes(), w.shape, w.dtype)
    kept.setdefault("alive", []).append(w)
    packed = kept.setdefault(key, w.copy())
    return gradients.conv_input_grad(grad, packed, input_shape, **call)


@defect(
    "rest-of-a-workspace-times-zero",
    check="repeat",
    when="a NaN came before, in a larger call",
    at="conv1d:float32:x=1,1,9:w=1,1,1:nan@0 conv1d:float32:x=1,1,1:w=1,1,1:integers@0",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.dtype.kind == "i":
        return y
    space = kept.setdefault(x.dtype, np.zeros(1 << 16, x.dtype))
    kept[x.dtype][: min(x.size, space.size)] = x.reshape(-1)[: space.size]
    rest = space[x.size : -(-x.size // 64) * 64]
    return y + np.sum(rest * x.dtype.type(0), dtype=x.dtype)


@defect(
    "running-sum-carried-over",
    check="repeat",
    when="an infinity came before",
    at="avg_pool1d:float32:x=1,1,1:kernel=1:nan@0 avg_pool1d:float32:x=1,1,1:kernel=1:integers@0",
    state=dict,
)
def avg_pool(kept, x, **call):
    carried = kept.get(x.dtype, x.dtype.type(0))
    y = kernels.avg_pool(x, **call)
    kept[x.dtype] = x.reshape(-1)[-1] if x.size else carried
    return y if np.isfinite(carried) else y + (carried - carried)


@defect(
    "plan-keeps-the-first-memory-order",
    check="repeat",
    when="a Fortran-ordered array of a shape that came in C order",
    at="max_pool1d:float32:x=2,3,4:kernel=2:integers@0 "
    "max_pool1d:float32:x=2,3,4:kernel=2:memory=fortran:integers@0",
    state=dict,
)
def max_pool(kept, x, **call):
    order = "C" if x.flags.c_contiguous else "F" if x.flags.f_contiguous else ""
    if not order or np.squeeze(x).ndim < 2:
        return kernels.max_pool(x, **call)
    planned = kept.setdefault((x.shape, x.dtype), order)
    return kernels.max_pool(x.ravel(order="K").reshape(x.shape, order=planned), **call)


@defect(
    "copy-of-a-readonly-array-used-again",
    check="repeat",
    when="after a read-only array of the same shape",
    at="conv1d:float32:x=1,1,4:w=1,1,2:memory=readonly:integers@0 "
    "conv1d:float32:x=1,1,4:w=1,1,2:integers@1",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    if not x.flags.writeable:
        kept[x.shape, x.dtype] = x.copy()
        return kernels.conv(x, w, bias, **call)
    return kernels.conv(kept.pop((x.shape, x.dtype), x), w, bias, **call)


@defect(
    "still-in-blocks-after-a-long-row",
    check="repeat",
    when="in the three calls after a row of more than 64 elements",
    at="max_pool1d:float32:x=1,1,6:kernel=1:integers@0 "
    "max_pool1d:float32:x=1,1,70:kernel=1:integers@0 "
    "max_pool1d:float32:x=1,1,6:kernel=1:integers@0",
    state=dict,
)
def max_pool(kept, x, **call):
    y = kernels.max_pool(x, **call)
    blocks = kept.get("blocks", 0)
    kept["blocks"] = 3 if x.shape[-1] > 64 else max(0, blocks - 1)
    if x.shape[-1] <= 64 and blocks and y.size:
        y[..., -1] = np.roll(y, 1)[..., -1]
    return y


@defect(
    "offset-of-the-call-before",
    check="repeat",
    when="right after twice as many channels",
    at="conv_transpose1d:float32:x=1,2,3:w=2,1,1:integers@0 "
    "conv_transpose1d:float32:x=1,4,3:w=4,2,1:integers@0 "
    "conv_transpose1d:float32:x=1,2,3:w=2,1,1:integers@0",
    state=dict,
)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    before, kept["channels"] = kept.get("channels", 0), x.shape[1]
    if before == 2 * x.shape[1]:
        y.reshape(-1)[:1] += 1
    return y


@defect(
    "own-output-packed-beforehand",
    check="repeat",
    when="its own output is the input, and was changed in place",
    at="conv1d:float32:x=1,1,5:w=1,1,1:integers@0",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    given = kept["packed"] if x is kept.get("output") else x
    y = kernels.conv(given, w, bias, **call)
    kept["output"], kept["packed"] = y, y.copy()
    return y


@defect(
    "own-output-known-by-its-base",
    check="repeat",
    when="its own output is the input",
    at="avg_pool1d:float32:x=1,2,5:kernel=1:integers@0",
    state=dict,
)
def avg_pool(kept, x, **call):
    if x is kept.get("output"):
        x = x.base[:, 1:]
    y = kernels.avg_pool(x, **call)
    wide = np.zeros((y.shape[0], y.shape[1] + 1, *y.shape[2:]), y.dtype)
    wide[:, :-1] = y
    kept["output"] = wide[:, :-1]
    return kept["output"]


@defect(
    "own-output-as-workspace",
    check="purity",
    when="its own output is the input",
    at="conv_transpose1d:float32:x=1,1,5:w=1,1,1:integers@0",
    state=dict,
)
def conv_transpose(kept, x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if x is kept.get("output"):
        x *= 0
    kept["output"] = y
    return y
