"""Verdicts on outputs that a test makes up: what the tests of the judge share."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.calling import Observation
from conformance.case import Case
from conformance.dtypes import numpy_dtype
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation
from conformance.operators import OPERATORS


def right(text: str) -> np.ndarray[Any, Any]:
    """Return the exact result of a case, rounded to its dtype."""
    prepared = Prepared.of(Case.parse(text))
    return prepared.reference.exact.astype(numpy_dtype(prepared.case.dtype))


def on_inputs(text: str, *inputs: Any) -> Prepared:
    """Return a case prepared with inputs of one's own."""
    case = Case.parse(text)
    return Prepared(case, inputs, OPERATORS[case.operator].reference(case, inputs))


def of_output(prepared: Prepared, output: Any, **accuracy: Any) -> Verdict:
    return judge_observation("mine", Accuracy(**accuracy), prepared, Observation(output=output))[0]
