"""Conventions, probed: which alternative an implementation follows, whatever it declares.

Where SPEC.md allows several behaviours, tiny cases over lanes, sizes and channel counts probe them.
Each probe is judged under every alternative. The implementation follows the strictest alternative
that all probes allow; ``mixed`` if no alternative fits all probes, ``neither`` if none fits any. A
declared alternative that does not fit is a violation.

The class of accuracy is probed alike: the smallest bound, of those that formats of the hardware
give, that holds for sums which tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from conformance.calling import Observation
from conformance.case import Case, Shape
from conformance.cases import invalid
from conformance.cases.validity import is_valid
from conformance.dtypes import DEFAULT_ACCUMULATOR, FLOATS, available
from conformance.judging import (
    DECLINED,
    RAISED,
    Accuracy,
    Prepared,
    Verdict,
    judge_observation,
    judge_prepared,
)
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registration.registry import Implementation
from conformance.requirements import conventions
from conformance.runfile.words import (
    CONFORMS,
    MIXED,
    NEITHER,
    NOT_APPLICABLE,
    UNSUPPORTED,
    VIOLATES,
)

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
    followed = next((a for a in alternatives if a in common), MIXED)
    if not probes:
        followed = NOT_APPLICABLE
    elif not any_allowed:
        followed = NEITHER
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
    verdicts, seen = {names[0]: first}, Observation(output=output)
    for name in names[1:]:
        accuracy = Accuracy.of(variants[name])
        verdicts[name], _ = judge_observation(first.implementation, accuracy, prepared, seen)
    return verdicts


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


_ACCURACIES: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64", "float32"),
    "float32": ("float64", "float32", "tf32 multiplier", "bfloat16 multiplier", "float16"),
    "float16": ("float64", "float32", "float16"),
    "bfloat16": ("float64", "float32", "bfloat16"),
}
"""The classes of accuracy by dtype, the strictest first: accumulators, and multipliers."""
_NORMWISE = (1.0, 16.0, 256.0)


def _accuracy(one: Implementation, dtype: str) -> tuple[str, Alternatives]:
    default = DEFAULT_ACCUMULATOR.get(dtype, dtype)
    plain = {"multiply": None, "error": "componentwise", "amplification": 1.0}
    classes: dict[str, dict[str, Any]] = {}
    for name in _ACCURACIES[dtype]:
        format_, _, multiplier = name.partition(" ")
        if multiplier:
            classes[name] = plain | {"accumulate": default, "multiply": format_}
        else:
            classes[name] = plain | {"accumulate": format_}
    for factor in _NORMWISE:
        wide = {"error": "normwise", "amplification": factor}
        classes[f"normwise {factor:g}"] = plain | {"accumulate": default} | wide
    own = f"{one.accumulate or default}"
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
    made: dict[str, list[Case]] = {}
    if dtype in FLOATS:
        if operator == "max_pool":
            made["nan"] = _planted(operator, dims, dtype, "nan", range(2))
        if operator in ("conv", "conv_transpose", "max_pool", "avg_pool"):
            made["subnormal"] = _planted(operator, dims, dtype, "subnormal", range(1))
        if operator == "max_pool_grad":
            made["tie"] = _planted(operator, dims, dtype, "integers", (0, 3))
        if operator not in ("max_pool", "max_pool_grad"):
            made["accuracy"] = _sums(operator, dims, dtype)
        swapped = _planted(operator, dims, dtype, "integers", (0,))
        if dtype != "bfloat16":
            made["byte_order"] = [case.replace(memory="byteswapped") for case in swapped]
    for name, cases in _acceptable(operator, dims, dtype).items():
        made[name] = cases
    numbers = {name: r.id for name, r in conventions().items()}
    numbers |= {"byte_order": "LAYOUT-7", "accuracy": "DECLARE-2"}
    usable = {
        name: [case for case in cases if available(case.dtype) and is_valid(case)]
        for name, cases in made.items()
    }
    with np.errstate(all="ignore"):
        return tuple(
            _Question(name, numbers[name], tuple(map(Prepared.of, cases)))
            for name, cases in usable.items()
        )


def _planted(operator: str, dims: int, dtype: str, recipe: str, seeds: Sequence[int]) -> list[Case]:
    """Return cases of few elements and every count of channels, small before large."""
    return [
        _case(operator, dims, channels, dtype, recipe, seed)
        for channels in CHANNELS
        for seed in seeds
    ]


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
    made = Case(operator="conv", x=(2, channels, *size), w=(5, channels, *window))
    made = made.replace(operator=source, dtype=dtype, data=recipe, seed=seed)
    if source == "conv_transpose":
        made = made.replace(w=(channels, 5, *window))
    elif not OPERATORS[source].has_weight:
        made = made.replace(w=None, kernel=window)
    return gradient.derived(made) if gradient else made


def _acceptable(operator: str, dims: int, dtype: str) -> dict[str, list[Case]]:
    """Return the calls that a convention lets an implementation accept, by convention."""
    found: dict[str, list[Case]] = {}
    for case in invalid.cases(operator, dims, (dtype,)):
        convention = invalid.MUTATIONS[case.invalid].convention
        if convention is not None:
            found.setdefault(convention[0], []).append(case)
    return found
