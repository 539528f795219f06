"""A run: cases prepared once an operator and dimension, every implementation judged on them.

The work is cut into blocks (`conformance.running.block`), which are mapped over an executor: each
prepares its cases, or takes them from the cache, and hands the same ones in the same order to every
implementation. So any two implementations have judged a common set, and a run that is stopped
keeps what was judged until then.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.case import Case
from conformance.isolation.dispatch import Reference, close_all, in_pool, to_pool
from conformance.judging import VIOLATES
from conformance.registration.implementation import Implementation
from conformance.runfile.file import RunFile
from conformance.runfile.tables import Known, Pair, Violation, Witness
from conformance.runfile.words import ADAPTER_WRONG, KNOWN_DIFFERENCE, STALE
from conformance.running import rows
from conformance.running.block import Block, run_block
from conformance.running.cell import Cell
from conformance.running.interruption import interrupt_pool, interruptible, undisturbed
from conformance.running.known_in_run import Example, Key, known_rows
from conformance.running.plan import Plan, resolve
from conformance.running.selection import Selection, implementations_of, options_of
from conformance.running.witnesses import smallest, witnesses

_STEPS = 1000
"""Steps of progress a block."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: where its file is, and what came of every implementation."""

    path: Path
    seed: int
    verdicts: dict[str, str]
    """The verdict on each implementation, by name."""
    cells: tuple[Cell, ...]
    stale: tuple[str, ...] = ()
    """Known differences that no longer occur, a line each."""

    @property
    def conforms(self) -> bool:
        """Whether nothing violates anything, and every known difference still occurs.

        An adapter that is wrong does not conform.
        """
        return not {VIOLATES, ADAPTER_WRONG} & {*self.verdicts.values()} and not self.stale


@options_of(Selection)
def run(selection: Selection) -> Run:
    """Judge implementations and write ``output``/run.sqlite; return the run.

    The arguments are the fields of `Selection`, the first of them the implementations. Every one
    may be left out: it then stands for all there is, or for what the ``tier`` says. Raises
    `ConformanceError` for a selection that names nothing.
    """
    return run_selection(selection)


def run_selection(selection: Selection) -> Run:
    """Do as `run`, for a selection that has been made."""
    try:
        plan = resolve(selection, implementations_of(selection))
        with contextlib.closing(RunFile(Path(selection.output) / "run.sqlite")) as file:
            return _execute(plan, file, selection)
    finally:
        close_all()


def _execute(plan: Plan, file: RunFile, selection: Selection) -> Run:
    progress, executor = selection.progress or (lambda *_: None), selection.executor
    had = {o for one in plan.implementations if one.installed for o in one.functions}
    blocks = [(operator, d) for operator in plan.operators if operator in had for d in plan.dims]

    def tell(done: float, what: str) -> None:
        """Tell how many blocks are done; what is asked after them counts as one more."""
        progress(int(_STEPS * done), _STEPS * (len(blocks) + 1), what)

    file.record(
        seed=plan.seed,
        tier=plan.tier,
        examples=plan.examples,
        seconds=plan.seconds,
        suites=plan.suites,
        layers=plan.layers,
        shapes=plan.shapes,
        operators=plan.operators,
        dims=plan.dims,
        dtypes=plan.dtypes,
        checks=plan.checks,
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=selection.command,
        started=rows.now(),
        machine=rows.machine(plan.implementations),
    )
    cells: list[Cell] = []
    pairs: dict[tuple[str, str, str], Pair] = {}
    spent: Counter[str] = Counter()
    notes: dict[str, str] = {}
    covered: Counter[Key] = Counter()
    examples: dict[Key, Example] = {}

    def take(block: Block) -> None:
        cells.extend(block.cells)
        spent.update(block.spent)
        examples.update(block.examples)
        notes.update(block.notes)
        for cell in block.cells:
            for place, count in cell.covered.items():
                covered[cell.implementation, place] += count
        for pair in block.pairs:
            key = (pair.first, pair.second, pair.operator)
            pairs[key] = pairs[key].plus(pair) if key in pairs else pair
        with undisturbed():
            file.add((*rows.of_block(block), *pairs.values()))

    try:
        _judge_blocks(plan, blocks, tell, executor, take)
    finally:  # an interrupt leaves what was judged so far
        verdicts = {one.name: rows.overall(one, cells) for one in plan.implementations}
        file.add(rows.of_implementations(plan.implementations, cells, notes))
        entries = list(known_rows(plan.implementations, plan.known, covered, examples))
        file.add(entries)
    occurring = (entry for entry in entries if entry.status == KNOWN_DIFFERENCE)
    failed: list[Known | Violation] = [*rows.violations(cells), *occurring]
    if failed and len(plan.implementations) > 1:
        tell(len(blocks), "asking every implementation about each difference")
        file.add(_ask_all(plan, smallest(failed), executor))
    seconds = {what: microseconds / 1e6 for what, microseconds in spent.items()}
    file.record(spent=seconds, finished=rows.now())
    tell(len(blocks) + 1, "done")
    stale = tuple(
        f"{entry.implementation}: {entry.requirement}: {entry.case}"
        for entry in entries
        if entry.status == STALE
    )
    return Run(file.path, plan.seed, verdicts, tuple(cells), stale)


