"""How far a result may lie from the exact one, given what an implementation declares.

The bound is that of `conformance.rounding` for each element, plus the error of the reference. A
result that exceeds it cannot come from correct arithmetic of the declared precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import EVERY, Case
from conformance.cases.data import sums_are_exact
from conformance.dtypes import Format
from conformance.operators import OPERATORS
from conformance.operators.base import Reference
from conformance.registration.implementation import Implementation
from conformance.rounding import Arithmetic


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What an implementation declares about its arithmetic: formats, error class, conventions."""

    accumulate: str | None = None
    multiply: str | None = None
    amplification: float | None = None
    """The factor of the normwise bound; None if the bound is componentwise."""
    tile: tuple[int, ...] | None = None
    """The output positions of a tile on each axis, or on every axis; None for whole planes."""
    toward_zero: bool = False
    """Whether it may round toward zero."""
    flush: bool = False
    """Whether subnormal numbers may count as zero (convention ``subnormal``)."""
    ignore_nan: bool = False
    """Whether max_pool passes over NaN (convention ``nan``)."""
    tie: str = "first"
    """Which of several maxima of a window gets its gradient (convention ``tie``)."""

    @classmethod
    def of(cls, implementation: Implementation) -> Accuracy:
        """Return what ``implementation`` declares."""
        normwise = implementation.error == "normwise"
        return cls(
            implementation.accumulate,
            implementation.multiply,
            implementation.amplification if normwise else None,
            tuple(implementation.tile) if normwise and implementation.tile else None,
            implementation.rounding == "toward_zero",
            implementation.conventions.get("subnormal") == "flush",
            implementation.conventions.get("nan") == "ignore",
            implementation.conventions.get("tie", "first"),
        )

    def arithmetic(self, dtype: str) -> Arithmetic:
        """Return the formats that sums of a floating-point dtype are computed in."""
        formats = self.accumulate, self.multiply
        return Arithmetic.of(dtype, *formats, flush=self.flush, toward_zero=self.toward_zero)

    def norms(self, case: Case, inputs: Inputs) -> Array:
        """Return the scale of the normwise bound: of planes, or of what a tile reads."""
        tile = self.tile
        if tile is not None:
            tile = tile * case.dims if len(tile) == 1 else tile
        # A tile of another number of axes says nothing of this call.
        fitting = tile if tile is None or len(tile) == case.dims else None
        return OPERATORS[case.operator].norms(case, inputs, fitting)


@np.errstate(all="ignore")
def bound(
    case: Case, inputs: Inputs, reference: Reference, accuracy: Accuracy
) -> tuple[Array, bool]:
    """Return the allowed error, in the result's shape, and whether bits must be equal.

    The allowed error is infinite for elements that are not compared. ``reference`` is that of an
    operator with arithmetic: it has a ``magnitude``.
    """
    operator, arithmetic = OPERATORS[case.operator], accuracy.arithmetic(case.dtype)
    assert reference.magnitude is not None
    terms, magnitude = np.asarray(reference.terms, np.float64), reference.magnitude
    if accuracy.amplification is not None and operator.has_weight:
        # An algorithm with a normwise bound works on whole windows, and on planes or tiles.
        terms = np.asarray(operator.terms(case), np.float64)
        norms = accuracy.amplification * accuracy.norms(case, inputs)
        magnitude = np.maximum(norms, magnitude)
    lost: Array | float = 0.0
    if accuracy.flush and case.data == "subnormal":  # such a product may be missing
        lost = reference.magnitude / np.maximum(terms, 1)
    allowed = arithmetic.bound(terms, magnitude, np.abs(reference.exact), lost) + reference.error
    allowed = allowed * (1 + 2.0**-48)  # the bound's own arithmetic, rounded up
    # These are not compared: sums of more than half of 1/u terms, which have no bound (SPEC.md,
    # RESULT-1), numbers that the declared formats cannot hold, and, under a normwise bound, what a
    # NaN or an infinity may spread to (SPECIAL-2) and data at the ends of the range (DECLARE-4).
    most = 2.0**arithmetic.accumulator.max_exponent
    compared = arithmetic.is_bounded(terms) & (reference.magnitude <= most)
    compared &= np.isfinite(magnitude)
    if accuracy.amplification is not None and case.data in ("subnormal", "huge", EVERY):
        compared = np.zeros_like(compared)
    if arithmetic.multiplier is not None:
        compared &= _are_normal(inputs[:2], arithmetic.multiplier)
    allowed = np.where(compared, allowed, np.inf)
    bits = (
        accuracy.amplification is None
        and accuracy.multiply is None
        and not (accuracy.flush and case.data in ("subnormal", EVERY))
        and sums_are_exact(case, reference.magnitude, accuracy.accumulate)
    )
    return allowed, bits


def _are_normal(inputs: Inputs, multiplier: Format) -> bool:
    """Whether all factors but zeros are normal numbers of the format ``multiplier``."""
    for value in inputs:
        if isinstance(value, np.ndarray):
            size = np.abs(value.astype(np.float64))
            size = size[(size > 0) & np.isfinite(size)]
            least, most = multiplier.smallest_normal, 2.0**multiplier.max_exponent
            if size.size and not (least <= size.min() and size.max() <= most):
                return False
    return True
