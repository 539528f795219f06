"""Gradients of NaN and infinities, against loops over Python floats, which are IEEE 754 too."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.judging import Prepared, judge
from conformance.operators import GRADIENTS
from tests.defects import unregistered
from tests.defects.witness import CORRECT

Array = np.ndarray[Any, Any]

CASES = (
    "conv_input_grad2d:float32:x=2,4,4,3:w=6,2,2,3:stride=2,1:padding=1/0,1/1:groups=2",
    "conv_input_grad1d:float64:x=2,2,7:w=3,2,2:stride=2:dilation=2",
    "conv_weight_grad2d:float32:x=2,4,4,3:w=6,2,2,3:stride=2,1:padding=1/0,1/1:groups=2",
    "conv_weight_grad1d:float64:x=3,2,7:w=3,2,2:stride=2:dilation=2",
    "conv_bias_grad2d:float32:x=2,3,3,2",
    "max_pool_grad2d:float32:x=2,3,5,4:kernel=2,3:stride=2,1:padding=1/0,0/1",
    "avg_pool_grad2d:float32:x=2,3,5,4:kernel=2,3:stride=2,1:padding=1/0,0/1:exclude_pad",
)


def looped(case: Case, inputs: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return the gradient by loops over all products, and where grad meets padding."""
    operator = GRADIENTS[case.operator]
    result = np.zeros(operator.output_shape(case))
    met = np.zeros(result.shape, bool)
    grad = inputs[0].astype(np.float64)
    if case.operator == "conv_bias_grad":
        for n, c, *p in np.ndindex(*grad.shape):
            result[c] += grad[(n, c, *p)]
        return result, met
    for n, o, *p in np.ndindex(*grad.shape):
        g = float(grad[(n, o, *p)])
        taps = []
        for k in itertools.product(*map(range, case.window)):
            axes = zip(p, k, case.stride, case.dilation, case.padding, strict=True)
            place = tuple(i * s + j * d - before for i, j, s, d, (before, _) in axes)
            inside = all(0 <= q < size for q, size in zip(place, case.x[2:], strict=True))
            taps.append((k, place, inside))
        real = [(k, place) for k, place, inside in taps if inside]
        if case.operator == "avg_pool_grad":
            for _, place in real:
                result[(n, o, *place)] += g / len(real)
        elif case.operator == "max_pool_grad":
            x = inputs[1]
            best = max(real, key=lambda tap: x[(n, o, *tap[1])], default=None)
            if best is not None:  # max gives the first of equal ones
                result[(n, o, *best[1])] += g
        else:
            assert case.w is not None
            outer, inner = case.w[0] // case.groups, case.w[1]
            for c, (k, place, inside) in itertools.product(range(inner), taps):
                channel = o // outer * inner + c
                if case.operator == "conv_input_grad" and inside:
                    result[(n, channel, *place)] += g * float(inputs[1][(o, c, *k)])
                elif case.operator == "conv_weight_grad" and inside:
                    result[(o, c, *k)] += g * float(inputs[1][(n, channel, *place)])
                elif case.operator == "conv_weight_grad":
                    met[(o, c, *k)] |= not math.isfinite(g)
    return result, met


@np.errstate(invalid="ignore")
@pytest.mark.parametrize("data", ["nan", "inf"])
@pytest.mark.parametrize("text", CASES)
def test_gradients_are_those_of_ieee_arithmetic(text: str, data: str) -> None:
    for seed in range(12):
        case = Case.parse(f"{text}:{data}@{seed}")
        inputs = make_inputs(case)
        reference = Prepared.of(case).reference
        expected, met = looped(case, inputs)

        unspecified = np.isinf(np.broadcast_to(reference.error, expected.shape))
        met &= ~np.isnan(expected)
        assert met.tolist() == unspecified.tolist()
        exact = np.where(met, 0, reference.exact)
        np.testing.assert_allclose(exact, np.where(met, 0, expected), rtol=1e-12)


@pytest.mark.parametrize("data", ["nan", "inf", "zeros", "subnormal", "huge"])
@pytest.mark.parametrize("text", CASES)
def test_a_correct_gradient_conforms_on_special_values(text: str, data: str) -> None:
    for seed in range(6):
        case = Case.parse(f"{text}:{data}@{seed}")
        one = unregistered("mine", {case.operator: CORRECT[case.operator]}, {})

        with np.errstate(all="ignore"):
            found = judge(one, case)
        assert "conforms" == found.status, str(found)


@pytest.mark.parametrize("text", CASES)
def test_a_gradient_without_its_nan_is_found(text: str) -> None:
    case = Case.parse(f"{text}:nan@0")

    def without_nan(grad: Array, *others: Any, **call: Any) -> Array:
        gradient: Array = CORRECT[case.operator](np.nan_to_num(grad), *others, **call)
        return gradient

    assert "violates" == judge(unregistered("mine", {case.operator: without_nan}, {}), case).status
