"""One call, observed: what it returned or raised, and what it did to its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.calling import Observation, from_layout, observe, one_line, to_layout
from conformance.errors import Unsupported
from conformance.signatures import SIGNATURES

X = np.arange(24.0).reshape(1, 2, 3, 4)
W = np.arange(32.0).reshape(2, 2, 4, 2)
BIAS = np.arange(2.0)
ROLES = ("image", "weight", "vector")


def seen(function: Any, inputs: Any = (X, W, BIAS), layout: str = "NCHW", **more: Any) -> Any:
    """Observe a call of ``function`` as a conv of copies of the arrays above, by default."""
    return observe(function, inputs, {}, layout, signature=SIGNATURES["conv"], **more)


def returning(output: Any) -> Any:
    return lambda x, w, bias: output


# --- what came back -------------------------------------------------------------------------------


def test_the_output_is_what_was_returned() -> None:
    output = np.ones(3)

    assert output is seen(returning(output)).output


@pytest.mark.parametrize("output", [None, 1.5, [1.0], np.float32(1), "text"])
def test_an_output_that_is_no_array_is_passed_on(output: Any) -> None:
    assert Observation(output=output) == seen(returning(output))


def test_the_parameters_are_passed_by_name() -> None:
    parameters = {"stride": (2, 1), "groups": 2}
    called = observe(
        lambda x, w, bias, **given: given,
        (X, W, BIAS),
        parameters,
        "NCHW",
        signature=SIGNATURES["conv"],
    )

    assert parameters == called.output


def test_an_absent_bias_is_none() -> None:
    assert seen(lambda x, w, bias: bias is None, (X, W, None)).output is True


@pytest.mark.parametrize("gap", [Unsupported("no groups"), NotImplementedError("no groups")])
def test_a_gap_is_seen_with_its_reason(gap: Exception) -> None:
    def raise_it(x: Any, w: Any, bias: Any) -> Any:
        raise gap

    assert Observation(unsupported="no groups") == seen(raise_it)


def test_a_gap_without_a_reason_says_so() -> None:
    def raise_it(x: Any, w: Any, bias: Any) -> Any:
        raise NotImplementedError

    assert Observation(unsupported="no reason given") == seen(raise_it)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (ValueError("stride=0"), "ValueError: stride=0"),
        (RuntimeError("two\n  lines"), "RuntimeError: two lines"),
        (MemoryError(), "MemoryError: "),
        (SystemExit(3), "SystemExit: 3"),
        (AssertionError("x" * 600), "AssertionError: " + "x" * 500 + " ..."),
    ],
)
def test_an_exception_is_seen_as_one_line(problem: BaseException, expected: str) -> None:
    def raise_it(x: Any, w: Any, bias: Any) -> Any:
        raise problem

    assert Observation(raised=expected) == seen(raise_it)


def test_the_keyboard_still_interrupts() -> None:
    def raise_it(x: Any, w: Any, bias: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seen(raise_it)


# --- what happened to the inputs ------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_changed_input_is_named(position: int, layout: str) -> None:
    def change(*arrays: Any) -> Any:
        arrays[position].reshape(-1)[0] += 1
        return np.zeros(1)

    assert (position,) == seen(change, layout=layout).changed


def test_every_changed_input_is_named() -> None:
    def change(x: Any, w: Any, bias: Any) -> Any:
        x *= 2
        bias += 1
        return np.zeros(1)

    assert (0, 2) == seen(change).changed


@pytest.mark.parametrize("problem", [ValueError("late"), Unsupported("late")])
def test_an_input_changed_before_an_exception_is_named(problem: Exception) -> None:
    def change(x: Any, w: Any, bias: Any) -> Any:
        w[...] = 0
        raise problem

    assert (1,) == seen(change).changed


def test_a_changed_sign_of_zero_is_a_change() -> None:
    def change(x: Any, w: Any, bias: Any) -> Any:
        x[0, 0, 0, 0] = -0.0
        return np.zeros(1)

    assert (0,) == seen(change).changed


def test_a_nan_that_stays_is_no_change() -> None:
    x = np.full_like(X, np.nan)

    assert () == seen(returning(np.zeros(1)), (x, W, BIAS)).changed


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_an_input_reshaped_in_place_is_a_change() -> None:
    def change(x: Any, w: Any, bias: Any) -> Any:
        x.shape = (24,)
        return np.zeros(1)

    assert (0,) == seen(change).changed


def test_what_an_implementation_does_to_its_inputs_does_not_reach_the_next() -> None:
    def change(x: Any, w: Any, bias: Any) -> Any:
        x[...] = 0
        return np.zeros(1)

    x = X.copy()
    seen(change, (x, W, BIAS))

    assert np.array_equal(X, x)


# --- shared memory --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x[:, ::2],
        lambda x: x[..., ::-1],
        lambda x: x.reshape(-1),
        lambda x: np.broadcast_to(x[..., :1], (5, *x.shape)),
        lambda x: x.view(np.int64),
        lambda x: np.frombuffer(x, np.uint8),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=2),
    ],
    ids=["itself", "slice", "reversed", "reshaped", "broadcast", "cast", "buffer", "windows"],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_view_of_an_input_is_seen(view: Any, layout: str) -> None:
    assert (0,) == seen(lambda x, w, bias: view(x), layout=layout).shared


def test_a_view_of_the_weight_is_seen() -> None:
    assert (1,) == seen(lambda x, w, bias: w[0]).shared


def test_a_copy_shares_nothing() -> None:
    assert () == seen(lambda x, w, bias: x.copy()).shared


def test_an_empty_output_shares_nothing() -> None:
    x = np.empty((0, 2, 3, 4))

    assert () == seen(lambda x, w, bias: x, (x, W, BIAS)).shared


# --- layouts --------------------------------------------------------------------------------------


def test_channels_first_arrays_are_handed_over_as_they_are() -> None:
    inputs = (X, W, None)

    assert inputs is to_layout(inputs, "NCHW", ROLES)


@pytest.mark.parametrize("spatial", [(3,), (3, 4), (3, 4, 5)])
def test_channels_last_puts_each_element_where_the_axes_say(spatial: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((2, 5, *spatial))
    last, _, _ = to_layout((x, np.ones((1, 1, *spatial)), None), "NHWC", ROLES)

    assert (2, *spatial, 5) == last.shape
    assert all(x[(n, c, *s)] == last[(n, *s, c)] for n, c, *s in np.ndindex(x.shape))


@pytest.mark.parametrize("kernel", [(3,), (3, 4), (3, 4, 5)])
def test_channels_last_weights_have_their_two_first_axes_last_in_reverse(
    kernel: tuple[int, ...],
) -> None:
    w = np.random.default_rng(0).random((6, 5, *kernel))
    _, last, _ = to_layout((np.ones((1, 1, *kernel)), w, None), "NHWC", ROLES)

    assert (*kernel, 5, 6) == last.shape
    assert all(w[(a, b, *k)] == last[(*k, b, a)] for a, b, *k in np.ndindex(w.shape))


def test_channels_last_arrays_are_contiguous() -> None:
    x, w, bias = to_layout((X, W, BIAS), "NHWC", ROLES)

    assert [True] * 3 == [value.flags.c_contiguous for value in (x, w, bias)]


def test_a_bias_has_one_layout() -> None:
    assert BIAS.tolist() == to_layout((X, W, BIAS), "NHWC", ROLES)[2].tolist()


def test_a_channels_last_call_is_handed_channels_last_arrays() -> None:
    shapes = seen(lambda x, w, bias: [x.shape, w.shape, bias.shape], layout="NHWC").output

    assert [(1, 3, 4, 2), (4, 2, 2, 2), (2,)] == shapes


def test_a_channels_last_output_comes_back_channels_first() -> None:
    output = np.random.default_rng(0).random((1, 3, 4, 2))
    got = seen(returning(output), layout="NHWC").output

    assert np.array_equal(np.moveaxis(output, -1, 1), got)


@pytest.mark.parametrize("role", ["image", "weight", "vector"])
@pytest.mark.parametrize("axes", [3, 4, 5])
def test_there_and_back_again_is_the_same_array(role: str, axes: int) -> None:
    array = np.random.default_rng(0).random((2, 3, 4, 5, 6)[:axes] if role != "vector" else 7)
    (last,) = to_layout((array,), "NHWC", (role,))

    assert np.array_equal(array, from_layout(last, "NHWC", role))


@pytest.mark.parametrize("output", [np.float64(1), [[1.0]], np.zeros(()), np.zeros(3)])
def test_outputs_without_channels_are_left_alone(output: Any) -> None:
    got = seen(returning(output), layout="NHWC").output

    assert (type(output), np.shape(output)) == (type(got), np.shape(got))


# --- one line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n\tb  c ", "a b c"), ("", ""), ("y" * 500, "y" * 500), (ValueError("v\nw"), "v w")],
)
def test_one_line_has_no_line_breaks(text: object, expected: str) -> None:
    assert expected == one_line(text)
