"""A run: what it selects, how cells are judged, what is written, and what is left when it stops."""

from __future__ import annotations

import inspect
import itertools
import math
import multiprocessing
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Unsupported
from conformance.calling import starving
from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.judging import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementation
from conformance.requirements import check_of
from conformance.runfile import asked, tables
from conformance.runfile.reading import read
from conformance.runfile.words import INCONCLUSIVE, NOT_INSTALLED
from conformance.running import adapter_check, budget, judge_cell, layers
from conformance.running.cell import MIN_COMPARED, Cell
from conformance.running.layers import LayerVerdict
from conformance.running.plan import resolve, seconds_of_cell
from conformance.running.pool import Pool
from conformance.running.run import Run, run
from conformance.running.selection import Selection
from conformance.running.violation import Violation
from conformance.spec import Tier
from tests.defects import kernels, unregistered

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("cache_folder")


def right(name: str = "right", *operators: str, **declared: Any) -> Implementation:
    """Return a correct implementation of conv, or of the operators named."""
    functions = {operator: getattr(kernels, operator) for operator in operators or ("conv",)}
    return unregistered(name, functions, declared)


def of(function: Function, name: str = "mine", operator: str = "conv", **declared: Any) -> Any:
    return unregistered(name, {operator: function}, declared)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Run]:
    """Return `run`, but small where nothing else is asked for, and with a folder of its own."""

    def small_run(*chosen: object, **options: Any) -> Run:
        defaults: dict[str, Any] = {
            "operators": ["conv"],
            "dims": [1],
            "dtypes": ["float32"],
            "checks": ["result"],
            "suites": [],
            "examples": 20,
            "seconds": 30,
            "output": tmp_path / "run",
        }
        return run(chosen or None, **defaults | options)

    return small_run


Small = Callable[..., Run]


def violations(found: Run) -> list[Violation]:
    return [violation for cell in found.cells for violation in cell.violations]


def cited(found: Run) -> list[str]:
    return [violation.requirement for violation in violations(found)]


# --- selections -----------------------------------------------------------------------------------


def test_an_implementation_can_be_named(small: Small, empty_registry: None) -> None:
    implementation("mine").register("conv", kernels.conv)

    assert {"mine": CONFORMS} == small("mine").verdicts


