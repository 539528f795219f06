"""Notebooks: edited cells replace what they registered, and results show as tables."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.case import Case
from conformance.errors import ConformanceError, RegistrationError
from conformance.judging import Verdict
from conformance.registration import registry
from conformance.registration.registry import Registry, get
from conformance.running.run import Run

CELL = """
from conformance import implementation
from conformance.implementations.im2col import conv as im2col

@implementation("mine"{declared})
def {operator}(x, w, bias, *, stride, padding, dilation, groups):
    parameters = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return im2col(x, w, bias, **parameters){more}
"""
CONV = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
SMALL = {
    "operators": "conv",
    "dims": 1,
    "dtypes": "float32",
    "checks": "result",
    "suites": "smoke",
    "examples": 20,
}

Cell = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Registry, cache_folder: Path
) -> Iterator[Path]:
    """Work in a folder of the test's own, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def source(declared: str = "", operator: str = "conv", more: str = "") -> str:
    return CELL.format(declared=declared, operator=operator, more=more)


@pytest.fixture(params=["/tmp/ipykernel_17/{}.py", "<ipython-input-{}>", "<stdin>", "/m/cell_{}_"])
def cell(request: pytest.FixtureRequest) -> Cell:
    """Return a function that runs a cell in the names of one notebook, under a new file name."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = iter(range(1, 99))

    def run(text: str) -> dict[str, Any]:
        exec(compile(text, request.param.format(next(count)), "exec"), names)
        return names

    return run


# --- registration ---------------------------------------------------------------------------------


def test_an_edited_cell_that_is_run_again_replaces_what_it_registered(cell: Cell) -> None:
    cell(source(more=" + 1"))
    first = conformance.judge("mine", CONV)
    names = cell(source(declared=', dtypes="float32"'))

    assert first.failed
    assert not conformance.judge("mine", CONV).failed
    assert names["conv"] is get("mine").functions["conv"]
    assert ("float32",) == get("mine").dtypes


def test_cells_add_functions_to_one_implementation(cell: Cell) -> None:
    cell(source())
    cell(source(operator="conv_transpose").replace("dilation, groups)", "dilation, groups, **_)"))
    cell(source(more=" + 1"))

    assert ("conv", "conv_transpose") == get("mine").operators
    assert conformance.judge("mine", CONV).failed


def test_a_file_with_the_name_of_a_cells_implementation_is_still_refused(
    cell: Cell, folder: Path
) -> None:
    cell(source())
    (folder / "other.py").write_text(source())

    with pytest.raises(RegistrationError, match=r"other\.py: the name 'mine' is taken by"):
        importlib.import_module("other")


def test_a_cell_with_the_name_of_a_files_implementation_is_refused(
    cell: Cell, folder: Path
) -> None:
    (folder / "other.py").write_text(source())
    importlib.import_module("other")

    with pytest.raises(RegistrationError, match=r"the name 'mine' is taken by .*other\.py"):
        cell(source())


def test_a_module_that_is_edited_and_reloaded_replaces_all_that_it_registered(folder: Path) -> None:
    file = folder / "mymodule.py"
    file.write_text(source(more=" + 1"))
    module = importlib.import_module("mymodule")
    assert conformance.judge(module, CONV).failed

    file.write_text("\n\n" + source(declared=', dtypes="float32", layout="NCHW"'))
    importlib.invalidate_caches()
    importlib.reload(module)

    assert not conformance.judge(module.conv, CONV).failed
    assert ("float32",) == get("mine").dtypes

    file.write_text(
        "\n\n\n" + source(operator="conv_transpose").replace("groups)", "groups, **_)", 1)
    )
    importlib.reload(module)

    assert ("conv_transpose",) == get("mine").operators


def test_a_file_that_is_run_again_replaces_what_it_registered(folder: Path) -> None:
    file = folder / "script.py"
    for more, declared in ((" + 1", ""), ("", ', dtypes="float32"')):
        file.write_text("\n" * len(declared) + source(declared, more=more))
        runpy.run_path(str(file), run_name="__main__")

    assert not conformance.judge("mine", CONV).failed
    assert ("float32",) == get("mine").dtypes


def test_two_declarations_in_one_execution_of_a_file_are_still_refused(folder: Path) -> None:
    (folder / "twice.py").write_text(source() + source(declared=', dtypes="float32"'))

    with pytest.raises(RegistrationError, match="'mine' is declared twice, differently"):
        importlib.import_module("twice")


# --- what may be given alone ----------------------------------------------------------------------


def test_whatever_may_be_several_may_be_given_alone(folder: Path) -> None:
    (folder / "mymodule.py").write_text(source())
    module = importlib.import_module("mymodule")

    for alone in ("mine", module.conv, module, get("mine"), ["mine"], iter([module])):
        run = conformance.run(alone, **SMALL)
        assert {"mine": "conforms"} == run.verdicts
        assert {("conv", 1, "float32")} == {(c.operator, c.dims, c.dtype) for c in run.cells}


def test_a_plugin_may_be_given_alone(folder: Path) -> None:
    (folder / "alone.py").write_text(source())
    for plugin in ("alone.py", folder / "alone.py"):
        with registry.using(registry.in_use().copy()):
            run = conformance.run(plugins=plugin, isolate=False, **SMALL)
        assert {"mine": "conforms"} == run.verdicts


def test_an_unknown_name_that_is_given_alone_is_named_whole() -> None:
    with pytest.raises(ConformanceError, match="'im2co' is unknown"):
        conformance.run("im2co")
    with pytest.raises(ConformanceError, match="operator 'conv2d' is unknown"):
        conformance.run("im2col", operators="conv2d")


# --- results --------------------------------------------------------------------------------------

HOSTILE = "<script>alert('&')</script>"


@pytest.fixture
def run(cell: Cell, capsys: pytest.CaptureFixture[str]) -> Run:
    cell(source(more=" + (max(dilation) > 1)"))
    run = conformance.run(["im2col", "mine"], **SMALL | {"dims": [1, 2]})
    assert ("", "") == capsys.readouterr()  # nothing fills the cell's output
    return run


class Tags(HTMLParser):
    """Counts the elements of a page, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_a_run_is_one_line_and_a_table(run: Run) -> None:
    page = run._repr_html_()
    tags = Tags(page)

    assert "\n" not in repr(run)
    assert len(repr(run)) < 160
    assert re.fullmatch(
        r"<Run .*run\.sqlite: im2col conforms, mine violates; \d violations>", repr(run)
    )
    assert [] == tags.open
    assert (1, 3) == (tags.seen.count("table"), tags.seen.count("tr"))
    assert len(run.violations) == tags.seen.count("li") > 0
    assert "✓ conforms" in page
    assert "✗ violates" in page
    assert run.violations[0].case in page


