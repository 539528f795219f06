"""Conventions, probed: which alternative an implementation follows, whatever it declares.

Where SPEC.md allows several behaviours, probes (`conformance.checks.probes`) tell which one is
followed. Each answer is judged under every alternative. The implementation follows the strictest
alternative that all probes allow; ``mixed`` if no alternative fits all probes, ``neither`` if none
fits any. An alternative that is neither declared nor the default is a violation (DECLARE-5), and so
is an answer that no alternative allows: that is plainly wrong, whatever is declared.

The class of accuracy is probed in the same way: it is the smallest bound, among those of the
formats that hardware has, that holds for sums long enough to tell the formats apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.calling import Array, Observation
from conformance.case import Case
from conformance.checks.probes import Question, convention_of, questions
from conformance.dtypes import DEFAULT_ACCUMULATOR, TRAITS
from conformance.judging import (
    CONFORMS,
    DECLINED,
    RAISED,
    UNSUPPORTED,
    VIOLATES,
    Accuracy,
    Prepared,
    Verdict,
    judge_observation,
    judge_prepared,
)
from conformance.judging.comparing import wrong_elements
from conformance.judging.explaining import is_flushed, plain_twin
from conformance.registration.implementation import Implementation
from conformance.requirements import conventions
from conformance.runfile.words import MIXED, NEITHER, NOT_ASKED

Judge = Callable[[Implementation, Prepared], tuple[Verdict, Any]]
"""Calls and judges, as `judge_prepared` does."""
Alternatives = Mapping[str, Mapping[str, Any]]
"""What an implementation would declare to follow each alternative, the strictest first."""

_OF_EACH_DTYPE = ("nan", "subnormal", "tie", "accuracy")
"""The conventions that are probed in every dtype; the others hardly depend on it."""
_EITHER = "either"
"""What is expected of byte order: any alternative in any call."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the probes of one convention showed in one operator, dimension and dtype."""

    convention: str
    requirement: str
    declared: str
    """The alternative that is expected: the declared one, or else the default."""
    by_default: bool
    """Whether it is expected because nothing else is declared."""
    followed: str
    """An alternative, or either, mixed, neither, or not asked."""
    agrees: bool
    probes: int
    """The number of cases that could tell the alternatives apart."""
    case: Case | None = None
    """The first case that contradicts the declaration; without one, the first that was judged."""
    message: str = ""
    failed: Verdict | None = None
    """The verdict on the first case whose answer no alternative allows."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one probe showed."""

    allowed: frozenset[str]
    """The alternatives that allow the answer."""
    mixed: bool
    """Whether no alternative allows the answer, but some alternative each of its elements."""
    verdict: Verdict
    """The verdict under the alternative that is expected, or else under the first."""


def probe(
    implementation: Implementation,
    operator: str,
    dims: int,
    dtype: str,
    go_on: Callable[[Case], bool] = lambda case: True,
    judge: Judge = judge_prepared,
) -> list[Probe]:
    """Return what ``implementation`` follows of each convention of an operator.

    The first case of each applicable convention is always judged, and the next ones as long as
    ``go_on`` allows them. Conventions that hardly depend on the dtype are probed only in the first
    dtype that ``implementation`` declares.
    """
    return [
        probe_convention(implementation, question, dtype, go_on, judge)
        for question in questions(operator, dims, dtype)
        if dtype == implementation.dtypes[0] or question.convention in _OF_EACH_DTYPE
    ]


def mismatches(implementation: Implementation, probes: Sequence[Probe]) -> Iterator[Verdict]:
    """Yield a violation for every probe that does not agree with what is expected.

    It is DECLARE-5 if another alternative is followed. An answer that no alternative allows
    violates the requirement that its case is about.
    """
    for observed in probes:
        if observed.failed is not None:
            yield observed.failed
        elif not observed.agrees and observed.case is not None:
            name, text = implementation.name, observed.message
            yield Verdict(name, observed.case, VIOLATES, "DECLARE-5", text)


