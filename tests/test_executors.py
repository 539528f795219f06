"""Blocks are judged by processes that may be lost, and by machines where plugins are not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

import pytest

from conformance.errors import ConformanceError
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry, get
from conformance.running.executors import MOST_LOSSES, Spread
from conformance.running.travelling import departing


class Losing(Executor):
    """An executor that loses its processes whenever some work is done, so and so often."""

    given_up: tuple[type[BaseException], ...] = (ValueError,)
    gone: tuple[type[BaseException], ...] = (ConnectionError,)

    def __init__(self, losses: dict[str, int], fails: dict[str, Exception] | None = None) -> None:
        self.left, self.fails = Counter(losses), fails or {}
        self.begun: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        (work,) = args
        self.begun.append(work)
        self.left[work] -= 1
        if self.left[work] >= 0:
            future.set_exception(BrokenExecutor())
        elif work in self.fails:
            future.set_exception(self.fails[work])
        else:
            future.set_result(fn(work))
        return future


def done(executor: Executor, works: Iterable[str]) -> list[str]:
    spread = Spread[str, str](
        executor, lambda work: executor.submit(str.upper, work), lambda work: f"no {work}"
    )
    for work in works:
        spread.add(work)
    results: list[str] = []
    while spread.pending:
        results += spread.done()
    return sorted(results)


@pytest.mark.parametrize("losses", range(MOST_LOSSES + 1))
def test_what_is_lost_is_done_again_three_times(losses: int) -> None:
    executor = Losing({"b": losses})

    assert ["A", "B", "C"] == done(executor, "abc")
    assert {"a": 1, "b": losses + 1, "c": 1} == Counter(executor.begun)


def test_what_is_lost_once_more_is_given_up_and_the_rest_is_done() -> None:
    executor = Losing({"b": 99})

    assert ["A", "C", "no b"] == done(executor, "abc")
    assert MOST_LOSSES + 1 == executor.begun.count("b")


def test_the_last_time_it_is_alone() -> None:
    executor = Losing({"a": 3, "b": 99, "c": 3})

    assert ["A", "C", "no b"] == done(executor, "abc")
    assert ["a", "b", "c"] == executor.begun[-3:]


def test_what_an_executor_gives_up_itself_is_not_done_again() -> None:
    executor = Losing({}, {"b": ValueError("lost")})

    assert ["A", "C", "no b"] == done(executor, "abc")
    assert 1 == executor.begun.count("b")


@pytest.mark.parametrize("lost", [ConnectionError(), None])
def test_an_executor_that_is_gone_leaves_a_run_that_goes_on(lost: Exception | None) -> None:
    if lost is None:  # a plain executor, whose processes nobody starts anew
        executor: Any = Losing({"b": 1})
        executor = type("Plain", (Executor,), {"submit": executor.submit})()
    else:
        executor = Losing({}, {"b": lost})

    with pytest.raises(ConformanceError, match=r"`--resume` goes on with the run"):
        done(executor, "abc")


def test_another_error_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError):
        done(Losing({}, {"b": KeyError("b")}), "abc")


def test_a_plugin_travels_with_the_files_that_it_imports(
    tmp_path: Path, copied_registry: Registry
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "parts").mkdir(parents=True)
    there.mkdir()
    (here / "parts" / "__init__.py").write_text("from parts.deep import TWO\n")
    (here / "parts" / "deep.py").write_text("TWO = 2\n")
    (here / "beside.py").write_text("from parts import TWO\n")
    (here / "travels.py").write_text(
        "from conformance import implementation\nfrom beside import TWO\n"
        "@implementation('travels')\ndef conv_bias_grad(grad):\n    return TWO\n"
    )
    load_plugin(here / "travels.py")
    sent = departing(get("travels"))
    (there / "sent").write_bytes(pickle.dumps(sent))
    here.rename(tmp_path / "gone")

    code = "import pickle; from conformance.running.travelling import arrived\n"
    code += "one = arrived(pickle.load(open('sent', 'rb')))\n"
    code += "print(one.name, one.functions['conv_bias_grad'](None))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=there, capture_output=True, text=True, check=False
    )

    assert "travels 2" == ended.stdout.strip(), ended.stderr
