"""Coverage: which pairs and triples of labels a set of cases brings together.

Nearly every fault shows where few conditions meet: in four systems at most two conditions set off
70 to 97 per cent of the failures, at most three 89 to 99 per cent (Kuhn, Wallace, Gallo, "Software
fault interactions and implications for software testing", IEEE Transactions on Software
Engineering 30(6), 2004). So coverage is the share of the pairs and triples that *can* meet. These
are found without the strategies, by enumerating every spatial axis that the ranges allow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TypeAlias

from conformance.case import Case
from conformance.cases.draft import pool_padding
from conformance.cases.features import (
    FEATURES,
    Labels,
    axes_label,
    axis_values,
    batch_label,
    crosses_boundary,
    grouping_label,
    labels,
)
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.errors import ConformanceError
from conformance.operators import FORWARD
from conformance.sizes import conv_size, span, transpose_size

Axis: TypeAlias = tuple[int, int, int, int, tuple[int, int], int]
"""Size, kernel, stride, dilation, padding and output_padding."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the valid pairs and triples of labels some cases of one operator reach."""

    operator: str
    cases: int
    pairs_reached: int
    pairs_valid: int
    triples_reached: int
    triples_valid: int
    missing_pairs: tuple[Labels, ...] = ()
    missing_triples: tuple[Labels, ...] = ()
    """The first of the missing combinations, in the order of the labels."""


def measure_generated(
    ranges: Ranges, *, count: int = 500, seed_value: int = 0, operators: Iterable[str] = FEATURES
) -> tuple[Coverage, ...]:
    """Return the coverage of ``count`` generated cases of each operator, in all dimensions."""
    drawn = draw(ranges, count=count, seed_value=seed_value, operators=operators)
    return tuple(measure(operator, cases, ranges) for operator, cases in drawn.items())


def draw(
    ranges: Ranges, *, count: int, seed_value: int, operators: Iterable[str] = FEATURES
) -> dict[str, tuple[Case, ...]]:
    """Return ``count`` generated cases of each operator, in all dimensions."""
    return {
        operator: generate(operator, ranges, dims=None, count=count, seed_value=seed_value)
        for operator in operators
    }


def measure(
    operator: str, cases: Iterable[Case], ranges: Ranges | None = None, *, sample: int = 20
) -> Coverage:
    """Return the coverage of the ``cases`` that belong to ``operator``, which is no gradient.

    At most ``sample`` missing pairs, and as many triples, are listed. Raises `ConformanceError`.
    """
    if operator not in FEATURES:
        raise ConformanceError(
            f"operator '{operator}' has no features; allowed: {', '.join(FEATURES)}"
        )
    ranges = ranges or Ranges()
    labelled = [labels(case, ranges) for case in cases if case.operator == operator]
    pairs, triples = (valid_combinations(operator, ranges, size) for size in (2, 3))
    met_pairs, met_triples = (
        {met for case in labelled for met in itertools.combinations(case, size)} for size in (2, 3)
    )
    return Coverage(
        operator=operator,
        cases=len(labelled),
        pairs_reached=len(pairs & met_pairs),
        pairs_valid=len(pairs),
        triples_reached=len(triples & met_triples),
        triples_valid=len(triples),
        missing_pairs=tuple(sorted(pairs - met_pairs)[:sample]),
        missing_triples=tuple(sorted(triples - met_triples)[:sample]),
    )


@lru_cache(maxsize=32)
def valid_combinations(operator: str, ranges: Ranges, size: int) -> frozenset[Labels]:
    """Return the combinations of ``size`` labels that some case within ``ranges`` has.

    ``ranges.work`` is ignored: it bounds the size of a case, not its combinations.
    """
    free = _free_labels(operator, ranges)
    channels = _channel_labels(operator, ranges)
    geometry = _Geometry(operator, ranges)
    combinations: set[Labels] = set()
    for chosen in itertools.combinations(FEATURES[operator], size):
        on_axes = tuple(f for f in chosen if f not in free and f not in ("groups", "size"))
        on_channels = tuple(f for f in chosen if f in ("groups", "size"))
        others = tuple(f for f in chosen if f in free)
        for parts in itertools.product(
            geometry.labels(on_axes),
            {tuple(kind[f] for f in on_channels) for kind in channels},
            itertools.product(*(free[f] for f in others)),
        ):
            values = dict(
                zip((*on_axes, *on_channels, *others), itertools.chain(*parts), strict=True)
            )
            combinations.add(tuple(f"{feature}={values[feature]}" for feature in chosen))
    return frozenset(combinations)


def _free_labels(operator: str, ranges: Ranges) -> dict[str, Labels]:
    """Return the labels of the features that can meet every label of the other features."""
    free: dict[str, Labels] = {
        "dtype": ranges.dtypes,
        "data": ranges.data,
        "batch": tuple(dict.fromkeys(map(batch_label, ranges.batch))),
        "bias": ("no", "yes"),
        "count_include_pad": ("no", "yes"),
    }
    return {feature: free[feature] for feature in FEATURES[operator] if feature in free}


