"""The examples do what they say."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.arrays import interpreters
from conformance.cli import main
from conformance.isolation.dispatch import close_all
from conformance.isolation.remote_plugins import declare_plugin
from conformance.judging import judge
from conformance.registration.place import Limits
from conformance.registration.registry import Registry
from conformance.runfile.words import CONFORMS, VIOLATES
from conformance.spec import OWN, load

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def test_a_layer_learns_the_edge_detecting_kernel() -> None:
    layer, losses = runpy.run_path(str(EXAMPLES / "learn_edge_kernel.py"))["learn"]()

    assert layer.w.ravel() == pytest.approx([1, -1], abs=1e-4)
    assert layer.bias == pytest.approx([0], abs=1e-4)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-9 * losses[0]


def test_the_layers_gradients_are_those_of_its_loss() -> None:
    """Of each parameter and of the input, by central differences."""
    module = runpy.run_path(str(EXAMPLES / "learn_edge_kernel.py"))
    rng = np.random.default_rng(0)
    layer = module["ConvLayer"](filters=2, channels=3, kernel=(2, 3))
    x, layer.w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 2, 3))
    dx = layer.backward(2 * layer.forward(x))

    for array, gradient in ((x, dx), (layer.w, layer.dw), (layer.bias, layer.dbias)):
        flat = array.reshape(-1)
        for at in rng.choice(flat.size, min(5, flat.size), replace=False):
            losses, before = [], flat[at]
            for step in (1e-5, -1e-5):
                flat[at] = before + step
                losses.append((layer.forward(x) ** 2).sum())
            flat[at] = before

            assert gradient.reshape(-1)[at] == pytest.approx((losses[0] - losses[1]) / 2e-5)


def test_the_example_prints_the_kernel() -> None:
    command = [sys.executable, str(EXAMPLES / "learn_edge_kernel.py")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert output.splitlines()[-1] == "kernel: [ 1. -1.] bias: [0.]"


# --- The commands of the examples, as their files say them ---------------------------------------


def commands(document: str) -> list[str]:
    """Return the commands in a file: lines that are indented, after a comment's mark if any."""
    text = (EXAMPLES / document).read_text(encoding="utf-8")
    return re.findall(r"^(?:#   |    )convformance (run .*)$", text, re.MULTILINE)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache_folder: Path, copied_registry: Registry
) -> Callable[..., int]:
    """Run a command of the examples on a few cases, and return its exit status."""
    monkeypatch.chdir(ROOT)

    def run(command: str, *options: str) -> int:
        few = ("--dims", "2", "--dtype", "float32", "--output", str(tmp_path / "run"), *options)
        return main([*command.split(), *few])

    return run


@pytest.mark.parametrize(
    ("command", "status"), list(zip(commands("README.md"), (0, 1, 0, 0), strict=True))
)
def test_the_commands_of_the_examples_exit_as_they_say(run: Any, command: str, status: int) -> None:
    assert status == run(command, "--tier", "smoke", "--operator", "conv")


def test_layers_of_ones_own_can_be_judged_alone(run: Any, capsys: Any) -> None:
    _, alone = commands("my_network.toml")
    status = run(alone, "--json")
    cells = json.loads(capsys.readouterr().out)["implementations"][0]["cells"]
    planned = {cell["operator"]: cell["planned"] for cell in cells}

    assert 0 == status
    assert {"conv", "max_pool", "conv_transpose", "avg_pool"} <= {*planned}
    assert 4 == planned["conv"]  # two layers, each on two kinds of data


def test_the_example_of_a_suite_says_what_it_has() -> None:
    suite = load(EXAMPLES / "my_network.toml").suite(OWN)

    assert ["stem", "depthwise", "shrink", "grow", "head"] == [case.name for case in suite.cases]


def test_without_its_known_difference_the_example_violates(run: Any) -> None:
    (command, *_) = commands("my_known.toml")
    few = ("--tier", "smoke", "--operator", "conv")

    assert 0 == run(command, *few)
    assert 1 == run(command.partition(" --known ")[0], *few)


@pytest.mark.parametrize(
    ("example", "needs", "right", "wrong", "cases"),
    [
        (
            "triton_conv.py",
            ("torch", "triton"),
            "triton-conv",
            "triton-conv-clamped",
            (
                "conv2d:float32:x=1,16,3,3:w=2,16,2,2:padding=1/0,0/1:integers@1",
                "conv2d:float32:x=2,17,4,5:w=17,17,2,3:bias:stride=1,2:dilation=2,1:integers@1",
            ),
        ),
        (
            "pallas_pool.py",
            ("jax",),
            "pallas-pool",
            "pallas-pool-floor",
            (
                "max_pool2d:float32:x=2,2,5,4:kernel=2,3:stride=2,1:padding=1/0,1/1:integers@1",
                "max_pool2d:float32:x=1,5,5,4:kernel=2,2:stride=2,2:ceil_mode:integers@1",
            ),
        ),
    ],
)
def test_a_fault_in_the_last_block_of_a_kernel_is_found_in_an_interpreter(
    copied_registry: Registry,
    example: str,
    needs: tuple[str, ...],
    right: str,
    wrong: str,
    cases: tuple[str, str],
) -> None:
    for module in needs:
        pytest.importorskip(module, reason=f"{module} is not installed")
    interpreters.switch(True)
    try:
        kernels = {i.name: i for i in declare_plugin(EXAMPLES / example, Limits())}
        verdicts = {name: [judge(kernels[name], case) for case in cases] for name in kernels}
    finally:
        interpreters.switch(False)
        close_all()

    assert [CONFORMS, CONFORMS] == [verdict.status for verdict in verdicts[right]]
    assert [CONFORMS, VIOLATES] == [verdict.status for verdict in verdicts[wrong]]
    assert "interpret" in kernels[right].settings
