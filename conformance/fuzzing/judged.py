"""A block of fuzzing judged: every implementation on the same cases, and what that showed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.calling.measuring import FALSE, Seen
from conformance.case import Case
from conformance.fuzzing.drawing import Pair, Request, draw, pairs_of
from conformance.isolation.dispatch import caller_of, for_operator, is_from_plugin
from conformance.judging import UNSUPPORTED, Prepared, Verdict, judge_each
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.running.budget import of_calls, reckoned_work
from conformance.running.causes import Causes
from conformance.running.known_in_run import Subject
from conformance.running.plan import Plan
from conformance.running.violation import Cause
from conformance.sources.own import source_of

SECONDS = 5.0
"""What the calls of an implementation may be reckoned at, in one block."""
_WORTH = 4
"""The most cases of a block that are worth changing since they reached new lines."""


@dataclass(slots=True)
class Judged:
    """What came of a block."""

    request: Request
    cases: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """How many calls of each implementation were judged."""
    met: Counter[Pair] = field(default_factory=Counter)
    causes: dict[str, tuple[Cause, ...]] = field(default_factory=dict)
    """What is known of each implementation now, with the counts of its failures."""
    worst: dict[str, tuple[float, Case]] = field(default_factory=dict)
    """The largest error as a share of the bound, with its case, by implementation."""
    given: dict[tuple[str, Case], tuple[str, str]] = field(default_factory=dict)
    """The status of each implementation on each case that was given, and what it violates."""
    worth: tuple[Case, ...] = ()
    """Cases that have reached new lines of an implementation's source."""
    seconds: float = 0.0
    interrupted: bool = False
    lost: bool = False
    """Whether the processes that judged it were lost each time."""


def judge_block(plan: Plan, request: Request) -> Judged:
    """Judge all implementations on the cases of a block, as far as no interrupt comes."""
    judged, begun = Judged(request), time.perf_counter()
    try:
        cases = draw(request, plan.spec.ranges)
        cases = [case for case in cases if case.check in plan.checks or case in request.given]
        judged.cases = len(cases)
        judged.met.update(pair for case in cases for pair in pairs_of(case))
        prepared = [Prepared.of(case) for case in cases]
        for implementation in plan.implementations:
            has = request.operator in implementation.functions
            chosen = not request.names or implementation.name in request.names
            has = has and chosen and request.dtype in implementation.dtypes
            if implementation.installed and has:
                _judge(implementation, prepared, plan, judged)
    except KeyboardInterrupt:
        judged.interrupted = True
    judged.seconds = time.perf_counter() - begun
    return judged


def _judge(
    implementation: Implementation, prepared: Sequence[Prepared], plan: Plan, judged: Judged
) -> None:
    request, name = judged.request, implementation.name
    subject = Subject.of(for_operator(implementation, request.operator), plan.known)
    careful, caller = subject.careful, caller_of(subject.implementation)
    read = is_from_plugin(implementation) if plan.source is None else plan.source
    source, before = source_of(implementation, request.operator) if read else None, 0
    if source is not None:
        caller.measure(source.conditions)
        before = caller.measured().calls
    called, spent = list[Prepared](), 0.0
    for p in prepared:
        if careful.gap(p.case) is None:
            spent += of_calls(careful, reckoned_work(p.case))
            if called and spent > SECONDS:
                break
            called.append(p)
        elif p.case in request.given:
            judged.given[name, p.case] = UNSUPPORTED, ""
    failures: list[Verdict] = []
    known = Causes(subject.implementation, subject.entries, operator=request.operator)
    known.found = [replace(cause) for cause in request.causes.get(name, ())]
    try:
        with np.errstate(all="ignore"):  # special values are handed over on purpose
            for verdict, _ in judge_each(careful, called):
                judged.calls[name] += verdict.status != UNSUPPORTED
                if verdict.case in request.given:
                    judged.given[name, verdict.case] = verdict.status, verdict.requirement or ""
                if verdict.worst > judged.worst.get(name, (0.0, None))[0] and not verdict.failed:
                    judged.worst[name] = float(verdict.worst), verdict.case
                new, _ = subject.separate_known(verdict.findings)
                failures += [f for f in new if _concerns(plan, f.requirement or "", f.case)]
        if source is not None:
            _note_lines(caller.measured().seen, [p.case for p in called], before, judged)
    except KeyboardInterrupt:
        known.shrinking = False
        raise
    finally:
        try:
            _explain(known, failures)
        finally:
            judged.causes[name] = tuple(cause for cause in known.found if not cause.elsewhere)


def _explain(known: Causes, failures: Sequence[Verdict]) -> None:
    """Find the causes of failures; of those that an interrupt leaves, without shrinking."""
    try:
        for _ in known.explain(failures):
            pass
    except KeyboardInterrupt:
        known.shrinking = False
        for _ in known.explain([failure for failure in failures if known.is_left(failure)]):
            pass
        raise


def _concerns(plan: Plan, requirement: str, case: Case) -> bool:
    """Whether a failure belongs to a check that the plan makes."""
    return not {check_of(requirement), case.check}.isdisjoint(plan.checks)


def _note_lines(seen: Sequence[Seen], cases: Sequence[Case], before: int, judged: Judged) -> None:
    positions = {number - before - 1: None for number, _, _, what in seen if what != FALSE}
    worth = [cases[position] for position in positions if 0 <= position < len(cases)]
    judged.worth = tuple(dict.fromkeys((*judged.worth, *worth)))[-_WORTH:]
