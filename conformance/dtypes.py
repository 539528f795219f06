"""Floating-point formats: their precision and range, and the NumPy dtypes that hold them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from conformance.errors import ConformanceError


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating-point format (IEEE 754-2019, section 3.3)."""

    name: str
    digits: int
    """Significand digits p, the hidden bit included: integers up to 2**p are exact."""
    min_exponent: int
    """Exponent of the smallest normal number, 2**min_exponent."""
    max_exponent: int
    """Exponent of the largest power of two, 2**max_exponent."""

    @property
    def unit_roundoff(self) -> float:
        """u = 2**-p, the largest relative error of one rounding to nearest."""
        return 2.0**-self.digits

    @property
    def smallest_normal(self) -> float:
        return 2.0**self.min_exponent

    @property
    def smallest_subnormal(self) -> float:
        return 2.0 ** (self.min_exponent - self.digits + 1)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("bfloat16", 8, -126, 127),
        Format("float16", 11, -14, 15),
        Format("tf32", 11, -126, 127),
        Format("float32", 24, -126, 127),
        Format("float64", 53, -1022, 1023),
    )
}
"""Formats that data, accumulators and multipliers may have. tf32 is never a dtype of an array."""

FLOATS: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")
"""Names of the floating-point dtypes; every operator has them."""

INTEGERS: tuple[str, ...] = ("int8", "int16", "int32", "int64", "uint8")
"""Names of the integer dtypes, which some operators have as well (`Operator.dtypes`)."""

DTYPES = FLOATS + INTEGERS
"""Names of the dtypes that a case may have."""

DEFAULT_ACCUMULATOR = {"bfloat16": "float32", "float16": "float32"}
"""What an implementation is expected to accumulate in, where that is not the dtype itself."""


def available(name: str) -> bool:
    """Whether arrays of this dtype can be made here: bfloat16 needs the package ml_dtypes."""
    return name != "bfloat16" or importlib.util.find_spec("ml_dtypes") is not None


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype called ``name``; raise `ConformanceError` for an unknown one."""
    if name not in DTYPES:
        raise ConformanceError(f"dtype '{name}' is unknown; known are {', '.join(DTYPES)}")
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ConformanceError(
            "dtype 'bfloat16' needs ml_dtypes: pip install 'convformance[half]'"
        ) from None
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
