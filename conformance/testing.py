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

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.errors import ConformanceError
from conformance.isolation.dispatch import caller_of, isolated
from conformance.judging import UNSUPPORTED, Prepared, Verdict, judge_each
from conformance.known.difference import KnownDifference
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import find
from conformance.requirements import CHECKS
from conformance.running.causes import shrink_to_violations
from conformance.running.known_in_run import Subject
from conformance.running.plan import Plan, resolve
from conformance.running.preparing import prepare_block
from conformance.running.selection import Selection

_SHOWN = 8
"""Violations that the message of a failed check tells of."""


@dataclass(frozen=True, slots=True)
class Check:
    """All cases of one operator, dimension and dtype; call it with an implementation."""

    operator: str
    dims: int
    dtype: str
    plan: Plan
    isolate: bool = False

    @property
    def name(self) -> str:
        return f"{self.operator}{self.dims}d-{self.dtype}"

    def __call__(self, implementation: object) -> None:
        """Judge ``implementation`` and raise AssertionError with the smallest failing cases.

        A case that the implementation does not support passes over; where it supports none, the
        test is skipped.
        """
        one = isolated(find(implementation), self.isolate, Limits())
        if not one.installed:
            _skip(f"{one.name}: {one.hint}")
        prepared = _block(self.plan, self.operator, self.dims)
        mine = [p for p in prepared if p.case.dtype == self.dtype]
        # A test suite that makes warnings errors must not turn one into a failure of the call.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdicts = [verdict for verdict, _ in judge_each(one, mine)]
        subject = Subject.of(one, {})
        new, _ = subject.separate_known(verdict for verdict in verdicts if verdict.failed)
        if new:  # `convformance run` reports the others
            raise AssertionError(_explain(one, new, len(verdicts), subject.entries))
        valid = [verdict for verdict in verdicts if not verdict.case.invalid]
        if all(verdict.status == UNSUPPORTED for verdict in valid):
            reason = caller_of(one).lost or "no case to judge"
            _skip(f"{one.name}: {valid[0].message if valid else reason}")

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


def checks(
    implementation: object,
    *,
    examples: int = 100,
    seed: int = 0,
    suites: Iterable[str] = ("edge",),
    dtypes: Iterable[str] | None = None,
    isolate: bool = False,
) -> tuple[Check, ...]:
    """Return the checks of the operators that ``implementation`` has.

    ``examples`` cases an operator and dimension are generated from ``seed``, besides ``suites``.
    With ``isolate`` calls are made in a worker process, which imports the implementation's module.
    Raises `ConformanceError` for a dtype or suite that does not exist.
    """
    one = find(implementation)
    selection = Selection(
        operators=one.operators,
        dtypes=one.dtypes if dtypes is None else dtypes,
        checks=CHECKS,
        suites=suites,
        examples=examples,
        seconds=math.inf,
        seed=seed,
    )
    plan = resolve(selection, [one])
    return tuple(
        Check(operator, dims, dtype, plan, isolate)
        for operator in plan.operators
        for dims in plan.dims
        for dtype in one.dtypes
        if dtype in plan.dtypes
    )


def parametrize_with_checks(
    implementations: Iterable[object],
    *,
    examples: int = 100,
    seed: int = 0,
    suites: Iterable[str] = ("edge",),
    dtypes: Iterable[str] | None = None,
    isolate: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Parametrize a test with arguments ``implementation`` and ``check``, one item a check.

    ``implementations`` holds registered functions, names, modules or `Implementation` objects;
    the other arguments are those of `checks`.
    """
    import pytest

    if isinstance(implementations, str) or not isinstance(implementations, Iterable):
        raise ConformanceError(
            f"implementations={implementations!r}; write a list, such as [my_conv]"
        )
    items = [
        pytest.param(one, check, id=f"{one.name}-{check.name}")
        for one in map(find, implementations)
        for check in checks(
            one, examples=examples, seed=seed, suites=suites, dtypes=dtypes, isolate=isolate
        )
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


def _explain(
    one: Implementation, failures: list[Verdict], total: int, known: Sequence[KnownDifference]
) -> str:
    text = [f"{one.name} fails {len(failures)} of {total} cases"]
    violations = list(shrink_to_violations(one, failures, known))
    for violation in violations[:_SHOWN]:
        text += [
            f"{violation.requirement} (cases: {violation.count}): {violation.message}",
            f"  smallest case: {violation.case.id}",
            f"  replay: {violation.replay}",
        ]
    if len(violations) > _SHOWN:
        text.append(f"and {len(violations) - _SHOWN} more; `convformance run` shows all")
    return "\n".join(text)


def _skip(reason: str) -> None:
    import pytest

    pytest.skip(reason)
