"""The operators: parameters, validity, shape arithmetic and exact reference, one file a family."""

from __future__ import annotations

from conformance.operators.base import Operator
from conformance.operators.conv import Conv, ConvTranspose
from conformance.operators.pool import AvgPool, MaxPool

OPERATORS: dict[str, Operator] = {
    operator.name: operator for operator in (Conv(), ConvTranspose(), MaxPool(), AvgPool())
}
"""Every operator by name, in the order of the tables."""

__all__ = ["OPERATORS", "Operator"]
