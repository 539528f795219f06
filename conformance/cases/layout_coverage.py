"""Coverage of memory layouts: which of them, of which arrays, meet which labels of a case."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conformance.case import Case, Shape
from conformance.cases import layouts
from conformance.cases.coverage import valid_combinations
from conformance.cases.features import features_of, labels
from conformance.cases.ranges import Ranges
from conformance.operators import FORWARD, GRADIENTS, OPERATORS
from conformance.signatures import SIGNATURES

Meeting: TypeAlias = tuple[str, str]
"""A memory layout and a label: ``("memory=strided-w", "stride=same")``."""

_UNMET = ("data", "batch=0")
"""A feature and a label that no layout meets: data is exact, and an empty batch lies nowhere."""


@dataclass(frozen=True, slots=True)
class LayoutCoverage:
    """How many of the valid pairs of a memory layout and a label cases of an operator reach."""

    operator: str
    cases: int
    """How many of the cases do not lie in memory as usual."""
    reached: int
    valid: int
    missing: tuple[Meeting, ...] = ()
    """The first of the missing pairs, in the order of their names."""


def measure_layouts(
    operator: str, cases: Iterable[Case], ranges: Ranges, *, sample: int = 20
) -> LayoutCoverage:
    """Return the coverage of the ``cases`` that belong to ``operator``.

    A case counts for a layout if an array of it lies otherwise there than as usual.
    """
    met: set[Meeting] = set()
    count = 0
    for case in cases:
        if case.operator == operator and case.memory != "contiguous":
            count += 1
            if layouts.shows(case.memory, layouts.shapes_of(case)):
                met |= {(f"memory={case.memory}", label) for label in labels(case, ranges)}
    valid = _valid(operator, ranges)
    missing = tuple(sorted(valid - met)[:sample])
    return LayoutCoverage(operator, count, len(valid & met), len(valid), missing)


def measure_derived_layouts(
    drawn: Mapping[str, Sequence[Case]], ranges: Ranges
) -> tuple[LayoutCoverage, ...]:
    """Return the coverage of the cases that a run derives from ``drawn`` ones, by operator.

    ``drawn`` has the cases of each forward operator; those of a gradient are derived from them.
    """
    found = []
    for operator in OPERATORS:
        gradient = GRADIENTS.get(operator)
        source = drawn[gradient.forward.name if gradient else operator]
        own = [gradient.derived(case) if gradient else case for case in source if case.x[0]]
        laid_out = [
            case
            for dims in ranges.dims
            for case in layouts.cases(operator, [o for o in own if o.dims == dims], ranges)
        ]
        found.append(measure_layouts(operator, laid_out, ranges))
    return tuple(found)


def _valid(operator: str, ranges: Ranges) -> set[Meeting]:
    """Return the pairs of a layout and a label that some case within ``ranges`` has."""
    gradient = GRADIENTS.get(operator)
    forward = gradient.forward.name if gradient else operator
    own = features_of(OPERATORS[operator])
    valid = set()
    for (label,) in valid_combinations(forward, ranges, 1):
        if label.partition("=")[0] not in own or label.startswith(_UNMET):
            continue
        shapes = tuple(_shapes(operator, label))
        valid |= {
            (f"memory={way}", label)
            for way in layouts.ways(operator)
            if not (way.endswith("-bias") and label == "bias=no")
            if any(layouts.shows(way, some) for some in shapes)
        }
    return valid


def _shapes(operator: str, label: str) -> Iterator[layouts.Shapes]:
    """Yield small shapes of the arrays of cases with a label: enough for any layout to show.

    It shows by which axes have more than one element, and of those the label fixes some.
    """
    transposed = GRADIENTS.get(operator) is None and FORWARD[operator].is_transposed
    axes = int(label.removeprefix("dims=")) if label.startswith("dims=") else 2
    few, ones = (1, 2), (1,) * axes
    batches = {"batch=1": (1,), "batch=many": (2,)}.get(label, few)
    windows: dict[str, list[Shape]] = {
        "kernel=one": [ones],
        "kernel=mixed": [(1, 2), (2, 1)],
        "kernel=odd": [(1, 3), (3, 1), (3, 3)],
        "kernel=even": [(2, 2)],
    }
    every: list[Shape] = list(itertools.product(few, repeat=axes))
    channels: dict[str, list[tuple[int, int, int]]] = {
        "groups=one": [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2)],
        "groups=depthwise": [(2, 1, 1)],
        "groups=multiplied": [(2, 1, 2)],
        "groups=some": [(2, 2, 1), (2, 2, 2)],
    }
    for (groups, inner, outer), window, n, size in itertools.product(
        channels.get(label, [*itertools.chain(*channels.values())]),
        windows.get(label, every),
        batches,
        every,
    ):
        weight = (groups * inner, outer) if transposed else (groups * outer, inner)
        outputs = groups * outer if OPERATORS[operator].has_weight else groups * inner
        arrays = {
            "x": (n, groups * inner, *size),
            "w": (*weight, *window),
            "bias": (outputs,),
            "grad": (n, outputs, *size),
        }
        yield {name: arrays[name] for name in SIGNATURES[operator].arrays}
