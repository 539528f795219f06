"""Whether a case is minimal: no parameter at its default, and no axis shorter, shows the failure.

Written apart from the shrinker, whose promise this is: here every smaller size is tried, one axis
at a time, with the data's recipe and seed as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from conformance.case import Case
from conformance.cases.validity import validate
from conformance.errors import CaseError

SIZES = 12
"""Sizes of an axis that are tried: the smallest ones, and those just below its own."""


def smaller(case: Case) -> Iterator[Case]:
    """Yield the valid cases that have one parameter at its default or one axis shorter."""
    for candidate in (*_defaults(case), *_shorter(case)):
        try:
            validate(candidate)
        except CaseError:
            continue
        yield candidate


def left_over(case: Case, fails: Callable[[Case], bool]) -> Case | None:
    """Return a smaller case that fails as well, None where ``case`` is minimal."""
    return next((candidate for candidate in smaller(case) if fails(candidate)), None)


def _defaults(case: Case) -> Iterator[Case]:
    plain = Case(operator=case.operator, x=case.x)
    for field in fields(Case):
        name = field.name
        if name in ("operator", "x", "w", "kernel", "dtype", "data", "seed", "invalid", "memory"):
            continue
        if name == "groups":  # it says what the weight's shape means: the channels have it
            continue
        if getattr(case, name) != getattr(plain, name):
            yield case.replace(**{name: getattr(plain, name)})


def _sizes(size: int, least: int) -> Iterator[int]:
    every = range(least, size)
    return iter(dict.fromkeys((*every[:SIZES], *every[-SIZES:])))


def _put(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])


def _shorter(case: Case) -> Iterator[Case]:
    for axis in (0, *range(2, len(case.x))):
        yield from (case.replace(x=_put(case.x, axis, s)) for s in _sizes(case.x[axis], 1))
    for axis in range(2, len(case.w or ())):
        assert case.w is not None
        yield from (case.replace(w=_put(case.w, axis, s)) for s in _sizes(case.w[axis], 1))
    for axis in range(len(case.kernel or ())):
        assert case.kernel is not None
        sizes = _sizes(case.kernel[axis], 1)
        yield from (case.replace(kernel=_put(case.kernel, axis, s)) for s in sizes)
    if case.w is None:
        yield from (case.replace(x=_put(case.x, 1, s)) for s in _sizes(case.x[1], 1))
        return
    transposed = case.operator == "conv_transpose"
    g = case.groups
    inner = (case.w[0] // g) if transposed else case.w[1]
    outer = case.w[1] if transposed else case.w[0] // g
    counts = [(s, inner, outer) for s in _sizes(g, 1)]
    counts += [(g, s, outer) for s in _sizes(inner, 1)]
    counts += [(g, inner, s) for s in _sizes(outer, 1)]
    for groups, c, o in counts:
        w = (groups * c, o) if transposed else (groups * o, c)
        x = _put(case.x, 1, groups * c)
        yield case.replace(x=x, w=(*w, *case.w[2:]), groups=groups)
