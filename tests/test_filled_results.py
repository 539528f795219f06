"""Kernels that fill a result which they are handed as ``out``: what is written, and what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.arrays import interpreters
from conformance.case import Case
from conformance.cases import invalid
from conformance.cli import main
from conformance.errors import RegistrationError
from conformance.isolation.dispatch import close_all
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry, using
from conformance.runfile.words import CONFORMS, VIOLATES
from conformance.scripts.standalone import script_of

CASE = "conv2d:float32:x=2,3,5,4:w=4,3,3,2:bias:stride=1,2:padding=1/1,0/0:integers@3"
POOL = "max_pool2d:int32:x=2,3,5,4:kernel=2,3:stride=1,2:integers@3"
KERNELS = """
import numpy as np
from conformance import implementation
from conformance.implementations import naive

mine = implementation("mine", out=True, dtypes=("float32", "float64", "int32"){declared})
Y = naive.{operator}

@mine
def {operator}(*arrays, out, **parameters):
    {body}
"""
FILLS = "out[...] = Y(*arrays, **parameters)"
WRONG = {
    "leaves a column": ("out[..., :-1] = Y(*arrays, **parameters)[..., :-1]", "RESULT-2"),
    "leaves all": ("Y(*arrays, **parameters)", "RESULT-2"),
    "writes behind": (f"{FILLS}; {{around}}[-1] = 0", "MEMORY-2"),
    "writes before": (f"{FILLS}; {{around}}[0] = 0", "MEMORY-2"),
    "returns another": ("return Y(*arrays, **parameters)", "RESULT-5"),
}
AROUND = (
    "np.ndarray(out.size + 2, out.dtype, "
    "(__import__('ctypes').c_char * (out.nbytes + 2 * out.itemsize))"
    ".from_address(out.ctypes.data - out.itemsize))"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with using(Registry()):
        yield tmp_path
    close_all()


def plugin(body: str = FILLS, operator: str = "conv", declared: str = "") -> str:
    text = KERNELS.format(
        operator=operator, body=body.replace("{around}", AROUND), declared=declared
    )
    Path("mine.py").write_text(text)
    return "mine.py"


def kernel(*given: str, **named: str) -> conformance.Implementation:
    return load_plugin(plugin(*given, **named))[0]


@pytest.mark.parametrize("ending", ["", "; return out"])
@pytest.mark.parametrize(("operator", "case"), [("conv", CASE), ("max_pool", POOL)])
def test_a_kernel_fills_its_result_and_returns_it_or_nothing(
    operator: str, case: str, ending: str
) -> None:
    made = kernel(FILLS + ending, operator)

    assert CONFORMS == conformance.judge(made, case).status
    for each in invalid.cases(operator, 2, made.dtypes):
        assert not conformance.judge(made, each).failed, each.id


def test_a_result_lies_channels_last_where_that_is_declared() -> None:
    body = """arrays = (np.moveaxis(arrays[0], -1, 1), arrays[1].transpose(3, 2, 0, 1), arrays[2])
    out[...] = np.moveaxis(Y(*arrays, **parameters), 1, -1)"""

    assert CONFORMS == conformance.judge(kernel(body, declared=', layout="NHWC"'), CASE).status


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arrays", ["torch", "dlpack"])
def test_a_result_is_an_array_of_the_library(arrays: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    case = CASE.replace("float32", dtype)

    def conv(x: Any, w: Any, bias: Any, *given: Any, out: Any) -> None:
        x, w, bias, filled = map(torch.from_dlpack, (x, w, bias, out))
        filled.copy_(torch.nn.functional.conv2d(x, w, bias, *given))

    made = conformance.implementation(
        "mine", arrays=arrays, parameters="torch", out=True, dtypes=dtype
    )
    made.register(
        "conv",
        lambda *a, out, stride, padding, dilation, groups: conv(
            *a, stride, padding, dilation, groups, out=out
        ),
    )

    assert CONFORMS == conformance.judge(made, case).status


def test_a_tensor_that_is_resized_is_no_result() -> None:
    pytest.importorskip("torch")
    made = conformance.implementation("mine", arrays="torch", out=True)
    made.register("conv", lambda x, w, bias, *, out, **p: out.resize_(3))
    verdict = conformance.judge(made, CASE)

    assert "out, which has the shape (3,) now" in verdict.message


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_filled_result_is_found_with_a_script_that_shows_it(name: str) -> None:
    body, requirement = WRONG[name]
    made = kernel(body)
    verdict = conformance.judge(made, CASE)
    script = script_of(made, Case.parse(CASE), verdict)
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (VIOLATES, requirement) == (verdict.status, verdict.requirement)
    assert "out=handed" in script
    if requirement == "MEMORY-2":
        assert "written around the result" in shown.stdout
    elif requirement == "RESULT-2":
        assert "differs by nan" in shown.stdout


def test_whole_numbers_that_are_not_written_are_found() -> None:
    body = WRONG["leaves a column"][0]

    assert VIOLATES == conformance.judge(kernel(body, "max_pool"), POOL).status


def test_a_write_around_a_result_is_found_where_the_call_then_raises() -> None:
    verdict = conformance.judge(kernel(f"{AROUND}[-1] = 0; raise ValueError('no')"), CASE)

    assert {"MEMORY-2"} <= {finding.requirement for finding in verdict.findings}


def test_what_is_kept_of_an_earlier_result_is_not_the_next_one() -> None:
    run = conformance.run(
        kernel(f"{FILLS}; globals().setdefault('kept', []).append(out)"),
        operators="conv",
        dims=2,
        dtypes="float32",
        checks=["result", "repeat"],
        tier="smoke",
        examples=5,
        suites=(),
        isolate=False,
        cache=False,
    )

    assert not run.violations


def test_commands_know_kernels_that_fill_their_result(capsys: pytest.CaptureFixture[str]) -> None:
    file = plugin()
    assert 0 == main(["list", "--plugin", file, "--json"])
    listed = json.loads(capsys.readouterr().out)["implementations"]
    assert {"mine"} == {one["name"] for one in listed if one["out"]}

    assert 0 == main(["replay", CASE, "mine", "--plugin", file, "--script"])
    script = capsys.readouterr().out
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "differs by 0.0" in shown.stdout


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"out": 1}, "out=1; True or False"),
        ({"out": True, "arrays": "jax"}, "out=True needs arrays that can be filled: numpy, torch"),
        ({"out": True, "arrays": "torch", "gradients": "autograd"}, "differentiates what"),
    ],
)
def test_a_result_that_cannot_be_filled_is_one_line(declared: Any, said: str) -> None:
    with pytest.raises(RegistrationError) as problem:
        conformance.implementation("mine", **declared)

    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_kernel_without_the_argument_is_one_line() -> None:
    made = conformance.implementation("mine", out=True)

    with pytest.raises(RegistrationError, match=r"cannot be called as conv.*out"):
        made.register("conv", lambda x, w, bias, *, stride, padding, dilation, groups: np.zeros(1))


TIMED = """
import os
from conformance import implementation
from conformance.implementations import naive

@implementation("mine", out=True)
def conv(*arrays, out, **parameters):
    assert os.environ["TRITON_INTERPRET"] == "1"
    out[...] = naive.conv(*arrays, **parameters)
"""


def test_time_takes_kernels_that_fill_their_result_in_an_interpreter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("timed.py").write_text(TIMED)
    few = ["--rounds", "2", "--warmup", "1", "--seconds", "60", "--interpret", "--json"]
    try:
        assert 0 == main(["time", CASE, "--plugin", "timed.py", *few])
    finally:
        interpreters.switch(False)
    report = json.loads(capsys.readouterr().out)

    assert ["mine"] == [timed["implementation"] for timed in report["timings"]]
