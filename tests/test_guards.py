"""Guards: arrays of a call lie against pages without access, between canaries."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling.guards import (
    END,
    MIDDLE,
    NOWHERE,
    PAGE,
    SHIFTED,
    SIDES,
    START,
    Arena,
    Guard,
    Guards,
)
from conformance.calling.memory import place, spread
from conformance.case import MEMORY_LAYOUTS, Case
from conformance.cli import main
from conformance.errors import RegistrationError
from conformance.isolation import AVAILABLE
from conformance.isolation.dispatch import caller_of, close_all, for_operator
from conformance.isolation.remote_plugins import declare_plugin
from conformance.isolation.worker_caller import side_of
from conformance.judging import Verdict, judge
from conformance.registration.declarations import Arguments
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.running.citing import cite
from conformance.scripts.standalone import script_of
from tests.compiled import COMPILER, build
from tests.defects import unregistered

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="pages are protected on POSIX systems")
compiled = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

ARRAY = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


def guarded(guard: Guard, array: Any = ARRAY, beyond: int = 0) -> tuple[Any, Guards]:
    guards = Guards(Arena(), guard, beyond)
    return place(array, "contiguous", guards.room(0))[0], guards


def address(array: Any) -> int:
    return int(array.ctypes.data)


# --- where arrays lie -----------------------------------------------------------------------------


def test_an_array_ends_or_begins_at_a_page_without_access() -> None:
    at_end, _ = guarded(END)
    at_start, _ = guarded(START)

    assert 0 == (address(at_end) + at_end.nbytes) % PAGE
    assert 0 == address(at_start) % PAGE
    assert ARRAY.tolist() == at_end.tolist() == at_start.tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("size", [1, 7, PAGE, PAGE + 3])
def test_an_array_of_any_size_ends_at_a_page_and_is_aligned(dtype: str, size: int) -> None:
    array, _ = guarded(END, np.ones(size, dtype))

    assert 0 == (address(array) + array.nbytes) % PAGE
    assert array.flags.aligned


@pytest.mark.parametrize("layout", MEMORY_LAYOUTS)
@pytest.mark.parametrize("guard", [END, START, MIDDLE, SHIFTED, NOWHERE, (0, END, 64)])
def test_a_layout_keeps_its_meaning_between_guards(layout: str, guard: Guard) -> None:
    array = spread(np.arange(24.0).reshape(2, 3, 4)) + 1
    due, due_buffer = place(array, layout)
    placed, buffer = place(array, layout, Guards(Arena(), guard).room(0))

    assert (due.tolist(), due.strides, due.dtype) == (placed.tolist(), placed.strides, placed.dtype)
    assert due_buffer.shape == buffer.shape
    names = ("c_contiguous", "f_contiguous", "writeable", "aligned")
    flags = [(getattr(due.flags, name), getattr(placed.flags, name)) for name in names]
    assert [] == [pair for pair in flags if pair[0] != pair[1]]


def test_what_may_be_read_beyond_lies_before_the_page() -> None:
    array, _ = guarded(END, beyond=6)

    assert PAGE - 8 == (address(array) + array.nbytes) % PAGE  # whole elements


def test_pages_are_used_again_once_nobody_refers_to_their_array() -> None:
    arena = Arena()

    def call() -> Any:
        guards = Guards(arena, END)
        array, _ = place(ARRAY, "contiguous", guards.room(0))
        guards.release()
        return array

    first = address(call())
    kept = call()

    assert first == address(kept)
    assert address(call()) != address(kept)
    assert ARRAY.tolist() == kept.tolist()


def test_arrays_of_objects_and_empty_ones_have_no_guards() -> None:
    empty, of_empty = guarded(END, np.empty((0, 2), np.float32))
    objects, of_objects = guarded(END, np.array([None, "a"], object))

    assert [(0, 2), [None, "a"]] == [empty.shape, objects.tolist()]
    assert () == of_empty.overrun() == of_objects.overrun()


# --- what is written beside them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guard", "first", "count", "due"),
    [
        (END, -1, 1, (0, 1, 0)),
        (END, -60, 4, (0, 60, 0)),
        (START, 24, 1, (0, 0, 1)),
        (MIDDLE, 1000, 8, (0, 0, 984)),
        (MIDDLE, -1000, 8, (0, 1000, 0)),
    ],
)
def test_a_write_beside_an_array_shows_how_far_it_reached(
    guard: Guard, first: int, count: int, due: tuple[int, int, int]
) -> None:
    array, guards = guarded(guard)
    ctypes.memset(address(array) + first, 0, count)

    assert (due,) == guards.overrun()


def test_writes_into_an_array_itself_are_none_beside_it() -> None:
    array, guards = guarded(END)
    array[...] = 7

    assert () == guards.overrun()


# --- what a call does in a worker -----------------------------------------------------------------

PLUGIN = """
from conformance import implementation
from conformance.implementations import im2col
from conformance.scripts.standalone import script_of
from tests.compiled import load, store

my = implementation("mine"{declared})

