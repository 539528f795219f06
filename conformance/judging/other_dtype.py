"""The values of a result that has another dtype than the one that is due.

The dtype is a finding of its own (RESULT-4), and says nothing about the values: those may be right,
or wrong for a reason of their own. A dtype that holds every number of the one that is due is held
to the bound of that one. A coarser one is held to the bound of arithmetic in its own format: a
kernel that computes in it is right, but for the dtype.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.calling import Array
from conformance.case import EVERY
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, INTEGERS, Format, holds
from conformance.judging.bound import Accuracy
from conformance.judging.comparing import (
    compare,
    compare_exactly,
    differing,
    got_and_exact,
    tied,
    worst_index,
)
from conformance.judging.prepared import Prepared
from conformance.judging.verdict import Problem
from conformance.operators import OPERATORS
from conformance.operators.pool_gradient import MaxPoolGrad


@np.errstate(all="ignore")
def judge_in_spite_of_dtype(
    prepared: Prepared, accuracy: Accuracy, output: Array
) -> Problem | None:
    """Return what is wrong with the values of ``output``, of the right shape but a wrong dtype.

    It is None where nothing is, and where its dtype is too coarse for the exact result.
    """
    values = _real(output)
    if values is None:
        return None
    if values.dtype.kind == "b":
        return None  # it has no numbers to compare
    if prepared.case.dtype in INTEGERS:
        return _integers(prepared, values)
    if values.dtype.kind in "iu":
        return _truncated(prepared, accuracy, values)
    due, given = FORMATS[prepared.case.dtype], FORMATS.get(values.dtype.name)
    if given is not None and not holds(given, due):
        problem = _coarser(prepared, accuracy, values, given)
        if problem is None:
            return None
        told = f"{problem.message}; judged by the bound of {given.name}, in which it was returned"
        return problem._replace(message=told)
    values = values.astype(np.float64)
    operator = OPERATORS[prepared.case.operator]
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        if prepared.case.data in ("nan", "inf", EVERY):
            return None
        prepared = tied(operator, prepared, accuracy, values)
    if prepared.reference.magnitude is None:
        return compare_exactly(prepared, accuracy, values)
    return compare(prepared, accuracy, values)[0]


def _real(output: Array) -> Array | None:
    """Return the real numbers of an array in native byte order; None where it has others."""
    values = output
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "c":
        if bool((values.imag != 0).any()):
            return None
        values = values.real
    return values if values.dtype.kind in "iufb" or values.dtype.name in FORMATS else None


def _coarser(
    prepared: Prepared, accuracy: Accuracy, values: Array, given: Format
) -> Problem | None:
    """Compare values of a coarser format with what arithmetic in that format may give."""
    case, reference = prepared.case, prepared.reference
    exact, most = reference.exact, 2.0**given.max_exponent
    size = np.abs(exact) if reference.magnitude is None else reference.magnitude
    unlike_first = accuracy.tie != "first" and case.operator == "max_pool_grad"
    if unlike_first or bool((size[np.isfinite(size)] > most).any()):
        return None
    if reference.magnitude is None:
        if case.data in ("nan", EVERY) and accuracy.ignore_nan:
            return None
        allowed = 2 * given.unit_roundoff * np.abs(exact) + given.smallest_normal
        return _outside(prepared, values, allowed)
    accumulators = (
        accuracy.accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype),
        given.name,
    )
    multipliers = (accuracy.multiply or given.name, given.name)
    accuracy = replace(
        accuracy, accumulate=_coarsest(*accumulators), multiply=_coarsest(*multipliers), flush=True
    )
    as_given = prepared.replace(case=case.replace(dtype=given.name))
    problem, _ = compare(as_given, accuracy, values)
    if problem is not None and problem.requirement.startswith("DECLARE"):
        return problem._replace(requirement="RESULT-1")
    return problem


def _coarsest(*names: str) -> str:
    return max(names, key=lambda name: FORMATS[name].unit_roundoff)


def _truncated(prepared: Prepared, accuracy: Accuracy, values: Array) -> Problem | None:
    """Compare whole numbers that were returned where fractions are due: the next ones are right."""
    exact, limits = prepared.reference.exact, np.iinfo(values.dtype)
    allowed: NDArray[np.float64] = np.ones(exact.shape)
    if prepared.reference.magnitude is not None:
        allowed = allowed + prepared.bound(accuracy)[0]
    if accuracy.tie != "first" and prepared.case.operator == "max_pool_grad":
        return None
    held = np.isfinite(exact) & (exact >= limits.min) & (exact <= limits.max)
    return _outside(prepared, values, np.where(held, allowed, np.inf))


def _integers(prepared: Prepared, values: Array) -> Problem | None:
    """Compare numbers of another dtype where integers are due, as far as that dtype holds them."""
    exact = prepared.reference.exact
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        held = (exact >= limits.min) & (exact <= limits.max)
    else:
        given = FORMATS.get(values.dtype.name)
        most = 2.0 ** (given.digits if given is not None else 53)
        held = np.full(exact.shape, _largest_sum(prepared) < most)
    wrong = held & np.asarray(values != exact)
    if not wrong.any():
        return None
    return _problem(prepared, values, wrong, np.abs(values.astype(np.float64) - exact))


def _largest_sum(prepared: Prepared) -> float:
    """Return a number that no partial sum exceeds: sums below it are exact in every order."""
    operator, case = OPERATORS[prepared.case.operator], prepared.case
    sizes = [
        float(np.abs(value.astype(np.float64)).max(initial=0.0))
        for value in prepared.inputs
        if isinstance(value, np.ndarray)
    ]
    if not operator.has_weight:
        return max(sizes)
    left, right, *others = sizes
    return left * right * float(np.max(operator.terms(case), initial=1)) + sum(others)


def _outside(prepared: Prepared, values: Array, allowed: Any) -> Problem | None:
    """Return what is wrong with values that must lie within ``allowed`` of the exact ones."""
    exact = prepared.reference.exact.astype(np.float64)
    got = values.astype(np.float64)
    off = np.abs(got - exact)
    same = (got == exact) | (np.isnan(got) & np.isnan(exact)) | np.isinf(allowed)
    wrong = ~(same | (off <= allowed))
    return _problem(prepared, values, wrong, off) if wrong.any() else None


def _problem(prepared: Prepared, values: Array, wrong: Array, off: Array) -> Problem:
    at = worst_index(wrong, off)
    case = prepared.case
    requirement = "RESULT-1"
    if case.dtype in INTEGERS:
        requirement = "INTEGER-2" if case.operator == "max_pool" else "INTEGER-1"
    text = got_and_exact(case, values[at], prepared.reference.exact[at])
    return Problem(requirement, differing(wrong, at, text), at)
