"""The check of adapters, by the simplest cases: an adapter's mistake is not the engine's.

An adapter, which is an implementation that declares the ``package`` of an engine, translates
layout, padding and parameters. Before an operator is judged, the smoke suite's simplest cases are:
they are checked by hand, and one parameter at most is not its default. An engine that others rely
on computes them rightly; so where a value or a shape is wrong even there, or a case without any
parameter raises, the adapter is wrong. Then nothing is said of the engine, and no other case of the
operator is judged. Engines do refuse parameters: what raises in a case that has one accuses nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from conformance.case import Case
from conformance.dtypes import FLOATS
from conformance.judging import CRASHED, Prepared, Verdict, judge_prepared
from conformance.known.difference import KnownDifference
from conformance.operators import GRADIENTS
from conformance.registration.implementation import Implementation
from conformance.runfile.words import ADAPTER_WRONG
from conformance.running.budget import Budget
from conformance.running.causes import Violation
from conformance.running.citing import deviations
from conformance.running.known_in_run import matching_entry
from conformance.scripts.standalone import replay_command, script_of
from conformance.spec import Spec

SUITE = "smoke"

SECONDS = 5.0
"""Budget for checking an adapter; one that compiles for seconds is checked on fewer cases."""


def simplest(spec: Spec, operator: str, dims: int, dtype: str) -> list[Case]:
    """Return the smoke suite's cases of an operator with one parameter at most, plainest first.

    A gradient's are those of its forward operator.
    """
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    # Whole numbers ask for no precision, but maxima tie, and which one gets the gradient differs.
    recipe = "normal" if operator == "max_pool_grad" else "integers"
    cases = [
        entry.case.replace(dtype=dtype, data=recipe)
        for entry in spec.suite(SUITE).cases
        if (entry.case.operator, entry.case.dims) == (source, dims)
        if len(deviations(entry.case)) <= 1
    ]
    cases.sort(key=lambda case: len(deviations(case)))
    return [gradient.derived(case) for case in cases] if gradient else cases


def dtype_of(one: Implementation) -> str | None:
    """Return the dtype to check an adapter in: float32, else the first floating one it claims."""
    claimed = [dtype for dtype in ("float32", *FLOATS) if dtype in one.dtypes]
    return claimed[0] if claimed else None


def check_adapter(
    one: Implementation, spec: Spec, operator: str, dims: int, known: Sequence[KnownDifference]
) -> Verdict | None:
    """Return the first verdict that shows the adapter of an operator wrong, None if none does.

    ``known`` are the differences that its engine is known for.
    """
    dtype = dtype_of(one)
    if one.package is None or dtype is None:
        return None
    cases = affordable(one, simplest(spec, operator, dims, dtype))
    return first_sign_of_wrong_adapter(
        map(Prepared.of, cases), lambda prepared: judge_prepared(one, prepared)[0], known
    )


def affordable(one: Implementation, cases: Iterable[Case]) -> Iterator[Case]:
    """Yield cases until the budget for checking an adapter is spent; the first is free."""
    budget = Budget(one, SECONDS, SECONDS)
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

    ``prepared`` are those cases in its dtype, judged by ``judge``. What one of the ``known``
    differences covers shows nothing of the adapter.
    """
    for p in prepared:
        verdict = judge(p)
        if not verdict.failed or matching_entry(known, verdict) is not None:
            continue
        if verdict.status != CRASHED or not deviations(p.case):
            return verdict
    return None


def violation(one: Implementation, verdict: Verdict) -> Violation:
    """Return what the report says of an adapter that is wrong: whose mistake, and what shows it."""
    case = verdict.case
    return Violation(
        requirement=verdict.requirement or "RESULT-1",
        status=ADAPTER_WRONG,
        case=case,
        found=case,
        count=1,
        message=(
            f"the adapter {one.name} is wrong: {case.operator} differs even in one of the simplest "
            f"cases, so that no other is judged and nothing is said of {one.package}; "
            f"{verdict.message}"
        ),
        replay=replay_command(one, case),
        script=script_of(one, case, verdict),
        engine_script="",
    )
