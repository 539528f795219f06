"""The suite inside somebody's own pytest suite, one test item a check.

::

    from conformance.testing import parametrize_with_checks

    @parametrize_with_checks([my_conv])
    def test_my_conv(implementation, check):
        check(implementation)

Items are named ``my-conv-conv2d-float32``, ``my-conv-max_pool1d-float64``, ..., so that
``-k conv2d`` selects an operator and ``-k float64`` a dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from conformance.block import Plan, prepare_block
from conformance.causes import explain
from conformance.checks import CHECKS
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.registry import Implementation, find
from conformance.spec import load


@dataclass(frozen=True, slots=True)
class Check:
    """All cases of one operator, dimension and dtype; call it with an implementation."""

    operator: str
    dims: int
    dtype: str
    plan: Plan

    @property
    def name(self) -> str:
        return f"{self.operator}{self.dims}d-{self.dtype}"

    def __call__(self, implementation: object) -> None:
        """Judge ``implementation`` and raise AssertionError with the smallest failing cases.

        A case that the implementation does not support passes over; where it supports none, the
        test is skipped.
        """
        one = find(implementation)
        prepared = _block(self.plan, self.operator, self.dims)
        verdicts = [judge_prepared(one, p)[0] for p in prepared if p.case.dtype == self.dtype]
        failures = [verdict for verdict in verdicts if verdict.failed]
        if failures:
            raise AssertionError(_explain(one, failures, len(verdicts)))
        if all(verdict.status == "unsupported" for verdict in verdicts):
            import pytest

            pytest.skip(f"{one.name}: {verdicts[0].message}")

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


def checks(
    implementation: object,
    *,
    examples: int = 100,
    seed: int = 0,
    suites: Iterable[str] = ("edge",),
    dtypes: Iterable[str] | None = None,
) -> tuple[Check, ...]:
    """Return the checks of the operators that ``implementation`` has.

    ``examples`` cases an operator and dimension are generated from ``seed``, besides ``suites``.
    """
    one = find(implementation)
    spec = load()
    chosen = tuple(dtypes) if dtypes is not None else one.dtypes
    plan = Plan(
        implementations=(one,),
        operators=one.operators,
        dims=spec.ranges.dims,
        dtypes=chosen,
        claimed=(),
        checks=CHECKS,
        suites=tuple(suites),
        examples=examples,
        seconds=float("inf"),
        seed=seed,
        tier="pytest",
        spec=spec,
        cache=True,
    )
    return tuple(
        Check(operator, dims, dtype, replace(plan))
        for operator in plan.operators
        for dims in plan.dims
        for dtype in chosen
        if dtype in one.dtypes
    )


def parametrize_with_checks(
    implementations: Iterable[object],
    *,
    examples: int = 100,
    seed: int = 0,
    suites: Iterable[str] = ("edge",),
    dtypes: Iterable[str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Parametrize a test with arguments ``implementation`` and ``check``, one item a check.

    ``implementations`` holds registered functions, names, modules or `Implementation` objects;
    the other arguments are those of `checks`.
    """
    import pytest

    items = [
        pytest.param(one, check, id=f"{one.name}-{check.name}")
        for one in map(find, implementations)
        for check in checks(one, examples=examples, seed=seed, suites=suites, dtypes=dtypes)
    ]
    return pytest.mark.parametrize(("implementation", "check"), items)


_blocks: dict[tuple[Any, ...], list[Prepared]] = {}


def _block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases; the checks of the dtypes of one block share them."""
    key = (operator, dims, plan.dtypes, plan.suites, plan.examples, plan.seed)
    if key not in _blocks:
        _blocks.clear()  # items come operator by operator, so one block at a time is enough
        _blocks[key] = prepare_block(plan, operator, dims)
    return _blocks[key]


def _explain(one: Implementation, failures: list[Verdict], total: int) -> str:
    text = [f"{one.name} fails {len(failures)} of {total} cases"]
    for violation in explain(one, failures):
        text += [
            f"{violation.requirement} ({violation.count} cases): {violation.message}",
            f"  smallest case: {violation.case.id}",
            f"  replay: convformance replay '{violation.case.id}' {one.name}",
        ]
    return "\n".join(text)
