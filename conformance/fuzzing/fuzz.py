"""The loop of fuzzing: what is drawn next, who judges it, and what is kept."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from conformance.case import Case
from conformance.fuzzing.drawing import Pair, Request
from conformance.fuzzing.judged import Judged, judge_block
from conformance.isolation.dispatch import close_all
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.file import RunFile
from conformance.runfile.findings import (
    AGAIN,
    FOUND,
    FUZZ_FILE,
    GONE,
    TABLES,
    Drawn,
    Finding,
    Tried,
    Worst,
)
from conformance.runfile.reading import Contents, read, read_blocks
from conformance.runfile.row import Row
from conformance.runfile.words import FAILED
from conformance.running import rows
from conformance.running.executors import ONE_AT_A_TIME, Placing, Spread, sent_by
from conformance.running.interruption import interruptible, undisturbed
from conformance.running.known_in_run import all_entries
from conformance.running.plan import Plan, fixed, resolve
from conformance.running.selection import Selection, implementations_of
from conformance.running.stored import packed, unpacked
from conformance.running.travelling import Sent, arrived
from conformance.running.units import states
from conformance.running.violation import Cause

Cell: TypeAlias = tuple[str, int, str]
"""An operator, a number of dimensions and a dtype."""
Key: TypeAlias = tuple[str, str, str, str]
"""What tells causes apart: implementation, operator, requirement, and what the case needs."""

_GIVEN = 40
"""The most cases that are given to one block."""
_PARENTS, _WORTH = 4, 32
_TOGETHER = 2
"""So many times as many blocks are begun as there are processes, so that none of them waits."""
_STEERING, _EVERY = "steering", 120.0
"""The name of what steers as it is kept, and the seconds after which it is written again."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far fuzzing is."""

    blocks: int
    judgments: int
    found: int
    seconds: float
    activity: str


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """What fuzzing has come to: its file, and what is in it."""

    path: Path
    seed: int
    blocks: int
    judgments: int
    seconds: float
    new: int
    """How many findings are new."""
    findings: tuple[Finding, ...]
    tried: tuple[Tried, ...]
    worst: tuple[Worst, ...]
    lost: tuple[str, ...] = ()
    """The blocks whose processes were lost each time."""
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """1 where something is found, new or old; else 0."""
        return int(any(finding.state != GONE for finding in self.findings))


def fuzz(
    selection: Selection,
    *,
    seconds: float | None = None,
    until_found: int | None = None,
    jobs: int = 1,
    show: Callable[[Status], None] = lambda status: None,
) -> Fuzzed:
    """Judge ever new cases for so many ``seconds``, until so much is found, or until Ctrl-C.

    Whatever is found is in the file of the ``output`` folder at once, and is judged first by the
    next fuzzing there. An executor of the selection has so many ``jobs``.
    """
    try:
        selection = fixed(replace(selection, cache=False))
        plan = resolve(selection, implementations_of(selection))
        with contextlib.closing(
            RunFile(Path(selection.output) / FUZZ_FILE, TABLES, resume=True)
        ) as file:
            loop = _Fuzz(plan, file, selection.command)
            return loop.run(selection.executor, jobs, seconds, until_found, show)
    finally:
        close_all()


@dataclass(slots=True)
class Known:
    """What is known of one cell, which the next block of it begins with."""

    blocks: int = 0
    found: int = 0
    worst: dict[str, tuple[float, Case]] = field(default_factory=dict)
    worth: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Steering:
    """What steers, as it is kept from one fuzzing to the next in its folder."""

    met: dict[tuple[str, int], Counter[Pair]]
    """How often pairs of classes were met, by operator and number of dimensions."""
    cells: dict[Cell, Known]


