"""Other orders of summation, compensated sums, and other accumulators."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.correct import unusual
from tests.defects import kernels


def adding(add):
    """Return a contraction that hands ``add`` the products of each output: (..., P, terms)."""

    def contract(columns, w, groups):
        n, c, p, k = columns.shape
        o = len(w)
        left = columns.reshape(n, groups, 1, c // groups, p, k)
        right = w.reshape(1, groups, o // groups, c // groups, 1, k)
        products = np.moveaxis(left * right, 3, 4)  # (N, G, O/G, P, C/G, K)
        return add(products.reshape(n, o, p, c // groups * k))

    return contract


def in_sequence(terms):
    """Add up along the last axis, one term after the other."""
    total = np.zeros(terms.shape[:-1], terms.dtype)
    for k in range(terms.shape[-1]):
        total = total + terms[..., k]
    return total


def _reversed(terms):
    return in_sequence(terms[..., ::-1])


def _shuffled(terms):
    order = np.random.default_rng(20240229).permutation(terms.shape[-1])  # the same in every call
    return in_sequence(terms[..., order])


def _ascending(terms):
    order = np.argsort(np.abs(terms), axis=-1, kind="stable")
    return in_sequence(np.take_along_axis(terms, order, axis=-1))


def _pairwise(terms):
    while terms.shape[-1] > 1:
        even = terms[..., 0::2]
        odd = terms[..., 1::2]
        even = even.copy()
        even[..., : odd.shape[-1]] += odd
        terms = even
    return terms[..., 0]


def _kahan(terms):
    total = np.zeros(terms.shape[:-1], terms.dtype)
    lost = np.zeros_like(total)
    for k in range(terms.shape[-1]):
        term = terms[..., k] - lost
        new = total + term
        lost = np.where(np.isfinite(new), (new - total) - term, 0).astype(terms.dtype)
        total = new
    return total


def _neumaier(terms):
    total = np.zeros(terms.shape[:-1], terms.dtype)
    lost = np.zeros_like(total)
    for k in range(terms.shape[-1]):
        term = terms[..., k]
        new = total + term
        larger = np.abs(total) >= np.abs(term)
        slip = np.where(larger, (total - new) + term, (term - new) + total)
        lost = lost + np.where(np.isfinite(new), slip, 0).astype(terms.dtype)
        total = new
    return total + lost


def _eight_accumulators(terms):
    lanes = [in_sequence(terms[..., lane::8]) for lane in range(min(8, terms.shape[-1]))]
    return in_sequence(np.stack(lanes, axis=-1))


def _blocks_of_three(terms):
    parts = [in_sequence(terms[..., k : k + 3]) for k in range(0, terms.shape[-1], 3)]
    return in_sequence(np.stack(parts, axis=-1))


def adds(name, add, why):
    """Make a conv and an avg_pool that add up with ``add``."""
    contract = adding(add)

    def conv(x, w, bias, **call):
        return kernels.conv(x, w, bias, **call, contract=contract)

    def avg_pool(x, **call):
        return kernels.avg_pool(x, **call, reduce=add)

    one = unusual(name, why=why)
    one(conv)
    one(avg_pool)


adds("adds-backwards", _reversed, "the bound holds for every order")
adds("adds-in-a-fixed-random-order", _shuffled, "a random order that stays the same repeats")
adds("adds-small-terms-first", _ascending, "an order may depend on the data")
adds("adds-in-pairs", _pairwise, "a tree is an order of summation, too")
adds("adds-with-kahan", _kahan, "compensation makes the error smaller")
adds("adds-with-neumaier", _neumaier, "compensation makes the error smaller")
adds("adds-in-eight-lanes", _eight_accumulators, "a vector has an accumulator a lane")
adds("adds-in-blocks-of-three", _blocks_of_three, "blocks are an order of summation")


float64_inside = unusual("float64-inside", why="more precision than asked for is welcome")


@float64_inside
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.float64)


@float64_inside
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, wide=np.float64)


@float64_inside
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, wide=np.float64)


longdouble_inside = unusual("longdouble-inside", why="float64 data in a wider accumulator")


@longdouble_inside
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.longdouble)


@longdouble_inside
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, wide=np.longdouble)


def _fsum(terms):
    flat = terms.reshape(-1, terms.shape[-1])
    sums = [math.fsum(row) if np.isfinite(row).all() else row.sum() for row in flat]
    return np.array(sums, terms.dtype).reshape(terms.shape[:-1])


def _small(case):
    return case.x[0] * math.prod(case.x[1:]) < 500 or "more than 500 input elements"


@unusual("sums-exactly", why="math.fsum rounds once", dtypes=("float32",), supports=_small)
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.float64, contract=adding(_fsum))


@unusual("fused-multiply-add", why="one rounding a term instead of two", dtypes=("float32",))
def conv(x, w, bias, **call):
    """Emulate float32 fma by float64, which holds the product, and round after each addition."""

    def contract(columns, weight, groups):
        def add(products):
            total = np.zeros(products.shape[:-1], np.float32)
            for k in range(products.shape[-1]):
                total = (total + products[..., k]).astype(np.float32)
            return total

        return adding(add)(columns.astype(np.float64), weight.astype(np.float64), groups)

    return kernels.conv(x, w, bias, **call, contract=contract)


half = unusual(
    "float32-accumulator-for-half-types",
    why="that is the default",
    dtypes=("float16", "bfloat16"),
)


@half
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call)


@half
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call)


@half
def max_pool(x, **call):
    return kernels.max_pool(x, **call)


@half
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call)
