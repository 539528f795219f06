"""Runs that were stopped, cut into shards or made on machines: no block is lost or twice."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling.caller import MadeCall, Request
from conformance.case import Case
from conformance.checks.conventions import Probe
from conformance.cli import main
from conformance.errors import ConformanceError, RunFileError
from conformance.implementations.im2col import conv
from conformance.judging import Verdict
from conformance.registration.implementation import Implementation
from conformance.reports import load
from conformance.reports.markdown import markdown
from conformance.runfile.file import RunFile
from conformance.runfile.reading import read, read_blocks, read_facts
from conformance.runfile.tables import TABLES, Cell, Violation
from conformance.runfile.tables import Implementation as ImplementationRow
from conformance.running import causes
from conformance.running import run as running
from conformance.running.block import Block
from conformance.running.cell import Cell as RunningCell
from conformance.running.gathered import Gathered
from conformance.running.layers import LayerVerdict
from conformance.running.merging import merge
from conformance.running.shrink import shrink
from conformance.running.stored import packed, unpacked
from conformance.running.units import Unit, in_shard

BLOCKS = ["conv 1-D", "conv 2-D", "conv 3-D"]


def without_padding(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    """Compute a convolution that is wrong in the first element of a padded result."""
    out = np.array(conv(x, w, bias, **parameters))
    if any(map(any, parameters["padding"])):
        out.flat[0] += 1
    return out


WRONG = Implementation(
    name="without-padding",
    origin=__file__,
    module=__name__,
    dtypes=("float32",),
    functions={"conv": without_padding},
)


def judge(output: Path, **chosen: Any) -> running.Run:
    """Judge a right implementation and a wrong one on few cases in one to three dimensions."""
    usual: dict[str, Any] = {"operators": "conv", "dtypes": "float32", "checks": "result"}
    usual |= {"suites": (), "examples": 8, "tier": "smoke", "isolate": False, "seconds": 5.0}
    with pytest.MonkeyPatch.context() as patched:  # on a busy machine all is shrunk, too
        patched.setattr(causes, "EACH_SECONDS", 1000.0)
        patched.setattr(causes, "shrink", lambda *given, seconds: shrink(*given, seconds=1000.0))
        return running.run(["im2col", WRONG], output=output, **(usual | chosen))


def judge_and_die(output: str, after: int) -> None:
    """Judge, and kill this process when so many blocks are written."""
    whole, done = running.run_block, []

    def run_block(*arguments: Any) -> Any:
        if len(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(whole(*arguments))
        return done[-1]

    running.run_block = run_block
    judge(Path(output))


def rows(path: Path) -> dict[str, set[Any]]:
    """Return what a run file says, but for times and commands."""
    contents = read(path)
    return {
        table.table: {
            tuple(getattr(row, f.name) for f in fields(row) if f.name != "seconds")
            for row in contents.rows(table)
        }
        for table in TABLES
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a run that nothing stopped."""
    return judge(tmp_path_factory.mktemp("whole")).path


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the files of the two halves of that run."""
    return [judge(tmp_path_factory.mktemp("shard"), shard=f"{index}/2").path for index in (1, 2)]


# --- going on -------------------------------------------------------------------------------------


def test_a_run_that_was_killed_goes_on_where_it_stopped(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"from test_resume import judge_and_die; judge_and_die({str(tmp_path)!r}, 2)"
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", code], env=surroundings, check=False)
    assert -signal.SIGKILL == ended.returncode
    path = tmp_path / "run.sqlite"
    assert BLOCKS[:2] == [name for name, _, _ in read_blocks(path)]
    assert "finished" not in read_facts(path)

    judged, usual = [], running.run_block

    def run_block(plan: Any, operator: str, dims: int, *others: Any) -> Any:
        judged.append(f"{operator} {dims}-D")
        return usual(plan, operator, dims, *others)

    monkeypatch.setattr(running, "run_block", run_block)
    result = judge(tmp_path, resume=True)

    assert BLOCKS[2:] == judged
    assert rows(whole) == rows(path)
    assert {"im2col": "conforms", "without-padding": "violates"} == result.verdicts
    assert ["run.sqlite"] == os.listdir(tmp_path)
    again = judge(tmp_path, resume=True)
    assert BLOCKS[2:] == judged, "a run that is finished judges nothing again"
    assert (result.verdicts, rows(whole)) == (again.verdicts, rows(path))


def test_the_order_in_which_blocks_come_changes_nothing_that_is_concluded(
    whole: Path, tmp_path: Path
) -> None:
    kept = [(unpacked(content, Block), name, n) for name, n, content in read_blocks(whole)]
    (found,) = (v for block, _, _ in kept[:1] for cell in block.cells for v in cell.violations)

    def concluded(order: tuple[int, ...]) -> dict[str, set[Any]]:
        path = tmp_path / "".join(map(str, order)) / "run.sqlite"
        with closing(RunFile(path)) as file:
            gathered = Gathered(file)
            for block, name, number in (kept[index] for index in order):
                block = unpacked(packed(block), Block)
                (pair,) = block.pairs
                block.pairs = [replace(pair, largest=1.0, largest_case=f"a case in {name}")]
                shown = replace(found, requirement="REPEAT-6", message=f"found in {name}")
                block.accusations = [("without-padding", shown)]
                block.notes["without-padding"] = f"given up in {name}"
                gathered.take(block, name, number)
            file.add(gathered.conclusion())
            assert {"without-padding": "given up in conv 3-D"} == gathered.notes
            assert [1, 1, 2, 2, 3, 3] == [cell.dims for cell in gathered.cells]
        return rows(path)

    first = concluded((0, 1, 2))
    (accused,) = (row for row in first["violation"] if "REPEAT-6" in row)
    assert "found in conv 1-D" in accused
    assert all(first == concluded(order) for order in ((2, 1, 0), (1, 2, 0)))


def test_a_run_of_other_cases_is_not_gone_on_with(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(whole.read_bytes())

    with pytest.raises(ConformanceError, match=r"cannot be resumed: seed was 0, and is 3; choose"):
        judge(tmp_path, resume=True, seed=3)
    assert rows(whole) == rows(path)
    assert read_facts(whole) == read_facts(path)


def test_a_run_that_was_not_begun_is_begun(tmp_path: Path) -> None:
    assert "violates" == judge(tmp_path, resume=True, dims=1).verdicts["without-padding"]


# --- shards and merging ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 8, 27])
def test_shards_are_all_blocks_each_once(count: int) -> None:
    units = [Unit(number, f"operator{number // 3}", number % 3 + 1) for number in range(27)]
    dealt = [in_shard(units, f"{index}/{count}") for index in range(1, count + 1)]

    assert units == sorted((unit for shard in dealt for unit in shard), key=lambda u: u.number)
    assert 1 >= max(map(len, dealt)) - min(map(len, dealt))


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "1", "1/2/3", "-1/2", "5/5"])
def test_what_is_no_shard_is_told_what_is(shard: str) -> None:
    units = [Unit(number, "conv", number + 1) for number in range(3)]
    with pytest.raises(ConformanceError, match=r"shard '?\S+'?[;:] (name one|there are 3 blocks)"):
        in_shard(units, shard)


def test_a_shard_that_is_none_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match="there are 3 blocks"):
        judge(tmp_path, shard="4/4")
    assert [] == os.listdir(tmp_path)


def test_all_shards_together_are_the_whole_run(
    whole: Path, shards: list[Path], tmp_path: Path
) -> None:
    assert 2 == sum(len(read_blocks(path)) == 1 for path in shards) + (
        len(read_blocks(shards[0])) == 2
    )
    merged = merge(list(map(str, reversed(shards))), tmp_path)

    assert rows(whole) == rows(merged.path)
    assert (1, ()) == (merged.exit_status, merged.missing)
    assert "finished" in read_facts(merged.path)


def test_a_merged_run_that_lacks_a_shard_says_so_and_goes_on(
    whole: Path, shards: list[Path], tmp_path: Path
) -> None:
    merged = merge([str(shards[0])], tmp_path)
    lacking = [name for name, _, _ in read_blocks(shards[1])]

    assert tuple(lacking) == merged.missing
    assert "finished" not in read_facts(merged.path)
    judge(tmp_path, resume=True)
    assert rows(whole) == rows(merged.path)


def test_labels_keep_machines_apart(shards: list[Path], tmp_path: Path) -> None:
    one = str(shards[0])
    with pytest.raises(ConformanceError, match=r"cannot be merged|has no label"):
        merge([one, f"gpu={one}"], tmp_path / "mixed")
    merged = merge([f"gpu={one}", f"cpu={one}"], tmp_path)

    names = {row.name for row in read(merged.path).rows(ImplementationRow)}
    both = ("im2col", "without-padding")
    assert {f"{name}@{label}" for name in both for label in ("gpu", "cpu")} == names
    cells = read(merged.path).rows(Cell)
    assert {row.implementation for row in cells} == names
    assert {row.implementation for row in read(merged.path).rows(Violation)} < names
    page = markdown(load(merged.path))
    assert re.search(r"machines.*gpu .* cores\), cpu .* cores\)", page)
    assert not re.search("identity|shape seconds", page)


def test_the_same_block_of_two_files_needs_labels(
    whole: Path, shards: list[Path], tmp_path: Path
) -> None:
    other = judge(tmp_path / "other", shard="1/2").path

    with pytest.raises(ConformanceError, match=r"both judged im2col on conv .-D; keep them apart"):
        merge([str(shards[0]), str(other)], tmp_path)
    assert () == merge([str(whole), str(whole)], tmp_path).missing  # it is one run, given twice


def test_what_is_no_run_is_not_merged(whole: Path, tmp_path: Path) -> None:
    other = RunFile(tmp_path / "other.sqlite")
    other.record(seed=0, finished="then")
    other.close()

    with pytest.raises(ConformanceError, match=r"other.sqlite: it has no blocks"):
        merge([str(other.path)], tmp_path / "merged")
    with pytest.raises(ConformanceError, match=r"label 'a/b' of x; letters, digits"):
        merge(["a/b=x"], tmp_path / "merged")


# --- files ----------------------------------------------------------------------------------------


def test_what_is_no_run_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    for content in (b"precious", b"SQLite format 3\0" + bytes(200)):
        path.write_bytes(content)
        for resume in (False, True):
            with pytest.raises(RunFileError, match=r"no run file, or a damaged one.* not replaced"):
                judge(tmp_path, resume=resume)
        assert content == path.read_bytes()


def test_a_file_that_was_cut_off_is_one_line(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(whole.read_bytes()[:-20_000])

    with pytest.raises(RunFileError, match=r"\A.*damaged, or was cut off.*\Z"):
        read(path)


def test_a_locked_file_is_one_line(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(whole.read_bytes())
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0))
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunFileError, match=r"\A.*another program has locked it; wait.*\Z"):
            read(path)


@pytest.mark.parametrize("act", [read, lambda path: judge(path.parent, resume=True)])
def test_a_file_of_a_newer_version_is_one_line_and_stays(
    whole: Path, tmp_path: Path, act: Callable[[Path], object]
) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(whole.read_bytes())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE run SET value = '99' WHERE key = 'format'")
    content = path.read_bytes()

    with pytest.raises(RunFileError, match=r"\A.*its format is 99; this version .* format 2.*\Z"):
        act(path)
    assert content == path.read_bytes()


def test_a_run_file_of_the_first_version_with_blocks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((Path(__file__).parent / "data/run_format_2_blocks.sql").read_text())
    before = rows(path)

    assert {"im2col": "conforms", "naive": "conforms"} == {
        row.name: row.verdict for row in read(path).rows(ImplementationRow)
    }
    assert "2 implementations" in markdown(load(path))
    assert ["conv 1-D"] == [name for name, _, _ in read_blocks(path)]
    with pytest.raises(ConformanceError, match=r"cannot be resumed: .* differ; choose"):
        judge(tmp_path, resume=True)
    assert before == rows(path)


def test_a_block_is_the_same_after_it_was_kept(whole: Path) -> None:
    for _, _, content in read_blocks(whole):
        block = unpacked(content, Block)

        assert block == unpacked(packed(block), Block)
        assert {"im2col", "without-padding"} == {cell.implementation for cell in block.cells}


def test_a_block_keeps_no_array_of_the_calls_that_were_made() -> None:
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,1:integers@0")
    calls = (MadeCall(Request("conv", (np.ones(99_999),), {}, "NCHW", case=case)),)
    one = Verdict("one", case, "violates", "RESULT-2", before=calls)
    both = replace(one, also=(one,))
    probe = Probe("ties", "DECLARE-5", "a", True, "b", False, 3, case, failed=both)
    cell = RunningCell("one", "conv", 1, "float32", uncovered=[both], conventions=[probe])
    block = Block("conv", 1, [cell], Counter(), [], Counter(), layers=[])
    block.layers.append(LayerVerdict("conv1", both, 1.0, 0.1))
    assert len(packed(block)) > 1000
    block.compact()

    assert block == unpacked(packed(block), Block)
    kept = unpacked(packed(block), Block)
    verdicts = [kept.layers[0].verdict, kept.cells[0].uncovered[0]]
    verdicts += [v.also[0] for v in verdicts]
    assert [()] * 4 == [verdict.before for verdict in verdicts]
    assert kept.cells[0].conventions[0].failed == both


@pytest.mark.parametrize("value", [os.system, Path("x"), np.arange(3), 3])
def test_a_run_file_from_elsewhere_runs_no_code(value: object) -> None:
    with pytest.raises(RunFileError):
        unpacked(zlib.compress(pickle.dumps(value)), Block)
    with pytest.raises(RunFileError, match="cannot be read"):
        unpacked(b"nonsense", Block)


# --- the commands ---------------------------------------------------------------------------------


def test_merge_prints_the_report_and_what_is_missing(
    shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(("merge", str(shards[0]), "--output", str(tmp_path)))
    out, err = capsys.readouterr()

    assert 1 == status
    assert "without-padding" in out
    assert "blocks are missing, so that the run is not complete: conv" in err
    assert {"run.sqlite", "report.md", "report.html"} == set(os.listdir(tmp_path))
    assert 2 == main(("merge", "nowhere.sqlite"))
    assert "nowhere.sqlite: no such file" in capsys.readouterr().err


def test_a_dry_run_says_what_the_run_then_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("-i", "im2col", "-o", "conv", "--dims", "1,2", "--dtype", "float32")
    few += ("--suite", "none", "--examples", "8", "--check", "result")
    assert 0 == main(("run", *few, "--dry-run", "--json"))
    forecast = json.loads(capsys.readouterr().out)
    assert [] == os.listdir(tmp_path)
    main(("run", *few))
    cells = read(tmp_path / "convformance-run" / "run.sqlite").rows(Cell)

    assert (2, 2) == (forecast["blocks"], forecast["cells"])
    assert sum(cell.reached for cell in cells) == forecast["judgments"] >= forecast["cases"] > 0
    assert 0 < forecast["seconds"] < 60
    assert 1 << 24 < forecast["memory"] < 1 << 34
    assert 0 == main(("run", *few, "--dry-run"))
    assert "about 0 s on 1 process, about " in capsys.readouterr().out
