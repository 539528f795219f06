"""Comparing a result with the exact one: what is wrong, where, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from conformance.calling import Array, NotAnArray
from conformance.case import EVERY, Case, Shape
from conformance.dtypes import FORMATS, INTEGERS, numpy_dtype
from conformance.judging.attained import weaker_declaration
from conformance.judging.bound import Accuracy
from conformance.judging.prepared import Prepared
from conformance.judging.verdict import Problem
from conformance.judging.whole import judge_whole
from conformance.operators import OPERATORS, ties
from conformance.operators.base import Reference, with_padding_slot
from conformance.operators.pool import MaxPool
from conformance.operators.pool_gradient import MaxPoolGrad


def wrong_kind(case: Case, output: Any, reference: Reference) -> Problem | None:
    """Return why ``output`` cannot be compared: no plain array, wrong shape or dtype; else None."""
    if type(output) is not np.ndarray:  # a subclass, such as a masked array, is not plain either
        seen = output
        if not isinstance(seen, NotAnArray):
            seen = NotAnArray(f"{type(output).__module__}.{type(output).__qualname__}")
        return Problem("RESULT-5", f"returned a {seen.kind} where a {seen.due} is due")
    if output.dtype.hasobject:
        text = f"returned an array of dtype {output.dtype} where numbers are due"
        return Problem("RESULT-5", text)
    return wrong_shape_or_dtype(case, output, reference.exact.shape)


def wrong_shape_or_dtype(case: Case, output: Array, shape: Shape) -> Problem | None:
    """Return what is wrong with the shape or the dtype of ``output``, or None."""
    dtype = numpy_dtype(case.dtype)
    if output.shape != shape:
        return Problem("RESULT-3", f"returned shape {output.shape} where {shape} is due")
    if output.dtype != dtype:
        return Problem("RESULT-4", f"returned dtype {output.dtype} where {dtype} is due")
    return None


class _Errors(NamedTuple):
    """How far each element of a result lies from the exact one, and how far it may."""

    got: Array
    off: Array
    allowed: Array
    share: Array
    """The error as a fraction of the bound; infinity for what is beyond every bound."""
    unequal: Array
    """Where only one value is right, and another one was returned."""

    @property
    def wrong(self) -> Array:
        return self.unequal if self.unequal.any() else self.share > 1


def _errors(prepared: Prepared, accuracy: Accuracy, output: Array) -> _Errors:
    reference = prepared.reference
    allowed, bits = prepared.bound(accuracy)
    got = output.astype(np.float64)
    residual = 0.0 if reference.residual is None else reference.residual
    off = np.abs(got - reference.exact - residual)
    share = np.where(np.isinf(allowed), 0.0, off / np.maximum(allowed, 5e-324))
    share[np.isnan(share)] = np.inf  # NaN and infinity are beyond every bound
    special = ~np.isfinite(reference.exact) & np.isfinite(reference.error)
    if special.any():
        equal = (got == reference.exact) | (np.isnan(got) & np.isnan(reference.exact))
        if (
            accuracy.amplification is not None
        ):  # transforms add infinities of both signs, which gives NaN
            equal |= ~np.isfinite(got)
        share = np.where(special, np.where(equal, 0.0, np.inf), share)
    exactly = np.broadcast_to(bits & np.asarray(reference.single_valued), share.shape)
    return _Errors(got, off, allowed, share, exactly & (off != 0) & ~special)


@np.errstate(all="ignore")
def compare(prepared: Prepared, accuracy: Accuracy, output: Array) -> tuple[Problem | None, float]:
    """Compare ``output``, which has the shape and the dtype of the result, with the exact one.

    Return what is wrong, or None, and the largest error as a fraction of its bound.
    """
    if _is_exact(prepared, output):
        return None, 0.0
    errors = _errors(prepared, accuracy, output)
    got, off, allowed, share, unequal = errors
    worst = float(share.max()) if share.size else 0.0
    if unequal.any():
        at = worst_index(unequal, off)
        allows = "allowed: no difference (every order of summation is exact here)"
        cited = "GRAD-14" if _follows_another_tie(prepared, accuracy, output) else "RESULT-2"
        return Problem(cited, _describe(prepared, unequal, got, at, allows), at), worst
    wrong = errors.wrong
    if not wrong.any():
        return judge_whole(prepared, accuracy, output), worst
    at = worst_index(wrong, share)
    allows = f"allowed +-{float(allowed[at]):.3g}"
    if np.isfinite(got[at]):
        allows += f"; the error {float(off[at]):.3g} is {float(share[at]):.4g} times the bound"
    text = _describe(prepared, wrong, got, at, allows)
    if _follows_another_tie(prepared, accuracy, output):
        return Problem("GRAD-14", text, at), worst
    cited, declared = weaker_declaration(prepared, accuracy, off) or ("RESULT-1", "")
    return Problem(cited, f"{declared}: {text}" if declared else text, at), worst


def _is_exact(prepared: Prepared, output: Array) -> bool:
    """Whether each element of ``output`` is the exact result, and a finite number."""
    reference = prepared.reference
    if prepared.case.data in ("nan", "inf"):
        return False
    if reference.residual is not None and reference.residual.any():
        return False
    return bool((output.astype(np.float64) == reference.exact).all())


@np.errstate(all="ignore")
def wrong_elements(prepared: Prepared, accuracy: Accuracy, output: Array) -> Array:
    """Return which elements of an output of the right shape and dtype are wrong."""
    operator = OPERATORS[prepared.case.operator]
    if isinstance(operator, MaxPoolGrad) and accuracy.tie != "first":
        prepared = tied(operator, prepared, accuracy, output)
    if prepared.reference.magnitude is None:
        return _unequal(prepared, accuracy, output)[0]
    return _errors(prepared, accuracy, output).wrong


def tied(operator: MaxPoolGrad, prepared: Prepared, accuracy: Accuracy, output: Array) -> Prepared:
    """Return ``prepared`` with the reference that the declared convention ``tie`` asks for.

    Under ``any`` it is the reference of the choice that explains ``output`` (N, C, *S).
    """
    case, inputs = prepared.case, prepared.inputs
    if accuracy.tie == "split":
        reference = operator.split(case, inputs)
    else:
        first, accumulate = prepared.reference, accuracy.accumulate
        reference = ties.chosen(
            operator, case, inputs, output, first, accumulate, flush=accuracy.flush
        )
    return prepared.replace(reference=reference)


def _follows_another_tie(prepared: Prepared, accuracy: Accuracy, output: Array) -> bool:
    """Whether a wrong gradient of maxima is right under another rule for ties, plane by plane.

    The rules are those of the convention ``tie``, and that each of the tied maxima gets it all.
    """
    case = prepared.case
    operator = OPERATORS[case.operator]
    if not isinstance(operator, MaxPoolGrad) or case.data in ("nan", "inf", "subnormal", EVERY):
        return False  # of such numbers several rules may explain one result
    if not operator.tied(case, prepared.inputs[1]).any():
        return False
    first = prepared.replace(reference=operator.reference(case, prepared.inputs))

    def references() -> Iterator[Reference]:
        yield operator.each(case, prepared.inputs)
        for tie in ("split", "any"):  # the search for a choice takes longest
            yield tied(operator, first, replace(accuracy, tie=tie), output).reference

    spatial = tuple(range(2, output.ndim))
    right = np.zeros(output.shape[:2], bool)
    for reference in references():
        wrong = _errors(prepared.replace(reference=reference), accuracy, output).wrong
        # What the search for a choice leaves open is not explained.
        wrong |= np.isinf(np.broadcast_to(reference.error, wrong.shape))
        right |= ~wrong.any(axis=spatial)
        if right.all():
            return True
    return False


@np.errstate(all="ignore")
def compare_exactly(prepared: Prepared, accuracy: Accuracy, output: Array) -> Problem | None:
    """Compare a result that involves no arithmetic: bits must be equal, but all NaN are alike.

    If zeros of both signs are the largest elements of a window, either one is right.
    """
    case = prepared.case
    wrong, exact = _unequal(prepared, accuracy, output)
    if not wrong.any():
        return None
    got = output.astype(np.float64)
    at = worst_index(wrong, np.abs(got - exact.astype(np.float64)))
    if case.dtype in INTEGERS:
        requirement = "INTEGER-2" if case.operator == "max_pool" else "INTEGER-1"
        values = got_and_exact(case, output[at], exact[at])
        return Problem(requirement, differing(wrong, at, f"{values}, allowed: no difference"), at)
    allows = "allowed: no difference (the result is an element of its window)"
    text = differing(wrong, at, f"{got_and_exact(case, got[at], exact[at])}, {allows}")
    return Problem(_no_maximum(prepared, output, at), text, at)


def _unequal(prepared: Prepared, accuracy: Accuracy, output: Array) -> tuple[Array, Array]:
    """Return which elements differ from the exact result without arithmetic, and that result."""
    case, reference = prepared.case, prepared.reference
    exact = reference.exact
    skips_nan = accuracy.ignore_nan and case.data in ("nan", EVERY)
    if output.tobytes() == exact.tobytes() and not skips_nan:
        return np.zeros(exact.shape, bool), exact
    if case.dtype in INTEGERS:
        return output != exact, exact
    same = np.signbit(output) == np.signbit(exact)
    same = (output == exact) & (same | ~np.asarray(reference.single_valued))
    wrong = ~(same | (np.isnan(output) & np.isnan(exact)))
    if skips_nan:
        (x,) = prepared.inputs
        tame = OPERATORS[case.operator].reference(case, (np.where(np.isnan(x), -np.inf, x),)).exact
        wrong = (output != tame) & ~(np.isnan(output) & (tame == -np.inf))
        exact = tame
    if accuracy.flush and case.data in ("subnormal", EVERY):
        # If subnormal numbers count as zero, they tie, and any of them is right, and zero itself.
        normal = FORMATS[case.dtype].smallest_normal
        values = np.maximum(np.abs(output.astype(np.float64)), np.abs(exact.astype(np.float64)))
        wrong &= (values >= normal) | ~((output == 0) | _in_window(prepared, output))
    return wrong, exact


def _in_window(prepared: Prepared, output: Array) -> Array:
    """Return which elements of max_pool's ``output`` are an element of their window."""
    case, (x,) = prepared.case, prepared.inputs
    operator = OPERATORS[case.operator]
    assert isinstance(operator, MaxPool)
    windows = with_padding_slot(x, np.nan)[..., operator.taps(case)]  # (N, C, P, K)
    found: Array = (windows == output.reshape(*output.shape[:2], -1, 1)).any(axis=3)
    return found.reshape(output.shape)


