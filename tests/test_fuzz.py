"""Fuzzing finds what is rare, once, keeps it, and judges it first the next time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases.ranges import Ranges
from conformance.cases.validity import is_valid
from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.fuzzing import fuzz as fuzzing
from conformance.fuzzing.drawing import Request, draw, pairs_of
from conformance.fuzzing.fuzz import Fuzzed, fuzz
from conformance.fuzzing.judged import judge_block
from conformance.implementations.im2col import conv
from conformance.known.difference import KnownDifference
from conformance.registration.implementation import Implementation
from conformance.runfile.file import RunFile
from conformance.runfile.findings import FUZZ_FOLDER, TABLES, Drawn, Finding
from conformance.runfile.reading import read
from conformance.runfile.tables import Cell
from conformance.running import adapter_check
from conformance.running.plan import Plan, fixed, resolve
from conformance.running.run import run
from conformance.running.selection import Selection

RARE = Case.parse("conv1d:float32:x=1,1,7:w=1,1,1:stride=3:padding=0/2:integers@0")


def wrong(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    """Compute a convolution that is wrong with a stride of 3 and padding at the end alone."""
    out = np.array(conv(x, w, bias, **parameters))
    ((before, after),) = parameters["padding"]
    if parameters["stride"] == (3,) and after > before:
        out.flat[0] += 1
    return out


def named(name: str, function: Callable[..., Any] = conv, **declared: Any) -> Implementation:
    return Implementation(
        name=name,
        origin=__file__,
        module=__name__,
        dtypes=("float32",),
        functions={"conv": function},
        **declared,
    )


def begin(output: Path, *implementations: Implementation, **chosen: Any) -> Fuzzed:
    """Fuzz convolutions in one dimension; ``blocks`` ends it after so many."""
    blocks, show = chosen.pop("blocks", 0), chosen.pop("show", lambda status: None)

    def stop(status: fuzzing.Status) -> None:
        show(status)
        if status.blocks == blocks:
            raise KeyboardInterrupt

    selection = Selection(
        implementations,
        operators="conv",
        dims=1,
        dtypes="float32",
        checks=("result", "layout", "special"),
        suites=(),
        isolate=False,
        output=output,
    )
    return fuzz(selection, show=stop, **chosen)


def told(findings: Iterable[Finding]) -> set[tuple[object, ...]]:
    return {(f.implementation, f.requirement, f.needs, f.case, f.count, f.state) for f in findings}


def test_what_is_rare_is_found_once_and_shrunk(tmp_path: Path) -> None:
    fuzzed = begin(tmp_path, named("right"), named("wrong", wrong), until_found=1)
    again = begin(tmp_path, named("right"), named("wrong", wrong), blocks=4)

    (finding,) = fuzzed.findings
    case = Case.parse(finding.case)
    assert ("wrong", "found", 1) == (finding.implementation, finding.state, fuzzed.exit_status)
    assert ((3,), 1, 1) == (case.stride, case.x[0], case.x[1])
    (kept,) = again.findings
    assert ("found again", 0, finding.case) == (kept.state, again.new, kept.case)
    assert kept.count > finding.count


def test_a_finding_is_tried_on_all_and_first_the_next_time(tmp_path: Path) -> None:
    begin(tmp_path, named("wrong", wrong), until_found=1)
    drawn: list[str] = []
    fuzzed = begin(
        tmp_path,
        named("right"),
        named("wrong", wrong),
        blocks=1,
        show=lambda status: drawn.append(status.activity),
    )

    tried = {row.implementation: row.status for row in fuzzed.tried}
    assert {"right": "conforms", "wrong": "violates"} == tried
    assert ["conv 1-D float32"] == drawn


def test_what_was_repaired_is_gone_and_is_found_if_it_comes_back(tmp_path: Path) -> None:
    begin(tmp_path, named("wrong", wrong), until_found=1)
    repaired = begin(tmp_path, named("wrong"), blocks=2)
    assert (["gone"], 0) == ([f.state for f in repaired.findings], repaired.exit_status)

    back = begin(tmp_path, named("wrong", wrong), until_found=1)
    assert (["found"], 1) == ([f.state for f in back.findings], back.exit_status)


def test_a_known_difference_of_one_is_tried_on_the_others(tmp_path: Path) -> None:
    known = KnownDifference(
        "RESULT-2", case=RARE.id, where={"operator": "conv", "stride": 3}, reason="as known"
    )
    fuzzed = begin(tmp_path, named("known", wrong, known=(known,)), named("other", wrong), blocks=1)

    assert {"known", "other"} == {row.implementation for row in fuzzed.tried}
    assert ["other"] == [finding.implementation for finding in fuzzed.findings]


def test_ctrl_c_keeps_everything(tmp_path: Path) -> None:
    fuzzed = begin(tmp_path, named("wrong", wrong), blocks=8)
    contents = read(fuzzed.path, TABLES)

    assert fuzzed.interrupted
    assert 8 == len(contents.rows(Drawn))
    assert told(fuzzed.findings) == told(contents.rows(Finding))
    assert fuzzed.judgments == sum(row.judged for row in contents.rows(Drawn))


def test_an_interrupt_within_a_block_keeps_what_the_block_has_found(
    tmp_path: Path,
) -> None:
    calls = 0

    def interrupted(*arguments: Any, **parameters: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return wrong(*arguments, **parameters) + 1

    fuzzed = begin(tmp_path, named("wrong", interrupted))

    assert fuzzed.interrupted
    assert fuzzed.findings
    assert told(fuzzed.findings) == told(read(fuzzed.path, TABLES).rows(Finding))


def test_the_largest_error_only_grows_and_its_case_shows_it(tmp_path: Path) -> None:
    shares = []
    for _ in range(3):
        fuzzed = begin(tmp_path, named("right"), blocks=3)
        shares += [row.share for row in fuzzed.worst]

    assert sorted(shares) == shares
    assert 0 < shares[-1] <= 1
    assert is_valid(Case.parse(fuzzed.worst[0].case))


def test_a_block_draws_the_same_cases_again_and_other_blocks_others() -> None:
    ranges = Ranges(dtypes=("float32",))
    request = Request(4, "conv", 2, "float32", seed=0, cases=12)
    first = draw(request, ranges)

    assert first == draw(request, ranges)
    assert not {*first} & {*draw(replace(request, number=6), ranges)}
    assert all(map(is_valid, first))
    assert 12 == len(first)


def test_rare_classes_are_drawn_first() -> None:
    ranges = Ranges(dtypes=("float32",))
    request = Request(4, "conv", 1, "float32", seed=0, cases=12)
    met = Counter(pair for case in draw(request, ranges) for pair in pairs_of(case))
    others = draw(replace(request, met=dict.fromkeys(met, 1000)), ranges)

    new = {pair for case in others for pair in pairs_of(case)} - {*met}
    old = {*met} - {pair for case in others for pair in pairs_of(case)}
    assert len(new) > len(old) > 0 or len(new) > 50


def test_a_run_judges_first_what_fuzzing_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adapter_check, "check_adapter", lambda *given: None)  # comes before
    calls: list[tuple[Any, ...]] = []

    def recorded(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        calls.append((x.shape, w.shape, parameters["stride"], parameters["padding"]))
        return conv(x, w, bias, **parameters)

    (finding,) = begin(tmp_path / FUZZ_FOLDER, named("wrong", wrong), until_found=1).findings
    case = Case.parse(finding.case)
    shape = case.x, case.w, case.stride, case.padding
    few: dict[str, Any] = {"operators": "conv", "dtypes": "float32", "checks": "result"}
    few |= {"suites": (), "examples": 8, "tier": "smoke", "isolate": False, "seconds": 5.0}

    def classes(**chosen: Any) -> list[Any]:
        calls.clear()
        found = run([named("right", recorded)], **(few | chosen))
        return [row.by_class.get("findings of fuzzing") for row in read(found.path).rows(Cell)]

    assert [(1, 1), None, None] == classes()
    assert shape == calls[0]
    assert [(1, 1), None, None] == classes(resume=True)
    assert [None] == classes(dims=1, cache=False)
    assert [(1, 1)] == classes(dims=1, findings=FUZZ_FOLDER, cache=False)
    for message, chosen in (
        (r"the findings of fuzzing differ; choose", {"cache": False, "resume": True}),
        (r"findings nowhere.*: no such file; `convformance fuzz` writes", {"findings": "nowhere"}),
    ):
        with pytest.raises(ConformanceError, match=message):
            classes(dims=1, **chosen)


def planned(*implementations: Implementation, **chosen: Any) -> Plan:
    usual: dict[str, Any] = {"operators": "conv", "dims": 1, "dtypes": "float32", "suites": ()}
    selection = fixed(Selection(implementations, isolate=False, **(usual | chosen)))
    return resolve(selection, implementations)


def test_a_cell_where_something_was_found_is_drawn_more_often(tmp_path: Path) -> None:
    plan = planned(named("right"), dims=(1, 2, 3))
    with closing(RunFile(tmp_path / "fuzz.sqlite", TABLES, resume=True)) as file:
        loop = fuzzing._Fuzz(plan, file, None)
        for known in loop.cells.values():
            known.blocks = 5
        loop.cells["conv", 2, "float32"].found = 3
        drawn = Counter(loop.next().dims for _ in range(60))

    assert {1, 2, 3} == {*drawn}
    assert drawn[2] > drawn[1] + drawn[3]


def test_a_case_that_reaches_new_lines_is_worth_changing() -> None:
    plan = planned(named("wrong", wrong), source=True)
    judged = judge_block(plan, Request(2, "conv", 1, "float32", seed=0, cases=60))

    entered = [case for case in judged.worth if case.stride == (3,)]
    assert any(after > before for case in entered for before, after in case.padding)
    changed = draw(Request(2, "conv", 1, "float32", 0, cases=8, parents=judged.worth), Ranges())
    assert {3} & {case.stride[0] for case in changed}


def test_the_command_says_what_it_found_and_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\nfrom conformance import implementation\n"
        "from conformance.implementations.im2col import conv as right\n"
        "@implementation('mine')\n"
        "def conv(x, w, bias, **parameters):\n"
        "    return right(x, w, bias, **parameters) + np.float32(x.shape[2] == 5)\n"
    )
    few = ("--plugin", "mine.py", "-o", "conv", "--dims", "1", "--dtype", "float32")
    status = main(("fuzz", *few, "--no-isolate", "--until-found", "1", "--json"))
    data = json.loads(capsys.readouterr().out)

    assert 1 == status
    assert "mine" == data["findings"][0]["implementation"]
    assert ",5:w=" in data["findings"][0]["case"]
    for text in ("2x", "0s", "h", "1h2"):
        assert 2 == main(("fuzz", *few, "--for", text))
        assert "a time such as 90s" in capsys.readouterr().err or text == "0s"


def test_the_next_fuzzing_goes_on_with_what_steered_and_tries_nothing_twice(tmp_path: Path) -> None:
    known = KnownDifference(
        "RESULT-2", case=RARE.id, where={"operator": "conv", "stride": 3}, reason="as known"
    )
    both = named("known", wrong, known=(known,)), named("other")
    begin(tmp_path, *both, blocks=4)
    plan = planned(*both)
    with closing(RunFile(tmp_path / "fuzz.sqlite", TABLES, resume=True)) as file:
        loop = fuzzing._Fuzz(plan, file, None)
        upgraded = fuzzing._Fuzz(planned(*both, named("new")), file, None)

    (cell,) = loop.cells.values()
    assert 3 == cell.blocks, "drawn ones: the first was given"
    assert {"known", "other"} >= {*cell.worst} >= {"other"}
    assert 100 < len(loop.met["conv", 1])
    assert not loop.queue
    assert 4 == loop.number
    assert [(RARE,)] == [request.given for request in upgraded.queue]
