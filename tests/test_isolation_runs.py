"""Runs with workers: plugins that only workers load, interrupts, and other interpreters."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.cli import main
from conformance.isolation import process, remote_plugins
from conformance.isolation.dispatch import close_all
from conformance.registration import registry
from conformance.registration.registry import Registry

KERNELS = Path(__file__).parent / "hostile" / "kernels.py"
SMALL = (
    *("--operator", "conv", "--dims", "1", "--dtype", "float32", "--check", "result"),
    *("--examples", "10", "--suite", "none"),
)
RIGHT = """
from conformance import implementation
from conformance.implementations.im2col import conv as right
mine = implementation("mine"{declared})
{more}
@mine
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return right(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
"""


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: Registry,
) -> Path:
    """Work in a folder of the test's own, and forget what it registers."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plugin(declared: str = "", more: str = "") -> str:
    Path("mine.py").write_text(RIGHT.format(declared=declared, more=more))
    return "mine.py"


def run(capsys: Any, *arguments: str) -> dict[str, Any]:
    """Return what ``run --json`` says of each implementation, by name."""
    main(["run", *SMALL, *arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    return {one["name"]: one for one in told["implementations"]}


def complaint(capsys: Any, *arguments: str) -> str:
    """Return the one line that a command, which is a mistake, prints."""
    assert 2 == main(["run", *SMALL, *arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if "convformance:" in line]
    assert 1 == len(lines)
    return lines[0]


# --- plugins ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV, in <module> ("),
        ("import os; os._exit(5)", "its process exited with status 5"),
        ("import os; os.abort()", "killed by SIGABRT"),
        ("import sys; sys.exit('no licence')", "mine.py:5: SystemExit: no licence"),
        ("1 / 0", "mine.py:5: ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_ends_its_import_is_one_clear_line(capsys: Any, code: str, told: str) -> None:
    line = complaint(capsys, "--plugin", plugin(more=code))

    assert line.startswith("convformance: error: plugin mine.py")
    assert told in line


def test_only_workers_import_a_plugin(capsys: Any) -> None:
    more = f"import os; assert os.getpid() != {os.getpid()}"

    assert {"mine"} == set(run(capsys, "--plugin", plugin(more=more)))


STARTED = """
import sys
from conformance.cli import main
from conformance.isolation import remote_plugins
real = remote_plugins.Process
def start(*arguments):
    print("imported" if "conformance.running.run" in sys.modules else "first")
    return real(*arguments)
remote_plugins.Process = start
main(sys.argv[1:])
"""


def test_the_worker_of_a_plugin_starts_before_the_run_is_imported() -> None:
    command = [sys.executable, "-c", STARTED, "run", *SMALL, "--plugin", plugin()]
    told = subprocess.run(command, capture_output=True, text=True, check=True)

    # What is printed while a plugin is loaded goes to stderr, for the sake of --json.
    assert ["first"] == [line for line in told.stderr.splitlines() if line in ("first", "imported")]


def test_a_plugin_that_is_named_twice_leaves_no_worker_behind(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[process.Process] = []

    def start(*arguments: Any) -> process.Process:
        started.append(process.Process(*arguments))
        return started[-1]

    monkeypatch.setattr(remote_plugins, "Process", start)
    text = plugin()
    names = (text, text, str(Path(text).resolve()))
    run(capsys, *(word for name in names for word in ("--plugin", name)))

    assert started
    assert [] == [each.pid for each in started if not each.gone]


def test_a_condition_that_is_a_function_needs_the_process_that_has_it(capsys: Any) -> None:
    case = "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"
    known = f'KnownDifference("CONV-5", case="{case}", where=lambda case: True, reason="mine")'
    text = plugin(f", known=[{known}]")
    Path(text).write_text("from conformance import KnownDifference\n" + Path(text).read_text())

    assert "known=CONV-5: where is a function" in complaint(capsys, "--plugin", text)
    assert {"mine"} == set(run(capsys, "--plugin", text, "--no-isolate"))


def known_of(capsys: Any, *arguments: str) -> list[tuple[str, str]]:
    """Return what a run's file says of each known difference: what it covers, and its status."""
    run(capsys, *arguments, "--output", "run")
    with contextlib.closing(sqlite3.connect("run/run.sqlite")) as file:
        return file.execute("SELECT covers, status FROM known").fetchall()


def test_named_conditions_and_machines_come_from_the_process_that_has_them(capsys: Any) -> None:
    case = "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"
    known = (
        f'KnownDifference("CONV-5", case="{case}", where={{"groups": 1}}, reason="mine", '
        'condition=["valid", "unit_stride"], machine={"cpu": ["!a", "b"], "system": "None"})'
    )
    text = plugin(f", known=[{known}]")
    Path(text).write_text("from conformance import KnownDifference\n" + Path(text).read_text())

    told = known_of(capsys, "--plugin", text)

    covers = "groups 1; the call is valid; the stride is 1 on every axis; on CPUs without a"
    assert [(f"{covers}, on CPUs with b, on None", "other machine")] == told


def test_a_plugin_may_list_known_differences_in_a_file_beside_it(capsys: Any) -> None:
    Path("folder").mkdir()
    Path("folder/known.toml").write_text(
        """
        [[known]]
        implementation = "mine"
        requirement = "CONV-5"
        case = "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"
        where = {groups = 1}
        reason = "mine"
        """
    )
    text = Path(plugin(', known="known.toml"')).rename("folder/mine.py")

    assert [("groups 1", "stale")] == known_of(capsys, "--plugin", str(text))


def test_a_file_that_is_not_beside_a_plugin_is_one_clear_line(capsys: Any) -> None:
    text = plugin(', known="known.toml"')

    assert "known.toml: no such file" in complaint(capsys, "--plugin", text)


def test_supports_is_asked_again_where_earlier_calls_have_spoilt_the_process(capsys: Any) -> None:
    """As in a kernel that writes outside of its arrays: whatever comes next may end the process."""
    declared = ", supports=lambda case: True if not spoilt else os.abort()"
    more = "import os\nspoilt = []"
    file = Path(plugin(declared, more))
    source = file.read_text().replace(
        "    return right(", "    spoilt.append(1)\n    return right("
    )
    file.write_text(source)
    one = run(capsys, "--plugin", "mine.py", "--check", "repeat,result")["mine"]

    assert "conforms" == one["verdict"]


@pytest.mark.parametrize("shape", ["(2**70,)", "(-3, 'x')"])
def test_an_answer_that_a_call_has_spoilt_is_a_crash(capsys: Any, shape: str) -> None:
    """As in a kernel that writes outside of its arrays, into the answer that its worker sends."""
    more = f"""
from conformance.isolation import wire
put = wire.Frame.put_output
def spoilt(frame, value, most):
    kind, *rest = put(frame, value, most)
    return (kind, rest[0], {shape}, *rest[2:]) if kind == "array" else (kind, *rest)
wire.Frame.put_output = spoilt
"""
    one = run(capsys, "--plugin", plugin(more=more))["mine"]
    (violation,) = [v for cell in one["cells"] for v in cell["violations"]]

    assert ("PROCESS-1", "crashed") == (violation["requirement"], violation["status"])
    assert "the answer of its worker cannot be read" in violation["message"]


def test_a_supports_that_ends_every_process_is_one_clear_line(capsys: Any) -> None:
    told = complaint(capsys, "--plugin", plugin(", supports=lambda case: os.abort()", "import os"))

    assert "asking its supports= failed: its process was killed by SIGABRT" in told
    assert len(told) < 400


def test_without_isolation_this_process_imports_a_plugin(capsys: Any) -> None:
    more = f"import os; assert os.getpid() == {os.getpid()}"

    assert {"mine"} == set(run(capsys, "--plugin", plugin(more=more), "--no-isolate"))


def test_what_a_plugin_declares_holds_in_a_worker_as_it_does_here(capsys: Any) -> None:
    declared = ', version="7", supports=lambda case: max(case.dilation) == 1 or "no dilation"'
    file = plugin(declared)
    with registry.using(registry.in_use().copy()):
        (isolated,) = run(capsys, "--plugin", file).values()
    (here,) = run(capsys, "--plugin", file, "--no-isolate").values()

    assert "7" == isolated["version"]
    assert isolated == here


def test_a_hostile_implementation_ends_alone(capsys: Any) -> None:
    told = run(
        *(capsys, "--plugin", str(KERNELS), "-i", "exits,prints-once,im2col", "--isolate"),
        *("--call-seconds", "5", "--call-memory", "2000"),
    )

    assert {"exits": "violates", "prints-once": "conforms", "im2col": "conforms"} == {
        name: one["verdict"] for name, one in told.items()
    }


def test_ten_crashes_in_a_row_end_one_implementation_and_every_report_says_so(
    capsys: Any,
) -> None:
    file = plugin(more="import os")
    Path(file).write_text(Path(file).read_text().replace("    return right", "    os._exit(0)\n#"))
    main(["run", *SMALL, "--plugin", file, "--seconds", "60", "--dims", "2"])
    told = [
        " ".join(capsys.readouterr().out.split()),
        Path("convformance-run/report.md").read_text(),
        Path("convformance-run/report.html").read_text(),
    ]

    assert [True] * 3 == ["ended after 10 crashes in a row" in text for text in told]


def test_a_function_that_no_worker_could_load_is_refused(capsys: Any) -> None:
    text = "@registry.implementation('loose')\ndef conv(x, w, bias, **_): ..."
    exec(text, {"registry": registry})

    assert "implementation 'loose' is registered in <string>" in complaint(
        capsys, "-i", "loose", "--isolate"
    )


# --- interrupts ---------------------------------------------------------------------------------


def interrupted(number: int, *arguments: str) -> tuple[int, str, float, list[str]]:
    """Send a signal to a run in its midst: return status, stderr, seconds, and what is left."""
    mark = f"CONVFORMANCE_TEST={os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "conformance", "run", "--plugin", "slow.py", *arguments]
    Path("slow.py").write_text(
        RIGHT.format(declared="", more="import time").replace(
            "    return", "    open('called', 'w').close(); time.sleep(0.02)\n    return"
        )
    )
    name, _, value = mark.partition("=")
    # A process that was started in the background ignores interrupts, and so do its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [*command, *SMALL, "--examples", "300", "--seconds", "600"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {name: value, "XDG_CACHE_HOME": str(Path.cwd())},
    ) as process:
        signal.signal(signal.SIGINT, before)
        while not Path("called").exists() and process.poll() is None:
            select.select([], [], [], 0.05)
        select.select([], [], [], 1.0)  # let some cases be judged
        begun = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate()
        while (left := marked(mark)) and time.monotonic() - begun < 10:
            select.select([], [], [], 0.02)
        return process.returncode, err, time.monotonic() - begun, left


def marked(mark: str) -> list[str]:
    """Return the processes that have inherited ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def facts() -> tuple[int, list[str]]:
    """Return how many cases the run file holds, and the facts of the run."""
    with contextlib.closing(sqlite3.connect("convformance-run/run.sqlite")) as database:
        (reached,) = database.execute("SELECT sum(reached) FROM cell").fetchone()
        return reached or 0, [key for (key,) in database.execute("SELECT key FROM run")]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_keeps_what_was_judged_and_leaves_no_process(jobs: str) -> None:
    status, err, _, left = interrupted(signal.SIGINT, "--jobs", jobs)
    reached, keys = facts()

    assert 130 == status
    assert "interrupted; what was judged so far is in" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert [] == left
    assert reached > 0
    assert "finished" not in keys


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_that_is_killed_leaves_no_process_and_a_file_known_to_be_incomplete(
    jobs: str,
) -> None:
    status, _, _, left = interrupted(signal.SIGKILL, "--jobs", jobs)
    _, keys = facts()

    assert -signal.SIGKILL == status
    assert [] == left
    assert "finished" not in keys


# --- other interpreters -------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path) -> str:
    """Return an interpreter of its own, which has NumPy and nothing else of this environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "other"], check=True)
    (packages,) = (tmp_path / "other" / "lib").glob("python3*/site-packages")
    home = tmp_path / "only-numpy"
    home.mkdir()
    installed = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (installed / name).exists():
            (home / name).symlink_to(installed / name)
    (packages / "numpy.pth").write_text(str(home))
    return str(tmp_path / "other" / "bin" / "python")


def test_an_implementation_is_judged_in_another_interpreter(capsys: Any, other: str) -> None:
    told = run(capsys, "-i", "im2col", "--python", f"im2col@other={other}")

    assert ["im2col", "im2col@other"] == list(told)
    assert {"conforms"} == {one["verdict"] for one in told.values()}


def test_an_environment_of_a_file_is_one_more_implementation(capsys: Any, other: str) -> None:
    file = plugin(', version=__import__("sys").prefix')
    Path("environments.toml").write_text(
        '[[environment]]\nname = "mine@other"\npython = "other/bin/python"\n'
    )
    told = run(capsys, "--plugin", file, "--environments", "environments.toml")

    assert {"mine": sys.prefix, "mine@other": str(Path("other").resolve())} == {
        name: one["version"] for name, one in told.items()
    }


def test_a_worker_has_nothing_of_this_environment_on_its_path(capsys: Any, other: str) -> None:
    file = plugin(more="import sys")
    Path("second.py").write_text(Path(file).read_text().replace("import sys", "import hypothesis"))
    line = complaint(capsys, "--plugin", "second.py", "--no-isolate", "--python", f"mine@x={other}")

    assert "No module named 'hypothesis'" in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("im2col", "write torch@old=/path/to/python"),
        ("im2col=python", "name 'im2col'; write torch@old="),
        ("no@x=python", "implementation 'no' is unknown"),
        ("im2col@x=/nowhere/python", "cannot be started (No such file or directory)"),
        ("im2col@x=/bin/true", "no worker starts there"),
    ],
)
def test_a_wrong_interpreter_is_one_clear_line(capsys: Any, text: str, told: str) -> None:
    assert told in complaint(capsys, "-i", "im2col", "--python", text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("environment = 1", "no environment; write [[environment]] tables"),
        ("[[environments]]", "'environments' is unknown"),
        ('[[environment]]\nname = "a@b"', "entry 1: fields name; write name, python"),
        ('[[environment]]\nname = "a@b"\npython = 3', "entry 1: python=3; write a text"),
        ("[[", "not TOML"),
    ],
)
def test_a_wrong_file_of_environments_is_one_clear_line(capsys: Any, text: str, told: str) -> None:
    Path("environments.toml").write_text(text)
    line = complaint(capsys, "-i", "im2col", "--environments", "environments.toml")

    assert "environments environments.toml: " in line
    assert told in line


def test_an_interpreter_without_numpy_is_refused(capsys: Any, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "bare"], check=True)
    line = complaint(capsys, "-i", "im2col", "--python", f"im2col@x={tmp_path}/bare/bin/python")

    assert "it has no NumPy, which a worker needs" in line


@pytest.fixture(autouse=True)
def no_worker_stays() -> Any:
    """End what a test has started."""
    yield
    close_all()
