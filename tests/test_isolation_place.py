"""Where a worker, and a script, find an implementation whose functions it has inherited."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.case import Case
from conformance.errors import PluginError
from conformance.isolation.callers import place_of
from conformance.isolation.declared import declare_plugin
from conformance.isolation.limits import Limits
from conformance.isolation.place import module_of
from conformance.isolation.worker import declarations
from conformance.judging import Prepared
from conformance.running.reproducer import script
from implementations import mlx, ncnn_net, opencv_dnn

_WITH_A_FUNCTION = """
from conformance import KnownDifference, implementation
dilated = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"
known = [KnownDifference("CONV-5", case=dilated, where=lambda case: True, reason="none")]
mine = implementation("mine", known=known)
@mine
def conv(x, w, bias, *, stride, padding, dilation, groups): ...
"""


def test_a_worker_loads_the_module_that_registered_it() -> None:
    place = place_of(ncnn_net.winograd, Limits())

    assert ("module", "implementations.ncnn_net") == place.target


def test_a_condition_that_is_a_function_stays_in_the_process_that_has_it() -> None:
    first = opencv_dnn.opencv.known[0]

    assert callable(first.where)
    assert declarations(opencv_dnn.opencv)["known"][0]["where"] is None


def test_of_a_plugin_only_conditions_on_fields_reach_the_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(_WITH_A_FUNCTION)

    with pytest.raises(PluginError, match="known=CONV-5: where is a function"):
        declare_plugin(file, Limits())


def test_inherited_functions_belong_to_the_module_that_registered_them() -> None:
    assert "implementations._engine" == mlx.mlx.functions["conv"].__module__
    assert "implementations.mlx" == module_of(mlx.mlx)


def test_a_script_takes_an_inherited_function_from_its_implementation() -> None:
    prepared = Prepared.of(Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:integers@0"))

    text = script(ncnn_net.direct, prepared)

    assert "conv = get('ncnn[winograd=off]').functions['conv']" in text
