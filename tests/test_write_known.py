"""`run --write-known`: today's failures as a file, after which a run shows only what is new."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance.case import Case
from conformance.cli import main
from conformance.judging import VIOLATES, Verdict
from conformance.registration.registry import Registry
from conformance.running.cell import Cell
from conformance.running.known_today import known_today
from conformance.running.run import Run
from conformance.running.selection import Selection

PLUGIN = """
import numpy as np
from conformance import implementation
from conformance.implementations import im2col

calls = 0

@implementation("mine")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    global calls
    calls += 1
    given = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    {body}
"""
RIGHT = "return im2col.conv(x, w, bias, **given)"
DILATION = "return im2col.conv(x, w, bias, **given) + (max(dilation) > 1)"
MANY = """
    if x.shape[0] == 0:
        raise ValueError("empty")
    if groups > 2:
        return im2col.conv(x, w, bias, **given).astype("float64")
    try:
        y = im2col.conv(x, w, bias, **given)
    except Exception:
        return x
    if not x.flags.c_contiguous:
        y = y + 1
    return np.nan_to_num(y) if max(stride) > 1 else y
"""
STALE = """
implementations = ["mine"]
[[known]]
requirement = "REJECT-3"
case = "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0"
mistakes = "stride-zero"
reason = "mended"
"""
FEW = ("-n", "40", "--suite", "none", "-o", "conv", "--dims", "1", "--plugin", "mine.py")


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path, copied_registry: Registry
) -> None:
    """Work in a folder of the test's own, and forget the plugins that it loads."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        status = main(arguments)
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture
def run(call: Callable[..., Result]) -> Callable[..., Result]:
    """Judge a plugin with a body, each time in a worker of its own."""

    def run(body: str, *options: str, plugin: str = PLUGIN) -> Result:
        Path("mine.py").write_text(plugin.replace("{body}", body))
        return call("run", *FEW, *options)

    return run


def entries(file: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tomllib.loads(Path(file).read_text())["known"]
    return listed


@pytest.mark.parametrize("body", [DILATION, MANY], ids=["one", "many"])
def test_the_next_run_of_the_same_selection_passes(run: Any, body: str) -> None:
    first = run(body, "--write-known", "sub/known.toml")
    again = run(body, "--known", "sub/known.toml")

    assert (1, 0) == (first.status, again.status)
    assert re.search(r"^written: sub/known.toml, \d+ known", first.out, re.MULTILINE)
    assert "not covered" not in first.out


def test_an_entry_is_as_narrow_as_what_was_seen(run: Any) -> None:
    run(DILATION, "--dtype", "float32", "--check", "result", "--write-known", "known.toml")
    (entry,) = entries("known.toml")

    assert ("mine", "CONV-5") == (entry["implementation"], entry["requirement"])
    assert {"operator": "conv", "dims": 1, "dtype": "float32", "dilation": ">1"}.items() <= (
        entry["where"].items()
    )
    assert re.fullmatch(r"seen on 2\d{3}-\d\d-\d\d; not explained yet", entry["reason"])


def test_what_is_new_fails_in_spite_of_the_file(run: Any) -> None:
    run(DILATION, "--write-known", "known.toml")
    status, out, _ = run(f"{DILATION} + (max(stride) > 1)", "--known", "known.toml")

    assert 1 == status
    assert "CONV-4" in out


def test_a_file_that_is_there_is_left_alone_and_nothing_is_judged(run: Any) -> None:
    Path("known.toml").write_text("mine")
    status, out, err = run(DILATION, "--write-known", "known.toml")

    assert (2, "") == (status, out)
    assert "--write-known: known.toml: is there already; name another file\n" in err
    assert "mine" == Path("known.toml").read_text()
    assert not Path("convformance-run").exists()


def test_where_nothing_fails_nothing_is_written(run: Any) -> None:
    status, out, _ = run(RIGHT, "--write-known", "known.toml")

    assert 0 == status
    assert "known.toml: not written, there is nothing for it\n" in out
    assert not Path("known.toml").exists()


def test_a_stale_entry_of_the_implementations_own_list_is_named(run: Any) -> None:
    """No other file can take it off that list."""
    Path("own.toml").write_text(STALE)
    plugin = PLUGIN.replace('("mine")', '("mine", known="own.toml")')
    first = run(DILATION, "--write-known", "known.toml", plugin=plugin)

    assert 1 == first.status
    assert (
        "not covered: mine: REJECT-3: "
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0: "
        "no longer occurs, and is on the implementation's own list\n"
    ) in first.out


def test_a_result_that_is_wrong_only_after_other_calls_is_named() -> None:
    """No entry says of which cases that holds."""
    case = Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:integers@0")
    cell = Cell("mine", "conv", 1, "float32", violating=1)
    cell.uncovered = [Verdict("mine", case, VIOLATES, "RESULT-2", history="many")]
    run = Run(Path("run.sqlite"), 0, {"mine": VIOLATES}, (cell,))
    today = known_today(Selection(), run)

    assert ([], [f"mine: RESULT-2: {case.id}"]) == (today.entries, today.uncovered)


def test_the_entries_of_an_earlier_file_are_kept_unless_they_are_stale(run: Any) -> None:
    explained = """
[[known]]
requirement = "CONV-5"
case = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
where = {operator = "conv", dilation = ">1"}
reason = "explained"
"""
    Path("old.toml").write_text(STALE + explained)
    body = f"{DILATION} + (max(stride) > 1)"
    first = run(body, "--known", "old.toml", "--write-known", "known.toml")
    kept, *new = entries("known.toml")

    assert 1 == first.status
    assert ("mine", "explained") == (kept["implementation"], kept["reason"])
    assert new
    assert "REJECT-3" not in {entry["requirement"] for entry in new}
    assert 0 == run(body, "--known", "known.toml").status
