"""The examples do what they say."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


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
