"""A cell of a run: what came of one implementation for one operator, dimension and dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.case import Case
from conformance.checks.conventions import Probe
from conformance.judging import Verdict
from conformance.runfile import tables
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    UNSUPPORTED,
    VIOLATES,
)
from conformance.running.causes import Violation, shrink_to_violations
from conformance.running.known_in_run import Subject

MIN_COMPARED = 10
"""A cell that compared fewer cases than this proves too little to be called conforming."""

MIN_NONZERO = 0.1
"""So does one in which fewer than this share of the cases has a result that is not all zero."""


@dataclass(slots=True)
class Cell:
    """What came of one implementation for one operator, dimension and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int = 0
    reached: int = 0
    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    elements: int = 0
    nonzero: int = 0
    worst: float = 0.0
    worst_case: Case | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    covered: Counter[int] = field(default_factory=Counter)
    """Failures that a known difference covers, by its place in the implementation's list; they are
    not among the violating ones."""
    conventions: list[Probe] = field(default_factory=list)
    """Which alternative of each convention was seen to be followed."""
    stopped: bool = False
    """Whether the clock ended it, so that another run may judge other cases."""
    adapter_wrong: bool = False
    """Whether nothing was judged, because the adapter fails the simplest cases."""

    @property
    def known(self) -> int:
        """How many failures a known difference covers."""
        return self.covered.total()

    @property
    def verdict(self) -> str:
        """violates, conforms, unsupported, inconclusive where too little was compared, or known.

        Or that the adapter is wrong, where it is, and nothing was judged.
        """
        if self.adapter_wrong:
            return ADAPTER_WRONG
        if self.violating:
            return VIOLATES
        if self.known:
            return KNOWN_DIFFERENCE
        if self.unsupported and not self.nonzero:  # invalid calls alone were compared
            return UNSUPPORTED
        if self.nonzero < max(MIN_COMPARED, MIN_NONZERO * self.compared):
            return INCONCLUSIVE
        return CONFORMS

    def row(self) -> tables.Cell:
        """Return the cell as a row of the run file."""
        return tables.Cell.of(self, worst_case=self.worst_case.id if self.worst_case else None)

    def count(self, verdict: Verdict, *, elements: int, nonzero: bool) -> None:
        """Add a verdict on a case: how many ``elements`` it has, and whether one is ``nonzero``."""
        self.reached += 1
        if verdict.status == UNSUPPORTED:
            self.unsupported += 1
            return
        self.compared += 1
        self.elements += elements
        self.nonzero += nonzero
        if verdict.worst > self.worst:
            self.worst, self.worst_case = verdict.worst, verdict.case

    def explain(self, subject: Subject, failures: Sequence[Verdict], *, interrupted: bool) -> bool:
        """Add failures: the causes of those that no known difference covers.

        They are not shrunk once the user has ``interrupted`` the run. Return whether he has by now.
        """
        new, covered = subject.separate_known(failures)
        self.covered += covered
        self.violating += len(new)
        shown = {(violation.requirement, violation.case) for violation in self.violations}
        violations = shrink_to_violations(
            subject.implementation, new, subject.entries, shrinking=not interrupted
        )
        try:
            for violation in violations:
                if (violation.requirement, violation.case) not in shown:
                    self.violations.append(violation)
        except KeyboardInterrupt:
            return True
        return interrupted
