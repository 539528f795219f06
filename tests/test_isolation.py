"""Calls in a worker process: what a hostile implementation does is a verdict on its case."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from conformance.calling import starving
from conformance.case import Case
from conformance.checks.repeat import judge_named_history
from conformance.errors import RegistrationError
from conformance.implementations.im2col import conv as right
from conformance.isolation import process
from conformance.isolation.dispatch import (
    answers_questions,
    called_in_worker,
    caller_of,
    close_all,
)
from conformance.isolation.process import Process
from conformance.judging import Prepared, Verdict, judge_each
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.running.causes import shrink_to_violations
from tests.defects import unregistered

KERNELS = Path(__file__).parent / "hostile" / "kernels.py"
GOOD = Prepared.of(Case.parse("conv1d:float32:x=2,3,7:w=4,3,2:normal@0"))
BAD = Prepared.of(Case.parse("conv1d:float32:x=2,3,7:w=4,3,2:stride=2:normal@0"))
INVALID = Prepared.of(
    Case.parse("conv1d:float32:x=2,3,7:w=4,3,2:stride=2:invalid=groups-zero:normal@0")
)
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
        return called_in_worker(unregistered(name, {"conv": conv}, {}), place)

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
    ended = requirement in ("PROCESS-1", "PROCESS-2", "PROCESS-3")
    assert [False, ended, False, False] == [one.ended for one in verdicts]


# --- what is left behind, and what goes on ------------------------------------------------------


def test_no_process_is_left_behind_however_a_call_ends(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests have workers, too, at the same time: ours, and what they start, inherit a mark.
    mark = f"CONVFORMANCE_TEST_MARK={os.getpid()}"
    monkeypatch.setenv(*mark.split("="))
    seen = 0
    for name in ("leaves-a-child", "forks", "segfaults", "kills-its-parents-group"):
        judged(make(name), GOOD, BAD, GOOD)
        seen += len(marked(mark))
    close_all()

    assert seen > 0  # the mark is found
    assert [] == marked(mark)


def test_no_file_descriptor_is_left_open(make: Make) -> None:
    judged(make("exits"), GOOD)
    close_all()
    before = sorted(os.listdir("/proc/self/fd"))
    judged(make("exits"), GOOD, BAD, GOOD)
    close_all()

    assert before == sorted(os.listdir("/proc/self/fd"))


def test_the_guilty_call_is_found_among_many_that_are_on_their_way(make: Make) -> None:
    cases = [GOOD] * 40 + [BAD] + [GOOD] * 40
    statuses = [one.status for one in judged(make("segfaults"), *cases)]

    assert [40] == [i for i, status in enumerate(statuses) if status != "conforms"]
    assert 81 == len(statuses)


def test_ten_crashes_in_a_row_end_the_implementation(make: Make) -> None:
    one = make("exits")

    assert 10 == len(judged(one, *[BAD] * 15))
    assert "ended after 10 crashes in a row" == caller_of(one).given_up_because


def test_crashes_that_are_not_in_a_row_do_not(make: Make) -> None:
    one = make("exits", replace(LIMITS, crashes=2))

    assert 6 == len(judged(one, BAD, GOOD, BAD, GOOD, BAD, GOOD))
    assert None is caller_of(one).given_up_because


def test_an_invalid_call_that_crashes_violates_what_makes_it_invalid(make: Make) -> None:
    (found,) = judged(make("exits"), INVALID)

    assert ("crashed", "REJECT-7") == (found.status, found.requirement)
    assert "instead of raising (groups=0: groups below 1)" in found.message


def test_a_worker_that_does_not_load_is_one_line_where_its_supports_is_asked(make: Make) -> None:
    place = make("exits").place
    assert place is not None
    asked = answers_questions(replace(place, name="nobody"))

    with pytest.raises(RegistrationError, match="asking its supports= failed: cannot be loaded"):
        asked.gaps([GOOD.case])


def test_a_crash_is_shrunk_through_the_crash(make: Make) -> None:
    one = make("exits")
    (violation,) = shrink_to_violations(one, judged(one, BAD))

    assert "conv1d:float32:x=1,1,1:w=1,1,1:stride=2:integers@0" == violation.case.id
    assert ("PROCESS-1", "crashed") == (violation.requirement, violation.status)


def test_a_history_that_crashes_names_the_call(make: Make) -> None:
    one = make("exits")
    found = judge_named_history(one, GOOD.case, "parameters")

    assert found is not None
    assert ("PROCESS-1", True) == (found.requirement, found.ended)
    assert "a call with stride=(2,)" in found.message


def test_arguments_and_results_cross_over_unchanged(make: Make) -> None:
    cases = [
        Prepared.of(Case.parse(f"conv2d:{dtype}:x=2,3,5,4:w=4,3,2,2:bias:padding=1/0,2/1:normal@3"))
        for dtype in ("float32", "float64")
    ]
    here = unregistered("right", {"conv": right}, {})

    assert [(verdict.worst, output.tobytes()) for verdict, output in judge_each(here, cases)] == [
        (verdict.worst, output.tobytes()) for verdict, output in judge_each(make("exits"), cases)
    ]


def test_a_worker_of_another_protocol_is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = process.PROTOCOL
    monkeypatch.setattr(process, "PROTOCOL", spoken + 1)
    (found,) = judged(make("exits"), GOOD)

    assert f"it speaks protocol {spoken} of workers, the run {spoken + 1}" in found.message


def test_threads_of_a_worker_wait_asleep_unless_the_user_has_said_how(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for policy in (None, "ACTIVE"):
        if policy:
            monkeypatch.setenv("OMP_WAIT_POLICY", policy)
            monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "26")
        place = make("exits").place
        assert place is not None
        process = Process(place, "exits").greet()
        found.append((Path("/proc") / str(process.pid) / "environ").read_bytes().split(b"\0"))
        process.stop()

    assert b"OMP_WAIT_POLICY=PASSIVE" in found[0]
    assert b"OPENBLAS_THREAD_TIMEOUT=18" in found[0]
    assert b"OMP_WAIT_POLICY=ACTIVE" in found[1]
    assert b"OPENBLAS_THREAD_TIMEOUT=26" in found[1]


def test_a_call_has_as_long_as_the_calls_before_it_suggest() -> None:
    limits = Limits(seconds=30.0, loading=60.0)

    assert 30.0 == limits.of_call(0, first=False)
    assert 90.0 == limits.of_call(0, first=True)
    assert 10.0 == limits.of_call(0, first=False, slowest=0.001)
    assert 25.0 == limits.of_call(0, first=False, slowest=0.5)
    assert 30.0 == limits.of_call(0, first=False, slowest=5.0)
    assert 30.0 + 2e-5 * 10**6 == limits.of_call(10**6, first=False, slowest=5.0)


def marked(mark: str) -> list[str]:
    """Return the processes, this one apart, whose environment has a mark."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            has = mark.encode() in (folder / "environ").read_bytes().split(b"\0")
            if has and folder.name != str(os.getpid()):
                found.append(folder.name)
    return found


@pytest.mark.parametrize(("starved", "status"), [(0.0, "timed out"), (1.0, "conforms")])
def test_a_call_that_has_to_wait_for_a_core_is_no_hang(
    make: Make, monkeypatch: pytest.MonkeyPatch, starved: float, status: str
) -> None:
    monkeypatch.setattr(starving, "waits", lambda pid: {"all": starved * time.monotonic()})
    naps = make("naps", replace(LIMITS, seconds=0.3))

    assert ["conforms", status] == [one.status for one in judged(naps, GOOD, BAD)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say it")
def test_the_time_that_a_process_waits_for_a_core_is_known() -> None:
    code = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    command = [sys.executable, "-c", code, str(min(os.sched_getaffinity(0)))]
    processes = [subprocess.Popen(command) for _ in range(2)]
    try:
        deadline = time.monotonic() + 20
        waited = 0.0
        before = [starving.waits(process.pid) for process in processes]
        while waited < 0.05 and time.monotonic() < deadline:
            time.sleep(0.02)
            now = [starving.waits(process.pid) for process in processes]
            waited = min(map(starving.longest, before, now))
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert 0.05 <= waited
    assert {} == starving.waits(processes[0].pid)
