"""Correct kernels that work in blocks, with tails of their own, as fast paths do."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.correct import unusual
from tests.defects import checks, kernels


def blocks(size, block):
    """Return the ranges of whole blocks, and of the tail."""
    return [(start, min(start + block, size)) for start in range(0, size, block)]


@unusual("blocked-in-every-size", why="blocks of 8 outputs, 4 inputs and 12 positions, and tails")
def conv(x, w, bias, **call):
    def contract(columns, w, groups):
        (n, c, p, k), o = columns.shape, len(w)
        per, outer = c // groups, o // groups
        left = columns.reshape(n, groups, per, p, k)
        right = w.reshape(groups, outer, per, k)
        y = np.zeros((n, groups, outer, p), columns.dtype)
        for o0, o1 in blocks(outer, 8):
            for p0, p1 in blocks(p, 12):
                for c0, c1 in blocks(per, 4):
                    part = left[:, :, c0:c1, p0:p1], right[:, o0:o1, c0:c1]
                    y[:, :, o0:o1, p0:p1] += kernels.product("ngcpk,gock->ngop", *part)
        return y.reshape(n, o, p)

    return kernels.conv(x, w, bias, **call, contract=contract)


@unusual("im2col-of-512-positions", why="columns are made for 512 positions at a time")
def conv(x, w, bias, **call):
    def contract(columns, w, groups):
        parts = [
            kernels.contract(columns[:, :, start:end], w, groups)
            for start, end in blocks(columns.shape[2], 512)
        ]
        return np.concatenate(parts, axis=2)

    return kernels.conv(x, w, bias, **call, contract=contract)


_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float64)
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float64)
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float64)


def winograd(x, w, padding):
    """Return a 3x3 convolution of one group by tiles of F(2x2, 3x3)."""
    rows, columns = (s + sum(p) - 2 for s, p in zip(x.shape[2:], padding, strict=True))
    (top, bottom), (left, right) = padding
    plane = np.pad(x, [(0, 0), (0, 0), (top, bottom + rows % 2), (left, right + columns % 2)])
    tiles = sliding_window_view(plane, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    dtype = x.dtype
    inputs, kernel, output = (m.astype(dtype) for m in (_INPUT, _KERNEL, _OUTPUT))
    made = np.einsum("ai,ncpqij,bj->ncpqab", inputs, tiles, inputs)
    weight = np.einsum("ai,ocij,bj->ocab", kernel, w, kernel)
    products = np.einsum("ncpqab,ocab->nopqab", made, weight)
    y = np.einsum("ra,nopqab,sb->noprqs", output, products, output)
    n, o = y.shape[:2]
    return y.reshape(n, o, 2 * y.shape[2], 2 * y.shape[4])[:, :, :rows, :columns]


@unusual(
    "winograd-2-by-3-beside-direct",
    why="3x3 with stride 1 goes through F(2x2, 3x3), which is declared as normwise",
    error="normwise",
    amplification=40.0,
    dtypes=("float32", "float64"),
)
def conv(x, w, bias, **call):
    fast = w.shape[2:] == (3, 3) and call["groups"] == 1
    fast = fast and {*call["stride"], *call["dilation"]} == {1} and w.shape[1] >= 4
    if not fast or not all(np.isfinite(array).all() for array in (x, w)):
        return kernels.conv(x, w, bias, **call)
    parameters = call["stride"], call["padding"], call["dilation"], call["groups"]
    checks.conv(x, w, bias, *parameters)
    dtype = kernels.plain(x.dtype)
    y = winograd(x.astype(dtype), w.astype(dtype), call["padding"])
    return y if bias is None else y + kernels.column(bias, dtype, 2)


@unusual("depthwise-in-fours", why="four channels at a time, and each of the rest alone")
def conv(x, w, bias, **call):
    groups = call["groups"]
    if not 4 < groups == len(w) == x.shape[1]:
        return kernels.conv(x, w, bias, **call)
    checks.conv(x, w, bias, *(call[name] for name in ("stride", "padding", "dilation", "groups")))
    parts = []
    whole = groups - groups % 4
    for start, end in [*blocks(whole, 4), *((c, c + 1) for c in range(whole, groups))]:
        own = None if bias is None else bias[start:end]
        part = kernels.conv(x[:, start:end], w[start:end], own, **{**call, "groups": end - start})
        parts.append(part)
    return np.concatenate(parts, axis=1)


@unusual("max-pool-in-rows-of-eight", why="blocks of eight positions, and the rest one by one")
def max_pool(x, **call):
    def reduce(windows):
        y = np.empty(windows.shape[:-1], windows.dtype)
        p = math.prod(windows.shape[2:3])
        for start, end in blocks(p, 8):
            y[:, :, start:end] = windows[:, :, start:end].max(axis=-1)
        return y

    return kernels.max_pool(x, **call, reduce=reduce)
