"""Probes of conventions: tiny cases over lanes, sizes and channel counts that tell alternatives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from conformance.case import Case, Shape
from conformance.cases import invalid
from conformance.cases.validity import is_valid
from conformance.dtypes import FLOATS, TRAITS, available
from conformance.judging import Prepared
from conformance.operators import FORWARD, GRADIENTS, OPERATORS
from conformance.requirements import conventions

CHANNELS = (1, 3, 17, 33)
"""Channel counts of the probes: below, beside and above the lanes of vector registers."""
_SIZES: Mapping[int, Shape] = {1: (9,), 2: (4, 5), 3: (3, 3, 3)}
_WINDOWS: Mapping[int, Shape] = {1: (3,), 2: (2, 3), 3: (2, 2, 2)}


class Question(NamedTuple):
    """One convention of an operator, and the cases that probe it."""

    convention: str
    requirement: str
    cases: tuple[Prepared, ...]


def convention_of(case: Case) -> str:
    """Return the convention that a case can probe: its mistake's, its data's, or the accuracy."""
    if case.invalid:
        allowing = invalid.MISTAKES[case.invalid].convention
        return "" if allowing is None else allowing[0]
    if case.memory != "contiguous":
        return "byte_order" if case.memory.startswith("byteswapped") else ""
    if case.data == "nan" and case.operator == "max_pool":
        return "nan"
    if case.data == "subnormal":
        return "subnormal"
    if case.operator == "max_pool_grad":
        return "tie"
    return "accuracy" if case.check == "result" and case.operator != "max_pool" else ""


@lru_cache(maxsize=16)
def questions(operator: str, dims: int, dtype: str) -> tuple[Question, ...]:
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
            questions.append(Question(name, numbers[name], tuple(map(Prepared.of, usable))))
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
