"""The bound: whatever the order of summation, right results pass it, and imprecise ones do not.

Convolutions whose kernel covers the whole input are nothing but dot products, many at once: here
they are computed in every way that a kernel may choose.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from emulation import (
    ACCUMULATORS,
    DTYPES,
    ORDERS,
    Array,
    Order,
    Round,
    forward,
    judged,
    round_to,
    tf32,
)

from conformance.case import Case
from conformance.dtypes import FORMATS, numpy_dtype
from conformance.judging import CONFORMS, VIOLATES, Prepared
from conformance.operators import OPERATORS


def test_tf32_keeps_ten_fraction_bits_and_rounds_ties_to_even() -> None:
    step = 2.0**-10
    values = np.array([1 + step, 1 + step / 2, 1 + 1.5 * step, -(1 + 0.51 * step), 1e30])

    expected = [1 + step, 1.0, 1 + 2 * step, -(1 + step), float(tf32(np.array(1e30)))]
    assert expected == tf32(values).tolist()


def dot_products(dtype: str, data: str, seed: int, bias: bool = True) -> Prepared:
    """Return 60 dot products, of 36 products each and a bias, as one case."""
    case = Case(
        operator="conv", x=(20, 4, 9), w=(3, 4, 9), bias=bias, dtype=dtype, data=data, seed=seed
    )
    return Prepared.of(case)


def factors(prepared: Prepared) -> tuple[Array, Array]:
    """Return the two factors of every product, (20, 3, 36), a bias being one more, times 1."""
    x, w, bias = prepared.inputs
    left = np.broadcast_to(x.reshape(20, 1, 36), (20, 3, 36)).astype(np.float64)
    right = np.broadcast_to(w.reshape(1, 3, 36), (20, 3, 36)).astype(np.float64)
    if bias is None:
        return left, right
    column = np.broadcast_to(bias.astype(np.float64).reshape(1, 3, 1), (20, 3, 1))
    return np.concatenate([left, column], 2), np.concatenate([right, np.ones((20, 3, 1))], 2)


def dot(prepared: Prepared, order: Order, multiply: Round, accumulate: Round) -> Array:
    """Return the dot products of factors and sums that are rounded as told."""
    left, right = factors(prepared)
    return order(accumulate(multiply(left) * multiply(right)), accumulate)


def exactly(a: Array) -> Array:
    return a


# --- right results --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("data", ["normal", "wide", "integers", "impulse"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_summation_conforms(order: str, dtype: str, data: str, seed: int) -> None:
    prepared = dot_products(dtype, data, seed, bias=seed > 0)
    accumulate = round_to(ACCUMULATORS.get(dtype, dtype))
    found = judged(prepared, dot(prepared, ORDERS[order], exactly, accumulate))

    assert (CONFORMS, "") == (found.status, found.message)


@pytest.mark.parametrize("data", ["normal", "wide", "integers"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wider_accumulator_conforms(dtype: str, data: str) -> None:
    prepared = dot_products(dtype, data, 1)
    left, right = factors(prepared)
    sums = [
        math.fsum(itertools.chain.from_iterable(_split(a, b) for a, b in zip(x, w, strict=True)))
        for x, w in zip(left.reshape(60, -1).tolist(), right.reshape(60, -1).tolist(), strict=True)
    ]

    assert judged(prepared, np.array(sums)).status == CONFORMS


def _split(a: float, b: float) -> tuple[float, float]:
    product = Fraction(a) * Fraction(b)
    high = float(product)
    return high, float(product - Fraction(high))


@pytest.mark.parametrize("data", ["normal", "wide", "integers"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_multiply_add_conforms(dtype: str, data: str) -> None:
    prepared = dot_products(dtype, data, 2)
    left, right = factors(prepared)
    fused = _fused64 if dtype == "float64" else _fused32
    total = np.zeros(left.shape[:2])
    for i in range(left.shape[2]):
        total = fused(left[..., i], right[..., i], total)

    assert judged(prepared, total).status == CONFORMS


def _fused32(a: Array, b: Array, c: Array) -> Array:
    """Round a*b + c to float32 once: the sum of float64's exact product is rounded to odd first.

    Rounding to odd, then to nearest, is rounding to nearest (Boldo, Melquiond: *Emulation of FMA
    and correctly rounded sums*, IEEE Trans. Computers 57, 2008).
    """
    product = a * b
    total = product + c
    back = total - product
    left = (product - (total - back)) + (c - back)
    even = total.view(np.int64) % 2 == 0
    nudged = np.nextafter(total, np.copysign(np.inf, left))
    return np.where(even & (left != 0), nudged, total).astype(np.float32).astype(np.float64)


def _fused64(a: Array, b: Array, c: Array) -> Array:
    triples = zip(a.ravel().tolist(), b.ravel().tolist(), c.ravel().tolist(), strict=True)
    fused = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in triples]
    return np.array(fused).reshape(a.shape)


def test_the_emulated_fused_multiply_add_rounds_once() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (rng.standard_normal(2000).astype(np.float32).astype(np.float64) for _ in range(3))
    c = np.where(rng.random(2000) < 0.5, np.round(c * 8) * 2.0**20, c)  # ties, and near ties
    step = np.spacing(np.abs(_fused32(a, b, c)).astype(np.float32)).astype(np.float64)
    exact = [
        Fraction(x) * Fraction(y) + Fraction(z)
        for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    ]

    off = [abs(e - Fraction(g)) for e, g in zip(exact, _fused32(a, b, c).tolist(), strict=True)]
    assert all(2 * o <= Fraction(s) for o, s in zip(off, step.tolist(), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_that_underflow_conform(dtype: str) -> None:
    exponent = {"float32": -74, "float64": -537}[dtype]
    case = Case(operator="conv", x=(50, 4, 9), w=(1, 4, 9), dtype=dtype, data="normal")
    rng = np.random.default_rng(5)
    x, w = (np.ldexp(rng.standard_normal(s), exponent).astype(dtype) for s in (case.x, case.w))
    prepared = Prepared(case, (x, w, None), OPERATORS["conv"].reference(case, (x, w, None)))
    products = x.reshape(50, 36) * w.reshape(36)  # underflows gradually, in the dtype itself
    total = products[:, 0]
    for i in range(1, 36):
        total = total + products[:, i]

    assert judged(prepared, total).status == CONFORMS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_is_nearly_reached(dtype: str) -> None:
    """1 + u + u + ... stays 1 when it is summed forward: each addition loses as much as it may."""
    case = Case(operator="conv", x=(1, 100, 1), w=(1, 100, 1), dtype=dtype, data="normal")
    x = np.full(case.x, FORMATS[dtype].unit_roundoff, dtype)
    x[0, 0] = 1
    w = np.ones((1, 100, 1), dtype)
    prepared = Prepared(case, (x, w, None), OPERATORS["conv"].reference(case, (x, w, None)))
    found = judged(prepared, forward(x.reshape(100).astype(np.float64), round_to(dtype)))

    assert found.status == CONFORMS
    assert 0.95 < found.worst <= 1


# --- what is not precise enough -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("data", ["normal", "wide"])
@pytest.mark.parametrize("order", ["forward", "lanes", "compensated"])
@pytest.mark.parametrize(
    ("dtype", "accumulator"),
    [
        ("float32", "float16"),
        ("float32", "bfloat16"),
        ("float32", "tf32"),
        ("float64", "float32"),
        ("float64", "float16"),
    ],
)
def test_a_narrower_accumulator_violates(
    dtype: str, accumulator: str, order: str, data: str, seed: int
) -> None:
    prepared = dot_products(dtype, data, seed)
    narrow = round_to(accumulator)
    with np.errstate(over="ignore", invalid="ignore"):
        found = judged(prepared, dot(prepared, ORDERS[order], exactly, narrow))

    assert (VIOLATES, "RESULT-1") == (found.status, found.requirement)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("data", ["normal", "wide"])
@pytest.mark.parametrize("multiplier", ["float16", "bfloat16", "tf32"])
def test_a_narrower_multiplier_violates(multiplier: str, data: str, seed: int) -> None:
    prepared = dot_products("float32", data, seed)
    output = dot(prepared, forward, round_to(multiplier), round_to("float32"))

    assert judged(prepared, output).requirement == "RESULT-1"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_sums_of_half_precision_data_violate(dtype: str) -> None:
    """The expected accumulator of float16 and bfloat16 is float32."""
    prepared = dot_products(dtype, "normal", 0)

    assert judged(prepared, dot(prepared, forward, exactly, round_to(dtype))).status == VIOLATES


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("data", ["integers", "normal"])
@pytest.mark.parametrize(("dtype", "narrow"), [("float32", "bfloat16"), ("float64", "bfloat16")])
def test_rounding_the_result_to_half_precision_violates(
    dtype: str, narrow: str, data: str, seed: int
) -> None:
    prepared = dot_products(dtype, data, seed)

    assert VIOLATES == judged(prepared, round_to(narrow)(prepared.reference.exact)).status


# --- exact data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 17, 36])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_dropped_product_violates_on_integers(dtype: str, place: int) -> None:
    prepared = dot_products(dtype, "integers", 4)
    left, right = factors(prepared)
    kept = np.delete(left * right, place, axis=2).sum(axis=2)
    found = judged(prepared, kept)

    assert "RESULT-2" == found.requirement
    assert found.message.startswith("60 of 60 elements differ")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropping_the_smallest_product_violates_on_integers(dtype: str) -> None:
    prepared = dot_products(dtype, "integers", 5)
    left, right = factors(prepared)
    products = left * right
    smallest = np.argmin(np.abs(products), axis=2)[..., None]
    kept = products.sum(axis=2) - np.take_along_axis(products, smallest, 2)[..., 0]

    assert judged(prepared, kept).requirement == "RESULT-2"


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_unit_in_the_last_place_violates_on_integers(dtype: str) -> None:
    prepared = dot_products(dtype, "integers", 6)
    output = prepared.reference.exact.astype(numpy_dtype(dtype))
    output.ravel()[31] = np.nextafter(output.ravel()[31], numpy_dtype(dtype).type(np.inf))
    found = judged(prepared, output)

    assert "RESULT-2" == found.requirement
    assert found.message.startswith("1 of 60 elements differ; worst at [10, 1, 0]")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_doubled_product_violates_on_an_impulse(dtype: str) -> None:
    prepared = dot_products(dtype, "impulse", 0)
    left, right = factors(prepared)
    products = left * right
    largest = np.take_along_axis(products, np.argmax(np.abs(products), 2)[..., None], 2)[..., 0]

    assert judged(prepared, products.sum(axis=2) + largest).requirement == "RESULT-2"
