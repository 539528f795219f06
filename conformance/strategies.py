"""Hypothesis strategies: one an operator, each of which builds valid cases and nothing else.

A strategy first draws the class of each parameter (no stride, the same stride on every axis,
different strides, ...), every class about as often as the others, then a value of that class. So
rare combinations of classes are met early. Sizes are computed from the output's size, so that no
draw has to be thrown away; every list is sorted from simple to complex, so that a failing case
shrinks towards the smallest shape with default parameters and integer data.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.case import Case, Padding, Shape
from conformance.errors import ConformanceError
from conformance.operators import OPERATORS
from conformance.operators.geometry import span, transpose_size
from conformance.spec.ranges import Ranges

T = TypeVar("T")
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


def cases(
    operator: str, ranges: Ranges | None = None, *, dims: int | None = None
) -> st.SearchStrategy[Case]:
    """Return the strategy of valid cases of ``operator``, for all ``dims`` of the ranges or one."""
    if operator not in _BUILDERS:
        raise ConformanceError(
            f"operator '{operator}' is unknown; known are {', '.join(_BUILDERS)}"
        )
    return _cases(operator, ranges or Ranges(), dims)


def generate(
    operator: str, ranges: Ranges, *, dims: int | None, count: int, seed_value: int
) -> tuple[Case, ...]:
    """Return ``count`` different cases of ``operator`` (fewer where the ranges hold no more).

    The same arguments give the same cases, for one version of Hypothesis.
    """
    found: dict[Case, None] = {}
    for attempt in range(4):
        missing = count - len(found)
        if missing <= 0:
            break

        @seed(seed_value + 1_000_003 * attempt)
        @settings(
            max_examples=missing,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases(operator, ranges, dims=dims))
        def collect(case: Case) -> None:
            found[case] = None

        collect()
    return tuple(found)[:count]


@st.composite
def _cases(draw: Draw, operator: str, ranges: Ranges, dims: int | None) -> Case:
    chosen = dims if dims is not None else _pick(draw, ranges.dims)
    common = {
        "operator": operator,
        "data": _pick(draw, ranges.data),
        "dtype": _pick(draw, ranges.dtypes),
        "seed": draw(_seeds(ranges.seeds)),
    }
    return _BUILDERS[operator](draw, ranges, chosen, common)


def _pick(draw: Draw, options: Sequence[T]) -> T:
    return draw(_sampled(tuple(options)))  # type: ignore[no-any-return]


@cache
def _sampled(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.just(options[0]) if len(options) == 1 else st.sampled_from(options)


@cache
def _seeds(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


# --- tuples with one value an axis, sorted from simple to complex -------------------------------


@cache
def _classes(values: Shape, dims: int, default: int) -> dict[str, tuple[Shape, ...]]:
    """Sort all tuples of ``values`` into default, same and different ones."""
    every = sorted(itertools.product(values, repeat=dims), key=lambda t: (sum(t), t))
    return {
        name: tuple(options)
        for name, options in {
            "default": [t for t in every if set(t) == {default}],
            "same": [t for t in every if len(set(t)) == 1 and t[0] != default],
            "different": [t for t in every if len(set(t)) > 1],
        }.items()
        if options
    }


@cache
def _kernels(values: Shape, dims: int) -> dict[str, tuple[Shape, ...]]:
    """Sort all kernel shapes into ones, odd, even and mixed ones."""
    every = sorted(itertools.product(values, repeat=dims), key=lambda t: (sum(t), t))
    ones = [t for t in every if set(t) == {1}]
    odd = [t for t in every if all(k % 2 for k in t) and t not in ones]
    even = [t for t in every if not any(k % 2 for k in t)]
    mixed = [t for t in every if t not in ones and t not in odd and t not in even]
    named = {"one": ones, "odd": odd, "even": even, "mixed": mixed}
    return {name: tuple(options) for name, options in named.items() if options}


@cache
def _paddings(limits: Shape, values: Shape) -> dict[str, tuple[Padding, ...]]:
    """Sort all paddings within ``limits`` into none, symmetric and asymmetric ones."""
    axes = [
        [(b, a) for b in values for a in values if b <= limit and a <= limit] for limit in limits
    ]
    every = sorted(itertools.product(*axes), key=lambda p: (sum(map(sum, p)), p))
    none = [p for p in every if not any(map(any, p))]
    symmetric = [p for p in every if all(b == a for b, a in p) and p not in none]
    asymmetric = [p for p in every if any(b != a for b, a in p)]
    named = {"none": none, "symmetric": symmetric, "asymmetric": asymmetric}
    return {name: tuple(options) for name, options in named.items() if options}


@cache
def _below(limits: Shape) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Return the all-zero tuple, and all others that stay below ``limits`` on each axis."""
    every = sorted(itertools.product(*map(range, limits)), key=lambda t: (sum(t), t))
    return (every[0],), tuple(every[1:])


