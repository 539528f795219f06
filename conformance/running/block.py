"""One block of a run: the cases of one operator and dimension, and every implementation on them."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.checks import check_for, check_of, relations
from conformance.checks.conventions import mismatches, probe
from conformance.checks.histories import SHORT
from conformance.checks.repeat import judge_named_history
from conformance.isolation.dispatch import caller_of
from conformance.isolation.remote_plugins import ask_ahead
from conformance.judging import (
    UNSUPPORTED,
    Prepared,
    Verdict,
    judge_each,
    judge_prepared,
)
from conformance.operators import OPERATORS
from conformance.registration.registry import Implementation
from conformance.running import acknowledged, adapter_check, layers, pairwise
from conformance.running.budget import Budget
from conformance.running.causes import shrink_to_violations
from conformance.running.cell import MIN_COMPARED, Block, Cell, count
from conformance.running.plan import Plan
from conformance.running.preparing import prepare_block

PROOF_SECONDS = 5.0
"""Budget for proving an adapter; engines that compile for seconds are proven on fewer cases."""


LAYER_SHARE = 0.1
"""Of a cell's budget, which an implementation has for each large case (`running.layers`)."""


MOST_WRONG = 0.05
"""The share of wrong cases in a cell up to which it is judged on large ones, too."""


HISTORIES_SHARE = 0.5
"""Of a cell's budget, which is spent on histories before the cases (`checks.repeat`),"""
RELATIONS_SHARE = 0.1
"""on relations after the cases (`checks.relations`),"""
PROBING_SHARE = 0.1
"""and on conventions that were probed once (`checks.conventions`)."""


LONGEST = 3.0
"""Times its budget, which a cell takes until enough was compared to say something of it."""


HISTORIES = 8
"""Cases of a cell that are called again and again."""


def run_block(
    plan: Plan, operator: str, dims: int, progress: Callable[[float, str], None] | None = None
) -> Block:
    """Prepare the cases of one operator and dimension, and judge every implementation on them.

    ``progress`` is called with the share that is done, and what is being done. A block that is
    interrupted holds what has been judged so far.
    """
    block = Block(operator, dims, [], Counter(), [], Counter())
    try:
        _fill(block, plan, progress or (lambda share, what: None))
    except KeyboardInterrupt:
        block.interrupted = True
    return block


def _fill(block: Block, plan: Plan, tell: Callable[[float, str], None]) -> None:
    operator, dims = block.operator, block.dims
    tell(0.0, f"preparing {operator} {dims}-D")
    clock = _Clock(block.spent)
    prepared = prepare_block(plan, operator, dims)
    clock.lap("preparing")
    outputs: dict[str, list[Array | None]] = {}
    judges = [one for one in plan.implementations if one.installed and operator in one.functions]
    proven: list[Implementation] = []
    for place, one in enumerate(judges):
        tell(place / len(judges), f"{one.name}: {operator} {dims}-D")
        caller = caller_of(one)
        wrong = disprove(one, plan, operator, dims) if caller.lost is None else None
        if wrong is not None:
            block.cells += unjudged(one, prepared, plan, wrong)
            outputs[one.name] = [None] * len(prepared)
            continue
        proven.append(one)
        with np.errstate(all="ignore"):  # special values are handed over on purpose
            outputs[one.name] = judge_block(one, prepared, plan, block.gaps, block.cells)
            known = acknowledged.applicable(one, plan.known)
            dtypes = [cell.dtype for cell in block.cells if cell.implementation == one.name]
            if caller.lost is None:
                shown = acknowledged.examples(one, known, operator, dims, dtypes, plan.checks)
                block.examples |= shown
        if caller.lost is not None:
            block.notes[one.name] = caller.lost
        clock.lap(f"judging {one.name}")
    tell(1.0, f"layers: {operator} {dims}-D")
    judge_block_layers(proven, plan, block)
    clock.lap("layers")
    block.pairs = pairwise.compare(operator, prepared, outputs)
    clock.lap("comparing pairs")


class _Clock:
    """Adds the time since the last lap to a counter, in microseconds."""

    def __init__(self, spent: Counter[str]) -> None:
        self.spent = spent
        self.last = time.perf_counter()

    def lap(self, what: str) -> None:
        now = time.perf_counter()
        self.spent[what] += round(1e6 * (now - self.last))
        self.last = now


def disprove(one: Implementation, plan: Plan, operator: str, dims: int) -> Verdict | None:
    """Return what shows that the adapter of an operator is wrong, or None (`running.proof`)."""
    dtype = adapter_check.dtype_of(one)
    if one.package is None or dtype is None:
        return None
    known = tuple(acknowledged.applicable(one, plan.known).values())
    cases = adapter_check.simplest(plan.spec, operator, dims, dtype)
    prepared = map(Prepared.of, _affordable(one, cases))
    return adapter_check.disprove(one, prepared, lambda p: judge_prepared(one, p)[0], known)