def _judge_blocks(
    plan: Plan,
    blocks: Sequence[tuple[str, int]],
    tell: Callable[[float, str], None],
    executor: Executor | None,
    take: Callable[[Block], None],
) -> None:
    """Hand over the blocks as they are finished: one after the other here, or by an executor.

    An interrupt is raised once every block that was begun has been handed over, as far as it came.
    """
    if executor is None:
        for index, (operator, dims) in enumerate(blocks):

            def tell_share(share: float, what: str, index: int = index) -> None:
                tell(index + share, what)

            take(block := run_block(plan, operator, dims, tell_share))
            if block.interrupted:
                raise KeyboardInterrupt
        return
    sent = [to_pool(implementation) for implementation in plan.implementations]
    rest = replace(plan, implementations=())
    left: list[Future[Block]] = [
        executor.submit(_judge_in_pool, sent, rest, *block) for block in blocks
    ]
    for operator, dims in blocks[:1]:
        tell(0, f"{operator} {dims}-D and others")
    try:
        for index, future in enumerate(as_completed(tuple(left)), 1):
            block = future.result()
            tell(index, f"{block.operator} {block.dims}-D is done")
            left.remove(future)
            take(block)
            if block.interrupted:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupt_pool(left, take)
        raise
    finally:
        for future in left:
            future.cancel()


def _judge_in_pool(
    sent: Sequence[Implementation | Reference], rest: Plan, operator: str, dims: int
) -> Block:
    """Judge the block of a plan whose implementations have been sent beside it."""
    with interruptible():
        plan = replace(rest, implementations=tuple(map(in_pool, sent)))
        return run_block(plan, operator, dims)


def _ask_all(
    plan: Plan, cases: Mapping[tuple[str, str], Case], executor: Executor | None
) -> list[Witness]:
    """Return what every implementation makes of each case, as rows of the run file.

    In a pool the processes that have judged are asked, whose workers have loaded the engines.
    """
    if executor is None:
        return list(witnesses(plan.implementations, cases))
    asked = [executor.submit(_ask_in_pool, to_pool(one), cases) for one in plan.implementations]
    try:
        return [row for future in asked for row in future.result()]
    except KeyboardInterrupt:
        interrupt_pool(asked, lambda found: None)
        raise


def _ask_in_pool(
    sent: Implementation | Reference, cases: Mapping[tuple[str, str], Case]
) -> list[Witness]:
    with interruptible(), contextlib.suppress(KeyboardInterrupt):
        return list(witnesses([in_pool(sent)], cases))
    return []
