"""The suite inside another pytest suite, with one test item for each check.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from conformance.requirements import CHECKS, SEVERITIES, by_severity
from conformance.runfile.asked import too_few
from conformance.runfile.words import INCONCLUSIVE
from conformance.running.causes import Violation, shrink_to_violations
from conformance.running.cell import Cell
from conformance.running.known_in_run import Subject
from conformance.running.plan import Plan, resolve
from conformance.running.preparing import prepare_block
from conformance.running.selection import OneOrMore, Selection
from conformance.running.supported import for_cell

_SHOWN = 8
"""The number of violations that the message of a failed check shows."""


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
        """The name of the test item: ``conv2d-float32``."""
        return f"{self.operator}{self.dims}d-{self.dtype}"

    def __call__(self, implementation: object) -> None:
        """Judge ``implementation`` and raise AssertionError with the smallest failing cases.

        A case that the implementation does not support is passed over. If it supports no case, the
        test is skipped. If it supports so few that they prove nothing, AssertionError is raised.
        """
        implementation = isolated(find(implementation), self.isolate, Limits())
        if not implementation.installed:
            _skip(f"{implementation.name}: {implementation.hint}")
        prepared = _block(self.plan, self.operator, self.dims)
        cases = [p for p in prepared if p.case.dtype == self.dtype]
        shared = [p.case for p in cases]
        if shared:
            implementation, own = for_cell(implementation, shared, cached=self.plan.cache)
            cases += own
        # If a test suite makes warnings errors, the call must not fail because of a warning.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdicts = [verdict for verdict, _ in judge_each(implementation, cases)]
        subject = Subject.of(implementation, {})
        new, known = subject.separate_known(verdict for verdict in verdicts if verdict.failed)
        if new:  # `convformance run` reports the known ones
            raise AssertionError(_explain(implementation, new, len(verdicts), subject.entries))
        valid = [verdict for verdict in verdicts if not verdict.case.invalid]
        if all(verdict.status == UNSUPPORTED for verdict in valid):
            reason = caller_of(implementation).given_up_because or "no case to judge"
            _skip(f"{implementation.name}: {valid[0].message if valid else reason}")
        cell = Cell(implementation.name, self.operator, self.dims, self.dtype, covered=known)
        cell.plan(p.case for p in cases)
        for p, verdict in zip(cases, verdicts, strict=False):
            exact = p.reference.exact
            cell.count(verdict, elements=exact.size, nonzero=bool(np.any(exact)))
        if cell.verdict == INCONCLUSIVE:
            raise AssertionError(_too_little(cell))

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


def checks(
    implementation: object,
    *,
    examples: int = 100,
    seed: int = 0,
    suites: OneOrMore[str] = ("edge",),
    dtypes: OneOrMore[str] | None = None,
    isolate: bool = False,
) -> tuple[Check, ...]:
    """Return the checks of the operators that ``implementation`` has.

    For each operator and dimension, ``examples`` cases are generated from ``seed``, in addition to
    ``suites``. With ``isolate`` calls are made in a worker process, which imports the
    implementation's module.
    Raises `ConformanceError` for a dtype or suite that does not exist.
    """
    implementation = find(implementation)
    selection = Selection(
        operators=implementation.operators,
        dtypes=implementation.dtypes if dtypes is None else dtypes,
        checks=CHECKS,
        suites=suites,
        examples=examples,
        seconds=math.inf,
        seed=seed,
    )
    plan = resolve(selection, [implementation])
    return tuple(
        Check(operator, dims, dtype, plan, isolate)
        for operator in plan.operators
        for dims in plan.dims
        for dtype in implementation.dtypes
        if dtype in plan.dtypes
    )


def parametrize_with_checks(
    implementations: Iterable[object],
    *,
    examples: int = 100,
    seed: int = 0,
    suites: OneOrMore[str] = ("edge",),
    dtypes: OneOrMore[str] | None = None,
    isolate: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Parametrize a test with arguments ``implementation`` and ``check``, one item for each check.

    ``implementations`` holds registered functions, names, modules or `Implementation` objects;
    the other arguments are those of `checks`.
    """
    import pytest

    if isinstance(implementations, str) or not isinstance(implementations, Iterable):
        raise ConformanceError(
            f"implementations={implementations!r}; write a list, such as [my_conv]"
        )
    items = [
        pytest.param(implementation, check, id=f"{implementation.name}-{check.name}")
        for implementation in map(find, implementations)
        for check in checks(
            implementation,
            examples=examples,
            seed=seed,
            suites=suites,
            dtypes=dtypes,
            isolate=isolate,
        )
    ]
    return pytest.mark.parametrize(("implementation", "check"), items)


_blocks: dict[tuple[Any, ...], list[Prepared]] = {}


def _block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases of a block, which the checks of its dtypes share."""
    key = (operator, dims, plan.dtypes, plan.suites, plan.examples, plan.seed)
    if key not in _blocks:
        _blocks.clear()  # items come operator by operator, so one block is enough
        _blocks[key] = prepare_block(plan, operator, dims)
    return _blocks[key]


def _too_little(cell: Cell) -> str:
    """Return why a check that found nothing wrong does not pass."""
    few = [f"{name} ({done} of {due})" for name, (due, done) in too_few(cell.counts).items()]
    text = (
        f"{cell.implementation}: nothing was proved: {cell.compared} of {cell.planned} cases were "
        f"compared, {cell.nonzero} of them with a result that is not zero; ask for more examples"
    )
    return f"{text}, or see why these were not compared: {', '.join(few)}" if few else text


def _explain(
    implementation: Implementation,
    failures: list[Verdict],
    total: int,
    known: Sequence[KnownDifference],
) -> str:
    text = [f"{implementation.name} fails {len(failures)} of {total} cases"]
    violations = sorted(shrink_to_violations(implementation, failures, known), key=_order)
    rejections = [v for v in violations if v.severity == SEVERITIES[-1]]
    others = [v for v in violations if v.severity != SEVERITIES[-1]]
    for violation in others[:_SHOWN]:
        text += [
            f"{violation.requirement} (cases: {violation.count}): {violation.message}",
            *_reproducer(violation),
        ]
    if len(others) > _SHOWN:
        text.append(f"and {len(others) - _SHOWN} more; `convformance run` shows all")
    if rejections:
        text += [
            'invalid calls are not rejected; if callers check them, declare arguments="unchecked":',
            *_by_requirement(rejections),
            *_reproducer(rejections[0]),
        ]
    return "\n".join(text)


def _order(violation: Violation) -> tuple[Any, ...]:
    """Sort key: the worst first."""
    v, case = violation, violation.case
    return by_severity(v.severity, v.status, v.requirement, case.dims, case.id)


def _by_requirement(rejections: Sequence[Violation]) -> Iterator[str]:
    """Yield a line for each requirement on invalid calls, with the mistakes that are accepted."""
    for requirement in dict.fromkeys(v.requirement for v in rejections):
        same = [v for v in rejections if v.requirement == requirement]
        mistakes = ", ".join(dict.fromkeys(v.case.invalid for v in same))
        yield f"  {requirement} (cases: {sum(v.count for v in same)}): {mistakes}"


def _reproducer(violation: Violation) -> list[str]:
    return [f"  smallest case: {violation.case.id}", f"  replay: {violation.replay}"]


def _skip(reason: str) -> None:
    import pytest

    pytest.skip(reason)
