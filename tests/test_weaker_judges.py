"""The weaker judges: each passes what is correct, and each finds what it is there to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.judges import accuses, fixed_shape, known, onnx_nodes, plain_hypothesis
from benchmarks.weaker_judges import JUDGES, Outcome, by_fixed_shape, by_onnx, main_dtype, table
from conformance.operators import FORWARD
from conformance.registration.implementation import Implementation
from tests.defects import kernels, unregistered
from tests.defects.witness import CORRECT

Array = np.ndarray[Any, Any]


def correct(**declared: Any) -> Implementation:
    return unregistered("kernel", CORRECT, declared)


def zeros() -> Implementation:
    def conv(*arrays: Any, **call: Any) -> Array:
        return np.zeros_like(kernels.conv(*arrays, **call))

    return unregistered("zeros", {"conv": conv}, {})


def slightly_off() -> Implementation:
    def conv(*arrays: Any, **call: Any) -> Array:
        y = kernels.conv(*arrays, **call)
        return y + y.dtype.type(1e-3)

    return unregistered("off", {"conv": conv}, {})


def test_one_shape_passes_the_correct_kernels_and_what_is_a_little_off() -> None:
    pytest.importorskip("torch")

    assert Outcome(known=True, accused=False) == by_fixed_shape(correct)
    assert Outcome(known=True, accused=False) == by_fixed_shape(slightly_off)
    assert Outcome(known=True, accused=True) == by_fixed_shape(zeros)


def test_it_has_every_operator() -> None:
    pytest.importorskip("torch")

    assert set(CORRECT) == {s.case.operator for s in fixed_shape.samples("float32")}


def test_what_is_declined_is_passed_over() -> None:
    pytest.importorskip("torch")
    one = correct(supports=lambda case: "never")
    samples = fixed_shape.samples("float32")

    assert not known(one, samples)
    assert not accuses(one, samples, fixed_shape.compare)


def test_an_exception_counts_as_found() -> None:
    pytest.importorskip("torch")

    def conv(*arrays: Any, **call: Any) -> Array:
        raise IndexError("out of range")

    one = unregistered("mine", {"conv": conv}, {})

    assert accuses(one, fixed_shape.samples("float32"), fixed_shape.compare)


def test_a_plain_property_test_finds_what_is_a_little_off() -> None:
    pytest.importorskip("torch")
    kernel = unregistered("kernel", {"conv": kernels.conv}, {})

    assert [False, True] == [
        plain_hypothesis.accuses(one, "float32") for one in (kernel, slightly_off())
    ]


@pytest.mark.filterwarnings("ignore")
def test_onnx_node_tests_pass_the_correct_kernels() -> None:
    pytest.importorskip("onnx")

    assert Outcome(known=True, accused=False) == by_onnx(correct)
    assert {s.case.operator for s in onnx_nodes.samples()} == set(FORWARD)


def test_a_user_tests_in_the_dtype_that_is_claimed() -> None:
    assert "float32" == main_dtype(correct())
    assert "float16" == main_dtype(correct(dtypes=("float16", "int32")))
    assert None is main_dtype(correct(dtypes=("int32",)))


def test_a_cell_says_of_how_many_a_judge_could_know() -> None:
    seen, missed, unknown = Outcome(True, True), Outcome(True, False), Outcome(False, False)
    found = [
        ("a", dict.fromkeys(JUDGES, seen)),
        ("a", dict.fromkeys(JUDGES, unknown)),
        ("b", dict.fromkeys(JUDGES, missed)),
    ]
    lines = list(table(found, [0] * len(JUDGES)))

    assert f"| a | 2 | {' | '.join(['1 of 1'] * len(JUDGES))} |" in lines
    assert f"| b | 1 | {' | '.join(['0'] * len(JUDGES))} |" in lines
    assert f"| caught of all | | {' | '.join(['33 %'] * len(JUDGES))} |" in lines