def _affordable(one: Implementation, cases: Iterable[Case]) -> Iterator[Case]:
    """Yield cases until the budget for a proof is spent; the first is free."""
    budget = Budget(one, PROOF_SECONDS, PROOF_SECONDS)
    for number, case in enumerate(cases):
        if not budget.affords_case(case) and number:
            return
        yield case


def unjudged(
    one: Implementation, prepared: Sequence[Prepared], plan: Plan, wrong: Verdict
) -> list[Cell]:
    """Return the cells of an operator whose adapter is wrong: nothing was judged in them."""
    planned = Counter(p.case.dtype for p in prepared)
    cells = [
        Cell(one.name, wrong.case.operator, wrong.case.dims, dtype, count, adapter_wrong=True)
        for dtype, count in planned.items()
        if dtype not in plan.claimed or dtype in one.dtypes
    ]
    for cell in cells[:1]:
        cell.violating, cell.violations = 1, [adapter_check.violation(one, wrong)]
    return cells


def judge_block(
    one: Implementation,
    prepared: Sequence[Prepared],
    plan: Plan,
    gaps: Counter[tuple[str, str]],
    cells: list[Cell],
) -> list[Array | None]:
    """Judge one implementation on one block; add its cells, and return its outputs by case."""
    outputs: list[Array | None] = [None] * len(prepared)
    known = acknowledged.applicable(one, plan.known)
    ask_ahead(one, [p.case for p in prepared])
    spared = acknowledged.spared(one, known.values())
    for dtype in dict.fromkeys(p.case.dtype for p in prepared):
        mine = [(i, p) for i, p in enumerate(prepared) if p.case.dtype == dtype]
        first = mine[0][1].case
        if dtype in plan.claimed and dtype not in one.dtypes:
            continue
        cell = Cell(one.name, first.operator, first.dims, dtype, planned=len(mine))
        cells.append(cell)
        fatal = acknowledged.fatal(known, (p.case for _, p in mine))
        mine = [(i, p) for i, p in mine if p.case not in fatal]
        failures: list[Verdict] = []
        interrupted = False
        try:
            _judge_cell(spared, mine, plan, gaps, cell, outputs, failures)
        except KeyboardInterrupt:
            interrupted = True
        new, cell.covered = acknowledged.split(known, failures)
        cell.covered.update(fatal.values())
        cell.reached += len(fatal)
        cell.known, cell.violating = cell.covered.total(), len(new)
        if interrupted:
            cell.violations = list(shrink_to_violations(one, new, shrinking=False))
            raise KeyboardInterrupt
        for violation in shrink_to_violations(one, new, tuple(known.values())):
            cell.violations.append(violation)
    return outputs


def _judge_cell(
    one: Implementation,
    mine: Sequence[tuple[int, Prepared]],
    plan: Plan,
    gaps: Counter[tuple[str, str]],
    cell: Cell,
    outputs: list[Array | None],
    failures: list[Verdict],
) -> None:
    """Judge the cases of one cell; add what comes of it to what is handed over."""
    started = time.perf_counter()
    wanted = {*plan.checks}
    # Histories come first: a kernel that goes wrong after some calls still is at its first.
    for verdict in judge_histories(one, [p for _, p in mine], plan):
        if _behind(verdict) & wanted:
            failures.append(verdict)
    budget = _budget(one, plan)
    with contextlib.closing(judge_each(one, (p for _, p in mine))) as judged:
        for (index, p), (verdict, output) in zip(mine, judged, strict=False):
            if check_for(p.case) == "result":
                outputs[index] = output
            count(cell, verdict, p)
            cell.seconds = time.perf_counter() - started
            if verdict.failed and _behind(verdict) & wanted:
                failures.append(verdict)
            elif verdict.status == UNSUPPORTED:
                gaps[one.name, verdict.message] += 1
            called, done = one.gap(p.case) is None, cell.reached / len(mine)
            enough = 1.0 if cell.nonzero >= MIN_COMPARED else LONGEST
            if not budget.affords_case(p.case, called=called, done=done, enough=enough):
                break
    cell.stopped = budget.stopped
    # They say little about results that are wrong already.
    if not failures and not cell.stopped and caller_of(one).lost is None:
        related = judge_relations(one, cell.operator, cell.dims, cell.dtype, plan)
        failures += [verdict for verdict in related if verdict.failed]
    cell.seconds = time.perf_counter() - started
    if "declare" in wanted and cell.reached and caller_of(one).lost is None:
        go_on = _budget(one, plan, PROBING_SHARE, warm=True).affords_case
        cell.conventions = probe(one, cell.operator, cell.dims, cell.dtype, go_on)
        shown = {verdict.requirement for verdict in failures}
        found = mismatches(one, cell.conventions)
        failures += [v for v in found if v.requirement == "DECLARE-5" or v.requirement not in shown]


