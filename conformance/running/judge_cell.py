"""Judging one cell: histories of calls, then the cases, relations and conventions, in turn."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.checks import relations
from conformance.checks.conventions import mismatches, probe
from conformance.checks.histories import SHORT
from conformance.checks.repeat import judge_named_history
from conformance.isolation.dispatch import caller_of
from conformance.judging import UNSUPPORTED, Prepared, Verdict, judge_each
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.running.budget import Budget
from conformance.running.cell import MIN_COMPARED, Cell
from conformance.running.known_in_run import Subject
from conformance.running.plan import Plan

HISTORIES_SHARE = 0.5
"""The share of a cell's budget that is spent on histories, before the cases (`checks.repeat`)."""
RELATIONS_SHARE = 0.1
"""The share of a cell's budget that is spent on relations, after the cases (`checks.relations`)."""
PROBING_SHARE = 0.1
"""The share that is spent on conventions which were probed once (`checks.conventions`)."""

OVERTIME_FACTOR = 3.0
"""A cell may spend its budget this many times over until `MIN_COMPARED` cases were compared."""

HISTORIES = 8
"""Cases of a cell that are called again and again."""


class CellJudge:
    """Judges an implementation on the cases of one cell, each with its position in the block.

    What came of it are attributes, which hold what was judged so far if the user interrupts.
    """

    def __init__(self, subject: Subject, cases: Sequence[tuple[int, Prepared]], plan: Plan) -> None:
        first = cases[0][1].case
        self.subject, self.plan = subject, plan
        self.one = subject.careful
        self.fatal = subject.fatal_cases(p.case for _, p in cases)
        self.called = [(position, p) for position, p in cases if p.case not in self.fatal]
        self.cell = Cell(self.one.name, first.operator, first.dims, first.dtype, planned=len(cases))
        self.gaps = Counter[tuple[str, str]]()
        """How many cases the implementation does not compute, by (name, reason)."""
        self.outputs: dict[int, Array | None] = {}
        """What it returned for ordinary cases, by their position in the block."""
        self.interrupted = False
        self.failures: list[Verdict] = []
        self.started = time.perf_counter()

    def judge(self) -> None:
        """Judge the cell; an interrupt is noted, not raised."""
        try:
            # Histories come first: a kernel that goes wrong after some calls still is at its first.
            self.judge_histories()
            self.judge_cases()
            self.judge_relations()
            self.probe_conventions()
        except KeyboardInterrupt:
            self.interrupted = True
        self.cell.covered.update(self.fatal.values())
        self.cell.reached += len(self.fatal)
        self.interrupted = self.cell.explain(
            self.subject, self.failures, interrupted=self.interrupted
        )

    def judge_histories(self) -> None:
        for verdict in judge_histories(self.one, [p for _, p in self.called], self.plan):
            if self.concerns(verdict):
                self.failures.append(verdict)

    def judge_cases(self) -> None:
        one, cell, budget = self.one, self.cell, _budget(self.one, self.plan)
        with contextlib.closing(judge_each(one, (p for _, p in self.called))) as judged:
            for (position, p), (verdict, output) in zip(self.called, judged, strict=False):
                if p.case.check == "result":
                    self.outputs[position] = output
                exact = p.reference.exact
                cell.count(verdict, elements=exact.size, nonzero=bool(np.any(exact)))
                cell.seconds = time.perf_counter() - self.started
                if verdict.failed and self.concerns(verdict):
                    self.failures.append(verdict)
                elif verdict.status == UNSUPPORTED:
                    self.gaps[one.name, verdict.message] += 1
                called, done = one.gap(p.case) is None, cell.reached / len(self.called)
                enough = 1.0 if cell.nonzero >= MIN_COMPARED else OVERTIME_FACTOR
                if not budget.affords_case(p.case, called=called, done=done, enough=enough):
                    break
        cell.stopped = budget.stopped

    def judge_relations(self) -> None:
        one, cell = self.one, self.cell
        # They say little about results that are wrong already.
        if not self.failures and not cell.stopped and caller_of(one).lost is None:
            for verdict in judge_relations(one, cell.operator, cell.dims, cell.dtype, self.plan):
                if verdict.failed:
                    self.failures.append(verdict)
        cell.seconds = time.perf_counter() - self.started

    def probe_conventions(self) -> None:
        one, cell = self.one, self.cell
        if "declare" not in self.plan.checks or not cell.reached or caller_of(one).lost is not None:
            return
        go_on = _budget(one, self.plan, PROBING_SHARE, warm=True).affords_case
        cell.conventions = probe(one, cell.operator, cell.dims, cell.dtype, go_on)
        shown = {verdict.requirement for verdict in self.failures}
        self.failures += [
            verdict
            for verdict in mismatches(one, cell.conventions)
            if verdict.requirement == "DECLARE-5" or verdict.requirement not in shown
        ]

    def concerns(self, verdict: Verdict) -> bool:
        """Whether a failure is one of a check that is made."""
        check, own = check_of(verdict.requirement or ""), verdict.case.check
        concerned = {check}
        if own in ("layout", "special") and check in ("result", "declare"):
            concerned = {own}  # its case is for that check
        elif check == "process":  # how a call ends matters to every check that makes it
            concerned = {check, own}
        elif check == "integer":
            concerned = {check, "result"}
        return not concerned.isdisjoint(self.plan.checks)


