"""Which lines of an implementation's source a run has reached, and what it says of the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from conformance.calling.measuring import FALSE, LINE, RAISED, Seen
from conformance.runfile import tables
from conformance.running.from_source import beyond
from conformance.sources.own import Source
from conformance.sources.statements import Statement


@dataclass(slots=True)
class Coverage:
    """What calls of one operator have reached of its source, or those of several together."""

    source: Source
    operator: str
    dims: int
    seen: set[tuple[str, int, int]] = field(default_factory=set)
    """File, line, and what was seen there (`conformance.calling.measuring.Seen`)."""
    partial: bool = False
    """Whether some of it was not measured."""

    def add(self, seen: Iterable[Seen], *, partial: bool) -> None:
        """Add what was seen."""
        self.seen |= {(file, line, what) for _, file, line, what in seen if what <= RAISED}
        self.partial |= partial


def rows(name: str, parts: Sequence[Coverage]) -> Iterator[tables.Source]:
    """Yield a row for each file of an implementation's source that calls have reached."""
    seen = {one for part in parts for one in part.seen}
    partial = any(part.partial for part in parts)
    statements = {(s.file, s.first): s for part in parts for s in part.source.statements}
    unreached = ", ".join(f"{number:,}" for number in _beyond(parts))
    for file, of_file in groupby(sorted(statements), key=itemgetter(0)):
        own = [statements[place] for place in of_file]
        reached = {s.first for s in own if _has(seen, s, LINE)}
        entered = {s.function for s in own if s.first in reached}
        watched = [s for s in own if s.function in entered or not s.unwatched]
        if not reached:  # nothing could be measured
            continue
        missed = [s for s in watched if s.first not in reached]
        raising = {s.first for s in missed if _has(seen, s, RAISED)}
        yield tables.Source(
            implementation=name,
            file=Path(file).name,
            statements=len(watched),
            executed=len(reached),
            never=_spans(own, {s.first for s in missed} - raising),
            raising=_spans(own, raising),
            always=", ".join(str(s.first) for s in watched if _always(s, own, seen, reached)),
            beyond=unreached,
            partial=partial,
        )
        unreached = ""


def _has(seen: Set[tuple[str, int, int]], statement: Statement, what: int) -> bool:
    lines = range(statement.first, statement.last + 1)
    return any((statement.file, line, what) in seen for line in lines)


def _always(
    statement: Statement,
    own: Sequence[Statement],
    seen: Set[tuple[str, int, int]],
    reached: Set[int],
) -> bool:
    """Whether the condition of an ``if`` without an ``else`` was true in every call."""
    if statement.condition is None or statement.first not in reached:
        return False
    body = range(statement.condition[4], statement.condition[5] + 1)
    entered = any(s.first in reached for s in own if s.first in body)
    return entered and not _has(seen, statement, FALSE)


def _spans(own: Sequence[Statement], chosen: Set[int]) -> str:
    """Return the lines of the chosen statements, those that follow one another as a range."""
    spans: list[tuple[int, int]] = []
    for is_chosen, group in groupby(own, key=lambda s: s.first in chosen):
        if is_chosen:
            together = list(group)
            spans.append((together[0].first, max(s.last for s in together)))
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in spans)


def _beyond(parts: Sequence[Coverage]) -> list[int]:
    """Return the numbers of the source that no case was cheap enough for, whatever the operator."""
    numbers = {number for part in parts for number in part.source.numbers}
    for part in parts:
        numbers &= beyond(numbers, part.operator, part.dims)
    return sorted(numbers)
