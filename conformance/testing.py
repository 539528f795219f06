"""The suite inside another pytest suite, with one test item for each check.

::

    from conformance.testing import parametrize_with_checks

    @parametrize_with_checks([my_conv])
    def test_my_conv(implementation, check):
        check(implementation)

What is expected to fail is declared by requirement, for all implementations, or by a function of
one: then these items are expected failures (xfail), and any other requirement still fails them::

    @parametrize_with_checks([my_conv], expected_failed_checks={"REJECT-3": "its caller checks"})

Items are named ``my-conv-conv2d-float32``, ``my-conv-max_pool1d-float64``, ..., so that
``-k conv2d`` selects an operator and ``-k float64`` a dtype.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from conformance.arrays import interpreters
from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import caller_of, isolated
from conformance.judging import UNSUPPORTED, Prepared, judge_each
from conformance.large.judge import is_large
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import find
from conformance.requirements import CHECKS, SEVERITIES, by_severity, requirement
from conformance.runfile.asked import LARGE, too_few
from conformance.runfile.words import INCONCLUSIVE
from conformance.running.causes import shrink_to_violations
from conformance.running.cell import Cell
from conformance.running.from_source import FromSource, Judged
from conformance.running.known_in_run import Subject
from conformance.running.layers import LayerVerdict, chosen, judge_layers
from conformance.running.plan import Plan, resolve
from conformance.running.preparing import names_of_cases, own_names, plainly, prepare_block
from conformance.running.selection import OneOrMore, Selection, several
from conformance.running.supported import for_cell
from conformance.running.violation import Violation
from conformance.sources.own import source_of
from conformance.spec import Spec, is_file
from conformance.spec.suite import Suite

ExpectedFailures: TypeAlias = (
    Mapping[str, str] | Callable[[Implementation], Mapping[str, str] | None] | None
)
"""The reasons of the requirements that are expected to fail, or a function that returns them."""

EXAMPLES = 100
"""The cases that are generated, unless another number is asked for."""
_FROM_SOURCE = 200
"""The most cases that an item judges because the implementation's source asks for them."""
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
    expected: Expected | None = None

    @property
    def name(self) -> str:
        """The name of the test item: ``conv2d-float32``."""
        return f"{self.operator}{self.dims}d-{self.dtype}"

    def __call__(self, implementation: object) -> None:
        """Judge ``implementation`` and raise AssertionError with the smallest failing cases.

        A case that the implementation does not support is passed over. If it supports no case, the
        test is skipped. If it supports so few that they prove nothing, AssertionError is raised.
        The test is an expected failure if all that fails is expected to.
        """
        __tracebackhide__ = True  # what failed is in the message, and not in the suite's frames
        try:
            problem = self._problem_of(implementation)
        except ConformanceError as error:
            raise error.with_traceback(None) from None
        if problem:
            raise AssertionError(problem)

    def _problem_of(self, implementation: object) -> str:
        """Return what is wrong with ``implementation``, "" for nothing; skip or xfail the test."""
        __tracebackhide__ = True
        implementation = isolated(find(implementation), self.isolate, Limits())
        if not implementation.installed:
            _skip(f"{implementation.name}: {implementation.hint}")
        prepared = _block(self.plan, self.operator, self.dims)
        cases = [p for p in prepared if p.case.dtype == self.dtype]
        shared = [p.case for p in cases]
        if shared and not self.plan.only_suites:
            implementation, own = for_cell(implementation, shared, cached=self.plan.cache)
            cases += own
        # If a test suite makes warnings errors, the call must not fail because of a warning.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdicts = [verdict for verdict, _ in judge_each(implementation, cases)]
            verdicts += [verdict for _, verdict in self._from_source(implementation, shared)]
            large = list(self._large(implementation))
        subject = Subject.of(implementation, {})
        judged = [*verdicts, *(one.verdict for one in large)]
        new, known = subject.separate_known(verdict for verdict in judged if verdict.failed)
        expected = self.expected or Expected(implementation.name, {})
        expected.left.discard(self.name)
        if new:  # `convformance run` reports the known ones
            names = names_of_cases(self.plan, self.operator, self.dims)
            titles = own_names(self.plan)
            names |= {plainly(one.verdict.case): titles[one.layer] for one in large}
            violations = list(
                shrink_to_violations(
                    implementation,
                    new,
                    subject.entries,
                    name_of=lambda case: names.get(plainly(case), ""),
                )
            )
            failed = expected.failing(violations)
            unexpected = [v for v in violations if v.requirement not in failed]
            head = f"{implementation.name} fails {len(new)} of {len(judged)} cases"
            if not unexpected and not expected.stale:
                _xfail("; ".join(f"{number}: {reason}" for number, reason in failed.items()))
            return "\n".join((head, *_explain(unexpected or violations, failed), *expected.stale))
        if expected.stale:
            return "\n".join(expected.stale)
        valid = [verdict for verdict in judged if not verdict.case.invalid]
        if all(verdict.status == UNSUPPORTED for verdict in valid):
            reason = caller_of(implementation).given_up_because or "no case to judge"
            _skip(f"{implementation.name}: {valid[0].message if valid else reason}")
        cell = Cell(implementation.name, self.operator, self.dims, self.dtype, covered=known)
        cell.plan(p.case for p in cases)
        for p, verdict in zip(cases, verdicts, strict=False):
            exact = p.reference.exact
            cell.count(verdict, elements=exact.size, nonzero=bool(np.any(exact)))
        cell.plan((one.verdict.case for one in large), LARGE)
        for one in large:
            cell.count(one.verdict, elements=1, nonzero=True, kind=LARGE)
        return _too_little(cell) if cell.verdict == INCONCLUSIVE else ""

    def _from_source(
        self, implementation: Implementation, shared: Sequence[Case]
    ) -> Iterator[Judged]:
        """Yield what its source asks for, unless its calls have ended too often."""
        source = source_of(implementation, self.operator) if self.plan.source else None
        if source is None or caller_of(implementation).given_up_because is not None:
            return
        steering = FromSource(source, self.operator, self.dims, (self.dtype,))
        steering.begin(self.dtype, shared)
        yield from steering.judged(implementation, _FROM_SOURCE)

    def _large(self, implementation: Implementation) -> Iterator[LayerVerdict]:
        """Yield what came of the large cases among the user's own."""
        if caller_of(implementation).given_up_because is not None:
            return
        own = own_names(self.plan)
        plan = replace(self.plan, layers=(), shapes=0)
        layers = [
            layer
            for layer in chosen(plan, self.operator, self.dims)
            if layer.name in own and layer.case.dtype == self.dtype
        ]
        yield from judge_layers([implementation], layers, self.plan.seconds, self.plan.clock)

    def __repr__(self) -> str:
        return f"<Check {self.name}>"