def test_an_implementation_can_be_its_function(small: Small, empty_registry: None) -> None:
    def conv(*arguments: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
        return kernels.conv(
            *arguments, stride=stride, padding=padding, dilation=dilation, groups=groups
        )

    implementation("mine")(conv)

    assert {"mine": CONFORMS} == small(conv).verdicts


def test_without_a_choice_all_are_judged(small: Small, empty_registry: None) -> None:
    implementation("one").register("conv", kernels.conv)
    implementation("two").register("conv", kernels.conv)

    assert {"one": CONFORMS, "two": CONFORMS} == small().verdicts


def test_an_implementation_chosen_twice_is_judged_once(small: Small) -> None:
    one = right()

    assert 1 == len(small(one, one).cells)


PLUGIN = """
import numpy as np
from conformance import implementation
from tests.defects import kernels

@implementation("from-a-plugin")
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return kernels.conv(x, w, bias, stride=stride, padding=padding, dilation=dilation,
                        groups=groups) + ADDED
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[float], Path]:
    def write(added: float) -> Path:
        path = tmp_path / "plugin.py"
        path.write_text(textwrap.dedent(PLUGIN).replace("ADDED", f"np.float32({added})"))
        return path

    return write


def test_a_plugin_alone_is_judged(
    small: Small, empty_registry: None, plugin: Callable[[float], Path]
) -> None:
    implementation("another").register("conv", kernels.conv)

    assert {"from-a-plugin": CONFORMS} == small(plugins=[plugin(0)]).verdicts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operators": ["convolution"]}, "operator 'convolution' is unknown; did you mean conv? "),
        ({"dims": [4]}, "dims '4' is unknown; known are 1, 2, 3"),
        ({"dtypes": ["float8"]}, "dtype 'float8' is unknown; did you mean "),
        ({"checks": ["results"]}, "check 'results' is unknown; did you mean result"),
        ({"suites": ["edges"]}, "suite 'edges' is unknown; did you mean edge"),
        ({"tier": "quick"}, "tier 'quick' is unknown; known are "),
        ({"examples": -1}, "examples=-1; a whole number, 0 to 1000000"),
        ({"seconds": 0.0}, "seconds=0.0; a number above 0"),
        ({"seconds": float("nan")}, "seconds=nan; a number above 0"),
    ],
)
def test_a_selection_that_names_nothing_is_an_error(
    small: Small, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConformanceError) as caught:
        small(right(), **options)

    assert str(caught.value).startswith(message)


def test_the_options_of_a_run_are_the_fields_of_a_selection() -> None:
    names = [field.name for field in fields(Selection)]

    assert names == [*inspect.signature(run).parameters]


def test_an_unknown_implementation_is_an_error(small: Small, empty_registry: None) -> None:
    with pytest.raises(ConformanceError, match="implementation 'other' is unknown"):
        small("other")


def test_nothing_registered_is_an_error(small: Small, empty_registry: None) -> None:
    with pytest.raises(ConformanceError, match="no implementation is registered"):
        small()


def test_a_chosen_implementation_must_be_installed(small: Small) -> None:
    with pytest.raises(ConformanceError, match="pip install no-such-package"):
        small(right(package="no-such-package"))


def test_an_error_leaves_an_earlier_run_file_alone(small: Small, tmp_path: Path) -> None:
    small(right())
    with pytest.raises(ConformanceError):
        small(right(), dims=[4])

    assert "finished" in read(tmp_path / "run" / "run.sqlite").facts


def test_there_is_a_cell_for_each_operator_dimension_and_dtype(small: Small) -> None:
    found = small(
        right("right", "conv", "max_pool"),
        operators=["max_pool", "conv"],
        dims=[1, 2],
        dtypes=["float64", "float32"],
        examples=12,
    )

    assert {
        (operator, dims, dtype)
        for operator in ("conv", "max_pool")
        for dims in (1, 2)
        for dtype in ("float32", "float64")
    } == {(cell.operator, cell.dims, cell.dtype) for cell in found.cells}


def test_an_operator_that_nobody_has_is_left_out(small: Small) -> None:
    assert {"conv"} == {c.operator for c in small(right(), operators=None).cells}


def test_suites_are_judged_without_generated_cases(small: Small) -> None:
    (cell,) = small(right(), suites=["smoke"], examples=0).cells

    assert 0 < cell.planned == cell.compared


def test_the_same_seed_gives_the_same_cases(small: Small) -> None:
    seen: list[list[bytes]] = []
    for seed in (1, 1, 2):
        calls: list[bytes] = []

        def conv(x: Array, *a: Any, calls: list[bytes] = calls, **call: Any) -> Array:
            calls.append(x.tobytes())
            return kernels.conv(x, *a, **call)

        small(of(conv), seed=seed, cache=False)
        seen.append(calls)

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_a_cached_run_judges_the_same_cases(small: Small) -> None:
    first, second = (small(right(), checks=None, suites=["smoke"]).cells[0] for _ in range(2))

    assert (first.planned, first.elements, first.worst, first.worst_case) == (
        second.planned,
        second.elements,
        second.worst,
        second.worst_case,
    )


@pytest.mark.parametrize("check", ["result", "layout", "special", "reject"])
def test_a_check_selects_the_cases_that_it_needs(
    small: Small, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def judge(one: Any, prepared: Any) -> Any:
        prepared = list(prepared)
        seen.extend(p.case for p in prepared)
        return judging(one, prepared)

    judging = judge_cell.judge_each
    monkeypatch.setattr(judge_cell, "judge_each", judge)
    small(right(), checks=[check])

    assert {check} == {case.check for case in seen}


def test_a_violation_of_another_check_is_not_reported(small: Small) -> None:
    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        x.fill(0)
        return y

    assert {"mine": CONFORMS} == small(of(conv), checks=["result"]).verdicts
    assert ["PURE-1"] == cited(small(of(conv), checks=["result", "purity"]))


@pytest.mark.parametrize(
    ("requirement", "check"),
    [
        ("CONV-5", "result"),
        ("PURE-1", "purity"),
        ("REPEAT-3", "repeat"),
        ("LAYOUT-2", "layout"),
        ("SPECIAL-1", "special"),
        ("MAXPOOL-5", "special"),
        ("MAXPOOL-6", "result"),
        ("REJECT-3", "reject"),
        ("DECLARE-1", "declare"),
        ("INTEGER-1", "integer"),
    ],
)
def test_each_requirement_has_a_check(requirement: str, check: str) -> None:
    assert check == check_of(requirement)


def test_dtypes_claimed_beyond_the_default_are_judged(small: Small) -> None:
    one = right(dtypes=("float32", "float16", "int64"))
    other = right("other")

    found = small(one, other, dtypes=None, examples=60)

    assert {"float32", "float64", "float16", "int64"} == {
        cell.dtype for cell in found.cells if cell.implementation == "right"
    }
    assert {"float32", "float64"} == {
        cell.dtype for cell in found.cells if cell.implementation == "other"
    }


def test_a_violation_in_a_claimed_dtype_is_found(small: Small) -> None:
    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        y = kernels.conv(x, w, bias, **call)
        return y.astype(np.float32).astype(y.dtype) if y.dtype == np.int64 else y

    one = of(conv, dtypes=("float32", "int64"))
    found = small(one, dtypes=None, examples=60, checks=["result", "integer"])

    assert {"int64"} == {cell.dtype for cell in found.cells if cell.verdict == VIOLATES}


def test_the_cases_of_a_spec_file_are_judged(small: Small, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[case]]\nname = "mine"\noperator = "conv"\nx = [1, 1, 77]\nw = [1, 1, 3]\n')

    def conv(x: Array, *arguments: Any, **call: Any) -> Array:
        return kernels.conv(x, *arguments, **call) + (x.shape[2] == 77)

    found = small(of(conv), spec=file, suites=None, examples=0)

    assert {"mine": VIOLATES} == found.verdicts
    assert {77} == {violation.case.x[2] for violation in violations(found)}


# --- verdicts -------------------------------------------------------------------------------------


def test_what_is_right_conforms(small: Small) -> None:
    found = small(right())

    assert {"right": CONFORMS} == found.verdicts
    assert found.conforms


def test_what_is_wrong_violates(small: Small) -> None:
    found = small(of(lambda *a, **call: kernels.conv(*a, **call) * np.float32(1.001)))

    assert {"mine": VIOLATES} == found.verdicts
    assert not found.conforms


def test_what_declines_everything_is_unsupported(small: Small) -> None:
    def conv(*arguments: Any, **call: Any) -> Array:
        raise Unsupported("not today")

    found = small(of(conv))

    assert {"mine": UNSUPPORTED} == found.verdicts
    (row,) = read(found.path).rows(tables.Gap)
    assert ("not today", found.cells[0].reached) == (row.reason, row.count)


def test_a_dtype_that_is_not_declared_is_unsupported(small: Small) -> None:
    found = small(right(dtypes=("float64",)), dtypes=["float32", "float64"])

    assert {"float32": UNSUPPORTED, "float64": CONFORMS} == {
        cell.dtype: cell.verdict for cell in found.cells
    }


def test_too_few_cases_are_inconclusive(small: Small) -> None:
    assert {"right": INCONCLUSIVE} == small(right(), examples=2).verdicts


def test_results_that_are_nearly_all_zero_are_inconclusive() -> None:
    cell = Cell("mine", "conv", 2, "float32", reached=500, compared=500, nonzero=40)

    assert INCONCLUSIVE == cell.verdict


def test_supports_is_asked_once_a_case(small: Small) -> None:
    """Histories, relations, probes and the cases themselves share what it answered."""
    asked: Counter[Case] = Counter()

    def supports(case: Case) -> bool | str:
        asked[case] += 1
        return case.dilation == (1,) or "no dilation"

    (cell,) = small(right(supports=supports), checks=None).cells

    assert CONFORMS == cell.verdict
    assert {1} == {*asked.values()}


def test_one_violation_weighs_more_than_little_evidence() -> None:
    cell = Cell("mine", "conv", 2, "float32", reached=3, compared=3, violating=1)

    assert VIOLATES == cell.verdict


def test_what_is_not_installed_is_listed_and_not_judged(small: Small, empty_registry: None) -> None:
    implementation("here").register("conv", kernels.conv)
    implementation("absent", package="no-such-package").register("conv", kernels.conv)

    found = small()

    assert {"here": CONFORMS, "absent": NOT_INSTALLED} == found.verdicts
    assert {"here"} == {cell.implementation for cell in found.cells}
    notes = {row.name: row.note for row in read(found.path).rows(tables.Implementation)}
    assert "not installed: pip install no-such-package" == notes["absent"]


def test_without_any_case_nothing_is_supported(small: Small) -> None:
    found = small(right("right", "max_pool"), operators=["conv"])

    assert ({"right": UNSUPPORTED}, ()) == (found.verdicts, found.cells)


# --- time -----------------------------------------------------------------------------------------


class Clock:
    """A clock that slow implementations set forward."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited = 0.0
        """How much of it the thread has waited for a core."""

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(budget, "time", made)
    monkeypatch.setattr(starving, "waits_of", lambda pid, thread: {"this one": made.waited})
    return made


def slow(clock: Clock, name: str = "slow", **declared: Any) -> Implementation:
    """Return an implementation whose calls take a second each."""

    def conv(*arguments: Any, **call: Any) -> Array:
        clock.now += 1.0
        return kernels.conv(*arguments, **call)

    return of(conv, name, **declared)


def test_a_budget_is_spent_on_what_new_shapes_are_declared_to_take(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = set()

    def judge(one: Any, prepared: Any) -> Iterator[Any]:
        for verdict, output in judging(one, prepared):
            shapes.add(budget.shape_of(verdict.case))
            yield verdict, output

    judging = judge_cell.judge_each
    monkeypatch.setattr(judge_cell, "judge_each", judge)
    (cell,) = small(right(shape_seconds=1.0), seconds=29.0).cells

    assert (14, False) == (len(shapes), cell.stopped)
    assert 14 <= cell.reached < cell.planned


def test_what_is_declared_takes_the_place_of_the_clock(small: Small, clock: Clock) -> None:
    (cell,) = small(slow(clock, shape_seconds=0.9), seconds=11.5).cells
    (same,) = small(right(shape_seconds=0.9), seconds=11.5).cells

    assert (same.reached, False) == (cell.reached, cell.stopped)


def test_data_and_memory_of_a_shape_that_was_called_cost_nothing_more() -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    spending = budget.Budget(right(shape_seconds=1.0), 2.5, math.inf)

    assert spending.affords_case(case)
    assert spending.affords_case(case.replace(data="integers", seed=3, memory="fortran"))
    assert spending.affords_case(case.replace(stride=(2,)))
    assert spending.affords_case(case.replace(stride=(3,)), called=False)
    assert not spending.affords_case(case.replace(dilation=(2,)))


def test_work_is_reckoned_at_what_it_is_declared_to_take() -> None:
    one = right(work_seconds=1e-3)

    assert 1.0 == pytest.approx(budget.of_calls(one, 2000) - budget.of_calls(one, 1000))
    assert budget.of_calls(one, 0) == budget.of_calls(right(), 0)


def test_what_one_kind_of_cases_leaves_over_falls_to_those_after_it() -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    dear, cheap = right(shape_seconds=1.0), right()
    pools = {one: Pool(100.0, math.inf, [asked.TAILS]) for one in (dear, cheap)}
    for one, pool in pools.items():
        pool.deal(one, asked.HISTORIES)
        ordinary = pool.deal(one, None)
        while ordinary.affords_case(case := case.replace(x=(1, 1, case.x[2] + 1))) and one is dear:
            pass
    tails = {one: pool.deal(one, asked.TAILS).seconds for one, pool in pools.items()}

    assert tails[dear] < 60.0 < tails[cheap]


def test_kinds_after_one_that_took_more_than_its_part_have_little_and_not_nothing() -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    one = right(shape_seconds=1000.0)
    pool = Pool(100.0, math.inf, [asked.TAILS])
    fair = pool.deal(one, None).seconds
    pool.deal(one, None).affords_case(case)

    assert 0 < pool.deal(one, asked.TAILS).seconds < fair / 2


def test_a_cell_of_an_engine_that_compiles_has_enough_cases_whatever_they_cost(
    small: Small,
) -> None:
    (cell,) = small(right(shape_seconds=1.0), seconds=0.5).cells

    assert MIN_COMPARED <= cell.nonzero < 2 * MIN_COMPARED
    assert ("conforms", False) == (cell.verdict, cell.stopped)
    assert cell.reached < cell.planned


def test_the_clock_ends_what_would_take_many_times_as_long(small: Small, clock: Clock) -> None:
    found = small(slow(clock), seconds=3.5, examples=99)
    (cell,) = found.cells

    assert (True, True) == (cell.stopped, MIN_COMPARED <= cell.nonzero < 15)
    assert 40 < cell.planned
    note = next(row.note for row in read(found.path).rows(tables.Implementation))
    assert note.startswith("too slow for its cases: the clock ended conv 1-D float32, at")


def test_the_clock_lets_go_on_what_takes_a_few_times_as_long(small: Small, clock: Clock) -> None:
    (cell,) = small(slow(clock), seconds=11.5).cells

    assert (cell.planned, False) == (cell.reached, cell.stopped)


def test_the_first_call_may_import_and_compile(clock: Clock) -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    cold, warm = (budget.Budget(right(), 1.0, 0.05, warm=warm) for warm in (False, True))

    assert [True, True] == [spending.affords_case(case) for spending in (cold, warm)]
    clock.now += 1.0
    assert [True, False] == [spending.affords_case(case) for spending in (cold, warm)]
    clock.now += 1.0
    assert not cold.affords_case(case)


def test_time_without_a_core_is_not_on_the_clock(clock: Clock) -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,3:normal@1")
    spending = budget.Budget(right(), 1.0, 0.05, warm=True)
    clock.now, clock.waited = 60.0, 59.99

    assert spending.affords_case(case)
    clock.now += 1.0
    assert not spending.affords_case(case)
    assert spending.stopped


def test_what_would_take_too_long_at_the_pace_of_what_came_before_is_not_begun(
    clock: Clock,
) -> None:
    small, large = (Case.parse(f"conv1d:float32:x=1,1,{n}:w=1,1,1:normal@1") for n in (9, 999_999))
    spending = budget.Budget(right(), 1e6, 1.0, warm=True)

    assert spending.affords_relations(small)
    clock.now += 1.0
    assert spending.affords_relations(small)
    assert not spending.affords_relations(large)
    assert spending.stopped


def test_many_cells_share_what_a_tier_has_for_all_of_them() -> None:
    tier = Tier(examples=1, seconds=2.0, total=100.0, suites=())

    assert [2.0, 2.0, 0.5] == [seconds_of_cell(tier, cells) for cells in (1, 50, 200)]


def test_a_run_may_have_a_total_of_its_own() -> None:
    chosen = (right(), right("other"))
    one, less = (
        resolve(Selection(operators="conv", dims=1, dtypes="float32", total=total), chosen)
        for total in (None, 1.0)
    )

    assert [2.0, 0.5] == [one.seconds, less.seconds]
    assert one.clock == less.clock


@pytest.mark.parametrize(("seconds", "proven"), [(0.0, 10), (2.0, 2), (20.0, 1)])
def test_an_adapter_is_proven_on_as_many_shapes_as_the_budget_has(
    seconds: float, proven: int
) -> None:
    sizes = [Case.parse(f"conv1d:float32:x=1,1,{n}:w=1,1,1:integers@0") for n in range(1, 11)]
    found = list(adapter_check.affordable(right(shape_seconds=seconds), sizes))

    assert sizes[:proven] == found


def test_a_budget_of_next_to_nothing_is_spent_by_the_first_case(small: Small) -> None:
    (cell,) = small(right(), seconds=1e-9).cells

    assert 1 == cell.reached


def test_a_slow_implementation_takes_no_time_from_another(small: Small) -> None:
    cells = small(right("slow", shape_seconds=2.0), right("quick"), seconds=4.5).cells

    assert cells[0].reached < cells[1].reached == cells[1].planned


def test_a_pair_counts_what_both_reached(small: Small) -> None:
    found = small(right("slow", shape_seconds=1.0), right("quick"), seconds=11.5)
    (pair,) = read(found.path).rows(tables.Pair)

    fewer, more = (cell.compared for cell in found.cells)
    assert fewer == pair.cases < more


# --- causes ---------------------------------------------------------------------------------------


def ignoring(operator: str, **constants: Any) -> Function:
    """Return a kernel that does as if some parameters were always at their default."""

    def kernel(*arguments: Any, **call: Any) -> Any:
        size = len(call["stride"])
        fixed = {name: value * size for name, value in constants.items()}
        right_shape = getattr(kernels, operator)(*arguments, **call).shape
        y = getattr(kernels, operator)(*arguments, **call | fixed)
        return np.resize(y, right_shape)

    return kernel


@pytest.mark.parametrize(
    ("operator", "wrong", "requirement"),
    [
        ("conv", ignoring("conv", dilation=(1,)), "CONV-5"),
        ("conv", ignoring("conv", stride=(1,)), "CONV-4"),
        ("conv", lambda x, w, bias, **call: kernels.conv(x, w, None, **call), "CONV-7"),
        ("conv", lambda *a, **call: -kernels.conv(*a, **call), "RESULT-2"),
        ("max_pool", ignoring("max_pool", dilation=(1,)), "MAXPOOL-7"),
        ("max_pool", ignoring("max_pool", stride=(1,)), "MAXPOOL-6"),
    ],
)
def test_a_violation_cites_the_parameter_behind_it(
    small: Small, operator: str, wrong: Function, requirement: str
) -> None:
    found = small(
        of(wrong, operator=operator), operators=[operator], examples=60, checks=["result"]
    )

    assert requirement in cited(found)


def test_a_violation_is_shown_by_its_smallest_case(small: Small) -> None:
    found = small(of(lambda x, w, bias, **call: kernels.conv(x, w, None, **call)))
    (violation,) = violations(found)

    assert "conv1d:float32:x=1,1,1:w=1,1,1:bias:integers@0" == violation.case.id


def test_failures_of_one_cause_are_counted_as_one(small: Small) -> None:
    found = small(of(lambda x, w, bias, **call: kernels.conv(x, w, None, **call)))
    (violation,) = violations(found)

    assert 1 < violation.count == found.cells[0].violating


def test_two_causes_are_reported_apart(small: Small) -> None:
    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        y = kernels.conv(x, w, None, **call)
        return y + 1 if max(call["dilation"]) > 1 else y

    assert {"CONV-5", "CONV-7"} == set(cited(small(of(conv), examples=60)))


def test_an_exception_on_a_valid_case_is_a_violation(small: Small) -> None:
    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        if call["groups"] > 1:
            raise RuntimeError("no groups")
        return kernels.conv(x, w, bias, **call)

    found = small(of(conv), checks=["result", "declare"], examples=60)
    (violation,) = violations(found)

    assert ("crashed", True) == (violation.status, "no groups" in violation.message)


def test_a_cache_by_shape_is_found_in_a_run(small: Small) -> None:
    kept: dict[object, Array] = {}

    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        key = (x.shape, w.shape, bias is None, str(call))
        return kept.setdefault(key, kernels.conv(x, w, bias, **call)).copy()

    assert "REPEAT-3" in cited(small(of(conv), checks=["result", "repeat"]))


def wrong_for(check: str) -> Function:
    """Return a conv that is wrong only where one check looks."""

    def conv(x: Array, w: Array, bias: Any, **call: Any) -> Array:
        if check == "reject":
            call["stride"] = tuple(max(1, step) for step in call["stride"])
        if check == "special":
            x = np.nan_to_num(x)
        if check == "layout" and not w.flags.c_contiguous:
            w = np.ascontiguousarray(w) + 1
        y = kernels.conv(x, w, bias, **call)
        if check == "purity":
            x.fill(0)
        return y

    return conv


@pytest.mark.parametrize("check", ["reject", "layout", "special", "purity"])
def test_a_check_alone_finds_its_violations(small: Small, check: str) -> None:
    found = cited(small(of(wrong_for(check)), checks=[check]))

    assert {check} == {check_of(requirement) for requirement in found}


@pytest.mark.parametrize("check", ["reject", "layout", "special", "purity"])
def test_a_check_left_out_finds_nothing(small: Small, check: str) -> None:
    assert {"mine": CONFORMS} == small(of(wrong_for(check)), checks=["result"]).verdicts


# --- what is written ------------------------------------------------------------------------------


def test_the_run_file_says_what_was_run(small: Small) -> None:
    facts = read(small(right(), seed=7, command="convformance run").path).facts

    assert (7, 20, ["conv"], [1], ["float32"], ["result"], [], "convformance run") == tuple(
        facts[key]
        for key in (
            "seed",
            "examples",
            "operators",
            "dims",
            "dtypes",
            "checks",
            "suites",
            "command",
        )
    )


def test_the_run_file_is_closed_by_finished(small: Small) -> None:
    facts = read(small(right()).path).facts

    assert facts["started"] <= facts["finished"]


def test_cells_and_violations_are_rows(small: Small) -> None:
    found = small(of(lambda x, w, bias, **call: kernels.conv(x, w, None, **call)))
    contents = read(found.path)
    (cell,) = contents.rows(tables.Cell)
    (violation,) = contents.rows(tables.Violation)

    assert (VIOLATES, found.cells[0].planned) == (cell.verdict, cell.planned)
    assert ("CONV-7", violations(found)[0].case.id) == (violation.requirement, violation.case)
    assert "import numpy as np" in violation.script


def test_pairs_are_compared_over_all_blocks(small: Small) -> None:
    found = small(right("one"), right("two"), dims=[1, 2])
    (pair,) = read(found.path).rows(tables.Pair)

    assert ("one", "two", "conv") == (pair.first, pair.second, pair.operator)
    assert sum(cell.compared for cell in found.cells) // 2 == pair.cases
    assert pair.elements == pair.identical


def test_a_new_run_replaces_the_old_file(small: Small) -> None:
    small(right("old"))
    contents = read(small(right("new")).path)

    assert ["new"] == [row.name for row in contents.rows(tables.Implementation)]


# --- interrupted ----------------------------------------------------------------------------------


def test_progress_is_told_in_order_and_to_its_end(small: Small) -> None:
    seen: list[float] = []
    small(right(), dims=[1, 2], progress=lambda done, total, what: seen.append(done / total))

    assert sorted(seen) == seen
    assert 1.0 == seen[-1]


def test_an_interrupted_run_leaves_a_file_known_to_be_incomplete(
    small: Small, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if what == "preparing conv 2-D":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(right(), dims=[1, 2], progress=interrupt)
    contents = read(tmp_path / "run" / "run.sqlite")

    assert "finished" not in contents.facts
    assert [1] == [row.dims for row in contents.rows(tables.Cell)]


def interrupting(at: int) -> Callable[..., Array]:
    """Return a conv that is wrong, and that the user interrupts in its call number ``at``."""
    calls = itertools.count(1)

    def conv(*arguments: Any, **call: Any) -> Array:
        if next(calls) == at:
            raise KeyboardInterrupt
        return kernels.conv(*arguments, **call) + 1

    return conv


def test_an_interrupted_cell_keeps_what_was_judged(small: Small, tmp_path: Path) -> None:
    """Its first failure is explained while the cell is judged; an interrupt leaves it as it was."""
    with pytest.raises(KeyboardInterrupt):
        small(right(), of(interrupting(8)), right("after"))
    rows = read(tmp_path / "run" / "run.sqlite").rows
    cells = {row.implementation: row for row in rows(tables.Cell)}

    assert {"right", "mine"} == {*cells}
    assert 7 >= cells["mine"].reached >= cells["mine"].violating > 0
    assert {True} == {row.case == row.found for row in rows(tables.Violation)}


def test_an_interrupt_while_failures_are_shrunk_keeps_their_count(
    small: Small, tmp_path: Path
) -> None:
    (whole,) = small(of(interrupting(-1))).cells
    with pytest.raises(KeyboardInterrupt):
        small(of(interrupting(whole.planned + 1)))
    rows = read(tmp_path / "run" / "run.sqlite").rows
    (cell,) = rows(tables.Cell)

    assert whole.planned >= cell.reached >= cell.violating > 0


def test_large_cases_that_were_judged_before_an_interrupt_are_kept(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*arguments: Any) -> Iterator[LayerVerdict]:
        yield from itertools.islice(judging(*arguments), 3)
        raise KeyboardInterrupt

    judging = layers.judge_layers
    monkeypatch.setattr(layers, "judge_layers", judge)
    with pytest.raises(KeyboardInterrupt):
        small(right(), right("other"), dims=[2], suites=["networks"])
    rows = read(tmp_path / "run" / "run.sqlite").rows

    assert 3 == len(rows(tables.Layer))
    assert 2 == len({row.layer for row in rows(tables.Layer)})
    assert {"right", "other"} == {row.implementation for row in rows(tables.Cell)}


# --- the first violation --------------------------------------------------------------------------


def test_a_run_can_end_at_its_first_violation(small: Small, tmp_path: Path) -> None:
    chosen = right("before"), of(lambda *a, **k: kernels.conv(*a, **k) + 1), right("after")
    found = small(*chosen, dims=[1, 2], exitfirst=True)
    whole = small(*chosen, dims=[1, 2], output=tmp_path / "whole")

    assert (1, ["before", "mine"]) == (found.exit_status, [c.implementation for c in found.cells])
    assert cited(whole)[:1] == cited(found)
    assert found.cells[1].reached < found.cells[1].planned
    assert "at the first violation" == read(found.path).facts["ends"]


def test_a_run_without_a_violation_is_not_ended_by_that_option(small: Small) -> None:
    whole, found = small(right(), dims=[1, 2]), small(right(), dims=[1, 2], exitfirst=True)

    assert (0, [cell.reached for cell in whole.cells]) == (
        found.exit_status,
        [cell.reached for cell in found.cells],
    )


def test_processes_end_at_the_first_violation_of_any(
    small: Small, plugin: Callable[[float], Path]
) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        found = small(plugins=[plugin(1.0)], dims=[1, 2, 3], executor=executor, exitfirst=True)

    assert 1 == found.exit_status
    assert 1 <= len(violations(found)) <= 2


# --- executors ------------------------------------------------------------------------------------


def test_other_processes_give_the_same_verdicts(
    small: Small, empty_registry: None, plugin: Callable[[float], Path]
) -> None:
    path = plugin(1)
    alone = small(plugins=[path], dims=[1, 2])
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        together = small(plugins=[path], dims=[1, 2], executor=executor, cache=False)

    def facts(found: Run) -> set[object]:
        return {
            (c.operator, c.dims, c.planned, c.violating, tuple(v.case for v in c.violations))
            for c in found.cells
        }

    assert {"from-a-plugin": VIOLATES} == alone.verdicts == together.verdicts
    assert facts(alone) == facts(together)


def test_a_run_without_cases_is_refused(small: Small) -> None:
    with pytest.raises(ConformanceError, match="nothing to judge"):
        small(right(), suites=(), examples=0, checks=["result"])
