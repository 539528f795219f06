"""A run: every implementation is judged on the same cases, and the results go into a file.

The work is cut into blocks (`conformance.running.block`), which an executor may distribute. Each
block prepares its cases, or takes them from the cache, and gives the same cases in the same order
to every implementation. So any two implementations can be compared, and a run that is stopped
keeps what was judged until then.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.arrays import interpreters
from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import close_all
from conformance.judging import VIOLATES
from conformance.requirements import SEVERITIES
from conformance.runfile.file import RunFile
from conformance.runfile.reading import read, read_blocks, read_facts
from conformance.runfile.tables import Known, Violation, Witness
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    STALE,
)
from conformance.running import calls, notebook, rows
from conformance.running.block import Block, run_block
from conformance.running.cell import Cell
from conformance.running.executors import (
    ONE_AT_A_TIME,
    Placing,
    Spread,
    lost_block,
    sent_by,
)
from conformance.running.gathered import Gathered
from conformance.running.interruption import interrupt_pool, interruptible, undisturbed
from conformance.running.known_in_run import known_rows
from conformance.running.pairwise import notes_on_identical
from conformance.running.plan import Plan, fixed, resolve
from conformance.running.selection import Selection, implementations_of, options_of
from conformance.running.so_far import found_so_far
from conformance.running.travelling import Sent, arrived
from conformance.running.units import Unit, difference, identity, in_shard, states, units_of
from conformance.running.witnesses import smallest, witnesses

_STEPS = 1000
"""The number of progress steps in a block."""


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A finished run: the path of its file, and the results of every implementation.

    A notebook shows it as a table. As a data frame it is two lines; the names of the tables are
    those of the run file::

        import pandas
        pandas.DataFrame(run.rows("cell"))
    """

    path: Path
    seed: int
    verdicts: dict[str, str]
    """The verdict on each implementation, by name."""
    cells: tuple[Cell, ...]
    stale: tuple[str, ...] = ()
    """Known differences that no longer occur, one line for each."""
    violations: Sequence[Violation] = ()
    """The smallest case of each violation: ``requirement``, ``case``, ``message``, ``replay``,
    ``script``, and the other columns of its table."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table of the run file, a dict for each row; `RunFileError` if there is none."""
        return read(self.path).dicts(table)

    def __repr__(self) -> str:
        text = notebook.sentence(self.verdicts)
        return f"<Run {self.path}: {text}; {len(self.violations)} violations>"

    def _repr_html_(self) -> str:
        return notebook.html(self.verdicts, self.cells, self.violations)

    @property
    def conforms(self) -> bool:
        """Whether enough was compared, and nothing is wrong: the exit status is 0."""
        return self.exit_status == 0

    @property
    def exit_status(self) -> int:
        """The exit status of the command.

        1: an implementation violates a requirement, an adapter is wrong, or a known difference is
        stale. 3: else, if too little was compared to say that an implementation conforms, or
        nothing at all. 0: all conform, but for known differences.
        """
        return self.status_from(SEVERITIES[-1])

    def status_from(self, severity: str) -> int:
        """Return the exit status if only what is of this severity, or worse, fails the run.

        A known difference that is stale is of the mildest severity: it is the list that is wrong.
        """
        verdicts, worst = {*self.verdicts.values()}, self.severity
        if worst is not None and SEVERITIES.index(worst) <= SEVERITIES.index(severity):
            return 1
        if INCONCLUSIVE in verdicts or not {CONFORMS, KNOWN_DIFFERENCE, VIOLATES} & verdicts:
            return 3
        return 0

    @property
    def severity(self) -> str | None:
        """The worst severity of what is wrong, None if nothing is."""
        found = {violation.severity for cell in self.cells for violation in cell.violations}
        if not found and {VIOLATES, ADAPTER_WRONG} & {*self.verdicts.values()}:
            found.add(SEVERITIES[0])
        if self.stale:
            found.add(SEVERITIES[-1])
        return min(found, key=SEVERITIES.index, default=None)


@options_of(Selection)
def run(selection: Selection) -> Run:
    """Judge implementations, write ``output``/run.sqlite, and return the run.

    The arguments are the fields of `Selection`; the implementations come first. Every argument may
    be left out: it then means all there are, or what the ``tier`` says. Raises `ConformanceError`
    for a selection of nothing, or of something unknown.
    """
    return run_selection(selection)


