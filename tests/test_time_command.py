"""``convformance time``: its exit status, what it prints and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.cli import main
from conformance.timing import timed_run as timing
from conformance.timing.threads import VARIABLES

PLUGIN = """
import numpy as np
from conformance import implementation

@implementation("time-command-{name}")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0]) + np.float32({error})
"""
ONE_BY_ONE = "conv2d:float32:x=1,3,4,4:w=2,3,1,1:integers@0"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run ``convformance time``; return its exit status, stdout and stderr."""
    monkeypatch.setattr(timing, "matmul_gflops", lambda dtype: 100.0)
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")  # the command sets them: put them back

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(["time", *arguments, "--output", str(tmp_path / "out")])
        out, err = capfd.readouterr()
        return status, out, err

    return call


@pytest.mark.parametrize(("name", "error", "status"), [("right", 0, 0), ("wrong", 1, 1)])
def test_the_exit_status_says_whether_all_conforms(
    command: Any, tmp_path: Path, name: str, error: int, status: int
) -> None:
    plugin = tmp_path / f"{name}.py"
    plugin.write_text(PLUGIN.format(name=name, error=error))
    found, out, _ = command("--plugin", str(plugin), "--rounds", "3", ONE_BY_ONE)

    assert status == found
    assert f"time-command-{name}" in out
    assert (tmp_path / "out" / "run.sqlite").is_file()


def test_json_has_the_timings(command: Any, tmp_path: Path) -> None:
    plugin = tmp_path / "json_plugin.py"
    plugin.write_text(PLUGIN.format(name="json", error=0))
    _, out, _ = command("--plugin", str(plugin), "--rounds", "3", "--json", ONE_BY_ONE)
    (timed,) = json.loads(out)["timings"]

    assert ("time-command-json", 3) == (timed["implementation"], timed["calls"])


def test_a_wrong_layer_is_one_line_on_stderr(command: Any) -> None:
    status, out, err = command("resnet50/conv77")

    assert (2, "") == (status, out)
    assert err.startswith("convformance: error: layer 'resnet50/conv77' is unknown; did you mean ")
    assert 1 == err.count("\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "0"), "0 is out of range; allowed: from 1 to 1024"),
        (("--threads", "some"), "'some' is not a whole number"),
        (("--batch", "0"), "0 is out of range; allowed: from 1"),
        (("--batch", "all"), "batch='all'; a whole number, 1 or more"),
        (("--sweep", "depth=1..2"), "dimension 'depth' is unknown"),
        (("--dtype", "float32,int8"), "dtype 'int8' cannot be timed"),
        (("--precision", "0"), "0"),
    ],
)
def test_a_wrong_option_is_one_line_on_stderr(
    command: Any, options: tuple[str, ...], message: str
) -> None:
    status, out, err = command(ONE_BY_ONE, "-i", "im2col", *options)

    assert (2, "") == (status, out)
    assert message in err
    assert 1 == err.count("\n")


def test_what_is_printed_is_what_was_timed(command: Any, tmp_path: Path) -> None:
    plugin = tmp_path / "printed.py"
    plugin.write_text(PLUGIN.format(name="printed", error=0))
    few = ("--rounds", "3", "--batch", "1,2")
    _, out, _ = command("--plugin", str(plugin), *few, ONE_BY_ONE)

    assert out.startswith("Time of one call")
    assert 2 == out.count("w=2,3,1,1")
    assert "Agreement" not in out
    assert "not installed" not in out


def test_layers_can_be_listed(command: Any) -> None:
    status, out, _ = command("--list-layers", "dcgan/D*")

    assert 0 == status
    assert ["dcgan/D1", "dcgan/D5"] == [line.split()[0] for line in out.splitlines()]
