"""One block of a run: every implementation is judged on the cases of one operator and dimension."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.isolation.dispatch import caller_of, for_operator, is_from_plugin
from conformance.isolation.remote_plugins import ask_ahead
from conformance.judging import UNSUPPORTED, Prepared, Verdict
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.asked import LARGE
from conformance.runfile.judged import Judged, as_list, fingerprint, write_cell, write_list
from conformance.runfile.tables import Pair
from conformance.runfile.words import KNOWN_DIFFERENCE
from conformance.running import adapter_check, layers, pairwise
from conformance.running.causes import Causes, Confirmed
from conformance.running.cell import Cell
from conformance.running.coverage import Coverage
from conformance.running.from_source import FromSource
from conformance.running.interruption import FirstViolation
from conformance.running.judge_cell import CellJudge
from conformance.running.known_in_run import Example, Key, Outcome, Subject
from conformance.running.layers import LayerVerdict
from conformance.running.plan import Plan
from conformance.running.preparing import (
    calls_of_models,
    first_dtype,
    own_names,
    prepare_block,
    prepare_enumerated,
    prepare_spaces,
)
from conformance.running.violation import Cause, Violation
from conformance.running.witnesses import examples
from conformance.sources.own import source_of
from conformance.spec.layers import Layer

LAYER_SHARE = 0.05
"""The share of a cell's budget that an implementation may spend on each large case."""

MOST_WRONG = 0.05
"""An implementation with a larger share of wrong cases in its cell is not judged on large ones."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of an implementation on one case that stands for a call of a model."""

    implementation: str
    suite: str
    name: str
    outcome: Outcome
    share: float
    """The share of the output elements of the call that was judged."""


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
    """Microseconds spent, by activity."""
    examples: dict[Key, Example] = field(default_factory=dict)
    """The outcomes of the smallest cases of the known differences of this block."""
    layers: list[LayerVerdict] = field(default_factory=list)
    accusations: list[tuple[str, Violation]] = field(default_factory=list)
    """What calls of other operators did to calls of this one, by implementation."""
    covered: dict[str, Coverage] = field(default_factory=dict)
    """What calls have reached of the source of an implementation, by its name."""
    notes: dict[str, str] = field(default_factory=dict)
    """The reason why an implementation was not called any more, by its name."""
    told: list[Told] = field(default_factory=list)
    """What came of the cases that stand for calls of models."""
    interrupted: bool = False
    """Whether the run ended before the whole block was judged: by the user, or by the first
    violation where no more are wanted."""
    cases: dict[str, str] = field(default_factory=dict)
    """The cases of its cells, a list for each dtype, by its digest (`runfile.judged`)."""
    confirmed: Confirmed = field(default_factory=set)
    """What it has shown in new workers, and blocks before it in this process."""

    @property
    def has_violation(self) -> bool:
        """Whether something was found that is not known."""
        return any(cell.violations for cell in self.cells)

    def compact(self) -> None:
        """Take the least room: causes are found, and nobody asks for the calls before any more."""
        self.layers = [replace(one, verdict=one.verdict.without_calls()) for one in self.layers]
        for cell in self.cells:
            cell.uncovered = [verdict.without_calls() for verdict in cell.uncovered]
            cell.conventions = [
                replace(probe, failed=probe.failed and probe.failed.without_calls())
                for probe in cell.conventions
            ]
        self.list_cases()

    def list_cases(self) -> None:
        """Write down which cases its cells have judged."""
        for dtype in dict.fromkeys(cell.dtype for cell in self.cells):
            own = [cell for cell in self.cells if cell.dtype == dtype]
            cases = as_list(number for cell in own for number in cell.judged)
            digest, text = write_list(cases)
            self.cases[digest] = text
            for cell in own:
                failed = (fingerprint(verdict.case.id) for verdict in cell.uncovered)
                violating = as_list(failed if cell.violating else ())
                cell.cases = write_cell(digest, cases, Judged(as_list(cell.judged), violating))
                cell.judged = []