def run_selection(selection: Selection) -> Run:
    """Do what `run` does, for a given selection."""
    try:
        selection = fixed(selection)
        plan = resolve(selection, implementations_of(selection))
        units = in_shard(units_of(plan), selection.shard)
        blocks = _placed(plan, units, selection.executor)
        path = Path(selection.output) / "run.sqlite"
        with contextlib.closing(RunFile(path, resume=selection.resume)) as file:
            return _execute(plan, blocks, file, selection)
    finally:
        close_all()


def _execute(
    plan: Plan, blocks: Mapping[Unit, Executor | None], file: RunFile, selection: Selection
) -> Run:
    progress, executor = selection.progress or (lambda *_: None), selection.executor

    def tell(done: float, activity: str) -> None:
        """Report how many blocks are done; asking for witnesses after them counts as one more."""
        activity += found_so_far(cells)
        progress(int(_STEPS * done), _STEPS * (len(blocks) + 1), activity)

    now = {"shard": selection.shard, **identity(plan), "seconds": plan.seconds}
    now |= {"implementations": states(plan.implementations)}
    gathered = Gathered(file)
    cells, done = gathered.cells, set[str]()
    if file.resumed:
        try:
            with undisturbed():
                done = _restore(gathered, file, now, {unit.name for unit in blocks})
        except ConformanceError:
            file.leave()
            raise
    file.record(
        identity=now,
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
        blocks=[unit.name for unit in units_of(plan)],
        shape_seconds={i.name: i.shape_seconds for i in plan.implementations if i.shape_seconds},
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=selection.command,
        **({"shard": selection.shard} if selection.shard else {}),
        **({"ends": "at the first violation"} if plan.exitfirst else {}),
        **({"kernels": "in their interpreters"} if interpreters.is_on() else {}),
        machine=rows.machine(plan.implementations),
    )
    if not file.resumed:
        file.record(started=rows.now())

    def conclude() -> list[Known]:
        file.add(gathered.conclusion())
        families = {one.name: one.family for one in plan.implementations}
        alike = notes_on_identical(families, gathered.pairs.values())
        file.add(rows.of_implementations(plan.implementations, cells, gathered.notes, alike))
        file.add(calls.rows(plan, gathered.told, cells))
        shown = gathered.covered, gathered.kinds, gathered.examples
        entries = list(known_rows(plan.implementations, plan.known, *shown))
        file.add(entries)
        return entries

    try:
        left = {unit: place for unit, place in blocks.items() if unit.name not in done}
        _judge_blocks(plan, left, tell, executor, gathered)
    except BaseException:  # an interrupt leaves what was judged so far
        if cells:  # else the run file that was there before stays
            conclude()
        raise
    entries = conclude()
    verdicts = {
        implementation.name: rows.overall(implementation, cells)
        for implementation in plan.implementations
    }
    occurring = (entry for entry in entries if entry.status == KNOWN_DIFFERENCE)
    violations = rows.violations(cells)
    failures: list[Known | Violation] = [*violations, *occurring]
    if failures and len(plan.implementations) > 1:
        tell(len(blocks), "asking every implementation about each difference")
        file.add(_ask_all(plan, smallest(failures), executor))
    seconds = {activity: microseconds / 1e6 for activity, microseconds in gathered.spent.items()}
    file.record(spent=seconds, finished=rows.now())
    tell(len(blocks) + 1, "done")
    stale = tuple(
        f"{entry.implementation}: {entry.requirement}: {entry.case}"
        for entry in entries
        if entry.status == STALE
    )
    return Run(file.path, plan.seed, verdicts, tuple(cells), stale, violations)


def _placed(
    plan: Plan, blocks: Sequence[Unit], executor: Executor | None
) -> dict[Unit, Executor | None]:
    """Return each block with the executor that judges it.

    Where no worker of a cluster has all implementations, a block is judged in parts.
    """
    if not isinstance(executor, Placing):
        return dict.fromkeys(blocks, executor)
    installed = [i for i in plan.implementations if i.installed]
    groups = executor.places(installed)
    if len(groups) == 1:
        return dict.fromkeys(blocks, groups[0][1])
    functions = {i.name: i.functions for i in installed}
    return {
        replace(unit, names=own): place
        for unit in blocks
        for names, place in groups
        if (own := tuple(name for name in names if unit.operator in functions[name]))
    }


