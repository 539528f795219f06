"""Proof of adapters: whose mistake it is where the simplest cases differ, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import KnownDifference
from conformance.calling import CRASH
from conformance.case import Case
from conformance.judging import CONFORMS, CRASHED, Prepared, Verdict
from conformance.reports import load as load_report
from conformance.reports.as_json import as_json
from conformance.reports.headline import headline
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.runfile.reading import read
from conformance.runfile.tables import Violation
from conformance.runfile.words import ADAPTER_WRONG
from conformance.running.adapter_check import dtype_of, first_sign_of_wrong_adapter, simplest
from conformance.running.citing import deviations
from conformance.running.run import Run, run
from conformance.signatures import SIGNATURES
from conformance.spec import load
from tests.defects import kernels, unregistered
from tests.test_reports import terminal

pytestmark = pytest.mark.usefixtures("cache_folder")

DILATED = "conv2d:float32:x=1,1,3,4:w=1,1,2,2:dilation=2,3:integers@0"


def flipped(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    return kernels.conv(x, np.flip(w, tuple(range(2, w.ndim))).copy(), bias, **parameters)


def undilated(x: Any, w: Any, bias: Any, *, dilation: Any, **parameters: Any) -> Any:
    """Return an output of the right shape, with taps that lie together."""
    spread = tuple(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))
    wide = np.zeros((*w.shape[:2], *spread), w.dtype)
    wide[(..., *(slice(k) for k in w.shape[2:]))] = w
    return kernels.conv(x, wide, bias, dilation=(1,) * len(dilation), **parameters)


def refuses_groups(x: Any, w: Any, bias: Any, *, groups: Any, **parameters: Any) -> Any:
    if groups > 1:
        raise RuntimeError("no kernel for groups")
    return kernels.conv(x, w, bias, groups=groups, **parameters)


def refuses_everything(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    raise RuntimeError("wrong number of arguments")


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that judges a convolution in two dimensions, in a small run."""

    def judge(function: Any, package: str | None = "numpy", **declared: Any) -> Run:
        one = unregistered("mine", {"conv": function}, {"package": package, **declared})
        return run(
            [one],
            operators=["conv"],
            dims=[2],
            dtypes=["float32", "float64"],
            checks=["result", "declare"],
            suites=["smoke"],
            examples=0,
            seconds=30,
            output=tmp_path,
        )

    return judge


def violations(result: Run) -> tuple[Violation, ...]:
    return read(result.path).rows(Violation)


def test_an_adapter_that_differs_in_the_simplest_cases_is_wrong(judged: Any) -> None:
    result = judged(flipped)

    assert {"mine": ADAPTER_WRONG} == result.verdicts


def test_a_run_with_a_wrong_adapter_does_not_conform(judged: Any) -> None:
    assert not judged(flipped).conforms


def test_no_other_case_is_judged_where_the_adapter_is_wrong(judged: Any) -> None:
    result = judged(flipped)

    assert [(ADAPTER_WRONG, 0, 0)] * 2 == [(c.verdict, c.reached, c.compared) for c in result.cells]


def test_the_plainest_case_shows_the_mistake_first(judged: Any) -> None:
    (violation,) = violations(judged(flipped))

    assert frozenset() == deviations(Case.parse(violation.case))


def test_a_parameter_that_the_adapter_ignores_is_the_adapters_mistake(judged: Any) -> None:
    (violation,) = violations(judged(undilated))

    assert (ADAPTER_WRONG, DILATED) == (violation.status, violation.case)


def test_what_is_no_adapter_violates(judged: Any) -> None:
    assert {"mine": "violates"} == judged(flipped, package=None).verdicts


def test_an_engine_that_refuses_a_parameter_is_judged(judged: Any) -> None:
    result = judged(refuses_groups)

    assert {"mine": "violates"} == result.verdicts


def test_an_adapter_that_raises_in_the_plainest_case_is_wrong(judged: Any) -> None:
    assert {"mine": ADAPTER_WRONG} == judged(refuses_everything).verdicts


def test_a_known_difference_of_the_engine_accuses_no_adapter(judged: Any) -> None:
    entry = KnownDifference("CONV-5", case=DILATED, where={"dilation": ">1"}, reason="none")

    assert {"mine": "known difference"} == judged(undilated, known=[entry]).verdicts


def test_a_right_adapter_conforms(judged: Any) -> None:
    assert {"mine": "conforms"} == judged(kernels.conv).verdicts


def test_a_declared_gap_accuses_no_adapter(judged: Any) -> None:
    declines = judged(flipped, supports=lambda case: "not today")

    assert {"mine": "unsupported"} == declines.verdicts


@pytest.mark.parametrize("form", ["terminal", "markdown", "html", "headline"])
def test_every_form_says_that_the_adapter_is_wrong(judged: Any, form: str) -> None:
    report = load_report(judged(flipped).path)
    text = {"terminal": terminal, "markdown": markdown, "html": html, "headline": headline}

    assert "adapter mine is wrong" in " ".join(text[form](report).split())


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_every_form_has_the_status(judged: Any, form: str) -> None:
    report = load_report(judged(flipped).path)

    assert ADAPTER_WRONG in {"terminal": terminal, "markdown": markdown, "html": html}[form](report)


def test_the_json_form_has_the_status(judged: Any) -> None:
    report = as_json(load_report(judged(flipped).path))

    assert [ADAPTER_WRONG] == [one["verdict"] for one in report["implementations"]]


@pytest.mark.parametrize("operator", SIGNATURES)
def test_every_operator_has_simplest_cases_in_two_dimensions(operator: str) -> None:
    assert simplest(load(), operator, 2, "float32")


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_simplest_cases_have_one_parameter_at_most(dims: int) -> None:
    cases = simplest(load(), "conv", dims, "float64")

    assert 1 >= max(len(deviations(case)) for case in cases)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float16", "float32"), "float32"),
        (("bfloat16", "float16"), "float16"),
        (("int32",), None),
    ],
)
def test_adapters_are_proven_in_float32_where_they_have_it(
    dtypes: tuple[str, ...], expected: str | None
) -> None:
    one = unregistered("mine", {"conv": kernels.conv}, {"dtypes": dtypes})

    assert expected == dtype_of(one)


@pytest.mark.parametrize(("crashes", "wrong"), [(1, False), (2, True)])
def test_a_crash_that_does_not_come_again_is_not_the_adapters(crashes: int, wrong: bool) -> None:
    prepared = Prepared.of(Case.parse("conv1d:float32:x=1,1,2:w=1,1,1:integers@0"))
    crashed = Verdict("one", prepared.case, CRASHED, "PROCESS-1", "ended", outcome=CRASH)
    verdicts = [crashed] * crashes + [Verdict("one", prepared.case, CONFORMS)] * 2

    found = first_sign_of_wrong_adapter([prepared], lambda _: verdicts.pop(0))

    assert wrong == (found is not None)
