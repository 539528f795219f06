"""The differences page: who does what about each requirement, and scripts that show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance import KnownDifference, Unsupported
from conformance.case import Case
from conformance.cli import main
from conformance.judging import VIOLATES, Prepared, Verdict
from conformance.registration.registry import get
from conformance.reports import Report, load
from conformance.reports.differences import DEFECT, differences
from conformance.reports.differences_html import differences_html, prose
from conformance.reports.differences_markdown import differences_markdown
from conformance.runfile.reading import read
from conformance.runfile.tables import Known, Violation
from conformance.runfile.words import KNOWN_DIFFERENCE
from conformance.running.run import run
from conformance.scripts.engine import engine_script
from conformance.scripts.standalone import script_of
from tests.defects import kernels, unregistered
from tests.reproduction import reproduces, shows

pytestmark = pytest.mark.usefixtures("cache_folder")


def without_dilation(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    """Wrong where there is dilation: the last taps of each window are left out."""
    y = kernels.conv(x, w, bias, **parameters)
    return y + (max(parameters["dilation"]) > 1)


def undilated_only(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    if max(parameters["dilation"]) > 1:
        raise Unsupported("no dilation")
    return kernels.conv(x, w, bias, **parameters)


KNOWN_ONE = KnownDifference(
    "CONV-5",
    case="conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0",
    where={"operator": "conv", "dilation": ">1"},
    reason="adds one where there is dilation",
    link="https://example.org/7",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run of five convolutions that treat dilation differently."""
    ones = [
        unregistered("right", {"conv": kernels.conv}, {}),
        unregistered("wrong", {"conv": without_dilation}, {"version": "1.2"}),
        unregistered("expected", {"conv": without_dilation}, {"known": [KNOWN_ONE]}),
        unregistered("partial", {"conv": undilated_only}, {}),
        unregistered("pools", {"max_pool": kernels.max_pool}, {}),
    ]
    folder = tmp_path_factory.mktemp("run")
    found = run(
        ones,
        operators=["conv"],
        dims=[1],
        dtypes=["float32"],
        checks=["result"],
        suites=[],
        examples=40,
        output=folder,
        cache=False,
    )
    return load(found.path)


def test_each_implementation_has_its_part(report: Report) -> None:
    (difference,) = differences(report)

    assert ("CONV-5", "conv", DEFECT) == (
        difference.requirement,
        difference.operator,
        difference.kind,
    )
    assert {
        "right": "conforms",
        "wrong": "violates",
        "expected": KNOWN_DIFFERENCE,
        "partial": "unsupported",
        "pools": "not implemented",
    } == {party.implementation: party.does for party in difference.parties}


def test_who_fails_shows_the_case_and_the_exact_numbers(report: Report) -> None:
    (difference,) = differences(report)
    wrong = next(party for party in difference.failing if party.implementation == "wrong")

    assert difference.case == wrong.case
    assert "worst at [0, 0, 0]: got" in wrong.message
    assert "1-D float32" in wrong.detail
    assert wrong.script


def test_a_known_difference_says_why(report: Report) -> None:
    (difference,) = differences(report)
    expected = next(party for party in difference.failing if party.implementation == "expected")

    assert "adds one where there is dilation https://example.org/7" in expected.detail


def test_an_entry_of_another_dtype_hides_nothing(report: Report) -> None:
    (entry,) = report.known
    wide = replace(entry, case=entry.case.replace("float32", "float64"))

    stances = [
        [party.does for party in found.parties if party.implementation == "expected"]
        for known in ((entry, wide), (wide,))
        for found in differences(replace(report, known=known))
    ]
    assert [[KNOWN_DIFFERENCE] * 2, ["violates", KNOWN_DIFFERENCE]] == stances


@pytest.mark.parametrize("render", [differences_markdown, differences_html])
def test_both_forms_show_everybody_and_the_sentence(report: Report, render: Any) -> None:
    page = render(report)

    for text in ("CONV-5", "right", "wrong", "expected", "partial", "pools", "import numpy"):
        assert text in page
    assert "input positions apart" in page
    assert "no dilation" in page


def test_a_run_without_differences_says_so(tmp_path: Path) -> None:
    right = unregistered("right", {"conv": kernels.conv}, {})
    chosen: dict[str, Any] = {"operators": ["conv"], "dims": [1], "dtypes": ["float32"]}
    found = run([right], **chosen, checks=["result"], suites=[], examples=20, output=tmp_path)

    page = differences_markdown(load(found.path))

    assert "No requirement on which 1 implementation differ." in page


def test_the_command_writes_what_the_name_says(report: Report, tmp_path: Path) -> None:
    assert 0 == main(["report", report.path, "--differences", str(tmp_path / "both")])
    assert 0 == main(["report", report.path, "--differences", str(tmp_path / "one.html")])

    assert {"differences.md", "differences.html"} == {p.name for p in (tmp_path / "both").iterdir()}
    assert (tmp_path / "one.html").read_text().startswith("<!doctype html>")


def test_another_kind_of_file_is_refused(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["report", report.path, "--differences", str(tmp_path / "page.pdf")])

    assert "ends in .pdf; name a file that ends in .md or .html" in capsys.readouterr().err


