"""Text that every form of report shares: titles, shortened messages and printed numbers."""

from __future__ import annotations

import math

from conformance.errors import ConformanceError
from conformance.requirements import requirement

NONE = "-"
"""What a table shows where there is no value."""


def shorten(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, and how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} ... ({len(text) - limit:,} more characters)"


def requirement_title(number: str) -> str:
    """Return ``CONV-3: its title``, or the bare number where this version does not know it."""
    try:
        return f"{number}: {requirement(number).title}"
    except ConformanceError:  # a run may cite a later text
        return number


def sentence(text: str) -> str:
    """Return text with a capital letter and a full stop; empty text as it is."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Return ``1 case``, ``2 cases``, ``1,000 cases``."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"


def multiple(value: float | None) -> str:
    """Print a fraction or multiple of the bound with about three significant digits."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return "<0.001"
    if abs(value) < 10:
        text = f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
        if text in ("1.000", "1.00") and value != 1:  # the bound itself is where rounding misleads
            return ">1" if value > 1 else "<1"
        return text
    if abs(value) < 99.95:
        return f"{value:.1f}"
    return f"{value:.0f}" if abs(value) < 10_000 else f"{value:.1e}".replace("e+0", "e")


def share(part: int, whole: int) -> str:
    """Print ``part`` of ``whole`` in percent; 100% and 0% mean all and none, never nearly."""
    if whole <= 0:
        return NONE
    if part in (0, whole):
        return "100%" if part else "0%"
    percent = math.floor(1000 * part / whole) / 10
    return f"{min(percent, 99.9):.1f}%" if percent >= 0.1 else "<0.1%"


def percentage(value: float | None) -> str:
    """Print a fraction of one in percent, without decimals where it is 10% or more."""
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{100 * value:.0f}%" if value >= 0.0995 else f"{100 * value:.1f}%"


def seconds(value: float | None) -> str:
    """Print a duration with three significant digits and its unit: s, ms, us or ns."""
    if value is None or not math.isfinite(value):
        return NONE
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-9)} ns"


def mebibytes(value: int | None) -> str:
    """Print bytes in MiB."""
    return NONE if value is None else f"{_three_digits(value / 2**20)} MiB"


def number(value: float | None) -> str:
    """Print a rate or a ratio with three significant digits."""
    return NONE if value is None or not math.isfinite(value) else _three_digits(value)


def _three_digits(value: float) -> str:
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{digits}f}"