@cache
def _shapes(values: Shape, dims: int) -> tuple[Shape, ...]:
    return tuple(
        sorted(itertools.product(values, repeat=dims), key=lambda t: (math.prod(t), sum(t), t))
    )


def _by_class(draw: Draw, classes: dict[str, tuple[T, ...]]) -> T:
    return _pick(draw, classes[_pick(draw, tuple(classes))])


def _maybe(draw: Draw, limits: Shape) -> Shape:
    """Draw zeros, or, half of the time where there is one, another tuple below ``limits``."""
    zero, others = _below(limits)
    return _pick(draw, others if others and _pick(draw, (False, True)) else zero)


# --- the operators ------------------------------------------------------------------------------


def _boundary(draw: Draw, ranges: Ranges, kinds: tuple[str, ...]) -> str:
    """Draw which axis, if any, gets a size that crosses a vector or tile boundary."""
    share = max(2, round(1 / ranges.boundary_share)) if ranges.boundary_share else 0
    if not share or _pick(draw, tuple(range(share))) != share - 1:
        return "none"
    return _pick(draw, kinds)


def _channels(draw: Draw, ranges: Ranges, boundary: str) -> tuple[int, int, int]:
    """Draw (groups, input channels of a group, output channels of a group)."""
    kind = _pick(draw, ("one", "some", "depthwise"))
    several = tuple(g for g in ranges.groups if g > 1) or (1,)
    wide = tuple(c for c in ranges.channels if c > 1) or (2,)
    if kind == "depthwise":
        many = ranges.boundary_channels if boundary != "none" else several
        return _pick(draw, many), 1, _pick(draw, ranges.multiplier)
    groups = 1 if kind == "one" else _pick(draw, several)
    inner = ranges.boundary_channels if boundary == "in" else (
        wide if kind == "some" else ranges.channels
    )
    outer = ranges.boundary_channels if boundary == "out" else ranges.channels
    return groups, _pick(draw, inner), _pick(draw, outer)


