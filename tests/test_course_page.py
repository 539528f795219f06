"""The page of the course: its pictures are made by its commands, and its example is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.ladder import HEADER, ladder
from conformance.cli import main
from conformance.registration.registry import Registry
from tests.test_reports import Write, timing, write

__all__ = ["write"]  # a fixture

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"^convformance (explain .+ --svg (docs/\S+))$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("command", "picture"), PICTURES, ids=[name for _, name in PICTURES])
def test_a_picture_of_the_course_is_what_its_command_draws(
    command: str, picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / picture).parent.mkdir(parents=True)
    status = main(shlex.split(command))
    drawn = (tmp_path / picture).read_text(encoding="utf-8")

    assert status == 0
    assert drawn == (ROOT / picture).read_text(encoding="utf-8"), command


def test_every_picture_is_shown_and_has_a_description() -> None:
    shown = re.findall(r"^!\[(.{20,})\]\((pictures/\S+)\)$", PAGE, re.MULTILINE)

    assert [f"docs/{file}" for _, file in shown] == [picture for _, picture in PICTURES]


def test_the_example_of_the_course_violates_what_its_exercise_says(
    capsys: pytest.CaptureFixture[str],
    copied_registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)

    assert capsys.readouterr().out.startswith("CONV-6 ")


def test_the_ladder_has_a_row_for_each_time_that_is_believed(write: Write) -> None:
    rows = [timing("naive", median=2.0), timing("im2col"), timing("wrong", verified="differs")]
    note, title, table = ladder(write(timing=rows))

    assert "one thread" in note
    assert "alexnet/conv1" in title
    assert ["implementation", "naive", "im2col"] == re.findall(r"^\| (\w+)", table, re.MULTILINE)
    assert all(column in table for column in HEADER)
    assert 1 == PAGE.count("<!-- ladder -->\n") == PAGE.count("<!-- /ladder -->")
