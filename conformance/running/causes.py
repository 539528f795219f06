"""From failures to causes: failures are shrunk, and those of one cause are one violation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from conformance.calling import CRASH, HANG
from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.checks.relations import judge_alone
from conformance.isolation.dispatch import caller_of, start_ahead
from conformance.judging import Verdict
from conformance.known.difference import KnownDifference
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import severity
from conformance.running.again import judge_again, kind_of, way_of
from conformance.running.citing import cite
from conformance.running.known_in_run import matching_entry
from conformance.running.needs import needs_of, needs_of_kind
from conformance.running.picture import picture
from conformance.running.repetition import CALLS, SHOWN, Fails, Repetition, repeated, repeated_here
from conformance.running.shrink import shrink
from conformance.running.violation import Cause, Violation
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import replay_command, script_of

MAX_CAUSES = 4
"""How many causes of failures of one kind are reported in one cell."""
MAX_TRIES = 8
"""How many failures of one kind are shrunk: two may turn out to have one cause."""
EACH_SECONDS = 4.0
"""Time for shrinking one failure."""
MAX_SECONDS = 10.0
"""Time for shrinking the failures of one cell; the remaining ones are reported unshrunk."""
MAX_ENDINGS = 4
"""How many failures that end the process are shrunk in one cell: each call of them costs a worker.
Further ones are shown by the case that failed first."""
MAX_HANGS = 6
"""How many calls that do not come back are made while failures of one cell are shrunk."""
_RESTARTS, _RESTART_SECONDS = 10, 15.0
"""How many starts of a worker are allowed on top, where failures end the worker, and the seconds
that they may take: an engine that takes seconds to load is started a few times."""


Confirmed: TypeAlias = set[tuple[str, str, str, frozenset[str]]]
"""What was shown in a new worker, every time: implementation, operator, kind of failure, needs."""


@dataclass(slots=True)
class _Trial:
    """A failure that is looked into: the cases that fail in its way, and the smallest of them."""

    failure: Verdict
    kind: str
    seen: dict[Case, Verdict]
    """What calls of such cases showed last."""
    smallest: Case = field(init=False)
    shown_smallest: bool = field(default=False, init=False)
    """Whether it is known that no smaller case fails (`Causes.again`)."""

    def __post_init__(self) -> None:
        self.smallest = self.failure.case

    @property
    def verdict(self) -> Verdict:
        """The verdict on the smallest case."""
        return self.seen[self.smallest]

    @property
    def needs(self) -> frozenset[str]:
        """What the smallest case needs to fail."""
        return needs_of_kind(self.smallest, self.kind)


@dataclass(slots=True)
class Causes:
    """The causes of failures of one implementation in one cell, found one after the other.

    A shrunk case keeps only what its failure needs. All failures of the same kind that have that
    count as the same cause; the next failure is shrunk. Shrinking avoids ``known`` differences,
    since it would end at one of them instead of at the new failure. Without ``shrinking`` each
    cause is shown by the case that failed first.
    """

    implementation: Implementation
    known: Sequence[KnownDifference] = ()
    shrinking: bool = True
    earlier: Sequence[Cause] = ()
    """The causes of other cells of the operator: their smallest cases are tried first."""

    operator: str = ""
    """The function whose cell it is; empty for that of the failures."""
    name_of: Callable[[Case], str] = lambda case: ""
    """What the user calls a case, "" if nothing."""
    confirmed: Confirmed = field(default_factory=set)
    """What need not be shown in a new worker once more, in another dtype or number of dimensions;
    what this cell shows is added."""
    found: list[Cause] = field(default_factory=list, init=False)
    accusations: list[Violation] = field(default_factory=list, init=False)
    """What calls of other functions did to this one's: violations of those functions."""
    innocent: int = field(default=0, init=False)
    """How many of the failures are none of this function."""
    _seconds: float = field(default=MAX_SECONDS, init=False)
    _endings: int = field(default=0, init=False)
    _hangs: int = field(default=0, init=False)
    _tried: Counter[str] = field(default_factory=Counter, init=False)

    def is_new(self, failure: Verdict) -> bool:
        """Whether no cause found so far explains a failure, and another one may be found."""
        kind = kind_of(failure)
        if not self.is_left(failure):
            return False
        return kind.startswith("REJECT") or self._tried[kind] < MAX_TRIES

    def is_left(self, failure: Verdict) -> bool:
        """Whether no cause found so far explains a failure."""
        return not any(cause.covers(failure) for cause in self.found)

    def again(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        """Call the smallest cases that ended the process in other cells, where they concern this.

        ``cases`` are the cases of this cell. Yield the failures.
        """
        for cause in self.earlier:
            case = cause.violation.case.replace(dtype=cases[0].dtype) if cases else None
            if case is None or not cause.ends or case.invalid or not is_valid(case):
                continue
            if any(map(cause.may_end, cases)):
                with caller_of(self.implementation).while_shrinking():
                    verdict = judge_any(self.implementation, case)
                yield from verdict.findings

    def explain(self, failures: Sequence[Verdict]) -> Iterator[Violation]:
        """Yield a violation for each further cause; one that has a further failure comes again."""
        unexplained = list(failures)
        while unexplained:
            failure = unexplained[0]
            kind = kind_of(failure)
            cause = next((c for c in self.found if c.covers(failure)), None)
            if cause is not None:
                same = list(filter(cause.covers, unexplained))
                if cause.elsewhere:
                    unexplained = [other for other in unexplained if other not in same]
                    self.innocent += len(same)
                    continue
                unexplained = [other for other in unexplained if other not in same]
                yield self._counted(cause, len(same))
                continue
            limited = not kind.startswith("REJECT")
            found = sum(cause.kind == kind for cause in self.found)
            if limited and (found >= MAX_CAUSES or self._tried[kind] >= MAX_TRIES):
                unexplained = [other for other in unexplained if kind_of(other) != kind]
                continue
            self._tried[kind] += 1
            begun = time.monotonic()
            try:
                cause, others = self._shrink(failure, kind, unexplained)
            finally:
                if not failure.ended:  # those have a number of their own: `MAX_ENDINGS`
                    self._seconds -= time.monotonic() - begun
            unexplained = others
            if cause is not None:
                yield cause.violation

    def _counted(self, cause: Cause, count: int, not_called: int = 0) -> Violation:
        cause.violation = replace(
            cause.violation,
            count=cause.violation.count + count,
            not_called=cause.violation.not_called + not_called,
        )
        return cause.violation

    def count_not_called(self, cause: Cause) -> Violation:
        """Count a case that is not called, since this cause covers it and ends the process."""
        return self._counted(cause, 1, 1)

    def _shrink(
        self, failure: Verdict, kind: str, unexplained: list[Verdict]
    ) -> tuple[Cause | None, list[Verdict]]:
        """Return the cause of a failure, and the failures that are still to be explained.

        There is none where an earlier cause of the same needs takes it in, or where it is the fault
        of another function.
        """
        caller = caller_of(self.implementation)
        caller.side = failure.side
        try:
            return self._shrink_on_a_side(failure, kind, unexplained)
        finally:
            caller.side = ""

    def _shrink_on_a_side(
        self, failure: Verdict, kind: str, unexplained: list[Verdict]
    ) -> tuple[Cause | None, list[Verdict]]:
        implementation, trial = self.implementation, _Trial(failure, kind, {failure.case: failure})
        self._find_smallest(trial)
        verdict, needs = trial.verdict, trial.needs
        cited = self._cited(trial, verdict)
        others = [other for other in unexplained if other is not failure]
        same = [f for f in others if kind_of(f) == kind and needs <= needs_of_kind(f.case, kind)]
        for cause in self.found:
            alike = (cause.kind, cause.needs) == (kind, needs)
            if alike and cause.violation.requirement == (cited.requirement or ""):
                self._counted(cause, 1 + len(same))
                return cause, [other for other in others if other not in same]
        repetition = self._repeated(trial, cited.requirement or "")
        again = self._seen_again(trial, repetition)
        if not repetition.alone:
            # What other calls leave behind is told from what fails by itself.
            caller_of(implementation).start_anew()
            same, more = self._not_again(same)
            others = [*others, *more]
        others = [other for other in others if other not in same]
        if self.shrinking:
            again = judge_alone(implementation, again)
        crashed_alike = again.outcome == CRASH and again.case == cited.case
        if not crashed_alike and not (repetition.alone and again == verdict):
            cited = self._cited(trial, again)  # else it was shown above
        violation = self._violation(trial, cited, again, repetition, same)
        if violation.case.operator != (self.operator or failure.case.operator):
            self.accusations.append(violation)
            self.innocent += violation.count
            if failure.history:  # else a failure of the same kind may be one of this function
                self.found.append(Cause(kind, trial.needs, violation, ends=False, elsewhere=True))
            return None, others
        ends = failure.ended and not again.history  # a call alone does
        cause = Cause(kind, trial.needs, violation, ends)
        self.found.append(cause)
        return cause, others

    def _fails(self, trial: _Trial, case: Case) -> Verdict | None:
        """Call a case; return its failure if it is of the kind that is tried, and not known."""
        if any(entry.fatal and entry.holds(case) for entry in self.known):
            return None
        failure = trial.failure
        alone = not (failure.ended and failure.history)
        if alone and any(cause.may_end(case) for cause in self.found):
            return None  # that one is known, and each call costs a worker
        for verdict in judge_again(self.implementation, case, failure).findings:
            self._hangs += verdict.outcome == HANG
            if kind_of(verdict) == trial.kind and matching_entry(self.known, verdict) is None:
                trial.seen[case] = verdict
                return verdict
        return None

    def _find_smallest(self, trial: _Trial) -> None:
        """Shrink the case of a failure, as far as time and the number of workers allow."""
        failure, caller = trial.failure, caller_of(self.implementation)
        trial.shown_smallest = self._is_smallest(failure, trial.kind)
        seconds = min(EACH_SECONDS, self._seconds)
        if failure.ended:
            self._endings += 1
            restarts = min(_RESTARTS * caller.startup, _RESTART_SECONDS)
            seconds = EACH_SECONDS + restarts if self._endings <= MAX_ENDINGS else 0.0
        if not self.shrinking or trial.shown_smallest:
            return
        if not self._is_shown(failure, trial.kind):
            start_ahead(self.implementation)
        if seconds <= 0 or self._hangs >= MAX_HANGS:
            return
        fails = partial(self._fails, trial)
        with caller.while_shrinking():
            if caller.given_up_because is not None or fails(failure.case) is None:
                return
            trial.smallest = self._start(trial.kind, failure.case, fails)
            if trial.smallest == failure.case or not failure.ended:  # each call costs a worker
                trial.smallest = shrink(
                    trial.smallest,
                    lambda case: self._hangs < MAX_HANGS and fails(case) is not None,
                    seconds=seconds,
                )

    def _cited(self, trial: _Trial, verdict: Verdict) -> Verdict:
        """Return a verdict on the smallest case with the requirement that is behind it."""
        if not self.shrinking:
            return verdict
        with caller_of(self.implementation).while_shrinking(short_limits=trial.failure.ended):
            return cite(self.implementation, verdict, trial.smallest)

    def _repeated(self, trial: _Trial, requirement: str) -> Repetition:
        """Call the smallest case several times, in a new worker where it accuses of something new.

        One call is enough for what needs no proof: a case that other dtypes have shown, or a hang.
        """
        failure, caller = trial.failure, caller_of(self.implementation)
        if not self.shrinking or caller.given_up_because is not None or failure.of_probes:
            return Repetition()
        if trial.shown_smallest or (trial.verdict.outcome == HANG and self._hangs > MAX_HANGS):
            return Repetition(1, 1, failure)
        fails, shown = partial(self._fails, trial), self._shown(trial.kind, trial.needs)
        accepted = requirement.startswith("REJECT") and not failure.ended
        if accepted or (not failure.ended and shown in self.confirmed):
            with caller.while_shrinking():
                repetition = repeated_here(trial.smallest, fails)
            if repetition.times_failed:
                return repetition
        at_most = 1 if failure.ended and self._endings > MAX_ENDINGS else CALLS
        cases = dict.fromkeys((trial.smallest, failure.case))
        failures = [trial.seen[case] for case in cases]
        repetition = repeated(self.implementation, failures, fails, at_most=at_most)
        if repetition.alone:
            self.confirmed.add(shown)
        return repetition

    def _seen_again(self, trial: _Trial, repetition: Repetition) -> Verdict:
        """Return what the calls after shrinking showed of the smallest case."""
        failure, verdict = trial.failure, trial.verdict
        if failure.requirement == "DECLARE-5":
            with caller_of(self.implementation).while_shrinking(short_limits=False):
                in_full = judge_again(self.implementation, trial.smallest, failure, in_full=True)
            return in_full if in_full.failed else verdict
        if repetition.verdict is not None:
            if repetition.cases_after and not repetition.verdict.history:
                trial.smallest = repetition.verdict.case  # the calls before it may suit it alone
            return repetition.verdict
        if verdict.outcome == HANG and trial.smallest != failure.case:
            trial.smallest = failure.case  # the smaller call does return, but late
            return failure
        return verdict

    def _violation(
        self,
        trial: _Trial,
        cited: Verdict,
        verdict: Verdict,
        repetition: Repetition,
        same: Sequence[Verdict],
    ) -> Violation:
        """Return the violation that the smallest case shows, as it was ``cited``."""
        implementation, failure, smallest = self.implementation, trial.failure, trial.smallest
        shown_by = failure if verdict.history else replace(failure, history="")
        requirement, words = cited.requirement or "", repetition.words()
        left = repetition.after or (repetition.before and not repetition.times_failed)
        if left and not verdict.history:
            requirement, smallest = self._blamed(repetition, requirement, smallest, verdict)
            if smallest.operator != failure.case.operator and words:
                words = f"{words}, which is {failure.case.operator}'s {failure.case.id}"
        named = _listed([self.name_of(other.case) for other in (failure, *same)])
        told_by = requirement if requirement.startswith("MEMORY") else shown_by.requirement
        valid = not smallest.invalid or implementation.accepts(smallest.invalid)
        told = "; ".join(filter(None, (words, cited.message)))
        return Violation(
            requirement=requirement,
            status=verdict.status,
            severity=severity(requirement, verdict.status, valid),
            case=smallest,
            named=named,
            found=failure.case,
            count=1 + len(same),
            message=f"found by {named}: {told}" if named else told,
            replay=replay_command(
                implementation,
                trial.smallest,
                way_of(shown_by),
                [case.id for case in repetition.cases_after],
            ),
            script=script_of(implementation, smallest, replace(shown_by, requirement=told_by)),
            engine_script=engine_script_of(implementation, smallest, shown_by, verdict),
            cause=verdict.cause,
            needs=", ".join(sorted({*trial.needs, *_needed_besides(requirement)})),
            times_called=repetition.times_called,
            times_failed=repetition.times_failed,
            after="\n".join(call.name for call in repetition.after[:SHOWN]),
            before="\n".join(call.name for call in repetition.before),
            picture=self._picture(trial, smallest, repetition),
        )

    def _picture(self, trial: _Trial, smallest: Case, repetition: Repetition) -> str:
        """Return the arrays of what fails whenever it is called by itself, and comes back."""
        alone = repetition.alone and repetition.times_called and smallest == trial.smallest
        if not alone or trial.verdict.outcome or trial.verdict.history or trial.verdict.at is None:
            return ""
        with caller_of(self.implementation).while_shrinking():
            return picture(self.implementation, smallest)

    def _start(self, kind: str, case: Case, fails: Fails) -> Case:
        """Return where shrinking starts: at a smallest case of another cell, if it fails here."""
        for cause in self.earlier:
            other = cause.violation.case.replace(dtype=case.dtype)
            alike = cause.kind == kind and other.operator == case.operator
            if alike and cause.needs <= needs_of(case) and is_valid(other) and fails(other):
                return other
        return case

    def _shown(self, kind: str, needs: frozenset[str]) -> tuple[str, str, str, frozenset[str]]:
        return self.implementation.name, self.operator, kind, needs

    def _is_smallest(self, failure: Verdict, kind: str) -> bool:
        """Whether a case that ended its process is the smallest one of another dtype (`again`)."""
        return failure.ended and any(
            cause.kind == kind and cause.violation.case == failure.case.replace(dtype=dtype)
            for cause in self.earlier
            if cause.ends and (dtype := cause.violation.case.dtype)
        )

    def _is_shown(self, failure: Verdict, kind: str) -> bool:
        """Whether a failure will probably need no new worker."""
        needs = needs_of(failure.case)
        return (
            kind.startswith("REJECT")
            or failure.of_probes
            or any(
                shown == self._shown(kind, shown[-1]) and shown[-1] <= needs
                for shown in self.confirmed
            )
        )

    def _not_again(self, failures: list[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
        """Call cases again that failed after others; return those that do not fail, and failures.

        What there is no time for counts as not failing again.
        """
        gone, still = [], []
        begun = time.monotonic()
        with caller_of(self.implementation).while_shrinking():
            for failure in failures:
                late = time.monotonic() - begun > EACH_SECONDS
                found = (
                    () if late else judge_again(self.implementation, failure.case, failure).findings
                )
                new = [v for v in found if matching_entry(self.known, v) is None]
                still += new
                if not new:
                    gone.append(failure)
        return gone, still

    def _blamed(
        self, repetition: Repetition, requirement: str, case: Case, verdict: Verdict
    ) -> tuple[str, Case]:
        """Return the requirement and the case of a failure that needs other calls before it.

        A call of another function has written outside of its arrays: the finding is about that one.
        """
        for call in repetition.after:
            other = call.request.case
            if isinstance(other, Case) and other.operator != case.operator:
                return "PROCESS-5", other
        return (requirement if verdict.ended else "REPEAT-2"), case


def shrink_to_violations(
    implementation: Implementation,
    failures: Sequence[Verdict],
    known: Sequence[KnownDifference] = (),
    *,
    shrinking: bool = True,
    name_of: Callable[[Case], str] = lambda case: "",
) -> Iterator[Violation]:
    """Shrink failures to their causes, and yield one violation for each cause.

    ``name_of`` says what the user calls a case, "" if nothing.
    """
    causes = Causes(implementation, known, shrinking, name_of=name_of)
    found = dict[tuple[str, Case, str], Violation]()
    for violation in causes.explain([f for failure in failures for f in failure.findings]):
        found[violation.requirement, violation.case, violation.cause] = violation
    yield from found.values()
    yield from causes.accusations


def _needed_besides(requirement: str) -> tuple[str, ...]:
    """Return what a failure needs that is no part of a case."""
    return ("several threads",) if requirement == "REPEAT-5" else ()


_MOST_NAMED = 4


def _listed(names: Sequence[str]) -> str:
    """Return the different ones of some names, those beyond the first few as a number."""
    different = [name for name in dict.fromkeys(names) if name]
    more = len(different) - _MOST_NAMED
    listed = ", ".join(different[:_MOST_NAMED])
    return f"{listed} and {more} more" if more > 0 else listed
