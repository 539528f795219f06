"""Measuring which lines of a file calls reach."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.calling import measuring
from conformance.calling.measuring import FALSE, LINE, RAISED, Watch

TEXT = """\
def helper(n):
    if n > 5:
        n = n * 2
    return n
def f(n, k=0):
    if n % 3 == 1 and k > 2:
        return 1
    for i in range(n):
        if i >= 0:
            k += i
    if (k == 9
            or n == 100):
        k = 5
    if n < 0:
        raise ValueError("negative")
    return helper(n)
"""
CONDITIONS = [
    (2, 2, 7, 12, 3, 3),
    (6, 6, 7, 27, 7, 7),
    (9, 9, 11, 17, 10, 10),
    (11, 12, 8, 23, 13, 13),
    (14, 14, 7, 12, 15, 15),
]


@pytest.fixture(params=["_Tracing", *(["_Monitoring"] if hasattr(sys, "monitoring") else [])])
def watched(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Watch]]:
    """Return a module, and what watches it in one of the two ways."""
    backend = getattr(measuring, request.param)
    monkeypatch.setattr(measuring, "_Tracing", backend)
    monkeypatch.setattr(measuring, "_Monitoring", backend)
    before = sys.gettrace()
    sys.settrace(None)  # whoever measures the coverage of these tests
    file = tmp_path / "measured.py"
    file.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("measured", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    watch = Watch()
    watch.begin({str(file): CONDITIONS})
    yield module, watch
    watch.end()
    sys.settrace(before)


def lines(watch: Watch, what: int = LINE) -> set[int]:
    return {line for _, _, line, kind in watch.measured().seen if kind == what}


def test_lines_are_seen_once(watched: tuple[Any, Watch]) -> None:
    module, watch = watched
    call = watch.over(module.f)
    call(2)

    assert {6, 8, 9, 10, 11, 12, 14, 16, 2, 4} == lines(watch)
    call(2)
    assert set() == lines(watch)
    call(7, 3)
    assert {7} == lines(watch)


def test_a_condition_that_was_false_is_seen(watched: tuple[Any, Watch]) -> None:
    module, watch = watched
    call = watch.over(module.f)
    call(2)

    assert {6, 11, 14, 2} == lines(watch, FALSE)  # and not 9, which is always true


def test_what_only_a_call_that_raised_has_reached_is_told_apart(
    watched: tuple[Any, Watch],
) -> None:
    module, watch = watched
    call = watch.over(module.f)
    call(2)
    watch.measured()
    with pytest.raises(ValueError, match="negative"):
        call(-1, 1)

    assert [(15, RAISED)] == [(line, what) for _, _, line, what in watch.measured().seen]


def test_it_is_told_which_call_has_reached_a_line(watched: tuple[Any, Watch]) -> None:
    module, watch = watched
    call = watch.over(module.f)
    for n in (2, 3, 9):
        call(n)
    measured = watch.measured()

    assert 3 == measured.calls
    assert [3] == [number for number, _, line, what in measured.seen if (line, what) == (3, LINE)]


def test_a_loop_is_not_watched_for_ever(watched: tuple[Any, Watch]) -> None:
    module, watch = watched
    watch.over(module.f)(60_000)
    reached = lines(watch)
    watch.over(module.f)(2)

    assert 10 in reached
    assert {16, 4} <= reached | lines(watch)


def test_another_watch_ends_the_one_before(watched: tuple[Any, Watch]) -> None:
    module, watch = watched
    other = Watch()
    other.begin({})
    watch.over(module.f)(2)

    assert () == watch.measured().seen
    other.end()
