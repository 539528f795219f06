"""The operators: parameters, validity, shape arithmetic and exact reference, one file a family."""

from __future__ import annotations

from functools import lru_cache

from conformance.case import Case
from conformance.operators.base import Operator
from conformance.operators.conv import Conv, ConvTranspose
from conformance.operators.gradient import ConvBiasGrad, ConvInputGrad, ConvWeightGrad, Gradient
from conformance.operators.pool import AvgPool, MaxPool
from conformance.operators.pool_gradient import AvgPoolGrad, MaxPoolGrad

FORWARD: dict[str, Operator] = {
    operator.name: operator for operator in (Conv(), ConvTranspose(), MaxPool(), AvgPool())
}
"""The operators that are no gradients, by name: what cases are drawn and curated for."""

GRADIENTS: dict[str, Gradient] = {
    gradient.name: gradient
    for gradient in (
        ConvInputGrad(),
        ConvWeightGrad(),
        ConvBiasGrad(),
        MaxPoolGrad(),
        AvgPoolGrad(),
    )
}
"""The gradients by name: their cases are derived from those of their forward operators."""

OPERATORS: dict[str, Operator] = {**FORWARD, **GRADIENTS}
"""Every operator by name, in the order of the tables."""

__all__ = ["FORWARD", "GRADIENTS", "OPERATORS", "Gradient", "Operator", "work"]


@lru_cache(maxsize=256)
def work(case: Case) -> int:
    """Return the multiply-accumulates of a call (window reads of a pool), padded taps included."""
    return OPERATORS[case.operator].work(case)