@dataclass(slots=True)
class Expected:
    """What is expected to fail in the items of one implementation, and what did."""

    implementation: str
    reasons: Mapping[str, str]
    """The reason of each requirement."""
    left: set[str] = field(default_factory=set)
    """The names of the items that have not run."""
    failed: set[str] = field(default_factory=set)

    def failing(self, violations: Sequence[Violation]) -> dict[str, str]:
        """Note and return the expected requirements among the violated ones, with their reasons."""
        violated = {violation.requirement for violation in violations}
        self.failed |= violated & {*self.reasons}
        return {number: reason for number, reason in self.reasons.items() if number in violated}

    @property
    def stale(self) -> list[str]:
        """What to say of the requirements that failed in no item, once all items have run."""
        gone = [] if self.left else [number for number in self.reasons if number not in self.failed]
        return [
            f"{self.implementation}: {number} is expected to fail ({self.reasons[number]}), and "
            f"fails in no item any more; take it out of expected_failed_checks"
            for number in gone
        ]


def checks(
    implementation: object,
    *,
    examples: int | None = None,
    seed: int = 0,
    suites: OneOrMore[str | Path | Suite] = ("edge",),
    dtypes: OneOrMore[str] | None = None,
    isolate: bool = False,
    spec: Spec | str | Path | None = None,
    expected_failed_checks: ExpectedFailures = None,
    source: bool = True,
    interpret: bool = False,
) -> tuple[Check, ...]:
    """Return the checks of the operators that ``implementation`` has.

    For each operator and dimension, ``examples`` cases (100 if None) are generated from ``seed``,
    in addition to ``suites``, which may be those of a file ``spec``. A suite that is a file itself,
    such as that of a model, is all that is judged. With ``isolate`` calls are made in a worker
    process, which imports the implementation's module. ``expected_failed_checks`` are requirements
    that are expected to fail, each with its reason, or a function that returns them for an
    implementation: one that fails in no item is told by the last item. With ``source`` its source
    is read, and further cases have sizes at the numbers in it. With ``interpret`` kernels of
    Triton, Pallas and Numba's CUDA run in their interpreters, without a GPU, in worker processes
    that are started from now on.
    Raises `ConformanceError` for a dtype, suite or requirement that does not exist.
    """
    interpreters.switch(interpret or interpreters.is_on())
    isolate = isolate or interpret  # here the modules of kernels may be imported already
    implementation = find(implementation)
    reasons = expected_failed_checks
    reasons = reasons(implementation) if callable(reasons) else reasons
    expected = Expected(implementation.name, dict(reasons or {}))
    for number in expected.reasons:
        requirement(number)  # raises if it is unknown
    is_all = any(map(is_file, several(suites)))
    if examples is None:
        examples = 0 if is_all else EXAMPLES
    selection = Selection(
        operators=implementation.operators,
        dtypes=implementation.dtypes if dtypes is None else dtypes,
        checks=CHECKS,
        suites=suites,
        examples=examples,
        seconds=math.inf,
        seed=seed,
        spec=spec,
        source=source,
    )
    plan = resolve(selection, [implementation])
    made = tuple(
        Check(operator, dims, dtype, plan, isolate, expected)
        for operator in plan.operators
        for dims in plan.dims
        for dtype in implementation.dtypes
        if dtype in plan.dtypes
        if not is_all or _has_calls(plan, operator, dims, dtype)
    )
    if not made and is_all:
        raise ConformanceError(
            f"{implementation.name}: no call of {' or '.join(plan.suites)} is one of its operators "
            f"({', '.join(implementation.operators)}) and dtypes ({', '.join(plan.dtypes)})"
        )
    expected.left |= {check.name for check in made}
    return made


