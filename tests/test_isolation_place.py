"""Where an implementation is found by a worker, a pool, and a script, and where its call was."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.implementations.engines.mlx import adapter as mlx
from conformance.implementations.engines.ncnn import adapter as ncnn
from conformance.isolation import process
from conformance.isolation.dispatch import (
    RemoteFunction,
    called_in_worker,
    in_pool,
    place_of,
    to_pool,
)
from conformance.judging import Prepared
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry
from conformance.scripts.standalone import script


def test_a_worker_loads_the_module_that_registered_it() -> None:
    place = place_of(ncnn.winograd, Limits())

    assert ("module", "conformance.implementations.engines.ncnn.adapter") == place.target


def test_inherited_functions_belong_to_the_module_that_registered_them() -> None:
    assert "conformance.implementations.engines.adapter" == mlx.mlx.functions["conv"].__module__
    assert "conformance.implementations.engines.mlx.adapter" == mlx.mlx.module


def test_a_script_takes_an_inherited_function_from_its_implementation() -> None:
    prepared = Prepared.of(Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:integers@0"))

    text = script(ncnn.direct, prepared)

    assert "conv = get('ncnn[winograd=off]').functions['conv']" in text


# --- pools ----------------------------------------------------------------------------------------


def sent(implementation: Implementation) -> Implementation:
    """Return what comes of an implementation that is sent to a pool's process."""
    return in_pool(pickle.loads(pickle.dumps(to_pool(implementation))))


def test_a_pool_looks_an_implementation_up() -> None:
    assert ncnn.winograd is sent(ncnn.winograd)


def test_a_pool_loads_the_file_of_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from conformance import implementation\n"
        "@implementation('mine', supports=lambda case: True)\n"
        "def conv(x, w, bias, **parameters): ...\n"
    )
    with registry.using(Registry()):
        (mine,) = load_plugin(file)
        there = to_pool(mine)
    with registry.using(Registry()):
        found = in_pool(there)

    assert ("mine", str(file)) == (found.name, found.origin)
    assert mine is not found


def test_a_pool_calls_in_a_worker_what_was_called_in_one() -> None:
    place = place_of(ncnn.winograd, Limits())
    found = sent(called_in_worker(ncnn.winograd, place))

    assert place == found.place
    assert all(isinstance(function, RemoteFunction) for function in found.functions.values())


def test_what_only_workers_load_goes_to_a_pool_as_it_is() -> None:
    place = Place(sys.executable, ("file", "nowhere.py"), "mine", Limits())
    functions = {"conv": RemoteFunction("nowhere", "conv", "conv", place)}
    mine = replace(ncnn.winograd, name="mine", supports=None, known=(), snippet=None)
    found = sent(replace(mine, functions=functions, place=place))

    assert ("mine", place, ["conv"]) == (found.name, found.place, list(found.functions))


# --- where a call was -----------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["implementations/im2col.py", "isolation_cost.py"])
def test_the_line_of_an_ending_is_the_implementations_wherever_it_lies(inside: str) -> None:
    """In a wheel the built-in implementations lie in the package that makes the calls."""
    package = Path(process.__file__).parents[1]
    frames = [
        f'  File "{package}/calling/observing.py", line 7 in gather',
        f'  File "{package}/{inside}", line 12 in conv',
        f'  File "{package}/isolation/worker.py", line 3 in serve',
    ]

    place = f"{package}/{inside}:12"
    assert (f", in conv ({place})", place) == process._deepest("\n".join(frames))
