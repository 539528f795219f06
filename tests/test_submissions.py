"""Files with ``custom_kernel(data)``: a reference says what is due, and what is in ``data``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.case import Case
from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.forms.model import load
from conformance.isolation.dispatch import close_all
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry, using
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.scripts.standalone import script_of

torch = pytest.importorskip("torch")

TASK = """from typing import TypeVar
import torch
input_t = TypeVar("input_t", bound=tuple[torch.Tensor, ...])
output_t = TypeVar("output_t", bound=torch.Tensor)
"""
UTILS = "import contextlib\nExact = contextlib.nullcontext\n"
REFERENCE = """import torch
import torch.nn.functional as F
from task import input_t, output_t
from utils import Exact

def ref_kernel(data: input_t) -> output_t:
    with Exact():
        {unpacked} = data
        return {due}

def generate_input(size: int, kernelsize: int, channels: int, batch: int, seed: int) -> input_t:
    gen = torch.Generator(device="cuda")
    gen.manual_seed(seed)
    x = torch.randn(batch, channels, size, size, device="cuda", generator=gen).contiguous()
    w = torch.randn(channels, channels, kernelsize, kernelsize, device="cuda", generator=gen)
    bias = torch.ones(channels).cuda()
    out = torch.empty(batch, channels, size - kernelsize + 1, size - kernelsize + 1, device="cuda")
    return {unpacked}
"""
YML = """# name: conv2d-py
tests:
  - {"size": 32, "kernelsize": 4, "channels": 16, "batch": 1, "seed": 4242}
  - {"size": 64, "kernelsize": 8, "channels": 32, "batch": 2, "seed": 5531}
"""
KERNEL = """import torch
from task import input_t, output_t

def custom_kernel(data: input_t) -> output_t:
    {unpacked} = data
    {body}
"""
PLAIN = {"unpacked": "x, w", "due": "F.conv2d(x, w, stride=1, padding=0)"}
FILLED = PLAIN | {"unpacked": "x, w, out"}
BIASED = {"unpacked": "bias, x, w", "due": "F.conv2d(x, w, bias)"}
Y = "torch.nn.functional.conv2d(x, w)"
CASE = "conv2d:float32:x=2,4,9,9:w=4,4,3,3:integers@1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with using(Registry()):
        yield tmp_path
    close_all()


def problem(parts: dict[str, str], body: str, *, beside: bool = True, yml: str = YML) -> str:
    """Write a problem's files, and return the name of the submission."""
    there = Path("problems/conv2d")
    there.mkdir(parents=True)
    Path("problems/utils.py").write_text(UTILS)
    (there / "task.py").write_text(TASK)
    (there / "task.yml").write_text(yml)
    if beside:
        (there / "reference.py").write_text(REFERENCE.format(**parts))
    (there / "submission.py").write_text(KERNEL.format(body=body, **parts))
    return "problems/conv2d/submission.py"


def kernel(parts: dict[str, str], body: str) -> Implementation:
    return load(problem(parts, body))


@pytest.mark.parametrize(
    ("parts", "body", "elements"),
    [
        (PLAIN, f"return {Y}", ("x", "w")),
        (FILLED, f"out[...] = {Y}; return out", ("x", "w", "out")),
        (FILLED, f"out[...] = {Y}", ("x", "w", "out")),
        (FILLED, f"return {Y}", ("x", "w", "out")),
        (BIASED, "return torch.nn.functional.conv2d(x, w, bias)", ("bias", "x", "w")),
    ],
)
def test_what_is_in_data_is_found_by_the_reference(
    parts: dict[str, str], body: str, elements: tuple[str, ...]
) -> None:
    made = kernel(parts, body)
    case = CASE.replace(":integers", ":bias:integers") if "bias" in elements else CASE

    assert elements == made.recipes["conv"][2].data
    assert CONFORMS == conformance.judge(made, case).status


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (CASE.replace("w=4", "w=6"), "as many outputs as channels"),
        (CASE.replace("3,3:", "3,2:"), "kernels of one size on every axis"),
        (CASE.replace("9,9", "9,8"), "images of one size on every axis"),
        (CASE.replace("integers", "stride=2,2:integers"), "only stride 1,1"),
        (CASE.replace("integers", "bias:integers"), "no bias"),
        (CASE.replace("integers", "memory=fortran:integers"), "contiguous"),
    ],
)
def test_what_the_reference_keeps_is_kept(case: str, reason: str) -> None:
    made = kernel(PLAIN, f"return {Y}")
    verdict = conformance.judge(made, case)
    steered = made.steered(Case.parse(case))

    assert UNSUPPORTED == verdict.status
    assert reason in verdict.message
    assert steered is not None
    assert CONFORMS == conformance.judge(made, steered).status


