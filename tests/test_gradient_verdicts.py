"""Gradients as they are called, stored and judged: layouts, adjoints, ties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracle_gradients as oracle
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from verdicts import of_output, right

from conformance.calling import from_layout, observe, process_state, to_layout
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases
from conformance.errors import Unsupported
from conformance.judging import Accuracy, Prepared, judge, judge_prepared
from conformance.operators import GRADIENTS, ties
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registration.implementation import Implementation
from conformance.registration.registry import get, implementation
from conformance.running import cache
from conformance.running.shrink import shrink
from conformance.scripts.standalone import script
from conformance.signatures import SIGNATURES
from tests.correct import correct

NUMPY = ("naive", "im2col", "kernel-matrix", "stride-trick", "shifted-matmul")

SMALL = Ranges(
    dtypes=("float32", "float64", "float16", "bfloat16"),
    work=4000,
    boundary_share=0,
    kernel=(1, 2, 3),
    output=(1, 2, 3, 4),
)


def call(one: Implementation, operator: str, inputs: tuple[Any, ...], case: Case) -> Any:
    """Return the result of one call, channels-first, for channels-first ``inputs``."""
    signature = SIGNATURES[operator]
    parameters = {name: getattr(case, name) for name in signature.parameters}
    handed = to_layout(inputs, one.layout, signature.roles)
    return from_layout(one.functions[operator](*handed, **parameters), one.layout, signature.result)


# --- the implementations --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMPY)
def test_the_gradients_of_conv_are_its_adjoints(name: str) -> None:
    """<conv(x), g> = <x, conv_input_grad(g)> = <w, conv_weight_grad(g)>, exactly."""
    one = get(name)
    whole = Ranges(dtypes=("float64",), data=("integers",), work=3000, kernel=(1, 2, 3))

    @settings(max_examples=30, deadline=None)
    @given(cases("conv", whole))
    def check(case: Case) -> None:
        case = case.replace(bias=False)
        x, w, _ = make_inputs(case)
        try:
            y = call(one, "conv", (x, w, None), case)
        except Unsupported:  # a matrix that would be too large
            reject()
        grad = np.random.default_rng(case.seed).integers(-9, 10, y.shape).astype(np.float64)
        dx = call(one, "conv_input_grad", (grad, w, x.shape), case)
        dw = call(one, "conv_weight_grad", (grad, x, w.shape), case)

        assert (y * grad).sum() == (x * dx).sum() == (w * dw).sum()

    check()


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("operator", GRADIENTS)
def test_the_implementations_conform(name: str, operator: str) -> None:
    one = get(name)

    @settings(max_examples=25, deadline=None)
    @given(cases(operator, SMALL))
    def check(case: Case) -> None:
        found, _ = judge_prepared(one, Prepared.of(case))

        assert (found.status, found.message) == ("conforms", "")

    check()


# --- layout ---------------------------------------------------------------------------------------


def test_channels_last_moves_arrays_shapes_and_results_by_their_roles() -> None:
    case = Case.parse("conv_weight_grad2d:float32:x=2,4,5,6:w=6,2,3,2:groups=2:integers@0")
    inputs = make_inputs(case)
    seen = []

    def conv_weight_grad(grad: Any, x: Any, weight_shape: Any, **parameters: Any) -> Any:
        seen.extend([grad.shape, x.shape, weight_shape])
        return np.arange(np.prod(weight_shape), dtype=np.float32).reshape(weight_shape)

    signature = SIGNATURES[case.operator]
    process_state.look()  # if an earlier test's call has, pytest has changed the environment since
    output = observe(conv_weight_grad, inputs, case.parameters, "NHWC", signature=signature).output

    assert seen == [(2, 3, 5, 6), (2, 5, 6, 4), (3, 2, 2, 6)]
    assert output.shape == (6, 2, 3, 2)
    assert output[4, 1, 2, 0] == np.ravel_multi_index((2, 0, 1, 4), (3, 2, 2, 6))


@pytest.mark.parametrize("name", ["im2col", "shifted-matmul"])
@pytest.mark.parametrize(
    "text",
    [
        "conv_input_grad2d:float32:x=2,4,5,6:w=6,2,3,2:stride=2,1:groups=2:integers@0",
        "conv_weight_grad2d:float32:x=2,4,5,6:w=6,2,3,2:stride=2,1:groups=2:integers@0",
        "conv_bias_grad1d:float64:x=2,4,5:integers@0",
        "max_pool_grad1d:float32:x=2,4,5:kernel=2:integers@0",
        "avg_pool_grad2d:float32:x=20,40,5,6:kernel=3,2:padding=1/0,0/0:integers@0",
    ],
)
def test_a_reproducer_of_a_gradient_runs(
    name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In both layouts, with the arrays written out or, where they are large, made by recipe."""
    exec(compile(script(get(name), Prepared.of(Case.parse(text))), "script", "exec"), {})

    assert float(capsys.readouterr().out.rpartition("differs by")[2]) < 1e-5


