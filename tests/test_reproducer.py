"""Reproducers: a script runs by itself, in another process, and shows the failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.judging import Prepared
from conformance.registration.plugins import load_plugin
from conformance.scripts.standalone import script
from tests.defects import kernels, unregistered

PLUGIN = """
import numpy as np
from conformance import implementation

LAYOUT

@mine
def max_pool(x, *, kernel, stride, padding, dilation, ceil_mode):
    assert x.shape == SHAPE, x.shape
    return np.full(RESULT, 42, x.dtype)
"""

Run = Callable[..., str]


@pytest.fixture
def output_of(tmp_path: Path, empty_registry: None) -> Run:
    """Return a function that runs the script of a case and returns what is printed."""

    def run(text: str, shape: tuple[int, ...], result: tuple[int, ...], declared: str = "") -> str:
        plugin = tmp_path / "plugin.py"
        source = PLUGIN.replace("SHAPE", str(shape)).replace("RESULT", str(result))
        plugin.write_text(source.replace("LAYOUT", f'mine = implementation("mine"{declared})'))
        (one,) = load_plugin(plugin)
        made = script(one, Prepared.of(Case.parse(text)))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", made],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert "" == done.stderr
        return done.stdout

    return run


def test_a_script_shows_the_failure(output_of: Run) -> None:
    text = "max_pool1d:float32:x=1,1,4:kernel=2:integers@0"

    printed = output_of(text, (1, 1, 4), (1, 1, 3))

    assert "42" in printed
    assert "differs by" in printed


def test_a_script_hands_over_the_declared_layout(output_of: Run) -> None:
    text = "max_pool1d:float32:x=1,2,4:kernel=2:integers@0"

    assert "differs by" in output_of(text, (1, 4, 2), (1, 3, 2), ', layout="NHWC"')


def test_large_arrays_are_made_by_their_recipe(output_of: Run) -> None:
    text = "max_pool1d:float32:x=1,1,3000:kernel=2:integers@0"

    assert "differs by" in output_of(text, (1, 1, 3000), (1, 1, 2999))


@pytest.mark.parametrize("data", ["nan@1", "inf@2", "zeros@0", "subnormal@0", "wide@3"])
def test_every_number_is_written_out(output_of: Run, data: str) -> None:
    text = f"max_pool1d:float64:x=1,1,4:kernel=2:{data}"

    assert "got" in output_of(text, (1, 1, 4), (1, 1, 3))


def test_the_case_is_named() -> None:
    text = "conv1d:float32:x=1,1,4:w=1,1,2:integers@0"
    one = unregistered("mine", {"conv": kernels.conv}, {})

    assert f"# {text}" in script(one, Prepared.of(Case.parse(text))).splitlines()


def test_small_arrays_need_no_convformance() -> None:
    text = "conv1d:float32:x=1,1,4:w=1,1,2:integers@0"
    one = unregistered("mine", {"conv": kernels.conv}, {})

    assert "conformance" not in script(one, Prepared.of(Case.parse(text)))