@my
def conv(x, w, bias, *, stride, padding, dilation, groups):
    y = im2col.conv(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    {act}
    return y
"""
CASES = [f"conv1d:float32:x=2,3,7:w=4,3,2:bias:integers@{seed}" for seed in range(12)]


@pytest.fixture
def plugin(tmp_path: Path, copied_registry: Any) -> Iterator[Any]:
    """Return what makes an implementation of a plugin that does something beside its result."""

    def make(act: str, declared: str = "") -> Implementation:
        build()
        file = tmp_path / "mine.py"
        file.write_text(PLUGIN.format(act=act, declared=declared))
        return for_operator(declare_plugin(file, Limits())[0], "conv")

    yield make
    close_all()


def finding(one: Implementation) -> Verdict | None:
    """Return what the first case that fails is cited for, None if none does."""
    for text in CASES:
        if (verdict := judge(one, text)).failed:
            return cite(one, verdict, verdict.case)
    return None


@compiled
@pytest.mark.parametrize(
    ("act", "requirement", "text"),
    [
        ("load(w, w.size, w.size + 10)", "MEMORY-1", "reads up to 40 bytes past the end of w"),
        ("load(x, -1, 0)", "MEMORY-1", "reads up to 4 bytes before the beginning of x"),
        ("load(bias, 0, 4 * len(w))", "MEMORY-1", "bytes past the end of bias"),
        ("load(x, x.size, x.size + 2000)", "MEMORY-1", "more than 4096 bytes past the end of x"),
        ("store(w, w.size, w.size + 3, 0)", "MEMORY-2", "wrote up to 12 bytes past the end of w"),
        ("store(x, -2, -1, 0)", "MEMORY-2", "wrote up to 8 bytes before the beginning of x"),
    ],
)
def test_a_read_or_write_beyond_an_array_is_a_verdict_that_names_the_array(
    plugin: Any, act: str, requirement: str, text: str
) -> None:
    found = finding(plugin(act))

    assert found is not None
    assert requirement == found.requirement
    assert text in found.message


@compiled
def test_what_is_read_and_declared_is_no_violation_and_the_next_byte_is_one(plugin: Any) -> None:
    declared = ", reads_beyond=8"

    assert None is finding(plugin("load(w, w.size, w.size + 2)", declared))


@compiled
def test_more_than_what_is_declared_says_how_much_that_is(plugin: Any) -> None:
    found = finding(plugin("load(w, w.size, w.size + 3)", ", reads_beyond=8"))

    assert found is not None
    assert "MEMORY-1" == found.requirement
    assert "reads up to 12 bytes (declared: 8) past the end of w" in found.message


@compiled
def test_a_null_pointer_is_no_matter_of_the_arrays(plugin: Any) -> None:
    found = finding(plugin("import ctypes; ctypes.string_at(0)"))

    assert found is not None
    assert "PROCESS-1" == found.requirement
    assert "SIGSEGV" in found.message


def test_a_call_that_ends_only_where_an_address_is_no_multiple_of_16_is_one_of_slices(
    plugin: Any,
) -> None:
    act = "if x.ctypes.data % 16: import ctypes; ctypes.string_at(0)"
    found = finding(plugin(act))

    assert found is not None
    assert "LAYOUT-2" == found.requirement
    assert "no multiple of 16" in found.message


def test_who_declines_an_address_that_no_allocator_returns_is_judged_elsewhere(plugin: Any) -> None:
    one = plugin("if x.ctypes.data % 16: raise NotImplementedError('unaligned')")

    assert {"conforms"} == {judge(one, case).status for case in CASES}


def test_who_raises_in_a_first_call_alone_is_no_friend_of_alignment(plugin: Any) -> None:
    act = "import builtins; n = builtins.n = getattr(builtins, 'n', 0) + 1; assert n > 1"
    one = plugin(act)

    assert ["crashed", "conforms"] == [judge(one, case).status for case in CASES[:2]]


@compiled
def test_each_case_has_its_side_and_both_are_taken() -> None:
    sides = [side_of(Case.parse(case)) for case in CASES]

    assert {*SIDES} == {*sides}
    assert sides == [side_of(Case.parse(case)) for case in CASES]


@compiled
def test_a_write_that_only_a_later_call_makes_is_found_by_its_history(plugin: Any) -> None:
    from conformance.checks.repeat import judge_named_history

    act = (
        "import builtins; n = builtins.n = getattr(builtins, 'n', 0) + 1\n"
        "    if n == 2: store(x, -1, 0, 0); store(x, x.size, x.size + 1, 0)"
    )
    one = plugin(act)
    found = [judge_named_history(one, Case.parse(CASES[0]), "data")]

    assert [True] == [v is not None and v.failed for v in found]


@compiled
def test_replay_shows_a_read_at_whichever_side_the_case_has(
    plugin: Any, tmp_path: Path, capsys: Any
) -> None:
    plugin("load(x, -1, 0)")
    file = str(tmp_path / "mine.py")
    cited = set()
    for case in CASES[:4]:
        status = main(["replay", case, "--plugin", file, "--json"])
        (result,) = json.loads(capsys.readouterr().out)["results"]
        cited.add((status, result["requirement"]))

    assert {(1, "MEMORY-1")} == cited


@compiled
@pytest.mark.parametrize("act", ["load(x, -1, 0)", "store(bias, 0, len(bias) + 1, 0)"])
def test_the_script_of_a_violation_ends_as_the_call_does(
    plugin: Any, tmp_path: Path, act: str
) -> None:
    one = plugin(act)
    found = finding(one)
    assert found is not None
    text = script_of(one, found.case, found)
    command = [sys.executable, "-c", text]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True)

    assert -signal.SIGSEGV == ended.returncode
    assert "guarded(bias, at_end)" in text


def test_calls_of_this_process_have_no_guards() -> None:
    seen = []

    def conv(x: Any, w: Any, bias: Any, **call: Any) -> Any:
        seen.append(x.flags.owndata)
        raise NotImplementedError

    judge(unregistered("here", {"conv": conv}, {}), CASES[0])

    assert [True] == seen
    assert "" == caller_of(unregistered("here", {"conv": conv}, {})).side


@pytest.mark.parametrize("value", [-1, 4097, 1.5, True, "8"])
def test_what_is_read_beyond_is_a_number_of_bytes(value: Any) -> None:
    with pytest.raises(RegistrationError, match=r"reads_beyond=.*; bytes, 0 to 4096"):
        Arguments("mine", reads_beyond=value).check("mine.py")
