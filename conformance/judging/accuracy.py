"""What an implementation declares about its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.registration.implementation import Implementation
from conformance.rounding import Arithmetic


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What an implementation declares about its arithmetic: formats, error class, conventions."""

    accumulate: str | None = None
    multiply: str | None = None
    amplification: float | None = None
    """None for componentwise; else the factor of the normwise bound."""
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
            implementation.conventions.get("subnormal") == "flush",
            implementation.conventions.get("nan") == "ignore",
            implementation.conventions.get("tie", "first"),
        )

    def arithmetic(self, dtype: str) -> Arithmetic:
        """Return the formats that sums of a floating-point dtype are computed in."""
        return Arithmetic.of(dtype, self.accumulate, self.multiply, flush=self.flush)
