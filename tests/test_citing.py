"""What a violation cites: the requirement but for which the call is right, else a wrong value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.checks.conventions import judge_convention, mismatches, probe
from conformance.checks.histories import NAMES
from conformance.checks.relations import judge_alone, relate
from conformance.checks.repeat import judge_named_history
from conformance.judging import judge
from conformance.judging.attribution import citable
from conformance.registration.implementation import Implementation
from conformance.running import causes
from conformance.running.causes import shrink_to_violations
from conformance.running.citing import cite, cited_requirement
from tests.defects import by_size, gradient_kernels, kernels, unregistered
from tests.defects.precision import tf32
from tests.defects.witness import CORRECT

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

VALUES = {
    "conv": {"CONV-1"},
    "conv_transpose": {"TRANSPOSE-1"},
    "avg_pool": {"AVGPOOL-1"},
    "max_pool": {"MAXPOOL-1", "MAXPOOL-3", "MAXPOOL-4"},
    "max_pool_grad": {"GRAD-4"},
    "avg_pool_grad": {"GRAD-5"},
    "conv_input_grad": {"GRAD-1"},
}
PLAIN = {"RESULT-1", "RESULT-2", "RESULT-3", "RESULT-4", "RESULT-5"}
"""The requirements that say that a value, a shape or a dtype is wrong, whatever makes it so."""


def of(
    functions: Mapping[str, Function] | Function, operator: str = "conv", **declared: Any
) -> Any:
    if not isinstance(functions, Mapping):
        functions = {operator: functions}
    return unregistered("mine", functions, declared)


def cited(one: Implementation, case: str) -> str | None:
    """Return what a violation of ``case``, shrunk, is cited as."""
    verdict = judge(one, case)
    if not verdict.failed:
        return None
    return next(iter(shrink_to_violations(one, [verdict]))).requirement


def cited_as_it_is(one: Implementation, case: str) -> str | None:
    """Return what a violation of ``case`` is cited as if there is no time for shrinking."""
    verdict = judge(one, case)
    return cited_requirement(one, verdict, verdict.case) if verdict.failed else None


# --- errors of whole results ----------------------------------------------------------------------


def test_what_leans_to_one_side_alone_is_cited_as_that() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x, w, bias, **call, contract=by_size.adding(by_size.towards(0)))

    case = "conv1d:float32:x=2,96,2:w=96,96,1:normal@3"

    assert "RESULT-7" == cited(of(conv), case)
    assert judge(of(conv, rounding="toward_zero"), case).status == "conforms"


def test_factors_of_less_precision_are_shrunk_to_one_wrong_element() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(tf32(x), tf32(w), bias, **call)

    case = "conv1d:float32:x=1,1200,1:w=64,1200,1:normal@15"

    assert "RESULT-6" == judge(of(conv), case).requirement
    assert cited(of(conv), case) in ("RESULT-1", "RESULT-2")


@pytest.mark.parametrize("requirement", ["RESULT-6", "RESULT-7"])
def test_a_known_wrong_value_covers_what_it_makes_of_whole_results(requirement: str) -> None:
    case = Case.parse("conv1d:float32:x=2,96,2:w=96,96,1:normal@3")

    assert {requirement, "RESULT-1", "RESULT-2"} <= citable(requirement, case)


# --- plain defects --------------------------------------------------------------------------------


def _zeros(y: Array) -> Array:
    return np.zeros_like(y)


def _constant(y: Array) -> Array:
    return np.full_like(y, 7)


def _nan(y: Array) -> Array:
    return np.full_like(y, np.nan)


def _off_by_one(y: Array) -> Array:
    return y + y.dtype.type(1)


def _scaled(y: Array) -> Array:
    return (y * y.dtype.type(1.03)).astype(y.dtype)


def _rolled(y: Array) -> Array:
    return np.roll(y, 1)


def _garbage(y: Array) -> Array:
    return np.random.default_rng().integers(500, 999, y.shape).astype(y.dtype)


def _float32(y: Array) -> Array:
    return y.astype(np.float32)


EVERYWHERE = (_zeros, _constant, _nan, _off_by_one, _scaled, _garbage)


def spoilt(operator: str, spoil: Callable[[Array], Array]) -> Function:
    def function(*arguments: Any, **parameters: Any) -> Array:
        with np.errstate(all="ignore"):
            return spoil(CORRECT[operator](*arguments, **parameters))

    return function


MARKED = {
    "conv": (
        "conv1d:float32:x=1,2,6:w=2,2,3:{}:integers@3",
        "conv1d:float32:x=1,2,6:w=2,2,3:{}@3",
    ),
    "avg_pool": (
        "avg_pool2d:float32:x=1,2,5,4:kernel=2,2:{}:integers@3",
        "avg_pool2d:float32:x=1,2,5,4:kernel=2,2:{}@3",
    ),
    "max_pool": (
        "max_pool2d:float32:x=1,2,5,4:kernel=2,2:{}:integers@3",
        "max_pool2d:float32:x=1,2,5,4:kernel=2,2:{}@3",
    ),
    "max_pool_grad": (
        "max_pool_grad2d:float32:x=1,2,5,4:kernel=2,2:{}:integers@3",
        "max_pool_grad2d:float32:x=1,2,5,4:kernel=2,2:{}@3",
    ),
}


@pytest.mark.parametrize("spoil", EVERYWHERE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("operator", MARKED)
def test_a_plain_defect_is_no_matter_of_layout_special_values_or_ties(
    operator: str, spoil: Callable[[Array], Array]
) -> None:
    one = of(spoilt(operator, spoil), operator)
    laid, special = MARKED[operator]
    cases = [laid.format(f"memory={way}") for way in ("fortran", "reversed", "byteswapped")]
    cases += [special.format(recipe) for recipe in ("nan", "inf", "zeros", "subnormal", "huge")]

    found = {case: (cited_as_it_is(one, case), cited(one, case)) for case in cases}

    allowed = PLAIN | VALUES[operator] | {None}
    assert {} == {case: seen for case, seen in found.items() if not allowed >= {*seen}}


@pytest.mark.parametrize("spoil", EVERYWHERE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("operator", ["conv", "max_pool", "avg_pool", "max_pool_grad"])
def test_a_plain_defect_follows_no_convention(
    operator: str, spoil: Callable[[Array], Array]
) -> None:
    one = of(spoilt(operator, spoil), operator)

    probes = probe(one, operator, 1, "float32")
    verdicts = list(mismatches(one, probes))
    found = {cited_requirement(one, verdict, verdict.case) for verdict in verdicts}

    assert verdicts
    assert found <= PLAIN | VALUES[operator]


@pytest.mark.parametrize("spoil", [*EVERYWHERE, _float32], ids=lambda f: f.__name__)
@pytest.mark.parametrize("operator", ["conv", "max_pool"])
def test_a_plain_defect_is_not_said_to_remember(
    operator: str, spoil: Callable[[Array], Array]
) -> None:
    one = of(spoilt(operator, spoil), operator)
    cases = (
        "conv1d:{}:x=2,2,5:w=2,2,2:bias:normal@1",
        "conv1d:{}:x=1,1,1:w=1,1,1:integers@0",
        "max_pool1d:{}:x=2,2,5:kernel=2:normal@1",
        "max_pool1d:{}:x=1,1,1:kernel=1:integers@0",
    )
    own = [
        Case.parse(case.format(dtype))
        for case in cases
        for dtype in ("float32", "float64")
        if case.startswith(operator)
    ]

    found = [judge_named_history(one, case, name) for case in own for name in NAMES]

    seen = {verdict.requirement for verdict in found if verdict is not None}
    assert seen <= PLAIN | VALUES[operator]


def no_bias(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    return kernels.conv(x, w, None, **call)


def rectified(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    return np.maximum(kernels.conv(x, w, bias, **call), 0)


def last_rectified(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    y = kernels.conv(x, w, bias, **call)
    y[..., -1] = np.maximum(y[..., -1], 0)
    return y


def clipped(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    return np.clip(kernels.conv(x, w, bias, **call), -20, 20)


def noisy_and_wrong(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    y = kernels.conv(x, w, bias, **call)
    return y + np.random.default_rng().integers(1, 9, y.shape).astype(y.dtype)


@pytest.mark.parametrize(
    "function",
    [no_bias, rectified, last_rectified, clipped, noisy_and_wrong],
    ids=lambda f: f.__name__,
)
def test_what_depends_on_the_data_alone_is_not_said_to_remember(function: Function) -> None:
    one = of(function)
    cases = [
        Case.parse(f"conv1d:float32:x={n},2,{size}:w=2,2,2:integers@{seed}")
        for n in (1, 2)
        for size in (2, 5)
        for seed in range(6)
    ]

    found = [judge_named_history(one, case, name) for case in cases for name in NAMES]

    groups = {(v.requirement or "").partition("-")[0] for v in found if v is not None}
    assert groups <= {"RESULT"}


def test_noise_is_no_matter_of_the_calls_before() -> None:
    """Where the bits of a right answer change by themselves, that is cited, and not the history."""

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        up = np.random.default_rng().random(y.shape) < 0.5
        return np.where(up & (y != 0), np.nextafter(y, y.dtype.type(np.inf)), y)

    one = of(conv)
    case = Case.parse("conv1d:float32:x=2,4,9:w=4,4,3:normal@0")

    found = {judge_named_history(one, case, name) for name in ("dtypes", "many", "turns")}

    assert {"REPEAT-1"} == {verdict.requirement for verdict in found if verdict is not None}


# --- each family, and its true offenders ----------------------------------------------------------


def nan_to_zero(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    return kernels.conv(np.where(np.isnan(x), 0, x).astype(x.dtype), w, bias, **call)


def nan_spread(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        return y + (x * 0).sum().astype(y.dtype)


def zeros_skipped(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        wild = (~np.isfinite(x)).astype(x.dtype)
        met = kernels.conv(wild, (w != 0).astype(w.dtype), None, **call) > 0
        finite = np.where(np.isfinite(x), x, 0).astype(x.dtype)
        return np.where(met, y, kernels.conv(finite, w, bias, **call))


def large_to_nan(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        return np.where(np.abs(y) > 1e30, np.nan, y).astype(y.dtype)


def large_halved(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        return np.where(np.abs(y) > 1e30, y / 2, y).astype(y.dtype)


def flushing(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    y = kernels.conv(x, w, bias, **call)
    return np.where(np.abs(y) < np.finfo(y.dtype).smallest_normal, y * 0, y)


def subnormal_doubled(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
    y = kernels.conv(x, w, bias, **call)
    return np.where(np.abs(y) < np.finfo(y.dtype).smallest_normal, 2 * y, y)


CONV = "conv1d:float32:x=2,3,7:w=4,3,3:{}"


@pytest.mark.parametrize(
    ("function", "data", "requirement"),
    [
        (nan_to_zero, "nan@2", "SPECIAL-1"),
        (nan_spread, "nan@2", "SPECIAL-2"),
        (zeros_skipped, "inf@3", "SPECIAL-4"),
        (large_to_nan, "huge@2", "SPECIAL-2"),
        (large_halved, "huge@2", "RESULT-1"),
        (flushing, "subnormal@2", "SPECIAL-7"),
        (subnormal_doubled, "subnormal@2", "RESULT-2"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_special_value_is_cited_as_what_became_of_it(
    function: Function, data: str, requirement: str
) -> None:
    assert requirement == cited(of(function), CONV.format(data))
    assert requirement == cited_as_it_is(of(function), CONV.format(data))


def test_a_layout_is_cited_where_the_contiguous_call_is_right() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return y if x.flags.c_contiguous else y + 1

    case = "conv1d:float32:x=2,3,7:w=4,3,3:memory=reversed:integers@1"

    assert "LAYOUT-3" == cited_as_it_is(of(conv), case)
    assert "LAYOUT-3" == cited(of(conv), case)


def test_integers_that_are_wrong_in_one_layout_alone_are_cited_as_that_layout() -> None:
    def max_pool(x: Array, **call: Any) -> Array:
        y = kernels.max_pool(x, **call)
        return y if x.flags.c_contiguous or x.dtype.kind == "f" else np.maximum(y, 0)

    one = of(max_pool, "max_pool", dtypes=("float32", "int32"))
    case = "max_pool2d:int32:x=1,2,3,3:kernel=1,1:memory={}:integers@1"

    assert "LAYOUT-8" == cited_as_it_is(one, case.format("channels_last"))
    assert "LAYOUT-8" == cited(one, case.format("channels_last"))
    assert None is cited(one, case.format("contiguous"))


def test_a_plainly_wrong_value_that_a_layout_met_first_is_cited_as_the_parameters() -> None:
    def undilated(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return y if call["dilation"] == (1,) else 2 * y

    case = "conv1d:float32:x=2,3,7:w=4,3,3:dilation=2:memory=cropped-x:integers@1"

    assert cited(of(undilated), case) == cited(of(undilated), case.replace(":memory=cropped-x", ""))


@pytest.mark.parametrize(
    ("way", "requirement"),
    [
        ("cropped_rows", "LAYOUT-9"),
        ("channels_last_cropped", "LAYOUT-10"),
        ("flipped_channels", "LAYOUT-3"),
        ("expanded_channels", "LAYOUT-11"),
        ("exchanged", "LAYOUT-12"),
        ("spatial_first", "LAYOUT-13"),
    ],
)
def test_a_layout_of_the_weight_alone_is_cited_and_named(way: str, requirement: str) -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return y if w.flags.c_contiguous else -y

    case = f"conv2d:float32:x=2,3,4,4:w=3,3,2,2:memory={way}:integers@1"
    verdict = judge(of(conv), case)
    found = next(iter(shrink_to_violations(of(conv), [verdict])))

    assert (requirement, f"{way}-w") == (found.requirement, found.case.memory)


def padded_with(number: float) -> Function:
    def max_pool(x: Array, *, padding: Any, **call: Any) -> Array:
        widths = ((0, 0), (0, 0), *padding)
        padded = np.pad(x, widths, constant_values=x.dtype.type(number))
        return kernels.max_pool(padded, padding=((0, 0),) * len(padding), **call)

    return max_pool


def grad_padded_with_zeros(grad: Array, x: Array, *, padding: Any, **call: Any) -> Array:
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    none = ((0, 0),) * len(padding)
    dx = gradient_kernels.max_pool_grad(grad, padded, padding=none, **call)
    inner = (slice(b, b + s) for (b, _), s in zip(padding, x.shape[2:], strict=True))
    return np.ascontiguousarray(dx[(slice(None), slice(None), *inner)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "parameters", ["padding=1/0", "stride=2:padding=1/1", "stride=1:padding=0/1"]
)
def test_padding_that_wins_is_cited_as_padding(parameters: str, seed: int) -> None:
    grads = of(grad_padded_with_zeros, "max_pool_grad")
    grad = f"max_pool_grad1d:float32:x=1,2,5:kernel=2:{parameters}:integers@{seed}"
    pools = of(padded_with(0), "max_pool")
    pool = f"max_pool1d:float32:x=1,2,5:kernel=2:{parameters}:integers@{seed}"

    for found in (cited_as_it_is, cited):
        assert found(grads, grad) in (None, "GRAD-8")
        assert found(pools, pool) in (None, "MAXPOOL-3")


def test_padding_of_the_lowest_number_is_no_matter_of_infinities() -> None:
    lowest = of(padded_with(float(np.finfo(np.float32).min)), "max_pool")

    assert "MAXPOOL-3" == cited_as_it_is(
        lowest, "max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:inf@1"
    )


@pytest.mark.parametrize("tie", ["last", "each"])
def test_another_rule_for_ties_is_cited_as_ties(tie: str) -> None:
    def max_pool_grad(grad: Array, x: Array, *, kernel: Any, **call: Any) -> Array:
        dx = np.zeros_like(x)
        for b, channel, p in np.ndindex(*grad.shape):
            window = x[b, channel, p : p + kernel[0]]
            best = np.flatnonzero(window == window.max())
            dx[b, channel, p + (best[-1:] if tie == "last" else best)] += grad[b, channel, p]
        return dx

    case = "max_pool_grad1d:float32:x=2,2,9:kernel=3:integers@0"

    assert "GRAD-14" == cited_as_it_is(of(max_pool_grad, "max_pool_grad"), case)


def test_a_declared_arithmetic_is_cited_where_exact_data_stays_exact() -> None:
    def in_half(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        rounded = (
            None if a is None else a.astype(np.float16).astype(a.dtype) for a in (x, w, bias)
        )
        return kernels.conv(*rounded, **call)

    def scaled(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(x, w, bias, **call) * x.dtype.type(1 + 2**-9)

    case = "conv1d:float32:x=2,3,7:w=4,3,3:normal@1"
    declared = {"multiply": "tf32"}

    def in_bfloat(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        cut = [
            None if a is None else (a.view(np.uint32) & 0xFFFF0000).view(np.float32)
            for a in (x, w, bias)
        ]
        return kernels.conv(*cut, **call)

    assert None is cited(of(in_half, **declared), case)
    assert "DECLARE-3" == cited(of(in_bfloat, **declared), case)
    assert cited(of(scaled, **declared), case) in ("RESULT-1", "RESULT-2")


# --- windows, integers, invalid calls -------------------------------------------------------------


def test_a_missing_tap_is_no_matter_of_the_order_of_axes() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        kept = w.copy()
        if w[0, 0].size > 1:
            kept.reshape(*w.shape[:2], -1)[..., -1] = 0
        return kernels.conv(x, kept, bias, **call)

    assert "RESULT-2" == cited(of(conv), "conv2d:float32:x=1,2,5,5:w=2,2,3,3:integers@1")


def test_transposed_windows_are_cited_as_the_order_of_axes() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        square = w.shape[2] == w.shape[3]
        return kernels.conv(x, w if square else w[..., ::-1, ::-1].copy(), bias, **call)

    assert "CONV-8" == cited(of(conv), "conv2d:float32:x=1,2,5,6:w=2,2,2,3:integers@1")


def test_an_integer_result_is_cited_as_a_parameter_where_floats_are_as_wrong() -> None:
    def conv(x: Array, w: Array, bias: Array | None, *, dilation: Any, **call: Any) -> Array:
        due = kernels.conv(x, w, bias, dilation=dilation, **call).shape[-1]
        return kernels.conv(x, w, bias, dilation=(1,) * len(dilation), **call)[..., :due].copy()

    one = of(conv, dtypes=("float32", "int32"))
    assert "CONV-5" == cited(one, "conv1d:int32:x=1,1,3:w=1,1,2:dilation=2:integers@1")


def accepting(wrong: bool) -> Function:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        arrays = [a for a in (x, w, bias) if a is not None]
        wide = np.result_type(*arrays)
        x, w, *rest = (a.astype(wide) for a in arrays)
        y = kernels.conv(x, w, rest[0] if rest else None, **call)
        return y.astype(np.float32) if wrong else y

    return conv


def test_an_accepted_call_that_is_as_wrong_as_valid_ones_is_no_matter_of_accepting() -> None:
    case = "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-wider:integers@0"
    declared = {"conventions": {"mixed_dtypes": "promote"}}

    assert None is cited(of(accepting(False), **declared), case)
    assert "RESULT-4" == cited(of(accepting(True), **declared), case)
    assert "REJECT-20" == cited(of(accepting(True)), case)


def test_an_invalid_call_that_changes_its_inputs_as_valid_ones_do_is_cited_as_that() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        x *= 2
        return kernels.conv(x, w, bias, **call)

    case = "conv1d:float32:x=1,1,3:w=1,1,2:invalid=stride-zero:integers@0"

    assert "PURE-1" == cited_as_it_is(of(conv), case)


# --- relations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "other"),
    [("avg_pool_grad", "avg_pool"), ("conv_transpose", "conv"), ("avg_pool", "conv")],
)
@pytest.mark.parametrize("how", ["wrong", "raises", "another dtype"])
def test_an_operator_is_not_accused_of_what_another_one_does(
    operator: str, other: str, how: str
) -> None:
    def broken(*arguments: Any, **parameters: Any) -> Array:
        if how == "raises":
            raise TypeError("not today")
        y = CORRECT[other](*arguments, **parameters)
        return y.astype(np.float16) if how == "another dtype" else y + 1

    one = of(CORRECT | {other: broken})
    case = {
        "avg_pool_grad": "avg_pool_grad1d:float32:x=2,2,6:kernel=2:integers@0",
        "conv_transpose": "conv_transpose1d:float32:x=2,2,5:w=2,3,2:stride=2:integers@0",
        "avg_pool": "avg_pool1d:float32:x=2,2,6:kernel=2:integers@0",
    }[operator]

    found = relate(one, Case.parse(case))

    assert [] == [verdict for verdict in found if verdict.failed]
    assert any(other in verdict.message for verdict in found)
    assert {operator} == {verdict.case.operator for verdict in found}


def test_a_relation_is_not_cited_where_a_small_call_is_wrong_by_itself() -> None:
    one = of(CORRECT | {"conv": spoilt("conv", _off_by_one)})
    case = Case.parse("conv1d:float32:x=2,2,6:w=2,2,3:integers@0")
    broken = next(verdict for verdict in relate(one, case) if verdict.failed)

    alone = judge_alone(one, broken)

    assert ("RESULT-2", "") == (alone.requirement, alone.history)
    (violation,) = shrink_to_violations(one, [broken])
    assert ("RESULT-2", True) == (violation.requirement, "--as" not in violation.replay)


# --- conventions ----------------------------------------------------------------------------------


def as_native(x: Array, **call: Any) -> Array:
    return kernels.max_pool(x.view(x.dtype.newbyteorder("=")), **call)


def native_or_not(x: Array, **call: Any) -> Array:
    if not x.dtype.isnative and x.shape[1] > 16:
        raise ValueError("native only")
    return kernels.max_pool(x, **call)


def ignoring_nan(x: Array, **call: Any) -> Array:
    return kernels.max_pool(np.where(np.isnan(x), -np.inf, x).astype(x.dtype), **call)


def ignoring_nan_in_lanes(x: Array, **call: Any) -> Array:
    y = kernels.max_pool(x, **call)
    y[:, :4] = ignoring_nan(x, **call)[:, :4]
    return y


def test_bytes_taken_for_native_ones_are_a_violation() -> None:
    one = of(as_native, "max_pool")
    found = {p.convention: p for p in probe(one, "max_pool", 1, "float32")}

    (verdict,) = mismatches(one, [found["byte_order"]])

    assert "neither" == found["byte_order"].followed
    assert "LAYOUT-7" == cited_requirement(one, verdict, verdict.case)


def test_either_byte_order_in_each_call_is_allowed() -> None:
    one = of(native_or_not, "max_pool")
    found = {p.convention: p for p in probe(one, "max_pool", 1, "float32")}

    assert ("either", True) == (found["byte_order"].followed, found["byte_order"].agrees)
    assert [] == list(mismatches(one, [found["byte_order"]]))


@pytest.mark.parametrize(
    ("operator", "function"),
    [
        ("max_pool", as_native),
        ("max_pool", ignoring_nan),
        ("max_pool", ignoring_nan_in_lanes),
        ("max_pool", spoilt("max_pool", _nan)),
        ("conv", flushing),
        ("conv", subnormal_doubled),
        ("conv", spoilt("conv", _off_by_one)),
        ("conv", spoilt("conv", _scaled)),
        ("max_pool_grad", spoilt("max_pool_grad", _zeros)),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whatever_the_table_does_not_call_followed_is_a_violation(
    operator: str, function: Function, dtype: str
) -> None:
    one = of(function, operator, dtypes=("float32", "float64"))

    for found in probe(one, operator, 2, dtype):
        verdicts = list(mismatches(one, [found]))
        assert found.agrees == (not verdicts)
        assert found.agrees or all(verdict.failed and verdict.requirement for verdict in verdicts)
        assert found.followed not in ("mixed", "neither") or verdicts


@pytest.mark.parametrize("dims", [1, 2])
def test_what_is_declined_is_not_asked(dims: int) -> None:
    from conformance import Unsupported

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        if x.ndim != 4:
            raise Unsupported("2-D alone")
        return kernels.conv(x, w, bias, **call)

    found = {p.convention: p for p in probe(of(conv), "conv", dims, "float32")}

    expected = ("not asked", 0) if dims == 1 else ("reject", found["zero_channels"].probes)
    assert expected == (found["zero_channels"].followed, found["zero_channels"].probes)
    assert (dims == 2) == bool(found["mixed_dtypes"].probes)


def test_a_message_names_the_default_and_what_may_be_declared() -> None:
    one = of(flushing)
    verdict = judge_convention(one, Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:subnormal@0"))

    assert "DECLARE-5" == verdict.requirement
    assert (
        "subnormal: the default, gradual, is expected; flush was followed; declare "
        'conventions={"subnormal": "flush"} if that is meant'
    ) == verdict.message


def test_a_message_says_declared_of_what_is_declared() -> None:
    one = of("kernel" and kernels.conv, conventions={"zero_channels": "empty_sum"})
    case = "conv1d:float32:x=2,4,4:w=6,4,3:bias:invalid=no-channels:integers@0"

    verdict = judge_convention(one, Case.parse(case))

    assert verdict.message.startswith("zero_channels: empty_sum is declared; reject was followed;")


def test_a_mixture_is_no_alternative_that_could_be_declared() -> None:
    one = of(ignoring_nan_in_lanes, "max_pool")
    case = Case.parse("max_pool1d:float32:x=1,1,1:kernel=1:nan@0")

    verdict = judge_convention(one, case, in_full=True)

    assert "DECLARE-5" == verdict.requirement
    assert "which no declaration allows" in verdict.message


def test_a_convention_that_is_not_followed_is_shrunk() -> None:
    one = of(ignoring_nan, "max_pool")
    (nan,) = (p for p in probe(one, "max_pool", 2, "float32") if p.convention == "nan")
    (verdict,) = mismatches(one, [nan])

    (violation,) = shrink_to_violations(one, [verdict])

    assert "DECLARE-5" == violation.requirement
    assert "max_pool2d:float32:x=1,1,1,1:kernel=1,1:nan@0" == violation.case.id
    assert "--as conventions" in violation.replay


def test_what_is_accepted_and_right_says_what_may_be_declared() -> None:
    case = "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-wider:integers@0"
    meant = 'declare conventions={"mixed_dtypes": "promote"} if that is meant'

    assert judge(of(accepting(False)), case).message.endswith(meant)
    assert meant not in judge(of(accepting(True)), case).message


@pytest.mark.parametrize("seed", range(4))
def test_gradients_of_subnormal_numbers_are_no_matter_of_ties(seed: int) -> None:
    case = f"max_pool_grad2d:float32:x=2,1,1,3:kernel=1,3:padding=0/0,1/1:subnormal@{seed}"

    assert "GRAD-14" != cited_as_it_is(of(grad_padded_with_zeros, "max_pool_grad"), case)


def test_a_failure_that_is_seen_again_unchanged_is_cited_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def conv(x: Array, w: Array, bias: Array | None, *, dilation: Any, **parameters: Any) -> Array:
        return CORRECT["conv"](x, w, bias, dilation=(1,) * len(dilation), **parameters)

    asked = list[Case]()

    def noted(one: Implementation, verdict: Any, case: Case) -> Any:
        asked.append(case)
        return cite(one, verdict, case)

    monkeypatch.setattr(causes, "cite", noted)

    assert "CONV-5" == cited(of(conv), "conv1d:float32:x=1,1,4:w=1,1,2:dilation=2:integers@0")
    assert ["conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"] == [c.id for c in asked]
