"""The check of adapters by the simplest cases: an adapter's mistake is not the engine's.

An adapter is an implementation that declares the ``package`` of an engine; it translates layout,
padding and parameters for it. Before an operator is judged, the adapter computes the simplest cases
of the smoke suite, which were checked by hand and have at most one parameter that is not its
default. An engine that others rely on computes them correctly. So if a value or a shape is wrong
even there, or if a case without any parameter raises, the adapter is wrong: nothing is said of the
engine, and no other case of the operator is judged. An exception in a case with a parameter proves
nothing, since engines do refuse parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from conformance.calling import CRASH
from conformance.case import Case
from conformance.dtypes import FLOATS
from conformance.judging import CRASHED, Prepared, Verdict, judge_prepared
from conformance.known.difference import KnownDifference
from conformance.operators import GRADIENTS
from conformance.registration.implementation import Implementation
from conformance.requirements import SEVERITIES
from conformance.runfile.words import ADAPTER_WRONG
from conformance.running.budget import Budget
from conformance.running.citing import deviations
from conformance.running.known_in_run import matching_entry
from conformance.running.violation import Violation
from conformance.scripts.standalone import replay_command, script_of
from conformance.spec import Spec

SUITE = "smoke"

SECONDS = 5.0
"""Budget for checking one adapter; an engine that compiles for seconds gets fewer cases."""


def simplest(spec: Spec, operator: str, dims: int, dtype: str) -> list[Case]:
    """Return the smoke suite's cases of an operator with at most one parameter, plainest first.

    The cases of a gradient are those of its forward operator.
    """
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    # Whole numbers need no precision. But maxima tie, and it is open which one gets the gradient.
    recipe = "normal" if operator == "max_pool_grad" else "integers"
    cases = [
        entry.case.replace(dtype=dtype, data=recipe)
        for entry in spec.suite(SUITE).cases
        if (entry.case.operator, entry.case.dims) == (source, dims)
        if len(deviations(entry.case)) <= 1
    ]
    cases.sort(key=lambda case: len(deviations(case)))
    return [gradient.derived(case) for case in cases] if gradient else cases


def dtype_of(implementation: Implementation) -> str | None:
    """Return the dtype to check an adapter in: float32, or the first floating one that it has."""
    claimed = [dtype for dtype in ("float32", *FLOATS) if dtype in implementation.dtypes]
    return claimed[0] if claimed else None


def check_adapter(
    implementation: Implementation,
    spec: Spec,
    operator: str,
    dims: int,
    known: Sequence[KnownDifference],
) -> Verdict | None:
    """Return the first verdict that shows the adapter of an operator wrong, None if none does.

    ``known`` are the known differences of its engine. What overrides operators of an engine is to
    be judged, and no adapter.
    """
    dtype, setup = dtype_of(implementation), implementation.setup
    overridden = setup is not None and setup.changes_process
    if implementation.package is None or dtype is None or overridden:
        return None
    cases = affordable(implementation, simplest(spec, operator, dims, dtype))
    return first_sign_of_wrong_adapter(
        map(Prepared.of, cases), lambda prepared: judge_prepared(implementation, prepared)[0], known
    )


def affordable(implementation: Implementation, cases: Iterable[Case]) -> Iterator[Case]:
    """Yield cases until the budget for checking an adapter is spent; the first case is free."""
    budget = Budget(implementation, SECONDS, SECONDS)
    for number, case in enumerate(cases):
        if not budget.affords_case(case) and number:
            return
        yield case


def first_sign_of_wrong_adapter(
    prepared: Iterable[Prepared],
    judge: Callable[[Prepared], Verdict],
    known: Sequence[KnownDifference] = (),
) -> Verdict | None:
    """Return the verdict on the first of the simplest cases that shows the adapter wrong, if any.

    ``prepared`` are those cases in the adapter's dtype, and ``judge`` judges them. A failure that
    one of the ``known`` differences covers says nothing about the adapter, nor does a crash that
    does not come again.
    """
    for p in prepared:
        verdict = judge(p)
        if verdict.outcome == CRASH:  # earlier calls may have spoilt the process
            verdict = judge(p)
        if not verdict.failed or matching_entry(known, verdict) is not None:
            continue
        if verdict.status != CRASHED or not deviations(p.case):
            return verdict
    return None


def violation(implementation: Implementation, verdict: Verdict) -> Violation:
    """Return the violation that reports a wrong adapter: whose mistake it is, and what shows it."""
    case, name, package = verdict.case, implementation.name, implementation.package
    wrong = f"is wrong: {case.operator} differs even in one of the simplest cases"
    if "ImportError: " in verdict.message or "ModuleNotFoundError: " in verdict.message:
        wrong = f"cannot import what it needs with {implementation.environment}"
    elif implementation.outdated:
        wrong = (
            f"is not for {implementation.outdated}: {case.operator} differs even in one of the "
            f"simplest cases"
        )
    return Violation(
        requirement=verdict.requirement or "RESULT-1",
        status=ADAPTER_WRONG,
        severity=SEVERITIES[0],
        case=case,
        found=case,
        count=1,
        message=(
            f"the adapter {name} {wrong}, so that no other is judged and nothing is said of "
            f"{package}; {verdict.message}"
        ),
        replay=replay_command(implementation, case),
        script=script_of(implementation, case, verdict),
        engine_script="",
    )
