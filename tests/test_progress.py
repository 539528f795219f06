"""What is shown while a command runs: live on a terminal, lines elsewhere, nothing if quiet."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from conformance.cli import main, progress
from conformance.registration.registry import Registry
from conformance.runfile.text import clean
from conformance.running.cell import Cell
from conformance.running.so_far import found_so_far
from tests.test_cli import TINY, plugin


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def console(width: int = 80, **options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, **options)


def shown(target: Console, description: str = "mine: conv 2-D") -> str:
    with progress.shown(console=target) as tell:
        tell(250, 1000, description)
        assert isinstance(target.file, io.StringIO)
        before = len(target.file.getvalue())
        tell(500, 1000, description)
    return target.file.getvalue()[before:]


def test_a_terminal_shows_how_far_what_is_called_and_the_time_left() -> None:
    text = shown(console(), "mine: conv 2-D; found: CONV-5 of mine")

    assert "50 %" in text
    assert "0:00:00" in text
    assert "left" in text
    assert "mine: conv 2-D; found: CONV-5 of mine" in text


def test_nothing_stays_on_the_terminal() -> None:
    assert shown(console()).endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_longer_than_a_narrow_terminal(width: int) -> None:
    text = shown(console(width), "a description that is far too long " * 5)

    lines = [clean(line) for line in text.splitlines()]
    assert any(line.startswith("a description") for line in lines)
    assert max(map(len, lines)) <= width


def test_no_color_leaves_the_colours_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cyan = "\x1b[36m"
    assert cyan in shown(console(color_system="256"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert cyan not in shown(console(color_system="256"))


def test_what_is_no_terminal_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown() as tell:
        for done in range(0, 101, 5):
            tell(done, 100, "mine")

    lines = capsys.readouterr().err.splitlines()
    assert [f"{10 * tenth:3d} %  mine" for tenth in range(11)] == lines


def test_what_was_found_so_far_names_the_first_requirements() -> None:
    cell = Cell("mine", "conv", 1, "float32")
    assert "" == found_so_far([cell])

    cell.violations = [Named(f"CONV-{number}") for number in (1, 2, 2, 3, 4)]  # type: ignore[misc]
    assert "; found: CONV-1 of mine, CONV-2 of mine, CONV-3 of mine and 1 more" == found_so_far(
        [cell]
    )


class Named:
    """What stands for a violation of a requirement."""

    def __init__(self, requirement: str) -> None:
        self.requirement = requirement


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Registry) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("home", "cache_folder")
def test_a_quiet_run_says_the_outcome_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    file = plugin("mine")

    status = main(["run", "--plugin", file, *TINY, "--no-isolate", "--quiet"])

    out, err = capsys.readouterr()
    assert (1, 1, "") == (status, out.count("\n"), err)
    assert out.startswith("mine violates CONV-5")
    assert Path("convformance-run/report.html").exists()
    assert 1 == main(["run", "--plugin", file, *TINY, "--no-isolate", "--quiet", "--json"])
    out, err = capsys.readouterr()
    assert ("violates", "") == (json.loads(out)["implementations"][0]["verdict"], err)


@pytest.mark.usefixtures("home")
def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["run", "--quiet", "--verbose"])
    assert "--verbose and --quiet exclude each other" in capsys.readouterr().err
