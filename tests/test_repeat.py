"""Histories of calls: what a first call hides is found, and correct kernels are left alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.checks.histories import CALLS
from conformance.checks.repeat import (
    judge_long_histories,
    judge_named_history,
    judge_short_histories,
)
from conformance.errors import Unsupported
from conformance.judging import Prepared, Verdict
from tests.defects import kernels, unregistered

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

CONV = "conv2d:float32:x=2,3,6,5:w=4,3,3,2:bias:stride=2,1:padding=1/0,0/1:normal@3"
OPERATORS = (
    CONV,
    "conv_transpose1d:float64:x=2,4,5:w=4,3,3:stride=2:normal@3",
    "max_pool2d:float32:x=2,3,6,5:kernel=3,2:padding=1/0,0/1:normal@3",
    "avg_pool1d:float64:x=2,3,9:kernel=3:exclude_pad:normal@3",
)


def function_of(operator: str) -> Function:
    return getattr(kernels, operator)


def repeated(function: Function, text: str = CONV, **declared: Any) -> Verdict | None:
    """Return what a short history shows, then what many calls do."""
    case = Case.parse(text)
    one = unregistered("mine", {case.operator: function}, declared)
    prepared = Prepared.of(case)
    return judge_short_histories(one, prepared) or judge_long_histories(one, prepared)


def cited(function: Function, text: str = CONV, **declared: Any) -> str | None:
    found = repeated(function, text, **declared)
    return found.requirement if found else None


def many(function: Function, name: str = "many", text: str = CONV) -> str | None:
    """Return what one history of a hundred calls shows."""
    case = Case.parse(text)
    found = judge_named_history(unregistered("mine", {case.operator: function}, {}), case, name)
    return found.requirement if found else None


# --- caches ---------------------------------------------------------------------------------------


def cached_by(key: Callable[[Array], object]) -> Function:
    """Return a conv that keeps its results by ``key`` of x, and hands out copies of them."""
    kept: dict[object, Array] = {}
    alive = []

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        alive.append(x)  # so that no address and no identity is used again
        if key(x) not in kept:
            kept[key(x)] = kernels.conv(x, w, bias, **call)
        return kept[key(x)].copy()

    return conv


KEYS: dict[str, Callable[[Array], object]] = {
    "shape": lambda x: x.shape,
    "identity": id,
    "address": lambda x: x.ctypes.data,
    "first element": lambda x: (x.shape, float(x.flat[0])),
    "last element": lambda x: (x.shape, float(x.flat[-1])),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_cache_that_does_not_look_at_all_data_is_found(key: str) -> None:
    assert "REPEAT-3" == cited(cached_by(KEYS[key]))


def test_a_cache_that_looks_at_x_alone_is_found() -> None:
    assert "REPEAT-3" == cited(cached_by(lambda x: (x.shape, id(x))))


def test_a_cache_of_packed_weights_by_shape_is_found() -> None:
    kept: dict[object, Array] = {}

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x, kept.setdefault(w.shape, w.copy()), bias, **call)

    assert "REPEAT-3" == cited(conv)


def test_a_message_says_which_call_was_wrong() -> None:
    found = repeated(cached_by(KEYS["identity"]))

    assert found is not None
    assert found.message.startswith("a call with the first call's arrays refilled in place gives")
    assert "and is wrong: " in found.message


# --- memory of its own ----------------------------------------------------------------------------


def test_one_buffer_for_all_outputs_is_found() -> None:
    kept: list[Array] = []

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        made = kernels.conv(x, w, bias, **call)
        if not kept:
            kept.append(made)
        kept[0][...] = made
        return kept[0]

    assert "PURE-3" == cited(conv)


def test_buffers_that_take_turns_are_found() -> None:
    kept: list[Array] = []
    turns = itertools.count()

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        made = kernels.conv(x, w, bias, **call)
        if len(kept) < 3:
            kept.append(made)
        buffer = kept[next(turns) % 3]
        buffer[...] = made
        return buffer

    assert "PURE-3" == cited(conv)


def test_views_of_one_private_buffer_are_found() -> None:
    buffer = np.empty(100_000, np.float32)

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        made = kernels.conv(x, w, bias, **call)
        view = buffer[: made.size].reshape(made.shape)
        view[...] = made
        return view

    assert "PURE-3" == cited(conv)


def test_an_output_overwritten_by_a_later_call_is_found() -> None:
    handed: list[Array] = []

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        for earlier in handed:
            earlier.fill(0)
        handed.append(kernels.conv(x, w, bias, **call))
        return handed[-1]

    assert "PURE-4" == cited(conv)


# --- what changes with the number of calls --------------------------------------------------------


def counting(change: Callable[[int, Array], Array]) -> Function:
    """Return a conv whose results go through ``change`` with the number of the call, from 1."""
    numbers = itertools.count(1)

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return change(next(numbers), kernels.conv(x, w, bias, **call))

    return conv


def test_drift_after_ten_calls_is_found() -> None:
    drifting = counting(lambda n, y: y if n <= 10 else y * np.float32(1 + n * 2.0**-20))

    assert "REPEAT-1" == many(drifting)


@pytest.mark.parametrize("number", [1, 2, 57, 100])
def test_one_wrong_call_among_many_is_found(number: int) -> None:
    assert "REPEAT-1" == many(counting(lambda n, y: y + (n == number)))


@pytest.mark.parametrize("number", [7, 57, 100])
def test_a_call_that_is_wrong_when_data_changes_is_found(number: int) -> None:
    seen: list[bytes] = []

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        same = seen[-1:] == [x.tobytes()]
        seen.append(x.tobytes())
        return kernels.conv(x, w, bias, **call) + (len(seen) == number and not same)

    assert "REPEAT-2" == many(conv, "turns")


def test_the_message_numbers_the_call() -> None:
    case = Case.parse(CONV)
    one = unregistered("mine", {"conv": counting(lambda n, y: y + (n == 57))}, {})
    found = judge_long_histories(one, Prepared.of(case))

    assert found is not None
    assert found.message.startswith("call 57 ")


def test_a_call_is_repeated_as_often_as_is_said() -> None:
    numbers: list[int] = []

    def note(number: int, y: Array) -> Array:
        numbers.append(number)
        return y

    many(counting(note))

    assert list(range(1, CALLS + 1)) == numbers


def test_noise_in_the_last_bit_is_found() -> None:
    rng = np.random.default_rng(0)

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return np.where(rng.random(y.shape) < 0.1, np.nextafter(y, np.float32(np.inf)), y)

    assert cited(conv) in ("REPEAT-1", "REPEAT-3")  # exact data shows it as a wrong result


def test_noise_in_rounded_data_is_found() -> None:
    turns = itertools.count()

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        exact = np.array_equal(x, np.round(x))
        y = kernels.conv(x, w, bias, **call)
        return y if exact or next(turns) % 2 else np.nextafter(y, np.float32(np.inf))

    assert "REPEAT-1" == cited(conv)


def test_a_counter_that_leaks_into_the_result_is_found() -> None:
    assert "REPEAT-2" == cited(counting(lambda n, y: y + (n > 2)))


def test_a_zero_of_the_other_sign_is_other_bits() -> None:
    numbers = itertools.count()

    def avg_pool(x: Array, **call: Any) -> Array:
        y = kernels.avg_pool(x, **call)
        return y if next(numbers) < 3 else np.where(y == 0, -y, y)

    assert "REPEAT-1" == many(avg_pool, text="avg_pool1d:float32:x=1,1,60:kernel=2:integers@0")


def test_an_exception_in_a_later_call_is_found() -> None:
    def fail(number: int, y: Array) -> Array:
        if number > 3:
            raise RuntimeError("out of slots")
        return y

    found = repeated(counting(fail))

    assert found is not None
    assert ("REPEAT-2", "crashed") == (found.requirement, found.status)
    assert "out of slots" in found.message


# --- what is no violation -------------------------------------------------------------------------


@pytest.mark.parametrize("text", OPERATORS)
def test_a_correct_kernel_is_left_alone(text: str) -> None:
    assert None is repeated(function_of(Case.parse(text).operator), text)


@pytest.mark.parametrize("text", OPERATORS)
def test_outputs_in_fortran_order_are_left_alone(text: str) -> None:
    plain = function_of(Case.parse(text).operator)

    assert None is repeated(lambda *a, **call: np.asfortranarray(plain(*a, **call)), text)


@pytest.mark.parametrize("text", OPERATORS)
def test_outputs_that_are_views_of_fresh_memory_are_left_alone(text: str) -> None:
    plain = function_of(Case.parse(text).operator)

    def viewed(*arguments: Any, **call: Any) -> Array:
        y = plain(*arguments, **call)
        return np.repeat(y, 2, axis=-1)[..., ::2]

    assert None is repeated(viewed, text)


def test_channels_last_outputs_are_left_alone() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(np.moveaxis(x, -1, 1), w.transpose(3, 2, 0, 1), bias, **call)
        return np.moveaxis(y, 1, -1)

    assert None is repeated(conv, layout="NHWC")


def test_a_cache_by_all_data_is_left_alone() -> None:
    kept: dict[object, Array] = {}

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        b = b"" if bias is None else bias.tobytes()
        key = (x.tobytes(), w.tobytes(), b, x.shape, w.shape, str(call))
        if key not in kept:
            kept[key] = kernels.conv(x, w, bias, **call)
        return kept[key].copy()

    assert None is repeated(conv)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, w, bias, **call: kernels.conv(x, w, bias, **call) + 1,
        lambda x, w, bias, **call: kernels.conv(x, w, None, **call),
        lambda x, w, bias, **call: kernels.conv(x, w, bias, **call)[..., :1],
        lambda x, w, bias, **call: None,
        lambda x, w, bias, **call: kernels.conv(x, w, bias, **call).tolist(),
    ],
)
def test_what_is_wrong_from_the_start_is_no_matter_of_repeating(wrong: Function) -> None:
    case = Case.parse(CONV)
    one = unregistered("mine", {"conv": wrong}, {})

    assert None is judge_short_histories(one, Prepared.of(case))


@pytest.mark.parametrize("kind", [Unsupported, NotImplementedError])
def test_what_is_not_supported_is_not_repeated(kind: type[Exception]) -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        raise kind("no")

    assert None is repeated(conv)


def test_prepared_inputs_stay_as_they_were() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        x.fill(0)
        return y

    prepared = Prepared.of(Case.parse(CONV))
    before = [value.tobytes() for value in prepared.inputs]
    judge_short_histories(unregistered("mine", {"conv": conv}, {}), prepared)

    assert before == [value.tobytes() for value in prepared.inputs]


@pytest.mark.parametrize(
    "text",
    [
        "conv2d:float32:x=1,1,1,3:w=1,1,1,2:integers@0",
        "conv2d:float32:x=2,3,6,5:w=4,3,2,2:integers@3",
        "conv1d:float32:x=1,1,7:w=1,1,2:stride=2:integers@0",
    ],
)
def test_a_kernel_that_ignores_a_parameter_is_not_said_to_remember(text: str) -> None:
    def conv(x: Array, w: Array, bias: Any, *, dilation: tuple[int, ...], **call: Any) -> Array:
        due: Array = kernels.conv(x, w, bias, dilation=dilation, **call)
        dense: Array = kernels.conv(x, w, bias, dilation=(1,) * len(dilation), **call)
        return dense[tuple(slice(size) for size in due.shape)].copy()

    found = judge_named_history(
        unregistered("mine", {"conv": conv}, {}), Case.parse(text), "parameters"
    )

    assert found is not None
    assert "RESULT-2" == found.requirement


def test_histories_leave_out_a_dtype_that_has_no_arrays_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("conformance.checks.repeat.available", lambda name: name != "bfloat16")
    monkeypatch.setattr(
        "conformance.checks.repeat.history", lambda name, case, dtypes, _: asked.append(dtypes)
    )
    declared = {"dtypes": ("float32", "bfloat16")}
    judge_named_history(
        unregistered("mine", {"conv": kernels.conv}, declared), Case.parse(CONV), "dtypes"
    )

    assert [("float32",)] == asked


def test_a_narrow_accumulator_is_not_taken_for_something_that_is_kept() -> None:
    """Its error depends on the data: that the call before had less of it tells nothing."""
    case = Case.parse("avg_pool_grad1d:bfloat16:x=1,1,5:kernel=3:stride=2:integers@18")

    def avg_pool_grad(grad: Any, input_shape: Any, **call: Any) -> Any:
        share = (grad.astype(np.float32) / 3).astype(grad.dtype)
        y = np.zeros(input_shape, grad.dtype)
        for window in range(grad.shape[-1]):
            y[..., 2 * window : 2 * window + 3] += share[..., window, None]
        return y

    one = unregistered("mine", {"avg_pool_grad": avg_pool_grad}, {"dtypes": ("bfloat16",)})
    found = [judge_named_history(one, case, name) for name in ("data", "turns")]

    assert ["RESULT-1"] * 2 == [verdict.requirement for verdict in found if verdict]
