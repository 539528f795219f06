"""What arithmetic a wrong result attains, where it is less than was declared.

An error that is too large for the declared formats, and within the bound of smaller ones, comes of
those: the declaration is what is wrong. The formats tried are the ones that hardware has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.dtypes import FORMATS
from conformance.judging.bound import Accuracy
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS

_MULTIPLIERS = ("tf32", "float16", "bfloat16")
_ACCUMULATORS = ("float32", "float16", "bfloat16")
_ROUNDING = 1 / 16
"""The share of sum |x||w|, or of the norms, that no rounding error of a usable format exceeds; a
missing or misplaced product does."""


@np.errstate(all="ignore")
def weaker_declaration(
    prepared: Prepared, accuracy: Accuracy, off: Array
) -> tuple[str, str] | None:
    """Return the requirement that a declaration breaks, and the declaration that would be kept.

    ``off`` is the absolute error of each element, beyond the declared bound in some. Only what is
    declared can be broken: nothing is said of an implementation that declares nothing. None where
    no smaller format explains the error.
    """
    magnitude = prepared.reference.magnitude
    small = magnitude is not None and bool((off <= _ROUNDING * magnitude).all())
    for requirement, text, weaker in _weaker(prepared, accuracy) if small else ():
        allowed, _ = prepared.bound(weaker)
        if np.isfinite(allowed).all() and (off <= allowed).all():
            return requirement, text
    return _amplified(prepared, accuracy, off)


def _weaker(prepared: Prepared, accuracy: Accuracy) -> Iterator[tuple[str, str, Accuracy]]:
    """Yield what each declaration could be in its place, the nearest first."""
    for requirement, name, formats in (
        ("DECLARE-3", "multiply", _MULTIPLIERS),
        ("DECLARE-2", "accumulate", _ACCUMULATORS),
    ):
        declared = getattr(accuracy, name)
        for format_ in formats if declared else ():
            if FORMATS[format_].unit_roundoff > FORMATS[declared].unit_roundoff:
                text = f'{name}="{declared}" is declared, {name}="{format_}" attained'
                changes: dict[str, Any] = {name: format_}
                yield requirement, text, replace(accuracy, **changes)


def _amplified(prepared: Prepared, accuracy: Accuracy, off: Array) -> tuple[str, str] | None:
    """Return what is due where a normwise bound is exceeded by no more than rounding could."""
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    if accuracy.amplification is None or not operator.has_weight:
        return None
    scale = np.broadcast_to(operator.norms(case, prepared.inputs), off.shape)
    if not (off <= _ROUNDING * scale).all():
        return None
    for power in range(1, 40):
        amplification = accuracy.amplification * 2**power
        allowed, _ = prepared.bound(replace(accuracy, amplification=amplification))
        if (off <= allowed).all():
            text = f"amplification={accuracy.amplification:g} is declared, about"
            return "DECLARE-4", f"{text} {amplification:g} attained"
    return None
