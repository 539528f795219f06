"""Relations: correct kernels agree with themselves, and each relation finds what breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.checks.relations import cases, claims, judge_cases, relate
from conformance.errors import Unsupported
from conformance.judging import CONFORMS, UNSUPPORTED, VIOLATES, Verdict
from conformance.operators import OPERATORS
from conformance.requirements import requirements
from conformance.running.run import run
from tests.defects import kernels, unregistered
from tests.defects.witness import CORRECT

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

CONV = "conv2d:float32:x=3,6,8,7:w=9,2,3,2:bias:stride=2,1:padding=1/2,0/1:groups=3:integers@3"
PLAIN = "conv1d:float32:x=3,4,9:w=6,4,3:bias:padding=2/1:dilation=2:integers@3"
TRANSPOSE = (
    "conv_transpose2d:float32:x=3,4,5,6:w=4,6,3,2:bias:stride=2,1:padding=1/1,0/1:integers@3"
)
MAX = "max_pool2d:float32:x=3,4,8,7:kernel=3,2:stride=2,1:padding=1/1,1/0:integers@3"
AVG = "avg_pool2d:float64:x=3,4,8,7:kernel=3,2:stride=2,1:padding=1/1,1/0:integers@3"


def verdicts(text: str, operator: str = "", function: Function | None = None) -> list[Verdict]:
    """Return what relations say of ``function``, among correct kernels of all other operators."""
    functions = dict(CORRECT)
    if function is not None:
        functions[operator] = function
    return relate(unregistered("mine", functions, {}), Case.parse(text))


def broken(text: str, function: Function) -> set[str | None]:
    """Return the requirements that ``function`` breaks."""
    operator = Case.parse(text).operator
    return {found.requirement for found in verdicts(text, operator, function) if found.failed}


# --- what is correct ------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_correct_kernels_agree_with_themselves(operator: str, dims: int) -> None:
    kernel = unregistered("kernel", CORRECT, {})
    chosen = [c for c in cases(operator, dims, ("float32", "float64"), seed=1) if c.x[1] < 10]
    found = [v for case in chosen for v in relate(kernel, case)]

    assert found
    assert {CONFORMS} == {v.status for v in found}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32", "int64"])
def test_they_do_so_in_every_dtype(dtype: str) -> None:
    kernel = unregistered("kernel", CORRECT, {"dtypes": (dtype,)})
    case = Case.parse(CONV.replace("float32", dtype))

    assert {CONFORMS} == {v.status for v in relate(kernel, case)}


def test_every_relation_is_asked_of_something() -> None:
    asked = {
        claim.requirement
        for operator, dims in itertools.product(OPERATORS, (1, 2, 3))
        for case in cases(operator, dims, ("float32",), seed=0)
        if case.x[1] < 10
        for claim in claims(case)
    }

    assert {id for id in requirements() if id.startswith("RELATE-")} == asked


def test_an_answer_within_a_declared_normwise_bound_is_not_accused() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return y * np.float32(1 + 2.0**-22)

    one = unregistered("mine", {"conv": conv}, {"error": "normwise", "amplification": 4.0})

    assert {CONFORMS} == {v.status for v in relate(one, Case.parse(CONV))}


def test_one_far_outside_of_it_is() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        y[0, 0] += len(x)  # depends on the batch
        return y

    one = unregistered("mine", {"conv": conv}, {"error": "normwise", "amplification": 4.0})
    failed = [v for v in relate(one, Case.parse(CONV)) if v.failed]

    assert "RELATE-1" in {v.requirement for v in failed}
    assert any("allowed: +-" in v.message for v in failed)


def test_a_gap_on_one_side_says_nothing() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        if call["groups"] != 3:
            raise Unsupported("groups other than 3")
        return kernels.conv(x, w, bias, **call)

    found = verdicts(CONV, "conv", conv)

    assert UNSUPPORTED in {v.status for v in found}
    assert not any(v.failed for v in found)


def test_a_flipped_kernel_gives_the_convolution_of_signal_processing() -> None:
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 10, (7, 8)), rng.integers(-9, 10, (3, 2))
    pairs = tuple((size - 1, size - 1) for size in w.shape)
    call = {"stride": (1, 1), "padding": pairs, "dilation": (1, 1), "groups": 1}
    flipped = w[::-1, ::-1].astype(np.float64)
    ours = kernels.conv(x[None, None].astype(np.float64), flipped[None, None], None, **call)

    assert signal.convolve(x, w).tolist() == ours[0, 0].tolist()


def test_and_that_commutes_with_reversal() -> None:
    signal = pytest.importorskip("scipy.signal")
    case = Case.parse("conv2d:float64:x=1,1,7,8:w=1,1,3,2:padding=2/2,1/1:integers@0")
    (claim,) = [c for c in claims(case) if c.requirement == "RELATE-9"]
    whole, turned = (
        signal.correlate(call.inputs[0][0, 0], call.inputs[1][0, 0])[None, None]
        for call in claim.calls
    )
    left, right, _ = claim.sides([whole, turned])

    assert left.tolist() == right.tolist()


# --- what each relation finds ---------------------------------------------------------------------


def test_a_batch_element_that_reads_another_is_found() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x[::-1].copy(), w, bias, **call)[::-1].copy() + x[0, 0].flat[0]

    assert "RELATE-1" in broken(CONV, conv)


def test_a_group_that_reads_the_next_is_found() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        per = x.shape[1] // call["groups"]
        return kernels.conv(np.roll(x, per, axis=1), w, bias, **call)

    assert "RELATE-2" in broken(CONV, conv)


def test_a_point_kernel_of_transposed_weights_is_found() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        square = w.shape[0] == w.shape[1] and set(w.shape[2:]) == {1}
        return kernels.conv(x, w.swapaxes(0, 1) if square else w, bias, **call)

    assert {"RELATE-3"} <= broken("conv1d:float32:x=1,4,9:w=4,4,3:integers@0", conv)


def test_dilation_that_moves_a_tap_is_found() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        moved = np.roll(w, 1, axis=-1) if max(call["dilation"]) > 1 else w
        return kernels.conv(x, moved, bias, **call)

    assert "RELATE-4" in broken(PLAIN, conv)


@pytest.mark.parametrize("text", [CONV, TRANSPOSE, MAX, AVG])
def test_a_stride_that_starts_late_is_found(text: str) -> None:
    case = Case.parse(text)

    def late(*arrays: Any, **call: Any) -> Array:
        y: Array = CORRECT[case.operator](*arrays, **call)
        return np.roll(y, 1, axis=2) if max(call["stride"]) > 1 else y

    assert "RELATE-5" in broken(text, late)


@pytest.mark.parametrize("text", [PLAIN, TRANSPOSE, MAX, AVG])
def test_padding_at_the_wrong_end_is_found(text: str) -> None:
    case = Case.parse(text)

    def swapped(*arrays: Any, **call: Any) -> Array:
        call["padding"] = tuple((after, before) for before, after in call["padding"])
        return np.asarray(CORRECT[case.operator](*arrays, **call))

    one_sided = text.replace("1/1", "1/0")

    assert "RELATE-6" in broken(one_sided, swapped)


def test_a_transpose_that_is_none_is_found() -> None:
    def conv_transpose(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        back = w[..., ::-1]
        return kernels.conv_transpose(x, back, bias, **call)

    assert "RELATE-7" in broken(TRANSPOSE, conv_transpose)


GRADIENTS = {
    "conv_input_grad": "conv_input_grad1d:float32:x=2,3,9:w=4,3,3:stride=2:integers@1",
    "conv_weight_grad": "conv_weight_grad1d:float32:x=2,3,9:w=4,3,3:stride=2:integers@1",
    "conv_bias_grad": "conv_bias_grad1d:float32:x=2,3,9:integers@1",
    "max_pool_grad": "max_pool_grad1d:float32:x=2,3,9:kernel=3:stride=2:integers@1",
    "avg_pool_grad": "avg_pool_grad1d:float32:x=2,3,9:kernel=3:stride=2:integers@1",
}


@pytest.mark.parametrize("operator", GRADIENTS)
def test_a_gradient_that_is_twice_too_large_is_found_by_the_adjoint_identity(operator: str) -> None:
    def doubled(*arrays: Any, **call: Any) -> Array:
        return np.asarray(2 * CORRECT[operator](*arrays, **call))

    assert {"RELATE-8"} == broken(GRADIENTS[operator], doubled)


def test_a_kernel_that_walks_off_its_end_is_found_by_reversal() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        y[..., -1] = 0
        return y

    assert "RELATE-9" in broken(PLAIN, conv)


def test_a_divisor_that_is_wrong_everywhere_is_found() -> None:
    def avg_pool(x: Array, **call: Any) -> Array:
        return kernels.avg_pool(x, **call, divide=lambda axes, include: np.full(1, 5))

    assert {"RELATE-10"} == broken(AVG, avg_pool)


@pytest.mark.parametrize("text", [PLAIN, TRANSPOSE, MAX, AVG])
def test_a_last_channel_that_is_left_out_is_found(text: str) -> None:
    case = Case.parse(text)

    def short(*arrays: Any, **call: Any) -> Array:
        y: Array = CORRECT[case.operator](*arrays, **call)
        y[:, -1] = 0
        return y

    assert "RELATE-11" in broken(text, short)


def test_input_channels_past_a_block_that_are_dropped_are_found() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        w = w.copy()
        w[:, 3:] = 0
        return kernels.conv(x, w, bias, **call)

    assert "RELATE-12" in broken(PLAIN, conv)


@pytest.mark.parametrize("text", [PLAIN, TRANSPOSE, MAX, AVG])
def test_a_position_past_a_tile_that_is_wrong_is_found(text: str) -> None:
    case = Case.parse(text)
    axis = 2 + int(np.argmax(case.x[2:]))

    def tiled(*arrays: Any, **call: Any) -> Array:
        y: Array = CORRECT[case.operator](*arrays, **call)
        moved = np.moveaxis(y, axis, -1)
        moved[..., 3:] = 0
        return y

    assert "RELATE-13" in broken(text, tiled)


def test_padding_that_is_a_number_is_found() -> None:
    def max_pool(x: Array, **call: Any) -> Array:
        return kernels.max_pool(x, **call, fill=-100)

    assert "RELATE-14" in broken(MAX, max_pool)


# --- what is said of them -------------------------------------------------------------------------


def test_a_message_says_what_was_compared_and_where_it_differs() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        if len(x) == 3:
            y[2, 4, 1] = 7
        return y

    (found,) = [v for v in verdicts(PLAIN, "conv", conv) if v.requirement == "RELATE-1"]

    assert VIOLATES == found.status
    assert found.message.startswith("not what the two halves of the batch, apart gives: 1 of ")
    assert "worst at [2, 4, 1]: 7 against" in found.message
    assert found.message.endswith("allowed: no difference (every sum is exact here)")


def test_an_exception_for_a_part_cites_the_part() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        if len(x) == 1:
            raise IndexError("list index out of range")
        return kernels.conv(x, w, bias, **call)

    found = [v for v in verdicts(PLAIN, "conv", conv) if v.failed]

    assert {"DECLARE-1"} == {v.requirement for v in found}
    assert 1 == found[0].case.x[0]


def test_large_cases_move_with_the_seed() -> None:
    assert cases("conv", 2, ("float32",), seed=0) != cases("conv", 2, ("float32",), seed=1)


def test_a_case_that_is_not_supported_is_passed_over() -> None:
    one = unregistered("mine", {"conv": CORRECT["conv"]}, {"supports": lambda case: "never"})

    assert [] == list(judge_cases(one, cases("conv", 1, ("float32",), seed=0), lambda case: True))


def test_what_cannot_be_afforded_is_left_out() -> None:
    one = unregistered("mine", {"conv": CORRECT["conv"]}, {})
    chosen = cases("conv", 1, ("float32",), seed=0)
    asked: list[Case] = []

    def first_alone(case: Case) -> bool:
        asked.append(case)
        return len(asked) == 1

    found = {verdict.case for verdict in judge_cases(one, chosen, first_alone)}

    assert (2, {asked[0]}) == (len(asked), found)


def test_a_run_reports_what_only_large_shapes_show(
    tmp_path: Path, cache_folder: Path, empty_registry: None
) -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        flat = w.reshape(-1)
        return kernels.conv(x, flat[np.arange(flat.size) % 65536].reshape(w.shape), bias, **call)

    one = unregistered("mine", {"conv": conv}, {})
    result = run(
        [one],
        operators=["conv"],
        dims=[1],
        dtypes=["float32"],
        checks=["relations"],
        examples=5,
        suites=(),
        seconds=20,
        output=tmp_path,
    )
    (cell,) = result.cells

    assert {"RELATE-11", "RELATE-12"} >= {v.requirement for v in cell.violations}
    assert cell.violations
    assert "relate(get('mine')" in cell.violations[0].script
