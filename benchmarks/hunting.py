"""Judging one implementation as the default tier does, until its defect is found.

It is judged in this process, in the order of a run: cell by cell, histories of calls first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import count, islice
from time import perf_counter

import numpy as np

from conformance.case import Case
from conformance.dtypes import DTYPES, available
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.runfile import asked as classes
from conformance.running.again import kind_of
from conformance.running.causes import shrink_to_violations
from conformance.running.citing import cite
from conformance.running.from_source import FromSource
from conformance.running.plan import Plan, resolve
from conformance.running.pool import Pool
from conformance.running.preparing import (
    first_dtype,
    prepare_block,
    prepare_enumerated,
    prepare_spaces,
)
from conformance.running.selection import Selection
from conformance.running.series import judge_histories, judge_relations
from conformance.running.supported import for_cell
from conformance.running.violation import Violation
from conformance.sources.own import source_of
from tests.minimality import left_over

EXPLAINED = 3
"""This many failures of one sort are shrunk; further ones of that sort are passed over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of hunting one implementation, and how long the hunt took."""

    name: str
    judged: int
    """Cases judged until it was caught, or all of them; a history of calls counts when it fails."""
    seconds: float
    caught: Violation | None = None
    """The first violation, shrunk, of the check that was looked for."""
    others: tuple[Violation, ...] = ()
    """The violations of other checks that were found before it."""
    error: str = ""
    """The exception that the suite itself raised, which is always a mistake of the suite."""
    smaller: Case | None = None
    """A case smaller than the one reported, where that is not minimal (`tests.minimality`)."""
    alone: bool = False
    """Whether the case that is reported shows the failure in one call, without a history."""


PATIENCE = 20.0
"""Seconds for the histories and relations of a cell in a hunt: so many that the result does not
depend on how busy the machine is."""


@lru_cache
def default_plan(
    seed: int = 0,
    examples: int | None = None,
    seconds: float | None = PATIENCE,
    *,
    source: bool | None = None,
) -> Plan:
    """Return the plan of the default tier, for every dtype that can be made here.

    ``seconds`` replaces the tier's time budget; None keeps that budget. ``source`` says whether
    sources are read, None that those of modules called `SOURCED` are.
    """
    cache = seed == 0  # other seeds are used once
    selection = Selection(examples=examples, seconds=seconds, seed=seed, cache=cache, source=source)
    plan = resolve(selection, [])
    others = tuple(d for d in DTYPES if d not in plan.dtypes and available(d))
    return replace(plan, claimed=others)


def cells(
    implementation: Implementation, plan: Plan
) -> Iterator[tuple[list[Prepared], Callable[[], Iterable[Prepared]]]]:
    """Yield the cases of each cell in which a run would judge the implementation, in its order.

    The second of each pair returns those of the spaces that are judged whole.
    """
    for operator in implementation.operators:
        for dims in plan.dims:
            prepared = bank(plan.seed, plan.examples, operator, dims)
            for dtype in dict.fromkeys(p.case.dtype for p in prepared):
                if dtype in plan.dtypes or dtype in implementation.dtypes:
                    cell = [p for p in prepared if p.case.dtype == dtype]
                    own = frozenset(implementation.dtypes)
                    yield cell, partial(_listed, operator, dims, dtype, own)


@lru_cache(maxsize=256)
def _listed(operator: str, dims: int, dtype: str, dtypes: frozenset[str]) -> list[Prepared]:
    """Return the cases that are listed completely, which are the same for every seed."""
    found = [p for p in _enumerated(operator, dims, dtypes) if p.case.dtype == dtype]
    leading = dtype == first_dtype(dtypes)
    spaces = prepare_spaces(default_plan(), operator, dims, dtype, leading)
    return found + [p for _, listed in spaces.values() for p in listed]


@lru_cache(maxsize=64)
def _enumerated(operator: str, dims: int, dtypes: frozenset[str]) -> list[Prepared]:
    enumerated = prepare_enumerated(default_plan(), operator, dims, dtypes)
    return [p for found in enumerated.values() for p in found]


@lru_cache(maxsize=64)
def bank(seed: int, examples: int, operator: str, dims: int) -> tuple[Prepared, ...]:
    """Return the prepared cases of one block of the default tier."""
    return tuple(prepare_block(default_plan(seed, examples), operator, dims))


def forget() -> None:
    """Free the cases that were prepared: gigabytes, which collecting garbage goes through."""
    for made in (_listed, _enumerated, bank):
        made.cache_clear()


@np.errstate(all="ignore")  # the inputs have special values on purpose
def hunt(
    implementation: Implementation, check: str | None, plan: Plan, *, step: int = 1
) -> Outcome:
    """Judge the implementation until a violation of ``check`` (None: of any check) is found.

    With a ``step`` above 1, only one case in ``step`` is judged (the seed of the plan decides
    which), and only the histories and relations of one cell in three.
    """
    started = perf_counter()
    judged = 0
    others: list[Violation] = []
    explained: Counter[tuple[str | None, str]] = Counter()
    try:
        for verdict in _verdicts(implementation, plan, step):
            judged += 1
            sort = verdict.requirement, verdict.case.check
            if not verdict.failed or explained[sort] >= EXPLAINED:
                continue
            explained[sort] += 1
            violation = next(iter(shrink_to_violations(implementation, [verdict])))
            if check is None or check_of(violation.requirement) == check:
                seconds = perf_counter() - started
                return Outcome(implementation.name, judged, seconds, violation, tuple(others))
            others.append(violation)
    except Exception as problem:  # it is reported, and the other defects are still judged
        error = f"{type(problem).__name__}: {problem}"
        return Outcome(
            implementation.name, judged, perf_counter() - started, None, tuple(others), error
        )
    return Outcome(implementation.name, judged, perf_counter() - started, None, tuple(others))


def _with_its_own(
    implementation: Implementation, cell: list[Prepared]
) -> tuple[Implementation, list[Prepared]]:
    """Return the implementation and the cases of a cell as a run has them."""
    steered, own = for_cell(implementation, [p.case for p in cell], cached=True)
    return steered, [*cell, *own]


def _verdicts(given: Implementation, plan: Plan, step: int) -> Iterator[Verdict]:
    for position, (cell, spaces) in zip(count(plan.seed), cells(given, plan), strict=False):
        implementation, cell = _with_its_own(given, cell)
        whole = step == 1 or position % 3 == 0
        if whole:
            budget = Pool(plan.seconds, plan.clock).deal(implementation, classes.HISTORIES)
            yield from judge_histories(implementation, cell, plan, budget)
        failed = False
        for prepared in _one_after_another(cell, spaces, plan.seed, step):
            verdict, _ = judge_prepared(implementation, prepared)
            failed |= verdict.failed
            yield verdict
        for verdict in _from_source(implementation, cell, plan) if whole else ():
            failed |= verdict.failed
            yield verdict
        if whole and not failed:
            yield from _related(implementation, cell, plan)


def _one_after_another(
    cell: Sequence[Prepared],
    spaces: Callable[[], Iterable[Prepared]],
    seed: int = 0,
    step: int = 1,
) -> Iterator[Prepared]:
    """Yield one case in ``step``, and of those that are listed one in `LISTED` times as many."""
    yield from cell[seed % step :: step]
    fewer = step if step == 1 else LISTED * step
    yield from islice(spaces(), seed % fewer, None, fewer)


LISTED = 5
"""Of the cases of a sample, those that are listed completely are so many times as rare."""
FROM_SOURCE = 400
"""The cases of a cell that its source asks for: what a budget affords where calls are fast."""
SOURCED = "own_source"
"""The modules of defects and of correct implementations whose source is read."""


def _from_source(
    implementation: Implementation, cell: Sequence[Prepared], plan: Plan
) -> Iterator[Verdict]:
    """Judge the cases that the source of an implementation asks for, if that is to be read."""
    case = cell[0].case
    functions = [getattr(f, "func", f) for f in implementation.functions.values()]
    sourced = any(f.__module__.endswith(f".{SOURCED}") for f in functions)
    wanted = sourced if plan.source is None else plan.source
    source = source_of(implementation, case.operator) if wanted else None
    if source is None or case.dtype not in implementation.dtypes:
        return
    steering = FromSource(source, case.operator, case.dims, implementation.dtypes)
    steering.begin(case.dtype, [p.case for p in cell])
    for _, verdict in steering.judged(implementation, FROM_SOURCE):
        yield verdict


def _related(
    implementation: Implementation, cell: Sequence[Prepared], plan: Plan
) -> Iterator[Verdict]:
    case = cell[0].case
    budget = Pool(plan.seconds, plan.clock).deal(implementation, classes.RELATIONS, warm=True)
    return judge_relations(implementation, case.operator, case.dims, case.dtype, plan, budget)


@np.errstate(all="ignore")
def glance(implementation: Implementation, check: str, plan: Plan) -> Verdict | None:
    """Return a violation of ``check``, without shrinking, from the cases that this check is about.

    Where a case has a memory layout or special values, its violation counts as one of that check
    if the case without them conforms. Of the result it is one if the case without the layout fails
    as well: every tail of a fast path is met, but not in each layout.
    """
    sort = check if check in ("layout", "special", "reject") else "result"
    sorts = ("result", "layout") if check == "result" else (sort,)
    given = implementation
    for cell, spaces in cells(given, plan):
        implementation, cell = _with_its_own(given, cell)
        if check in ("repeat", "purity", "reject", "declare", "process"):
            budget = Pool(plan.seconds, plan.clock).deal(implementation, classes.HISTORIES)
            for verdict in judge_histories(implementation, cell, plan, budget):
                if check_of(verdict.requirement or "") == check:
                    return verdict
        if check == "relations":
            for verdict in _related(implementation, cell, plan):
                if check_of(verdict.requirement or "") == check:
                    return verdict
            continue
        for prepared in _one_after_another(cell, spaces):
            if prepared.case.check not in sorts or check == "repeat":
                continue
            verdict = judge_prepared(implementation, prepared)[0]
            if verdict.failed and _is_about(implementation, verdict, check):
                return verdict
        asked = _from_source(implementation, cell, plan) if check == "result" else ()
        for verdict in asked:
            if verdict.failed and _is_about(implementation, verdict, check):
                return verdict
    return None


def _is_about(implementation: Implementation, verdict: Verdict, check: str) -> bool:
    if check in ("layout", "special"):
        plain = verdict.case.replace(memory="contiguous")
        plain = plain.replace(data="integers") if check == "special" else plain
        return not judge_prepared(implementation, Prepared.of(plain))[0].failed
    if verdict.case.check == "layout":
        plain = verdict.case.replace(memory="contiguous")
        verdict = judge_prepared(implementation, Prepared.of(plain))[0]
        if not verdict.failed:
            return False
    if verdict.ended and check == "memory":
        verdict = cite(implementation, verdict, verdict.case)
    cited = check_of(verdict.requirement or "")
    return cited == check or (cited, check) == ("integer", "result")


@np.errstate(all="ignore")
def examined(implementation: Implementation, outcome: Outcome) -> Outcome:
    """Return ``outcome`` with what `tests.minimality` says of the case that was reported."""
    if outcome.caught is None:
        return outcome
    verdict = judge_any(implementation, outcome.caught.case)
    if not verdict.failed:
        return outcome
    kind = kind_of(verdict)
    smaller = left_over(
        outcome.caught.case, lambda case: kind_of(judge_any(implementation, case)) == kind
    )
    return replace(outcome, smaller=smaller, alone=True)
