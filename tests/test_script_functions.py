"""Scripts fetch the function that was registered, whatever its name, and run where it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.calling import to_layout
from conformance.calling.memory import place_all
from conformance.case import MEMORY_LAYOUTS, Case
from conformance.cases.data import memory_ways
from conformance.isolation.dispatch import close_all
from conformance.isolation.environments import Environment
from conformance.isolation.remote_plugins import declare_plugin
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.plugins import load_plugin
from conformance.scripts.standalone import replay_command, script
from tests.test_sides import interpreter

CASE = Case.parse("max_pool1d:float32:x=1,1,3:kernel=2:integers@0")
PARAMETERS = "*, kernel, stride, padding, dilation, ceil_mode"
PLUGINS = {
    "made in a loop": f"""
for number in range(3):
    @implementation(f"mine-{{number}}")
    def max_pool(x, {PARAMETERS}, number=number):
        return np.full((1, 1, 2), 70 + number, x.dtype)
""",
    "of one name in one file": "".join(
        f"""
@implementation("mine-{number}")
def max_pool(x, {PARAMETERS}):
    return np.full((1, 1, 2), {70 + number}, x.dtype)
"""
        for number in range(3)
    ),
    "lambdas": "".join(
        f"""
implementation("mine-{number}").register(
    "max_pool", lambda x, {PARAMETERS}: np.full((1, 1, 2), {70 + number}, x.dtype))
"""
        for number in range(3)
    ),
    "partials": f"""
def max_pool(number, x, {PARAMETERS}):
    return np.full((1, 1, 2), 70 + number, x.dtype)
for number in range(3):
    implementation(f"mine-{{number}}").register("max_pool", partial(max_pool, number))
""",
    "methods": f"""
class Kernel:
    def __init__(self, number): self.number = number
    def max_pool(self, x, {PARAMETERS}):
        return np.full((1, 1, 2), 70 + self.number, x.dtype)
for number in range(3):
    implementation(f"mine-{{number}}").register("max_pool", Kernel(number).max_pool)
""",
    "wrapped after registration": f"""
def offset(number):
    def decorate(function):
        @wraps(function)
        def call(*given, **named): return function(*given, **named) + number
        return call
    return decorate
def max_pool(x, {PARAMETERS}):
    return np.full((1, 1, 2), 70, x.dtype)
for number in range(3):
    implementation(f"mine-{{number}}")(offset(number)(max_pool))
""",
}
HEAD = """
from functools import partial, wraps
import numpy as np
from conformance import implementation
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_registry: None) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def plugin(text: str) -> str:
    Path("its_kernels.py").write_text(HEAD + text)
    return "its_kernels.py"


def printed(text: str, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, check=False)
    assert "" == done.stderr
    return done.stdout


@pytest.mark.parametrize("worker", [True, False], ids=["in a worker", "in this process"])
@pytest.mark.parametrize("kind", PLUGINS)
def test_each_script_shows_the_defect_of_its_own_function(kind: str, worker: bool) -> None:
    file = plugin(PLUGINS[kind])
    load: Any = (lambda: declare_plugin(file, Limits())) if worker else (lambda: load_plugin(file))
    found = {one.name: printed(script(one, Prepared.of(CASE))) for one in load()}

    assert {"mine-0", "mine-1", "mine-2"} == {*found}
    for name, text in found.items():
        assert f"got\n[[[7{name[-1]}. 7{name[-1]}.]]]" in text


def test_a_function_with_two_names_is_imported_by_its_own() -> None:
    text = f"""
@implementation("mine")
@implementation("other")
def max_pool(x, {PARAMETERS}):
    return np.full((1, 1, 2), 71, x.dtype)
"""
    for one in declare_plugin(plugin(text), Limits()):
        made = script(one, Prepared.of(CASE))

        assert "from its_kernels import max_pool\n" in made
        assert "[[[71. 71.]]]" in printed(made)


# --- another interpreter --------------------------------------------------------------------------


def elsewhere(file: str, python: str) -> Implementation:
    load_plugin(file)
    return Environment.parse(f"mine-1@old={python}").load(Limits())


@pytest.mark.parametrize("kind", PLUGINS)
def test_a_script_for_another_interpreter_runs_there_with_numpy_alone(
    folder: Path, kind: str
) -> None:
    python = interpreter(folder / "old")
    made = script(elsewhere(plugin(PLUGINS[kind]), python), Prepared.of(CASE))

    assert f"#!{python}" == made.splitlines()[0]
    assert "[[[71. 71.]]]" in printed(made, python)


def test_a_script_for_another_interpreter_makes_large_arrays_there(folder: Path) -> None:
    python = interpreter(folder / "old")
    case = CASE.replace(x=(1, 1, 3000))
    text = PLUGINS["lambdas"].replace("(1, 1, 2)", "(1, 1, 2999)")
    made = script(elsewhere(plugin(text), python), Prepared.of(case))

    assert "differs by" in printed(made, python)


def test_the_replay_command_names_the_interpreter(folder: Path) -> None:
    python = interpreter(folder / "old")
    command = replay_command(elsewhere(plugin(PLUGINS["lambdas"]), python), CASE)

    assert command.endswith(f"mine-1@old --plugin {folder}/its_kernels.py --python "
                            f"mine-1@old={python}")  # fmt: skip


# --- memory layouts -------------------------------------------------------------------------------

TELLS = """
@implementation("tells", layout="LAYOUT")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    raise SystemExit([(a.strides, a.flags.c_contiguous, a.flags.aligned, a.flags.writeable,
                       a.dtype.str, a.tolist()) for a in (x, w, bias)])
"""


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("way", [*MEMORY_LAYOUTS, "reversed-w", "strided-bias", "broadcast-x"])
def test_a_script_hands_over_the_memory_layout_with_numpy_alone(way: str, layout: str) -> None:
    case = Case.parse(f"conv1d:float32:x=1,4,5:w=2,2,3:bias:groups=2:memory={way}:integers@3")
    (one,) = load_plugin(plugin(TELLS.replace("LAYOUT", layout)))
    prepared = Prepared.of(case)
    made = script(one, prepared)
    arrays = to_layout(prepared.inputs, layout, ("image", "weight", "vector"))
    placed = [array for array, _ in place_all(arrays, memory_ways(case))]
    done = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=False)

    assert "conformance" not in made
    assert done.stderr.strip() == str([
        (a.strides, a.flags.c_contiguous, a.flags.aligned, a.flags.writeable, a.dtype.str,
         a.tolist())
        for a in placed
    ])  # fmt: skip


def test_what_lies_between_the_elements_of_a_view_shows_in_a_script() -> None:
    text = f"""
@implementation("mine")
def max_pool(x, {PARAMETERS}):
    return np.lib.stride_tricks.as_strided(x, (1, 1, 2), (0, 0, x.strides[2] // 2))
"""
    (one,) = load_plugin(plugin(text))

    assert "nan" in printed(script(one, Prepared.of(CASE.replace(memory="strided"))))
    assert np.isfinite(Prepared.of(CASE).reference.exact).all()