WRONG = {
    "writes nothing": (FILLED, "return out", "RESULT-2"),
    "loses its last row": (FILLED, f"out[:, :, :-1] = {Y}[:, :, :-1]", "RESULT-2"),
    "returns what was never written": (PLAIN, f"return torch.full_like({Y}, 7)", "RESULT-2"),
    "writes behind": (
        FILLED,
        f"out[...] = {Y}; import ctypes; ctypes.memset(out.data_ptr() + 4 * out.numel(), 0, 4)",
        "MEMORY-2",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_found_with_a_script_that_calls_it(name: str) -> None:
    parts, body, requirement = WRONG[name]
    made = kernel(parts, body)
    verdict = conformance.judge(made, CASE)
    script = script_of(made, Case.parse(CASE), verdict)
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (VIOLATES, requirement) == (verdict.status, verdict.requirement)
    assert "return custom_kernel((x, w" in script
    if requirement == "MEMORY-2":
        assert "written around the result" in shown.stdout
    else:
        assert "differs by" in shown.stdout
        assert "differs by 0.0" not in shown.stdout


def test_a_file_may_have_its_reference_in_it() -> None:
    text = (
        "import torch\n"
        "def custom_kernel(data):\n    x = data\n    return torch.nn.functional.max_pool2d(x, 2)\n"
        "def ref_kernel(data):\n    return torch.nn.functional.max_pool2d(data, kernel_size=2)\n"
    )
    Path("pool.py").write_text(text)
    made = load("pool.py:custom_kernel")
    case = "max_pool2d:float32:x=1,2,6,5:kernel=2,2:stride=2,2:integers@0"

    assert CONFORMS == conformance.judge(made, case).status
    assert UNSUPPORTED == conformance.judge(made, case.replace("kernel=2,2", "kernel=3,3")).status


@pytest.mark.parametrize(
    ("parts", "beside", "said"),
    [
        (PLAIN, False, "nothing says what custom_kernel(data) computes; define ref_kernel(data)"),
        (PLAIN | {"due": "F.conv2d(x, w).relu()"}, True, "is not one convolution or pool: it is c"),
        (PLAIN | {"due": "F.conv2d(x, w.flip(2))"}, True, "it is flip, conv2d"),
        (FILLED | {"unpacked": "x, w, bias"}, True, "element 2 of data is a tensor of shape (16,)"),
        (PLAIN | {"unpacked": "x, w, size"}, True, "element 2 of data is 32, and ref_kernel calls"),
        (PLAIN | {"due": "F.conv2d(x, w, stride=w.shape[-1])"}, True, "the stride differs from"),
        (PLAIN | {"due": "1 / 0"}, True, "ref_kernel: ZeroDivisionError"),
    ],
)
def test_a_file_that_does_not_say_what_is_due_is_one_line(
    parts: dict[str, str], beside: bool, said: str
) -> None:
    with pytest.raises(ConformanceError) as mistake:
        load(problem(parts, "return 0", beside=beside))

    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_commands_take_a_submission(capsys: pytest.CaptureFixture[str]) -> None:
    file = problem(FILLED, f"out[...] = {Y}; out[..., -1] = 0")
    assert 0 == main(["list", "--module", file, "--json"])
    listed = json.loads(capsys.readouterr().out)["implementations"]
    assert {"submission"} == {one["name"] for one in listed if one["out"]}

    few = ["--tier", "smoke", "-n", "5", "--check", "result", "--no-cache", "--dims", "2"]
    assert 1 == main(["run", "--module", file, *few])
    assert f"--module {Path(file).resolve()}" in capsys.readouterr().out


def test_a_run_of_a_correct_submission_has_no_violation() -> None:
    few: Any = {"tier": "smoke", "dims": 2, "examples": 10, "cache": False, "suites": ()}
    run = conformance.run(modules=problem(FILLED, f"out[...] = {Y}"), **few)

    assert [] == [str(violation) for violation in run.violations]
