"""Adapters hand an engine what it has code for: who claims other code has other bits somewhere."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.case import Case
from conformance.errors import RegistrationError
from conformance.judging import CONFORMS, Prepared, judge_prepared
from conformance.registration.registry import get


def test_litert_gives_a_convolution_to_xnnpack_and_without_it_to_its_own_kernels() -> None:
    delegated, own = get("litert"), get("litert[xnnpack=off]")
    if not delegated.installed:
        pytest.skip(delegated.hint)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 6, 6, 48)).astype(np.float32)
    w = generator.normal(size=(3, 3, 48, 16)).astype(np.float32)
    p = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}

    first, second = (one.functions["conv"](x, w, None, **p) for one in (delegated, own))

    assert np.allclose(first, second, atol=1e-4)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        (
            "ncnn[bf16=on]",
            (
                "conv2d:bfloat16:x=2,4,9,8:w=5,4,3,2:bias:normal@0",
                "conv_transpose1d:bfloat16:x=1,3,5:w=3,2,3:stride=2:normal@0",
                "avg_pool2d:bfloat16:x=1,2,5,5:kernel=3,2:normal@0",
            ),
        ),
        (
            "tensorflow[function=on]",
            (
                "conv2d:float32:x=2,4,9,8:w=5,4,3,2:bias:normal@0",
                "conv_weight_grad2d:float32:x=2,4,9,8:w=5,4,3,2:normal@0",
                "max_pool_grad2d:float32:x=1,2,5,5:kernel=2,2:normal@0",
            ),
        ),
    ],
)
def test_a_variant_that_people_run_is_judged(name: str, cases: tuple[str, ...]) -> None:
    one = get(name)
    if not one.installed:
        pytest.skip(one.hint)

    verdicts = [judge_prepared(one, Prepared.of(Case.parse(case)))[0] for case in cases]

    assert [CONFORMS] * len(cases) == [verdict.status for verdict in verdicts]


def test_a_graph_that_xla_compiles_is_one_option() -> None:
    with pytest.raises(RegistrationError, match="xla and function are both on"):
        get("tensorflow[xla=on,function=on]")
