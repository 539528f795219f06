"""Results that lie in memory in an unusual way, and state that does no harm."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.correct import unusual
from tests.defects import kernels


@unusual("output-in-fortran-order", why="how the result lies in memory is free")
def conv(x, w, bias, **call):
    return np.asfortranarray(kernels.conv(x, w, bias, **call))


@unusual("output-strided", why="a new array may be every second element of another new one")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    wide = np.full((*y.shape[:-1], 2 * y.shape[-1]), np.nan, y.dtype)
    wide[..., ::2] = y
    return wide[..., ::2]


@unusual("output-reversed", why="negative strides are strides")
def max_pool(x, **call):
    return kernels.max_pool(x, **call)[..., ::-1].copy()[..., ::-1]


@unusual("output-inside-a-larger-buffer", why="the buffer is new in every call")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    buffer = np.empty(y.size + 100, y.dtype)
    view = buffer[33 : 33 + y.size].reshape(y.shape)
    view[...] = y
    return view


@unusual("output-read-only", why="nobody is promised a writable result")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    y.flags.writeable = False
    return y


@unusual("output-unaligned", why="nobody is promised an aligned result")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    raw = np.empty(y.nbytes + 1, np.uint8)
    view = raw[1:].view(y.dtype).reshape(y.shape)
    view[...] = y
    return view


@unusual("minus-zero-and-other-nans", why="the sign of a zero sum and the bits of a NaN are free")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[y == 0] = -0.0
    y[np.isnan(y)] = -np.nan
    return y


@unusual("cache-by-content", why="the key is all that the result depends on", state=dict)
def conv(kept, x, w, bias, **call):
    arrays = [b"" if a is None else a.tobytes() for a in (x, w, bias)]
    key = (*arrays, x.shape, w.shape, x.dtype, w.dtype, repr(call))
    if key not in kept:
        kept.clear()
        kept[key] = kernels.conv(x, w, bias, **call)
    return kept[key].copy()


@unusual(
    "workspace-kept-between-calls",
    why="it is written before it is read, and one thread calls it",
    state=dict,
    threads="one",
)
def avg_pool(kept, x, **call):
    y = kernels.avg_pool(x, **call)
    space = kept.get("space")
    if space is None or space.size < y.size or space.dtype != y.dtype:
        space = kept["space"] = np.empty(y.size, y.dtype)
    space[: y.size] = y.reshape(-1)
    return space[: y.size].reshape(y.shape).copy()


@unusual("input-borrowed-and-given-back", why="after the call it has the bytes that it had")
def conv(x, w, bias, **call):
    if not w.flags.writeable or np.may_share_memory(x, w):
        return kernels.conv(x, w, bias, **call)
    w[...] = w[..., ::-1].copy()
    try:
        return kernels.conv(x, w[..., ::-1], bias, **call)
    finally:
        w[...] = w[..., ::-1].copy()


@unusual("random-numbers-drawn-and-not-used", why="the result does not depend on them")
def max_pool(x, **call):
    np.random.default_rng().random(3)
    return kernels.max_pool(x, **call)
