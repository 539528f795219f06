"""`convformance new`: what it writes works at once, and says what is true."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import conformance
from conformance.arrays import interpreters
from conformance.cases.only import only
from conformance.cli import main
from conformance.isolation.dispatch import close_all
from conformance.isolation.remote_plugins import declare_plugin
from conformance.registration import registry
from conformance.registration.declarations import Arguments
from conformance.registration.place import Limits
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry
from conformance.runfile.words import CONFORMS
from conformance.signatures import SIGNATURES
from conformance.templates import INTERPRETED, KINDS, files

SMALL = ("--tier", "smoke", "-n", "20", "--seconds", "3", "--dims", "2")
SMALL += ("--check", "result,reject,layout,special")
NUMBA = """
def njit(**options):
    return lambda function: function
prange = range
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in an empty folder, and forget the plugins that are loaded."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        status = main(arguments)
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture
def numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Numba that compiles nothing: the loops are run as they are written."""
    site = tmp_path / "site"
    (site / "numba-0.dist-info").mkdir(parents=True)
    (site / "numba-0.dist-info" / "METADATA").write_text("Name: numba\nVersion: 0\n")
    (site / "numba.py").write_text(NUMBA)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "numba", raising=False)


def skip_without_its_language(kind: str) -> None:
    if kind == "c" and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    if kind in INTERPRETED:
        pytest.importorskip(kind)


@pytest.fixture(autouse=True)
def without_interpreters() -> Iterator[None]:
    yield
    interpreters.switch(False)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*INTERPRETED}))
def test_the_example_conforms_as_it_is_written(call: Any, kind: str, numba: None) -> None:
    skip_without_its_language(kind)
    assert 0 == call("new", "mine.py", "--for", kind).status

    status, out, _ = call("run", "--plugin", "mine.py", "-o", "conv", *SMALL, "--json")
    (one,) = json.loads(out)["implementations"]

    assert (0, "conforms") == (status, one["verdict"])
    assert 100 < min(cell["compared"] for cell in one["cells"] if cell["dtype"] == "float32")


@pytest.mark.parametrize("kind", INTERPRETED)
def test_an_example_for_gpus_conforms_in_its_interpreter(call: Any, kind: str) -> None:
    skip_without_its_language(kind)
    status, out, _ = call("new", "mine.py", "--for", kind)
    interpreters.switch(True)
    (mine,) = declare_plugin(Path("mine.py").resolve(), Limits(loading=300.0))
    cases = (
        "conv2d:float32:x=2,4,5,6:w=6,2,3,2:bias:stride=1,2:padding=1/1,0/1:groups=2:digits@0",
        "conv2d:float32:x=1,3,9,8:w=2,3,2,2:dilation=2,1:memory=channels_last:normal@1",
        "conv2d:float32:x=0,1,3,3:w=1,1,1,1:integers@0",
        "conv2d:float32:x=1,1,3,3:w=1,1,1,1:invalid=stride-zero:integers@0",
    )

    assert 0 == status
    assert "without a GPU: convformance run --interpret --plugin mine.py\n" in out
    assert [CONFORMS] * len(cases) == [conformance.judge(mine, case).status for case in cases]
    close_all()


def test_what_is_not_written_yet_is_a_gap(call: Any) -> None:
    call("new", "mine.py")
    status, out, err = call("run", "--plugin", "mine.py", "-o", "max_pool", *SMALL)

    assert status in (0, 3)
    assert "not written yet" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_has_every_operator(kind: str, numba: None) -> None:
    skip_without_its_language(kind)
    path = Path("mine.py").resolve()
    for file, text in files(path, kind).items():
        file.write_text(text)

    with registry.using(Registry()):
        (one,) = load_plugin(path)

    assert tuple(SIGNATURES) == one.operators
    for operator, signature in SIGNATURES.items():
        assert f"\ndef {operator}{signature}:\n" in path.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_explains_every_argument_declaration_and_field_of_a_case(kind: str) -> None:
    text = next(iter(files(Path("mine.py"), kind).values()))
    about = text.split('"""')[1]

    for signature in SIGNATURES.values():
        for name in signature.arguments:
            assert re.search(rf"^    .*\b{name}\b", about, re.MULTILINE)
        for name in signature.parameters:
            assert re.search(rf"^#     case\.{name} +[A-Z]", text, re.MULTILINE)
    for name in inspect.signature(only).parameters:
        assert re.search(rf"^#     - .*\b{name}\b", text, re.MULTILINE)
    for spec in fields(Arguments):
        if spec.metadata and spec.name != "supports":
            assert re.search(rf"^    # {spec.name}=.*\n    #     \S", text, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_is_laid_out_as_formatters_leave_it(kind: str) -> None:
    for text in files(Path("mine.py"), kind).values():
        lines = text.split("\n")

        assert 100 >= max(map(len, lines))
        assert lines == [line.rstrip() for line in lines]
        assert "\n\n\n\n" not in text
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert [] == re.findall(r"[^\n]\n\n?(?:@mine|mine =|def output_size).*", text)


def test_the_tests_beside_it_pass(call: Any, folder: Path) -> None:
    call("new", "sub/mine.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "sub", "-k", "2d-float32"],
        capture_output=True,
        text=True,
    )

    assert "1 passed, 8 skipped" in done.stdout


@pytest.mark.parametrize("there", ["mine.py", "test_mine.py", "mine.c"])
def test_no_file_is_overwritten(call: Any, folder: Path, there: str) -> None:
    Path(there).write_text("mine")

    assert (2, "", f"convformance: error: {there}: is there already; name another file\n") == (
        call("new", "mine.py", "--for", "c")
    )
    assert [there] == [path.name for path in folder.iterdir()]


def test_missing_folders_are_made(call: Any) -> None:
    status, out, _ = call("new", "a/b/mine.py")

    assert 0 == status
    assert "a/b/mine.py" in out
    assert Path("a/b/test_mine.py").is_file()


def test_a_folder_that_cannot_be_made_is_one_line(call: Any) -> None:
    Path("file").write_text("")
    status, out, err = call("new", "file/mine.py")

    assert (2, "") == (status, out)
    assert re.fullmatch(r"convformance: error: .*'file'.*\n", err)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine", "mine: not a Python file; its name must end in .py"),
        ("mine.txt", "mine.txt: not a Python file; its name must end in .py"),
        ("my-conv.py", "my-conv.py: no module can have that name; call it my_conv.py"),
        ("2d.py", "2d.py: no module can have that name; call it my_2d.py"),
        ("__init__.py", "__init__.py: no module can have that name; call it init.py"),
        ("numpy.py", "numpy.py: would hide the module numpy; call it my_numpy.py"),
        ("a/json.py", "a/json.py: would hide the module json; call it a/my_json.py"),
    ],
)
def test_a_name_that_could_not_be_imported_is_refused(call: Any, name: str, says: str) -> None:
    assert (2, "", f"convformance: error: {says}\n") == call("new", name)


def test_an_unknown_kind_is_refused_with_the_known_ones(call: Any) -> None:
    status, _, err = call("new", "mine.py", "--for", "rust")

    assert 2 == status
    assert all(kind in err for kind in KINDS)


def test_a_name_that_is_taken_gets_another_one(call: Any) -> None:
    call("new", "im2col.py")

    assert ["my-im2col"] == [one.name for one in load_plugin("im2col.py")]
