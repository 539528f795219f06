"""A declaration that is broken is named; an error that no format explains is a wrong result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.judging import Verdict, judge
from tests.defects import kernels, unregistered
from tests.defects.precision import BFLOAT16, summed_in, through

Array = np.ndarray[Any, Any]

FLOAT32 = "conv2d:float32:x=2,5,6,5:w=4,5,3,2:normal@3"
FLOAT16 = "conv2d:float16:x=2,5,6,5:w=4,5,3,2:normal@3"


def judged(function: Callable[..., Array], text: str = FLOAT32, **declared: Any) -> Verdict:
    return judge(unregistered("mine", {"conv": function}, declared), text)


def multiplied_in(dtype: Any) -> Callable[..., Array]:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(through(dtype, x), through(dtype, w), bias, **call)

    return conv


def added_in(dtype: Any) -> Callable[..., Array]:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x, w, bias, **call, contract=summed_in(dtype))

    return conv


def test_a_multiplier_smaller_than_declared_is_named() -> None:
    found = judged(multiplied_in(BFLOAT16), multiply="tf32")

    assert "DECLARE-3" == found.requirement
    assert found.message.startswith('multiply="tf32" is declared, multiply="bfloat16" attained: ')


def test_an_accumulator_smaller_than_declared_is_named() -> None:
    found = judged(added_in(np.float16), FLOAT16, dtypes=("float16",), accumulate="float32")

    assert "DECLARE-2" == found.requirement
    assert 'accumulate="float16" attained' in found.message


def test_an_amplification_that_is_too_small_is_named() -> None:
    found = judged(multiplied_in(BFLOAT16), error="normwise", amplification=2.0)

    assert "DECLARE-4" == found.requirement
    assert found.message.startswith("amplification=2 is declared, about ")


def test_where_nothing_is_declared_the_result_is_wrong() -> None:
    assert "RESULT-1" == judged(multiplied_in(BFLOAT16)).requirement
    assert "RESULT-1" == judged(added_in(np.float16)).requirement


def test_a_missing_product_is_a_wrong_result_whatever_is_declared() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        w = w.copy()
        w[:, -1, -1, -1] = 0
        return kernels.conv(x, w, bias, **call)

    assert "RESULT-1" == judged(conv, multiply="tf32").requirement
    assert "RESULT-1" == judged(conv, accumulate="float64").requirement
    assert "RESULT-1" == judged(conv, error="normwise", amplification=8.0).requirement


def test_what_keeps_its_declaration_conforms() -> None:
    assert "conforms" == judged(multiplied_in(BFLOAT16), multiply="bfloat16").status
    assert "conforms" == judged(kernels.conv, error="normwise", amplification=2.0).status


def test_a_result_that_is_not_a_number_is_a_wrong_result() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x, w, bias, **call) * np.float32(np.nan)

    assert "RESULT-1" == judged(conv, multiply="tf32").requirement
