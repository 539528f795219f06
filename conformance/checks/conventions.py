"""Conventions, probed: which alternative an implementation follows, whatever it declares.

Where SPEC.md allows several behaviours, tiny cases over lanes, sizes and channel counts probe them.
Each probe is judged under every alternative. The implementation follows the strictest alternative
that all probes allow; ``mixed`` if no alternative fits all probes, ``neither`` if none fits any. A
declared alternative that does not fit is a violation.

The class of accuracy is probed alike: the smallest bound, of those that formats of the hardware
give, that holds for sums which tell them apart.
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
"""What is probed in every dtype; the rest has little to do with it."""


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
    """How many cases could tell."""
    case: Case | None = None
    """The first case that does not agree with what is declared; else the first that could tell."""
    message: str = ""
    failed: Verdict | None = None
    """The verdict on the first case that no alternative allows, where none is ever allowed."""


class _Question(NamedTuple):
    """What probes one convention of an operator."""

    convention: str
    requirement: str
    cases: tuple[Prepared, ...]


def probe(
    one: Implementation,
    operator: str,
    dims: int,
    dtype: str,
    go_on: Callable[[Case], bool] = lambda case: True,
    judge: Judge = judge_prepared,
) -> list[Probe]:
    """Return what ``one`` follows of each convention of an operator.

    Each is probed once, if it applies, and again as long as ``go_on`` says of the next case. What
    has little to do with the dtype is probed in the first that it declares.
    """
    return [
        probe_convention(one, question, dtype, go_on, judge)
        for question in _questions(operator, dims, dtype)
        if dtype == one.dtypes[0] or question.convention in _OF_EACH_DTYPE
    ]


def mismatches(one: Implementation, probes: Sequence[Probe]) -> Iterator[Verdict]:
    """Yield DECLARE-5 where the observed convention is not the declared one.

    A probe that fits no alternative is reported under the requirement it violates. A bound that
    does not hold is for the cases to show.
    """
    for observed in probes:
        if observed.agrees or observed.convention not in conventions() or observed.case is None:
            continue
        if observed.failed is not None:
            yield observed.failed
        else:
            yield Verdict(one.name, observed.case, VIOLATES, "DECLARE-5", observed.message)


def probe_convention(
    one: Implementation,
    question: _Question,
    dtype: str,
    go_on: Callable[[Case], bool],
    judge: Judge,
) -> Probe:
    """Judge the cases of one convention under each alternative, and return which one they fit."""
    name, requirement, cases = question
    declared, alternatives = _alternatives(one, name, dtype)
    variants = {
        alternative: replace(one, known=(), **changes)
        for alternative, changes in alternatives.items()
    }
    common, probes, any_allowed = set(alternatives), 0, False
    first = differs = failed = None
    free = declared not in alternatives
    for prepared in cases:
        if one.gap(prepared.case) is not None:
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
    """Judge one case under each alternative: by one call, unless it depends on who is called."""
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
    seen = Observation(output=output)
    return {names[0]: first} | {
        name: judge_observation(one.name, Accuracy.of(one), prepared, seen)[0]
        for name, one in variants.items()
        if name != names[0]
    }


def judge_byte_order(alternative: str, verdict: Verdict) -> Verdict:
    """Judge byte-swapped arrays: raising is one alternative, computing with them the other."""
    if verdict.status == VIOLATES and verdict.requirement == "RESULT-1":
        return replace(verdict, status=UNSUPPORTED)  # a rounding error, in either order
    raised = verdict.status == UNSUPPORTED and verdict.outcome == RAISED
    if verdict.status == UNSUPPORTED and not raised:
        return verdict
    right = raised if alternative == "reject" else verdict.status == CONFORMS
    return replace(verdict, status=CONFORMS if right else VIOLATES)


def _alternatives(one: Implementation, name: str, dtype: str) -> tuple[str, Alternatives]:
    """Return what is declared, and what would be declared for each alternative."""
    if name == "accuracy":
        return _accuracy(one, dtype)
    if name == "byte_order":
        return "either", {"compute": {}, "reject": {}}
    requirement = conventions()[name]
    others = {key: value for key, value in one.conventions.items() if key != name}
    declared = one.conventions.get(name, requirement.default or "")
    # The default is the strictest: what follows it may satisfy others as well.
    ordered = sorted(requirement.alternatives, key=lambda a: a != requirement.default)
    return declared, {a: {"conventions": others | {name: a}} for a in ordered}


_NORMWISE = (1.0, 16.0, 256.0)


def _accuracy(one: Implementation, dtype: str) -> tuple[str, Alternatives]:
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
    own = one.accumulate or default
    if one.multiply:
        own = f"{one.multiply} multiplier"
    if one.error == "normwise":
        own = f"normwise {one.amplification:g}"
    mine = {"accumulate": one.accumulate, "multiply": one.multiply, "error": one.error}
    classes.setdefault(own, mine | {"amplification": one.amplification})
    return own, classes


# --- the cases ------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _questions(operator: str, dims: int, dtype: str) -> tuple[_Question, ...]:
    """Return what probes each convention of an operator."""
    planted = partial(_planted, operator, dims, dtype)
    made: dict[str, list[Case]] = {}
    if dtype in FLOATS:
        if operator == "max_pool":
            made["nan"] = planted("nan", range(2))
        if operator in FORWARD:
            made["subnormal"] = planted("subnormal", range(1))
        if operator == "max_pool_grad":
            made["tie"] = planted("integers", (0, 3))
        if operator not in ("max_pool", "max_pool_grad"):
            made["accuracy"] = _sums(operator, dims, dtype)
        if TRAITS[dtype].package is None:  # only NumPy's own dtypes can be byte-swapped
            swapped = planted("integers", (0,))
            made["byte_order"] = [case.replace(memory="byteswapped") for case in swapped]
    for case in invalid.cases(operator, dims, (dtype,)):  # those that a convention accepts
        convention = invalid.MUTATIONS[case.invalid].convention
        if convention is not None:
            made.setdefault(convention[0], []).append(case)
    numbers = {name: r.id for name, r in conventions().items()}
    numbers |= {"byte_order": "LAYOUT-7", "accuracy": "DECLARE-2"}
    questions = []
    with np.errstate(all="ignore"):
        for name, cases in made.items():
            usable = (case for case in cases if available(case.dtype) and is_valid(case))
            questions.append(_Question(name, numbers[name], tuple(map(Prepared.of, usable))))
    return tuple(questions)


def _planted(operator: str, dims: int, dtype: str, recipe: str, seeds: Sequence[int]) -> list[Case]:
    """Return cases of few elements and every count of channels, small before large."""
    pairs = itertools.product(CHANNELS, seeds)
    return [_case(operator, dims, channels, dtype, recipe, seed) for channels, seed in pairs]


def _sums(operator: str, dims: int, dtype: str) -> list[Case]:
    """Return cases whose sums are long enough to tell accumulators apart."""
    recipes = (("normal", 0), ("normal", 1), ("wide", 0))
    found = [_case(operator, dims, 64, dtype, recipe, seed) for recipe, seed in recipes]
    if operator in ("avg_pool", "avg_pool_grad", "conv_bias_grad"):
        window = {1: (64,), 2: (8, 9), 3: (4, 4, 5)}[dims]
        size = tuple(2 * k for k in window)
        kernel = None if operator == "conv_bias_grad" else window
        found = [case.replace(x=(2, 2, *size), kernel=kernel) for case in found]
    return found


def _case(operator: str, dims: int, channels: int, dtype: str, recipe: str, seed: int) -> Case:
    size, window = _SIZES[dims], _WINDOWS[dims]
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    made = Case(operator=source, x=(2, channels, *size), dtype=dtype, data=recipe, seed=seed)
    shape = OPERATORS[source].weight_shape(1, channels, 5, window)
    made = made.replace(w=shape) if shape else made.replace(kernel=window)
    return gradient.derived(made) if gradient else made
