"""Plugins that import what lies beside them, packages, and imports that fail or do not end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import conformance
from conformance.cli import main
from conformance.errors import PluginError
from conformance.isolation import patience
from conformance.isolation.remote_plugins import load_for
from conformance.registration.place import Limits
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry

CONV = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
PLUGIN = """
from conformance import implementation
{imports}

@implementation("{name}")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return kernel(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
"""
RIGHT = "from conformance.implementations.im2col import conv as kernel\n"
WRONG = """
from conformance.implementations.im2col import conv
def kernel(*arguments, **parameters):
    return conv(*arguments, **parameters) + 1
"""
TINY = (
    *("--tier", "smoke", "--examples", "20", "--suite", "smoke", "--dtype", "float32"),
    *("--operator", "conv", "--dims", "1", "--check", "result"),
)
ISOLATION = pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copied_registry: Registry,
    cache_folder: Path,
) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        status = main(arguments)
        return Result(status, *capsys.readouterr())

    return call


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def plugin(path: str, imports: str = "from b import kernel", name: str = "mine") -> str:
    return write(path, PLUGIN.format(imports=imports, name=name))


def verdicts(result: Result) -> dict[str, str]:
    """Return the verdict on each implementation of a ``run --json``."""
    assert result.status in (0, 1), result.err
    return {each["name"]: each["verdict"] for each in json.loads(result.out)["implementations"]}


def told(result: Result) -> str:
    """Return the one line of an error."""
    lines = [line for line in result.err.splitlines() if " %  " not in line]
    assert (2, "", 1) == (result.status, result.out, len(lines)), result
    assert lines[0].startswith("convformance: error: plugin ")
    return lines[0].removeprefix("convformance: error: ")


# --- modules beside a plugin ----------------------------------------------------------------------


@ISOLATION
def test_a_plugin_imports_what_lies_beside_it(call: Any, isolation: str) -> None:
    write("d/b.py", RIGHT)
    result = call("run", *TINY, "--plugin", plugin("d/a.py"), isolation, "--json")

    assert {"mine": "conforms"} == verdicts(result)


def test_every_command_loads_a_plugin_with_what_lies_beside_it(call: Any) -> None:
    write("d/b.py", WRONG)
    plugin("d/a.py")

    assert "mine" in call("list", "--plugin", "d/a.py").out
    assert 1 == call("replay", CONV, "--plugin", "d/a.py").status
    assert 1 == call("replay", CONV, "--plugin", "d/a.py", "--no-isolate").status
    assert 1 == call("time", CONV, "--plugin", "d/a.py", "--rounds", "1").status
    assert 1 == call("run", *TINY, "--plugin", "d/a.py", "--no-isolate", "--jobs", "2").status


@ISOLATION
def test_a_module_beside_a_plugin_may_be_imported_when_it_is_called(
    call: Any, isolation: str
) -> None:
    write("d/b.py", RIGHT)
    text = PLUGIN.format(imports="", name="mine").replace(
        "    return", "    from b import kernel\n    return"
    )
    result = call("run", *TINY, "--plugin", write("d/a.py", text), isolation, "--json")

    assert {"mine": "conforms"} == verdicts(result)


@ISOLATION
def test_a_module_beside_a_plugin_may_register(call: Any, isolation: str) -> None:
    write("d/kernel.py", RIGHT)
    plugin("d/b.py", "from kernel import kernel")
    plugin("d/a.py", "import b\nfrom kernel import kernel", name="other")
    write("d/all.py", "import a, b")
    result = call("run", *TINY, "--plugin", "d/all.py", isolation, "--json")

    assert {"mine": "conforms", "other": "conforms"} == verdicts(result)


def test_a_worker_finds_what_a_module_beside_a_plugin_has_registered(folder: Path) -> None:
    write("d/kernel.py", RIGHT)
    plugin("d/b.py", "from kernel import kernel")
    load_plugin(write("d/all.py", "import b"))
    tiny = {"operators": "conv", "dims": 1, "checks": "result", "suites": "smoke", "examples": 20}

    assert {"mine": "conforms"} == conformance.run("mine", isolate=True, **tiny).verdicts


@ISOLATION
def test_data_beside_a_plugin_or_where_the_command_runs_is_found(call: Any, isolation: str) -> None:
    write("d/data/weights.txt", "1")
    write("here.txt", "2")
    read = "from pathlib import Path\nassert '1' == (Path(__file__).parent / 'data/weights.txt')"
    imports = f"{read}.read_text()\nassert '2' == Path('here.txt').read_text()\n{RIGHT}"
    result = call("run", *TINY, "--plugin", plugin("d/a.py", imports), isolation, "--json")

    assert {"mine": "conforms"} == verdicts(result)


def test_the_script_of_a_failure_imports_what_lies_beside_the_plugin(call: Any) -> None:
    write("d/b.py", WRONG)
    plugin("d/a.py", name="file")
    plugin("d/my-kernel.py", name="no-name-of-a-module")
    for package in ("pkg", "my-pkg"):
        write(f"{package}/b.py", WRONG)
        plugin(f"{package}/a.py", "from .b import kernel", name=package)
        write(f"{package}/__init__.py", "from . import a")
    for path in ("d/a.py", "d/my-kernel.py", "pkg", "my-pkg"):
        script = call("replay", CONV, "--plugin", path, "--script").out
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

        assert "differs by 1.0" in done.stdout, done.stderr


def test_two_plugins_with_modules_of_one_name_beside_them_get_their_own(call: Any) -> None:
    write("right/b.py", RIGHT)
    write("wrong/b.py", WRONG)
    plugins = plugin("right/a.py", name="right"), plugin("wrong/a.py", name="wrong")
    named = [word for path in plugins for word in ("--plugin", path)]

    assert {"right": "conforms", "wrong": "violates"} == verdicts(
        call("run", *TINY, *named, "--json")
    )


@pytest.mark.parametrize("late", ["right", "wrong", ""])
def test_one_process_refuses_two_modules_of_one_name_beside_plugins(call: Any, late: str) -> None:
    for name, text in (("right", RIGHT), ("wrong", WRONG)):
        write(f"{name}/b.py", text)
        source = PLUGIN.format(imports="from b import kernel", name=name)
        if name == late:
            source = PLUGIN.format(imports="", name=name).replace(
                "    return", "    from b import kernel\n    return"
            )
        write(f"{name}/a.py", source)
    result = call(
        *("run", *TINY, "--no-isolate", "--plugin", "right/a.py", "--plugin", "wrong/a.py")
    )
    line = told(result)

    assert line.startswith("plugin wrong/a.py: where ")
    assert "one process has one module 'b'; rename one, or leave out --no-isolate" in line


def test_plugins_of_one_folder_share_what_lies_beside_them(call: Any) -> None:
    write("d/b.py", RIGHT)
    named = ("--plugin", plugin("d/a.py"), "--plugin", plugin("d/c.py", name="other"))
    result = call("run", *TINY, *named, "--no-isolate", "--json")

    assert {"mine": "conforms", "other": "conforms"} == verdicts(result)


def test_a_registry_of_its_own_gets_the_modules_of_its_own_plugin(folder: Path) -> None:
    for name, text in (("right", RIGHT), ("wrong", WRONG)):
        write(f"{name}/b.py", text)
        (mine,) = load_plugin(plugin(f"{name}/a.py"), into=Registry())

        assert (name == "wrong") == conformance.judge(mine, CONV).failed


def test_what_lies_beside_a_plugin_hides_nothing_that_others_import(call: Any) -> None:
    for name in ("jinja2", "tabulate", "rich"):
        write(f"d/{name}.py", "raise SystemExit('hidden')")
    result = call("run", *TINY, "--plugin", plugin("d/a.py", RIGHT), "--no-isolate")

    assert 0 == result.status, result.err


def test_a_plugin_with_the_name_of_the_engine_that_it_imports_imports_the_engine(call: Any) -> None:
    imports = f"import threadpoolctl\nthreadpoolctl.threadpool_info()\n{RIGHT}"
    result = call("run", *TINY, "--plugin", plugin("d/threadpoolctl.py", imports), "--json")

    assert {"mine": "conforms"} == verdicts(result)


def test_an_installed_implementation_that_a_plugin_imports_is_not_of_the_plugin(call: Any) -> None:
    imports = "from conformance.implementations.im2col import conv as kernel"

    assert ["mine"] == [one.name for one in load_plugin(plugin("d/a.py", imports))]


# --- packages and folders -------------------------------------------------------------------------


@ISOLATION
def test_a_package_is_a_plugin_by_its_folder(call: Any, isolation: str) -> None:
    write("parts/pkg/kernels/b.py", RIGHT)
    write("parts/pkg/kernels/__init__.py", "")
    plugin("parts/pkg/a.py", "from .kernels.b import kernel\nfrom pkg.kernels import b")
    write("parts/pkg/__init__.py", "from . import a")

    for name in ("parts/pkg", "parts/pkg/", "parts/pkg/__init__.py"):
        assert {"mine": "conforms"} == verdicts(
            call("run", *TINY, "--plugin", name, isolation, "--json")
        )
    assert 0 == call("run", *TINY, "--plugin", "parts/pkg", "--no-isolate", "--jobs", "2").status


def test_the_replay_command_of_a_package_names_the_package(call: Any) -> None:
    write("pkg/b.py", WRONG)
    plugin("pkg/a.py", "from .b import kernel")
    write("pkg/__init__.py", "from . import a")
    run = conformance.run(plugins="pkg", operators="conv", dims=1, checks="result", examples=5)
    command = run.violations[0].replay.split()

    assert command[-1].endswith("pkg/__init__.py")
    assert 1 == call(*(word.strip("'") for word in command[1:])).status


def test_a_folder_that_is_no_package_is_told_what_would_be_right(call: Any) -> None:
    plugin("d/a.py", RIGHT)
    line = told(call("run", *TINY, "--plugin", "d"))

    assert line == (
        "plugin d: a folder, and no package, which would have an __init__.py; name a Python file: "
        "d/a.py"
    )
    Path("empty").mkdir()
    assert told(call("run", *TINY, "--plugin", "empty")).endswith("; name a Python file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_conv", "no such file; a file is meant, not a module: my_conv.py"),
        ("d.a", "no such file; a file is meant, not a module: d/a.py"),
        ("json", "no such file; a file is meant, not a module: "),
        ("nowhere", "no such file; a plugin is a Python file, such as my_conv.py"),
        ("no.where", "no such file; a plugin is a Python file, such as my_conv.py"),
        ("nowhere.py", "no such file"),
        ("", "no such file"),
        ("a\0b.py", "no such file (embedded null byte)"),
        ("x" * 300 + ".py", "no such file"),
        ("~nobody-of-that-name/a.py", "no such file"),
    ],
    ids=range(10),
)
def test_a_name_that_no_file_has_is_told_what_may_be_meant(
    call: Any, name: str, expected: str
) -> None:
    write("my_conv.py", "")
    write("d/a.py", "")

    for command in (("run", *TINY), ("list",), ("replay", CONV), ("time", CONV)):
        assert expected in told(call(*command, "--plugin", name))


# --- imports that fail ----------------------------------------------------------------------------


@ISOLATION
@pytest.mark.parametrize(
    ("imports", "beside", "expected"),
    [
        ("def", "", "plugin d/a.py:3: SyntaxError: invalid syntax"),
        ("import b", "x =", "plugin d/a.py:3: d/b.py:1: SyntaxError: invalid syntax"),
        ("import b", "\nnowhere", "plugin d/a.py:3: d/b.py:2: NameError: name 'nowhere'"),
        ("import nowhere", "", "plugin d/a.py:3: ModuleNotFoundError: No module named 'nowhere'"),
        ("import b", "import nowhere", "plugin d/a.py:3: d/b.py:1: ModuleNotFoundError: No mod"),
        ("from b import c", "", "plugin d/a.py:3: ImportError: cannot import name 'c' from 'b'"),
        ("from .b import c", "", "plugin d/a.py:3: ImportError: attempted relative import with n"),
        ("import json; json.loads('{')", "", "plugin d/a.py:3: JSONDecodeError: Expecting prop"),
        ("raise ValueError('a\\n  b')", "", "plugin d/a.py:3: ValueError: a b"),
        ("raise SystemExit(3)", "", "plugin d/a.py:3: SystemExit: 3"),
    ],
)
def test_an_import_that_fails_is_one_line_with_the_place(
    call: Any, isolation: str, imports: str, beside: str, expected: str
) -> None:
    write("d/b.py", beside)
    path = plugin("d/a.py", imports)

    assert told(call("run", *TINY, "--plugin", path, isolation)).startswith(expected)


def test_a_plugin_that_is_mended_with_what_lies_beside_it_can_be_loaded(folder: Path) -> None:
    path = plugin("d/a.py")
    for text in ("nowhere", "kernel = None; nowhere"):
        write("d/b.py", text)
        with pytest.raises(PluginError, match="NameError"):
            load_plugin(path)
    write("d/b.py", RIGHT)

    assert not conformance.judge(load_plugin(path)[0], CONV).failed


# --- imports that do not end ----------------------------------------------------------------------

ENDLESS = "import time\nwhile True: time.sleep(0.01)"


@pytest.mark.parametrize("isolate", [True, False])
def test_an_import_that_does_not_end_is_told_of_and_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], isolate: bool
) -> None:
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.2)
    path = plugin("d/a.py", ENDLESS)

    with pytest.raises(PluginError, match=r"^plugin d/a\.py.*importing it does not end: .*1 s"):
        load_for(path, isolate, Limits(loading=1.0))
    assert capsys.readouterr().err == (
        "convformance: the import of d/a.py is still running after 0.2 s; it is ended after 1 s\n"
    )


def test_an_import_that_ends_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    for isolate in (True, False):
        load_for(plugin(f"d/a{isolate}.py", RIGHT, f"mine-{isolate}"), isolate, Limits())

    assert ("", "") == capsys.readouterr()
