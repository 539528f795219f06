"""Judging one implementation as the default tier does, until what is wrong with it is found.

In this process, in the order in which a run judges: cell by cell, histories of calls first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from time import perf_counter

import numpy as np

from conformance.case import Case
from conformance.dtypes import DTYPES, available
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.running.causes import Violation, kind_of, shrink_to_violations
from conformance.running.judge_cell import judge_histories, judge_relations
from conformance.running.plan import Plan, resolve
from conformance.running.preparing import prepare_block
from conformance.running.selection import Selection
from tests.minimality import left_over

EXPLAINED = 3
"""Failures of one sort that are shrunk before the next one of that sort is passed over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one implementation, and what it took."""

    name: str
    judged: int
    """Cases judged until it was caught, or all of them; a history of calls counts when it fails."""
    seconds: float
    caught: Violation | None = None
    """The first violation of the check that was looked for, shrunk."""
    others: tuple[Violation, ...] = ()
    """Violations of other checks that were found before."""
    error: str = ""
    """What the suite itself raised: a mistake of the suite, whatever it was judging."""
    smaller: Case | None = None
    """A case smaller than the one reported, where that is not minimal (`tests.minimality`)."""
    alone: bool = False
    """Whether the case that is reported shows the failure in one call, without a history."""


PATIENCE = 20.0
"""Seconds for the histories and relations of a cell in a hunt: what is caught is not to depend on
how busy the machine is."""


def default_plan(
    seed: int = 0, examples: int | None = None, seconds: float | None = PATIENCE
) -> Plan:
    """Return the plan of the default tier, for every dtype that can be made here.

    ``seconds`` takes the place of the tier's time budget, which None keeps.
    """
    cache = seed == 0  # other seeds are used once
    selection = Selection(examples=examples, seconds=seconds, seed=seed, cache=cache)
    plan = resolve(selection, [])
    others = tuple(d for d in DTYPES if d not in plan.dtypes and available(d))
    return replace(plan, claimed=others)


def cells(one: Implementation, plan: Plan) -> Iterator[list[Prepared]]:
    """Yield the cases of each cell in which a run would judge ``one``, in its order."""
    for operator in one.operators:
        for dims in plan.dims:
            prepared = bank(plan.seed, plan.examples, operator, dims)
            for dtype in dict.fromkeys(p.case.dtype for p in prepared):
                if dtype in plan.dtypes or dtype in one.dtypes:
                    yield [p for p in prepared if p.case.dtype == dtype]


@lru_cache(maxsize=64)
def bank(seed: int, examples: int, operator: str, dims: int) -> tuple[Prepared, ...]:
    """Return the prepared cases of one block of the default tier."""
    return tuple(prepare_block(default_plan(seed, examples), operator, dims))


@np.errstate(all="ignore")  # special values are handed over on purpose
def hunt(one: Implementation, check: str | None, plan: Plan, *, step: int = 1) -> Outcome:
    """Judge ``one`` until a violation of ``check`` is found; of any check where it is None.

    With a ``step`` above 1, one case in so many is judged, others for another seed of the plan,
    and the histories and relations of one cell in three.
    """
    started = perf_counter()
    judged = 0
    others: list[Violation] = []
    explained: Counter[tuple[str | None, str]] = Counter()
    try:
        for verdict in _verdicts(one, plan, step):
            judged += 1
            sort = verdict.requirement, verdict.case.check
            if not verdict.failed or explained[sort] >= EXPLAINED:
                continue
            explained[sort] += 1
            violation = next(iter(shrink_to_violations(one, [verdict])))
            if check is None or check_of(violation.requirement) == check:
                seconds = perf_counter() - started
                return Outcome(one.name, judged, seconds, violation, tuple(others))
            others.append(violation)
    except Exception as problem:  # it is to be known, and the others are still to be judged
        error = f"{type(problem).__name__}: {problem}"
        return Outcome(one.name, judged, perf_counter() - started, None, tuple(others), error)
    return Outcome(one.name, judged, perf_counter() - started, None, tuple(others))


def _verdicts(one: Implementation, plan: Plan, step: int) -> Iterator[Verdict]:
    for place, cell in zip(count(plan.seed), cells(one, plan), strict=False):
        whole = step == 1 or place % 3 == 0
        if whole:
            yield from judge_histories(one, cell, plan)
        failed = False
        for prepared in cell[plan.seed % step :: step]:
            verdict, _ = judge_prepared(one, prepared)
            failed |= verdict.failed
            yield verdict
        if whole and not failed:
            yield from _related(one, cell, plan)


def _related(one: Implementation, cell: Sequence[Prepared], plan: Plan) -> Iterator[Verdict]:
    case = cell[0].case
    return judge_relations(one, case.operator, case.dims, case.dtype, plan)


@np.errstate(all="ignore")
def glance(one: Implementation, check: str, plan: Plan) -> Verdict | None:
    """Return a violation of ``check``, without shrinking, from the cases that this check is about.

    Where a case has a memory layout or special values, its violation counts as one of that check
    if the case without them conforms.
    """
    sort = check if check in ("layout", "special", "reject") else "result"
    for cell in cells(one, plan):
        if check in ("repeat", "purity", "reject", "declare"):
            for verdict in judge_histories(one, cell, plan):
                if check_of(verdict.requirement or "") == check:
                    return verdict
        if check == "relations":
            for verdict in _related(one, cell, plan):
                if check_of(verdict.requirement or "") == check:
                    return verdict
            continue
        for prepared in cell:
            if prepared.case.check != sort or check == "repeat":
                continue
            verdict = judge_prepared(one, prepared)[0]
            if verdict.failed and _is_about(one, verdict, check):
                return verdict
    return None


def _is_about(one: Implementation, verdict: Verdict, check: str) -> bool:
    if check in ("layout", "special"):
        plain = verdict.case.replace(memory="contiguous")
        plain = plain.replace(data="integers") if check == "special" else plain
        return not judge_prepared(one, Prepared.of(plain))[0].failed
    found = check_of(verdict.requirement or "")
    return found == check or (found, check) == ("integer", "result")


@np.errstate(all="ignore")
def examined(one: Implementation, outcome: Outcome) -> Outcome:
    """Return ``outcome`` with what `tests.minimality` says of the case that was reported."""
    if outcome.caught is None:
        return outcome
    found = judge_any(one, outcome.caught.case)
    if not found.failed:
        return outcome
    wanted = kind_of(found)
    smaller = left_over(outcome.caught.case, lambda case: kind_of(judge_any(one, case)) == wanted)
    return replace(outcome, smaller=smaller, alone=True)
