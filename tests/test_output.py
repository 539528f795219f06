"""What is written where two runs, a full disk or a closed pipe are in the way: nothing is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main
from conformance.errors import RunFileError
from conformance.registration.registry import Registry
from conformance.runfile import file as runfile
from conformance.runfile.file import RunFile
from conformance.runfile.reading import read
from conformance.runfile.tables import Gap

TINY = (
    *("-i", "im2col", "--tier", "smoke", "--examples", "5", "--suite", "none"),
    *("--operator", "conv", "--dims", "1", "--check", "result"),
)
RUN = Path("convformance-run/run.sqlite")
GAP = Gap(implementation="mine", operator="conv", reason="no", count=2)


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(*arguments: str) -> int:
    return main(("run", *TINY, *arguments))


def seed_of(path: Path) -> Any:
    return read(path).facts.get("seed")


def one_line(err: str) -> str:
    """Return the only line of stderr but those of progress."""
    (line,) = [line for line in err.splitlines() if " %  " not in line]
    return line


# --- two runs at once -----------------------------------------------------------------------------


def test_a_second_run_into_the_same_folder_is_refused_in_a_line_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("--seed", "7")
    capsys.readouterr()
    with closing(RunFile(RUN)) as other:
        other.record(seed=8, finished="now")
        other.add([GAP])
        status = run("--seed", "9")
        out, err = capsys.readouterr()

        assert (2, "") == (status, out)
        assert "another run is writing into that folder; wait" in one_line(err)
        assert 7 == seed_of(RUN)
    assert 8 == seed_of(RUN)


def test_a_lock_ends_with_its_process_and_leaves_no_file(folder: Path) -> None:
    code = "import os; from pathlib import Path; from conformance.runfile.lock import lock\n"
    code += "lock(Path('.')); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=False)

    RunFile(folder / "run.sqlite").close()

    assert ["run.sqlite"] == os.listdir(folder)


def test_a_run_takes_the_place_of_the_one_before_when_it_is_closed(folder: Path) -> None:
    for seed in (1, 2):
        file = RunFile(folder / "run.sqlite")
        file.record(seed=seed)
        file.add([GAP])
        if seed == 2:
            assert 1 == seed_of(folder / "run.sqlite")
        file.close()

        assert seed == seed_of(folder / "run.sqlite")
    assert ["run.sqlite"] == os.listdir(folder)


def test_an_interrupted_run_that_judged_nothing_leaves_the_one_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--seed", "7")
    capsys.readouterr()

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("conformance.running.run.run_block", interrupt)

    assert 130 == run("--seed", "8")
    assert "convformance: interrupted" == one_line(capsys.readouterr().err)
    assert 7 == seed_of(RUN)
    assert {"run.sqlite", "report.md", "report.html"} == set(os.listdir(RUN.parent))


def test_a_journal_of_a_killed_run_does_no_harm_to_the_next(folder: Path) -> None:
    code = "import os; from pathlib import Path\n"
    code += "from conformance.runfile.file import RunFile\n"
    code += "file = RunFile(Path('run.sqlite')); database = file._database\n"
    code += "database.execute('PRAGMA cache_size = 1'); database.execute('BEGIN')\n"
    code += "rows = [(str(i), '\"' + 'x' * 999 + '\"') for i in range(999)]\n"
    code += "database.executemany('INSERT INTO run VALUES (?, ?)', rows); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=False)
    assert (folder / "run.sqlite-wal").stat().st_size > 0

    file = RunFile(folder / "run.sqlite")
    file.add([GAP])
    file.close()

    assert (GAP,) == read(folder / "run.sqlite").rows(Gap)
    assert ["run.sqlite"] == os.listdir(folder)


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run file not grow beyond its empty tables, of which each has 512 bytes."""
    text = f"PRAGMA page_size = 512;{runfile.schema()}PRAGMA max_page_count = 1;"
    monkeypatch.setattr(runfile, "schema", lambda tables: text)


def test_a_full_disk_ends_a_run_in_a_line_and_keeps_the_run_before(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--seed", "7")
    capsys.readouterr()
    request.getfixturevalue("small_disk")

    status = run("--seed", "8")
    out, err = capsys.readouterr()

    assert (2, "") == (status, out)
    assert "database or disk is full" in one_line(err)
    assert 7 == seed_of(RUN)
    assert {"run.sqlite", "report.md", "report.html"} == set(os.listdir(RUN.parent))


def test_rows_that_do_not_fit_are_one_error_and_those_before_stay(
    folder: Path, small_disk: None
) -> None:
    file = RunFile(folder / "run.sqlite")
    file.add([GAP])
    with pytest.raises(RunFileError, match=r"run\.sqlite: cannot be written any more \(.*full\)$"):
        file.add([GAP] * 10_000)
    file.close()

    assert (GAP,) == read(folder / "run.sqlite").rows(Gap)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no text be written into files."""

    def fail(path: Path, *arguments: object, **options: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        yield


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_hides_no_verdict(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    expected = run("--output", "elsewhere")
    capsys.readouterr()
    request.getfixturevalue("full_disk")

    status = run(*options)
    out, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if "warning" in line]

    assert expected == status
    assert "im2col" in out
    assert "report.md, " not in out
    assert ["report.md", "report.html"] == [Path(line.split("'")[1]).name for line in warnings]
    assert all("No space left on device" in line for line in warnings)
    assert ["run.sqlite"] == os.listdir(RUN.parent)


def test_a_report_that_is_asked_for_and_cannot_be_written_is_an_error(
    full_disk: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    capsys.readouterr()

    assert 2 == main(["report", "--html", "page.html"])
    assert "No space left on device" in one_line(capsys.readouterr().err)
    assert not Path("page.html").exists()


def test_a_report_replaces_the_file_that_a_link_names_and_writes_into_what_is_no_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run()
    Path("page.md").write_text("old")
    Path("link.md").symlink_to("page.md")

    assert 0 == main(["report", "--markdown", "link.md"])
    assert Path("link.md").is_symlink()
    assert "im2col" in Path("page.md").read_text()
    assert 0 == main(["report", "--markdown", os.devnull])
    assert not Path(os.devnull).is_file()


# --- a closed pipe --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "--json"),
        ("run", *TINY),
        ("run", *TINY, "--json"),
        ("replay", "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0", "im2col"),
        ("report", "run/run.sqlite"),
        ("report", "run/run.sqlite", "--html", "-"),
        ("spec",),
        ("time", "--list-layers"),
        ("--help",),
        ("run", "--help"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-1:]),
)
def test_a_closed_pipe_ends_every_command_as_sigpipe_would_and_in_silence(
    arguments: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if "run/run.sqlite" in arguments:
        run("--output", "run")
        capfd.readouterr()
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "conformance", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    assert 141 == done.returncode
    assert [] == [line for line in done.stderr.splitlines() if " %  " not in line]
    if arguments[0] == "run" and "--help" not in arguments:
        assert {"run.sqlite", "report.md", "report.html"} == set(os.listdir(RUN.parent))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_result_that_cannot_be_shown_is_an_error_of_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "conformance", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert 2 == done.returncode
    assert "convformance: error: cannot write: No space left on device\n" == done.stderr


def test_completion_of_a_shell_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    environment = os.environ | {"_CONVFORMANCE_COMPLETE": "bash_source"}
    command = [sys.executable, "-m", "conformance"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert "COMP_WORDS" in done.stdout
