"""Sums and formats that come near to what is judged over whole results, and are right."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.correct import unusual
from tests.correct.summation import adding, in_sequence
from tests.defects import checks, gradient_kernels, kernels
from tests.defects.by_size import adding as rounding_each
from tests.defects.by_size import towards


def _split(terms):
    slices = np.array_split(terms, 4, axis=-1)
    return in_sequence(np.stack([part.sum(axis=-1) for part in slices], axis=-1))


@unusual("splits-sums-in-four", why="slices of a sum, added in the end, are an order")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=adding(_split))


@unusual("splits-the-batch-in-the-weight-gradient", why="partial sums of images are an order")
def conv_weight_grad(grad, x, weight_shape, **call):
    half = len(x) // 2
    if not half:
        return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)
    parts = [slice(None, half), slice(half, None)]
    first, second = (
        gradient_kernels.conv_weight_grad(grad[part], x[part], weight_shape, **call)
        for part in parts
    )
    return first + second


def _pairs_of_blocks(terms):
    """Add blocks of 16 in sequence, and these in pairs."""
    sums = np.stack(
        [in_sequence(terms[..., k : k + 16]) for k in range(0, terms.shape[-1], 16)], axis=-1
    )
    while sums.shape[-1] > 1:
        if sums.shape[-1] % 2:
            sums = np.concatenate((sums, np.zeros_like(sums[..., :1])), axis=-1)
        sums = sums[..., ::2] + sums[..., 1::2]
    return sums[..., 0]


@unusual("adds-blocks-in-pairs", why="a tree over blocks is an order of summation")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=adding(_pairs_of_blocks))


def _negative_first(terms):
    return in_sequence(np.sort(terms, axis=-1))


@unusual("adds-negative-products-first", why="the order may depend on the values")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=adding(_negative_first))


def _largest_first(terms):
    order = np.argsort(-np.abs(terms), axis=-1, kind="stable")
    return in_sequence(np.take_along_axis(terms, order, axis=-1))


@unusual("adds-large-products-first", why="the worst order is one")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=adding(_largest_first))


@unusual(
    "halves-in-blocks-of-float32",
    why="sums of halves in float32, block by block, are what is expected",
    dtypes=("float16", "bfloat16"),
)
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=adding(_pairs_of_blocks))


@unusual(
    "truncates-as-declared",
    why="rounding says so",
    rounding="toward_zero",
    dtypes=("float32",),
)
def conv(x, w, bias, **call):
    """Truncate each sum, as the adders of some matrix units do; the bias is added to nearest."""
    with np.errstate(all="ignore"):
        return kernels.conv(x, w, bias, **call, contract=rounding_each(towards(0)))


@unusual(
    "truncates-blocks-of-eight-as-declared",
    why="rounding says so",
    rounding="toward_zero",
    dtypes=("float32",),
)
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        return kernels.conv(x, w, bias, **call, contract=rounding_each(towards(0), 8))


_F2 = (
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    [[1, 1, 1, 0], [0, 1, -1, -1]],
)
_F4 = (
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)
"""(B', G, A') of Winograd's algorithm: Lavin and Gray, *Fast algorithms for convolutional neural
networks*, 2016, sections 4.1 and 4.3."""


def _winograd(x, w, bias, matrices, padding, groups):
    """Compute square tiles of a 3x3 convolution at stride 1 from their patches."""
    inner, kernel, outer = (np.array(matrix, x.dtype) for matrix in matrices)
    m, n = len(outer), len(x)
    out = [size + sum(pair) - 2 for size, pair in zip(x.shape[2:], padding, strict=True)]
    tiles = [-(-size // m) for size in out]
    beyond = [m * t - size for t, size in zip(tiles, out, strict=True)]
    ends = [(a, b + more) for (a, b), more in zip(padding, beyond, strict=True)]
    planes = np.pad(x, ((0, 0), (0, 0), *ends))
    patches = np.lib.stride_tricks.sliding_window_view(planes, (m + 2, m + 2), axis=(2, 3))
    patches = patches[:, :, ::m, ::m].reshape(n, groups, w.shape[1], *tiles, m + 2, m + 2)
    v = np.einsum("ai,ngcthij,bj->ngcthab", inner, patches, inner)
    filters = w.reshape(groups, len(w) // groups, -1, 3, 3)
    u = np.einsum("ai,gocij,bj->gocab", kernel, filters, kernel)
    summed = np.einsum("gocab,ngcthab->ngothab", u, v)
    y = np.einsum("ia,ngothab,jb->ngotihj", outer, summed, outer)
    y = y.reshape(n, len(w), m * tiles[0], m * tiles[1])[:, :, : out[0], : out[1]]
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _by_winograd(case):
    square = case.dims == 2 and case.window == (3, 3)
    return (square and {*case.stride, *case.dilation} == {1}) or "no 3x3 kernel at stride 1"


def winograd(name, matrices, amplification):
    """Make a conv by Winograd's algorithm that declares its tile."""
    one = unusual(
        name,
        why="its error is that of what a tile reads",
        error="normwise",
        tile=(len(matrices[2]),) * 2,
        amplification=amplification,
        supports=_by_winograd,
    )

    @one
    def conv(x, w, bias, *, stride, padding, dilation, groups):
        checks.conv(x, w, bias, stride, padding, dilation, groups)
        x, w, bias = (a if a is None else a.astype(kernels.plain(a.dtype)) for a in (x, w, bias))
        with np.errstate(all="ignore"):
            return _winograd(x, w, bias, matrices, padding, groups)


def amplified(matrices, roundings):
    """Return the amplification of a tile: the norms of the transforms, and their roundings.

    An output is a sum over coefficients of |a| times what the two transforms make of the patch and
    of the kernel, at most the norms of their rows; in two dimensions it is squared. Sums of C
    channels and ``roundings`` more are bounded by those of 9*C products.
    """
    inner, kernel, outer = (np.array(matrix, float) for matrix in matrices)
    rows = np.linalg.norm(inner, axis=1) * np.linalg.norm(kernel, axis=1)
    return math.ceil(float((np.abs(outer) @ rows).max()) ** 2 * (1 + roundings) / 9)


winograd("winograd-2x2-in-tiles", _F2, amplified(_F2, 11))
winograd("winograd-4x4-in-tiles", _F4, amplified(_F4, 27))
