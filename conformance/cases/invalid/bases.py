"""The valid cases that the invalid calls of the default tier are made from.

Only the mistake may prevent a result. So channels and filters are even, kernels fit with room to
spare, and padding makes up for an empty axis. The input has as many channels as positions on its
first spatial axis: an input without its batch axis fits channels-last as well.
"""

from __future__ import annotations

from typing import Any

from conformance.case import Case
from conformance.operators import OPERATORS


def bases(operator: str, dims: int) -> tuple[Case, Case]:
    """Return a plain case, and one with most of the operator's parameters set."""
    if not OPERATORS[operator].parameters:  # any shape will do
        base = Case(operator=operator, x=(2, 6, *(4, 3, 5)[:dims]))
        return base, base
    if OPERATORS[operator].is_transposed:
        return _conv_transpose(dims)
    return _conv(operator, dims) if OPERATORS[operator].has_weight else _pool(operator, dims)


def _conv(operator: str, dims: int) -> tuple[Case, Case]:
    x, w = (2, 4, *(4, 6, 5)[:dims]), (6, 4, *(3, 2, 2)[:dims])
    plain = Case(operator=operator, x=x, w=w, bias="bias" in OPERATORS[operator].arguments)
    x, w = (2, 4, *(4, 7, 5)[:dims]), (6, 2, *(2, 3, 2)[:dims])
    return plain, Case(operator=operator, x=x, w=w, **_parameters(dims))


def _conv_transpose(dims: int) -> tuple[Case, Case]:
    x, operator = (2, 4, *(4, 3, 2)[:dims]), "conv_transpose"
    plain = Case(operator=operator, x=x, w=(4, 3, *(3, 2, 2)[:dims]), bias=True)
    w, output_padding = (4, 3, *(2, 3, 2)[:dims]), (1, 1, 0)[:dims]
    parameters = _parameters(dims) | {"output_padding": output_padding}
    return plain, Case(operator=operator, x=x, w=w, **parameters)


def _parameters(dims: int) -> dict[str, Any]:
    return {
        "stride": (3, 2, 2)[:dims],
        "padding": ((1, 2), (0, 1), (1, 0))[:dims],
        "dilation": (2, 1, 1)[:dims],
        "groups": 2,
    }


def _pool(operator: str, dims: int) -> tuple[Case, Case]:
    plain = Case(
        operator=operator,
        x=(2, 5, *(5, 6, 4)[:dims]),
        kernel=(3, 2, 2)[:dims],
        stride=(2, 1, 1)[:dims],
    )
    further: dict[str, Any] = (
        {"dilation": (1, 2, 1)[:dims]}
        if "dilation" in OPERATORS[operator].parameters
        else {"count_include_pad": False}
    )
    return plain, Case(
        operator=operator,
        x=(2, 5, *(5, 7, 4)[:dims]),
        kernel=(2, 3, 2)[:dims],
        stride=(3, 2, 1)[:dims],
        padding=((1, 1), (1, 0), (0, 1))[:dims],
        ceil_mode=True,
        **further,
    )
