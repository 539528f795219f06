"""Judging one cell: first histories of calls, then its cases, relations and conventions."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from conformance.calling import HANG, Array, Measured
from conformance.calling.measuring import Seen
from conformance.case import Case
from conformance.checks.conventions import mismatches, probe
from conformance.isolation.dispatch import caller_of
from conformance.isolation.remote_plugins import ask_ahead
from conformance.judging import (
    DECLINED,
    UNSUPPORTED,
    Prepared,
    Verdict,
    judge_each,
)
from conformance.requirements import check_of
from conformance.runfile import asked
from conformance.running import affordable, cache
from conformance.running.affordable import LEAST_SHAPES
from conformance.running.budget import Budget, shape_of
from conformance.running.causes import Causes, Confirmed
from conformance.running.cell import MIN_COMPARED, Cell, class_of
from conformance.running.from_source import FromSource
from conformance.running.interruption import FirstViolation
from conformance.running.known_in_run import Subject, matching_entry
from conformance.running.plan import Plan
from conformance.running.pool import CONVENTIONS, WEIGHTS, Pool
from conformance.running.preparing import names_of_cases, plainly
from conformance.running.series import judge_histories, judge_relations
from conformance.running.supported import Accepting, bare, concerns_unsupported, for_cell
from conformance.running.violation import Cause

OVERTIME_FACTOR = 3.0
"""A cell may exceed a budget by this factor until `MIN_COMPARED` cases were compared."""
MOST_OVERTIME, MOST_SECONDS = 40.0, 10.0
"""Any kind of cases may take this many times the seconds of the whole cell, and no more than these
seconds, until enough of them was compared for a verdict (`runfile.asked`), if it is going to be
enough by then."""

_ALMOST = 1.001
"""What sums are multiplied by that are rounded otherwise."""
_NEARLY = 0.9
"""From this share of its budget on, a cell is asked whether enough was compared."""

RESTART_SECONDS = 20.0
"""Seconds of a cell for starting workers again; what they take beyond that is on the clock."""

MOST_CHOICES = 8
"""So often further shapes are chosen for an engine that declines those which were chosen."""

SPARED = 4
"""This many cases are not called after one that ended the process, if its cause covers them; after
each further one, this many times as many."""

MAX_HANGS, MAX_HANGS_OF_HISTORIES = 4, 2
"""After so many calls that do not come back nothing else of the cell is called: each costs its
limit of time. A cause is called once more after it is found, and its further cases are not."""

MOST_ENDED_BY_MISTAKES = 12
"""After so many different invalid calls that ended the process, or did not come back, no further
ones of the cell are made: it checks no arguments, and each costs several workers."""


class CellJudge:
    """Judges an implementation on the cases of one cell, each with its position in the block.

    The results are in the attributes; if the user interrupts, they hold what was judged so far.
    """

    def __init__(
        self,
        subject: Subject,
        cases: Sequence[tuple[int, Prepared]],
        plan: Plan,
        enumerated: Mapping[str, Sequence[Prepared]] = MappingProxyType({}),
        words: Mapping[str, str] = MappingProxyType({}),
        earlier: Sequence[Cause] = (),
        confirmed: Confirmed | None = None,
        from_source: FromSource | None = None,
    ) -> None:
        first = cases[0][1].case
        self.from_source = from_source
        self.subject, self.plan = subject, plan
        self.implementation = subject.careful
        self.fatal = subject.fatal_cases(p.case for _, p in cases)
        shared = [p.case for _, p in cases]
        self.shared = shared
        own: list[Prepared] = []
        if not plan.only_suites:
            self.implementation, own = for_cell(self.implementation, shared, cached=plan.cache)
        own = [p for p in own if p.case.check in plan.checks]
        self.called: list[tuple[int | None, Prepared]] = [
            (position, p)
            for position, p in (*cases, *((None, p) for p in own))
            if p.case not in self.fatal
        ]
        """The shared cases with their positions, then those of the implementation's own."""
        name = self.implementation.name
        self.cell = Cell(name, first.operator, first.dims, first.dtype)
        self.cell.plan((*shared, *(p.case for p in own)))
        self.cell.leave_out(self.fatal)
        if self.implementation.call_seconds or self.implementation.work_seconds:
            self.called = spread(self.called)  # the budget may not pay for all of them
        # What is declined tells nothing, and comes last: a small budget must not go into it.
        self.called.sort(key=lambda pair: self.implementation.gap(pair[1].case) is not None)
        self.left: list[tuple[int | None, Prepared]] = []
        """The cases that were not chosen of an engine which compiles."""
        self.called = self.chosen(self.called)
        kinds = [kind for kind, found in enumerated.items() if found]
        kinds += [asked.SOURCE] if from_source else []
        self.pool = Pool(plan.seconds, plan.clock, kinds)
        self.enumerated = dict[str, list[Prepared]]()
        for kind, found in enumerated.items():
            fatal = subject.fatal_cases(p.case for p in found)
            called = [p for p in found if p.case not in fatal]
            self.fatal |= fatal
            self.cell.plan((p.case for p in called), kind)
            part = self.pool.part(kind)
            afforded = len(called)  # of findings all, whatever they cost
            if kind != asked.FINDINGS:
                afforded = affordable.of_space(self.implementation, called, part, plan.seconds)
            self.enumerated[kind] = called[:afforded]
            self.cell.spared[kind] += len(called) - afforded
        self.cell.listed |= {kind: (text, len(enumerated[kind])) for kind, text in words.items()}
        self.gaps = Counter[tuple[str, str]]()
        """How many cases the implementation does not compute, by (name, reason)."""
        self.outputs: dict[int, Array | None] = {}
        """The outputs for ordinary cases, by their position in the block."""
        self.interrupted = False
        self.seen: list[Seen] = []
        """What calls have reached of the implementation's source."""
        self.partial = False
        """Whether some of it was not measured."""
        self.failures: list[Verdict] = []
        self.told: dict[Case, Verdict] = {}
        """The verdicts on the cases, where the suites are all that is judged."""
        self.answered: dict[Case, bool] = {}
        """Of the calls that were made, whether they were accepted, by case without its data."""
        names = names_of_cases(plan, first.operator, first.dims)
        self.causes = Causes(
            subject.implementation,
            subject.entries,
            earlier=earlier,
            operator=first.operator,
            name_of=lambda case: names.get(plainly(case), ""),
            confirmed=set() if confirmed is None else confirmed,
        )
        self.unexplained: list[Verdict] = []
        """The failures that `causes` has not explained yet."""
        self.restarting = RESTART_SECONDS
        self.making = 0.0
        """Seconds that the arrays of cases took since the clock was stopped for them."""
        self.streaks = Counter[int]()
        """How many cases in a row have ended the process, by the position of their cause."""
        self.hangs = 0
        """How many calls have not come back."""
        self.ended_by_mistakes = 0
        """How many invalid calls have ended the process that nobody expected to."""
        self.started = time.perf_counter()

    def judge(self) -> None:
        """Judge the cell. An interrupt by the user is recorded, and not raised."""
        try:
            self.explain_endings_of_other_cells()
            if findings := self.enumerated.pop(asked.FINDINGS, []):
                self.judge_cases([(None, p) for p in findings], asked.FINDINGS)
            # Histories come next, while a kernel that fails after some calls has not failed yet.
            self.judge_histories()
            self.judge_cases(self.called)
            self.judge_cases_instead_of_declined_ones()
            self.judge_cases_like_declined_ones()
            self.judge_cases_from_source()
            for kind in sorted(self.enumerated, key=[*WEIGHTS].index):
                found = self.enumerated[kind]
                self.judge_cases([(None, p) for p in found], kind)
            self.judge_relations()
            self.probe_conventions()
        except KeyboardInterrupt:
            self.interrupted = True
        except FirstViolation:
            pass
        self.measure()
        self.cell.covered.update(self.fatal.values())
        self.cell.reached += len(self.fatal)
        self.causes.shrinking = not self.interrupted
        try:
            with contextlib.suppress(FirstViolation):
                self.explain()
        except KeyboardInterrupt:
            self.interrupted = True

    def chosen(self, cases: list[tuple[int | None, Prepared]]) -> list[tuple[int | None, Prepared]]:
        """Return the cases that an engine which compiles is judged on, which alone are due.

        Those that are left are kept, in case that it declines the others.
        """
        plan, cell = self.plan, self.cell
        self.left = []
        if plan.only_suites:
            return cases
        every = [p for _, p in cases]
        choice = affordable.of_cell(self.implementation, every, plan.seconds, plan.spec.ranges)
        if choice is None:
            return cases
        self.left = [(position, p) for position, p in cases if p.case not in choice.chosen]
        cell.leave_out(p.case for _, p in self.left)
        cell.plan(choice.further)
        name = cache.key(own=[case.id for case in choice.further])
        further = cache.prepare(lambda: choice.further, name, cached=plan.cache)
        chosen = [(position, p) for position, p in cases if p.case in choice.chosen]
        return [*chosen, *((None, p) for p in further)]

    def explain(self) -> None:
        """Explain the failures that are not explained yet.

        Raises `FirstViolation` where one is found and no more are wanted.
        """
        failures, self.unexplained = self.unexplained, []
        self.cell.explain(self.subject, failures, self.causes)
        if self.plan.exitfirst and self.cell.violations:
            raise FirstViolation

    def note(self, failures: Iterable[Verdict]) -> None:
        """Note failures that are explained later."""
        concerned = [failure for failure in failures if self.concerns(failure)]
        self.failures += concerned
        self.unexplained += concerned

    def judge_histories(self, own: Sequence[Prepared] = ()) -> None:
        called = own or [p for _, p in self.called]
        budget = self.pool.deal(self.implementation, asked.HISTORIES)
        for verdict in judge_histories(
            self.implementation, called, self.plan, budget, self.cell, self.may_end
        ):
            self.note(verdict.findings)
            self.hangs += verdict.outcome == HANG
            wanted = self.plan.exitfirst and any(map(self.is_new, verdict.findings))
            if verdict.ended or wanted:
                self.explain()
            if self.hangs >= MAX_HANGS_OF_HISTORIES:
                break

    def judge_cases(
        self, cases: Sequence[tuple[int | None, Prepared]], kind: str | None = None
    ) -> None:
        """Judge the cases, of the class ``kind``, as far as the budget of the cell reaches."""
        implementation, least = self.implementation, 0.0
        compiles = implementation.shape_seconds and not self.plan.only_suites
        if compiles or kind == asked.FINDINGS:
            # What was chosen at that cost is judged to its end.
            least = _ALMOST * affordable.cost(implementation, (p.case for _, p in cases))
        budget = self.pool.deal(implementation, kind, least=least)
        waiting = self.judge_within(budget, cases, kind)
        unreached = (p.case for _, p in waiting)
        gaps = self.implementation.gap
        self.cell.leave_out((case for case in unreached if gaps(case) is not None), kind)

    def judge_within(
        self,
        budget: Budget,
        cases: Sequence[tuple[int | None, Prepared]],
        kind: str | None = None,
    ) -> deque[tuple[int | None, Prepared]]:
        """Judge the cases, explain a failure of a new kind at once, and return what is left.

        So a call that leaves a process in a bad state is found out before the next cases are
        called, and a cause that ends the process is known before it has done so many times.
        """
        waiting = deque(cases)
        while (
            waiting
            and self.hangs < MAX_HANGS
            and self.judge_some(waiting, len(cases), budget, kind)
        ):
            begun = time.perf_counter()
            self.explain()
            budget.pause(time.perf_counter() - begun)
            if self.ended_by_mistakes >= MOST_ENDED_BY_MISTAKES:
                waiting = deque(pair for pair in waiting if not pair[1].case.invalid)
        self.cell.stopped |= budget.stopped
        return waiting

    def judge_cases_from_source(self) -> None:
        """Judge the cases that the implementation's source asks for, a few at a time.

        After each few it is asked which lines they have reached, which decides on the next.
        """
        steering, implementation = self.from_source, self.implementation
        caller = caller_of(implementation)
        if steering is None or "result" not in self.plan.checks:
            return
        self.measure()
        budget = self.pool.deal(implementation, asked.SOURCE, warm=True)
        steering.begin(self.cell.dtype, (p.case for _, p in self.called))
        while self.hangs < MAX_HANGS and caller.given_up_because is None and not budget.stopped:
            begun = time.perf_counter()
            cases = steering.take()
            ask_ahead(self.subject.implementation, cases)
            computed = [case for case in cases if implementation.gap(case) is None]
            if not cases:
                return
            name = cache.key(own=[case.id for case in computed])
            prepared = cache.prepare(lambda: computed, name, cached=self.plan.cache)  # noqa: B023
            before = self.measure().calls
            if implementation.place is None:  # the clock of a worker counts its calls alone
                budget.pause(time.perf_counter() - begun)
            waiting = self.judge_within(budget, [(None, p) for p in prepared], asked.SOURCE)
            judged = len(prepared) - len(waiting)
            self.cell.plan(computed[:judged], asked.SOURCE)
            steering.saw(self.measure().seen, computed, before)
            if waiting:
                return

    def measure(self) -> Measured:
        """Return what calls have reached of the source, and keep it."""
        measured = caller_of(self.implementation).measured()
        self.partial |= measured.partial
        self.seen += measured.seen
        if self.from_source is not None:
            self.from_source.saw(measured.seen)
        return measured

    def explain_endings_of_other_cells(self) -> None:
        """Call the smallest cases first that ended the process in another dtype.

        They are given little time, for one call that does not come back. What hangs here as well is
        not called again.
        """
        if caller_of(self.implementation).given_up_because is None:
            self.note(self.causes.again([p.case for _, p in self.called]))
            self.explain()
            self.streaks.update(n for n, cause in enumerate(self.causes.found) if cause.hangs)

    def judge_some(
        self,
        waiting: deque[tuple[int | None, Prepared]],
        planned: int,
        budget: Budget,
        kind: str | None,
    ) -> bool:
        """Judge the waiting cases until one fails in a new way, or ends the process.

        So many were ``planned``, of a ``kind`` that is not that of `class_of`. Return whether
        further ones are to be judged.
        """
        implementation, cell = self.implementation, self.cell
        taken: deque[int | None] = deque()
        """Of each case that was taken up the cause that spares its call, None if it is called."""
        if self.unexplained and any(map(self.is_new, self.unexplained)):
            return True
        lap, starting, before = time.perf_counter(), True, len(waiting)
        with contextlib.closing(
            judge_each(implementation, self.worth_calling(waiting, taken))
        ) as verdicts:
            for verdict, output in verdicts:
                if verdict.ended or starting:  # a worker starts, or has ended
                    self.pause(budget, time.perf_counter() - lap)
                if implementation.place is None:  # the clock of a worker counts its calls alone
                    budget.pause(self.making)
                lap, starting, self.making = time.perf_counter(), False, 0.0
                self.pass_over(waiting, taken)
                taken.popleft()
                position, p = waiting.popleft()
                if p.case.check == "result" and position is not None:
                    self.outputs[position] = output
                cell.count(verdict, elements=p.elements, nonzero=p.nonzero, kind=kind)
                cell.seconds = time.perf_counter() - self.started
                self.note(verdict.findings)
                if self.plan.only_suites:
                    self.told[p.case] = verdict
                self.hangs += verdict.outcome == HANG
                if verdict.ended and p.case.invalid and self.is_new(verdict):
                    self.ended_by_mistakes += 1
                if verdict.status == UNSUPPORTED:
                    self.gaps[implementation.name, verdict.message] += 1
                called, done = implementation.gap(p.case) is None, 1 - len(waiting) / planned
                if kind is None and called and not p.case.invalid:
                    self.answered[bare(p.case)] = verdict.outcome != DECLINED
                enough = 1.0 if kind == asked.SOURCE else self.overtime(budget, kind)
                if not budget.affords_case(p.case, called=called, done=done, enough=enough):
                    # One dear case may take what was left: then it is asked whether that is enough.
                    ends = kind == asked.SOURCE or budget.stopped or enough > 1.0
                    if ends or budget.spent > self.overtime(budget, kind):
                        return False
                self.count_streaks(verdict)
                if verdict.ended or any(map(self.is_new, verdict.findings)):
                    return True
            self.pass_over(waiting, taken)
        return len(waiting) < before

    def overtime(self, budget: Budget, kind: str | None) -> float:
        """Return the factor by which the cases of a ``kind`` may exceed their budget."""
        least = OVERTIME_FACTOR if self.cell.nonzero < MIN_COMPARED else 1.0
        if budget.spent < _NEARLY:
            return least
        counts = asked.of_series(self.cell.paid_for, kind)
        if asked.enough(counts):
            return least
        whole = self.plan.seconds
        most = min(MOST_OVERTIME * whole, max(MOST_SECONDS, whole)) / budget.seconds
        return max(least, most if most * asked.progress(counts) >= budget.spent else 1.0)

    def pause(self, budget: Budget, seconds: float) -> None:
        """Take the time for ends and starts of workers off the clock, as long as it is bearable."""
        seconds = min(seconds, self.restarting)
        self.restarting -= seconds
        budget.pause(seconds)

    def is_new(self, failure: Verdict) -> bool:
        """Whether a failure is explained at once."""
        known = matching_entry(self.subject.entries, failure) is not None
        return not known and self.concerns(failure) and self.causes.is_new(failure)

    def ending_cause(self, case: Case) -> int | None:
        """Return the position of a cause that ends the process and covers a case, or None."""
        for number, cause in enumerate(self.causes.found):
            if cause.may_end(case):
                return number
        return None

    def may_end(self, case: Case) -> bool:
        """Whether a cause that is known may end the process when a case is called."""
        return self.ending_cause(case) is not None

    def worth_calling(
        self, waiting: Collection[tuple[int | None, Prepared]], taken: deque[int | None]
    ) -> Iterator[Prepared]:
        """Yield the cases to be called: of those that a cause covers which ends the process, few.

        The more of them in a row have ended it, the more are passed over before the next one. That
        one is the last: what it does says how many are passed over then.
        """
        found = self.causes.found
        spared = {
            number: len(waiting) if found[number].hangs and streak else SPARED**streak
            for number, streak in self.streaks.items()
        }
        for _, p in list(waiting):
            number = self.ending_cause(p.case) if self.causes.found else None
            if number is not None and spared.get(number, 0) > 0:
                spared[number] -= 1
                taken.append(number)
            else:
                taken.append(None)
                begun = time.perf_counter()
                ready = p.ready()
                self.making += time.perf_counter() - begun
                yield ready
                if number is not None:
                    return

    def pass_over(
        self, waiting: deque[tuple[int | None, Prepared]], taken: deque[int | None]
    ) -> None:
        """Count the next cases that are not called."""
        while taken and (number := taken[0]) is not None:
            taken.popleft()
            _, p = waiting.popleft()
            self.cell.reached += 1
            self.cell.violating += 1
            cause = self.causes.found[number]
            shown = self.causes.count_not_called(cause)
            self.cell.show(shown)
            if self.plan.only_suites:
                self.told[p.case] = Verdict(
                    self.cell.implementation, p.case, shown.status, shown.requirement, shown.message
                )
            if not cause.needs:  # it ends the process wherever it is called
                caller_of(self.implementation).count_ending(hung=cause.hangs)

    def count_streaks(self, verdict: Verdict) -> None:
        """Note whether a case that is covered by a cause which ends the process has ended it.

        An invalid one that is rejected says nothing of the others.
        """
        number = self.ending_cause(verdict.case) if self.causes.found else None
        if number is None:
            return
        if verdict.ended:
            self.streaks[number] += 1
        elif not verdict.case.invalid:
            self.streaks[number] = 0

    def judge_cases_instead_of_declined_ones(self) -> None:
        """Judge further cases of an engine which compiles, if it has declined most of those chosen.

        What it declines it does not compile.
        """
        caller = caller_of(self.implementation)
        for _ in range(MOST_CHOICES):
            accepted = {shape_of(case) for case, accepts in self.answered.items() if accepts}
            enough = len(accepted) >= LEAST_SHAPES and self.cell.nonzero >= MIN_COMPARED
            ends = self.cell.stopped or self.hangs >= MAX_HANGS
            if enough or ends or not self.left or caller.given_up_because is not None:
                return
            left = self.left
            self.cell.due.update(class_of(p.case) for _, p in left)
            self.judge_cases(self.chosen(left))

    def judge_cases_like_declined_ones(self) -> None:
        """Judge cases of its own of an implementation that declines some where it is called."""
        implementation = self.implementation
        given_up = caller_of(implementation).given_up_because is not None
        if all(self.answered.values()) or given_up or self.cell.stopped or self.plan.only_suites:
            return
        accepts = Accepting(implementation, self.answered, self.pool.deal(implementation, None))
        self.implementation, own = for_cell(
            implementation, self.shared, cached=self.plan.cache, accepts=accepts
        )
        self.failures = [
            verdict
            for verdict in self.failures
            if not concerns_unsupported(self.implementation, verdict.case)
        ]
        self.unexplained = [one for one in self.unexplained if one in self.failures]
        for violation in list(self.cell.violations):
            if concerns_unsupported(self.implementation, violation.found):
                self.cell.violations.remove(violation)
                self.cell.violating -= violation.count
        there = {p.case for _, p in self.called}
        own = [p for p in own if p.case not in there and p.case.check in self.plan.checks]
        self.cell.plan(p.case for p in own)
        called = self.chosen([(None, p) for p in own])
        if called:
            self.judge_histories([p for _, p in called])
            self.judge_cases(called)

    def judge_relations(self) -> None:
        implementation, cell = self.implementation, self.cell
        operator, dims, dtype = cell.operator, cell.dims, cell.dtype
        # Relations say little about results that are wrong already.
        if not self.failures and caller_of(implementation).given_up_because is None:
            budget = self.pool.deal(implementation, asked.RELATIONS, warm=True)
            for verdict in judge_relations(
                implementation, operator, dims, dtype, self.plan, budget, cell
            ):
                self.note(verdict.findings)
        cell.seconds = time.perf_counter() - self.started

    def probe_conventions(self) -> None:
        implementation, cell = self.implementation, self.cell
        given_up = caller_of(implementation).given_up_because is not None
        unasked = "declare" not in self.plan.checks or self.plan.only_suites
        if unasked or not cell.reached or given_up or self.hangs >= MAX_HANGS:
            return
        affords = self.pool.deal(implementation, CONVENTIONS, warm=True).affords_case
        cell.conventions = probe(implementation, cell.operator, cell.dims, cell.dtype, affords)
        shown = {(verdict.requirement, verdict.case) for verdict in self.failures}
        accepted = {requirement for requirement, case in shown if case.invalid}
        mismatched = [
            replace(verdict, of_probes=True)
            # What is accepted violates REJECT: that is not said again as a declaration.
            for observed in cell.conventions
            if observed.declared != "reject" or observed.requirement not in accepted
            for verdict in mismatches(implementation, [observed])
            if (verdict.requirement, verdict.case) not in shown
        ]
        self.failures += mismatched
        self.unexplained += mismatched

    def concerns(self, verdict: Verdict) -> bool:
        """Whether a failure belongs to a check that the plan makes."""
        check, own = check_of(verdict.requirement or ""), verdict.case.check
        concerned = {check}
        if own in ("layout", "special") and check in ("result", "declare"):
            concerned = {own}  # the case was made for that check
        elif check in ("process", "memory"):  # it matters to every check that makes the call
            concerned = {check, own}
            if check == "process":  # a call that ends at a guard is cited as one of memory
                concerned.add("memory")
        elif check == "integer":
            concerned = {check, "result"}
        return not concerned.isdisjoint(self.plan.checks)


def spread(cases: Sequence[tuple[int | None, Prepared]]) -> list[tuple[int | None, Prepared]]:
    """Return the cases in an order in which those of each class are evenly spread.

    However early a budget ends, some of each class were judged.
    """
    classes = [class_of(p.case) for _, p in cases]
    sizes, seen = Counter(classes), Counter[str]()
    places: list[float] = []
    for name in classes:
        places.append(seen[name] / sizes[name])
        seen[name] += 1
    return [cases[index] for index in sorted(range(len(cases)), key=places.__getitem__)]
