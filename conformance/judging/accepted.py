"""The results of calls that a convention lets an implementation accept.

Such calls are invalid by default (SPEC.md, REJECT-19 to REJECT-21). An implementation that declares
the other alternative must return the result that this alternative names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case
from conformance.dtypes import DTYPES
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS
from conformance.operators.base import Reference


def result_of_accepted_call(
    case: Case, convention: str, inputs: Inputs, parameters: Mapping[str, Any]
) -> Prepared | None:
    """Return the call as a case with its exact result, or None if the result is unspecified.

    ``inputs`` and ``parameters`` are those of the call, after ``case.invalid`` has been applied.
    """
    return _RESULTS[convention](case.replace(invalid=""), inputs, parameters)


def _padded(case: Case, inputs: Inputs, parameters: Mapping[str, Any]) -> Prepared | None:
    """Return a pooling whose padding exceeds half of its window, by the usual definition."""
    case, operator = case.replace(padding=parameters["padding"]), OPERATORS[case.operator]
    if operator.name.startswith("avg_pool") and not case.count_include_pad:
        return None  # a window may see nothing but padding: its divisor is 0
    if min(operator.output_shape(case)[2:]) < 1:
        return None
    return Prepared(case, inputs, operator.reference(case, inputs))


def _promoted(case: Case, inputs: Inputs, parameters: Mapping[str, Any]) -> Prepared | None:
    """Return a call with arrays of several dtypes as the call with all of them in the widest."""
    arrays = [value for value in inputs if isinstance(value, np.ndarray)]
    try:
        dtype = np.result_type(*arrays)
    except TypeError:  # bfloat16 promotes with few others
        return None
    operator = OPERATORS[case.operator]
    if dtype.name not in DTYPES or dtype.name not in operator.dtypes:
        return None
    case = case.replace(dtype=dtype.name)
    inputs = tuple(v.astype(dtype) if isinstance(v, np.ndarray) else v for v in inputs)
    return Prepared(case, inputs, operator.reference(case, inputs))


def _empty_sum(case: Case, inputs: Inputs, parameters: Mapping[str, Any]) -> Prepared | None:
    """Return a call without channels: its sums are empty, and only the bias is left."""
    n, outputs, *out = OPERATORS[case.operator].output_shape(case)
    exact: Array = np.zeros((n, 0 if case.w is None else outputs, *out))
    if case.bias:
        exact += inputs[2].astype(np.float64).reshape(-1, *(1,) * case.dims)
    if case.operator == "max_pool":
        return Prepared(case, inputs, Reference(exact))
    return Prepared(case, inputs, Reference(exact, magnitude=np.abs(exact), terms=1))


_RESULTS = {"pool_padding": _padded, "mixed_dtypes": _promoted, "zero_channels": _empty_sum}