def run_block(
    plan: Plan,
    operator: str,
    dims: int,
    progress: Callable[[float, str], None] | None = None,
    confirmed: Confirmed | None = None,
) -> Block:
    """Prepare the cases of one operator and dimension, and judge every implementation on them.

    ``progress`` is called with the share that is done and the name of the current activity. What
    earlier blocks have shown in new workers is ``confirmed``, and what this one shows is added. A
    block that is interrupted holds what has been judged so far.
    """
    judge = _BlockJudge(plan, operator, dims, set() if confirmed is None else confirmed)
    try:
        judge.judge_all(progress or (lambda share, activity: None))
    except (KeyboardInterrupt, FirstViolation):
        judge.block.interrupted = True
    finally:
        judge.block.compact()
        judge.block.confirmed |= judge.confirmed
        gc.unfreeze()  # the banks (`running.cache`)
    return judge.block


class _BlockJudge:
    """Judges one block, step by step. Its ``block`` always holds what has been judged so far."""

    def __init__(self, plan: Plan, operator: str, dims: int, confirmed: Confirmed) -> None:
        self.plan, self.operator, self.dims = plan, operator, dims
        self.confirmed = confirmed
        self.block = Block(operator, dims, [], Counter(), [], Counter())
        self.prepared: list[Prepared] = []
        self.enumerated: dict[frozenset[str], dict[str, list[Prepared]]] = {}
        """The cases of each enumeration, by the dtypes of the implementations that are judged on
        them. No two are compared on these."""
        self.spaces = lru_cache(maxsize=None)(partial(prepare_spaces, plan, operator, dims))
        self.calls = calls_of_models(plan, operator, dims)
        """The cases that stand for calls of models (`calls_of_models`)."""
        self.models = {
            entry.name: (suite, entry.name)
            for suite in plan.models
            for entry in plan.spec.suite(suite).cases
        }
        self.subjects: list[Subject] = []
        """The implementations that are judged; wrong adapters are not among them."""
        self.outputs: dict[str, dict[int, Array | None]] = {}
        """The output of each implementation, by its name and the position of the case."""
        self._lap = time.perf_counter()

    def judge_all(self, tell: Callable[[float, str], None]) -> None:
        operator, dims = self.operator, self.dims
        tell(0.0, f"preparing {operator} {dims}-D")
        self.prepared = prepare_block(self.plan, operator, dims)
        self.spend("preparing")
        judges = [
            implementation
            for implementation in self.plan.implementations
            if implementation.installed and operator in implementation.functions
        ]
        for number, implementation in enumerate(judges):
            tell(number / len(judges), f"{implementation.name}: {operator} {dims}-D")
            self.judge_implementation(implementation)
            self.spend(f"judging {implementation.name}")
            self.end_at_first()
        tell(1.0, f"layers: {operator} {dims}-D")
        self.judge_large()
        for subject in self.subjects:
            if covered := self.block.covered.get(subject.implementation.name):
                measured = caller_of(subject.implementation).measured()
                covered.add(measured.seen, partial=measured.partial)
        self.spend("layers")
        positions = range(len(self.prepared))
        outputs = {name: [own.get(i) for i in positions] for name, own in self.outputs.items()}
        self.block.pairs = pairwise.compare(operator, self.prepared, outputs)
        self.spend("comparing pairs")

    def end_at_first(self) -> None:
        """Raise `FirstViolation` if there is one, and no more are wanted."""
        if self.plan.exitfirst and self.block.has_violation:
            raise FirstViolation

    def spend(self, activity: str) -> None:
        """Add the time since the last call to an activity, in microseconds."""
        now = time.perf_counter()
        self.block.spent[activity] += round(1e6 * (now - self._lap))
        self._lap = now

    def judge_implementation(self, implementation: Implementation) -> None:
        block, plan, name = self.block, self.plan, implementation.name
        implementation = for_operator(implementation, self.operator)
        subject = Subject.of(implementation, plan.known)
        caller = caller_of(implementation)
        outputs = self.outputs[name] = {}
        if caller.given_up_because is None:
            wrong = adapter_check.check_adapter(
                subject.implementation, plan.spec, self.operator, self.dims, subject.entries
            )
            if wrong is not None:
                block.cells += unjudged(implementation, self.prepared, plan, wrong)
                return
        self.subjects.append(subject)
        dtypes = judged_dtypes(implementation, self.prepared, plan)
        enumerated = self.enumerated_for(implementation, dtypes)
        spaces = self.spaces_of(implementation, dtypes)
        every = itertools.chain(
            self.prepared,
            *enumerated.values(),
            *(found for listed in spaces.values() for _, found in listed.values()),
        )
        ask_ahead(subject.implementation, [p.case for p in every])
        read = is_from_plugin(implementation) if plan.source is None else plan.source
        source = source_of(implementation, self.operator) if read else None
        covered, from_source = None, None
        if source is not None:
            supported = [dtype for dtype in dtypes if dtype in implementation.dtypes]
            from_source = FromSource(source, self.operator, self.dims, supported)
            covered = block.covered[name] = Coverage(source, self.operator, self.dims)
            caller.measure(source.conditions)
        earlier: list[Cause] = []
        with np.errstate(all="ignore"):  # special values are handed over on purpose
            for dtype in dtypes:
                cases = [(i, p) for i, p in enumerate(self.prepared) if p.case.dtype == dtype]
                listed = {
                    kind: [p for p in found if p.case.dtype == dtype]
                    for kind, found in enumerated.items()
                }
                own = spaces.get(dtype, {})
                listed |= {kind: found for kind, (_, found) in own.items()}
                words = {kind: text for kind, (text, _) in own.items()}
                judge = CellJudge(
                    subject, cases, plan, listed, words, earlier, self.confirmed, from_source
                )
                judge.judge()
                if covered is not None:
                    covered.add(judge.seen, partial=judge.partial)
                earlier += judge.causes.found
                block.cells.append(judge.cell)
                block.accusations += [(name, one) for one in judge.causes.accusations]
                block.gaps += judge.gaps
                block.told += self.told(subject, judge)
                outputs |= judge.outputs
                if judge.interrupted:
                    raise KeyboardInterrupt
                self.end_at_first()
            if caller.given_up_because is None:
                block.examples |= examples(subject, self.operator, self.dims, dtypes, plan.checks)
        if caller.given_up_because is not None:
            block.notes[name] = caller.given_up_because

    def told(self, subject: Subject, judge: CellJudge) -> Iterator[Told]:
        """Yield what came of the cases of a cell that stand for calls of models."""
        name = subject.implementation.name
        for case, suite, call, share in self.calls:
            if case in judge.fatal:
                yield Told(name, suite, call, Outcome(KNOWN_DIFFERENCE, case=case), share)
            elif case in judge.told:
                outcome = subject.outcome(judge.told[case])
                if outcome.failed and not judge.cell.violating:  # another function is to blame
                    continue
                yield Told(name, suite, call, outcome, share)

    def enumerated_for(
        self, implementation: Implementation, dtypes: Collection[str]
    ) -> dict[str, list[Prepared]]:
        """Return the cases of each space that an implementation is judged on whole."""
        own = frozenset(dtypes) & frozenset(implementation.dtypes)
        if own not in self.enumerated:
            self.spend(f"judging {implementation.name}")
            self.enumerated[own] = prepare_enumerated(self.plan, self.operator, self.dims, own)
            self.spend("preparing")
        return self.enumerated[own]

    def spaces_of(
        self, implementation: Implementation, dtypes: Collection[str]
    ) -> dict[str, dict[str, tuple[str, list[Prepared]]]]:
        """Return the spaces of each dtype (`prepare_spaces`); the first stands for all others."""
        self.spend(f"judging {implementation.name}")
        own = {*dtypes} & {*implementation.dtypes}
        found = {dtype: self.spaces(dtype, dtype == first_dtype(own)) for dtype in own}
        self.spend("preparing")
        return found

    def judge_large(self) -> None:
        """Judge the mostly right implementations on large cases, and add these to their cells."""
        if "result" not in self.plan.checks or not self.subjects:
            return
        chosen = layers.chosen(self.plan, self.operator, self.dims)
        for dtype in dict.fromkeys(layer.case.dtype for layer in chosen):
            self.judge_large_in(dtype, [layer for layer in chosen if layer.case.dtype == dtype])

    def judge_large_in(self, dtype: str, large_cases: Sequence[Layer]) -> None:
        """Do so in one dtype."""
        block, plan = self.block, self.plan
        cells = {cell.implementation: cell for cell in block.cells if cell.dtype == dtype}
        subjects = {
            subject.implementation.name: subject
            for subject in self.subjects
            if caller_of(subject.implementation).given_up_because is None
            if plan.only_suites or mostly_right(cells.get(subject.implementation.name))
        }
        for name in subjects:
            if name not in cells:
                cells[name] = Cell(name, self.operator, self.dims, dtype)
                block.cells.append(cells[name])
            cells[name].planned += len(large_cases)
            cells[name].due[LARGE] += len(large_cases)
        failures: dict[str, list[Verdict]] = {name: [] for name in subjects}
        own, names = own_names(plan), dict[Case, str]()
        judges = [subject.careful for subject in subjects.values()]
        share = LAYER_SHARE * len(large_cases)
        interrupted = False
        try:
            for layer_verdict in layers.judge_layers(
                judges, large_cases, share * plan.seconds, share * plan.clock
            ):
                block.layers.append(layer_verdict)
                verdict = layer_verdict.verdict
                name = verdict.implementation
                elements = math.prod(OPERATORS[self.operator].output_shape(verdict.case))
                cells[name].count(verdict, elements=elements, nonzero=True, kind=LARGE)
                cells[name].seconds += layer_verdict.seconds
                if verdict.status == UNSUPPORTED:
                    block.gaps[name, verdict.message] += 1
                elif verdict.failed and layer_verdict.layer in own:
                    names[verdict.case] = own[layer_verdict.layer]
                failures[name] += verdict.findings
                if (call := self.models.get(layer_verdict.layer)) is not None:
                    told = Told(name, *call, subjects[name].outcome(verdict), layer_verdict.share)
                    block.told.append(told)
        except KeyboardInterrupt:
            interrupted = True
        for name, subject in subjects.items():
            causes = Causes(
                subject.implementation,
                subject.entries,
                not interrupted,
                name_of=lambda case: names.get(case, ""),
            )
            try:
                cells[name].explain(subject, failures[name], causes)
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt


def mostly_right(cell: Cell | None) -> bool:
    """Whether a cell has so few wrong ordinary cases that large cases can add information."""
    return cell is None or cell.violating <= MOST_WRONG * cell.reached


def judged_dtypes(
    implementation: Implementation, prepared: Sequence[Prepared], plan: Plan
) -> dict[str, int]:
    """Return the dtypes that an implementation is judged in, with how many cases each has."""
    return {
        dtype: count
        for dtype, count in Counter(p.case.dtype for p in prepared).items()
        if dtype not in plan.claimed or dtype in implementation.dtypes
    }


def unjudged(
    implementation: Implementation, prepared: Sequence[Prepared], plan: Plan, wrong: Verdict
) -> list[Cell]:
    """Return the cells of an operator whose adapter is wrong; none of their cases was judged."""
    operator, dims = wrong.case.operator, wrong.case.dims
    cells = [
        Cell(implementation.name, operator, dims, dtype, planned, adapter_wrong=True)
        for dtype, planned in judged_dtypes(implementation, prepared, plan).items()
    ]
    for cell in cells[:1]:
        cell.violating, cell.violations = 1, [adapter_check.violation(implementation, wrong)]
    return cells
