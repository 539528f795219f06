"""Memory layouts among the cases: each layout of each array meets every feature of a case.

A kernel that goes wrong for channels-last arrays often does so at a border, in a remainder of
channels or with a dilation alone: a layout that is tried with default parameters shows none of
that. So cases are chosen as a covering array: each layout, of all arrays together and of each one
alone, is brought together with every label (`conformance.cases.features`) that an ordinary case
has, and with each axis and end that a parameter concerns, in as few cases as a greedy choice finds:
about as many as the feature with the most labels has of them. In a large run each is brought
together with every pair of labels.

Data is exact, so that correct results are equal whatever their order of summation, but in half
types, whose kernels may sum in the half type for one layout alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache, reduce
from operator import or_
from typing import TypeAlias

from conformance.calling import memory
from conformance.case import MEMORY_LAYOUTS, Case, Shape
from conformance.cases.features import Labels, labels
from conformance.cases.ranges import Ranges
from conformance.dtypes import DEFAULT_ACCUMULATOR, INTEGERS, TRAITS
from conformance.operators import OPERATORS
from conformance.signatures import SIGNATURES

Shapes: TypeAlias = dict[str, Shape]
"""The shapes of a case's arrays, by argument; that of a bias is there whether it has one or not."""

LABELS_FROM, PAIRS_FROM = 60, 600
"""From so many generated cases on a layout meets every label, and from so many every pair of them.
In a smaller run each layout of each array is there once."""
APART = ("dims", "dtype", "data")
"""Features whose labels are not what cases are chosen by: other parts of a run have them."""

_OF_ONE_AXIS = (
    "strided",
    "reversed",
    "broadcast",
    "offset",
    "unaligned",
    "readonly",
    "byteswapped",
)
"""The layouts in which an array of one axis, a bias, lies otherwise than as usual."""


@cache
def ways(operator: str) -> tuple[str, ...]:
    """Return the memory layouts that cases have: of all arrays together, then of each one alone."""
    arrays = SIGNATURES[operator].arrays
    if len(arrays) == 1:
        return tuple(layout for layout in MEMORY_LAYOUTS[1:] if layout != "shared")
    alone = (
        f"{layout}-{name}"
        for layout, name in itertools.product(MEMORY_LAYOUTS[1:], arrays)
        if layout != "shared" and (name != "bias" or layout in _OF_ONE_AXIS)
    )
    return (*MEMORY_LAYOUTS[1:], *alone)


def shapes_of(case: Case) -> Shapes:
    """Return the shapes of the arrays of a case, and of the bias that it may have."""
    operator, biased = OPERATORS[case.operator], case.replace(bias=True)
    shapes = {
        name: operator.argument_shape(biased, name) for name in SIGNATURES[case.operator].arrays
    }
    return {name: shape for name, shape in shapes.items() if shape}


def shows(way: str, shapes: Shapes) -> bool:
    """Whether one of the arrays lies otherwise than as usual in the memory layout ``way``."""
    layout, _, only = way.partition("-")
    if layout == "shared":
        return len(shapes) > 1
    names = (only,) if only else [name for name in shapes if name != "bias"]
    return any(_takes_effect(layout, shapes[name]) for name in names)


def cases(
    operator: str,
    ordinary: Sequence[Case],
    ranges: Ranges,
    claimed: Sequence[str] = (),
    count: int = LABELS_FROM,
) -> list[Case]:
    """Return cases like ``ordinary`` ones in every memory layout that the operator has.

    Those of the first dtype of ``ranges`` are the covering array; its other dtypes have each layout
    of each array once, and ``claimed`` ones each layout of all arrays. ``count`` is the number of
    generated cases.
    """
    strength = 2 if count >= PAIRS_FROM else 1
    array = _covering_array(operator, ordinary, ranges, strength)
    if count < LABELS_FROM:
        array = {way: bases[:1] for way, bases in array.items()}
    first, *others = ranges.dtypes
    rows = [(n, way, base, first) for way, bases in array.items() for n, base in enumerate(bases)]
    rows.sort(key=lambda row: row[0])  # a budget that ends early has every layout
    for dtype in (*others, *(name for name in claimed if name in OPERATORS[operator].dtypes)):
        rows += [
            (0, way, bases[len(rows) % len(bases)], dtype)
            for way, bases in array.items()
            if dtype in others or "-" not in way
        ]
    return [
        _laid_out(base, way, dtype, turn)
        for turn, (_, way, base, dtype) in enumerate(rows)
        if not (way.startswith("byteswapped") and _has_one_byte_order(dtype))
    ]


def _laid_out(base: Case, way: str, dtype: str, turn: int) -> Case:
    """Return the case with this memory layout and dtype, and data that is exact."""
    layout, _, only = way.partition("-")
    whole = dtype in INTEGERS or layout == "shared" or layout in memory.SPREAD
    data = "digits" if turn % 2 and not whole else "integers"
    if dtype in DEFAULT_ACCUMULATOR:  # a narrow accumulator shows where sums are not exact
        data = "normal"
    biased = base.bias or only == "bias"
    return base.replace(memory=way, dtype=dtype, data=data, bias=biased)


def _covering_array(
    operator: str, ordinary: Sequence[Case], ranges: Ranges, strength: int
) -> dict[str, list[Case]]:
    """Return for each layout cases that have every label, or all that go together by ``strength``.

    Only those count in which the layout shows. Of cases that bring equally many new labels the one
    is taken that was taken least before.
    """
    bits: dict[Labels, int] = {}
    marks = [
        sum(
            1 << bits.setdefault(met, len(bits))
            for met in itertools.combinations(_chosen_by(base, ranges), strength)
        )
        for base in ordinary
    ]
    shapes, taken = [shapes_of(base) for base in ordinary], Counter[int]()
    array: dict[str, list[Case]] = {}
    for way in ways(operator):
        showing = [i for i in range(len(ordinary)) if shows(way, shapes[i])]
        missing = reduce(or_, (marks[i] for i in showing), 0)
        while missing:
            best = max(showing, key=lambda i: ((marks[i] & missing).bit_count(), -taken[i]))
            missing &= ~marks[best]
            taken[best] += 1
            array.setdefault(way, []).append(ordinary[best])
    return array


def _chosen_by(case: Case, ranges: Ranges) -> Labels:
    named = (one for one in labels(case, ranges) if one.partition("=")[0] not in APART)
    return (*named, *_finer(case))


def _finer(case: Case) -> Labels:
    """Return labels of what a kernel for one layout is often wrong at.

    These are one axis alone, one end of it, and remainders of channels.
    """
    found: dict[str, object] = {
        f"{name} of axis {axis}": getattr(case, name)[axis] > least
        for name, least in (("stride", 1), ("dilation", 1), ("output_padding", 0))
        for axis in (0, -1)
    }
    for axis in (0, -1):
        before, after = case.padding[axis]
        found |= {f"before axis {axis}": before > 0, f"after axis {axis}": after > 0}
        found[f"window of axis {axis}"] = case.window[axis] > 1 if case.window else False
    found |= {"channels": case.x[1] > 1, "eights": case.x[1] % 8 == 0}
    found["eights of outputs"] = case.w is not None and case.w[0] % 8 == 0
    return tuple(f"{name}={value}" for name, value in found.items())


def _has_one_byte_order(dtype: str) -> bool:
    """Whether NumPy knows no other byte order of a dtype."""
    return dtype.endswith("int8") or TRAITS[dtype].package is not None


_takes_effect = lru_cache(maxsize=1 << 16)(memory.takes_effect)
