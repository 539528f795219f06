"""Smallest cases that are judged once more: of known differences, and of violations.

The smallest case of each known difference is judged in every run, so that stale entries are found.
A difference between engines shows best in one case that all of them compute. So for each
requirement that some implementation violates, or is known to violate, every implementation is a
witness: it is judged on the smallest case.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from conformance.case import Case
from conformance.checks.histories import SHORT
from conformance.isolation.dispatch import at_both_sides, caller_of
from conformance.judging import (
    CONFORMS,
    HISTORY_OF_RELATIONS,
    UNSUPPORTED,
    Prepared,
    Verdict,
    judge_prepared,
)
from conformance.known.difference import KnownDifference
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.runfile.tables import Known, Violation, Witness
from conformance.running.again import judge_again
from conformance.running.budget import of_calls, reckoned_work
from conformance.running.citing import cite
from conformance.running.known_in_run import Example, Key, Subject, kind_of, matching_entry
from conformance.scripts.engine import engine_script, engine_script_of
from conformance.scripts.standalone import script_of

SECONDS = 3.0
"""Time that one implementation gets as a witness, as its calls are reckoned: some compile for each
shape (`running.budget`)."""
CLOCK = 10.0
"""Seconds by the clock, after which no further case is begun."""
_HISTORIES = {
    "relations": (HISTORY_OF_RELATIONS,),
    "repeat": ("", *SHORT, "turns", "many"),
    "purity": ("", *SHORT, "turns", "many"),
}
"""The histories that can show a failure of a check again; the empty name means one call alone."""


def examples(
    subject: Subject, operator: str, dims: int, dtypes: Collection[str], checks: Collection[str]
) -> dict[Key, Example]:
    """Judge the smallest case of each entry that belongs to a block, and return the outcomes."""
    implementation, outcomes = subject.implementation, {}
    for index, entry in subject.known.items():
        case = entry.parsed
        in_block = (case.operator, case.dims) == (operator, dims) and case.dtype in dtypes
        if in_block and not {check_of(entry.requirement), "result"}.isdisjoint(checks):
            outcomes[implementation.name, index] = _example(implementation, entry, case)
    return outcomes


def _example(implementation: Implementation, entry: KnownDifference, case: Case) -> Example:
    verdict = failure = Verdict(implementation.name, case, CONFORMS, entry.requirement)
    if entry.requirement == "DECLARE-5":  # it takes several probes to show it
        return Example(script=script_of(implementation, case, failure))
    for history in _HISTORIES.get(check_of(entry.requirement), ("",)):
        failure = replace(failure, history=history)
        verdict = judge_again(implementation, case, failure)
        if verdict.status == UNSUPPORTED:
            return Example(message=verdict.message)
        if matching_entry([entry], verdict) is not None:
            break
    else:
        return Example(judged=True)
    return Example(
        judged=True,
        occurs=True,
        message=verdict.message,
        kind="" if verdict.history else kind_of(verdict),
        script=script_of(implementation, case, failure),
        engine_script=engine_script_of(implementation, case, failure, verdict),
    )


def smallest(failures: Iterable[Violation | Known]) -> dict[tuple[str, str], Case]:
    """Return the smallest case of each requirement and operator."""
    cases: dict[tuple[str, str], Case] = {}
    for row in failures:
        key, case = (row.requirement, row.operator), Case.parse(row.case)
        if key not in cases or size_of(case) < size_of(cases[key]):
            cases[key] = case
    return cases


def witnesses(
    implementations: Sequence[Implementation], cases: Mapping[tuple[str, str], Case]
) -> Iterator[Witness]:
    """Yield a row of the run file for each implementation and case, as far as time allows."""
    prepared = {key: Prepared.of(case) for key, case in cases.items()}
    for implementation in implementations:
        start, spent = time.perf_counter(), 0.0
        for (requirement, operator), case in prepared.items():
            late = spent > SECONDS or time.perf_counter() - start > CLOCK
            if not implementation.installed or late:
                break
            yield _witness(implementation, requirement, operator, case)
            spent += of_calls(implementation, reckoned_work(case.case))


def _witness(
    implementation: Implementation, requirement: str, operator: str, prepared: Prepared
) -> Witness:
    with np.errstate(all="ignore"), caller_of(implementation).while_shrinking(short_limits=False):
        for _ in at_both_sides(implementation, prepared.case):
            verdict, _ = judge_prepared(implementation, prepared)
            if verdict.status != CONFORMS:
                break
        cited = verdict.requirement if verdict.failed else ""
        if verdict.failed and not verdict.ended:  # else it would take more workers to say
            cited = cite(implementation, verdict, prepared.case).requirement
    unsupported = verdict.status == UNSUPPORTED
    return Witness(
        implementation=implementation.name,
        requirement=requirement,
        operator=operator,
        case=prepared.case.id,
        status=verdict.status,
        cited=cited or "",
        message=verdict.message,
        engine_script="" if unsupported else engine_script(implementation, prepared, verdict),
    )


def size_of(case: Case) -> tuple[int, int, str]:
    """Return what orders cases by their size."""
    elements = math.prod(case.x) + math.prod(case.w or case.window)
    return elements + work(case), len(case.id), case.id