def _budget(one: Implementation, plan: Plan, share: float = 1.0, *, warm: bool = False) -> Budget:
    """Return the budget of an implementation for a cell, or for a share of what that may take."""
    clock = plan.clock + MIN_COMPARED * one.shape_seconds
    return Budget(one, share * plan.seconds, share * clock, warm=warm)


def judge_block_layers(judges: Sequence[Implementation], plan: Plan, block: Block) -> None:
    """Judge large cases, and enter what came of them into the block and its cells.

    They are left out for an implementation that is wrong on many of its ordinary cases.
    """
    if layers.DTYPE not in plan.dtypes or "result" not in plan.checks:
        return
    cells = {cell.implementation: cell for cell in block.cells if cell.dtype == layers.DTYPE}
    mine = [
        one
        for one in judges
        if caller_of(one).lost is None
        if one.name not in cells
        or cells[one.name].violating <= MOST_WRONG * cells[one.name].reached
    ]
    if not mine:
        return
    where = block.operator, block.dims
    chosen = layers.chosen(
        plan.spec, plan.suites, plan.layers, plan.shapes, *where, plan.seed, cached=plan.cache
    )
    for one in mine:
        if chosen and one.name not in cells:
            cells[one.name] = Cell(one.name, *where, layers.DTYPE)
            block.cells.append(cells[one.name])
    listed = {one.name: acknowledged.applicable(one, plan.known) for one in mine}
    mine = [acknowledged.spared(one, listed[one.name].values()) for one in mine]
    failures: dict[str, list[Verdict]] = {one.name: [] for one in mine}
    share = LAYER_SHARE * len(chosen)
    for found in layers.judge_layers(mine, chosen, share * plan.seconds, share * plan.clock):
        block.layers.append(found)
        verdict = found.verdict
        cell = cells[verdict.implementation]
        cell.seconds += found.seconds
        cell.reached += 1
        if verdict.status == UNSUPPORTED:
            cell.unsupported += 1
            block.gaps[verdict.implementation, verdict.message] += 1
            continue
        cell.compared += 1
        cell.nonzero += 1
        cell.elements += math.prod(OPERATORS[block.operator].output_shape(verdict.case))
        if verdict.failed:
            failures[verdict.implementation].append(verdict)
    for one in mine if chosen else ():
        cell = cells[one.name]
        cell.planned += len(chosen)
        known = listed[one.name]
        new, covered = acknowledged.split(known, failures[one.name])
        cell.covered += covered
        cell.known, cell.violating = cell.covered.total(), cell.violating + len(new)
        shown = {(v.requirement, v.case) for v in cell.violations}
        found_now = shrink_to_violations(one, new, tuple(known.values()))
        cell.violations += [v for v in found_now if (v.requirement, v.case) not in shown]


def _behind(verdict: Verdict) -> set[str]:
    """Return the checks of a failure: of a wrong result, the one that its case is for."""
    check, own = check_of(verdict.requirement or ""), check_for(verdict.case)
    if own in ("layout", "special") and check in ("result", "declare"):
        return {own}
    if check == "process":  # how a call ends matters to every check that makes it
        return {check, own}
    return {check, "result"} if check == "integer" else {check}


def judge_histories(
    one: Implementation, prepared: Sequence[Prepared], plan: Plan
) -> Iterator[Verdict]:
    """Yield what calls that follow one another show, on a few of a cell's ordinary cases.

    The first history has every dtype, so that what one of them leaves behind is met by the others.
    """
    ordinary = [
        p.case
        for p in prepared
        if check_for(p.case) == "result" and p.case.x[0] and one.gap(p.case) is None
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
    cases = sorted(ordinary, key=lambda case: OPERATORS[case.operator].work(case))
    chosen = cases[:: -(-len(cases) // HISTORIES)]
    rounded = [case for case in cases if case.data == "normal"] or cases  # noise shows there
    yield "dtypes", chosen[0]
    yield "many", rounded[len(rounded) // 4]
    yield "turns", rounded[len(rounded) // 3]
    for place, case in enumerate(chosen):
        yield "data", case
        # Each of the others on every third case.
        yield from ((name, case) for name in SHORT[1 + place % 3 :: 3])


def judge_relations(
    one: Implementation, operator: str, dims: int, dtype: str, plan: Plan
) -> Iterator[Verdict]:
    """Yield what relations say of a cell: of shapes too large for a reference, above all."""
    if "relations" not in plan.checks:
        return
    made = relations.cases(operator, dims, plan.dtypes, plan.claimed, seed=plan.seed)
    mine = [case for case in made if case.dtype == dtype]
    budget = _budget(one, plan, RELATIONS_SHARE, warm=True)
    yield from relations.judge_cases(one, mine, budget.affords_relations)