def _no_maximum(prepared: Prepared, output: Array, at: Shape) -> str:
    """Return what a wrong maximum violates.

    MAXPOOL-3 if the window has only padding, MAXPOOL-1 if the element is in the window but not its
    largest, MAXPOOL-4 if it is not in the window.
    """
    case, (x,) = prepared.case, prepared.inputs
    operator = OPERATORS[case.operator]
    assert isinstance(operator, MaxPool)
    position = np.ravel_multi_index(at[2:], output.shape[2:])
    taps = operator.taps(case)[position]
    window = x[at[:2]].reshape(-1)[taps[taps >= 0]]
    if not window.size:
        return "MAXPOOL-3"
    return "MAXPOOL-1" if (window == output[at]).any() else "MAXPOOL-4"


def worst_index(wrong: Array, size: Array) -> Shape:
    """Return the index of the wrong element of the largest ``size``; a NaN counts as infinity."""
    ranked = np.where(wrong, np.where(np.isnan(size), np.inf, size), -1.0)
    index = np.unravel_index(int(np.argmax(ranked)), ranked.shape)
    return tuple(int(i) for i in index)


def _describe(prepared: Prepared, wrong: Array, got: Array, at: Shape, allows: str) -> str:
    """Say how many elements are wrong, and what the worst one, at index ``at``, is."""
    values = got_and_exact(prepared.case, got[at], prepared.reference.exact[at])
    return differing(wrong, at, f"{values}, {allows}")


def got_and_exact(case: Case, got: Any, exact: Any) -> str:
    """Say what one element is, in the digits of its dtype, and what it should be."""
    if case.dtype in INTEGERS:
        return f"got {got}, exact {exact}"
    digits = {"float64": 17, "float32": 9}.get(case.dtype, 6)
    return f"got {float(got):.{digits}g}, exact {float(exact):.17g}"


def differing(wrong: Array, at: Shape, worst: str) -> str:
    """Say how many elements are ``wrong``; ``worst`` describes the worst one, at index ``at``."""
    index = ", ".join(map(str, at))
    return f"{np.count_nonzero(wrong)} of {wrong.size} elements differ; worst at [{index}]: {worst}"
