"""The calls of models in the run file: what came of each, of all kinds of data together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from conformance.large.judge import is_large
from conformance.runfile.tables import Call
from conformance.runfile.words import (
    CONFORMS,
    FAILED,
    KNOWN_DIFFERENCE,
    NO_CALL,
    NOT_JUDGED,
    UNSUPPORTED,
)
from conformance.running.block import Told
from conformance.running.cell import Cell
from conformance.running.known_in_run import Outcome
from conformance.running.plan import Plan
from conformance.running.preparing import ordinary_cases, own_names
from conformance.spec.suite import Other, SuiteCase

_WORST_FIRST = (*FAILED, KNOWN_DIFFERENCE, CONFORMS, UNSUPPORTED)


def rows(plan: Plan, told: Iterable[Told], cells: Iterable[Cell]) -> Iterator[Call]:
    """Yield a row for each implementation and call of a model, of which some may not be judged.

    What a call violates is what was cited for its smallest case in its cell.
    """
    names, cited = own_names(plan), dict[tuple[str, str], str]()
    for cell in cells:
        for violation in cell.violations:
            for name, text in names.items():
                if text in violation.named:
                    cited.setdefault((cell.implementation, name), violation.requirement)
    found: dict[tuple[str, str, str], list[Told]] = {}
    for one in told:
        found.setdefault((one.implementation, one.suite, one.name), []).append(one)
    for implementation in plan.implementations:
        for name in plan.models if implementation.installed else ():
            suite = plan.spec.suite(name)
            for entry in suite.cases:
                if entry.case.operator in plan.operators and entry.case.dims in plan.dims:
                    own = found.get((implementation.name, name, entry.name), [])
                    has = entry.case.operator in implementation.functions
                    due = len(ordinary_cases(entry, plan.dtypes)) + is_large(entry.case)
                    row = _row(implementation.name, name, entry, own, has=has, due=due)
                    requirement = cited.get((row.implementation, row.call), row.requirement)
                    failed = row.status in FAILED
                    yield replace(row, requirement=requirement) if failed else row
            for other in suite.others:
                yield _other(implementation.name, name, other)


def _row(
    implementation: str, suite: str, entry: SuiteCase, told: Sequence[Told], *, has: bool, due: int
) -> Call:
    worst = min(
        (one.outcome for one in told),
        key=lambda outcome: _WORST_FIRST.index(outcome.status),
        default=Outcome(NOT_JUDGED) if has else Outcome(UNSUPPORTED, "", _HAS_NOT),
    )
    return Call(
        **_who(implementation, suite, entry),
        operator=entry.case.operator,
        dims=entry.case.dims,
        dtype=entry.dtype,
        status=worst.status,
        requirement=worst.requirement,
        message=worst.message,
        case=worst.case.id if worst.case else "",
        judged=sum(one.outcome.status != UNSUPPORTED for one in told),
        due=due - sum(one.outcome.status == UNSUPPORTED for one in told) if has else 0,
        share=max((one.share for one in told), default=0.0),
    )


_HAS_NOT = "it has no function for the operator"


def _other(implementation: str, suite: str, other: Other) -> Call:
    return Call(
        **_who(implementation, suite, other),
        operator="",
        dims=0,
        dtype="",
        status=NO_CALL,
        requirement="",
        message=other.why,
        case="",
        judged=0,
        due=0,
        share=0.0,
    )


def _who(implementation: str, suite: str, made: SuiteCase | Other) -> dict[str, Any]:
    return {
        "implementation": implementation,
        "suite": suite,
        "call": made.name,
        "count": made.count,
        "layers": ", ".join(made.layers),
        "layer_count": len(made.layers) or 1,
    }