def test_a_bank_keeps_the_shapes_that_gradients_are_handed(cache_folder: Path) -> None:
    found = [Case.parse("avg_pool_grad1d:float32:x=1,2,6:kernel=2:integers@1")]
    cache.prepare(lambda: found, "gradients", cached=True)

    again = cache.prepare(list, "gradients", cached=True)

    assert [p.inputs[1] for p in again] == [(1, 2, 6)]


# --- verdicts -------------------------------------------------------------------------------------

TIED = "max_pool_grad1d:float32:x=1,1,5:kernel=3:integers@0"
X = np.array([[[1, 2, 2, 2, 0]]], np.float32)
GRAD = np.array([[[3, 5, 8]]], np.float32)


def verdict_on(dx: list[float], **accuracy: Any) -> tuple[str, str | None]:
    case = Case.parse(TIED)
    reference = GRADIENTS["max_pool_grad"].reference(case, (GRAD, X))
    prepared = Prepared(case, (GRAD, X), reference)
    found = of_output(prepared, np.array([[dx]], np.float32), **accuracy)
    return found.status, found.requirement


def test_the_first_of_tied_maxima_gets_the_gradient() -> None:
    assert verdict_on([0, 8, 8, 0, 0]) == ("conforms", None)


@pytest.mark.parametrize(
    "dx", [[0, 0, 3, 13, 0], [0, 8, 16, 13, 0], [0, 3, 5, 8, 0]], ids=["last", "each", "other"]
)
def test_another_of_tied_maxima_is_a_violation_by_default(dx: list[float]) -> None:
    assert verdict_on(dx) == ("violates", "GRAD-14")


@pytest.mark.parametrize("dx", [[1, 8, 8, 0, 0], [0, 0, 0, 0, 0], [0, 9, 7, 0, 0]])
def test_a_gradient_that_no_tie_explains_is_no_matter_of_ties(dx: list[float]) -> None:
    assert verdict_on(dx) == ("violates", "RESULT-2")


@pytest.mark.parametrize("dx", [[0, 8, 8, 0, 0], [0, 0, 3, 13, 0], [0, 5, 11, 0, 0]])
def test_under_any_each_window_may_choose(dx: list[float]) -> None:
    assert verdict_on(dx, tie="any") == ("conforms", None)


@pytest.mark.parametrize(
    ("dx", "requirement"),
    [
        ([0, 8, 16, 13, 0], "GRAD-14"),
        ([0, 4, 4, 8, 0], "RESULT-2"),
        ([0, 5, 5, 6, 0], "RESULT-2"),
        ([0, 0, 0, 0, 0], "RESULT-2"),
    ],
)
def test_under_any_all_windows_together_must_have_chosen(dx: list[float], requirement: str) -> None:
    assert verdict_on(dx, tie="any") == ("violates", requirement)


def test_under_split_tied_maxima_share_alike() -> None:
    shares = [0, 3 / 2 + 5 / 3, 3 / 2 + 5 / 3 + 4, 5 / 3 + 4, 0]

    assert verdict_on(shares, tie="split") == ("conforms", None)
    assert verdict_on([0, 8, 8, 0, 0], tie="split") == ("violates", "GRAD-14")