def _restore(
    gathered: Gathered, file: RunFile, now: Mapping[str, Any], names: Collection[str]
) -> set[str]:
    """Take the blocks of these names that were judged before, and return which they are.

    Raises `ConformanceError` where they were judged on other cases.
    """
    facts, blocks = read_facts(file.written), read_blocks(file.written)
    if not blocks and "finished" not in facts:  # it was stopped before its first block
        return set()
    if other := difference(facts.get("identity", {}), json.loads(json.dumps(now))):
        raise ConformanceError(
            f"run file {file.written}: cannot be resumed: {other}; choose what was chosen then, or "
            f"leave out --resume"
        )
    return gathered.restore(block for block in blocks if block[0] in names)


def _judge_blocks(
    plan: Plan,
    blocks: Mapping[Unit, Executor | None],
    tell: Callable[[float, str], None],
    executor: Executor | None,
    gathered: Gathered,
) -> None:
    """Judge the blocks, here or by executors, and take each of them when it is finished.

    An interrupt is raised after every block that was begun has been taken, as far as it was judged.
    Where no more than one violation is wanted, the blocks after it are not judged.
    """
    if executor is None:
        for index, unit in enumerate(blocks):

            def tell_share(share: float, activity: str, index: int = index) -> None:
                tell(index + share, activity)

            block = run_block(plan, unit.operator, unit.dims, tell_share, gathered.confirmed)
            gathered.take(block, unit.name, unit.number)
            if plan.exitfirst and block.has_violation:
                return
            if block.interrupted:
                raise KeyboardInterrupt
        return
    references = {i.name: sent_by(i, executor) for i in plan.implementations}
    general = replace(plan, implementations=())

    def begin(unit: Unit) -> Future[tuple[Unit, Block]]:
        own = [references[i.name] for i in plan.implementations if unit.judges(i)]
        return (blocks[unit] or executor).submit(_judge_in_pool, own, general, unit)

    def take(done: tuple[Unit, Block]) -> None:
        unit, block = done
        gathered.take(block, unit.name, unit.number)

    spread = Spread[Unit, tuple[Unit, Block]](
        executor, begin, lambda unit: (unit, lost_block(plan, unit))
    )
    # Long ones come first, so that no process works alone at the end.
    waiting = sorted(blocks, key=lambda unit: (unit.dims, -unit.number))
    if waiting:
        tell(0, f"{waiting[-1].name} and others")
    # A cluster would deal them out at once: it is given as many as it has workers, and then another
    # for each that is done.
    one_place = len({*map(id, blocks.values())}) == 1
    most = getattr(executor, "jobs", len(waiting)) if one_place else len(waiting)
    try:
        while waiting or spread.pending:
            while waiting and spread.pending < most:
                spread.add(waiting.pop())
            for done in spread.done():
                take(done)
                tell(len(blocks) - len(waiting) - spread.pending, f"{done[0].name} is done")
                if plan.exitfirst and done[1].has_violation:
                    spread.interrupt(take)
                    return
                if done[1].interrupted:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        spread.interrupt(take)
        raise
    finally:
        spread.cancel()


def _judge_in_pool(references: Sequence[Sent], general: Plan, unit: Unit) -> tuple[Unit, Block]:
    """Judge a block in a process of the pool; the plan's implementations are sent separately."""
    with ONE_AT_A_TIME, interruptible():
        plan = replace(general, implementations=tuple(map(arrived, references)))
        return unit, run_block(plan, unit.operator, unit.dims)


def _ask_all(
    plan: Plan, cases: Mapping[tuple[str, str], Case], executor: Executor | None
) -> list[Witness]:
    """Judge every implementation on each case, and return the rows of the run file.

    With an executor this is done in its processes, whose workers have loaded the engines.
    """
    if executor is None:
        return list(witnesses(plan.implementations, cases))
    installed = [i for i in plan.implementations if i.installed]
    futures = []
    for implementation in installed:
        place = executor
        if isinstance(executor, Placing):
            ((_, place),) = executor.places([implementation])
        futures.append(place.submit(_ask_in_pool, sent_by(implementation, executor), cases))
    try:
        return [row for future in futures for row in future.result()]
    except KeyboardInterrupt:
        interrupt_pool(futures, lambda rows: None)
        raise
    except BrokenExecutor:
        return []  # what others make of a case is no part of a verdict


def _ask_in_pool(reference: Sent, cases: Mapping[tuple[str, str], Case]) -> list[Witness]:
    with ONE_AT_A_TIME, interruptible(), contextlib.suppress(KeyboardInterrupt):
        return list(witnesses([arrived(reference)], cases))
    return []