def parametrize_with_checks(
    implementations: Iterable[object],
    *,
    examples: int | None = None,
    seed: int = 0,
    suites: OneOrMore[str | Path | Suite] = ("edge",),
    dtypes: OneOrMore[str] | None = None,
    isolate: bool = False,
    spec: Spec | str | Path | None = None,
    expected_failed_checks: ExpectedFailures = None,
    source: bool = True,
    interpret: bool = False,
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
            spec=spec,
            expected_failed_checks=expected_failed_checks,
            source=source,
            interpret=interpret,
        )
    ]
    return pytest.mark.parametrize(("implementation", "check"), items)


def _has_calls(plan: Plan, operator: str, dims: int, dtype: str) -> bool:
    """Whether the suites of a plan have a case of an operator in a number of dimensions."""
    return any(
        (entry.case.operator, entry.case.dims) == (operator, dims)
        and dtype in ((entry.case.dtype,) if entry.dtype or is_large(entry.case) else plan.dtypes)
        for name in plan.suites
        for entry in plan.spec.suite(name).cases
    )


_blocks: dict[tuple[Any, ...], list[Prepared]] = {}


def _block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases of a block, which the checks of its dtypes share."""
    digest = plan.spec.digest
    key = (operator, dims, plan.dtypes, plan.suites, plan.examples, plan.seed, digest)
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


def _explain(violations: Iterable[Violation], expected: Iterable[str]) -> list[str]:
    """Return the lines that show each violation, the worst first."""
    text = [f"expected to fail, and not shown: {', '.join(expected)}"] if expected else []
    violations = sorted(violations, key=_order)
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
    return text


def _order(violation: Violation) -> tuple[Any, ...]:
    """Sort key: the worst first."""
    v, case = violation, violation.case
    return by_severity(v.severity, v.status, v.requirement, case.dims, case.id)


def _by_requirement(rejections: Sequence[Violation]) -> Iterator[str]:
    """Yield a line for each requirement on invalid calls, with the mistakes that are accepted."""
    for number in dict.fromkeys(v.requirement for v in rejections):
        same = [v for v in rejections if v.requirement == number]
        mistakes = ", ".join(dict.fromkeys(v.case.invalid for v in same))
        yield f"  {number} (cases: {sum(v.count for v in same)}): {mistakes}"


def _reproducer(violation: Violation) -> list[str]:
    return [f"  smallest case: {violation.case.id}", f"  replay: {violation.replay}"]


def _skip(reason: str) -> None:
    __tracebackhide__ = True
    import pytest

    pytest.skip(reason)


def _xfail(reason: str) -> None:
    __tracebackhide__ = True
    import pytest

    pytest.xfail(reason)  # which does nothing with --runxfail
