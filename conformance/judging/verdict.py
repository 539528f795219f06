"""Verdicts: facts about one implementation on one case, besides a message for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import NamedTuple

from conformance.calling import CRASH, ENDINGS, HANG, MEMORY, MadeCall, Observation
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
"""The ``history`` of a verdict on calls that must agree with one another."""
THREADS, PROCESS = "threads", "process"
"""That of a verdict on calls of several threads, and on a call whose whole process is watched."""


class Problem(NamedTuple):
    """What is wrong with one output."""

    requirement: str
    """The requirement that is violated."""
    message: str
    at: Shape | None = None
    """The index of the worst element, channels-first; None where no element is to blame."""


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """The verdict on one implementation for one case."""

    implementation: str
    case: Case
    status: str
    """conforms, violates, unsupported, crashed or timed out."""
    requirement: str | None = None
    """The requirement that is violated."""
    message: str = ""
    """A message for people; nothing is decided by it."""
    worst: float = 0.0
    """The largest error as a fraction of the bound; 0 where the result involves no arithmetic."""
    history: str = ""
    """The name of the history of calls that shows a violation (`conformance.checks.histories`);
    empty if one call shows it."""
    outcome: str | None = None
    """Why the call has no result: ``raised``, ``declined``, or one of
    `conformance.calling.ENDINGS`; None if it has one, or if several calls were judged."""
    at: Shape | None = None
    """The index of the worst element of the case's output, channels-first, where one is wrong."""
    cause: str = ""
    """What tells failures of one requirement apart, besides the case: the type of what was raised,
    or how the process ended, and the line of the implementation (``ValueError at mine.py:12``)."""
    of_probes: bool = False
    """Whether it took several probes of a convention to show it: no call alone shows it."""
    before: tuple[MadeCall, ...] = field(default=(), compare=False, repr=False)
    """The last calls that the same worker had made before; none where this process calls."""
    side: str = field(default="", compare=False, repr=False)
    """The end of its arrays that lay against a page without access in the call
    (`conformance.calling.guards`); empty where none did, and for several calls."""
    alone: Case | None = None
    """The call of the ``history`` that is to blame, if it gives the same wrong result by itself:
    what is known of that call covers it. None if it takes the calls before, or was not tried."""
    also: tuple[Verdict, ...] = ()
    """What else is wrong with the same call: one finding does not hide another."""

    def without_calls(self) -> Verdict:
        """Return the same without the calls made before, whose arrays take much room."""
        return replace(self, before=(), also=tuple(one.without_calls() for one in self.also))

    @property
    def findings(self) -> tuple[Verdict, ...]:
        """All that is wrong with the call, one verdict each."""
        return (*((self,) if self.failed else ()), *self.also)

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

    def __repr__(self) -> str:
        return f"<Verdict {shortened(str(self))} [{self.case}]>"

    def _repr_html_(self) -> str:
        head = f"{self.implementation}: {self.status} {self.requirement or ''}".rstrip()
        parts = (
            f"<b>{escape(head)}</b>",
            escape(self.message),
            f"<code>{escape(str(self.case))}</code>",
        )
        return "<br>".join(filter(None, parts))


def shortened(text: str, most: int = 200) -> str:
    """Return a text on one line, and cut if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]} ..."


def without_result(name: str, case: Case, observation: Observation) -> Verdict | None:
    """Return the verdict on a call of a valid case without a result, or None if there is one."""
    if observation.ended is not None:
        status, requirement, words = ENDED[observation.ended]
        text = f"{words}: {observation.how}"
        cause = cause_of(observation)
        return Verdict(
            name, case, status, requirement, text, outcome=observation.ended, cause=cause
        )
    if observation.unsupported is not None:
        reason = observation.unsupported
        return Verdict(name, case, UNSUPPORTED, message=reason, outcome=DECLINED)
    if observation.raised is not None:
        text = f"raised on a valid case: {observation.raised}"
        cause = cause_of(observation)
        return Verdict(name, case, CRASHED, "DECLARE-1", text, outcome=RAISED, cause=cause)
    return None


def cause_of(observation: Observation) -> str:
    """Return what a call without a result raised, or how it ended, and the line where it did."""
    return " at ".join(filter(None, (observation.error, observation.where)))


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the first of several verdicts on one call, with the others as what ``also`` is wrong.

    At least one is given; of those that failed, none is lost.
    """
    first, *others = verdicts
    if not others:
        return first
    return replace(first, also=(*first.also, *(v for other in others for v in other.findings)))
