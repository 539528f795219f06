"""One block of a run: the cases of one operator and dimension, and every implementation on them."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.cases import bank
from conformance.checks import check_for, check_of, derived, relations
from conformance.checks.conventions import Followed, mismatches, probe
from conformance.checks.histories import SHORT
from conformance.checks.repeat import relive
from conformance.dtypes import FLOATS, INTEGERS
from conformance.isolation.callers import caller_of
from conformance.isolation.declared import ask_ahead
from conformance.judging import (
    CONFORMS,
    UNSUPPORTED,
    VIOLATES,
    Prepared,
    Verdict,
    judge_each,
    judge_prepared,
)
from conformance.known import KnownDifference
from conformance.large.judging import is_large
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registry import Implementation
from conformance.running import acknowledged, layers, pairwise, proof
from conformance.running.causes import Violation, explain
from conformance.running.layers import LayerVerdict
from conformance.spec import Spec

INCONCLUSIVE = "inconclusive"

MIN_COMPARED = 10
"""A cell that compared fewer cases than this proves too little to be called conforming."""
MIN_NONZERO = 0.1
"""So does one in which fewer than this share of the cases has a result that is not all zero."""
_EVERY_CALL = {"result", "purity", "repeat", "declare", "integer", "relations", "process"}
"""The checks that look at ordinary cases."""
LAYER_SHARE = 0.1
"""Of a cell's time budget, which an implementation has for each large case (`running.layers`)."""
MOST_WRONG = 0.05
"""The share of wrong cases in a cell up to which it is judged on large ones, too."""
RELATIONS_SHARE = 0.1
"""Of a cell's time budget, which is spent on relations after the cases (`checks.relations`)."""
HISTORIES = 8
"""Cases of a cell that are called again and again (`conformance.checks.repeat`)."""

PROBING = 0.1
"""Of a cell's time budget, what probing conventions may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does, resolved from its options."""

    implementations: tuple[Implementation, ...]
    operators: tuple[str, ...]
    dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    claimed: tuple[str, ...]
    """Further dtypes, which some of the implementations declare."""
    checks: tuple[str, ...]
    suites: tuple[str, ...]
    examples: int
    seconds: float
    seed: int
    tier: str
    spec: Spec
    cache: bool
    known: Mapping[str, tuple[KnownDifference, ...]] = field(default_factory=dict)
    """Known differences besides those that implementations declare, by implementation."""
    layers: tuple[str, ...] = ()
    """Names, or globs, of the layers of networks that are judged."""
    shapes: int = 0
    """Large shapes that are generated, an operator and dimension."""


@dataclass(slots=True)
class Cell:
    """What came of one implementation for one operator, dimension and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int = 0
    reached: int = 0
    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    elements: int = 0
    nonzero: int = 0
    worst: float = 0.0
    worst_case: Case | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    known: int = 0
    """Failures that a known difference covers; they are not among the violating ones."""
    covered: Counter[int] = field(default_factory=Counter)
    """Those failures by the place of the entry in the implementation's list."""
    conventions: list[Followed] = field(default_factory=list)
    """Which alternative of each convention was seen to be followed."""
    adapter_wrong: bool = False
    """Whether nothing was judged, because the adapter fails the simplest cases."""

    @property
    def verdict(self) -> str:
        """violates, conforms, unsupported, inconclusive where too little was compared, or known.

        Or that the adapter is wrong, where it is, and nothing was judged.
        """
        if self.adapter_wrong:
            return proof.ADAPTER_WRONG
        if self.violating:
            return VIOLATES
        if self.known:
            return acknowledged.OCCURS
        if self.reached and self.unsupported == self.reached:
            return UNSUPPORTED
        if self.nonzero < max(MIN_COMPARED, MIN_NONZERO * self.compared):
            return INCONCLUSIVE
        return CONFORMS

    def row(self) -> dict[str, Any]:
        """Return the cell as a row of the run file."""
        names = (
            *("implementation", "operator", "dims", "dtype", "planned", "reached", "compared"),
            *("unsupported", "violating", "elements", "nonzero", "worst", "seconds", "verdict"),
            "known",
        )
        worst_case = self.worst_case.id if self.worst_case else None
        return {name: getattr(self, name) for name in names} | {"worst_case": worst_case}


@dataclass(slots=True)
class Block:
    """What came of one block: cells, gaps with their counts, pairs, and where the time went."""

    operator: str
    dims: int
    cells: list[Cell]
    gaps: Counter[tuple[str, str]]
    """How many cases an implementation does not compute, by (name, reason)."""
    pairs: list[pairwise.Pair]
    spent: Counter[str]
    """Microseconds, by what they were spent on."""
    examples: dict[acknowledged.Key, acknowledged.Example] = field(default_factory=dict)
    """What the cases of the known differences of this block showed."""
    layers: list[LayerVerdict] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """Why no more calls of an implementation were made, by its name."""
    interrupted: bool = False
    """Whether the rest of the block was not judged, because the user has ended the run."""


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
    dtype = proof.dtype_of(one)
    if one.package is None or dtype is None:
        return None
    known = tuple(acknowledged.applicable(one, plan.known).values())
    cases = proof.simplest(plan.spec, operator, dims, dtype)
    return proof.disprove(one, map(Prepared.of, cases), lambda p: judge_prepared(one, p)[0], known)


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
        cell.violating, cell.violations = 1, [proof.violation(one, wrong)]
    return cells


