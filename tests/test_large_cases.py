"""Large cases in a run: layers of networks and generated shapes, judged by projection."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases.large_paths import large_paths
from conformance.cli import main
from conformance.errors import SpecError
from conformance.judging import CONFORMS, CRASHED, UNSUPPORTED, VIOLATES, Verdict
from conformance.large.judge import WORK, Large, is_large, judge_any, judge_large
from conformance.operators import OPERATORS
from conformance.reports import load as load_report
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.running.layers import chosen, judge_layers
from conformance.running.plan import resolve
from conformance.running.run import run
from conformance.running.selection import Selection
from conformance.spec import load
from conformance.spec.layers import Layer
from tests.defects import kernels, unregistered
from tests.defects.precision import tf32

Array = np.ndarray[Any, Any]

CONV = "conv2d:float32:x=1,32,24,25:w=33,32,3,3:bias:padding=1/1,1/1:integers@3"
POOL = "max_pool2d:float32:x=1,128,130,130:kernel=3,3:stride=2,2:integers@1"


def conv_with(change: Callable[[Array], None]) -> Callable[..., Array]:
    """Return a conv whose result ``change`` spoils where it is large."""

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        if y.size > 10_000:
            change(y)
        return y

    return conv


def judged(function: Callable[..., Any], text: str = CONV, **declared: Any) -> Verdict:
    case = Case.parse(text)
    one = unregistered("mine", {case.operator: function}, declared)
    return judge_large(one, Large.of(case))[0]


# --- which cases are large ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CONV, POOL])
def test_a_case_of_millions_of_operations_is_large(text: str) -> None:
    case = Case.parse(text)

    assert OPERATORS[case.operator].work(case) >= WORK
    assert is_large(case)


@pytest.mark.parametrize(
    "text",
    [
        "conv1d:float32:x=1,1,3:w=1,1,2:integers@0",
        CONV.replace("integers", "normal"),
        CONV.replace("integers", "memory=reversed:integers"),
        CONV.replace("float32", "int32"),
        CONV.replace("conv2d", "conv_weight_grad2d").replace("bias:", ""),
    ],
)
def test_small_ones_and_those_that_no_projection_checks_are_not(text: str) -> None:
    assert not is_large(Case.parse(text))


# --- judging one ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CONV, POOL])
def test_a_right_result_conforms(text: str) -> None:
    operator = Case.parse(text).operator

    assert CONFORMS == judged(getattr(kernels, operator), text).status


def test_one_wrong_element_is_named() -> None:
    def change(y: Array) -> None:
        y[0, 20, 11, 7] += 1

    found = judged(conv_with(change))

    assert (VIOLATES, "RESULT-2") == (found.status, found.requirement)
    assert "worst at [0, 20, 11, 7]" in found.message


def test_an_exception_is_a_broken_promise() -> None:
    def conv(*arrays: Any, **call: Any) -> Array:
        raise MemoryError("too large")

    found = judged(conv)

    assert (CRASHED, "DECLARE-1") == (found.status, found.requirement)


def test_a_changed_input_is_seen() -> None:
    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        x[0, 0, 0, 0] = 0
        return y

    assert "PURE-1" == judged(conv).requirement


def test_a_list_is_no_array() -> None:
    assert "RESULT-5" == judged(lambda *arrays, **call: [1.0]).requirement


def test_a_gap_is_one() -> None:
    found = judged(kernels.conv, supports=lambda case: "never")

    assert (UNSUPPORTED, "never") == (found.status, found.message)


def test_a_case_of_any_size_is_judged_as_its_size_asks() -> None:
    def change(y: Array) -> None:
        y[...] = 0

    one = unregistered("mine", {"conv": conv_with(change)}, {})
    small = Case.parse("conv1d:float32:x=1,1,3:w=1,1,2:integers@0")

    assert [CONFORMS, VIOLATES] == [judge_any(one, c).status for c in (small, Case.parse(CONV))]


# --- which are judged in a run --------------------------------------------------------------------


def layers_of(operator: str, dims: int, seed: int = 0, **planned: Any) -> list[Layer]:
    """Return what a plan of ``layers``, ``suites`` or ``shapes`` has of a block."""
    plan = resolve(Selection(suites=(), seed=seed, cache=False), [])
    return chosen(replace(plan, **{"layers": (), "shapes": 0, **planned}), operator, dims)


def test_a_tier_names_layers_and_the_cheapest_comes_first() -> None:
    found = layers_of("conv", 2, 5, layers=("resnet50/res4*", "resnet50/conv1"))
    work = [OPERATORS["conv"].work(layer.case) for layer in found]

    assert "resnet50/conv1" in {layer.name for layer in found}
    assert work == sorted(work)
    assert {"digits"} == {layer.case.data for layer in found}
    assert {0, 1} == {layer.case.seed % 2 for layer in found}  # which of the factors is long


def test_a_layer_of_a_network_shows_a_multiplier_of_less_precision() -> None:
    """Both factors by themselves, at the sizes for which a library chooses matrix units."""
    (layer,) = layers_of("conv", 2, 0, layers=("resnet50/res4b_branch2b",))

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        return kernels.conv(tf32(x), tf32(w), bias, **call)

    for seed in (6, 7):
        text = layer.case.replace(seed=seed).id

        assert "RESULT-2" == judged(conv, text).requirement
        assert "conforms" == judged(kernels.conv, text).status
        assert "conforms" == judged(conv, text, multiply="tf32").status


def test_the_smallest_part_of_a_layer_shows_every_product() -> None:
    (layer,) = layers_of("conv", 2, 0, layers=("resnet50/res4b_branch2b",))
    seen = []

    def conv(x: Array, w: Array, bias: Array | None, **call: Any) -> Array:
        seen.append(np.count_nonzero(w) == w.size and np.abs(w).max() < 10)
        return kernels.conv(x, w, bias, **call)

    one = unregistered("mine", {"conv": conv}, {})
    list(judge_layers([one], [layer], 100.0, 100.0))

    assert [True, False] == seen


def test_layers_of_other_operators_and_dimensions_are_left_to_their_blocks() -> None:
    assert [] == layers_of("conv", 1, layers=("resnet50/conv1",))
    assert [] == layers_of("max_pool", 2, layers=("resnet50/conv1",))


def test_the_full_tier_has_all_layers() -> None:
    spec = load()
    patterns = spec.tiers["full"].layers
    blocks = [(o, d) for o in ("conv", "conv_transpose", "max_pool", "avg_pool") for d in (1, 2, 3)]
    found = [layer for o, d in blocks for layer in layers_of(o, d, layers=patterns)]

    assert {entry.name for entry in spec.suite("networks").cases} == {one.name for one in found}


def test_large_cases_of_a_suite_are_judged_as_layers() -> None:
    names = {layer.name for layer in layers_of("conv", 2, suites=("networks",))}

    assert "resnet50/conv1" in names


@pytest.mark.parametrize("operator", ["conv", "avg_pool"])
def test_shapes_are_generated_from_the_seed(operator: str) -> None:
    first, again, other = (layers_of(operator, 2, seed, shapes=3) for seed in (0, 0, 1))

    assert first == again != other
    assert 3 + len(large_paths(operator, 2)) == len(first)
    assert [layer.case.id for layer in first] == [layer.name for layer in first]


def test_an_engine_that_compiles_longer_than_there_is_time_is_not_judged_on_layers() -> None:
    layer = Layer("mine", Case.parse(CONV))
    one = unregistered("kernel", {"conv": kernels.conv}, {"shape_seconds": 0.2})

    assert [] == list(judge_layers([one], [layer], 0.1, 10.0))
    assert CONFORMS == next(judge_layers([one], [layer], 0.3, 10.0)).verdict.status


def test_a_layer_that_there_is_no_time_for_is_judged_in_part() -> None:
    layer = Layer("mine", Case.parse(CONV))
    one = unregistered("kernel", {"conv": kernels.conv}, {})
    (found,) = judge_layers([one], [layer], 1e-6, 1e-6)

    assert CONFORMS == found.verdict.status
    assert 0 < found.share < 0.1
    assert layer.case.w == found.verdict.case.w


def test_what_a_part_shows_to_take_too_long_is_not_called() -> None:
    layer = Layer("mine", Case.parse(CONV))
    one = unregistered("kernel", {"conv": kernels.conv}, {})
    (found,) = judge_layers([one], [layer], math.inf, 1e-6)

    assert 0 < found.share < 0.1


def test_as_much_of_a_layer_is_judged_as_the_declared_pace_affords() -> None:
    layer = Layer("mine", Case.parse(CONV))
    whole = 1e-6 * OPERATORS["conv"].work(layer.case)
    one = unregistered("kernel", {"conv": kernels.conv}, {"work_seconds": 1e-6})
    (found,) = judge_layers([one], [layer], whole / 2, math.inf)

    assert 0.3 < found.share < 0.6


def test_with_time_it_is_judged_in_full() -> None:
    layer = Layer("mine", Case.parse(CONV))
    one = unregistered("kernel", {"conv": kernels.conv}, {})
    (found,) = judge_layers([one], [layer], math.inf, math.inf)

    assert (1, layer.case) == (found.share, found.verdict.case)


def test_a_spec_with_a_layer_that_there_is_not_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[tiers.quick]\nexamples = 1\nlayers = ["resnet51/*"]\n')

    with pytest.raises(SpecError, match=r"mine\.toml.*layers.*resnet51/\* is none"):
        load(file)


# --- a run ----------------------------------------------------------------------------------------

SPEC = """
[[case]]
name = "wide"
operator = "conv"
x = [1, 16, 40, 50]
w = [24, 16, 3, 3]
"""

WRONG = """
from conformance import implementation
from tests.defects import kernels

