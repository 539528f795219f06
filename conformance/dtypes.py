"""Floating-point formats: their precision and range, and the NumPy dtypes that hold them."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from conformance.errors import ConformanceError, unknown


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


def holds(wide: Format, other: Format) -> bool:
    """Whether every number of the ``other`` format is one of the ``wide`` one."""
    return (
        wide.digits >= other.digits
        and wide.max_exponent >= other.max_exponent
        and wide.min_exponent <= other.min_exponent
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the suite has to know of a dtype that arrays may have."""

    wider: str | None = None
    """A dtype that holds all of its numbers: calls of mixed dtypes have an array of it."""
    narrower: str | None = None
    """A dtype that does not hold all of its numbers: calls of mixed dtypes have an array of it."""
    accumulate: str | None = None
    """The format that an implementation is expected to accumulate in; None for the dtype itself."""
    narrow_accumulator: str | None = None
    """The narrowest accumulator that good engines are known to use for it."""
    classes: tuple[str, ...] = ()
    """The classes of accuracy that probes tell apart, the strictest first. Each is the format of an
    accumulator, or of a multiplier's inputs."""
    reach: float = 0.0
    """The recipe ``wide`` draws magnitudes from 2**-reach to 2**reach."""
    package: str | None = None
    """The package that gives NumPy the dtype; None where NumPy has it."""


_FLOATS = {
    "float32": Traits(
        wider="float64",
        narrower="float16",
        reach=12.0,
        classes=("float64", "float32", "tf32 multiplier", "bfloat16 multiplier", "float16"),
    ),
    "float64": Traits(
        narrower="float32", narrow_accumulator="float32", reach=24.0, classes=("float64", "float32")
    ),
    "float16": Traits(
        wider="float32",
        accumulate="float32",
        narrow_accumulator="float16",
        reach=3.0,
        classes=("float64", "float32", "float16"),
    ),
    "bfloat16": Traits(
        wider="float32",
        accumulate="float32",
        narrow_accumulator="bfloat16",
        reach=8.0,
        classes=("float64", "float32", "bfloat16"),
        package="ml_dtypes",
    ),
}
_INTEGERS = {
    "int8": Traits(wider="int16"),
    "int16": Traits(wider="int32"),
    "int32": Traits(wider="int64", narrower="int16"),
    "int64": Traits(narrower="int32"),
    "uint8": Traits(wider="int16"),
}
TRAITS: Mapping[str, Traits] = MappingProxyType(_FLOATS | _INTEGERS)
"""The dtypes that a case may have, by name: another dtype is a row here, and a format above."""

FLOATS, INTEGERS, DTYPES = tuple(_FLOATS), tuple(_INTEGERS), tuple(TRAITS)
"""Names of the floating-point dtypes, which every operator has, of the integer ones, and of all."""

DEFAULT_ACCUMULATOR = {name: own.accumulate for name, own in TRAITS.items() if own.accumulate}
"""What an implementation is expected to accumulate in, where that is not the dtype itself."""


_CALLED_OTHERWISE = {
    "half": "float16",
    "single": "float32",
    "float": "float32",
    "double": "float64",
    "bfloat": "bfloat16",
    "char": "int8",
    "byte": "uint8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
}
"""The names that languages and frameworks have for some dtypes."""
_ABBREVIATED = re.compile(r"(bf|fp|f|float|bfloat|i|s|int|u|uint)(8|16|32|64)(?:_t)?")
_KINDS = {"b": "bfloat", "f": "float", "i": "int", "s": "int", "u": "uint"}


def meant_dtype(name: object) -> str:
    """Return the dtype that another name of it, such as fp32 or torch.half, stands for, or ""."""
    plain = str(name).rpartition(".")[2].casefold()
    match = _ABBREVIATED.fullmatch(plain)
    full = f"{_KINDS[match[1][0]]}{match[2]}" if match else _CALLED_OTHERWISE.get(plain, "")
    return full if full in DTYPES else ""


def available(name: str) -> bool:
    """Whether arrays of this dtype can be made here: the package that it needs is installed."""
    package = TRAITS[name].package
    return package is None or importlib.util.find_spec(package) is not None


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype called ``name``; raise `ConformanceError` for an unknown one."""
    if name not in DTYPES:
        raise ConformanceError(unknown("dtype", name, DTYPES, meant=meant_dtype(name)))
    package = TRAITS[name].package
    if package is None:
        return np.dtype(name)
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise ConformanceError(f"dtype '{name}' needs {package}: pip install {package}") from None
    dtype: np.dtype[Any] = np.dtype(getattr(module, name))
    return dtype


def dtype_from(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of that name, one that no case has, such as bool, among them."""
    return numpy_dtype(name) if name in DTYPES else np.dtype(name)
