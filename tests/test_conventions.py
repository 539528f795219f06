"""Probes of conventions and of accuracy: what is followed, whatever is declared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.checks.conventions import Probe, mismatches, probe
from conformance.judging import judge
from conformance.registration.implementation import Implementation
from conformance.reports import load
from conformance.reports.differences import choices, differences
from conformance.reports.differences_markdown import differences_markdown
from conformance.runfile.reading import read
from conformance.runfile.tables import Violation
from conformance.runfile.words import MIXED, NEITHER
from conformance.running.run import run
from tests.defects import gradient_kernels, kernels, unregistered

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.usefixtures("cache_folder")


def of(operator: str, function: Callable[..., Any] | None = None, **declared: Any) -> Any:
    chosen = function or getattr(kernels, operator)
    return unregistered("mine", {operator: chosen}, declared)


def seen(one: Implementation, convention: str, dtype: str = "float32") -> Probe:
    (operator,) = one.functions
    found = {f.convention: f for f in probe(one, operator, 2, dtype)}
    return found[convention]


def ignoring_nan(x: Array, *, kernel: Any, **parameters: Any) -> Array:
    return kernels.max_pool(np.where(np.isnan(x), -np.inf, x), kernel=kernel, **parameters)


def ignoring_nan_in_lanes(x: Array, **parameters: Any) -> Array:
    """NaN is dropped in the channels that fill a vector register, and kept in the rest."""
    lanes = x.shape[1] // 16 * 16
    tame = np.concatenate(
        [np.where(np.isnan(x[:, :lanes]), -np.inf, x[:, :lanes]), x[:, lanes:]], 1
    )
    return kernels.max_pool(tame.astype(x.dtype), **parameters)


def flushing(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
    tiny = np.finfo(x.dtype).tiny
    y = kernels.conv(np.where(np.abs(x) < tiny, x * 0, x), w, bias, **parameters)
    return np.where(np.abs(y) < tiny, y * 0, y)


def in_half(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
    half = (None if a is None else a.astype(np.float16).astype(np.float32) for a in (x, w, bias))
    return kernels.conv(*half, **parameters)


# --- which alternative ----------------------------------------------------------------------------


def test_the_default_is_followed_by_what_does_nothing_special() -> None:
    found = seen(of("max_pool"), "nan")

    assert ("propagate", "propagate", True) == (found.declared, found.followed, found.agrees)
    assert found.probes >= 8


def test_another_alternative_is_seen_whatever_is_declared() -> None:
    found = seen(of("max_pool", ignoring_nan), "nan")

    assert ("propagate", "ignore", False) == (found.declared, found.followed, found.agrees)


def test_a_declared_alternative_agrees() -> None:
    assert seen(of("max_pool", ignoring_nan, conventions={"nan": "ignore"}), "nan").agrees


def test_a_wrong_maximum_is_held_against_what_the_declared_alternative_asks_for() -> None:
    def from_the_lowest_number(x: Array, **parameters: Any) -> Array:
        return np.maximum(ignoring_nan(x, **parameters), np.finfo(x.dtype).min)

    one = of("max_pool", from_the_lowest_number, conventions={"nan": "ignore"}, dtypes="float16")
    verdict = judge(one, "max_pool1d:float16:x=1,1,1:kernel=1:every@31745")

    assert "got -65504, exact -inf" in verdict.message


@pytest.mark.parametrize("declared", ["propagate", "ignore"])
def test_a_mixture_over_lanes_agrees_with_no_declaration(declared: str) -> None:
    one = of("max_pool", ignoring_nan_in_lanes, conventions={"nan": declared})

    found = seen(one, "nan")

    assert (MIXED, False) == (found.followed, found.agrees)


def test_flushing_is_seen() -> None:
    found = seen(of("conv", flushing), "subnormal")

    assert ("gradual", "flush", False) == (found.declared, found.followed, found.agrees)


def test_whoever_takes_subnormal_elements_for_zeros_may_return_any_of_them() -> None:
    def first_of_zeros(x: Array, **parameters: Any) -> Array:
        """The first of each window, which the probe fills with subnormal numbers of both signs."""
        y = kernels.max_pool(x, **parameters)
        if np.abs(x.astype(np.float32)).max(initial=0) >= np.finfo(np.float32).smallest_normal:
            return y
        return np.ascontiguousarray(x[:, :, : y.shape[2], : y.shape[3]])

    one = of("max_pool", first_of_zeros, dtypes=("bfloat16",))

    assert "flush" == seen(one, "subnormal", "bfloat16").followed


def test_what_is_stricter_than_declared_agrees() -> None:
    found = seen(of("conv", conventions={"subnormal": "flush"}), "subnormal")

    assert ("flush", "gradual", True) == (found.declared, found.followed, found.agrees)


def test_the_first_of_tied_maxima_is_seen() -> None:
    one = of("max_pool_grad", gradient_kernels.max_pool_grad)

    assert "first" == seen(one, "tie").followed


def test_byte_order_may_be_computed_with_or_declined() -> None:
    def native_only(x: Array, **parameters: Any) -> Array:
        if not x.dtype.isnative:
            raise ValueError("x: native byte order only")
        return kernels.max_pool(x, **parameters)

    assert "compute" == seen(of("max_pool"), "byte_order").followed
    assert "reject" == seen(of("max_pool", native_only), "byte_order").followed


def test_bytes_taken_for_native_ones_are_neither() -> None:
    def as_native(x: Array, **parameters: Any) -> Array:
        return kernels.max_pool(x.view(x.dtype.newbyteorder("=")), **parameters)

    assert NEITHER == seen(of("max_pool", as_native), "byte_order").followed


# --- calls that a convention accepts --------------------------------------------------------------


def accepting_padding(x: Array, **parameters: Any) -> Array:
    return kernels.max_pool(x, skip=("padding",), **parameters)


def test_rejecting_is_followed_by_what_raises() -> None:
    found = seen(of("max_pool"), "pool_padding")

    assert ("reject", True) == (found.followed, found.agrees)


def test_declaring_to_accept_and_raising_does_not_agree() -> None:
    found = seen(of("max_pool", conventions={"pool_padding": "accept"}), "pool_padding")

    assert ("accept", "reject", False) == (found.declared, found.followed, found.agrees)


def promoting(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
    dtype = np.result_type(*(a for a in (x, w, bias) if a is not None))
    wide = (None if a is None else a.astype(dtype) for a in (x, w, bias))
    return kernels.conv(*wide, **parameters)


def converting_to_x(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
    like_x = (None if a is None else a.astype(x.dtype) for a in (w, bias))
    return kernels.conv(x, *like_x, **parameters)


def test_promotion_is_seen() -> None:
    assert "promote" == seen(of("conv", promoting), "mixed_dtypes").followed


def test_another_conversion_is_no_promotion() -> None:
    found = seen(of("conv", converting_to_x), "mixed_dtypes")

    assert (MIXED, False) == (found.followed, found.agrees)


def empty_sums(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
    if x.shape[1]:
        return kernels.conv(x, w, bias, **parameters)
    one = np.zeros((len(x), parameters["groups"], *x.shape[2:]), x.dtype)
    zero = np.zeros((len(w), 1, *w.shape[2:]), x.dtype)
    return kernels.conv(one, zero, bias, **parameters)


def test_an_empty_sum_is_seen() -> None:
    assert "empty_sum" == seen(of("conv", empty_sums), "zero_channels").followed


WITHOUT = "conv1d:float32:x=2,4,4:w=6,4,3:bias:invalid=no-channels:integers@0"


@pytest.mark.parametrize(
    ("function", "expected"),
    [(empty_sums, "conforms"), (lambda *a, **p: empty_sums(*a, **p) + 1, "violates")],
)
def test_what_a_convention_accepts_must_be_right(
    function: Callable[..., Any], expected: str
) -> None:
    one = of("conv", function, conventions={"zero_channels": "empty_sum"})

    found = judge(one, WITHOUT)

    assert expected == found.status
    assert ("violates" == expected) == ("as it declares, but" in found.message)


# --- accuracy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wide", "dtype", "expected"),
    [
        (np.float32, "float32", "float32"),
        (np.float64, "float32", "float64"),
        (np.float32, "float64", "float32"),
        (np.float32, "float16", "float64"),
    ],
)
def test_the_accumulator_that_is_attained_is_named(wide: Any, dtype: str, expected: str) -> None:
    def conv(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
        made = (None if a is None else a.astype(wide) for a in (x, w, bias))
        return kernels.conv(*made, wide=wide, **parameters).astype(x.dtype)

    found = seen(of("conv", conv, dtypes=(dtype,)), "accuracy", dtype)

    assert expected == found.followed
    claimed = {"float16": "float32"}.get(dtype, dtype)
    assert (np.finfo(wide).eps <= np.finfo(claimed).eps) == found.agrees


def test_a_multiplier_of_less_precision_is_named() -> None:
    found = seen(of("conv", in_half), "accuracy")

    assert ("float32", "tf32 multiplier") == (found.declared, found.followed)


def test_declared_formats_are_held_to() -> None:
    found = seen(of("conv", in_half, multiply="tf32"), "accuracy")

    assert ("tf32 multiplier", True) == (found.declared, found.agrees)


# --- in a run -------------------------------------------------------------------------------------

MEANT = (
    "nan: the default, propagate, is expected; ignore was followed; declare "
    'conventions={"nan": "ignore"} if that is meant'
)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Any]:
    def judged(*ones: Implementation) -> Any:
        chosen: dict[str, Any] = {"operators": ["max_pool"], "dims": [2], "dtypes": ["float32"]}
        return run(
            list(ones), **chosen, checks=["declare"], suites=[], examples=12, output=tmp_path
        )

    return judged


def test_a_mismatch_violates_the_declaration(small: Callable[..., Any]) -> None:
    found = small(of("max_pool", ignoring_nan))

    (violation,) = read(found.path).rows(Violation)
    assert "DECLARE-5" == violation.requirement
    assert MEANT == violation.message


def test_what_agrees_is_no_violation(small: Callable[..., Any]) -> None:
    assert small(of("max_pool", ignoring_nan, conventions={"nan": "ignore"})).conforms


def test_reports_show_who_follows_what(small: Callable[..., Any]) -> None:
    other = unregistered("other", {"max_pool": kernels.max_pool}, {})
    report = load(small(of("max_pool", ignoring_nan), other).path)

    (nan,) = (choice for choice in choices(report) if choice.name == "nan")

    assert {"mine": "ignore", "other": "propagate"} == {
        one.implementation: one.followed for one in nan.followers
    }
    assert MEANT in differences_markdown(report)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(ignoring_nan, "convention"), (ignoring_nan_in_lanes, "defect")],
)
def test_an_alternative_that_is_not_declared_is_a_convention_and_a_mixture_a_defect(
    small: Callable[..., Any], function: Callable[..., Any], expected: str
) -> None:
    report = load(small(of("max_pool", function)).path)

    assert [expected] == [d.kind for d in differences(report) if d.requirement == "DECLARE-5"]


def test_only_what_is_declared_otherwise_is_a_mismatch() -> None:
    found = probe(of("max_pool", ignoring_nan_in_lanes), "max_pool", 2, "float32")

    assert ["DECLARE-5"] == [v.requirement for v in mismatches(of("max_pool"), found)]


def test_what_no_alternative_allows_is_a_violation_of_what_its_case_is() -> None:
    def off_by_one(x: Array, w: Array, bias: Array | None, **parameters: Any) -> Array:
        arrays = [a for a in (x, w, bias) if a is not None]
        x, w, *rest = (a.astype(np.float32) for a in arrays)
        mixed = len({a.dtype for a in arrays}) > 1
        return kernels.conv(x, w, rest[0] if rest else None, **parameters) + np.float32(mixed)

    one = of("conv", off_by_one)
    found = [f for f in probe(one, "conv", 1, "float32") if f.convention == "mixed_dtypes"]

    assert [NEITHER] == [f.followed for f in found]
    (verdict,) = mismatches(one, found)
    assert ("REJECT-20", True, found[0].case) == (
        verdict.requirement,
        verdict.failed,
        verdict.case,
    )
