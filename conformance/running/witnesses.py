"""Witnesses: what every implementation makes of the smallest case that one of them fails on.

A difference between engines is told by one case that all of them were handed: so the smallest case
of each requirement that is violated, or known to be, is judged once more, by all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.case import Case
from conformance.isolation.dispatch import caller_of
from conformance.judging import UNSUPPORTED, Prepared, judge_prepared
from conformance.operators import OPERATORS
from conformance.registration.registry import Implementation
from conformance.running.citing import named_requirement
from conformance.scripts.engine import engine_script

SECONDS = 10.0
"""Time that one implementation gets for all of these cases: some compile for each shape."""


def smallest(shown: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Case]:
    """Return the smallest case of each requirement and operator, of rows with those columns."""
    found: dict[tuple[str, str], Case] = {}
    for row in shown:
        key, case = (row["requirement"], row["operator"]), Case.parse(row["case"])
        if key not in found or _size(case) < _size(found[key]):
            found[key] = case
    return found


def witnesses(
    implementations: Sequence[Implementation], cases: Mapping[tuple[str, str], Case]
) -> Iterator[dict[str, Any]]:
    """Yield a row of the run file for each implementation and case, as far as the time reaches."""
    prepared = {key: Prepared.of(case) for key, case in cases.items()}
    for one in implementations:
        begun = time.perf_counter()
        for (requirement, operator), made in prepared.items():
            if not one.installed or time.perf_counter() - begun > SECONDS:
                break
            row = {"implementation": one.name, "requirement": requirement, "operator": operator}
            yield row | {"case": made.case.id} | _judged(one, made)


def _judged(one: Implementation, prepared: Prepared) -> dict[str, Any]:
    with np.errstate(all="ignore"), caller_of(one).trying(hurried=False):
        found, _ = judge_prepared(one, prepared)
    cited = named_requirement(found, prepared.case) if found.failed else ""
    script = ""
    if found.status != UNSUPPORTED:
        script = engine_script(one, prepared, found)
    return {
        "status": found.status,
        "cited": cited,
        "message": found.message,
        "engine_script": script,
    }


def _size(case: Case) -> tuple[int, int, str]:
    elements = int(np.prod(case.x)) + int(np.prod(case.w or case.window))
    return elements + OPERATORS[case.operator].work(case), len(case.id), case.id