def judge_histories(
    one: Implementation, prepared: Sequence[Prepared], plan: Plan
) -> Iterator[Verdict]:
    """Yield what calls that follow one another show, on a few of a cell's ordinary cases.

    The first history has every dtype, so that what one of them leaves behind is met by the others.
    """
    ordinary = [
        p.case
        for p in prepared
        if p.case.check == "result" and p.case.x[0] and one.gap(p.case) is None
    ]
    if not {"repeat", "purity", "reject", "declare"} & {*plan.checks} or not ordinary:
        return
    budget = _budget(one, plan, HISTORIES_SHARE)
    for number, (name, case) in enumerate(histories_of(ordinary)):
        afforded = budget.affords_history(case)
        if caller_of(one).lost is not None or (number and not afforded):
            break
        verdict = judge_named_history(one, case, name, seconds=plan.clock)
        if verdict is not None:
            yield verdict


def histories_of(ordinary: Sequence[Case]) -> Iterator[tuple[str, Case]]:
    """Yield the histories of a cell, each with the case that it is made from."""
    cases = sorted(ordinary, key=work)
    chosen = cases[:: -(-len(cases) // HISTORIES)]
    rounded = [case for case in cases if case.data == "normal"] or cases  # noise shows there
    yield "dtypes", chosen[0]
    yield "many", rounded[len(rounded) // 4]
    yield "turns", rounded[len(rounded) // 3]
    for number, case in enumerate(chosen):
        yield "data", case
        # Each of the others on every third case.
        yield from ((name, case) for name in SHORT[1 + number % 3 :: 3])


def judge_relations(
    one: Implementation, operator: str, dims: int, dtype: str, plan: Plan
) -> Iterator[Verdict]:
    """Yield what relations say of a cell: of shapes too large for a reference, above all."""
    if "relations" not in plan.checks:
        return
    cases = relations.cases(operator, dims, plan.dtypes, plan.claimed, seed=plan.seed)
    budget = _budget(one, plan, RELATIONS_SHARE, warm=True)
    own = [case for case in cases if case.dtype == dtype]
    yield from relations.judge_cases(one, own, budget.affords_relations)


def _budget(one: Implementation, plan: Plan, share: float = 1.0, *, warm: bool = False) -> Budget:
    """Return the budget of an implementation for a cell, or for a share of what that may take."""
    clock = plan.clock + MIN_COMPARED * one.shape_seconds
    return Budget(one, share * plan.seconds, share * clock, warm=warm)