def probe_convention(
    implementation: Implementation,
    question: Question,
    dtype: str,
    go_on: Callable[[Case], bool] = lambda case: True,
    judge: Judge = judge_prepared,
) -> Probe:
    """Judge the cases of one convention under each alternative, and return which one they fit."""
    name, requirement, cases = question
    expected, alternatives = _alternatives(implementation, name, dtype)
    common, answers, any_allowed = set(alternatives), 0, False
    first = differs = failed = None
    for prepared in cases:
        supported = implementation.steered(prepared.case)
        if supported is None:
            continue
        if supported != prepared.case:
            prepared = Prepared.of(supported)
        if not go_on(prepared.case) and answers:
            break
        answer = _ask(implementation, name, prepared, judge)
        if answer is None:
            continue
        answers += 1
        first = first or prepared.case
        any_allowed |= bool(answer.allowed) or answer.mixed
        if differs is None and not _agrees(expected, answer):
            differs = prepared.case
        if failed is None and _is_wrong(name, expected, answer):
            failed = answer.verdict
        common &= answer.allowed
    followed = next((a for a in alternatives if a in common), MIXED if any_allowed else NEITHER)
    if not answers:
        followed = NOT_ASKED
    elif followed == MIXED and differs is None:
        followed = _EITHER
    text = "" if differs is None else _expectation(implementation, name, expected, followed)
    return Probe(
        convention=name,
        requirement=requirement,
        declared=expected,
        by_default=not _is_declared(implementation, name),
        followed=followed,
        agrees=differs is None,
        probes=answers,
        case=failed.case if failed is not None else differs or first,
        message=text,
        failed=failed,
    )


def judge_convention(
    implementation: Implementation, case: Case, *, in_full: bool = False
) -> Verdict:
    """Return the verdict on the convention that ``case`` probes.

    With ``in_full`` the other probes of the convention are asked, too: its message then says
    whether another alternative is followed everywhere.
    """
    name = convention_of(case)
    silent = Verdict(implementation.name, case, UNSUPPORTED, message="it probes no convention")
    if not name or implementation.gap(case) is not None:
        return silent
    answer = _ask(implementation, name, Prepared.of(case), judge_prepared)
    if answer is None:
        return silent
    expected, alternatives = _alternatives(implementation, name, case.dtype)
    if _agrees(expected, answer):
        return Verdict(implementation.name, case, CONFORMS)
    if _is_wrong(name, expected, answer):
        return answer.verdict
    followed = next((a for a in alternatives if a in answer.allowed), MIXED)
    if in_full and followed != MIXED:
        for question in questions(case.operator, case.dims, case.dtype):
            if question.convention == name:
                everywhere = probe_convention(implementation, question, case.dtype).followed
                followed = everywhere if everywhere in (*answer.allowed, MIXED) else followed
    text = _expectation(implementation, name, expected, followed)
    return Verdict(implementation.name, case, VIOLATES, "DECLARE-5", text)


def _agrees(expected: str, answer: _Answer) -> bool:
    return expected in answer.allowed or (expected == _EITHER and bool(answer.allowed))


def _is_wrong(name: str, expected: str, answer: _Answer) -> bool:
    """Whether an answer is wrong whatever is declared. An accuracy that is not attained is."""
    if name == "accuracy":
        return not _agrees(expected, answer)
    return not answer.allowed and not answer.mixed


def _ask(
    implementation: Implementation, name: str, prepared: Prepared, judge: Judge
) -> _Answer | None:
    """Judge one probe under each alternative; return None if it says nothing."""
    case = prepared.case
    expected, alternatives = _alternatives(implementation, name, case.dtype)
    variants = {
        alternative: replace(implementation, known=(), **changes)
        for alternative, changes in alternatives.items()
    }
    if expected in variants:
        variants[expected] = replace(implementation, known=())
    verdicts, output = _under_each(variants, prepared, judge)
    if name == "byte_order":
        verdicts = {a: judge_byte_order(a, verdict) for a, verdict in verdicts.items()}
    if UNSUPPORTED in {verdict.status for verdict in verdicts.values()}:
        return None
    allowed = frozenset(a for a, verdict in verdicts.items() if not verdict.failed)
    verdict = verdicts.get(expected, next(iter(verdicts.values())))
    answer = _Answer(allowed, False, verdict)
    if _agrees(expected, answer):
        return answer
    # Another alternative explains the answer only if the call is right but for the convention.
    accuracy = Accuracy.of(implementation)
    if "flush" in allowed and output is not None and not is_flushed(prepared, accuracy, output):
        allowed -= {"flush"}
    mixed = not allowed and name in conventions() and _is_mixture(variants, prepared, output)
    if (allowed or mixed) and judge(implementation, Prepared.of(plain_twin(case)))[0].failed:
        allowed, mixed = frozenset(), False
    if not allowed and not mixed and verdict.requirement is None:  # it raises in any case
        return None
    return _Answer(allowed, mixed, verdict)