def test_violations_say_what_a_reader_and_a_program_need(run: Run) -> None:
    violation = run.violations[0]

    assert "mine" == violation.implementation
    assert "CONV-5" == violation.requirement
    assert conformance.judge("mine", violation.case).failed
    assert violation.message
    assert f"'{violation.case}' mine" in violation.replay
    assert "import numpy" in violation.script
    assert f"<Violation of CONV-5 by mine: {violation.case}>" == repr(violation)


def test_a_run_of_many_implementations_is_still_one_short_line(run: Run) -> None:
    many = Run(run.path, 0, {f"implementation-{i}": "conforms" for i in range(40)}, ())

    assert "<Run " in repr(many)
    assert "40 conforms; 0 violations>" in repr(many)
    assert 41 == Tags(many._repr_html_()).seen.count("tr")


def test_the_rows_of_a_table_make_a_data_frame(run: Run) -> None:
    rows = run.rows("cell")

    assert {"im2col", "mine"} == {row["implementation"] for row in rows}
    assert sum(cell.compared for cell in run.cells) == sum(row["compared"] for row in rows)
    assert [v.case for v in run.violations] == [row["case"] for row in run.rows("violation")]
    with pytest.raises(ConformanceError, match="table 'cells' is unknown; did you mean cell"):
        run.rows("cells")


def test_a_data_frame_is_two_lines(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(run.rows("cell"))

    assert len(run.cells) == len(frame)
    assert {"implementation", "operator", "dims", "dtype", "worst", "verdict"} <= {*frame.columns}


def test_names_and_messages_are_escaped(run: Run) -> None:
    violation = replace(run.violations[0], message=HOSTILE, implementation=HOSTILE, replay=HOSTILE)
    page = Run(run.path, 0, {HOSTILE: HOSTILE}, (), violations=[violation] * 25)._repr_html_()

    assert "script" not in Tags(page).seen
    assert 20 == Tags(page).seen.count("li")
    assert "and 5 more" in page


def test_a_verdict_is_one_line_and_html(cell: Cell) -> None:
    cell(source(more=" + 1"))
    verdict = conformance.judge("mine", CONV)
    hostile = Verdict("mine", Case.parse(CONV), "violates", "CONV-1", HOSTILE * 99)

    assert repr(verdict).startswith("<Verdict mine: violates ")
    assert repr(verdict).endswith(f"[{CONV}]>")
    assert ["b", "br", "br", "code"] == Tags(verdict._repr_html_()).seen
    assert len(repr(hostile)) < 300
    assert ["b", "br", "br", "code"] == Tags(hostile._repr_html_()).seen


# --- a real kernel --------------------------------------------------------------------------------


def test_a_kernel_runs_edited_cells_and_shows_the_run(folder: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        source(more=" + (max(dilation) > 1)"),
        f"import conformance\nrun = conformance.run('mine', **{SMALL})\nrun",
        source(),
        f"again = conformance.run(conv, **{SMALL})\nagain",
        "run.violations",
        f"conformance.judge('mine', {CONV!r})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(folder)}}
    ).execute()
    shown = [cell.outputs for cell in notebook.cells]

    assert [[], 1, [], 1, 1, 1] == [len(outputs) or [] for outputs in shown]
    texts = [outputs[0].data["text/plain"] for outputs in shown if outputs]
    assert "mine violates" in texts[0]
    assert "mine conforms" in texts[1]
    assert texts[2].startswith("[<Violation of CONV-5 by mine: ")
    assert "mine: conforms" in texts[3]
    assert "<table>" in shown[1][0].data["text/html"]
    assert "<b>mine: conforms</b>" in shown[5][0].data["text/html"]
