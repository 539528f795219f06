"""Two runs side by side, or two implementations of one run: what changed, what was not compared.

A violation is new where a case shows it that the other side has judged and found right. Where the
other side has not judged such a case, it may have been there all along, and is listed as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.errors import ConformanceError
from conformance.reports.cell_pair import (
    GONE,
    NEW,
    STILL,
    UNASKED,
    CellPair,
    Change,
    was_asked,
)
from conformance.reports.model import Report, order_of_violations
from conformance.reports.order import by_operator, grouped
from conformance.reports.settings import Setting, settings
from conformance.reports.speed import Speeds, speeds
from conformance.reports.text import plural
from conformance.runfile import words
from conformance.runfile.judged import read_lists
from conformance.runfile.tables import Cell

OLD, NEW_SIDE = 0, 1
_SIDES = ("old", "new")


@dataclass(frozen=True, slots=True)
class Missing:
    """What one side was not asked, so that nothing can be said of it."""

    implementation: str
    operator: str
    """Empty for all of them."""
    side: str
    """The side that was not asked: old or new."""
    cells: int
    """In how many cells."""
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from the old side to the new one."""

    old: Report
    new: Report
    names: tuple[tuple[str, str], ...]
    """The implementations that were compared: the old name, and the new one."""
    cells: int
    """How many cells both have."""
    cases: int
    """How many cases both have compared, in these cells."""
    only_old: int
    """How many further ones the old side has compared there."""
    only_new: int
    exact: bool
    """Whether the files say which cases were judged; else these are reckoned by their numbers."""
    newly_violates: tuple[Change, ...]
    newly_conforms: tuple[Change, ...]
    still_violates: tuple[Change, ...]
    missing: tuple[Missing, ...]
    speeds: Speeds
    settings: tuple[Setting, ...]
    """Versions, machine and what was asked for, where they differ."""

    @property
    def is_regression(self) -> bool:
        """Whether something violates that did not, or is slower: the exit status is 1."""
        return bool(self.newly_violates or self.speeds.slower)

    @property
    def between(self) -> bool:
        """Whether two implementations of one run are compared."""
        return self.old is self.new

    @property
    def headline(self) -> str:
        """What changed, in one sentence."""
        parts = [
            _counted("newly violates", self.newly_violates),
            _counted("newly conforms", self.newly_conforms),
            f"slower: {plural(len(self.speeds.slower), 'timing')}" if self.speeds.slower else "",
            f"faster: {plural(len(self.speeds.faster), 'timing')}" if self.speeds.faster else "",
        ]
        said = [part for part in parts if part] or ["Nothing changed"]
        said[0] = said[0][0].upper() + said[0][1:]
        compared = f"{plural(self.cases, 'case')} in {plural(self.cells, 'cell')}"
        about = "" if self.exact else "about "
        timed = f", {plural(self.speeds.compared, 'timing')}" if self.speeds.compared else ""
        return f"{'; '.join(said)}. Both have {about}{compared}{timed}."


def compare(
    old: Report, new: Report, names: Sequence[tuple[str, str]] = (), *, factor: float
) -> Comparison:
    """Return what changed; ``names`` are those to compare, by default all that both have.

    A speed has changed if it did by the ``factor`` and a rank test says so (`reports.speed`).
    Raises `ConformanceError` where nothing is there to be compared.
    """
    pairs = tuple(names) or tuple(
        (one.name, one.name)
        for one in old.implementations
        if any(one.name == other.name for other in new.implementations)
    )
    if not pairs:
        raise ConformanceError(
            f"{old.path} and {new.path} have no implementation in common: {_names(old)} there, "
            f"{_names(new)} here; --between OLD NEW compares two implementations of one run"
        )
    cells = list(_cell_pairs(old, new, pairs))
    both = [pair for pair in cells if pair.asked]
    changes = [found for pair in both for found in pair.changes()]

    def of(*kinds: int) -> tuple[Change, ...]:
        return _together(change for kind, change in changes if kind in kinds)

    return Comparison(
        old=old,
        new=new,
        names=pairs,
        cells=len(both),
        cases=sum(pair.common for pair in both),
        only_old=sum(pair.compared(OLD) - pair.common for pair in both),
        only_new=sum(pair.compared(NEW_SIDE) - pair.common for pair in both),
        exact=all(pair.exact for pair in both),
        newly_violates=of(NEW) + _timings(old, new, pairs),
        newly_conforms=of(GONE) + _stale(old, new, pairs),
        still_violates=of(STILL),
        missing=(*_missing_cells(cells), *_missing_cases(of), *(() if names else _alone(old, new))),
        speeds=speeds(old, new, pairs, factor),
        settings=settings(old, new, pairs),
    )


def _counted(word: str, changes: Sequence[Change]) -> str:
    """Return ``newly violates: CONV-5 of a, CONV-7 of b and 2 more``, or nothing."""
    named = [f"{c.requirement or c.message} of {c.implementation}" for c in changes]
    named = list(dict.fromkeys(named))
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{word}: {', '.join(named[:3])}{more}" if named else ""


