"""What a wrong result looks like: the arrays of a small failing call, for a report to draw."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.judging import Accuracy, Prepared, judge_prepared
from conformance.judging.comparing import wrong_elements
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation

MOST = 150
"""A picture of more elements than this, of all arrays together, shows nobody anything."""


def picture(implementation: Implementation, case: Case) -> str:
    """Call a failing case once more; return its arrays as JSON, and which elements are wrong.

    Return nothing if they are many, or if no element of the result is to blame.
    """
    sizes = map(math.prod, filter(None, (case.x, case.w)))
    if case.invalid or not 0 < sum(sizes) <= MOST:
        return ""
    prepared, accuracy = Prepared.of(case), Accuracy.of(implementation)
    verdict, output = judge_prepared(implementation, prepared)
    exact = prepared.reference.exact
    if not verdict.failed or output is None or output.shape != exact.shape:
        return ""
    wrong = wrong_elements(prepared, accuracy, output)
    if not wrong.any():
        return ""
    named = zip(OPERATORS[case.operator].arguments, prepared.inputs, strict=True)
    arrays = {name: array for name, array in named if isinstance(array, np.ndarray)}
    arrays |= {"exact": exact, "got": output}
    if sum(array.size for array in arrays.values()) > 2 * MOST:
        return ""
    drawn = {name: _written(array) for name, array in arrays.items()}
    return json.dumps({"arrays": drawn, "wrong": np.flatnonzero(wrong).tolist()})


def _written(array: Array) -> dict[str, Any]:
    """Return an array's shape, and its numbers as text of a few digits."""
    numbers = array.astype(np.float64).ravel().tolist()
    return {"shape": list(array.shape), "values": [f"{number:.4g}" for number in numbers]}
