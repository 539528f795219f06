"""Layers: how they are named, and the smaller versions that say whether one is affordable."""

from __future__ import annotations

import pytest

from conformance.case import Case
from conformance.cases.validity import validate
from conformance.errors import ConformanceError
from conformance.operators import OPERATORS
from conformance.spec import Spec, load
from conformance.spec.layers import choose, smaller


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load()


def test_a_glob_names_layers(spec: Spec) -> None:
    names = [layer.name for layer in choose(["dcgan/G*"], spec, dtype="float64", seed=3)]
    cases = [layer.case for layer in choose(["dcgan/G*"], spec, dtype="float64", seed=3)]

    assert ["dcgan/G1", "dcgan/G2", "dcgan/G3", "dcgan/G4", "dcgan/G5"] == names
    assert {("float64", "integers", 3)} == {(case.dtype, case.data, case.seed) for case in cases}


def test_the_layers_timed_by_default_exist_and_are_small(spec: Spec) -> None:
    layers = choose(None, spec, dtype="float32", seed=0)

    assert {"conv", "conv_transpose", "max_pool", "avg_pool"} == {o.case.operator for o in layers}
    assert max(OPERATORS[o.case.operator].work(o.case) for o in layers) < 2e8


def test_a_case_id_is_a_layer_of_its_own_dtype(spec: Spec) -> None:
    text = "conv1d:float16:x=1,2,9:w=3,2,3:normal@7"
    (layer,) = choose([text], spec, dtype="float32", seed=1)

    assert "conv1d:float16:x=1,2,9:w=3,2,3:integers@1" == layer.name == layer.case.id


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("vgg16/conv11", "did you mean vgg16/conv1_1"),
        ("resnet50/conv2*", "did you mean resnet50/conv1"),
        ("?", "`convformance time --list-layers` lists them"),
        ("max_pool2d:int8:x=1,3,8,8:kernel=2,2:integers@0", "in a floating-point dtype"),
        ("conv2d:x=1", "case id"),
    ],
)
def test_what_names_no_layer_is_an_error_with_a_hint(spec: Spec, pattern: str, hint: str) -> None:
    with pytest.raises(ConformanceError, match=hint.replace("?", r"\?")):
        choose([pattern], spec, dtype="float32", seed=0)


@pytest.mark.parametrize("share", [1 / 64, 1 / 4])
def test_a_smaller_version_has_about_a_share_of_the_outputs(spec: Spec, share: float) -> None:
    """It is a valid case, with the channels and the window of the layer."""
    for layer in choose(
        ["resnet50/*", "dcgan/G3", "c3d/*", "wavenet/*"], spec, dtype="float32", seed=0
    ):
        case = layer.case
        found = smaller(case, share)
        validate(found)
        work = OPERATORS[case.operator].work

        assert (case.x[1], case.window) == (found.x[1], found.window)
        assert work(found) <= max(4 * share, 0.2) * work(case) or case.x == found.x


def test_a_layer_whose_smaller_version_is_invalid_stays_as_it_is() -> None:
    case = Case.parse("conv_transpose1d:float32:x=1,1,9:w=1,1,2:padding=4/4:integers@0")

    assert all(
        OPERATORS["conv_transpose"].output_shape(smaller(case, s))[2] >= 1 for s in (0.01, 1)
    )
