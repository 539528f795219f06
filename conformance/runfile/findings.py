"""The tables of a file of findings, which every later fuzzing in its folder begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from conformance.runfile.row import Lines, Row

FUZZ_FOLDER, FUZZ_FILE = "convformance-fuzz", "fuzz.sqlite"
"""Where findings are kept, in which file."""
FOUND, AGAIN, GONE = "found", "found again", "gone"
"""The states of a finding: of this fuzzing, of an earlier one and still there, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Row):
    """One cause of failure, shown by its smallest case; it is shrunk once."""

    table = "finding"
    key = ("implementation", "operator", "requirement", "needs")

    implementation: str
    operator: str
    requirement: str
    needs: Annotated[str, "What the smallest case needs to fail: padding, several channels."]
    dims: int
    dtype: str
    status: str
    severity: str
    case: str
    found: Annotated[str, "The case that first showed it, before it was shrunk."]
    count: Annotated[int, "How many cases have shown it."]
    block: Annotated[int, "The number of the block that found it."]
    state: Annotated[str, "found | found again (of an earlier fuzzing) | gone."]
    message: Lines
    script: Annotated[Lines, "A standalone reproducer."]
    engine_script: Annotated[Lines, "One that uses the engine alone, or nothing."]
    replay: Annotated[str, "The command that judges the case again."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(Row):
    """What each implementation makes of a case that shows a finding, or a known difference."""

    table = "tried"
    key = ("case", "implementation")

    case: str
    implementation: str
    status: str
    requirement: Annotated[str, "What it violates there, or nothing."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst(Row):
    """The largest error that was met, as a share of the bound."""

    table = "worst"
    key = ("implementation", "operator")

    implementation: str
    operator: str
    share: float
    case: str
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Row):
    """One row a block: what was drawn, and what came of it."""

    table = "drawn"
    key = ("number",)

    number: int
    operator: str
    dims: int
    dtype: str
    cases: int
    judged: Annotated[int, "Calls that were judged, of all implementations."]
    found: Annotated[int, "New findings."]
    seconds: Annotated[float, "Of the process that judged it."]


TABLES: tuple[type[Row], ...] = (Finding, Tried, Worst, Drawn)
