"""Calls in a worker process: what a hostile implementation does is a verdict on its case."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from conformance.case import Case
from conformance.isolation.callers import close_all
from conformance.isolation.limits import Limits
from conformance.judging import Prepared, Verdict, judge_each
from conformance.registry import Implementation, Place, moved
from tests.defects import unregistered

KERNELS = Path(__file__).parent / "hostile" / "kernels.py"
GOOD = Prepared.of(Case.parse("conv1d:float32:x=2,3,7:w=4,3,2:normal@0"))
BAD = Prepared.of(Case.parse("conv1d:float32:x=2,3,7:w=4,3,2:stride=2:normal@0"))
LIMITS = Limits(seconds=30.0, memory=400 << 20, loading=30.0)
SHORT = replace(LIMITS, seconds=0.4)
EXPECTED = {
    "segfaults": ("crashed", "PROCESS-1", "killed by SIGSEGV, in segfault ("),
    "aborts": ("crashed", "PROCESS-1", "killed by SIGABRT, in "),
    "exits": ("crashed", "PROCESS-1", "exited with status 3"),
    "hangs-in-c": ("timed out", "PROCESS-2", "no answer after 0.4"),
    "loops": ("timed out", "PROCESS-2", "in loop ("),
    "deadlocks": ("timed out", "PROCESS-2", "in deadlock ("),
    "hogs-memory": ("crashed", "PROCESS-3", "MiB, allowed 400"),
    "prints-a-megabyte": ("violates", "PROCESS-4", "wrote 1048576 bytes to stdout: 'xxx"),
    "prints-in-c": ("violates", "PROCESS-4", "wrote 7 bytes to stdout: 'from C'"),
    "complains": ("violates", "PROCESS-4", "wrote 6 bytes to stderr: 'stray'"),
    "prints-once": ("conforms", None, ""),
    "prints-for-ever": ("timed out", "PROCESS-2", ""),
    "closes-its-pipe": ("crashed", "PROCESS-1", "closed the pipe of its worker"),
    "writes-into-its-pipe": ("crashed", "PROCESS-1", "wrote into the pipe of its worker"),
    "forks": ("conforms", None, ""),
    "leaves-a-child": ("crashed", "PROCESS-1", "killed by SIGABRT"),
    "kills-its-parents-group": ("crashed", "PROCESS-1", "killed by SIGKILL"),
    "raises-keyboard-interrupt": ("crashed", "DECLARE-1", "KeyboardInterrupt"),
    "returns-unpicklable": ("violates", "RESULT-5", "Unpicklable where"),
    "returns-lambda": ("violates", "RESULT-5", "builtins.function where"),
    "returns-enormous": ("violates", "RESULT-3", "shape (1099511627776,)"),
    "returns-of-objects": ("violates", "RESULT-5", "dtype object"),
    "returns-structured": ("violates", "RESULT-5", "dtype [('a', '<f4')]"),
}


Make: TypeAlias = Callable[..., Implementation]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return what makes one of the hostile kernels, isolated; and end their workers."""

    def make(name: str, limits: Limits = LIMITS) -> Implementation:
        def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
            raise AssertionError("called in this process")

        place = Place(sys.executable, ("file", str(KERNELS)), name, limits)
        return moved(unregistered(name, {"conv": conv}, {}), place)

    yield make
    close_all()


def judged(one: Implementation, *cases: Prepared) -> list[Verdict]:
    return [verdict for verdict, _ in judge_each(one, cases)]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_call_is_a_verdict_on_its_case_and_the_next_one_is_judged(
    make: Make, name: str
) -> None:
    status, requirement, text = EXPECTED[name]
    one = make(name, SHORT if status == "timed out" else LIMITS)
    verdicts = judged(one, GOOD, BAD, GOOD, GOOD)

    assert ["conforms", status, "conforms", "conforms"] == [one.status for one in verdicts]
    assert (requirement, BAD.case) == (verdicts[1].requirement, verdicts[1].case)
    assert text in verdicts[1].message
