"""Hypothesis strategies: each operator has one, which builds valid cases only.

A strategy first draws the class of each parameter (no stride, the same stride on every axis,
different strides, ...), every class about as often as the others, and then a value of that class.
So rare combinations of classes are met early (`conformance.cases.coverage` measures how many).
Input sizes follow from the drawn values (`conformance.cases.draft`), so that no draw has to be
thrown away. Every list is sorted from simple to complex, so that a failing case shrinks towards the
smallest shape with default parameters and integer data.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.case import RECIPES, Case, Padding, Shape
from conformance.cases.draft import Draft, fit, pool_padding
from conformance.cases.ranges import Ranges
from conformance.dtypes import FLOATS
from conformance.errors import ConformanceError, unknown
from conformance.operators import GRADIENTS, OPERATORS
from conformance.signatures import meant_operator

T = TypeVar("T")
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Classes: TypeAlias = tuple[tuple[T, ...], ...]
"""The values of each class of a parameter; a class that is listed twice is drawn twice as often."""


def cases(
    operator: str, ranges: Ranges | None = None, *, dims: int | None = None
) -> st.SearchStrategy[Case]:
    """Return the strategy of valid cases of ``operator``; without ``dims``, of all in the ranges.

    A gradient's cases are those of its forward operator.
    """
    if operator not in OPERATORS:
        raise ConformanceError(
            unknown("operator", operator, OPERATORS, meant=meant_operator(operator))
        )
    ranges = ranges or Ranges()
    if operator in GRADIENTS:
        gradient = GRADIENTS[operator]
        return cases(gradient.forward.name, ranges, dims=dims).map(gradient.derived)
    return _cases(operator, ranges, ranges.dims if dims is None else (dims,))


def generate(
    operator: str, ranges: Ranges, *, dims: int | None, count: int, seed_value: int
) -> tuple[Case, ...]:
    """Return ``count`` different cases of ``operator`` (fewer where the ranges hold no more).

    The same arguments give the same cases, for one version of Hypothesis.
    """
    drawn: dict[Case, None] = {}
    for attempt in range(4):
        missing = count - len(drawn)
        if missing <= 0:
            break

        @seed(seed_value + 1_000_003 * attempt)
        @settings(
            max_examples=missing + 10 * attempt,  # a few examples would mostly repeat earlier cases
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases(operator, ranges, dims=dims))
        def collect(case: Case) -> None:
            drawn[case] = None

        collect()
    return tuple(drawn)[:count]


_SIZE = 64
"""The number of bytes from which one case is made: two for each choice."""


class _Choices:
    """The choices of one case, read one after the other from one string of bytes.

    There is one draw for a case rather than one for each choice, for two reasons. Hypothesis makes
    up to five in six of its examples by copying one draw of an example over another of the same
    kind, which brings few new combinations. And it mixes integers of 100 and more from the modules
    that happen to be loaded into its draws, so that a seed would not always give the same cases (it
    does so with bytes, too, but with at most 50 of them). One draw is also faster. Every choice
    reads two bytes, even with a single option, so that shrinking one choice leaves the others
    unchanged.
    """

    def __init__(self, text: bytes) -> None:
        self._bytes = iter(text)

    def number(self, count: int) -> int:
        """Return a number from 0 to ``count - 1``; it grows with the bytes, and zeros give 0."""
        return (next(self._bytes) * 256 + next(self._bytes)) * count >> 16

    def of(self, options: Sequence[T]) -> T:
        """Return one of ``options``, which are sorted from simple to complex."""
        return options[self.number(len(options))]

    def of_class(self, classes: Classes[T]) -> T:
        """Return one of the options of one class."""
        return self.of(self.of(classes))


@st.composite
def _cases(draw: Draw, operator: str, ranges: Ranges, dims: Shape) -> Case:
    choose = _Choices(draw(st.binary(min_size=_SIZE, max_size=_SIZE)))
    number = choose.of(_sorted(dims))
    boundary = choose.of(_boundaries(ranges.boundary_share, OPERATORS[operator].has_weight))
    own: dict[str, Any]
    if OPERATORS[operator].has_weight:
        groups, inner, outer = choose.of_class(_channels(ranges, boundary))
        own = {"groups": groups, "inner": inner, "outer": outer, "bias": choose.of((False, True))}
    else:
        counts = ranges.boundary_channels if boundary == "inner" else ranges.channels
        own = {"inner": choose.of(_sorted(counts)), "ceil_mode": choose.of((False, True, True))}
        own["count_include_pad"] = choose.of(
            (True, False) if "count_include_pad" in OPERATORS[operator].parameters else (True,)
        )
    axis = number - 1 - choose.number(number)
    width = choose.of(_sorted(ranges.boundary_widths))
    draft = Draft(
        operator=operator,
        **_geometry(choose, operator, ranges, number),
        **own,
        width=(axis, width) if boundary == "width" else None,
        batch=choose.of(_batches(ranges.batch)),
        dtype=choose.of(_in_order(ranges.dtypes, FLOATS)),
        data=choose.of(_in_order(ranges.data, RECIPES)),
        seed=choose.number(ranges.seeds),
    )
    return fit(draft, ranges)


def _geometry(choose: _Choices, operator: str, ranges: Ranges, dims: int) -> dict[str, Any]:
    """Choose the parameters of each spatial axis."""
    pooling = not OPERATORS[operator].has_weight
    parameters = OPERATORS[operator].parameters
    windows = ranges.kernel if OPERATORS[operator].has_window else (1,)
    strides = ranges.stride if "stride" in parameters else (1,)
    dilations = ranges.dilation if "dilation" in parameters else (1,)
    weight = 2 if pooling else 1  # with kernel or stride one, little can go wrong in a pooling
    kernel = choose.of_class(_kernels(windows, dims, weight))
    stride = choose.of_class(_tuples(strides, dims, weight))
    dilation = choose.of_class(_tuples(dilations, dims, 1))
    pads = (pool_padding(ranges.padding, k) if pooling else ranges.padding for k in kernel)
    padding = choose.of_class(_paddings(tuple(pads)))
    out = choose.of(_shapes(ranges.output, dims))
    limits = tuple(map(max, stride, dilation)) if OPERATORS[operator].is_transposed else stride
    shape = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "out": out,
        "remainder": choose.of_class(_remainders(limits)),
    }
    return _hollow(choose, shape, ranges) if pooling and "dilation" in parameters else shape


def _hollow(choose: _Choices, shape: dict[str, Any], ranges: Ranges) -> dict[str, Any]:
    """Give one axis, every fifth time, a window that reads nothing but padding.

    Since padding is at most half of the kernel, only one shape does so, and it is too rare to be
    met by chance: two taps, of which one is a row before the input, and the other a row after it.
    """
    hollow, axis = choose.of((False,) * 4 + (True,)), choose.number(len(shape["kernel"]))
    apart = choose.of(tuple(d for d in ranges.dilation if d > 1) or (1,))
    possible = 2 in ranges.kernel and apart > 1 and max(ranges.padding) > 0 and 1 in ranges.output
    if not (hollow and possible):
        return shape
    window: dict[str, Any] = {
        "kernel": 2,
        "dilation": apart,
        "padding": (1, 1),
        "out": 1,
        "remainder": 0,
    }
    changed = {
        name: (*shape[name][:axis], value, *shape[name][axis + 1 :])
        for name, value in window.items()
    }
    return shape | changed


# --- the tables of options, made once and sorted from simple to complex -------------------------


@cache
def _sorted(values: Shape) -> Shape:
    return tuple(sorted(values))


@cache
def _batches(values: Shape) -> Shape:
    """Return the batch sizes; an empty batch, which compares nothing, is there half as often."""
    full = sorted(n for n in values if n)
    return (*sorted(full * 2), *(n for n in values if not n))


@cache
def _in_order(names: tuple[str, ...], order: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names, key=order.index))


@cache
def _boundaries(share: float, convolution: bool) -> tuple[str, ...]:
    """Return which extent crosses a vector or tile boundary, as often as ``share`` says."""
    kinds = ("inner", "outer", "width") if convolution else ("inner", "width")
    each = math.ceil(share * 60 / len(kinds))
    return ("none",) * (60 - each * len(kinds)) + tuple(kind for kind in kinds for _ in range(each))


@cache
def _channels(ranges: Ranges, boundary: str) -> Classes[tuple[int, int, int]]:
    """Return (groups, input channels, output channels of a group) by kind of grouping."""
    special = ranges.boundary_channels
    inner = special if boundary == "inner" else ranges.channels
    outer = special if boundary == "outer" else ranges.channels
    several = [g for g in ranges.groups if g > 1]
    wide = [c for c in inner if c > 1]
    ungrouped = [1] if 1 in ranges.groups else []
    deep: Iterable[int] = several and special if boundary in ("inner", "outer") else several
    single = [
        c for c in ranges.channels if c == 1
    ]  # a depthwise convolution needs groups of one channel
    multiplier = sorted(ranges.multiplier)
    kinds = (
        itertools.product(ungrouped, inner, outer),
        itertools.product(deep, single, multiplier[:1]),
        itertools.product(several, wide, outer),
        itertools.product(deep, single, multiplier[1:]),
    )
    classes = _nonempty(*(sorted(kind, key=math.prod) for kind in kinds))
    # The ranges may allow no grouping of channels of a boundary's size: then take other sizes.
    return classes if classes or boundary == "none" else _channels(ranges, "none")


@cache
def _tuples(values: Shape, dims: int, weight: int) -> Classes[Shape]:
    """Sort strides or dilations into ones, and ``weight`` times into same and different values."""
    every = sorted(itertools.product(values, repeat=dims), key=lambda t: (sum(t), t))
    ones = [t for t in every if set(t) == {1}]
    same = [t for t in every if len(set(t)) == 1 and t not in ones]
    different = [t for t in every if len(set(t)) > 1]
    return _nonempty(ones, *[same, different] * weight)


@cache
def _kernels(values: Shape, dims: int, weight: int) -> Classes[Shape]:
    """Sort kernel shapes into ones, and ``weight`` times into even, odd and mixed shapes."""
    every = sorted(itertools.product(values, repeat=dims), key=lambda t: (sum(t), t))
    ones = [t for t in every if set(t) == {1}]
    odd = [t for t in every if all(k % 2 for k in t) and t not in ones]
    even = [t for t in every if not any(k % 2 for k in t)]
    mixed = [t for t in every if t not in ones and t not in odd and t not in even]
    return _nonempty(ones, *[even, odd, mixed] * weight)


@cache
def _paddings(values: tuple[Shape, ...]) -> Classes[Padding]:
    """Sort the paddings that ``values`` of each axis make: none, symmetric and asymmetric."""
    axes = [[(before, after) for before in axis for after in axis] for axis in values]
    every = sorted(itertools.product(*axes), key=lambda p: (sum(map(sum, p)), p))
    none = [p for p in every if not any(map(any, p))]
    same = [p for p in every if all(b == a for b, a in p)]
    return _nonempty(
        none,
        [p for p in same if p not in none],
        [p for p in every if any(b != a for b, a in p)],
    )


@cache
def _shapes(values: Shape, dims: int) -> tuple[Shape, ...]:
    """Return all shapes, with the smallest size three times, as much happens only at the edges."""
    every = itertools.product((min(values),) * 2 + values, repeat=dims)
    return tuple(sorted(every, key=lambda t: (math.prod(t), sum(t), t)))


@cache
def _remainders(limits: Shape) -> Classes[Shape]:
    """Sort the tuples below ``limits`` into zeros, those of at most one (twice) and all others."""
    zero, *others = sorted(itertools.product(*map(range, limits)), key=lambda t: (sum(t), t))
    ones = [t for t in others if max(t) == 1]
    return _nonempty([zero], ones, ones, [t for t in others if max(t) > 1])


def _nonempty(*classes: list[T]) -> Classes[T]:
    return tuple(tuple(options) for options in classes if options)
