"""Verdicts: what came of one implementation on one case, as facts besides the words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from conformance.calling import CRASH, ENDINGS, HANG, MEMORY, Observation
from conformance.case import Case, Shape
from conformance.runfile.words import CRASHED, TIMED_OUT, UNSUPPORTED, VIOLATES

ENDED = {
    CRASH: (CRASHED, "PROCESS-1", "the call ended its process"),
    HANG: (TIMED_OUT, "PROCESS-2", "the call did not come back"),
    MEMORY: (CRASHED, "PROCESS-3", "the call took more memory than is allowed"),
}
"""Status, requirement and words for a call that ended without an answer."""

RAISED, DECLINED = "raised", "declined"

HISTORY_OF_RELATIONS = "relations"
"""What a verdict says in the place of a history where calls that must agree showed it."""


class Problem(NamedTuple):
    """What is wrong with one output."""

    requirement: str
    """The requirement that is violated."""
    message: str
    at: Shape | None = None
    """The index of the worst element, channels-first; None where no element is to blame."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one implementation on one case."""

    implementation: str
    case: Case
    status: str
    """conforms, violates, unsupported, crashed or timed out."""
    requirement: str | None = None
    """The requirement that is violated."""
    message: str = ""
    """What a person is told; nothing is decided by it."""
    worst: float = 0.0
    """The largest error as a fraction of the bound; 0 where the result involves no arithmetic."""
    history: str = ""
    """The name of the history of calls that shows it (`conformance.checks.histories`); empty where
    one call does."""
    outcome: str | None = None
    """How the call came to have no result: ``raised``, ``declined``, or one of
    `conformance.calling.ENDINGS`; None where it has one, or where no one call was judged."""
    at: Shape | None = None
    """The index of the worst element of the case's output, channels-first, where one is wrong."""

    @property
    def failed(self) -> bool:
        """Whether the implementation is wrong."""
        return self.status in (VIOLATES, CRASHED, TIMED_OUT)

    @property
    def ended(self) -> bool:
        """Whether the call ended its process, or did not come back."""
        return self.outcome in ENDINGS

    def __str__(self) -> str:
        head = f"{self.implementation}: {self.status}"
        if self.requirement:
            head += f" {self.requirement}"
        return f"{head}: {self.message}" if self.message else head


def without_result(name: str, case: Case, seen: Observation) -> Verdict | None:
    """Return the verdict on a call of a valid case that has no result, None where it has one."""
    if seen.ended is not None:
        status, requirement, words = ENDED[seen.ended]
        text = f"{words}: {seen.how}"
        return Verdict(name, case, status, requirement, text, outcome=seen.ended)
    if seen.unsupported is not None:
        reason = seen.unsupported
        return Verdict(name, case, UNSUPPORTED, message=reason, outcome=DECLINED)
    if seen.raised is not None:
        text = f"raised on a valid case: {seen.raised}"
        return Verdict(name, case, CRASHED, "DECLARE-1", text, outcome=RAISED)
    return None