@implementation("forgets")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y.reshape(-1)[20_000:] = 0
    return y
"""


@pytest.fixture
def result(tmp_path: Path, cache_folder: Path, empty_registry: None) -> Any:
    (tmp_path / "mine.toml").write_text(SPEC)
    (tmp_path / "forgets.py").write_text(WRONG)
    return run(
        plugins=[tmp_path / "forgets.py"],
        spec=tmp_path / "mine.toml",
        dims=[2],
        dtypes=["float32"],
        checks=["result"],
        suites=["spec"],
        examples=5,
        seconds=60,
        source=False,  # which tells at what size it is wrong
        output=tmp_path,
    )


def test_a_run_finds_what_only_a_large_case_shows_and_shrinks_it(result: Any) -> None:
    (cell,) = result.cells
    (violation,) = cell.violations
    smallest = violation.case

    assert VIOLATES == cell.verdict
    assert "wide" == load_report(result.path).large[0].layer
    assert math.prod(OPERATORS["conv"].output_shape(smallest)) > 20_000
    assert math.prod(smallest.w) < 24 * 16 * 3 * 3


def test_replay_judges_a_large_case(
    result: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = "conv2d:float32:x=1,16,40,50:w=24,16,3,3:integers@0"
    statuses = [main(["replay", case, "forgets"]), main(["replay", case, "forgets", "--json"])]
    shown, _, rest = capsys.readouterr().out.partition("{")
    data = json.loads("{" + rest)

    assert [1, 1] == statuses
    assert "not computed in full" in shown
    assert "RESULT-2: the sums over each group's 24 output channels" in shown
    assert None is data["exact"]
    assert "RESULT-2" == data["results"][0]["requirement"]


def test_reports_list_large_cases(result: Any) -> None:
    report = load_report(result.path)

    assert "### Large cases" in markdown(report)
    assert "Each large case" in html(report)
    assert "wide" in html(report)
