"""References for NaN and infinities, against loops over Python floats, which are IEEE 754 too."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.judging import Prepared
from conformance.operators import OPERATORS
from conformance.operators.base import Reference
from conformance.operators.nonfinite import reference
from tests.verdicts import of_output

Array = np.ndarray[Any, Any]

NAN, INF = math.nan, math.inf


def made(text: str, *inputs: Any) -> Reference:
    """Return the reference of a case with inputs of one's own."""
    case = Case.parse(text)
    return reference(OPERATORS[case.operator], case, inputs)


def line(*numbers: float) -> Array:
    """Return an array (1, 1, L), a signal or a kernel."""
    return np.array(numbers, np.float64).reshape(1, 1, -1)


def read(x: Array, index: tuple[int, ...], place: tuple[int, ...]) -> float | None:
    """Return an element of x, None where it is padding."""
    inside = all(0 <= p < size for p, size in zip(place, x.shape[2:], strict=True))
    return float(x[(*index, *place)]) if inside else None


def windows(case: Case, position: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the kernel and the input position of each tap of an output position."""
    found = []
    for k in itertools.product(*map(range, case.window)):
        axes = zip(position, k, case.stride, case.dilation, case.padding, strict=True)
        found.append((k, tuple(p * s + i * d - before for p, i, s, d, (before, _) in axes)))
    return found


def looped_conv(case: Case, x: Array, w: Array, bias: Array | None) -> tuple[Array, Array]:
    """Return the result of conv by loops, and where padding meets a weight that is not finite."""
    shape = OPERATORS["conv"].output_shape(case)
    result, met = np.empty(shape), np.zeros(shape, bool)
    inner, outer = w.shape[1], w.shape[0] // case.groups
    for n, o, *p in np.ndindex(*shape):
        total = 0.0 if bias is None else float(bias[o])
        for c, (k, place) in itertools.product(range(inner), windows(case, tuple(p))):
            number = read(x, (n, o // outer * inner + c), place)
            weight = float(w[(o, c, *k)])
            if number is None:
                met[(n, o, *p)] |= not math.isfinite(weight)
            else:
                total += number * weight
        result[(n, o, *p)] = total
    return result, met


@np.errstate(invalid="ignore")
def looped_transpose(case: Case, x: Array, w: Array, bias: Array | None) -> Array:
    """Return the result of conv_transpose by loops: each input stamps the kernel."""
    result = np.zeros(OPERATORS["conv_transpose"].output_shape(case))
    if bias is not None:
        result += bias.astype(np.float64).reshape(-1, *(1,) * case.dims)
    inner, outer = w.shape[0] // case.groups, w.shape[1]
    for n, c, *i in np.ndindex(*x.shape):
        for o, (k, place) in itertools.product(range(outer), windows(case, tuple(i))):
            index = (n, c // inner * outer + o)
            if read(result, index, place) is not None:
                result[(*index, *place)] += float(x[(n, c, *i)]) * float(w[(c, o, *k)])
    return result


def looped_average(case: Case, x: Array) -> Array:
    """Return the result of avg_pool by loops, but for the divisor: sums keep NaN and infinities."""
    result = np.empty(OPERATORS["avg_pool"].output_shape(case))
    for n, c, *p in np.ndindex(*result.shape):
        taps = (read(x, (n, c), place) for _, place in windows(case, tuple(p)))
        result[(n, c, *p)] = sum((tap for tap in taps if tap is not None), 0.0)
    return result


def kinds(values: Array) -> list[str]:
    """Return nan, inf, -inf or finite for each element."""
    return [str(v) if not math.isfinite(v) else "finite" for v in values.reshape(-1).tolist()]


def specified(kept: list[str], error: Any, shape: tuple[int, ...]) -> list[str]:
    """Return ``kept`` where the reference specifies anything, else "any"."""
    errors = np.broadcast_to(error, shape).reshape(-1)
    return ["any" if math.isinf(e) else kind for kind, e in zip(kept, errors, strict=True)]


# --- one rule each --------------------------------------------------------------------------------

TWO = "conv1d:float64:x=1,1,2:w=1,1,2:integers@0"


@pytest.mark.parametrize(
    ("x", "w", "expected"),
    [
        ((NAN, 1), (1, 1), NAN),
        ((1, 1), (NAN, 1), NAN),
        ((NAN, 1), (0, 1), NAN),
        ((INF, 1), (1, 1), INF),
        ((INF, 1), (-1, 1), -INF),
        ((-INF, 1), (-1, 1), INF),
        ((INF, -INF), (1, 1), NAN),
        ((INF, INF), (1, -1), NAN),
        ((INF, INF), (1, 1), INF),
        ((INF, 1), (0, 1), NAN),
        ((0, 1), (INF, 1), NAN),
        ((-0.0, 1), (INF, 1), NAN),
        ((INF, 1), (-INF, 1), -INF),
        ((INF, NAN), (1, 1), NAN),
        ((INF, 5e-324), (1, 5e-324), INF),
        ((5e-324, 1), (INF, 1), INF),
        ((3, 4), (1, 1), 7.0),
    ],
)
def test_a_sum_of_two_products(x: tuple[float, ...], w: tuple[float, ...], expected: float) -> None:
    exact = float(made(TWO, line(*x), line(*w), None).exact.item())

    assert str(expected) == str(exact)


@pytest.mark.parametrize(
    ("bias", "x", "expected"),
    [(NAN, 1.0, "nan"), (INF, 1.0, "inf"), (-INF, INF, "nan"), (-INF, -INF, "-inf")],
)
def test_a_bias_is_added_like_a_product(bias: float, x: float, expected: str) -> None:
    text = "conv1d:float64:x=1,1,1:w=1,1,1:bias:integers@0"

    assert [expected] == kinds(made(text, line(x), line(1.0), np.array([bias])).exact)


def test_what_no_special_value_reaches_is_as_without_them() -> None:
    text = "conv1d:float64:x=1,1,4:w=1,1,2:integers@0"

    exact = made(text, line(NAN, 1, 2, 3), line(10, 1), None).exact

    assert ["nan", "12.0", "23.0"] == [str(value) for value in exact.reshape(-1).tolist()]


def test_finite_sums_keep_their_bound_beside_special_ones() -> None:
    text = "conv1d:float32:x=1,1,4:w=1,1,2:normal@0"
    found = made(text, line(NAN, 1, 2, 3), line(10, 1), None)

    assert found.magnitude is not None
    assert [0, 12, 23] == np.round(found.magnitude, 9).reshape(-1).tolist()


@pytest.mark.parametrize("weight", [NAN, INF, -INF])
def test_padding_beside_a_weight_that_is_not_finite_is_unspecified(weight: float) -> None:
    text = "conv1d:float64:x=1,1,3:w=1,1,2:padding=1/0:integers@0"
    found = made(text, line(1, 2, 3), line(weight, 1), None)

    assert [True, False, False] == np.isinf(np.ravel(found.error)).tolist()


def test_padding_beside_a_finite_weight_is_specified() -> None:
    text = "conv1d:float64:x=1,1,3:w=1,1,2:padding=1/0:integers@0"
    found = made(text, line(NAN, INF, 3), line(1, 1), None)

    assert not np.isinf(found.error).any()
    assert ["nan", "nan", "inf"] == kinds(found.exact)


@pytest.mark.parametrize("output", [NAN, INF, -INF, 0.0, 1e300])
def test_any_output_conforms_where_nothing_is_specified(output: float) -> None:
    text = "conv1d:float64:x=1,1,2:w=1,1,2:padding=1/0:inf@0"
    inputs = (line(1, 2), line(INF, 1), None)
    prepared = Prepared(Case.parse(text), inputs, made(text, *inputs))

    assert "conforms" == of_output(prepared, line(output, INF)).status


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ((NAN, 1), "nan"),
        ((INF, 1), "inf"),
        ((-INF, 1), "-inf"),
        ((INF, -INF), "nan"),
        ((INF, NAN), "nan"),
        ((1, 2), "finite"),
    ],
)
def test_a_mean_of_two(x: tuple[float, ...], expected: str) -> None:
    assert [expected] == kinds(made("avg_pool1d:float64:x=1,1,2:kernel=2:nan@0", line(*x)).exact)


@pytest.mark.parametrize(
    ("x", "expected"), [((NAN, INF), "nan"), ((INF, 1), "inf"), ((-INF, -INF), "-inf")]
)
def test_a_maximum_of_two(x: tuple[float, ...], expected: str) -> None:
    assert [expected] == kinds(made("max_pool1d:float64:x=1,1,2:kernel=2:nan@0", line(*x)).exact)


# --- against loops --------------------------------------------------------------------------------

CONV = (
    "conv1d:float64:x=2,3,7:w=4,3,3:bias:stride=2:padding=2/1:dilation=2:{data}",
    "conv2d:float32:x=2,4,4,3:w=6,2,2,2:padding=1/0,0/2:groups=2:{data}",
    "conv2d:float16:x=1,3,5,4:w=3,1,3,2:stride=2,1:dilation=1,2:padding=0/0,1/1:groups=3:{data}",
    "conv3d:float32:x=1,2,3,2,3:w=2,2,2,1,2:bias:padding=1/1,0/0,0/1:{data}",
)
TRANSPOSE = (
    "conv_transpose1d:float64:x=2,3,4:w=3,2,3:bias:stride=2:padding=1/0:output_padding=1:{data}",
    "conv_transpose2d:float32:x=1,4,3,2:w=4,3,2,2:dilation=2,1:stride=1,3:groups=2:{data}",
)
AVERAGE = (
    "avg_pool1d:float64:x=2,3,7:kernel=3:stride=2:padding=1/1:exclude_pad:{data}",
    "avg_pool2d:float32:x=2,3,5,4:kernel=2,3:stride=2,2:padding=1/0,0/1:ceil_mode:{data}",
)
DATA = [f"{recipe}@{seed}" for recipe in ("nan", "inf") for seed in range(10)]


@pytest.mark.parametrize("text", CONV)
@pytest.mark.parametrize("data", DATA)
def test_conv_is_as_by_loops(text: str, data: str) -> None:
    case = Case.parse(text.format(data=data))
    inputs = make_inputs(case)
    found = reference(OPERATORS["conv"], case, inputs)
    looped, met = looped_conv(case, *inputs)

    assert met.tolist() == np.isinf(np.broadcast_to(found.error, met.shape)).tolist()
    expected = specified(kinds(looped), found.error, met.shape)
    assert expected == specified(kinds(found.exact), found.error, met.shape)


@pytest.mark.parametrize("text", TRANSPOSE)
@pytest.mark.parametrize("data", DATA)
def test_conv_transpose_is_as_by_loops(text: str, data: str) -> None:
    case = Case.parse(text.format(data=data))
    inputs = make_inputs(case)

    found = reference(OPERATORS["conv_transpose"], case, inputs)

    assert kinds(looped_transpose(case, *inputs)) == kinds(found.exact)


@pytest.mark.parametrize("text", AVERAGE)
@pytest.mark.parametrize("data", DATA)
def test_avg_pool_is_as_by_loops(text: str, data: str) -> None:
    case = Case.parse(text.format(data=data))
    inputs = make_inputs(case)

    found = reference(OPERATORS["avg_pool"], case, inputs)

    assert kinds(looped_average(case, *inputs)) == kinds(found.exact)


NUMBERS = st.sampled_from((0.0, -0.0, 1.0, -2.0, INF, -INF, NAN))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NUMBERS, min_size=6, max_size=6),
    st.lists(NUMBERS, min_size=4, max_size=4),
    st.one_of(st.none(), NUMBERS),
    st.sampled_from(((0, 0), (1, 0), (1, 2))),
)
def test_conv_of_any_special_values_is_as_by_loops(
    x: list[float], w: list[float], bias: float | None, padding: tuple[int, int]
) -> None:
    case = Case(
        operator="conv", x=(1, 2, 3), w=(1, 2, 2), bias=bias is not None, padding=(padding,),
        dtype="float64",
    )  # fmt: skip
    inputs = (
        np.array(x).reshape(1, 2, 3),
        np.array(w).reshape(1, 2, 2),
        None if bias is None else np.array([bias]),
    )
    found = reference(OPERATORS["conv"], case, inputs)
    looped, met = looped_conv(case, *inputs)

    met &= ~np.isnan(looped)  # NaN it is, whatever padding does
    expected = ["any" if m else str(v + 0.0) for m, v in zip(met.flat, looped.flat, strict=True)]
    assert expected == [
        "any" if math.isinf(e) else str(v + 0.0)
        for e, v in zip(np.broadcast_to(found.error, met.shape).flat, found.exact.flat, strict=True)
    ]