def _under_each(
    variants: Mapping[str, Implementation], prepared: Prepared, judge: Judge
) -> tuple[dict[str, Verdict], Array | None]:
    """Judge one case under each alternative, with a single call wherever the output decides.

    The output is that of the call, where it decides.
    """
    names = list(variants)
    first, output = judge(variants[names[0]], prepared)
    if prepared.case.invalid:  # the first alternative is the default, which is to reject
        if first.outcome == DECLINED:  # a gap says nothing of what would be rejected
            return {names[0]: replace(first, status=UNSUPPORTED)}, None
        if first.status == CONFORMS:
            rejected = dict.fromkeys(names, replace(first, status=VIOLATES))
            return rejected | {names[0]: first}, None
        return {name: judge(variant, prepared)[0] for name, variant in variants.items()}, None
    if output is None:
        return dict.fromkeys(names, first), None
    verdicts, observation = {names[0]: first}, Observation(output=output)
    for name in names[1:]:
        accuracy = Accuracy.of(variants[name])
        verdicts[name], _ = judge_observation(first.implementation, accuracy, prepared, observation)
    return verdicts, output


def _is_mixture(
    variants: Mapping[str, Implementation], prepared: Prepared, output: Array | None
) -> bool:
    """Whether each element of an output is right under one of the alternatives."""
    if output is None:
        return False
    masks = [
        wrong_elements(prepared, Accuracy.of(variant), output) for variant in variants.values()
    ]
    return not np.logical_and.reduce(masks).any()


def judge_byte_order(alternative: str, verdict: Verdict) -> Verdict:
    """Judge a call on byte-swapped arrays: one alternative is to raise, the other to compute."""
    if verdict.status == VIOLATES and verdict.requirement == "RESULT-1":
        return replace(verdict, status=UNSUPPORTED)  # a rounding error, in either order
    raised = verdict.status == UNSUPPORTED and verdict.outcome == RAISED
    if verdict.status not in (CONFORMS, VIOLATES) and not raised:
        return verdict
    right = raised if alternative == "reject" else verdict.status == CONFORMS
    return replace(verdict, status=CONFORMS if right else VIOLATES)


def _is_declared(implementation: Implementation, name: str) -> bool:
    if name != "accuracy":
        return name in implementation.conventions
    return bool(
        implementation.accumulate or implementation.multiply or implementation.error == "normwise"
    )


def _expectation(implementation: Implementation, name: str, expected: str, followed: str) -> str:
    """Say what is expected of a convention, what was followed, and how that is declared."""
    declared = _is_declared(implementation, name)
    head = f"{expected} is declared" if declared else f"the default, {expected}, is expected"
    if name not in conventions():
        return f"{name}: {head}; {followed} was followed"
    if followed in (MIXED, NEITHER):
        does = "now one, now another" if followed == MIXED else "no"
        return f"{name}: {head}; {does} alternative was followed, which no declaration allows"
    meant = f'conventions={{"{name}": "{followed}"}}'
    return f"{name}: {head}; {followed} was followed; declare {meant} if that is meant"


def _alternatives(
    implementation: Implementation, name: str, dtype: str
) -> tuple[str, Alternatives]:
    """Return the alternative that is expected, and the changed declarations for each one."""
    if name == "accuracy":
        return _accuracy(implementation, dtype)
    if name == "byte_order":
        return _EITHER, {"compute": {}, "reject": {}}
    requirement = conventions()[name]
    others = {key: value for key, value in implementation.conventions.items() if key != name}
    expected = implementation.conventions.get(name, requirement.default or "")
    # The default is the strictest: what follows it may satisfy others as well.
    ordered = sorted(requirement.alternatives, key=lambda a: a != requirement.default)
    return expected, {a: {"conventions": others | {name: a}} for a in ordered}


_NORMWISE = (1.0, 16.0, 256.0)


def _accuracy(implementation: Implementation, dtype: str) -> tuple[str, Alternatives]:
    default = DEFAULT_ACCUMULATOR.get(dtype, dtype)
    plain = {"multiply": None, "error": "componentwise", "amplification": 1.0}
    classes: dict[str, dict[str, Any]] = {}
    for name in TRAITS[dtype].classes:
        format_, _, multiplier = name.partition(" ")
        formats = {"accumulate": default, "multiply": format_}
        classes[name] = plain | (formats if multiplier else {"accumulate": format_})
    for factor in _NORMWISE:
        wide = {"accumulate": default, "error": "normwise", "amplification": factor}
        classes[f"normwise {factor:g}"] = plain | wide
    own = implementation.accumulate or default
    if implementation.multiply:
        own = f"{implementation.multiply} multiplier"
    if implementation.error == "normwise":
        own = f"normwise {implementation.amplification:g}"
    names = ("accumulate", "multiply", "error", "amplification")
    classes.setdefault(own, {name: getattr(implementation, name) for name in names})
    return own, classes
