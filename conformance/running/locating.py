"""Where a call touched memory that it must not: which array, at which end, how far from it.

A call that ends at a page without access does not say what it reached for. So it is made again in a
new worker, with pages at one end of one array, which first lie farther away than it may reach and
then nearer and nearer. Only the last of these calls ends its process.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.calling import Observation, Request
from conformance.calling.guards import END, MIDDLE, NOWHERE, PAGE, SHIFTED, SIDES, Guard
from conformance.case import Case
from conformance.cases.data import make_inputs, memory_ways
from conformance.isolation.dispatch import call_once, fresh_worker
from conformance.judging.judges import beyond
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation

FAULTS = ("SIGSEGV", "SIGBUS")
"""How a process ends that touches a page without access."""
_FAR = (PAGE, 1024, 256, 128)
"""Bytes between an array and the page, the farthest first; then they decrease by one element."""
_QUICK = 0.005
"""Seconds of a call that is worth so many others."""


def locate(implementation: Implementation, case: Case) -> tuple[str, str] | None:
    """Return the requirement that a call violates which ended at a page, and how.

    Return None where it ends without pages as well, and where this process makes the calls.
    """
    inputs = make_inputs(case)

    def seen(guard: Guard) -> Observation:
        ways, layout = memory_ways(case), implementation.layout
        request = Request(
            case.operator, inputs, case.parameters, layout, ways, 0, work(case), case, guard
        )
        return call_once(implementation, request)

    with fresh_worker(implementation) as fresh:
        if fresh is None:
            return None
        with fresh.while_shrinking():
            plain = seen(NOWHERE)
            if plain.ended is not None:
                return None
            roomy = seen(MIDDLE)
            if roomy.overrun:
                return "MEMORY-2", f"the call wrote {beyond(case, roomy)}"
            if roomy.ended is None and seen(SHIFTED).ended is not None:
                text = "an array begins at an address that is no multiple of 16"
                return "LAYOUT-2", f"the call ends its process where {text}"
            names = OPERATORS[case.operator].arguments
            for side in SIDES:
                for position, value in enumerate(inputs):
                    if not isinstance(value, np.ndarray):
                        continue
                    step = value.itemsize if plain.seconds < _QUICK else 0
                    before = None
                    for away in _nearer(step):
                        if seen((position, side, away)).ended is not None:
                            declared = implementation.reads_beyond if side == END else 0
                            reach = _reach(away, before, declared, quick=bool(step))
                            end = "past the end" if side == END else "before the beginning"
                            verb = "reads" if roomy.ended is None else "reaches"
                            text = f"the call {verb} {reach}{end} of {names[position]}"
                            return "MEMORY-1", text
                        before = away
    return None


def _nearer(step: int) -> Iterator[int]:
    """Yield the distances that are tried; the last one alone if ``step`` is 0."""
    if step:
        yield from _FAR
        yield from range(_FAR[-1] - step, 0, -step)
    yield 0


def _reach(away: int, before: int | None, declared: int, *, quick: bool) -> str:
    """Say how far a call reads that ended at one distance, and not at the one ``before``."""
    if not quick:
        return ""
    where = f"more than {away + declared}" if before is None else f"up to {before + declared}"
    return f"{where} bytes{f' (declared: {declared})' if declared else ''} "