def _names(report: Report) -> str:
    names = [one.name for one in report.implementations]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _cell_pairs(old: Report, new: Report, pairs: Sequence[tuple[str, str]]) -> Iterator[CellPair]:
    """Yield the cells of each pair of implementations, those that only one side has as well."""
    reports = (old, new)
    lists = [read_lists((row.digest, row.fingerprints) for row in r.cases) for r in reports]
    by_name = [grouped(report.cells, lambda cell: cell.implementation) for report in reports]
    violations = [
        grouped(
            sorted(report.violations, key=order_of_violations),
            lambda v: (v.implementation, v.operator, v.dims, v.dtype),
        )
        for report in reports
    ]
    for names in pairs:
        cells: list[dict[tuple[str, int, str], Cell]] = [
            {(c.operator, c.dims, c.dtype): c for c in by_name[side].get(name, [])}
            for side, name in enumerate(names)
        ]
        for place in dict.fromkeys((*cells[0], *cells[1])):
            yield CellPair(
                names=names,
                place=place,
                facts=(old.facts, new.facts),
                cells=(cells[0].get(place), cells[1].get(place)),
                violations=tuple(
                    grouped(violations[side].get((name, *place), []), lambda v: v.requirement)
                    for side, name in enumerate(names)
                ),
                lists=(lists[0], lists[1]),
            )


def _together(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return one change for each requirement and operator of an implementation, the worst first."""
    groups = grouped(changes, lambda c: (c.implementation, c.operator, c.requirement, c.message))
    merged = [
        replace(
            min(group, key=_order),
            cells=sum(change.cells for change in group),
            cases=sum(change.cases for change in group),
        )
        for group in groups.values()
    ]
    return tuple(sorted(merged, key=_order))


def _order(change: Change) -> tuple[object, ...]:
    violation = change.violation
    first = (violation is None, *(order_of_violations(violation) if violation else ()))
    return (*first, change.implementation, change.operator)


def _missing_cells(pairs: Sequence[CellPair]) -> Iterator[Missing]:
    """Yield where only one side has compared cases: the other lacks the cell, or declines all."""
    lacking = []
    for pair in pairs:
        asked = [cell is not None and was_asked(cell) for cell in pair.cells]
        if asked[0] != asked[1]:
            side = asked.index(False)
            cell = pair.cells[side]
            reason = cell.verdict if cell else "not in the run"
            lacking.append(Missing(pair.names[side], pair.place[0], _SIDES[side], 1, reason))
    groups = grouped(lacking, lambda m: (m.implementation, m.side, m.reason, m.operator))
    for group in sorted(groups.values(), key=lambda g: (g[0].side, by_operator(g[0].operator))):
        yield replace(group[0], cells=len(group))


def _missing_cases(of: Callable[..., tuple[Change, ...]]) -> Iterator[Missing]:
    """Yield the violations that one side shows in cases which the other has not judged."""
    for side, kind in enumerate(UNASKED):
        for change in of(kind):
            text = f"{change.requirement}: its cases were not judged"
            if change.violation:
                text += f": {change.violation.case}"
            yield Missing(change.implementation, change.operator, _SIDES[side], change.cells, text)


def _alone(old: Report, new: Report) -> Iterator[Missing]:
    """Yield the implementations that only one of the runs has, or that one could not call."""
    for side, (ours, theirs) in enumerate(((new, old), (old, new))):
        for one in ours.implementations:
            there = next((i for i in theirs.implementations if i.name == one.name), None)
            if there is None:
                yield Missing(one.name, "", _SIDES[side], 0, "not in the run")
            elif words.NOT_INSTALLED == there.verdict != one.verdict:
                yield Missing(one.name, "", _SIDES[side], 0, words.NOT_INSTALLED)


def _timings(old: Report, new: Report, pairs: Sequence[tuple[str, str]]) -> tuple[Change, ...]:
    """Return the timed layers whose outputs were right, and are wrong or not believable now."""
    right = {(t.implementation, t.layer) for t in old.timings if t.is_believed}
    return tuple(
        Change(name, t.layer, 1, "", 0, None, f"timed calls: {t.doubt or t.verified}")
        for before, name in pairs
        for t in new.timings
        if t.implementation == name and not t.is_believed and (before, t.layer) in right
    )


def _stale(old: Report, new: Report, pairs: Sequence[tuple[str, str]]) -> tuple[Change, ...]:
    """Return the known differences that occurred in the old run, and do no more."""
    occurred = {
        (k.implementation, k.operator, k.requirement, k.case)
        for k in old.known
        if k.status == words.KNOWN_DIFFERENCE
    }
    return tuple(
        Change(name, k.operator, 1, k.requirement, 0, None, "a known difference that is gone")
        for before, name in pairs
        for k in new.known
        if k.implementation == name and k.status == words.STALE
        if (before, k.operator, k.requirement, k.case) in occurred
    )
