"""One block of a run: the cases of one operator and dimension, and every implementation on them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from conformance.calling import Array
from conformance.isolation.dispatch import caller_of
from conformance.isolation.remote_plugins import ask_ahead
from conformance.judging import UNSUPPORTED, Prepared, Verdict
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Pair
from conformance.running import adapter_check, layers, pairwise
from conformance.running.cell import Cell
from conformance.running.judge_cell import CellJudge
from conformance.running.known_in_run import Example, Key, Subject
from conformance.running.plan import Plan
from conformance.running.preparing import prepare_block
from conformance.running.witnesses import examples

LAYER_SHARE = 0.1
"""The share of a cell's budget that an implementation has for each large case."""

MOST_WRONG = 0.05
"""The share of wrong cases in a cell up to which it is judged on large ones, too."""


@dataclass(slots=True)
class Block:
    """What came of one block: cells, gaps with their counts, pairs, and where the time went."""

    operator: str
    dims: int
    cells: list[Cell]
    gaps: Counter[tuple[str, str]]
    """How many cases an implementation does not compute, by (name, reason)."""
    pairs: list[Pair]
    spent: Counter[str]
    """Microseconds, by what they were spent on."""
    examples: dict[Key, Example] = field(default_factory=dict)
    """What the cases of the known differences of this block showed."""
    layers: list[layers.LayerVerdict] = field(default_factory=list)
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
    judge = _BlockJudge(plan, operator, dims)
    try:
        judge.judge_all(progress or (lambda share, what: None))
    except KeyboardInterrupt:
        judge.block.interrupted = True
    return judge.block


class _BlockJudge:
    """Judges one block, step by step. Its ``block`` always holds what has been judged so far."""

    def __init__(self, plan: Plan, operator: str, dims: int) -> None:
        self.plan, self.operator, self.dims = plan, operator, dims
        self.block = Block(operator, dims, [], Counter(), [], Counter())
        self.prepared: list[Prepared] = []
        self.subjects: list[Subject] = []
        """Those that are judged: not the adapters that are wrong."""
        self.outputs: dict[str, dict[int, Array | None]] = {}
        """What each implementation returned, by its name and the position of the case."""
        self._lap = time.perf_counter()

    def judge_all(self, tell: Callable[[float, str], None]) -> None:
        operator, dims = self.operator, self.dims
        tell(0.0, f"preparing {operator} {dims}-D")
        self.prepared = prepare_block(self.plan, operator, dims)
        self.spend("preparing")
        judges = [
            one for one in self.plan.implementations if one.installed and operator in one.functions
        ]
        for number, implementation in enumerate(judges):
            tell(number / len(judges), f"{implementation.name}: {operator} {dims}-D")
            self.judge_implementation(implementation)
            self.spend(f"judging {implementation.name}")
        tell(1.0, f"layers: {operator} {dims}-D")
        self.judge_large()
        self.spend("layers")
        positions = range(len(self.prepared))
        outputs = {name: [own.get(i) for i in positions] for name, own in self.outputs.items()}
        self.block.pairs = pairwise.compare(operator, self.prepared, outputs)
        self.spend("comparing pairs")

    def spend(self, what: str) -> None:
        """Enter the time since the last call, in microseconds."""
        now = time.perf_counter()
        self.block.spent[what] += round(1e6 * (now - self._lap))
        self._lap = now

    def judge_implementation(self, implementation: Implementation) -> None:
        block, plan, name = self.block, self.plan, implementation.name
        subject = Subject.of(implementation, plan.known)
        caller = caller_of(implementation)
        outputs = self.outputs[name] = {}
        if caller.lost is None:
            wrong = adapter_check.check_adapter(
                subject.implementation, plan.spec, self.operator, self.dims, subject.entries
            )
            if wrong is not None:
                block.cells += unjudged(implementation, self.prepared, plan, wrong)
                return
        self.subjects.append(subject)
        ask_ahead(subject.implementation, [p.case for p in self.prepared])
        dtypes = judged_dtypes(implementation, self.prepared, plan)
        with np.errstate(all="ignore"):  # special values are handed over on purpose
            for dtype in dtypes:
                cases = [(i, p) for i, p in enumerate(self.prepared) if p.case.dtype == dtype]
                judge = CellJudge(subject, cases, plan)
                judge.judge()
                block.cells.append(judge.cell)
                block.gaps += judge.gaps
                outputs |= judge.outputs
                if judge.interrupted:
                    raise KeyboardInterrupt
            if caller.lost is None:
                block.examples |= examples(subject, self.operator, self.dims, dtypes, plan.checks)
        if caller.lost is not None:
            block.notes[name] = caller.lost

    def judge_large(self) -> None:
        """Judge the large cases; they count in the cells of those that are mostly right."""
        block, plan = self.block, self.plan
        if layers.DTYPE not in plan.dtypes or "result" not in plan.checks:
            return
        cells = {cell.implementation: cell for cell in block.cells if cell.dtype == layers.DTYPE}
        subjects = {
            subject.implementation.name: subject
            for subject in self.subjects
            if caller_of(subject.implementation).lost is None
            if mostly_right(cells.get(subject.implementation.name))
        }
        chosen = layers.chosen(plan, self.operator, self.dims) if subjects else []
        if not chosen:
            return
        for name in subjects:
            if name not in cells:
                cells[name] = Cell(name, self.operator, self.dims, layers.DTYPE)
                block.cells.append(cells[name])
            cells[name].planned += len(chosen)
        failures: dict[str, list[Verdict]] = {name: [] for name in subjects}
        judges = [subject.careful for subject in subjects.values()]
        share = LAYER_SHARE * len(chosen)
        interrupted = False
        try:
            for judged in layers.judge_layers(
                judges, chosen, share * plan.seconds, share * plan.clock
            ):
                block.layers.append(judged)
                verdict, name = judged.verdict, judged.verdict.implementation
                elements = math.prod(OPERATORS[self.operator].output_shape(verdict.case))
                cells[name].count(verdict, elements=elements, nonzero=True)
                cells[name].seconds += judged.seconds
                if verdict.status == UNSUPPORTED:
                    block.gaps[name, verdict.message] += 1
                elif verdict.failed:
                    failures[name].append(verdict)
        except KeyboardInterrupt:
            interrupted = True
        for name, subject in subjects.items():
            interrupted = cells[name].explain(subject, failures[name], interrupted=interrupted)
        if interrupted:
            raise KeyboardInterrupt


def mostly_right(cell: Cell | None) -> bool:
    """Whether a cell is right on so many of its ordinary cases that large ones tell something."""
    return cell is None or cell.violating <= MOST_WRONG * cell.reached


def judged_dtypes(one: Implementation, prepared: Sequence[Prepared], plan: Plan) -> dict[str, int]:
    """Return the dtypes that an implementation is judged in, with how many cases each has."""
    return {
        dtype: count
        for dtype, count in Counter(p.case.dtype for p in prepared).items()
        if dtype not in plan.claimed or dtype in one.dtypes
    }


def unjudged(
    one: Implementation, prepared: Sequence[Prepared], plan: Plan, wrong: Verdict
) -> list[Cell]:
    """Return the cells of an operator whose adapter is wrong: nothing was judged in them."""
    operator, dims = wrong.case.operator, wrong.case.dims
    cells = [
        Cell(one.name, operator, dims, dtype, planned, adapter_wrong=True)
        for dtype, planned in judged_dtypes(one, prepared, plan).items()
    ]
    for cell in cells[:1]:
        cell.violating, cell.violations = 1, [adapter_check.violation(one, wrong)]
    return cells
