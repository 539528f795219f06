"""Judging the large cases of a block: layers of networks and generated shapes, by projection."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from conformance.judging import UNSUPPORTED, Verdict
from conformance.operators import OPERATORS
from conformance.running import known_in_run
from conformance.running.causes import shrink_to_violations
from conformance.running.cell import Cell
from conformance.running.layers import DTYPE, LayerVerdict, chosen, judge_layers
from conformance.running.plan import Plan
from conformance.running.subject import Subject

LAYER_SHARE = 0.1
"""The share of a cell's budget that an implementation has for each large case."""

MOST_WRONG = 0.05
"""The share of wrong cases in a cell up to which it is judged on large ones, too."""


@dataclass(slots=True)
class LargeResult:
    """What came of the large cases of a block."""

    verdicts: list[LayerVerdict] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    """What they add to the cell of each implementation (`with_large`)."""
    gaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many of them an implementation does not compute, by (name, reason)."""
    interrupted: bool = False
    """Whether the user has ended the run, so that this is what was judged until then."""


def judge_large_cases(
    subjects: Sequence[Subject], plan: Plan, operator: str, dims: int
) -> LargeResult:
    """Judge implementations on the large cases of an operator and dimension."""
    result = LargeResult()
    layers = chosen(plan, operator, dims) if subjects else []
    if not layers:
        return result
    cells = {
        one.implementation.name: Cell(
            one.implementation.name, operator, dims, DTYPE, planned=len(layers)
        )
        for one in subjects
    }
    result.cells += cells.values()
    failures: dict[str, list[Verdict]] = {name: [] for name in cells}
    share = LAYER_SHARE * len(layers)
    judges = [subject.careful for subject in subjects]
    try:
        for judged in judge_layers(judges, layers, share * plan.seconds, share * plan.clock):
            result.verdicts.append(judged)
            verdict = judged.verdict
            count(cells[verdict.implementation], judged)
            if verdict.status == UNSUPPORTED:
                result.gaps[verdict.implementation, verdict.message] += 1
            elif verdict.failed:
                failures[verdict.implementation].append(verdict)
    except KeyboardInterrupt:
        result.interrupted = True
    for subject in subjects:
        name = subject.implementation.name
        new, covered = known_in_run.separate_known(subject.known, failures[name])
        cell = cells[name]
        cell.covered, cell.known, cell.violating = covered, covered.total(), len(new)
        violations = shrink_to_violations(
            subject.implementation, new, subject.entries, shrinking=not result.interrupted
        )
        try:
            for violation in violations:
                cell.violations.append(violation)
        except KeyboardInterrupt:
            result.interrupted = True
    return result


def count(cell: Cell, judged: LayerVerdict) -> None:
    """Add what came of a large case to its cell."""
    case = judged.verdict.case
    cell.seconds += judged.seconds
    cell.reached += 1
    if judged.verdict.status == UNSUPPORTED:
        cell.unsupported += 1
        return
    cell.compared += 1
    cell.nonzero += 1
    cell.elements += math.prod(OPERATORS[case.operator].output_shape(case))


def mostly_right(cell: Cell | None) -> bool:
    """Whether a cell is right on so many of its ordinary cases that large ones tell something."""
    return cell is None or cell.violating <= MOST_WRONG * cell.reached


def with_large(cells: Iterable[Cell], large: Iterable[Cell]) -> list[Cell]:
    """Return the cells of a block with what its large cases add to them, or as new ones."""
    merged = list(cells)
    for more in large:
        own = [c for c in merged if (c.implementation, c.dtype) == (more.implementation, DTYPE)]
        if own:
            _add(own[0], more)
        else:
            merged.append(more)
    return merged


_SUMS = (
    "planned",
    "reached",
    "compared",
    "unsupported",
    "violating",
    "elements",
    "nonzero",
    "seconds",
    "known",
)
"""The fields of a cell that are counts of cases, or what they add up to."""


def _add(cell: Cell, more: Cell) -> None:
    for name in _SUMS:
        setattr(cell, name, getattr(cell, name) + getattr(more, name))
    cell.covered += more.covered
    shown = {(violation.requirement, violation.case) for violation in cell.violations}
    cell.violations += [v for v in more.violations if (v.requirement, v.case) not in shown]
