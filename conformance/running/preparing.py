"""The prepared cases of a block: curated, generated and derived ones, cached from run to run."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from conformance.case import MEASURED, Case
from conformance.cases.derived import derived, interleaved
from conformance.cases.enumerations import ENUMERATIONS, SPACES, Enumeration
from conformance.dtypes import DTYPES, FLOATS, INTEGERS
from conformance.judging import Late, Prepared
from conformance.judging.together import prepared_together
from conformance.large.judge import WORK, is_large
from conformance.operators import GRADIENTS, OPERATORS, work
from conformance.runfile import asked
from conformance.running import cache
from conformance.running.plan import Plan
from conformance.spec.layers import smaller
from conformance.spec.suite import SuiteCase

_MOST_WORK = 1 << 24
"""The most multiply-accumulates of a part of a large case: it may have large channels."""
_EVERY_CALL = {"result", "purity", "repeat", "declare", "integer", "relations", "process", "memory"}
"""The checks that judge ordinary cases."""


def prepare_block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases of one operator and dimension: curated first, then generated."""
    floats = tuple(dtype for dtype in plan.dtypes if dtype in FLOATS) or ("float32",)
    ranges = replace(plan.spec.ranges, dtypes=floats)
    claimed = (*plan.claimed, *(dtype for dtype in plan.dtypes if dtype in INTEGERS))

    def make_cases() -> list[Case]:
        cases = _curated(plan, operator, dims, floats)
        # A gradient has the geometry of its forward operator, which has more cases.
        fewer = min(plan.examples, max(20, plan.examples // 3))
        count = fewer if operator in GRADIENTS else plan.examples
        if count:
            # Hypothesis draws the cases. It is slow to import, and cached cases do not need it.
            from conformance.cases.strategies import generate

            cases += generate(operator, ranges, dims=dims, count=count, seed_value=plan.seed)
        further = derived(operator, dims, ranges, claimed, cases, count)
        if plan.only_suites:
            further = []
        checks = {*plan.checks, *(("result",) if _EVERY_CALL & {*plan.checks} else ())}
        checked = [case for case in interleaved(cases, further) if case.check in checks]
        return [case for case in checked if case.dtype in (*plan.dtypes, *plan.claimed)]

    name = cache.key(
        spec=plan.spec.digest,
        operator=operator,
        dims=dims,
        dtypes=(plan.dtypes, plan.claimed),
        checks=plan.checks,
        suites=(plan.suites, plan.only_suites),
        examples=plan.examples,
        seed=plan.seed,
    )
    return cache.prepare(make_cases, name, cached=plan.cache)


def prepare_enumerated(
    plan: Plan, operator: str, dims: int, dtypes: Collection[str]
) -> dict[str, list[Prepared]]:
    """Return the prepared cases of each space that is judged whole, by the name of their class.

    So are the findings of fuzzing.

    The space is that of an implementation of these ``dtypes``, so that one of few meets it whole.
    """
    floats = tuple(dtype for dtype in plan.dtypes if dtype in FLOATS and dtype in dtypes)
    asked_for = {*plan.claimed, *plan.dtypes}.difference(floats).intersection(dtypes)
    claimed = tuple(dtype for dtype in DTYPES if dtype in asked_for)
    found = {}
    for name in (name for name in plan.enumerations if name in ENUMERATIONS):
        enumeration = ENUMERATIONS[name]

        def make_cases(enumeration: Enumeration = enumeration) -> list[Case]:
            cases = enumeration.cases(operator, dims, floats, claimed)
            return [case for case in cases if case.check in plan.checks]

        facts = {"dtypes": (floats, claimed), "checks": plan.checks}
        key = cache.key(enumeration=name, operator=operator, dims=dims, **facts)
        found[enumeration.kind] = cache.prepare(make_cases, key, cached=plan.cache)
    kept = [
        case
        for case in plan.findings
        if (case.operator, case.dims) == (operator, dims)
        if case.dtype in (*floats, *claimed) and case.check in plan.checks
    ]
    if kept:
        key = cache.key(own=[case.id for case in kept])
        found[asked.FINDINGS] = cache.prepare(lambda: kept, key, cached=plan.cache)
    return found


def first_dtype(dtypes: Collection[str]) -> str:
    """Return the one of ``dtypes`` that spaces are judged in which need not be judged in each."""
    return min(dtypes, key=lambda dtype: (dtype != "float32", DTYPES.index(dtype)))


def prepare_spaces(
    plan: Plan, operator: str, dims: int, dtype: str, leading: bool
) -> dict[str, tuple[str, list[Prepared]]]:
    """Return each space of a dtype, in words and as prepared cases, by the name of its class.

    ``leading`` says whether the dtype stands for all others of an implementation.
    """
    found = {}
    for name in (name for name in plan.enumerations if name in SPACES):
        space = SPACES[name]
        cases = space.cases(operator, dims, dtype, leading)
        cases = [case for case in cases if case.check in plan.checks]
        if not cases:
            continue
        words = space.in_words(operator, dims, dtype, leading)
        if space.together:
            found[space.kind] = words, prepared_together(cases)
            continue
        if space.one_by_one:
            found[space.kind] = words, [Late(case) for case in cases]
            continue
        facts = {"space": name, "operator": operator, "dims": dims, "checks": plan.checks}
        key = cache.key(**facts, dtypes=(dtype, leading))
        bank = cache.prepare(partial(tuple, cases), key, cached=plan.cache)
        found[space.kind] = words, bank
    return found


def _curated(plan: Plan, operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the suites' cases of an operator; a gradient has those of its forward operator."""
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    cases = [
        case
        for name in plan.suites
        for entry in plan.spec.suite(name).cases
        if (entry.case.operator, entry.case.dims) == (source, dims)
        for case in ordinary_cases(entry, dtypes)
    ]
    if gradient is None:
        return cases
    return [gradient.derived(case) for case in cases if case.data != MEASURED]


def ordinary_cases(entry: SuiteCase, dtypes: Sequence[str]) -> list[Case]:
    """Return what is judged of a curated case by its full reference, in each kind of data.

    A large case is judged as a layer. Where a model makes it, other data than that of a layer is
    judged at fewer positions, with all channels.
    """
    if not entry.dtype:
        return [] if is_large(entry.case) else [*entry.expand(dtypes)]
    cases = []
    for case in entry.expand(dtypes):
        if not is_large(case):
            case = case if work(case) <= WORK else smaller(case, WORK / work(case))
            if work(case) <= _MOST_WORK:
                cases.append(case)
    return cases


def names_of_cases(plan: Plan, operator: str, dims: int) -> dict[Case, str]:
    """Return what the cases of the user's own suites are called, by `plainly`."""
    gradient, names = GRADIENTS.get(operator), own_names(plan)
    source = gradient.forward.name if gradient else operator
    entries = [
        entry
        for suite in plan.spec.own
        for entry in plan.spec.suite(suite).cases
        if suite in plan.suites and (entry.case.operator, entry.case.dims) == (source, dims)
    ]
    cases = {}
    for entry in entries:
        for case in (entry.case, *(ordinary_cases(entry, ()) if entry.dtype else ())):
            cases[plainly(gradient.derived(case) if gradient else case)] = names[entry.name]
    return cases


def calls_of_models(plan: Plan, operator: str, dims: int) -> list[tuple[Case, str, str, float]]:
    """Return each case that stands for a call of a model: with the suite, and the call's name.

    Last comes the share that it has of the output elements of the call.
    """
    output_shape = OPERATORS[operator].output_shape
    return [
        (
            case,
            suite,
            entry.name,
            math.prod(output_shape(case)) / max(1, math.prod(output_shape(entry.case))),
        )
        for suite in plan.models
        for entry in plan.spec.suite(suite).cases
        if (entry.case.operator, entry.case.dims) == (operator, dims)
        for case in ordinary_cases(entry, plan.dtypes)
    ]


def own_names(plan: Plan) -> dict[str, str]:
    """Return what the cases of the user's own suites are called in messages, by name."""
    return {
        entry.name: f"case '{entry.name}' of suite '{suite}'"
        for suite in plan.spec.own
        for entry in plan.spec.suite(suite).cases
        if suite in plan.suites
    }


def plainly(case: Case) -> Case:
    """Return the case that has its shapes and parameters, whatever its data, dtype and memory."""
    return case.replace(dtype="float32", data="integers", seed=0, memory="contiguous", invalid="")