def prepare_block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases of one operator and dimension: curated first, then generated."""
    floats = tuple(dtype for dtype in plan.dtypes if dtype in FLOATS) or ("float32",)
    ranges = replace(plan.spec.ranges, dtypes=floats)
    claimed = (*plan.claimed, *(dtype for dtype in plan.dtypes if dtype in INTEGERS))

    def make_cases() -> list[Case]:
        cases = _curated(plan, operator, dims, floats)
        # A gradient has the geometry of its forward operator, which more cases look at.
        fewer = min(plan.examples, max(20, plan.examples // 3))
        count = fewer if operator in GRADIENTS else plan.examples
        if count:
            from conformance.cases.strategies import generate

            cases += generate(operator, ranges, dims=dims, count=count, seed_value=plan.seed)
        further = derived(operator, dims, floats, claimed, cases, count)
        wanted = {*plan.checks, *(("result",) if _EVERY_CALL & {*plan.checks} else ())}
        found = [case for case in _interleaved(cases, further) if check_for(case) in wanted]
        return [case for case in found if case.dtype in (*plan.dtypes, *plan.claimed)]

    name = bank.key(
        spec=plan.spec.digest,
        operator=operator,
        dims=dims,
        dtypes=(plan.dtypes, plan.claimed),
        checks=plan.checks,
        suites=plan.suites,
        examples=plan.examples,
        seed=plan.seed,
    )
    return bank.prepare(make_cases, name, cached=plan.cache)


def _curated(plan: Plan, operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the suites' cases of an operator; a gradient's are those of its forward operator."""
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    cases = [
        case
        for name in plan.suites
        for entry in plan.spec.suite(name).cases
        if entry.case.operator == source and entry.case.dims == dims
        if not is_large(entry.case)  # those are judged as layers, or too dear for a gradient
        for case in entry.expand(dtypes)
    ]
    return [gradient.derived(case) for case in cases] if gradient else cases


def _interleaved(cases: Sequence[Case], others: Sequence[Case]) -> list[Case]:
    """Mix two sequences evenly, so that a time budget that ends early cuts both alike."""
    placed = [(index / len(cases), case) for index, case in enumerate(cases)]
    placed += [(index / len(others), case) for index, case in enumerate(others)]
    placed.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(case for _, case in placed))


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
    for dtype in dict.fromkeys(p.case.dtype for p in prepared):
        mine = [(i, p) for i, p in enumerate(prepared) if p.case.dtype == dtype]
        first = mine[0][1].case
        if dtype in plan.claimed and dtype not in one.dtypes:
            continue
        cell = Cell(one.name, first.operator, first.dims, dtype, planned=len(mine))
        cells.append(cell)
        failures: list[Verdict] = []
        interrupted = False
        try:
            _judge_cell(one, mine, plan, gaps, cell, outputs, failures)
        except KeyboardInterrupt:
            interrupted = True
        new, cell.covered = acknowledged.split(known, failures)
        cell.known, cell.violating = cell.covered.total(), len(new)
        if interrupted:
            cell.violations = list(explain(one, new, shrinking=False))
            raise KeyboardInterrupt
        for violation in explain(one, new, tuple(known.values())):
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
    begun = time.perf_counter()
    with contextlib.closing(judge_each(one, (p for _, p in mine))) as judged:
        for (index, p), (verdict, output) in zip(mine, judged, strict=False):
            if check_for(p.case) == "result":
                outputs[index] = output
            if not cell.reached:  # the first call may import and compile: that is not budgeted
                begun = time.perf_counter()
            _count(cell, verdict, p)
            cell.seconds = time.perf_counter() - started
            if verdict.failed and _behind(verdict) & wanted:
                failures.append(verdict)
            elif verdict.status == UNSUPPORTED:
                gaps[one.name, verdict.message] += 1
            if time.perf_counter() - begun > plan.seconds:
                break
    # They say little about results that are wrong already.
    if not failures and caller_of(one).lost is None:
        related = judge_relations(one, cell.operator, cell.dims, cell.dtype, plan)
        failures += [verdict for verdict in related if verdict.failed]
    cell.seconds = time.perf_counter() - started
    if "declare" in wanted and cell.reached and caller_of(one).lost is None:
        cell.conventions = probe(one, cell.operator, cell.dims, cell.dtype, PROBING * plan.seconds)
        failures += mismatches(one, cell.conventions)


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
    failures: dict[str, list[Verdict]] = {one.name: [] for one in mine}
    budget = plan.seconds * LAYER_SHARE * len(chosen)
    for found in layers.judge_layers(mine, chosen, budget):
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
        known = acknowledged.applicable(one, plan.known)
        new, covered = acknowledged.split(known, failures[one.name])
        cell.covered += covered
        cell.known, cell.violating = cell.covered.total(), cell.violating + len(new)
        shown = {(v.requirement, v.case) for v in cell.violations}
        found_now = explain(one, new, tuple(known.values()))
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
    begun = math.inf  # the first history may import and compile: that is not budgeted
    for name, case in histories_of(ordinary):
        if caller_of(one).lost is not None or time.perf_counter() - begun > plan.seconds / 2:
            break
        verdict = relive(one, case, name, seconds=plan.seconds)
        begun = min(begun, time.perf_counter())
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
    yield from relations.survey(one, mine, plan.seconds * RELATIONS_SHARE)


def _count(cell: Cell, verdict: Verdict, prepared: Prepared) -> None:
    cell.reached += 1
    if verdict.status == UNSUPPORTED:
        cell.unsupported += 1
        return
    cell.compared += 1
    exact = prepared.reference.exact
    cell.elements += exact.size
    cell.nonzero += bool(np.any(exact))
    if verdict.worst > cell.worst:
        cell.worst, cell.worst_case = verdict.worst, verdict.case