def _fitting(
    out: Shape, rest: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> Shape:
    """Return the input sizes that give at least ``out`` outputs and ``rest`` unused rows.

    A size below 1 (a padding that alone would make more outputs) grows by whole strides.
    """
    sizes = []
    for o, r, k, s, (before, after), d in zip(
        out, rest, kernel, stride, padding, dilation, strict=True
    ):
        size = (o - 1) * s + span(k, d) - before - after + r
        sizes.append(size if size >= 1 else size + -(-(1 - size) // s) * s)
    return tuple(sizes)


def _widen(draw: Draw, ranges: Ranges, sizes: Shape, stretch: bool) -> Shape:
    """Give one axis, where ``stretch``, a size that crosses a tile boundary."""
    if not stretch:
        return sizes
    axis = len(sizes) - 1 - _pick(draw, tuple(range(len(sizes))))
    width = max(_pick(draw, ranges.boundary_widths), sizes[axis])
    return (*sizes[:axis], width, *sizes[axis + 1 :])


def _within(case: Case, limit: int) -> Case:
    """Return ``case`` with batch and channels cut until its work is within ``limit``.

    An output element costs the judge about as much as eight multiply-accumulates.
    """
    operator = OPERATORS[case.operator]
    while operator.work(case) + 8 * math.prod(operator.output_shape(case)) > limit:
        n, c, *spatial = case.x
        if n > 1:
            case = case.replace(x=(1, c, *spatial))
        elif case.w is not None and case.w[0] > case.groups and case.operator == "conv":
            per_group = case.w[0] // case.groups
            case = case.replace(w=(per_group // 2 * case.groups, *case.w[1:]))
        elif case.w is not None and case.w[1] > 1 and case.operator == "conv":
            smaller = case.w[1] // 2
            case = case.replace(
                x=(n, smaller * case.groups, *spatial), w=(case.w[0], smaller, *case.w[2:])
            )
        elif case.w is not None and case.w[1] > 1:
            case = case.replace(w=(case.w[0], case.w[1] // 2, *case.w[2:]))
        elif case.w is not None and case.w[0] > case.groups:
            smaller = case.w[0] // case.groups // 2 * case.groups
            case = case.replace(x=(n, smaller, *spatial), w=(smaller, *case.w[1:]))
        elif case.w is None and c > 1:
            case = case.replace(x=(n, c // 2, *spatial))
        else:
            return case
    return case


def _conv(draw: Draw, ranges: Ranges, dims: int, common: dict[str, Any]) -> Case:
    boundary = _boundary(draw, ranges, ("in", "out", "width"))
    batch = _pick(draw, ranges.batch)
    groups, inner, outer = _channels(draw, ranges, boundary)
    kernel = _by_class(draw, _kernels(ranges.kernel, dims))
    stride = _by_class(draw, _classes(ranges.stride, dims, 1))
    dilation = _by_class(draw, _classes(ranges.dilation, dims, 1))
    padding = _by_class(draw, _paddings((max(ranges.padding),) * dims, ranges.padding))
    out = _pick(draw, _shapes(ranges.output, dims))
    sizes = _fitting(out, _maybe(draw, stride), kernel, stride, padding, dilation)
    sizes = _widen(draw, ranges, sizes, boundary == "width")
    case = Case(
        x=(batch, groups * inner, *sizes),
        w=(groups * outer, inner, *kernel),
        bias=_pick(draw, (False, True)),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        **common,
    )
    return _within(case, ranges.work)


def _conv_transpose(draw: Draw, ranges: Ranges, dims: int, common: dict[str, Any]) -> Case:
    boundary = _boundary(draw, ranges, ("in", "out", "width"))
    batch = _pick(draw, ranges.batch)
    groups, inner, outer = _channels(draw, ranges, boundary)
    kernel = _by_class(draw, _kernels(ranges.kernel, dims))
    stride = _by_class(draw, _classes(ranges.stride, dims, 1))
    dilation = _by_class(draw, _classes(ranges.dilation, dims, 1))
    padding = _by_class(draw, _paddings((max(ranges.padding),) * dims, ranges.padding))
    extra = _maybe(draw, tuple(map(max, stride, dilation)))
    sizes = []
    for axis, size in enumerate(_pick(draw, _shapes(ranges.output, dims))):
        pads = kernel[axis], stride[axis], padding[axis], dilation[axis], extra[axis]
        missing = max(0, 1 - transpose_size(size, *pads))  # rows that the padding crops too many
        sizes.append(size + -(-missing // stride[axis]))
    wide = _widen(draw, ranges, tuple(sizes), boundary == "width")
    case = Case(
        x=(batch, groups * inner, *wide),
        w=(groups * inner, outer, *kernel),
        bias=_pick(draw, (False, True)),
        stride=stride,
        padding=padding,
        output_padding=extra,
        dilation=dilation,
        groups=groups,
        **common,
    )
    return _within(case, ranges.work)


def _pool(
    draw: Draw, ranges: Ranges, dims: int, common: dict[str, Any], dilation: Shape
) -> dict[str, Any]:
    """Draw what the two poolings share."""
    boundary = _boundary(draw, ranges, ("in", "width"))
    batch = _pick(draw, ranges.batch)
    channels = _pick(draw, ranges.boundary_channels if boundary == "in" else ranges.channels)
    kernel = _by_class(draw, _kernels(ranges.kernel, dims))
    stride = _by_class(draw, _classes(ranges.stride, dims, 1))
    padding = _by_class(draw, _paddings(tuple(k // 2 for k in kernel), ranges.padding))
    out = _pick(draw, _shapes(ranges.output, dims))
    sizes = _fitting(out, _maybe(draw, stride), kernel, stride, padding, dilation)
    return {
        "x": (batch, channels, *_widen(draw, ranges, sizes, boundary == "width")),
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "ceil_mode": _pick(draw, (False, True)),
        **common,
    }


def _max_pool(draw: Draw, ranges: Ranges, dims: int, common: dict[str, Any]) -> Case:
    dilation = _by_class(draw, _classes(ranges.dilation, dims, 1))
    pool = _pool(draw, ranges, dims, common, dilation)
    return _within(Case(dilation=dilation, **pool), ranges.work)


def _avg_pool(draw: Draw, ranges: Ranges, dims: int, common: dict[str, Any]) -> Case:
    pool = _pool(draw, ranges, dims, common, (1,) * dims)
    return _within(Case(count_include_pad=_pick(draw, (True, False)), **pool), ranges.work)


_BUILDERS: dict[str, Callable[[Draw, Ranges, int, dict[str, Any]], Case]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}
