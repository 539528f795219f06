"""What is judged decides nothing of how it is judged, and finds no answers in the cache."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conformance.isolation import hiding
from conformance.isolation.dispatch import close_all
from conformance.isolation.process import Process
from conformance.machine import cache_folder as real_cache_folder
from conformance.reports.headline import environment
from conformance.reports.model import load
from conformance.runfile.reading import read
from conformance.running.run import Run, run

CONV = """
import os
from pathlib import Path

import numpy as np

from conformance import implementation
from conformance.implementations import im2col
from conformance.machine import cache_folder

{before}

@implementation("mine")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    y = im2col.conv(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    {act}
"""
FORGED = """
import random
from conformance.judging import comparing, judges
from conformance.running import cell, judge_cell

comparing.compare = judges.compare = lambda *given: (None, 0.0)
judges.compare_exactly = lambda *given: None
judge_cell.judge_each = lambda *given: iter(())
np.random.default_rng = lambda *given: None
random.SystemRandom = None
"""


@cache
def can_hide() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").touch()
        code = (
            "import runpy, sys; "
            f"sys.exit(not runpy.run_path({hiding.__file__!r})['hide']({folder!r}))"
        )
        return subprocess.run([sys.executable, "-c", code]).returncode == 0


where_it_can = pytest.mark.skipif("not can_hide()", reason="this system hides no folder")


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: object
) -> Iterator[Path]:
    """Return a folder for files, where the user's cache is elsewhere and has banks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    close_all()


def judged(folder: Path, *, before: str = "", act: str = "return y", **more: Any) -> Run:
    file = folder / "mine.py"
    file.write_text(CONV.format(before=before, act=act))
    options = {"operators": "conv", "dims": 1, "dtypes": "float32", "examples": 20} | more
    return run(plugins=file, output=folder / "run", **options)


@where_it_can
@pytest.mark.parametrize("way", ["", "/proc/{pid}/root"])
def test_a_plugin_finds_no_references_in_the_cache(folder: Path, way: str) -> None:
    """It would be right as soon as it found one, by its path or in the run's own namespace."""
    assert judged(folder).conforms  # and fills the cache
    assert [*real_cache_folder().iterdir()]
    act = (
        f"folder = Path(f{way!r}.format(pid=PARENT) + str(cache_folder()))\n"
        "    try: found = any(folder.iterdir())\n"
        "    except OSError: found = False\n"
        "    return y if found else 0 * y + 1"
    )
    result = judged(folder, before=f"PARENT = {os.getpid()}", act=act)

    assert {"mine": "violates"} == result.verdicts
    assert {"mine": "hidden"} == read(result.path).facts["machine"]["references"]


@where_it_can
def test_who_is_hidden_from_can_do_with_files_what_it_could(folder: Path) -> None:
    before = (
        "import tempfile\n"
        "one, other = tempfile.mkdtemp(), tempfile.mkdtemp()\n"
        "Path(one, 'a').write_text('1')\n"
        "os.replace(Path(one, 'a'), Path(other, 'b'))\n"
        f"assert os.getuid() == {os.getuid()}\n"
        "assert Path(other, 'b').read_text() == '1'\n"
        f"Path({str(folder)!r}, 'left').write_text('2')\n"
    )

    assert judged(folder, before=before).conforms
    assert "2" == (folder / "left").read_text()


def test_where_nothing_can_be_hidden_the_report_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Process, "_folder_to_hide", lambda self: str(folder / "is not there"))
    result = judged(folder)
    shown = dict(environment(load(result.path)))

    assert {"mine": "in reach"} == read(result.path).facts["machine"]["references"]
    assert result.conforms
    assert "mine in reach" == shown["cached references, to a plugin"]


def test_a_plugin_is_imported_in_workers_alone(folder: Path) -> None:
    log = folder / "pids"
    before = f"with open({str(log)!r}, 'a') as file: print(os.getpid(), file=file)"
    judged(folder, before=before)
    pids = {int(line) for line in log.read_text().split()}

    assert len(pids) > 0
    assert os.getpid() not in pids


def test_what_a_plugin_does_to_the_judge_it_does_to_its_own_copy(folder: Path) -> None:
    result = judged(folder, before=FORGED, act="return y + 1")

    assert {"mine": "violates"} == result.verdicts


def test_the_seed_is_drawn_before_a_plugin_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "SystemRandom", random.SystemRandom)  # put back afterwards
    before = "import random; random.SystemRandom = lambda: random.Random(7)"
    seeds = {judged(folder, before=before, isolate=False, seed="random", cache=False).seed}

    assert random.Random(7).randrange(2**31) not in seeds
