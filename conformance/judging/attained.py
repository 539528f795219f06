"""The arithmetic that a wrong result attains, if it is less than the declared one.

If an error is too large for the declared formats but within the bound of smaller ones, then the
declaration is wrong. The formats that hardware has are tried.
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

    ``off`` is the absolute error of each element; some exceed the declared bound. The result is
    None if no smaller format explains the error, or if nothing is declared that could be broken.
    """
    magnitude = prepared.reference.magnitude
    small = magnitude is not None and bool((off <= _ROUNDING * magnitude).all())
    for requirement, text, weaker in _weaker(prepared, accuracy) if small else ():
        allowed, _ = prepared.bound(weaker)
        if np.isfinite(allowed).all() and (off <= allowed).all():
            return requirement, text
    return _amplified(prepared, accuracy, off)


def _weaker(prepared: Prepared, accuracy: Accuracy) -> Iterator[tuple[str, str, Accuracy]]:
    """Yield weaker formats for each declared one, the nearest first."""
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
    """Return the amplification that a normwise error attains, if rounding can explain it."""
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    if accuracy.amplification is None or not operator.has_weight:
        return None
    scale = np.broadcast_to(accuracy.norms(case, prepared.inputs), off.shape)
    if not (off <= _ROUNDING * scale).all():
        return None
    for power in range(1, 40):
        amplification = accuracy.amplification * 2**power
        allowed, _ = prepared.bound(replace(accuracy, amplification=amplification))
        if (off <= allowed).all():
            text = f"amplification={accuracy.amplification:g} is declared, about"
            return "DECLARE-4", f"{text} {amplification:g} attained"
    return None
