"""Explaining a wrong result: the one requirement but for which it would be right.

That a result is wrong is plain. That it is wrong *because* padding won a maximum, or because
subnormal numbers were flushed, has to be shown: the result must be the one that an implementation
gives which is right but for that. The functions of this module make that comparison; whoever cites
also judges a plain twin of the call, which must conform (`conformance.running.citing`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.calling import Array
from conformance.case import EVERY, SPECIAL_RECIPES, Case
from conformance.dtypes import FORMATS, INTEGERS
from conformance.judging.bound import Accuracy
from conformance.judging.comparing import wrong_elements
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS
from conformance.operators.base import Reference, with_padding_slot
from conformance.operators.pool import MaxPool
from conformance.operators.pool_gradient import MaxPoolGrad, scatter_quotients


def plain_twin(case: Case) -> Case:
    """Return the call without what is special about it: its mistake, layout or data.

    A max_pool_grad of ordinary data gets data without ties, and sums that round get exact ones.
    """
    if case.invalid:
        return case.replace(invalid="")
    if case.memory != "contiguous":
        return case.replace(memory="contiguous")
    if case.operator == "max_pool_grad" and case.check != "special":
        return case.replace(data="normal")
    return case.replace(data="integers")


@np.errstate(all="ignore")
def explained(prepared: Prepared, accuracy: Accuracy, output: Array) -> str | None:
    """Return the requirement but for which a wrong ``output`` would be right, or None.

    ``output`` has the shape and the dtype of the result. None is returned as well if the plainest
    explanation is that the value is wrong.
    """
    case = prepared.case
    if _padding_won(prepared, accuracy, output):
        return OPERATORS[case.operator].requirements["padding"]
    if case.data not in (*SPECIAL_RECIPES, EVERY) or case.dtype in INTEGERS:
        return None
    wrong = wrong_elements(prepared, accuracy, output)
    if not wrong.any():
        return None
    got, due = output[wrong].astype(np.float64), prepared.reference.exact[wrong]
    due = due.astype(np.float64)
    recipe = case.data if case.data != EVERY else _kind_of(due)
    if case.operator == "max_pool":
        return _special_maximum(recipe, got, due)
    if recipe == "nan":
        if np.isnan(due).all():
            return "SPECIAL-1"
        return "SPECIAL-2" if np.isfinite(due).all() else None
    if recipe == "inf":
        if np.isfinite(due).all():
            return "SPECIAL-2"
        return None if np.isfinite(due).any() else "SPECIAL-3"
    if recipe == "huge":
        return None if np.isfinite(got).any() else "SPECIAL-2"
    if recipe == "subnormal":
        return "SPECIAL-7" if is_flushed(prepared, accuracy, output) else None
    return "SPECIAL-6" if recipe else None


def _kind_of(due: Array) -> str:
    """Return the recipe whose values are all that is due; empty for ordinary numbers."""
    if np.isnan(due).all():
        return "nan"
    if np.isinf(due).all():
        return "inf"
    return "subnormal" if np.isfinite(due).all() and (due != 0).all() else ""


def _special_maximum(recipe: str, got: Array, due: Array) -> str | None:
    """Return what wrong maxima violate, which are ``got`` where others are ``due``."""
    if recipe == "nan":
        return "MAXPOOL-5" if (np.isnan(got) != np.isnan(due)).all() else None
    if recipe == "inf":
        return "MAXPOOL-11" if not (np.isfinite(got) & np.isfinite(due)).any() else None
    if recipe == "zeros":
        return "MAXPOOL-10" if (got == due).all() else None
    if recipe == "subnormal":  # an element of the window is right as long as it is zero, or is due
        return "SPECIAL-7" if (got == 0).all() else None
    return None


def is_flushed(prepared: Prepared, accuracy: Accuracy, output: Array) -> bool:
    """Whether ``output`` is what flushing subnormal numbers to zero makes of a right result.

    Products and partial sums below the smallest normal number are then zero, and so is their sum:
    each element is zero, or right, as long as no partial sum is normal. Larger ones may have lost
    some of their products (SPEC.md, SPECIAL-7).
    """
    case, reference = prepared.case, prepared.reference
    if wrong_elements(prepared, replace(accuracy, flush=True), output).any():
        return False
    if reference.magnitude is None:
        return True
    normal = FORMATS[case.dtype].smallest_normal
    got, most = np.abs(output.astype(np.float64)), reference.magnitude
    right = (got == 0) | ~wrong_elements(prepared, replace(accuracy, flush=False), output)
    return bool(np.where(most < normal, right, got <= most).all())


def _padding_won(prepared: Prepared, accuracy: Accuracy, output: Array) -> bool:
    """Whether a maximum, or its gradient, is right but for padding that takes part in it.

    Padding is then a number that is larger than all elements of some windows.
    """
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    if not any(map(any, case.padding)) or case.dtype in INTEGERS:
        return False
    if isinstance(operator, MaxPool):
        (x,) = prepared.inputs
        wrong = np.unique(output[wrong_elements(prepared, accuracy, output)])
        if len(wrong) != 1 or np.isnan(wrong[0]):
            return False
        windows = with_padding_slot(x, wrong[0])[..., operator.taps(case)]
        maxima = windows.max(axis=3).reshape(output.shape)
        return bool(((output == maxima) | (np.isnan(output) & np.isnan(maxima))).all())
    if not isinstance(operator, MaxPoolGrad) or case.data in ("nan", "inf"):
        return False
    padded = prepared.replace(reference=_with_zeros(operator, prepared))
    return not wrong_elements(padded, accuracy, output).any()


def _with_zeros(operator: MaxPoolGrad, prepared: Prepared) -> Reference:
    """Return the gradient if padding is zeros, which take part in the maximum."""
    case, (grad, x) = prepared.case, prepared.inputs
    taps = operator.forward.taps(case)
    windows = with_padding_slot(x, 0)[..., taps]
    hits = windows == windows.max(axis=3, keepdims=True)
    first = hits & (np.cumsum(hits, axis=3) == 1) & (taps >= 0)
    return scatter_quotients(case, grad, first * 1, taps, None, 0)
