"""Violations, and the causes that they show: what failures of a cell have in common."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.case import Case
from conformance.judging import Verdict
from conformance.runfile.words import TIMED_OUT
from conformance.running.again import kind_of
from conformance.running.needs import needs_of, needs_of_kind


@dataclass(frozen=True, slots=True)
class Violation:
    """One cause of failure in a cell, shown by the smallest case that still fails."""

    requirement: str
    status: str
    severity: str
    """How bad it is: one of `conformance.requirements.SEVERITIES`."""
    case: Case
    found: Case
    count: int
    message: str
    script: str
    engine_script: str
    """The case as a script of at most ten lines that needs the engine alone; may be empty."""
    replay: str
    named: str = ""
    """The names of the user's own cases that show it: case 'conv1' of suite 'mine'."""
    cause: str = ""
    """What was raised, or how the process ended, and where (`conformance.judging.Verdict`)."""
    needs: str = ""
    """What the smallest case needs to fail: ``padding, several channels``."""
    not_called: int = 0
    """How many of the cases were not called, since this cause covers them and ends the process."""
    times_called: int = 0
    times_failed: int = 0
    after: str = ""
    """The calls that must come before, by case id, a line each."""
    before: str = ""
    """The last calls that came before where it failed, if it did not fail again."""
    picture: str = ""
    """The arrays of the smallest case, for a report to draw (`conformance.running.picture`)."""


@dataclass(slots=True)
class Cause:
    """A cause that was found: what its failures have in common, and its violation so far."""

    kind: str
    needs: frozenset[str]
    violation: Violation
    ends: bool
    """Whether its failures end the process."""
    elsewhere: bool = False
    """Whether another function is to blame: then the violation is not one of this cell."""

    @property
    def hangs(self) -> bool:
        """Whether its calls do not come back."""
        return self.violation.status == TIMED_OUT

    def covers(self, failure: Verdict) -> bool:
        """Whether a failure may have this cause.

        What ends the process on valid calls does so on invalid ones as well.
        """
        if self.kind == kind_of(failure):
            return self.needs <= needs_of_kind(failure.case, self.kind)
        return failure.ended and failure.case.invalid != "" and self.may_end(failure.case)

    def may_end(self, case: Case) -> bool:
        """Whether this cause may end the process when a case is called."""
        shown = self.violation.case.invalid
        if not self.ends or shown not in ("", case.invalid):
            return False
        return self.needs <= needs_of(case if shown else case.replace(invalid=""))
