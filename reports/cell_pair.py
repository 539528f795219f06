"""One cell of two runs: the cases that both have judged, and the requirements that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from conformance.requirements import check_of
from conformance.runfile import words
from conformance.runfile.asked import HISTORIES, RELATIONS
from conformance.runfile.judged import Fingerprints, Judged, read_cell
from conformance.runfile.tables import Cell, Violation

NEW, GONE, STILL = range(3)
"""A requirement is violated by the new side alone, by the old side alone, or by both."""
UNASKED = (3, 4)
"""It is violated by one side, in cases that the old one, or the new one, has not judged."""

_SAME = ("seed", "examples", "tier", "suites", "spec", "checks")
"""The facts of a run that say which cases it judges."""
_CLASSES = {"repeat": HISTORIES, "relations": RELATIONS}
"""What a cell must have been asked for a finding of these checks, which have no case of a list."""


@dataclass(frozen=True, slots=True)
class Change:
    """A requirement that one side violates in an operator and the other does not."""

    implementation: str
    operator: str
    cells: int
    """In how many cells it shows."""
    requirement: str
    """Its number; empty where a verdict changed and no case is there to show it."""
    cases: int
    """How many of the cases that both have judged are right on one side and wrong on the other."""
    violation: Violation | None
    """The one with the smallest case, of the side that violates."""
    message: str
    """What changed, in a few words."""


@dataclass(frozen=True)
class CellPair:
    """A cell of both sides, the old one first; either may be missing."""

    names: tuple[str, str]
    place: tuple[str, int, str]
    """Operator, number of dimensions and dtype."""
    facts: tuple[Mapping[str, Any], Mapping[str, Any]]
    cells: tuple[Cell | None, Cell | None]
    violations: Sequence[Mapping[str, Sequence[Violation]]]
    """By requirement, the smallest case first."""
    lists: tuple[dict[str, Fingerprints], dict[str, Fingerprints]]

    @cached_property
    def judged(self) -> tuple[Judged | None, Judged | None]:
        """The cases that each side has judged, if its file says which."""
        old, new = (
            read_cell(cell.cases, lists) if cell and cell.cases else None
            for cell, lists in zip(self.cells, self.lists, strict=True)
        )
        return old, new

    @property
    def asked(self) -> bool:
        """Whether both sides have compared something."""
        return all(cell is not None and was_asked(cell) for cell in self.cells)

    @property
    def exact(self) -> bool:
        """Whether it is known which cases were judged, and not only how many."""
        return None not in self.judged

    def compared(self, side: int) -> int:
        """Return how many cases a side has compared."""
        judged, cell = self.judged[side], self.cells[side]
        if self.exact and judged is not None:
            return len(judged.compared)
        return cell.compared if cell else 0

    @cached_property
    def common(self) -> int:
        """How many cases both have compared."""
        old, new = self.judged
        if old is not None and new is not None:
            return len(np.intersect1d(old.compared, new.compared))
        if not self._same_cases:
            return 0
        before, now = (cell.by_class if cell else {} for cell in self.cells)
        return sum(min(done, now.get(name, (0, 0))[1]) for name, (_, done) in before.items())

    @property
    def _same_cases(self) -> bool:
        """Whether both runs were asked for the same cases, as far as their files tell."""
        return all(self.facts[0].get(key) == self.facts[1].get(key) for key in _SAME)

    def changes(self) -> Iterator[tuple[int, Change]]:
        """Yield what differs, and of which kind that is."""
        old, new = self.violations
        for number, found in new.items():
            if number in old:
                yield STILL, self._change(number, found[0], 0, "both violate it")
            else:
                kind = NEW if self._was_judged(0, found) else UNASKED[0]
                yield kind, self._change(number, found[0], self._newly_wrong(0), "conformed before")
        for number, found in old.items():
            if number not in new:
                kind = GONE if self._was_judged(1, found) else UNASKED[1]
                yield kind, self._change(number, found[0], self._newly_wrong(1), "conforms now")
        if new and all(number in old for number in new) and (count := self._newly_wrong(0)):
            number, found = next(iter(new.items()))
            text = "violated before in other cases, and right in these"
            yield NEW, self._change(number, found[0], count, text)
        if not old and not new:
            yield from self._verdicts()

    def _verdicts(self) -> Iterator[tuple[int, Change]]:
        """Yield a verdict that changed though no case is there to show it: a wrong adapter."""
        before, now = (cell.verdict if cell else "" for cell in self.cells)
        failed = [verdict in (*words.FAILED, words.ADAPTER_WRONG) for verdict in (before, now)]
        if failed == [False, True]:
            yield NEW, self._change("", None, 0, f"{before}, now {now}")
        elif failed == [True, False] and now == words.CONFORMS:
            yield GONE, self._change("", None, 0, f"{before}, now {now}")

    def _newly_wrong(self, right: int) -> int:
        """Return how many cases are right on the side ``right`` and wrong on the other."""
        ours, theirs = self.judged[right], self.judged[1 - right]
        if ours is None or theirs is None:
            return 0
        was_right = np.setdiff1d(ours.compared, ours.violating)
        return len(np.intersect1d(was_right, theirs.violating))

    def _was_judged(self, side: int, violations: Sequence[Violation]) -> bool:
        """Whether a side was asked what shows a violation of the other: a case, or a history."""
        cell, checks = self.cells[side], self.facts[side].get("checks")
        check = check_of(violations[0].requirement)
        if cell is None or (isinstance(checks, list) and check not in checks):
            return False
        ours, theirs = self.judged[side], self.judged[1 - side]
        if ours is None or theirs is None:
            return self._same_cases
        if any(violation.found in ours for violation in violations) or self._newly_wrong(side):
            return True
        if any(violation.found in theirs for violation in violations):
            return False  # it is a case of the list, which this side does not have
        name = _CLASSES.get(check)
        return cell.by_class.get(name, (0, 0))[1] > 0 if name else cell.compared > 0

    def _change(self, number: str, violation: Violation | None, cases: int, message: str) -> Change:
        return Change(self.names[1], self.place[0], 1, number, cases, violation, message)


def was_asked(cell: Cell) -> bool:
    """Whether something was compared in a cell, or it ended before."""
    return cell.compared > 0 or cell.verdict in (*words.FAILED, words.ADAPTER_WRONG)