def test_a_requirements_text_is_read_as_paragraphs_and_formulas() -> None:
    expected = [
        ("p", [("text", "With "), ("code", "s"), ("text", ", one sees")]),
        ("pre", [("text", "y = x\n  + 1")]),
    ]

    assert expected == prose("With `s`,\none sees\n\n    y = x\n      + 1\n")


def test_every_engine_script_of_a_run_shows_what_it_claims(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    found = run(
        ["torch", "tensorflow"],
        operators=["conv_transpose", "max_pool"],
        dims=[1, 2],
        dtypes=["float16", "float32"],
        checks=["result", "special"],
        suites=["edge"],
        examples=60,
        seconds=0.5,
        output=tmp_path,
    )
    contents = read(found.path)
    known = [row for row in contents.rows(Known) if row.message]  # those of the cells of this run
    rows: list[Known | Violation] = [*known, *contents.rows(Violation)]

    assert {"torch", "tensorflow"} == {row.implementation for row in rows}
    for row in rows:
        script = row.engine_script
        assert 10 >= len(script.splitlines()) > 0
        assert "conformance" not in script
    for row in {(row.implementation, row.requirement): row for row in rows}.values():
        case, script = Case.parse(row.case), row.engine_script
        implementation, dtype = get(row.implementation), row.requirement == "RESULT-4"
        assert reproduces(implementation, case, script, dtype=dtype), row.case


# --- reproduction ---------------------------------------------------------------------------------

CASE = Case.parse("conv1d:float32:x=1,1,2:w=1,1,1:integers@0")
RIGHT = f"import numpy as np\ngot = np.array({Prepared.of(CASE).reference.exact.tolist()}, 'f4')"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("import numpy as np\ngot = np.zeros((1, 1, 2), np.float32)", "2 of 2 elements differ"),
        ("import numpy as np\ngot = np.zeros((1, 2), np.float32)", "returned shape (1, 2)"),
        ("got = None", "returned shape ()"),
        ("raise OSError('no')", "raised OSError: no"),
        ("import os\nos._exit(3)", "ended the process with 3"),
        ("import os\nos._exit(0)", "ended the process with 0"),
        (
            "import atexit, numpy as np\ngot = np.zeros((1, 2), np.float32)\n"
            "atexit.register(print, 'a last word')",
            "returned shape (1, 2)",
        ),
        ("import numpy as np\ngot, exact = np.float32(2), 1.0", "got 2.0, exact 1.0"),
        ("import numpy as np\ngot, exact = np.float32(1), 1.0", ""),
        (f"{RIGHT}.astype(float)", ""),  # an engine may show its numbers as it likes
    ],
)
def test_what_a_script_shows_is_judged(script: str, expected: str) -> None:
    one = unregistered("mine", {"conv": kernels.conv}, {})

    told = reproduces(one, CASE, script)

    assert told.startswith(expected)
    assert bool(expected) == bool(told)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"{RIGHT}.astype(float)", "returned dtype float64 where float32 is due"),
        (RIGHT, ""),
    ],
)
def test_the_dtype_is_judged_where_that_is_to_be_shown(script: str, expected: str) -> None:
    one = unregistered("mine", {"conv": kernels.conv}, {})

    assert expected == reproduces(one, CASE, script, dtype=True)


def test_a_script_shows_the_dtype_where_that_is_wrong() -> None:
    one = unregistered("mine", {"conv": kernels.conv}, {"snippet": lambda call: ["got = x * w"]})
    prepared = Prepared.of(CASE)

    dtype, shape = (Verdict("mine", CASE, VIOLATES, r) for r in ("RESULT-4", "RESULT-3"))

    script = engine_script(one, prepared, dtype)

    assert 'print("got", got.dtype, "where float32 is due")' == script.splitlines()[-1]
    assert "got.dtype" not in engine_script(one, prepared, shape)


def test_a_script_that_hangs_is_ended() -> None:
    one = unregistered("mine", {"conv": kernels.conv}, {})

    assert "did not end within 0.5 s" == reproduces(one, CASE, "while True: pass", seconds=0.5)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("print('mine: violates REPEAT-2: other bits')", "mine: violates REPEAT-2: other bits"),
        ("print('mine: conforms')", ""),
        ("print('got\\n[1.]\\nexact\\n[1.]\\ndiffers by 0.0')", ""),
        ("print('differs by 0.5')", "differs by 0.5"),
        ("print('before: 1\\nafter:  2')", "1 -> 2"),
        ("print('before: 1\\nafter:  1')", ""),
        ("print('call 7 differs from the first')", "call 7 differs from the first"),
        ("print('accepted:', [])", "accepted: []"),
        ("import os; os._exit(3)", "ended the process with 3: "),
        ("check = max; case = ''\nprint(check(case, 'so wrong'))", "so wrong"),
    ],
)
def test_what_a_script_of_several_calls_says_is_wrong_is_read(script: str, expected: str) -> None:
    assert expected == shows(script)


def test_the_script_of_a_convention_makes_its_probes() -> None:
    one = get("naive")
    case = Case.parse("max_pool1d:float32:x=1,1,2:kernel=2:nan@0")
    made = script_of(one, case, Verdict("naive", case, VIOLATES, "DECLARE-5"))

    assert "mismatches(one, probes)" in made
    assert "" == shows(made)
