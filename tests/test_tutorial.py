"""The tutorial, done literally: every file of it is made, and every command of it is run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.cli import main
from conformance.isolation.dispatch import close_all
from conformance.registration.registry import Registry

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
FEW = ("-n", "15", "--suite", "none", "--dtype", "float32")
"""What a command of the tutorial is given besides, so that the test takes a second."""
NEEDS = {"Numba": ("numba",), "PyTorch": ("torch",)}


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the blocks of each section, with their languages, by its heading."""
    text = TUTORIAL.read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    blocks = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {head: blocks.findall(body) for head, body in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Iterator[Path]:
    """Work in an empty folder, where `python` is this one."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    for made in (home, programs):
        made.mkdir()
    (programs / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(home)
    yield home
    close_all()


def run(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command, and return its exit status and what it said."""
    program, *arguments = shlex.split(command)
    if program == "convformance":
        few = FEW if arguments[0] == "run" else ()
        status = main([*arguments, *few])
        close_all()
        return status, capsys.readouterr().out
    if program == "pytest":
        arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        program = sys.executable
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def skip_without(head: str) -> None:
    for word, modules in NEEDS.items():
        if word in head and not all(map(importlib.util.find_spec, modules)):
            pytest.skip(f"{', '.join(modules)} is not installed")
    if head.endswith("in C") and shutil.which("cc") is None:
        pytest.skip("no C compiler")


@pytest.mark.parametrize("head", [head for head in sections() if "test suite" not in head])
def test_each_form_does_what_the_tutorial_says(
    head: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without(head)
    status, said = 0, ""
    for language, block in sections()[head]:
        if language == "python":
            (name,) = re.findall(r"^# (\w+\.py)$", block.splitlines()[0])
            (folder / name).write_text(block, encoding="utf-8")
        elif language == "console":
            for command in block.splitlines():
                status, said = run(command, capsys)
        else:
            assert language == "text"
            lines = [line.strip() for line in block.splitlines()]
            assert [] == [line for line in lines if line not in said]
            assert status == int("violates" in lines[0]), said


def test_the_test_of_the_tutorial_tells_of_invalid_calls(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, (_, first) = [b for b in sections()["A function in NumPy"] if b[0] == "python"]
    (_, test), (_, command) = sections()["In your test suite"]
    (folder / "first.py").write_text(first, encoding="utf-8")
    (folder / "test_first.py").write_text(test, encoding="utf-8")
    status, said = run(command.strip(), capsys)

    assert status == 1
    assert "1 failed" in said
    assert "REJECT-" in said


def test_every_block_of_the_tutorial_is_of_a_kind_that_is_run() -> None:
    kinds = {language for blocks in sections().values() for language, _ in blocks}

    assert kinds == {"python", "console", "text"}
    assert TUTORIAL.read_text(encoding="utf-8").count("\n```") == 2 * sum(
        map(len, sections().values())
    )
