"""Where a worker, and a script, find an implementation whose functions it has inherited."""

from __future__ import annotations

from conformance.case import Case
from conformance.implementations.engines.mlx import adapter as mlx
from conformance.implementations.engines.ncnn import adapter as ncnn
from conformance.isolation.dispatch import place_of
from conformance.isolation.limits import Limits
from conformance.isolation.place import module_of
from conformance.judging import Prepared
from conformance.scripts.standalone import script


def test_a_worker_loads_the_module_that_registered_it() -> None:
    place = place_of(ncnn.winograd, Limits())

    assert ("module", "conformance.implementations.engines.ncnn.adapter") == place.target


def test_inherited_functions_belong_to_the_module_that_registered_them() -> None:
    assert "conformance.implementations.engines.adapter" == mlx.mlx.functions["conv"].__module__
    assert "conformance.implementations.engines.mlx.adapter" == module_of(mlx.mlx)


def test_a_script_takes_an_inherited_function_from_its_implementation() -> None:
    prepared = Prepared.of(Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:integers@0"))

    text = script(ncnn.direct, prepared)

    assert "conv = get('ncnn[winograd=off]').functions['conv']" in text