def _channel_labels(operator: str, ranges: Ranges) -> list[dict[str, str]]:
    """Return the pairs of a kind of grouping and a kind of size that can meet."""
    special = ranges.boundary_channels if ranges.boundary_share > 0 else ()
    counts: set[tuple[int, int, int]]
    if not FORWARD[operator].has_weight:
        counts = {(1, count, 1) for count in (*ranges.channels, *special)}
    else:
        plain = {(a, b) for a in ranges.channels for b in ranges.channels}
        plain |= {pair for c in ranges.channels for s in special for pair in ((c, s), (s, c))}
        several = [g for g in ranges.groups if g > 1]
        counts = {(g, i, o) for g in ranges.groups for i, o in plain if g == 1 or i > 1}
        if 1 in ranges.channels and several:
            counts |= {(g, 1, m) for g in (*several, *special) for m in ranges.multiplier}
    kinds = set()
    for groups, inner, outer in counts:
        kind = grouping_label(groups, inner, outer)
        crosses = crosses_boundary(groups, inner, outer, ranges)
        kinds.add((kind, "boundary" if crosses else "small"))
        if special:
            kinds.add((kind, "boundary"))  # its width is
    return [{"groups": kind, "size": size} for kind, size in sorted(kinds)]


class _Geometry:
    """The labels that spatial axes allow, all of them enumerated.

    An axis is an integer with one bit for each (feature, value) that it has: several axes together
    have the union of their bits.
    """

    def __init__(self, operator: str, ranges: Ranges) -> None:
        self.dims = ranges.dims
        self.bits: dict[tuple[str, str | int], int] = {}
        modes = (True, False) if not FORWARD[operator].has_weight else (False,)
        every = tuple(axes(operator, ranges))
        self.modes = [
            {
                sum(
                    self.bits.setdefault(item, 1 << len(self.bits))
                    for item in axis_values(operator, *axis, ceil).items()
                )
                for axis in every
            }
            for ceil in modes
        ]

    def labels(self, features: Labels) -> set[Labels]:
        """Return the combinations of labels of ``features``: of ``dims`` or of the axes."""
        mask = sum(bit for (feature, _), bit in self.bits.items() if feature in features)
        combinations: set[Labels] = set()
        for mode in self.modes:
            projected = {axis & mask for axis in mode}
            for dims in self.dims:
                several = reduce(lambda xs, ys: {x | y for x in xs for y in ys}, [projected] * dims)
                for union in several:
                    combinations.add(tuple(self._label(f, union, dims) for f in features))
        return combinations

    def _label(self, feature: str, union: int, dims: int) -> str:
        if feature == "dims":
            return str(dims)
        return axes_label(
            feature, (v for (f, v), bit in self.bits.items() if f == feature and bit & union)
        )


def axes(operator: str, ranges: Ranges) -> Iterator[Axis]:
    """Yield every axis within the ranges.

    Where padding alone makes more outputs than they ask for (or, transposed, crops more than there
    is), the smallest valid sizes belong to the ranges, too.
    """
    pooling = not FORWARD[operator].has_weight
    for kernel, stride, dilation in itertools.product(
        ranges.kernel if FORWARD[operator].has_window else (1,),
        ranges.stride if "stride" in FORWARD[operator].parameters else (1,),
        ranges.dilation if "dilation" in FORWARD[operator].parameters else (1,),
    ):
        pads = pool_padding(ranges.padding, kernel) if pooling else ranges.padding
        for padding in ((before, after) for before in pads for after in pads):
            if FORWARD[operator].is_transposed:
                for extra in range(max(stride, dilation)):
                    for size in _transpose_sizes(ranges, kernel, stride, padding, dilation, extra):
                        yield size, kernel, stride, dilation, padding, extra
            else:
                for size in _conv_sizes(ranges, kernel, stride, padding, dilation):
                    yield size, kernel, stride, dilation, padding, 0


def _conv_sizes(
    ranges: Ranges, kernel: int, stride: int, padding: tuple[int, int], dilation: int
) -> Iterator[int]:
    for size in range(1, max(ranges.output) * stride + span(kernel, dilation)):
        out = conv_size(size, kernel, stride, padding, dilation, ceil=False)
        if out in ranges.output or (out > min(ranges.output) and size <= stride):
            yield size


def _transpose_sizes(
    ranges: Ranges,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    output_padding: int,
) -> Iterator[int]:
    for size in range(1, max(ranges.output) + sum(padding) + 1):
        out = transpose_size(size, kernel, stride, padding, dilation, output_padding)
        grown = size > min(ranges.output) and out <= stride  # a smaller size has no output
        if out >= 1 and (size in ranges.output or grown):
            yield size
