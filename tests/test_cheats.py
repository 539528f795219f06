"""What becomes of implementations that cheat when they are timed, and of honest ones beside them.

All are timed in one run. A cheat is found to be wrong, not believed, or timed at its true cost.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.runfile.tables import Timing
from conformance.timing.processes import KNOWN
from conformance.timing.timed_run import Timings, time

FOLDER = Path(__file__).parent / "cheats"
LAYER = "conv2d:float32:x=1,64,56,56:w=64,64,3,3:padding=1/1,1/1:integers@0"
ROUNDS = 12

WRONG = {
    "address": "REPEAT-3",
    "shape": "REPEAT-3",
    "weights-by-address": "RE",
    "thread-after-return": "RE",
    "ahead-of-the-copy": "RE",
    "lazy-array": "RESULT-5",
    "after-the-tenth-call": "REPEAT-4",
    "each-third-call": "RE",
    "calls-follow-soon": "REPEAT-4",
    "timed-in-the-stack": "RE",
    "name-of-the-caller": "RE",
    "one-thread-granted": "RE",
    "garbage-waits": "RE",
    "suite-is-loaded": "RE",
    "half-precision": "RE",
    "eight-bits": "RE",
    "one-pixel-left-out": "RESULT",
    "answers-nonsense": "PROCESS-1",
    "makes-no-calls": "RE",
}
"""The requirement that the outputs of a cheat violate, or how it begins."""
DOUBTED = ("while-it-is-copied", "clock-stands-still", "suite-says-a-tenth")
"""Cheats whose times are not believed."""
EITHER = ("looks-ahead", "own-threads", "own-blas-threads", "own-process")
EITHER += ("all-cores-again", "clock-at-half-speed")

COSTLY = ("content", "hash", "fingerprint", "sum", "at-import", "claims-to-have-waited")
COSTLY += ("garbage-is-put-off", "numpy-sees-nothing")
"""Cheats that gain nothing."""
HONEST = ("plain", "plan-for-each-signature", "buffer-kept", "weights-transformed-once")
HONEST += ("the-thread-that-is-granted", "compiles-at-first", "transposed-result")
HONEST += ("leaves-small-cycles", "by-blocks")

pytestmark = pytest.mark.skipif(not KNOWN, reason="only Linux tells what others use")


@pytest.fixture(scope="module")
def timings(tmp_path_factory: pytest.TempPathFactory) -> Timings:
    plugins = sorted(FOLDER.glob("*.py"))
    registering = [path for path in plugins if "import implementation" in path.read_text()]
    output = tmp_path_factory.mktemp("cheats")
    return time(None, [LAYER], plugins=registering, rounds=ROUNDS, seconds=60, output=output)


@pytest.fixture(scope="module")
def rows(timings: Timings) -> dict[str, Timing]:
    return {timing.implementation: timing for timing in timings.timings}


def gains_nothing(rows: dict[str, Timing], name: str) -> bool:
    """Whether a cheat is timed at what the plain implementation takes, or at more."""
    ratio = rows[name].median or 0.0, rows["plain"].median or 0.0
    return ratio[0] > 0.7 * ratio[1] > 0


def test_every_cheat_is_told_what_becomes_of_it(rows: dict[str, Timing]) -> None:
    assert {*WRONG, *DOUBTED, *EITHER, *COSTLY, *HONEST} == {*rows}


@pytest.mark.parametrize("name", WRONG)
def test_a_cheat_whose_outputs_are_wrong_is_found_out(rows: dict[str, Timing], name: str) -> None:
    assert re.match(WRONG[name], rows[name].verified), rows[name].verified
    assert not rows[name].is_verified


@pytest.mark.parametrize("name", DOUBTED)
def test_a_cheat_with_right_outputs_is_not_believed(rows: dict[str, Timing], name: str) -> None:
    assert "conforms" == rows[name].verified
    assert rows[name].doubt


@pytest.mark.parametrize("name", EITHER)
def test_a_cheat_that_takes_more_of_the_machine_is_not_believed(
    rows: dict[str, Timing], name: str
) -> None:
    assert "conforms" == rows[name].verified
    assert rows[name].doubt or gains_nothing(rows, name)


@pytest.mark.parametrize("name", COSTLY)
def test_a_cheat_that_gains_nothing_is_timed_at_its_true_cost(
    rows: dict[str, Timing], name: str
) -> None:
    assert gains_nothing(rows, name)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_implementation_is_believed(rows: dict[str, Timing], name: str) -> None:
    assert ("conforms", "") == (rows[name].verified, rows[name].doubt)


def test_a_run_with_cheats_fails(timings: Timings) -> None:
    assert 1 == timings.exit_status
