"""The judge: what conforms and what does not, the requirement it cites, and its message."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from verdicts import of_output, on_inputs, right

from conformance.case import Case
from conformance.errors import CaseError, RegistrationError, Unsupported
from conformance.judging import (
    DECLINED,
    RAISED,
    UNSUPPORTED,
    Prepared,
    Verdict,
    judge,
    judge_prepared,
)
from conformance.operators import FORWARD
from conformance.registration import registry
from conformance.registration.registry import Registry
from tests.defects import kernels, unregistered

Judged = Callable[..., Verdict]

CONV = "conv2d:float32:x=2,3,5,4:w=2,3,3,2:bias:normal@1"
WHOLE = "conv2d:float32:x=2,3,5,4:w=2,3,3,2:bias:integers@1"
CASES = {
    "conv": CONV,
    "conv_transpose": "conv_transpose2d:float32:x=2,3,3,4:w=3,2,3,2:bias:stride=2,1:normal@1",
    "max_pool": "max_pool2d:float32:x=2,3,5,4:kernel=3,2:stride=2,1:padding=1/0,0/1:normal@1",
    "avg_pool": "avg_pool2d:float32:x=2,3,5,4:kernel=3,2:stride=2,1:padding=1/0,0/1:normal@1",
}
by_operator = pytest.mark.parametrize("operator", FORWARD)


@pytest.fixture
def judged(empty_registry: None) -> Judged:
    """Return a function that judges a function on one case, in an empty registry."""

    def judge_it(function: Callable[..., Any], text: str = CONV, **declared: Any) -> Verdict:
        registry.use(Registry())
        one = registry.implementation("mine", **declared)
        case = Case.parse(text)
        one.register(case.operator, function)
        return judge(one, case)

    return judge_it


def returning(output: Any) -> Callable[..., Any]:
    return lambda *arrays, **parameters: output


# --- what conforms --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@by_operator
def test_the_rounded_exact_result_conforms(operator: str, layout: str, judged: Judged) -> None:
    output = right(CASES[operator])
    if layout == "NHWC":
        output = np.ascontiguousarray(np.moveaxis(output, 1, -1))

    assert "conforms" == judged(returning(output), CASES[operator], layout=layout).status


def test_a_channels_last_conv_transpose_is_handed_its_weight_by_output_channel(
    judged: Judged,
) -> None:
    """Computed from the channels-last arrays alone: y[p*s + k] += x[p, c] * w[k, o, c]."""

    def conv_transpose(x: Any, w: Any, bias: Any, *, stride: Any, **_: Any) -> Any:
        (n, *size, _), (*kernel, o, _) = x.shape, w.shape
        out = [(s - 1) * step + k for s, step, k in zip(size, stride, kernel, strict=True)]
        y = np.zeros((n, *out, o), x.dtype)
        for p in np.ndindex(*size):
            for k in np.ndindex(*kernel):
                at = tuple(i * s + j for i, s, j in zip(p, stride, k, strict=True))
                y[(slice(None), *at)] += x[(slice(None), *p)] @ w[k].T
        return y + bias

    found = judged(conv_transpose, CASES["conv_transpose"], layout="NHWC")

    assert ("conforms", "") == (found.status, found.message)


@pytest.mark.parametrize(
    "arrange",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.frombuffer(b"?" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    ],
    ids=["fortran", "strided", "reversed", "unaligned and read-only"],
)
def test_the_output_may_lie_in_memory_in_any_way(arrange: Any, judged: Judged) -> None:
    assert "conforms" == judged(returning(arrange(right(CONV)))).status


@by_operator
def test_an_empty_batch_with_the_right_shape_conforms(operator: str, judged: Judged) -> None:
    text = CASES[operator].replace("x=2,", "x=0,")

    assert "conforms" == judged(returning(right(text)), text).status


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_every_dtype_conforms_to_itself(dtype: str, judged: Judged) -> None:
    text = CONV.replace("float32", dtype)

    assert "conforms" == judged(returning(right(text)), text, dtypes=dtype).status


def test_the_worst_error_is_a_share_of_the_bound(judged: Judged) -> None:
    found = judged(returning(right(CONV)))

    assert 0 < found.worst < 0.5


# --- what is no result to compare -----------------------------------------------------------------


class Tensor:
    """Looks like an array to NumPy, and is none."""

    shape, dtype = (2, 2, 3, 3), np.dtype(np.float32)

    def __array__(self, *_: Any, **__: Any) -> Any:
        return right(CONV)


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: None, "builtins.NoneType"),
        (lambda: right(CONV).tolist(), "builtins.list"),
        (lambda: np.float32(1), "numpy.float32"),
        (lambda: (right(CONV),), "builtins.tuple"),
        (lambda: np.ma.masked_array(right(CONV)), "numpy.ma.MaskedArray"),
        (lambda: right(CONV).view(Subclass), "test_judging.Subclass"),
        (lambda: np.asmatrix(np.ones((2, 2))), "numpy.matrix"),
        (lambda: Tensor(), "test_judging.Tensor"),
        (lambda: memoryview(right(CONV)), "builtins.memoryview"),
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_what_is_no_plain_array_violates(make: Any, kind: str, judged: Judged) -> None:
    found = judged(returning(make()))

    assert ("violates", "RESULT-5", math.inf) == (found.status, found.requirement, found.worst)
    assert found.message.startswith("returned a ")
    assert found.message.endswith(f"{kind.rpartition('.')[2]} where a plain numpy.ndarray is due")


def test_an_array_of_objects_violates(judged: Judged) -> None:
    found = judged(returning(right(CONV).astype(object)))

    assert ("RESULT-5", "returned an array of dtype object where numbers are due") == (
        found.requirement,
        found.message,
    )


@pytest.mark.parametrize(
    "reshape",
    [
        lambda a: a[:, :1],
        lambda a: a[..., None],
        lambda a: a[0],
        lambda a: a.swapaxes(2, 3)[:, :, :1],
        lambda a: np.moveaxis(a, 1, -1),
        lambda a: a.reshape(-1),
        lambda a: a[:1, :1, :1, :1].reshape(()),
    ],
)
def test_a_wrong_shape_violates(reshape: Any, judged: Judged) -> None:
    output = reshape(right(CONV))
    found = judged(returning(output))

    assert ("RESULT-3", f"returned shape {output.shape} where (2, 2, 3, 3) is due") == (
        found.requirement,
        found.message,
    )


def test_an_empty_batch_has_a_shape_as_well(judged: Judged) -> None:
    text = CONV.replace("x=2,", "x=0,")
    found = judged(returning(np.zeros((0, 3, 5, 4), np.float32)), text)

    assert "returned shape (0, 3, 5, 4) where (0, 2, 3, 3) is due" == found.message


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4", "complex64", "bool"])
def test_a_wrong_dtype_violates(dtype: str, judged: Judged) -> None:
    found = judged(returning(right(CONV).astype(dtype)))

    assert ("RESULT-4", f"returned dtype {np.dtype(dtype)} where float32 is due") == (
        found.requirement,
        found.message,
    )


def test_an_empty_batch_has_a_dtype_as_well(judged: Judged) -> None:
    text = CONV.replace("x=2,", "x=0,")

    assert "RESULT-4" == judged(returning(np.zeros((0, 2, 3, 3))), text).requirement


# --- side effects ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("position", "name"), [(0, "x"), (1, "w"), (2, "bias")])
def test_a_changed_input_violates(position: int, name: str, judged: Judged) -> None:
    def conv(*arrays: Any, **parameters: Any) -> Any:
        arrays[position][...] = 0
        return right(CONV)

    found = judged(conv)

    assert ("PURE-1", f"the call changed its input {name}") == (found.requirement, found.message)


def test_all_changed_inputs_are_named(judged: Judged) -> None:
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        x += 1
        w += 1
        return right(CONV)

    assert "the call changed its input x and w" == judged(conv).message


IDENTITY = "max_pool2d:float32:x=2,3,5,4:kernel=1,1:normal@1"


@pytest.mark.parametrize(
    "view",
    [lambda x: x, lambda x: x[...], lambda x: x.reshape(6, 20).reshape(x.shape)],
    ids=["itself", "view", "reshaped"],
)
def test_an_output_that_is_an_input_violates(view: Any, judged: Judged) -> None:
    found = judged(lambda x, **parameters: view(x), IDENTITY)

    assert ("PURE-2", "the output shares memory with x") == (found.requirement, found.message)


def test_a_broadcast_input_violates(judged: Judged) -> None:
    text = "max_pool1d:float32:x=1,1,1:kernel=1:normal@1"

    assert "PURE-2" == judged(lambda x, **_: np.broadcast_to(x, (1, 1, 1)), text).requirement


def test_a_copy_of_an_input_conforms(judged: Judged) -> None:
    assert "conforms" == judged(lambda x, **parameters: x.copy(), IDENTITY).status


# --- gaps and crashes -----------------------------------------------------------------------------


def raising(problem: BaseException) -> Callable[..., Any]:
    def function(*arrays: Any, **parameters: Any) -> Any:
        raise problem

    return function


@pytest.mark.parametrize("problem", [ValueError("no stride"), KeyError("x"), SystemExit(1)])
def test_an_exception_on_a_valid_case_is_a_crash(problem: BaseException, judged: Judged) -> None:
    found = judged(raising(problem))

    assert ("crashed", "DECLARE-1") == (found.status, found.requirement)
    assert f"raised on a valid case: {type(problem).__name__}: {problem}" == found.message
    assert found.failed


@pytest.mark.parametrize("problem", [Unsupported("no groups"), NotImplementedError("no groups")])
def test_a_gap_is_unsupported(problem: Exception, judged: Judged) -> None:
    found = judged(raising(problem))

    assert ("unsupported", None, "no groups") == (found.status, found.requirement, found.message)
    assert not found.failed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(False, "its supports= declines this case"), ("no bias", "no bias")],
)
def test_a_declined_case_is_not_called(answer: Any, expected: str, judged: Judged) -> None:
    found = judged(raising(AssertionError("called")), supports=lambda case: answer)

    assert ("unsupported", expected) == (found.status, found.message)


@pytest.mark.parametrize("case", [CONV, f"{CONV[:-9]}:invalid=stride-zero:normal@1"])
@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        (raising(ValueError("no")), RAISED),
        (raising(Unsupported("no")), DECLINED),
        (returning(None), None),
    ],
)
def test_a_verdict_says_how_the_call_came_out(
    case: str, function: Any, outcome: str | None, judged: Judged
) -> None:
    found = judged(function, case)

    assert (outcome, False) == (found.outcome, found.ended)


def test_byte_swapped_arrays_may_be_refused_by_any_exception(judged: Judged) -> None:
    found = judged(raising(ValueError("no")), CONV.replace("normal", "memory=byteswapped:normal"))

    assert (UNSUPPORTED, RAISED) == (found.status, found.outcome)


def test_an_undeclared_dtype_is_unsupported(judged: Judged) -> None:
    found = judged(returning(right(CONV)), dtypes="float64")

    assert ("unsupported", "declares no float32") == (found.status, found.message)


# --- values: what the message says ----------------------------------------------------------------


def test_exact_data_cite_the_exact_value() -> None:
    x, one = np.array([[[3, 5]], [[1, 2]]], np.float32), np.ones((1, 1, 1), np.float32)
    prepared = on_inputs("conv1d:float32:x=2,1,2:w=1,1,1:integers@0", x, one, None)
    found = of_output(prepared, np.array([[[3, 5]], [[1, 4]]], np.float32))

    assert ("violates", "RESULT-2") == (found.status, found.requirement)
    assert (
        "1 of 4 elements differ; worst at [1, 0, 1]: got 4, exact 2, allowed: no difference (every "
        "order of summation is exact here)"
    ) == found.message
    assert (1, 0, 1) == found.at


def test_rounded_data_cite_the_bound_and_its_multiple() -> None:
    x, one = np.array([[[1, 3]]], np.float32), np.ones((1, 1, 1), np.float32)
    prepared = on_inputs("conv1d:float32:x=1,1,2:w=1,1,1:normal@0", x, one, None)
    found = of_output(prepared, np.array([[[1, 3 + 2.0**-20]]], np.float32))

    # One product: (1 + v) * gamma(1) * 3 + v * 3 is little more than 6 * 2**-24; 2**-20 is 16.
    assert (
        "1 of 2 elements differ; worst at [0, 0, 1]: got 3.00000095, exact 3, allowed +-3.58e-07; "
        "the error 9.54e-07 is 2.667 times the bound"
    ) == found.message
    assert found.worst == pytest.approx(16 / 6, rel=1e-6)


def test_the_worst_is_worst_by_its_bound_not_by_its_size() -> None:
    one = np.ones((1, 1, 1), np.float32)
    x = np.array([[[1e6, 1.0]]], np.float32)
    prepared = on_inputs("conv1d:float32:x=1,1,2:w=1,1,1:normal@0", x, one, None)
    found = of_output(prepared, (x * np.array([1 + 1e-5, 1 + 1e-3])).astype(np.float32))

    assert found.message.startswith("2 of 2 elements differ; worst at [0, 0, 1]: got 1.00")
    assert (0, 0, 1) == found.at


@pytest.mark.parametrize("text", [CONV, WHOLE, CASES["avg_pool"], CASES["max_pool"]])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_violates(value: float, text: str, judged: Judged) -> None:
    output = right(text)
    output[1, 1, 1, 1] = value
    found = judged(returning(output), text)

    assert ("violates", math.inf) == (found.status, found.worst)
    assert f"1 of {output.size} elements differ; worst at [1, 1, 1, 1]: got {value}," in (
        found.message
    )


def test_nan_is_worse_than_any_number(judged: Judged) -> None:
    output = right(CONV)
    output[0, 0, 0, 0], output[1, 1, 1, 1] = 1e30, np.nan

    assert "worst at [1, 1, 1, 1]: got nan" in judged(returning(output)).message


def test_every_element_counts(judged: Judged) -> None:
    found = judged(returning(np.zeros((2, 2, 3, 3), np.float32)), WHOLE)
    zeros = np.count_nonzero(right(WHOLE) == 0)

    assert found.message.startswith(f"{36 - zeros} of 36 elements differ")


def test_float64_is_compared_beyond_the_digits_of_the_rounded_reference() -> None:
    """Halfway between two numbers either is right, and the exact value says by how much."""
    x = np.array([[[1.0], [2.0**-53]]])
    prepared = on_inputs("conv1d:float64:x=1,2,1:w=1,2,1:normal@0", x, np.ones((1, 2, 1)), None)
    shares = [of_output(prepared, np.array([[[v]]])).worst for v in (1.0, 1 + 2.0**-52)]

    assert shares[0] == pytest.approx(shares[1])
    assert 0 < shares[0] <= 1


# --- zeros ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["integers", "normal", "zeros"])
def test_the_sign_of_a_sum_that_is_zero_is_not_compared(data: str) -> None:
    zero = np.zeros((1, 1, 1), np.float32)
    prepared = on_inputs(f"conv1d:float32:x=1,1,1:w=1,1,1:{data}@0", zero, zero, None)

    assert ["conforms"] * 2 == [of_output(prepared, z).status for z in (zero, -zero)]


@pytest.mark.parametrize(
    ("window", "output", "expected"),
    [
        ([0.0, -1.0], 0.0, "conforms"),
        ([0.0, -1.0], -0.0, "violates"),
        ([-0.0, -1.0], -0.0, "conforms"),
        ([-0.0, -1.0], 0.0, "violates"),
        ([-0.0, 0.0], 0.0, "conforms"),
        ([-0.0, 0.0], -0.0, "conforms"),
        ([0.0, -0.0], 1e-45, "violates"),
    ],
)
def test_the_sign_of_a_largest_zero_is_compared_unless_both_tie(
    window: list[float], output: float, expected: str
) -> None:
    x = np.array([[window]], np.float32)
    prepared = on_inputs("max_pool1d:float32:x=1,1,2:kernel=2:normal@0", x)

    assert expected == of_output(prepared, np.array([[[output]]], np.float32)).status


# --- max_pool -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_max_pool_has_no_tolerance(dtype: str, judged: Judged) -> None:
    text = CASES["max_pool"].replace("float32", dtype)
    output = right(text)
    output[0, 0, 0, 0] = np.nextafter(output[0, 0, 0, 0], output.dtype.type(np.inf))
    found = judged(returning(output), text, dtypes=dtype)

    assert "violates" == found.status
    assert "allowed: no difference (the result is an element of its window)" in found.message


@pytest.mark.parametrize("payload", [0x7FC00000, 0xFFC00000, 0x7FC00001, 0x7F800001])
def test_any_nan_is_the_nan_of_max_pool(payload: int) -> None:
    x = np.array([[[np.nan, 1.0]]], np.float32)
    prepared = on_inputs("max_pool1d:float32:x=1,1,2:kernel=2:nan@0", x)
    output = np.array([[[payload]]], np.uint32).view(np.float32)

    assert "conforms" == of_output(prepared, output).status


# --- the judge itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        np.full((2, 2, 3, 3), np.nan, np.float32),
        np.full((2, 2, 3, 3), 0x7F800001, np.uint32).view(np.float32),  # signalling NaN
        np.full((2, 2, 3, 3), np.inf, np.float32),
        np.full((2, 2, 3, 3), 3e38, np.float32),
    ],
    ids=["nan", "signalling", "inf", "huge"],
)
@pytest.mark.parametrize("text", [CONV, WHOLE])
def test_the_judge_warns_of_nothing(text: str, output: Any, judged: Judged) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert "violates" == judged(returning(output), text).status


def test_max_pool_of_minus_infinity_warns_of_nothing() -> None:
    x = np.array([[[-np.inf, -np.inf, 1.0]]], np.float32)
    prepared = on_inputs("max_pool1d:float32:x=1,1,3:kernel=1:inf@0", x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = of_output(prepared, np.array([[[-np.inf, np.nan, 2.0]]], np.float32))

    assert found.message.startswith(
        "2 of 3 elements differ; worst at [0, 0, 1]: got nan, exact -inf"
    )


def test_an_implementation_that_makes_numpy_raise_does_not_break_the_judge(judged: Judged) -> None:
    def conv(*arrays: Any, **parameters: Any) -> Any:
        np.seterr(all="raise")
        return np.full((2, 2, 3, 3), np.inf, np.float32)

    with np.errstate():  # restores what conv sets
        assert "RESULT-1" == judged(conv).requirement


def test_a_case_may_be_given_as_its_id(judged: Judged) -> None:
    judged(returning(right(CONV)))

    assert judge("mine", Case.parse(CONV)) == judge("mine", CONV)


def test_an_invalid_case_is_a_mistake(judged: Judged) -> None:
    judged(returning(right(CONV)))
    with pytest.raises(CaseError, match="groups=2"):
        judge("mine", Case.parse(CONV).replace(groups=2))


def test_an_unregistered_function_is_a_mistake() -> None:
    with pytest.raises(RegistrationError, match="is not a registered implementation"):
        judge(returning(1), CONV)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_output_is_handed_back_channels_first(layout: str, judged: Judged) -> None:
    output = right(CONV) if layout == "NCHW" else np.moveaxis(right(CONV), 1, -1)
    judged(returning(output), layout=layout)
    found = judge_prepared(registry.get("mine"), Prepared.of(Case.parse(CONV)))

    assert found[1] is not None
    assert np.array_equal(right(CONV), found[1])


def test_a_prepared_case_is_judged_the_same_again(judged: Judged) -> None:
    judged(returning(right(CONV)))
    prepared, one = Prepared.of(Case.parse(CONV)), registry.get("mine")

    assert judge_prepared(one, prepared)[0] == judge_prepared(one, prepared)[0]


def test_a_verdict_prints_as_one_line(judged: Judged) -> None:
    found = judged(raising(ValueError("two\nlines")))

    assert "mine: crashed DECLARE-1: raised on a valid case: ValueError: two lines" == str(found)


# --- what a wrong maximum violates --------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "text", "requirement"),
    [
        (lambda x: x[..., :1], "max_pool1d:float32:x=1,1,2:kernel=2:integers@5", "MAXPOOL-1"),
        (
            lambda x: x[..., :1] + 1000,
            "max_pool1d:float32:x=1,1,2:kernel=2:integers@5",
            "MAXPOOL-4",
        ),
    ],
)
def test_a_wrong_maximum_is_an_element_or_none(wrong: Any, text: str, requirement: str) -> None:
    def max_pool(x: Any, **call: Any) -> Any:
        lowest = np.sort(x, axis=-1)
        return wrong(lowest).astype(x.dtype)

    assert requirement == judge(unregistered("mine", {"max_pool": max_pool}, {}), text).requirement


def test_a_maximum_of_padding_alone_is_about_padding() -> None:
    text = "max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0"

    def max_pool(x: Any, **call: Any) -> Any:
        y = kernels.max_pool(x, **call)
        return np.where(np.isfinite(y), y, np.float32(-1000))

    assert "MAXPOOL-3" == judge(unregistered("mine", {"max_pool": max_pool}, {}), text).requirement
