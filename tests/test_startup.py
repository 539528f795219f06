"""The cost of a first call, which is told from the cost of a call (`conformance.calling.pace`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conformance import run
from conformance.calling import history, observing
from conformance.calling.pace import FAR_LONGER, PATIENCE, SHORT, Pace
from conformance.case import Case
from conformance.isolation.dispatch import caller_of, close_all
from conformance.registration.place import Limits, Place
from conformance.running import budget
from conformance.running.cell import Cell
from tests.defects import kernels, unregistered


class Clock:
    """A clock that implementations set forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    time = SimpleNamespace(perf_counter=made.read, monotonic=made.read)
    for module in (budget, observing, history):
        monkeypatch.setattr(module, "time", time)
    close_all()  # forgets what earlier tests' calls took
    return made


Kind = Callable[[tuple[Any, ...], dict[str, Any]], object]


def kind_of_a_jit(arguments: tuple[Any, ...], call: dict[str, Any]) -> object:
    """Return what a compiler specialises on: rank, contiguity, writability and bias."""
    arrays = [value for value in arguments if isinstance(value, np.ndarray)]
    lies = [(a.ndim, a.flags.c_contiguous, a.flags.f_contiguous, a.flags.writeable) for a in arrays]
    return tuple(lies), arguments[-1] is None


def starting(clock: Clock, first: float, usual: float, kind: Kind) -> Any:
    """Return a correct convolution whose first call of each kind takes ``first`` seconds."""
    seen: set[object] = set()

    def conv(*arguments: Any, **call: Any) -> Any:
        clock.now += usual if kind(arguments, call) in seen else first
        seen.add(kind(arguments, call))
        return kernels.conv(*arguments, **call)

    return unregistered("starting", {"conv": conv}, {"dtypes": "float32"})


def judged(clock: Clock, tmp_path: Path, first: float, usual: float, kind: Kind) -> Cell:
    mine = starting(clock, first, usual, kind)
    chosen: dict[str, Any] = {"operators": ["conv"], "dims": [2], "dtypes": ["float32"]}
    (cell,) = run([mine], **chosen, output=tmp_path / f"{first:g}").cells
    return cell


def test_a_slow_first_call_of_each_kind_costs_no_case(clock: Clock, tmp_path: Path) -> None:
    quick = judged(clock, tmp_path, 0.0, 0.0, kind_of_a_jit)
    cell = judged(clock, tmp_path, 2.6, 0.0, kind_of_a_jit)

    assert 300 < cell.compared == quick.compared
    assert not cell.stopped
    assert clock.now > 30


def test_a_cold_and_a_warm_compiler_cache_give_the_same_cases(clock: Clock, tmp_path: Path) -> None:
    warm = judged(clock, tmp_path, 0.2, 0.001, kind_of_a_jit)
    cold = judged(clock, tmp_path, 8.0, 0.001, kind_of_a_jit)

    assert (warm.compared, warm.verdict) == (cold.compared, cold.verdict)


def test_what_is_slow_at_every_call_is_still_ended(clock: Clock, tmp_path: Path) -> None:
    cell = judged(clock, tmp_path, 2.0, 2.0, kind_of_a_jit)

    assert cell.stopped
    assert clock.now < 200


def test_what_compiles_for_every_shape_is_still_ended(clock: Clock, tmp_path: Path) -> None:
    cell = judged(clock, tmp_path, 2.0, 0.001, lambda a, call: (a[0].shape, a[1].shape, str(call)))

    assert cell.stopped
    assert clock.now < 2 * budget.STARTUP_SECONDS


def test_what_quick_answers_wait_for_is_start_up_until_the_slow_call_tells() -> None:
    """A worker sends answers together: the quick ones before a call that compiles come with it."""
    pace = Pace()
    for _ in range(40):
        pace.note("conv", 100, 1e-4)
    pace.wait(3.0 - 1e-4)
    pace.note("conv", 100, 1e-4)

    assert pace.startup == pytest.approx(3.0, abs=1e-3)
    pace.wait(0.0 - 3.0)
    pace.note("conv", 100, 3.0)
    assert pace.startup == pytest.approx(3.0, abs=1e-3)


def test_of_a_worker_the_clock_counts_the_calls_alone(clock: Clock) -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    place = Place(sys.executable, ("file", "mine.py"), "starting", Limits())
    mine = replace(starting(clock, 0.0, 0.0, kind_of_a_jit), place=place)
    spending = budget.Budget(mine, 1e6, 1.0, warm=True)

    clock.now += 1000.0
    assert [True, True] == [spending.affords_case(case) for _ in range(2)]
    caller_of(mine).pace.total += 1000.0
    assert not spending.affords_case(case)


def test_start_up_is_what_a_call_takes_beyond_the_usual() -> None:
    pace = Pace()
    for seconds in (0.001,) * 20 + (3.0,) + (0.001,) * 20:
        pace.note("conv", 100, seconds)

    assert pace.startup == pytest.approx(2.999)


def test_more_work_is_not_start_up() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note("conv", 100, SHORT / 10)
        pace.note("conv", 100_000, FAR_LONGER * SHORT)

    assert 0.0 == pace.startup


def test_what_cannot_be_told_yet_is_start_up_up_to_a_limit() -> None:
    pace = Pace()
    pace.note("conv", 100, 4.0)

    assert 4.0 == pace.startup
    for _ in range(3):
        pace.note("conv", 100, 30.0)
    assert 0 < pace.startup <= PATIENCE
    for _ in range(10):
        pace.note("conv", 100, 30.0)
    assert 0.0 == pace.startup
