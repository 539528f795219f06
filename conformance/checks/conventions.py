"""Conventions, probed: which alternative an implementation follows, whatever it declares.

Where SPEC.md allows several behaviours, tiny cases over lanes, sizes and channel counts probe them.
Each probe is judged under every alternative. The implementation follows the strictest alternative
that all probes allow; ``mixed`` if no alternative fits all probes, ``neither`` if none fits any. A
declared alternative that does not fit is a violation.

The class of accuracy is probed in the same way: it is the smallest bound, among those of the
formats that hardware has, that holds for sums long enough to tell the formats apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from conformance.calling import Observation
from conformance.case import Case, Shape
from conformance.cases import invalid
from conformance.cases.validity import is_valid
from conformance.dtypes import DEFAULT_ACCUMULATOR, FLOATS, TRAITS, available
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
from conformance.operators import FORWARD, GRADIENTS, OPERATORS
from conformance.registration.implementation import Implementation
from conformance.requirements import conventions
from conformance.runfile.words import MIXED, NEITHER, NOT_APPLICABLE

CHANNELS = (1, 3, 17, 33)
"""Channel counts of the probes: below, beside and above the lanes of vector registers."""
_SIZES: Mapping[int, Shape] = {1: (9,), 2: (4, 5), 3: (3, 3, 3)}
_WINDOWS: Mapping[int, Shape] = {1: (3,), 2: (2, 3), 3: (2, 2, 2)}

Judge = Callable[[Implementation, Prepared], tuple[Verdict, Any]]
"""Calls and judges, as `judge_prepared` does."""
Alternatives = Mapping[str, Mapping[str, Any]]
"""What an implementation would declare to follow each alternative, the strictest first."""


_OF_EACH_DTYPE = ("nan", "subnormal", "tie", "accuracy")
"""The conventions that are probed in every dtype; the others hardly depend on it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the probes of one convention showed in one operator, dimension and dtype."""

    convention: str
    requirement: str
    declared: str
    followed: str
    """An alternative, or mixed, neither, or not applicable."""
    agrees: bool
    probes: int
    """The number of cases that could tell the alternatives apart."""
    case: Case | None = None
    """The first case that contradicts the declaration; without one, the first that was judged."""
    message: str = ""
    failed: Verdict | None = None
    """The verdict on the first contradicting case, if no alternative fits any case; else None."""


class _Question(NamedTuple):
    """One convention of an operator, and the cases that probe it."""

    convention: str
    requirement: str
    cases: tuple[Prepared, ...]


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
        for question in _questions(operator, dims, dtype)
        if dtype == implementation.dtypes[0] or question.convention in _OF_EACH_DTYPE
    ]


def mismatches(implementation: Implementation, probes: Sequence[Probe]) -> Iterator[Verdict]:
    """Yield DECLARE-5 where the observed convention is not the declared one.

    A probe that fits no alternative is reported under the requirement it violates. Accuracy and
    byte order are left out: ordinary cases show what is wrong there.
    """
    for observed in probes:
        if observed.agrees or observed.convention not in conventions() or observed.case is None:
            continue
        if observed.failed is not None:
            yield observed.failed
        else:
            name, text = implementation.name, observed.message
            yield Verdict(name, observed.case, VIOLATES, "DECLARE-5", text)


def probe_convention(
    implementation: Implementation,
    question: _Question,
    dtype: str,
    go_on: Callable[[Case], bool],
    judge: Judge,
) -> Probe:
    """Judge the cases of one convention under each alternative, and return which one they fit."""
    name, requirement, cases = question
    declared, alternatives = _alternatives(implementation, name, dtype)
    variants = {
        alternative: replace(implementation, known=(), **changes)
        for alternative, changes in alternatives.items()
    }
    common, probes, any_allowed = set(alternatives), 0, False
    first = differs = failed = None
    free = declared not in alternatives
    for prepared in cases:
        if implementation.gap(prepared.case) is not None:
            continue
        if not go_on(prepared.case) and probes:
            break
        verdicts = _under_each(variants, prepared, judge)
        if name == "byte_order":
            verdicts = {a: judge_byte_order(a, verdict) for a, verdict in verdicts.items()}
        if any(v.status not in (CONFORMS, VIOLATES) for v in verdicts.values()):
            continue
        allowed = {a for a, verdict in verdicts.items() if verdict.status == CONFORMS}
        probes += 1
        first = first or prepared.case
        any_allowed |= bool(allowed)
        if differs is None and not (declared in allowed or (free and allowed)):
            differs = prepared.case
            failed = verdicts.get(declared)
        common &= allowed
    followed = next((a for a in alternatives if a in common), MIXED if any_allowed else NEITHER)
    followed = followed if probes else NOT_APPLICABLE
    agrees = not probes or declared in common or (free and bool(common))
    case = differs or first
    text = "" if agrees else f"{name}: {declared} is declared, {followed} followed"
    neither = failed if followed == NEITHER else None
    return Probe(name, requirement, declared, followed, agrees, probes, case, text, neither)


def _under_each(
    variants: Mapping[str, Implementation], prepared: Prepared, judge: Judge
) -> dict[str, Verdict]:
    """Judge one case under each alternative, with a single call wherever the output decides."""
    names = list(variants)
    first, output = judge(variants[names[0]], prepared)
    if prepared.case.invalid:  # the first alternative is the default, which is to reject
        if first.status == CONFORMS:
            # To decline is a gap, which every alternative allows.
            others = CONFORMS if first.outcome == DECLINED else VIOLATES
            return dict.fromkeys(names, replace(first, status=others)) | {names[0]: first}
        return {name: judge(variant, prepared)[0] for name, variant in variants.items()}
    if output is None:
        return dict.fromkeys(names, first)
    verdicts, observation = {names[0]: first}, Observation(output=output)
    for name in names[1:]:
        accuracy = Accuracy.of(variants[name])
        verdicts[name], _ = judge_observation(first.implementation, accuracy, prepared, observation)
    return verdicts


def judge_byte_order(alternative: str, verdict: Verdict) -> Verdict:
    """Judge a call on byte-swapped arrays: one alternative is to raise, the other to compute."""
    if verdict.status == VIOLATES and verdict.requirement == "RESULT-1":
        return replace(verdict, status=UNSUPPORTED)  # a rounding error, in either order
    raised = verdict.status == UNSUPPORTED and verdict.outcome == RAISED
    if verdict.status == UNSUPPORTED and not raised:
        return verdict
    right = raised if alternative == "reject" else verdict.status == CONFORMS
    return replace(verdict, status=CONFORMS if right else VIOLATES)


def _alternatives(
    implementation: Implementation, name: str, dtype: str
) -> tuple[str, Alternatives]:
    """Return the declared alternative, and the changed declarations for each alternative."""
    if name == "accuracy":
        return _accuracy(implementation, dtype)
    if name == "byte_order":
        return "either", {"compute": {}, "reject": {}}
    requirement = conventions()[name]
    others = {key: value for key, value in implementation.conventions.items() if key != name}
    declared = implementation.conventions.get(name, requirement.default or "")
    # The default is the strictest: what follows it may satisfy others as well.
    ordered = sorted(requirement.alternatives, key=lambda a: a != requirement.default)
    return declared, {a: {"conventions": others | {name: a}} for a in ordered}


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


# --- the cases ------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _questions(operator: str, dims: int, dtype: str) -> tuple[_Question, ...]:
    """Return the conventions of an operator with the cases that probe them."""
    planted = partial(_planted, operator, dims, dtype)
    cases_of: dict[str, list[Case]] = {}
    if dtype in FLOATS:
        if operator == "max_pool":
            cases_of["nan"] = planted("nan", range(2))
        if operator in FORWARD:
            cases_of["subnormal"] = planted("subnormal", range(1))
        if operator == "max_pool_grad":
            cases_of["tie"] = planted("integers", (0, 3))
        if operator not in ("max_pool", "max_pool_grad"):
            cases_of["accuracy"] = _sums(operator, dims, dtype)
        if TRAITS[dtype].package is None:  # only NumPy's own dtypes can be byte-swapped
            swapped = planted("integers", (0,))
            cases_of["byte_order"] = [case.replace(memory="byteswapped") for case in swapped]
    for case in invalid.cases(operator, dims, (dtype,)):  # those that a convention accepts
        convention = invalid.MISTAKES[case.invalid].convention
        if convention is not None:
            cases_of.setdefault(convention[0], []).append(case)
    numbers = {name: r.id for name, r in conventions().items()}
    numbers |= {"byte_order": "LAYOUT-7", "accuracy": "DECLARE-2"}
    questions = []
    with np.errstate(all="ignore"):
        for name, candidates in cases_of.items():
            usable = (case for case in candidates if available(case.dtype) and is_valid(case))
            questions.append(_Question(name, numbers[name], tuple(map(Prepared.of, usable))))
    return tuple(questions)


def _planted(operator: str, dims: int, dtype: str, recipe: str, seeds: Sequence[int]) -> list[Case]:
    """Return cases of few elements for each number of channels, the smallest first."""
    pairs = itertools.product(CHANNELS, seeds)
    return [_case(operator, dims, channels, dtype, recipe, seed) for channels, seed in pairs]


def _sums(operator: str, dims: int, dtype: str) -> list[Case]:
    """Return cases whose sums are long enough to tell accumulators apart."""
    recipes = (("normal", 0), ("normal", 1), ("wide", 0))
    cases = [_case(operator, dims, 64, dtype, recipe, seed) for recipe, seed in recipes]
    if operator in ("avg_pool", "avg_pool_grad", "conv_bias_grad"):
        window = {1: (64,), 2: (8, 9), 3: (4, 4, 5)}[dims]
        size = tuple(2 * k for k in window)
        kernel = None if operator == "conv_bias_grad" else window
        cases = [case.replace(x=(2, 2, *size), kernel=kernel) for case in cases]
    return cases


def _case(operator: str, dims: int, channels: int, dtype: str, recipe: str, seed: int) -> Case:
    size, window = _SIZES[dims], _WINDOWS[dims]
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    case = Case(operator=source, x=(2, channels, *size), dtype=dtype, data=recipe, seed=seed)
    shape = OPERATORS[source].weight_shape(1, channels, 5, window)
    case = case.replace(w=shape) if shape else case.replace(kernel=window)
    return gradient.derived(case) if gradient else case
