"""Witnesses: what every implementation makes of the smallest case that one of them fails on.

A difference between engines is told by one case that all of them were handed: so the smallest case
of each requirement that is violated, or known to be, is judged once more, by all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from conformance.case import Case
from conformance.isolation.dispatch import caller_of
from conformance.judging import UNSUPPORTED, Prepared, judge_prepared
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Known, Violation, Witness
from conformance.running.citing import named_requirement
from conformance.scripts.engine import engine_script

SECONDS = 10.0
"""Time that one implementation gets for all of these cases: some compile for each shape."""


def smallest(failures: Iterable[Violation | Known]) -> dict[tuple[str, str], Case]:
    """Return the smallest case of each requirement and operator."""
    cases: dict[tuple[str, str], Case] = {}
    for row in failures:
        key, case = (row.requirement, row.operator), Case.parse(row.case)
        if key not in cases or _size(case) < _size(cases[key]):
            cases[key] = case
    return cases


def witnesses(
    implementations: Sequence[Implementation], cases: Mapping[tuple[str, str], Case]
) -> Iterator[Witness]:
    """Yield a row of the run file for each implementation and case, as far as the time reaches."""
    prepared = {key: Prepared.of(case) for key, case in cases.items()}
    for one in implementations:
        begun = time.perf_counter()
        for (requirement, operator), case in prepared.items():
            if not one.installed or time.perf_counter() - begun > SECONDS:
                break
            yield _witness(one, requirement, operator, case)


def _witness(one: Implementation, requirement: str, operator: str, prepared: Prepared) -> Witness:
    with np.errstate(all="ignore"), caller_of(one).trying(hurried=False):
        verdict, _ = judge_prepared(one, prepared)
    script = ""
    if verdict.status != UNSUPPORTED:
        script = engine_script(one, prepared, verdict)
    return Witness(
        implementation=one.name,
        requirement=requirement,
        operator=operator,
        case=prepared.case.id,
        status=verdict.status,
        cited=named_requirement(verdict, prepared.case) if verdict.failed else "",
        message=verdict.message,
        engine_script=script,
    )


def _size(case: Case) -> tuple[int, int, str]:
    elements = int(np.prod(case.x)) + int(np.prod(case.w or case.window))
    return elements + work(case), len(case.id), case.id
