"""What a cell judges in more than one call: histories of calls, and relations between calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from conformance.case import Case
from conformance.checks import relations
from conformance.checks.histories import CROSSED, LONG, SHORT
from conformance.checks.repeat import judge_named_history
from conformance.isolation.dispatch import caller_of
from conformance.judging import PROCESS, THREADS, Prepared, Verdict
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.runfile import asked
from conformance.running.budget import CALLS_PER_RELATION, Budget
from conformance.running.cell import Cell
from conformance.running.plan import Plan

FIRST_RELATION = 2.0
"""The first case of an engine that compiles is judged if it costs at most so many budgets."""

HISTORIES, IN_OTHER_DTYPES = 8, 3
"""The number of cases of a cell that histories are made from: of the dtype in which all of them are
made, and of each other one."""


def judge_histories(
    implementation: Implementation,
    prepared: Sequence[Prepared],
    plan: Plan,
    budget: Budget,
    cell: Cell | None = None,
    spared: Callable[[Case], bool] = lambda case: False,
) -> Iterator[Verdict]:
    """Judge series of calls on a few of a cell's ordinary cases, and yield the failures.

    The first history has every dtype, so that the state which one dtype leaves meets the others.
    The ``cell`` counts how many are planned, and how many are made. Those that call a case that is
    ``spared`` are passed over.
    """
    ordinary = [
        p.case
        for p in prepared
        if p.case.check == "result" and p.case.x[0] and implementation.gap(p.case) is None
    ]
    concerned = {"repeat", "purity", "reject", "declare", "process"} & {*plan.checks}
    if not concerned or not ordinary or plan.only_suites:
        return
    planned = list(histories_of(ordinary, implementation.dtypes))
    if cell is not None:
        cell.due[asked.HISTORIES] += len(planned)
    for number, (name, case) in enumerate(planned):
        afforded = budget.affords_history(case)
        if caller_of(implementation).given_up_because is not None or (number and not afforded):
            break
        if spared(case):
            continue
        verdict = judge_named_history(implementation, case, name, seconds=plan.clock, spared=spared)
        if cell is not None:
            cell.asked[asked.HISTORIES] += 1
        if verdict is not None:
            yield verdict


def histories_of(ordinary: Sequence[Case], dtypes: Sequence[str]) -> Iterator[tuple[str, Case]]:
    """Yield the names of the histories of a cell, each with the case that it is made from.

    The long ones and those that cross with other things are all made in float32, or else in the
    first of the implementation's ``dtypes``; in the others they take turns.
    """
    cases = sorted(ordinary, key=work)
    dtype = cases[0].dtype
    is_main = dtype == ("float32" if "float32" in dtypes else dtypes[0])
    spread = cases[:: -(-len(cases) // (HISTORIES if is_main else IN_OTHER_DTYPES))]
    inexact = [case for case in cases if case.data == "normal"] or cases  # noise shows there
    yield "dtypes", spread[0]
    yield PROCESS, spread[0]
    cheap = cases[: len(cases) // 2 + 1]
    largest = max(cheap, key=_elements)
    chosen = {name: cheap[(i + 1) * len(cheap) // 8] for i, name in enumerate(CROSSED)}
    chosen |= {"edits": largest, THREADS: largest}
    long = {"many": inexact[len(inexact) // 4], "turns": inexact[len(inexact) // 3]}
    if is_main:
        yield from long.items()
        yield from chosen.items()
        yield "sizes", cheap[-1]
    else:
        turn = dtypes.index(dtype) + cases[0].dims
        for names in (LONG, CROSSED):
            name = names[turn % len(names)]
            yield name, {**long, **chosen}[name]
    for number, case in enumerate(spread):
        yield "data", case
        # Each of the other histories is made from every third case.
        yield from ((name, case) for name in SHORT[1 + number % 3 :: 3])


def _elements(case: Case) -> int:
    """Return the elements of the weight, or of the image if there is none."""
    return math.prod(case.w or case.x)


def judge_relations(
    implementation: Implementation,
    operator: str,
    dims: int,
    dtype: str,
    plan: Plan,
    budget: Budget,
    cell: Cell | None = None,
) -> Iterator[Verdict]:
    """Judge the relations of a cell, most of them on shapes too large for a reference.

    The first case is judged whatever it costs, unless an engine would compile for it for long. The
    ``cell`` counts how many are planned, and how many are judged.
    """
    if "relations" not in plan.checks or plan.only_suites:
        return
    cases = relations.cases(operator, dims, plan.dtypes, plan.claimed, seed=plan.seed)
    steered = (implementation.steered(case) for case in cases if case.dtype == dtype)
    own = list(dict.fromkeys(case for case in steered if case is not None))
    judged = 0
    compiling = CALLS_PER_RELATION * implementation.shape_seconds
    free = 1 if compiling <= FIRST_RELATION * plan.seconds else 0

    def afford(case: Case) -> bool:
        nonlocal judged
        if not budget.affords_relations(case) and judged >= free:
            return False
        judged += 1
        return True

    yield from relations.judge_cases(implementation, own, afford)
    if cell is not None:
        cell.due[asked.RELATIONS] += len(own)
        cell.asked[asked.RELATIONS] += judged
        if not free:
            cell.spared[asked.RELATIONS] += len(own)
