"""Programs: the protocol, what is told of one that fails, its scripts, and the examples."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.cli import main
from conformance.errors import PluginError, Unsupported
from conformance.forms import program as program_form
from conformance.forms.process import request
from conformance.isolation.dispatch import close_all
from conformance.registration.place import Limits
from conformance.reports.markdown import fenced_script
from conformance.testing import checks

ROOT = Path(__file__).parents[1]
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="the examples are in JavaScript: no node")
GRAD = "conv_bias_grad1d:float32:x=1,{channels},2:integers@0"

FAULTY = """
import json, os, signal, sys, time
import numpy as np
fault, stdin, stdout = sys.argv[1], sys.stdin.buffer, sys.stdout.buffer
def send(header, data=b""):
    stdout.write(json.dumps(header).encode() + b"\\n" + data)
    stdout.flush()
stdin.readline()
hello = {"convformance": 1, "name": "faulty", "operators": ["conv_bias_grad"], "dtypes": "float32"}
send(hello)
for line in iter(stdin.readline, b""):
    call = json.loads(line)
    payload, grad = stdin.read(call["bytes"]), call["arguments"]["grad"]
    shape = grad["shape"]
    if grad["dtype"] != "float32" or len(shape) not in (3, 4, 5) or 0 in shape[1:]:
        send({"rejected": "no such array"})
        continue
    if fault == "logs":
        print("a call", file=sys.stderr, flush=True)
    if shape[1] > 2:
        print("cannot allocate", file=sys.stderr, flush=True)
        if fault == "exits":
            sys.exit(7)
        if fault == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "hangs":
            time.sleep(100)
        if fault == "prints":
            print("debug", flush=True)
        if fault == "stops":
            send({"result": {"dtype": "float32", "shape": [shape[1]]}}, b"12")
            sys.exit(0)
        if fault == "names no dtype":
            send({"result": {"dtype": "f32", "shape": [1]}})
            continue
        if fault == "has no outcome":
            send({"outcome": 1})
            continue
        if fault == "declines":
            send({"unsupported": "more than 2 channels"})
            continue
    x = np.frombuffer(payload, "<f4").reshape(shape)
    y = x.sum((0, *range(2, x.ndim)), dtype="f8").astype("<f4") + (fault == "adds")
    send({"result": {"dtype": "float32", "shape": y.shape}}, y.tobytes())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_registry: Any) -> Any:
    """Work in a folder of the test's own, and end the workers afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def command(fault: str, text: str = FAULTY) -> str:
    Path("faulty.py").write_text(text)
    return shlex.join([sys.executable, "faulty.py", fault])


def answering(answer: str, then: str = "") -> str:
    """Return the command of a program that reads a line, and answers so."""
    return command(answer, f"import sys\nsys.stdin.readline()\nprint(sys.argv[1])\n{then}")


def judged(started: str, **options: Any) -> conformance.Run:
    """Judge a program on a few small calls of each check."""
    few = {"tier": "smoke", "dims": 1, "dtypes": "float32", "checks": "result", "suites": ()}
    return conformance.run(programs=started, **few | options)


# --- the protocol ---------------------------------------------------------------------------------


def test_a_call_is_a_line_of_json_and_the_bytes_of_its_arrays() -> None:
    x, w = np.arange(3, dtype=np.float32).reshape(1, 1, 3), np.ones((1, 1, 2), np.float64)
    data = request("conv", (x, w, None), {"stride": (1,), "padding": ((0, 1),)})
    line, _, payload = data.partition(b"\n")

    assert json.loads(line) == {
        "operator": "conv",
        "arguments": {
            "x": {"dtype": "float32", "shape": [1, 1, 3]},
            "w": {"dtype": "float64", "shape": [1, 1, 2]},
            "bias": None,
        },
        "parameters": {"stride": [1], "padding": [[0, 1]]},
        "bytes": 28,
    }
    assert x.astype("<f4").tobytes() + w.astype("<f8").tobytes() == payload


@pytest.mark.parametrize("value", [1.5, float("nan"), "1", None, 2**63, (1, None)])
def test_what_the_protocol_cannot_express_is_not_asked(value: Any) -> None:
    x = np.ones((1, 1, 3), np.float32)

    with pytest.raises(Unsupported, match="the protocol of programs has no stride"):
        request("conv", (x, x, None), {"stride": value})


def test_the_program_of_the_page_about_programs_conforms() -> None:
    text = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Path("sums.py").write_text(program)

    run = judged(f"{shlex.quote(sys.executable)} sums.py", checks=["result", "special", "reject"])
    (implementation,) = run.rows("implementation")

    assert run.conforms
    assert "sums" == implementation["name"]
    assert implementation["settings"].startswith("program '")


def test_invalid_calls_and_histories_are_asked_of_a_program() -> None:
    run = judged(command("none"), checks=["reject", "repeat", "special"])
    (cell,) = run.cells

    assert run.conforms
    assert cell.compared > 20


def test_a_program_is_asked_for_no_memory_layout_but_c_order() -> None:
    implementation = conformance.program(command("none"))
    case = conformance.Case.parse(GRAD.format(channels=1))

    assert implementation.gap(case) is None
    assert "only contiguous arrays" == implementation.gap(case.replace(memory="fortran"))


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("hello", "answers the greeting with 'hello', which is no line with a JSON object"),
        ("[1]", "which is no line with a JSON object"),
        ("{}", "answers the greeting with {}"),
        ('{"convformance": 2}', "speaks version 2 of the protocol, this suite version 1"),
        ('{"convformance": 1}', "it declares no operators"),
        ('{"convformance": 1, "operators": ["conv2d"]}', "the operator 'conv2d'; did you mean"),
        ('{"convformance": 1, "operators": ["conv"], "dtype": "float32"}', "mean dtypes?"),
        ('{"convformance": 1, "operators": ["conv"], "dtypes": ["fp32"]}', "mean float32?"),
        ('{"convformance": 1, "operators": ["conv"], "dtypes": 7}', "cannot be read"),
        ('{"convformance": 1, "operators": ["conv"], "dims": "two"}', "dims='two'"),
        ('{"convformance": 1, "operators": ["conv"], "name": "a b"}', "a name is letters"),
        ('{"convformance": 1, "operators": ["conv"], "version": 7}', "version=7; a text"),
    ],
)
def test_a_wrong_answer_to_the_greeting_is_one_line_of_error(
    answer: str, said: str, capsys: Any
) -> None:
    status = main(["replay", GRAD.format(channels=1), "--program", answering(answer)])
    (line,) = capsys.readouterr().err.splitlines()

    assert 2 == status
    assert said in line
    assert line.startswith("convformance: error: program '")


@pytest.mark.parametrize(
    ("started", "said"),
    [
        ("no-such-program x", "'no-such-program' cannot be started (No such file or directory)"),
        ("", "names nothing"),
        ("'unclosed", "cannot be read (No closing quotation)"),
        (f"{shlex.quote(sys.executable)} -c 'exit(3)'", "exited with status 3 before it answered"),
        (
            f"{shlex.quote(sys.executable)} -c 'import sys; sys.exit(\"no licence\")'",
            "stderr ends: 'no licence'",
        ),
    ],
)
def test_a_program_that_does_not_start_is_one_line_of_error(
    started: str, said: str, capsys: Any
) -> None:
    status = main(["list", "--program", started])
    (line,) = capsys.readouterr().err.splitlines()

    assert 2 == status
    assert said in line


def test_a_program_that_does_not_answer_is_one_line_of_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program_form, "_SECONDS", 0.2)

    with pytest.raises(PluginError, match="does not answer the greeting within"):
        program_form.load(f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(60)'")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("exits", "its process exited with status 7; stderr ends: 'cannot allocate'"),
        ("crashes", "its process was killed by SIGSEGV; stderr ends: 'cannot allocate'"),
        ("prints", "the program answered with 'debug', which is no line with a JSON object"),
        ("stops", "its process exited with status 0"),
        ("names no dtype", "the program answered with dtype 'f32'; there are float32"),
        ("has no outcome", 'where {"result": '),
    ],
)
def test_the_end_of_a_program_is_a_verdict_on_the_call(fault: str, said: str) -> None:
    verdict = conformance.judge(conformance.program(command(fault)), GRAD.format(channels=3))

    assert "PROCESS-1" == verdict.requirement
    assert said in verdict.message


def test_a_crash_is_shrunk_and_the_run_goes_on() -> None:
    run = judged(command("exits"), examples=20)
    (violation,) = run.violations

    assert "PROCESS-1" == violation.requirement
    assert GRAD.format(channels=3).replace("x=1,3,2", "x=1,3,1") == violation.case
    assert any(cell.compared > 20 for cell in run.cells)


def test_a_call_that_does_not_come_back_is_told_with_the_last_of_stderr() -> None:
    limits = Limits(seconds=0.2, loading=1.0)
    implementation = conformance.program(command("hangs"), limits=limits)
    verdict = conformance.judge(implementation, GRAD.format(channels=3))

    assert "PROCESS-2" == verdict.requirement
    assert "stderr ends: 'cannot allocate'" in verdict.message
    assert ".py" not in verdict.message


def test_a_program_starts_anew_after_a_crash() -> None:
    implementation = conformance.program(command("crashes"))
    statuses = [
        conformance.judge(implementation, GRAD.format(channels=channels)).status
        for channels in (1, 3, 1)
    ]

    assert ["conforms", "crashed", "conforms"] == statuses


def test_what_a_program_declines_is_a_gap_and_what_it_logs_no_failure() -> None:
    declining = conformance.judge(conformance.program(command("declines")), GRAD.format(channels=3))

    assert "unsupported" == declining.status
    assert "more than 2 channels" in declining.message


def test_what_a_program_logs_is_no_failure() -> None:
    verdict = conformance.judge(conformance.program(command("logs")), GRAD.format(channels=3))

    assert "conforms" == verdict.status


# --- where it shows -------------------------------------------------------------------------------


def test_list_takes_programs(capsys: Any) -> None:
    started = command("none")
    assert 0 == main(["list", "--program", started, "--json"])
    listed = json.loads(capsys.readouterr().out)["implementations"]

    assert ["conv_bias_grad"] == next(i for i in listed if i["name"] == "faulty")["operators"]


def test_a_program_is_judged_in_a_test_suite_of_ones_own() -> None:
    program = conformance.program(command("adds"))
    check = checks(program, dtypes="float32", examples=10, suites=())[0]

    with pytest.raises(AssertionError, match=r"faulty fails .*\nRESULT-2"):
        check("faulty")


def test_the_script_of_a_program_feeds_it_the_call(capsys: Any) -> None:
    started = command("none")
    assert 0 == main(
        ["replay", GRAD.format(channels=2), "faulty", "--program", started, "--script"]
    )
    script = capsys.readouterr().out
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
    greeting, answer, got, exact_label, exact = done.stdout.splitlines()

    assert script.startswith("#!/bin/sh\n")
    assert 1 == json.loads(greeting)["convformance"]
    assert {"result": {"dtype": "float32", "shape": [2]}} == json.loads(answer)
    assert "exact:" == exact_label
    assert got == exact
    assert fenced_script(script).startswith("```sh\n")


def test_the_script_of_an_invalid_call_says_what_is_due(capsys: Any) -> None:
    case = "conv_bias_grad1d:float32:x=1,2,2:invalid=grad-without-batch:integers@0"
    main(["replay", case, "faulty", "--program", command("none"), "--script"])
    done = subprocess.run(
        ["sh"], input=capsys.readouterr().out, capture_output=True, text=True, check=True
    )

    assert {"rejected": "no such array"} == json.loads(done.stdout.splitlines()[1])
    assert done.stdout.splitlines()[2].startswith("due: rejected")


def test_a_large_call_is_made_by_the_suite_for_the_script(capsys: Any) -> None:
    case = GRAD.format(channels=2).replace("x=1,2,2", "x=1,2,8000")
    main(["replay", case, "faulty", "--program", command("none"), "--script"])
    script = capsys.readouterr().out
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)

    assert len(script) < 2000
    assert done.stdout.splitlines()[2] == done.stdout.splitlines()[4]


# --- the examples ---------------------------------------------------------------------------------


@needs_node
def test_the_example_in_javascript_conforms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    some = ["result", "special", "reject", "repeat"]

    assert judged("node examples/my_conv.mjs", checks=some, output=tmp_path).conforms


@needs_node
def test_a_program_is_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    case = "conv1d:float32:x=1,1,3:w=1,1,2:integers@0"
    started = "node examples/my_conv.mjs"
    run = ("--rounds", "2", "--warmup", "1", "--output", str(tmp_path))

    assert 0 == main(["time", case, "--program", started, *run])


CHANNELS = "for (let c = 0; c < perGroup; c++)"
READ = "x.data[row * X[2] + r] * w.data[tap]"
NOT_PADDED = [("best, inside ? x.data[plane * size + p] : 0", "best, x.data[plane * size + p]")]
NOT_PADDED += [("best = Math.max", "if (inside) best = Math.max")]
MISTAKES: dict[str, tuple[str, str, str, list[tuple[str, str]]]] = {
    "pads with zeros": (
        "pads_with_zeros.mjs",
        "MAXPOOL-3",
        "max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:integers@0",
        [],
    ),
    "ignores dilation": (
        "my_conv.mjs",
        "CONV-5",
        "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0",
        [(f"{tap} * D[{axis}]", tap) for axis, tap in enumerate("abe")],
    ),
    "reads the last channel again in the last block": (
        "my_conv.mjs",
        "RESULT-2",
        "conv1d:float32:x=1,1,1:w=1,1,1:integers@0",
        [
            (CHANNELS, CHANNELS.replace("perGroup", "Math.ceil(perGroup / 16) * 16")),
            ("first + c)", "first + Math.min(c, perGroup - 1))"),
            ("let tap = o * perGroup * product(kernel);", "let tap = 0;"),
            (
                READ,
                READ.replace(
                    "tap",
                    "(o * perGroup + Math.min(c, perGroup - 1)) * product(kernel)"
                    " + (a * K[1] + b) * K[2] + e",
                ),
            ),
        ],
    ),
    "never writes the last block of planes": (
        "pads_with_zeros.mjs",
        "MAXPOOL-4",
        "max_pool1d:float32:x=1,1,1:kernel=1:integers@0",
        [
            *NOT_PADDED,
            ("plane < batch * channels;", "plane < Math.floor((batch * channels) / 4) * 4;"),
        ],
    ),
}
"""Those of the examples in JavaScript, and of the others in it: the file that is changed, what they
are cited as, and the smallest case."""


@needs_node
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_with_the_smallest_case_and_a_line_of_a_shell(mistake: str) -> None:
    file, requirement, case, changes = MISTAKES[mistake]
    source = (ROOT / "examples" / file).read_text(encoding="utf-8")
    for old, new in changes:
        assert 1 == source.count(old)
        source = source.replace(old, new)
    Path("mistake.mjs").write_text(source)
    shutil.copy(ROOT / "examples" / "serve.mjs", "serve.mjs")
    run = judged("node mistake.mjs")
    (violation,) = run.violations
    shown = subprocess.run(
        ["sh"], input=violation.script, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert (requirement, case) == (violation.requirement, violation.case)
    assert violation.replay.endswith("--program 'node mistake.mjs'")
    assert "result" in json.loads(shown[1])
    assert shown[2] != shown[4]