@pytest.mark.parametrize("tie", ["last", "random"])
def test_any_choice_is_found_on_drawn_cases(tie: str) -> None:
    """Whatever the windows choose, in every dtype: the gradients are summed in float32 or wider."""
    operator = GRADIENTS["max_pool_grad"]
    assert isinstance(operator, MaxPoolGrad)

    @settings(max_examples=60, deadline=None)
    @given(cases("max_pool_grad", SMALL), st.integers(0, 99))
    def check(case: Case, seed: int) -> None:
        grad, x = make_inputs(case)
        rng, taps = np.random.default_rng(seed), operator.forward.taps(case)
        wide = np.float64 if case.dtype == "float64" else np.float32
        dx = np.zeros((*case.x[:2], int(np.prod(case.x[2:]))), wide)
        for (n, c, p), share in np.ndenumerate(grad.reshape(*grad.shape[:2], len(taps))):
            best = np.flatnonzero(operator.hits(case, x)[n, c, p])
            if best.size:
                dx[n, c, taps[p, best[-1] if tie == "last" else rng.choice(best)]] += share
        output = dx.reshape(case.x).astype(grad.dtype)

        assert of_output(Prepared.of(case), output, tie="any").status == "conforms"

    check()


def test_a_search_that_gives_up_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "_STEPS", 2)

    assert verdict_on([0, 0, 3, 13, 0], tie="any") == ("conforms", None)
    assert verdict_on([0, 8, 16, 8, 0], tie="any") == ("conforms", None)


def test_declared_conventions_reach_the_judge(empty_registry: None) -> None:
    one = implementation("last-maximum", conventions={"tie": "any"})

    assert Accuracy.of(one).tie == "any"


def test_a_gradients_exact_result_conforms_and_another_shape_does_not() -> None:
    text = "conv_weight_grad1d:float32:x=2,4,5:w=6,2,3:groups=2:normal@0"
    prepared, exact = Prepared.of(Case.parse(text)), right(text)

    assert of_output(prepared, exact).status == "conforms"
    assert of_output(prepared, exact.transpose(1, 0, 2)).requirement == "RESULT-3"
    assert of_output(prepared, exact * np.float32(1.001)).requirement == "RESULT-1"


def test_a_failing_gradient_shrinks_to_one_window() -> None:
    case = Case.parse(
        "conv_input_grad2d:float64:x=3,4,7,9:w=6,2,3,2:stride=2,3:padding=1/0,2/1:groups=2:wide@5"
    )

    def dilated_or_not(case: Case) -> bool:
        return case.stride[0] > 1

    smallest = shrink(case, dilated_or_not)

    assert smallest.id == "conv_input_grad2d:float64:x=1,1,1,1:w=1,1,1,1:stride=2,1:integers@0"


def test_a_bias_gradient_shrinks_to_one_element() -> None:
    case = Case.parse("conv_bias_grad3d:float32:x=3,4,7,9,2:wide@5")

    assert shrink(case, lambda case: True).id == "conv_bias_grad3d:float32:x=1,1,1,1,1:integers@0"


def test_ties_are_the_oracles() -> None:
    case = Case.parse(TIED)

    assert oracle.nearest(oracle.compute(case, (GRAD, X))) == [0, 8, 8, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "max_pool_grad2d:float64:x=1,1,3,5:kernel=1,2:subnormal@1",
        "max_pool_grad1d:float32:x=1,1,6:kernel=2:subnormal@0",
        "max_pool_grad3d:float64:x=1,1,1,3,2:kernel=1,2,1:subnormal@0",
        "max_pool_grad2d:float32:x=3,4,7,1:kernel=2,2:padding=0/0,1/1:wide@55",
    ],
)
def test_a_free_choice_among_tied_maxima_is_found_where_other_choices_come_close(text: str) -> None:
    (one,) = (one for one in correct() if one.name == "any-tied-maximum")

    assert "conforms" == judge(one.implementation(), text).status
