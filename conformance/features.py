"""What a case has that people ask about by name: dilation, groups, NaN, an empty batch.

A cell counts its cases feature by feature, so that a report can say who has which, as a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import TypeAlias

from conformance.case import Case

INVALID = "invalid calls rejected"
"""What stands for an invalid case, whose other fields matter to nobody."""

NAMES = (
    "stride > 1",
    "dilation > 1",
    "padding",
    "asymmetric padding",
    "output padding",
    "even kernel",
    "bias",
    "groups > 1",
    "depthwise",
    "ceil_mode",
    "padding not counted",
    "empty batch",
    "channels-last arrays",
    "other memory layouts",
    "NaN",
    "infinities",
    "zeros of both signs",
    "subnormal numbers",
    "huge numbers",
    INVALID,
)
"""The features in the order of a table."""

_DATA = {
    "nan": "NaN",
    "inf": "infinities",
    "zeros": "zeros of both signs",
    "subnormal": "subnormal numbers",
    "huge": "huge numbers",
}


def features_of(case: Case) -> list[str]:
    """Return the names of what a case has. It is asked of every case: so it is plain and quick."""
    if case.invalid:
        return [INVALID]
    found = [name] if (name := _DATA.get(case.data)) else []
    if max(case.stride, default=1) > 1:
        found.append("stride > 1")
    if max(case.dilation, default=1) > 1:
        found.append("dilation > 1")
    sides = [side for pair in case.padding for side in pair]
    if any(sides):
        found.append("padding")
        if sides[::2] != sides[1::2]:
            found.append("asymmetric padding")
    if any(case.output_padding):
        found.append("output padding")
    if any(size % 2 == 0 for size in case.window):
        found.append("even kernel")
    if case.bias:
        found.append("bias")
    if case.groups > 1:
        found.append("groups > 1")
        if case.groups == case.x[1]:
            found.append("depthwise")
    if case.ceil_mode:
        found.append("ceil_mode")
    if not case.count_include_pad:
        found.append("padding not counted")
    if not case.x[0]:
        found.append("empty batch")
    if case.memory != "contiguous":
        last = case.memory.startswith("channels_last")
        found.append("channels-last arrays" if last else "other memory layouts")
    return found


@dataclass(slots=True)
class Count:
    """What came of the cases of a cell that have a feature."""

    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    known: int = 0

    def plus(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


Counts: TypeAlias = Mapping[str, Count]


def total(counts: Iterable[Count]) -> Count:
    """Return the sum of counts."""
    whole = Count()
    for count in counts:
        whole = whole.plus(count)
    return whole


def written(counts: Counts) -> str:
    """Return counts by feature as text for the run file."""
    return json.dumps({name: list(astuple(count)) for name, count in counts.items()})


def read(text: str) -> dict[str, Count]:
    """Return the counts that `written` wrote; none for any other text."""
    try:
        return {str(n): Count(*map(int, four)) for n, four in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
