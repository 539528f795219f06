"""One block of a run: the cases of one operator and dimension, and every implementation on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from conformance.calling import Array
from conformance.isolation.dispatch import caller_of
from conformance.isolation.remote_plugins import ask_ahead
from conformance.judging import Prepared, Verdict
from conformance.registration.implementation import Implementation
from conformance.running import adapter_check, known_examples, layers, pairwise
from conformance.running.cell import Block, Cell
from conformance.running.judge_cell import CellResult, judge_cell
from conformance.running.judge_large import judge_large_cases, mostly_right, with_large
from conformance.running.plan import Plan
from conformance.running.preparing import prepare_block
from conformance.running.subject import Subject


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
        dtypes = []
        with np.errstate(all="ignore"):  # special values are handed over on purpose
            for result in judge_cells(subject, self.prepared, plan):
                block.cells.append(result.cell)
                block.gaps += result.gaps
                outputs |= result.outputs
                dtypes.append(result.cell.dtype)
                if result.interrupted:
                    raise KeyboardInterrupt
            if caller.lost is None:
                block.examples |= known_examples.examples(
                    subject.implementation,
                    subject.known,
                    self.operator,
                    self.dims,
                    dtypes,
                    plan.checks,
                )
        if caller.lost is not None:
            block.notes[name] = caller.lost

    def judge_large(self) -> None:
        block, plan = self.block, self.plan
        if layers.DTYPE not in plan.dtypes or "result" not in plan.checks:
            return
        cells = {cell.implementation: cell for cell in block.cells if cell.dtype == layers.DTYPE}
        subjects = [
            subject
            for subject in self.subjects
            if caller_of(subject.implementation).lost is None
            if mostly_right(cells.get(subject.implementation.name))
        ]
        result = judge_large_cases(subjects, plan, self.operator, self.dims)
        block.layers, block.gaps = result.verdicts, block.gaps + result.gaps
        block.cells = with_large(block.cells, result.cells)
        if result.interrupted:
            raise KeyboardInterrupt


def judge_cells(subject: Subject, prepared: Sequence[Prepared], plan: Plan) -> Iterator[CellResult]:
    """Judge one implementation on one block, and yield what came of it a cell."""
    ask_ahead(subject.implementation, [p.case for p in prepared])
    for dtype in dict.fromkeys(p.case.dtype for p in prepared):
        if dtype in plan.claimed and dtype not in subject.implementation.dtypes:
            continue
        cases = [(i, p) for i, p in enumerate(prepared) if p.case.dtype == dtype]
        yield judge_cell(subject, cases, plan)


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
