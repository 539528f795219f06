"""From failures to causes: failures are shrunk, and those of one cause are one violation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from conformance.calling import CRASH, HANG
from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.checks.conventions import judge_convention
from conformance.checks.histories import NAMES
from conformance.checks.relations import judge_alone, relate
from conformance.checks.repeat import judge_named_history
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import caller_of, start_ahead
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, RAISED, VIOLATES, Verdict
from conformance.judging.attribution import WRONG_RESULT
from conformance.known.difference import KnownDifference
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of, requirements, severity
from conformance.runfile.words import TIMED_OUT
from conformance.running.citing import cite
from conformance.running.known_in_run import matching_entry
from conformance.running.needs import needs_of
from conformance.running.repetition import CALLS, SHOWN, Fails, Repetition, repeated, repeated_here
from conformance.running.shrink import shrink
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
_RESTARTS = 10
"""How many starts of a worker are allowed on top, where failures end the worker."""


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
            return self.needs <= _needs_of(failure.case, self.kind)
        return failure.ended and failure.case.invalid != "" and self.may_end(failure.case)

    def may_end(self, case: Case) -> bool:
        """Whether this cause may end the process when a case is called."""
        shown = self.violation.case.invalid
        if not self.ends or shown not in ("", case.invalid):
            return False
        return self.needs <= needs_of(case if shown else case.replace(invalid=""))


Confirmed: TypeAlias = set[tuple[str, str, str, frozenset[str]]]
"""What was shown in a new worker, every time: implementation, operator, kind of failure, needs."""


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
        implementation, caller = self.implementation, caller_of(self.implementation)
        seen = {failure.case: failure}

        def fails(case: Case) -> Verdict | None:
            if any(entry.fatal and entry.holds(case) for entry in self.known):
                return None
            alone = not (failure.ended and failure.history)
            if alone and any(cause.may_end(case) for cause in self.found):
                return None  # that one is known, and each call costs a worker
            for verdict in judge_again(implementation, case, failure).findings:
                self._hangs += verdict.outcome == HANG
                if kind_of(verdict) == kind and matching_entry(self.known, verdict) is None:
                    seen[case] = verdict
                    return verdict
            return None

        def smaller(case: Case) -> bool:
            return self._hangs < MAX_HANGS and fails(case) is not None

        shown_smallest = self._is_smallest(failure, kind)
        if self.shrinking and not shown_smallest and not self._is_shown(failure, kind):
            start_ahead(implementation)
        smallest = failure.case
        restarts = _RESTARTS * caller.startup if failure.ended else 0.0
        seconds = min(EACH_SECONDS, self._seconds)
        if failure.ended:
            self._endings += 1
            seconds = EACH_SECONDS + restarts if self._endings <= MAX_ENDINGS else 0.0
        if self.shrinking and seconds > 0 and not shown_smallest and self._hangs < MAX_HANGS:
            with caller.while_shrinking():
                if caller.given_up_because is None and fails(failure.case) is not None:
                    smallest = self._start(kind, failure.case, fails)
                    if smallest == failure.case or not failure.ended:  # each call costs a worker
                        smallest = shrink(smallest, smaller, seconds=seconds)
        verdict, needs = seen[smallest], _needs_of(smallest, kind)
        with caller.while_shrinking(short_limits=failure.ended):
            cited = cite(implementation, verdict, smallest) if self.shrinking else verdict
        requirement = cited.requirement or ""
        others = [other for other in unexplained if other is not failure]
        same = [f for f in others if kind_of(f) == kind and needs <= _needs_of(f.case, kind)]
        for cause in self.found:
            alike = (cause.kind, cause.needs) == (kind, needs)
            if alike and cause.violation.requirement == requirement:
                self._counted(cause, 1 + len(same))
                return cause, [other for other in others if other not in same]
        repetition = Repetition()
        if self.shrinking and caller.given_up_because is None and not failure.of_probes:
            accepted = requirement.startswith("REJECT") and not failure.ended
            shown_before = not failure.ended and self._shown(kind, needs) in self.confirmed
            if shown_smallest or (verdict.outcome == HANG and self._hangs > MAX_HANGS):
                repetition = Repetition(1, 1, failure)
            elif accepted or shown_before:
                with caller.while_shrinking():
                    repetition = repeated_here(smallest, fails)
            if not repetition.times_failed:
                shown = list(dict.fromkeys((smallest, failure.case)))
                at_most = 1 if failure.ended and self._endings > MAX_ENDINGS else CALLS
                failures = [seen[case] for case in shown]
                repetition = repeated(implementation, failures, fails, at_most=at_most)
                if repetition.alone:
                    self.confirmed.add(self._shown(kind, needs))
        if failure.requirement == "DECLARE-5":
            with caller.while_shrinking(short_limits=False):
                in_full = judge_again(implementation, smallest, failure, in_full=True)
            verdict = in_full if in_full.failed else verdict
        elif repetition.verdict is not None:
            verdict = repetition.verdict
        elif verdict.outcome == HANG and smallest != failure.case:
            smallest, verdict = failure.case, failure  # the smaller call does return, but late
            needs = needs_of(smallest)
        if not repetition.alone:
            # What other calls leave behind is told from what fails by itself.
            caller.start_anew()
            same, more = self._not_again(same)
            others = [*others, *more]
        others = [other for other in others if other not in same]
        if self.shrinking:
            verdict = judge_alone(implementation, verdict)
        shown_by = failure if verdict.history else replace(failure, history="")
        if not (verdict.outcome == CRASH and verdict.case == cited.case):  # else it was shown above
            with caller.while_shrinking(short_limits=failure.ended):
                cited = cite(implementation, verdict, smallest) if self.shrinking else verdict
        requirement, words = cited.requirement or "", repetition.words()
        replayed = smallest
        left = repetition.after or (repetition.before and not repetition.times_failed)
        if left and not verdict.history:
            requirement, smallest = self._blamed(repetition, requirement, smallest, verdict)
            if smallest.operator != failure.case.operator and words:
                words = f"{words}, which is {failure.case.operator}'s {failure.case.id}"
        named = _listed([self.name_of(other.case) for other in (failure, *same)])
        told_by = requirement if requirement.startswith("MEMORY") else shown_by.requirement
        valid = not smallest.invalid or implementation.accepts(smallest.invalid)
        told = "; ".join(filter(None, (words, cited.message)))
        violation = Violation(
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
                replayed,
                way_of(shown_by),
                [case.id for case in repetition.cases_after],
            ),
            script=script_of(implementation, smallest, replace(shown_by, requirement=told_by)),
            engine_script=engine_script_of(implementation, smallest, shown_by, verdict),
            cause=verdict.cause,
            needs=", ".join(sorted({*needs, *_needed_besides(requirement)})),
            times_called=repetition.times_called,
            times_failed=repetition.times_failed,
            after="\n".join(call.name for call in repetition.after[:SHOWN]),
            before="\n".join(call.name for call in repetition.before),
        )
        if smallest.operator != (self.operator or failure.case.operator):
            self.accusations.append(violation)
            self.innocent += violation.count
            if failure.history:  # else a failure of the same kind may be one of this function
                self.found.append(Cause(kind, needs, violation, ends=False, elsewhere=True))
            return None, others
        ends = failure.ended and not verdict.history  # a call alone does
        cause = Cause(kind, needs, violation, ends)
        self.found.append(cause)
        return cause, others

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


def _needs_of(case: Case, kind: str) -> frozenset[str]:
    """Return what a failure of this kind may need.

    Where an invalid call leaves the process changed, others do so as well, whatever the mistake.
    """
    mistaken = case.invalid and kind.startswith("PROCESS-6")
    return frozenset({"an invalid call"}) if mistaken else needs_of(case)


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


def judge_again(
    implementation: Implementation, case: Case, failure: Verdict, *, in_full: bool = False
) -> Verdict:
    """Judge a case again, in the way that showed a failure.

    With ``in_full`` a convention that is not followed is probed in its other cases, too.
    """
    if failure.requirement == "DECLARE-5":
        return judge_convention(implementation, case, in_full=in_full)
    if not failure.history:
        return judge_any(implementation, case)
    if failure.history == HISTORY_OF_RELATIONS:
        related = relate(implementation, case, failure.requirement)
        verdict = next((verdict for verdict in related if verdict.failed), None)
    else:
        verdict = judge_named_history(implementation, case, failure.history)
    return verdict or Verdict(implementation.name, case, CONFORMS)


def way_of(failure: Verdict) -> str:
    """Return how a failure was shown, if not by one call; `as_shown` reads it.

    It is the name of a history, the requirement of a relation, or ``conventions``.
    """
    if failure.requirement == "DECLARE-5":
        return CONVENTIONS
    if failure.history == HISTORY_OF_RELATIONS:
        return failure.requirement or ""
    return failure.history


def as_shown(implementation: Implementation, case: Case, way: str) -> Verdict:
    """Judge a case in the way in which a run showed a failure of it, as `way_of` names it.

    Raises `ConformanceError` for a way that does not exist.
    """
    shown = Verdict(implementation.name, case, VIOLATES)
    if way == CONVENTIONS:
        shown = replace(shown, requirement="DECLARE-5")
    elif way in NAMES:
        shown = replace(shown, history=way)
    elif way in requirements() and check_of(way) == "relations":
        shown = replace(shown, requirement=way, history=HISTORY_OF_RELATIONS)
    else:
        known = ", ".join((*NAMES, CONVENTIONS))
        raise ConformanceError(
            f"a case is not judged as '{way}'; allowed: {known}, or a relation such as RELATE-1"
        )
    return judge_again(implementation, case, shown, in_full=True)


CONVENTIONS = "conventions"
"""The way in which probes show a convention that is not followed."""


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a failure, which has causes of its own. Empty for no failure.

    All wrong values are of one kind, wrong shapes of another, and so is each requirement besides.
    What was raised is told apart by its type and the line that raised it, and how a process ended
    by the signal: memory that is corrupt ends it at any line.
    """
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if requirement == "PROCESS-6":
        return f"{requirement} {verdict.cause}"
    if requirement in ("REPEAT-5", "REPEAT-6"):  # of several threads, of an output as an argument
        return requirement
    if verdict.history:  # it is chance which requirement a kept state violates
        return f"{check_of(requirement)} after other calls".replace("purity", "repeat")
    if verdict.outcome == HANG:  # it may be seen at any line of a loop
        return f"{requirement} {verdict.status}"
    if verdict.ended:
        ending = verdict.cause.partition(" at ")[0]
        return " ".join(filter(None, (requirement, verdict.status, ending)))
    if verdict.outcome == RAISED:
        return f"{requirement} {verdict.cause}".rstrip()
    if requirement == "RESULT-3":
        return "shape"
    return "result" if requirement in WRONG_RESULT else requirement