class _Fuzz:
    def __init__(self, plan: Plan, file: RunFile, command: str | None) -> None:
        self.plan, self.file = plan, file
        self.cells: dict[Cell, Known] = {cell: Known() for cell in _cells(plan)}
        self.met: defaultdict[tuple[str, int], Counter[Pair]] = defaultdict(Counter)
        self.causes: dict[Key, Cause] = {}
        self.findings: dict[Key, Finding] = {}
        self.before: set[Key] = set()
        """The findings of earlier fuzzing that have not been seen to be gone."""
        self.worst: dict[tuple[str, str], Worst] = {}
        self.tried: dict[tuple[str, str], Tried] = {}
        self.queue: deque[Request] = deque()
        self.blocks = self.judgments = self.new = 0
        self.lost: list[str] = []
        before = read(file.written, TABLES)
        self.number = 1 + max((row.number for row in before.rows(Drawn)), default=-1)
        self.rng = random.Random(f"{plan.seed} from {self.number}")
        now = json.loads(json.dumps(states(plan.implementations)))
        self._remember(before, tried=before.facts.get("implementations") == now)
        self._give_known_differences()
        machine = rows.machine(plan.implementations)
        file.record(seed=plan.seed, command=command, machine=machine, implementations=now)
        self.begun = self.written = time.monotonic()

    def run(
        self,
        executor: Executor | None,
        jobs: int,
        seconds: float | None,
        until_found: int | None,
        show: Callable[[Status], None],
    ) -> Fuzzed:
        ends = None if seconds is None else self.begun + seconds

        def goes_on() -> bool:
            late = ends is not None and time.monotonic() >= ends
            return not late and (until_found is None or self.new < until_found)

        interrupted = False
        judging = self._here() if executor is None else self._spread(executor, jobs)
        try:
            with contextlib.closing(judging):
                while goes_on() and (judged := next(judging, None)) is not None:
                    self.take(judged)
                    show(self.status(judged.request))
                    if judged.interrupted:
                        raise KeyboardInterrupt
                    if time.monotonic() - self.written > _EVERY:
                        self.write_steering()
        except KeyboardInterrupt:
            interrupted = True
        self.write_steering()
        return Fuzzed(
            path=self.file.path,
            seed=self.plan.seed,
            blocks=self.blocks,
            judgments=self.judgments,
            seconds=time.monotonic() - self.begun,
            new=self.new,
            findings=tuple(self.findings.values()),
            tried=tuple(self.tried.values()),
            worst=tuple(self.worst.values()),
            lost=tuple(self.lost),
            interrupted=interrupted,
        )

    def _here(self) -> Generator[Judged, None, None]:
        while True:
            yield judge_block(self.plan, self.next())

    def _spread(self, executor: Executor, jobs: int) -> Generator[Judged, None, None]:
        """Yield what the processes of an executor judge, which are never without work."""
        installed = [i for i in self.plan.implementations if i.installed]
        places: list[tuple[tuple[str, ...], Executor]] = [((), executor)]
        if isinstance(executor, Placing):
            places = executor.places(installed)
        executors = dict(places)
        references = {i.name: sent_by(i, executor) for i in installed}
        general = replace(self.plan, implementations=())

        def begin(request: Request) -> Future[Judged]:
            own = [references[name] for name in request.names or references]
            return executors[request.names].submit(_judge_in_pool, own, general, request)

        spread = Spread[Request, Judged](
            executor, begin, lambda request: Judged(request, lost=True)
        )
        groups = itertools.cycle(executors)
        try:
            while True:
                while spread.pending < _TOGETHER * jobs:
                    request = self.next()
                    # What is given is judged by all, whoever has it.
                    for names in executors if request.given else [next(groups)]:
                        spread.add(replace(request, names=names))
                yield from spread.done()
        finally:
            spread.interrupt(self.take)

    def status(self, request: Request) -> Status:
        activity = f"{request.operator} {request.dims}-D {request.dtype}"
        taken = time.monotonic() - self.begun
        return Status(self.blocks, self.judgments, self.new, taken, activity)

    # --- what is drawn next -----------------------------------------------------------------------

    def next(self) -> Request:
        """Return the next block: of what is given, or else of a cell where something may be found.

        Cells that were seldom drawn, and such as something was found in, are drawn more often.
        """
        if self.queue:
            request = self.queue.popleft()
        else:
            cells = list(self.cells)
            weights = [(1 + 3 * k.found) / (1 + k.blocks) for k in self.cells.values()]
            operator, dims, dtype = cell = self.rng.choices(cells, weights)[0]
            known = self.cells[cell]
            known.blocks += 1  # now, and not when it is judged: others are drawn before
            worst = [case for _, case in known.worst.values()]
            parents = self._some(worst) + self._some(known.worth)
            request = Request(0, operator, dims, dtype, 0, parents=parents)
        causes: dict[str, list[Cause]] = {}
        for (name, operator, _, _), cause in self.causes.items():
            if operator == request.operator:
                causes.setdefault(name, []).append(replace(cause))
        self.number += 1
        return replace(
            request,
            number=self.number - 1,
            seed=self.plan.seed,
            met=dict(self.met[request.operator, request.dims]),
            causes={name: tuple(own) for name, own in causes.items()},
        )

    def _some(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        return tuple(self.rng.sample(cases, min(_PARENTS, len(cases))))

    def give(self, cases: Sequence[Case]) -> None:
        """Let every implementation be judged on these cases next, as far as they were chosen."""

        def cell_of(case: Case) -> Cell:
            return case.operator, case.dims, case.dtype

        chosen = [case for case in dict.fromkeys(cases) if cell_of(case) in self.cells]
        for cell, group in groupby(sorted(chosen, key=cell_of), cell_of):
            given = list(group)
            for first in range(0, len(given), _GIVEN):
                part = tuple(given[first : first + _GIVEN])
                self.queue.append(Request(0, *cell, 0, cases=0, given=part))

    def _remember(self, before: Contents, *, tried: bool) -> None:
        """Take what earlier fuzzing has found, which is judged first, and what steered it.

        Of the same implementations, what was ``tried`` is tried already.
        """
        if tried:
            self.tried = {(row.case, row.implementation): row for row in before.rows(Tried)}
        for name, _, content in read_blocks(self.file.written):
            if name == _STEERING:
                self._steer_by(unpacked(content, Steering))
                continue
            implementation, operator, requirement, needs = name.split("\n")
            self.causes[implementation, operator, requirement, needs] = unpacked(content, Cause)
        chosen = {implementation.name for implementation in self.plan.implementations}
        for row in before.rows(Finding):
            key = row.implementation, row.operator, row.requirement, row.needs
            if row.implementation in chosen:
                self.findings[key] = row
            if row.state == GONE or row.implementation not in chosen:
                self.causes.pop(key, None)
            else:
                self.before.add(key)
        for best in before.rows(Worst):
            if best.implementation in chosen:
                self.worst[best.implementation, best.operator] = best
                case = Case.parse(best.case)
                known = self.cells.get((case.operator, case.dims, case.dtype))
                if known is not None:  # it steered there, if what steers was not kept any more
                    known.worst.setdefault(best.implementation, (best.share, case))
        self.give([Case.parse(row.case) for row in self.findings.values()])

    def _steer_by(self, kept: Steering) -> None:
        self.met.update(kept.met)
        self.cells.update((cell, kept.cells[cell]) for cell in self.cells if cell in kept.cells)

    def write_steering(self) -> None:
        """Keep what steers, so that the next fuzzing in the folder goes on with it."""
        kept = packed(Steering(dict(self.met), self.cells))
        with undisturbed():
            self.file.add((), blocks=[(_STEERING, self.number, kept)])
        self.written = time.monotonic()

    def _give_known_differences(self) -> None:
        """Let what is known of one engine be tried on all the others, if it was not yet."""
        installed = [i for i in self.plan.implementations if i.installed]
        if len(installed) > 1:
            cases = [
                entry.parsed
                for implementation in installed
                for entry in all_entries(implementation, self.plan.known)
            ]
            self.give([case for case in cases if not self._was_tried(case, installed)])

    def _was_tried(self, case: Case, installed: Sequence[Implementation]) -> bool:
        return all(
            (case.id, i.name) in self.tried
            for i in installed
            if case.operator in i.functions and case.dtype in i.dtypes
        )

    # --- what is kept -----------------------------------------------------------------------------

    def take(self, judged: Judged) -> None:
        """Take a block, and write what came of it, all of it or nothing."""
        with undisturbed():
            self._take(judged)

    def _take(self, judged: Judged) -> None:
        request = judged.request
        cell = request.operator, request.dims, request.dtype
        self.blocks += 1
        if judged.lost:
            self.lost.append(f"block {request.number} ({cell[0]} {cell[1]}-D {cell[2]})")
            return
        known, calls = self.cells[cell], judged.calls.total()
        self.judgments += calls
        self.met[cell[:2]].update(judged.met)
        known.worth = (*known.worth, *judged.worth)[-_WORTH:]
        self._touched: list[Key] = []
        changed = [*self._take_worst(judged, known), *self._take_tried(judged)]
        new = list(self._take_causes(judged))
        known.found += len(new)
        self.new += len(new)
        changed += [self.findings[key] for key in dict.fromkeys((*new, *self._touched))]
        drawn = Drawn(
            number=request.number,
            operator=request.operator,
            dims=request.dims,
            dtype=request.dtype,
            cases=judged.cases,
            judged=calls,
            found=len(new),
            seconds=judged.seconds,
        )
        kept = [("\n".join(key), request.number, packed(self.causes[key])) for key in new]
        self.file.add([*changed, drawn], blocks=kept)
        self.give([Case.parse(self.findings[key].case) for key in new])

    def _take_worst(self, judged: Judged, known: Known) -> Iterator[Row]:
        for name, (share, case) in judged.worst.items():
            if share > known.worst.get(name, (0.0, None))[0]:
                known.worst[name] = share, case
            key = name, case.operator
            if key not in self.worst or share > self.worst[key].share:
                number = judged.request.number
                self.worst[key] = Worst(
                    implementation=name,
                    operator=case.operator,
                    share=share,
                    case=case.id,
                    block=number,
                )
                yield self.worst[key]

    def _take_tried(self, judged: Judged) -> Iterator[Row]:
        """Note what was made of given cases; a finding that no longer fails is gone."""
        for (name, case), (status, requirement) in judged.given.items():
            row = Tried(case=case.id, implementation=name, status=status, requirement=requirement)
            self.tried[case.id, name] = row
            yield row
            for key in [key for key in self.before if self.findings[key].case == case.id]:
                if key[0] == name:
                    state = AGAIN if status in FAILED else GONE
                    self.findings[key] = replace(self.findings[key], state=state)
                    self._touched.append(key)
                    if state == GONE:  # if it comes back it is new
                        self.before.discard(key)
                        self.causes.pop(key, None)

    def _take_causes(self, judged: Judged) -> Iterator[Key]:
        """Take what was found, each cause once, and yield the keys of those that are new."""
        sent = {
            (name, judged.request.operator, c.violation.requirement, c.violation.needs): c
            for name, causes in judged.request.causes.items()
            for c in causes
        }
        for name, causes in judged.causes.items():
            for cause in causes:
                violation = cause.violation
                key = name, judged.request.operator, violation.requirement, violation.needs
                before = sent[key].violation.count if key in sent else 0
                further = violation.count - before
                if not further:
                    continue
                if key in self.causes and key in self.findings:
                    row = self.findings[key]
                    self.findings[key] = replace(row, count=row.count + further)
                    self._touched.append(key)
                    continue
                self.causes[key] = cause
                self.findings[key] = _finding(key, cause, judged.request.number)
                yield key


def _finding(key: Key, cause: Cause, number: int) -> Finding:
    name, operator, requirement, needs = key
    shown = cause.violation
    return Finding.of(
        shown,
        implementation=name,
        operator=operator,
        requirement=requirement,
        needs=needs,
        dims=shown.case.dims,
        dtype=shown.case.dtype,
        case=shown.case.id,
        found=shown.found.id,
        block=number,
        state=FOUND,
    )


def _cells(plan: Plan) -> Iterator[Cell]:
    for operator in plan.operators:
        dtypes = {
            dtype
            for implementation in plan.implementations
            if implementation.installed and operator in implementation.functions
            for dtype in implementation.dtypes
        }
        for dims in plan.dims:
            for dtype in (*plan.dtypes, *plan.claimed):
                if dtype in dtypes and dtype in OPERATORS[operator].dtypes:
                    yield operator, dims, dtype


def _judge_in_pool(references: Sequence[Sent], general: Plan, request: Request) -> Judged:
    with ONE_AT_A_TIME, interruptible():
        plan = replace(general, implementations=tuple(map(arrived, references)))
        return judge_block(plan, request)


def statuses(tried: Sequence[Tried]) -> Mapping[str, Mapping[str, list[str]]]:
    """Return who makes what of each case: the names of implementations, by status, by case."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in tried:
        found.setdefault(row.case, {}).setdefault(row.status, []).append(row.implementation)
    return found
