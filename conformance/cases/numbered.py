"""Cases in which a size, or a product of sizes, is a given number, as cheap as they can be.

A kernel that does something of its own at 300 channels, in blocks of 23 or beyond a buffer of 77 is
right everywhere else. Each quantity of a call (`quantities`) is set to a number, alone or two at a
time, while all others are small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from conformance.case import Case, Shape
from conformance.cases.limits import MOST_GATHERED, gathered
from conformance.cases.validity import is_valid
from conformance.operators import FORWARD, GRADIENTS
from conformance.operators.base import Operator
from conformance.sizes import conv_size, span, transpose_size

USUAL_COST, MOST_COST = 60_000, 1_500_000
"""The largest cost of a case (what is read, added up, and eight for each output element), and of
one in which all that is not set is one: the cheapest shape there is reaches a large number."""
_WIDEST = 64
"""The largest stride, dilation or padding."""
_TILES = (2, 4, 6)

Setting: TypeAlias = Mapping[str, int]
"""The numbers that quantities are set to, by name; those of an axis end in its number."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a call has where nothing is set."""

    batch: int = 1
    groups: int = 1
    inner: int = 1
    outer: int = 1
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    out: int = 2
    bias: bool = False
    flag: bool = False
    """ceil_mode of a pooling, and that an average leaves out the padding."""


BASES = (
    Base(inner=2, outer=2, kernel=3, padding=1),
    Base(batch=2, kernel=1),
    Base(inner=1, outer=3, kernel=2, stride=2, bias=True, flag=True),
    Base(groups=3, kernel=3, padding=1),
    Base(batch=2, groups=2, inner=2, outer=2, kernel=3, dilation=2, padding=2, flag=True),
    Base(inner=3, outer=1, kernel=3, out=3),
)
"""They take turns."""
_LEAN = Base(out=1)


def quantities(operator: str, dims: int) -> tuple[str, ...]:
    """Return the names of the quantities of a call, the usual ones first."""
    forward = _forward(operator)
    axes = range(dims - 1, -1, -1)
    each = [f"{name}{axis}" for name in ("size", "out", "kernel") for axis in axes]
    further = [f"{name}{axis}" for name in ("stride", "dilation", "padding") for axis in axes]
    tiles = [f"tiles{tile}" for tile in _TILES]
    if operator == "conv_bias_grad":
        return ("outputs", "batch", *(f"out{axis}" for axis in axes), "y", "positions", "rows")
    if forward.has_weight:
        channels = ("channels", "outputs", "batch", "groups", "inner", "outer")
        products = ("taps", "positions", "rows", "x", "y", "w", "planes", "window", *tiles)
        return (*channels, *each, *products, *further)
    products = ("positions", "window", "rows", "x", "y", "planes", *tiles)
    if "dilation" not in forward.parameters:
        further = [name for name in further if not name.startswith("dilation")]
    return ("channels", "batch", *each, *products, *further)


def usual(operator: str, dims: int) -> tuple[str, ...]:
    """Return the quantities that conditions most often name together."""
    last = dims - 1
    names = {"channels", "outputs", "batch", "groups", "inner", "outer", "kernel0", "size0"}
    names |= {f"{name}{last}" for name in ("kernel", "size", "out", "stride")}
    names |= {f"{name}{last}" for name in ("dilation", "padding")}
    return tuple(name for name in quantities(operator, dims) if name in names)


def numbered(operator: str, dims: int, setting: Setting, base: Base = BASES[0]) -> Case | None:
    """Return the case in which each quantity is as it is set, None where it would be too dear."""
    forward = _forward(operator)
    for some, most in ((base, USUAL_COST), (_LEAN, MOST_COST)):
        values = _values(forward.has_weight, dims, setting, some)
        if values is None:
            return None
        case = _case(forward.name, dims, values, some)
        if _cost(case, scattered=forward.name != operator) <= most:
            if operator in GRADIENTS:
                case = GRADIENTS[operator].derived(case)
            return case if is_valid(case) else None
    return None


def around(number: int) -> tuple[int, ...]:
    """Return the sizes that a number of the source is about, the most telling ones first."""
    return (number + 1, number, number - 1, 2 * number + 1, 2 * number, 2 * number - 1)


def _forward(operator: str) -> Operator:
    return GRADIENTS[operator].forward if operator in GRADIENTS else FORWARD[operator]


def _values(weighted: bool, dims: int, setting: Setting, base: Base) -> dict[str, int] | None:
    """Return the number of each factor of a call: products are split into factors."""
    values: dict[str, int] = {
        "batch": base.batch,
        "groups": base.groups if weighted else 1,
        "inner": base.inner if weighted else max(base.inner, base.groups),
        "outer": base.outer,
    }
    for axis in range(dims):
        values[f"kernel{axis}"], values[f"stride{axis}"] = base.kernel, base.stride
        values[f"dilation{axis}"], values[f"padding{axis}"] = base.dilation, base.padding
    for name, number in setting.items():
        if number < 1 or not _set(values, weighted, dims, name, number):
            return None
    for axis in range(dims):
        if not weighted:
            most = values[f"kernel{axis}"] // 2
            if f"padding{axis}" in setting and values[f"padding{axis}"] > most:
                values[f"kernel{axis}"] = 2 * values[f"padding{axis}"]
            values[f"padding{axis}"] = min(values[f"padding{axis}"], values[f"kernel{axis}"] // 2)
        for name in ("stride", "dilation", "padding"):
            if values[f"{name}{axis}"] > _WIDEST:
                return None
    return values


def _set(values: dict[str, int], weighted: bool, dims: int, name: str, number: int) -> bool:
    """Set a quantity; return False where it cannot be."""
    last = dims - 1
    if name in values or name[:-1] in ("size", "out"):
        values[name] = number
    elif name in ("channels", "planes", "outputs"):
        side = "outer" if name == "outputs" else "inner"
        if name == "planes":
            values["batch"] = _factor(number, (values["batch"], 2, 3))
            number //= values["batch"]
        if number % values["groups"]:
            values["groups"] = 1
        values[side] = number // values["groups"]
    elif name == "taps":
        window = _factor(number, (3, 2, 5, 7))
        for axis in range(dims):
            values[f"kernel{axis}"] = window if axis == last else 1
        values["inner"] = number // window
    elif name == "window":
        _split(values, "kernel", number, dims)
    elif name in ("positions", "rows", "y", "x", "w"):
        return _set_product(values, weighted, dims, name, number)
    elif name.startswith("tiles"):
        tile = int(name.removeprefix("tiles"))
        for axis in range(dims):
            values[f"out{axis}"] = tile * number - 1 if axis == last else tile
    else:
        return False
    return True


def _set_product(values: dict[str, int], weighted: bool, dims: int, name: str, number: int) -> bool:
    """Let the elements of an array, or its positions, be so many."""
    if name == "w":
        for axis in range(dims):
            values[f"kernel{axis}"] = 1
        values["inner"] = _factor(number, (values["inner"], 2, 3))
        values["outer"], values["groups"] = number // values["inner"], 1
        return weighted
    planes = 1
    if name in ("rows", "x", "y"):
        values["batch"] = planes = _factor(number, (values["batch"], 2, 3))
    if name in ("x", "y"):
        side = "outer" if name == "y" and weighted else "inner"
        values["groups"] = 1
        values[side] = _factor(number // planes, (values[side], 2, 3))
        planes *= values[side]
    return _split(values, "size" if name == "x" else "out", number // planes, dims)


def _split(values: dict[str, int], name: str, number: int, dims: int) -> bool:
    """Give the axes sizes whose product is the number: a small one before the last axis."""
    for axis in range(dims):
        values[f"{name}{axis}"] = 1
    if dims > 1:
        values[f"{name}{dims - 2}"] = _factor(number, (2, 3, 5, 7))
        number //= values[f"{name}{dims - 2}"]
    values[f"{name}{dims - 1}"] = number
    return True


def _factor(number: int, wanted: Sequence[int]) -> int:
    """Return the first of some numbers that divides the number, else 1."""
    return next((factor for factor in wanted if number % factor == 0), 1)


def _case(operator: str, dims: int, values: Mapping[str, int], base: Base) -> Case:
    forward = FORWARD[operator]

    def each(name: str) -> Shape:
        return tuple(values[f"{name}{axis}"] for axis in range(dims))

    dilation = each("dilation") if "dilation" in forward.parameters else (1,) * dims
    kernel, stride, padding = each("kernel"), each("stride"), each("padding")
    spatial = []
    for axis in range(dims):
        reach, pads = span(kernel[axis], dilation[axis]), 2 * padding[axis]
        if (size := values.get(f"size{axis}")) is None:
            out = values.get(f"out{axis}", base.out)
            size = (out - 1) * stride[axis] + reach - pads
            if forward.is_transposed:
                size = -(-(out - reach + pads) // stride[axis]) + 1
            size = max(1, size)
        spatial.append(size)
    groups, inner, outer = values["groups"], values["inner"], values["outer"]
    case = Case(
        operator=operator,
        x=(values["batch"], groups * inner, *spatial),
        stride=stride,
        dilation=dilation,
        padding=tuple((pad, pad) for pad in padding),
    )
    if forward.has_weight:
        w = forward.weight_shape(groups, inner, outer, kernel)
        return case.replace(w=w, groups=groups, bias=base.bias)
    exclude = base.flag and "count_include_pad" in forward.parameters
    return case.replace(kernel=kernel, ceil_mode=base.flag, count_include_pad=not exclude)


def _cost(case: Case, *, scattered: bool) -> int:
    """Return what judging a case costs, with its arrays; see `conformance.cases.draft.cost`.

    The results of a gradient are ``scattered``: each position of its input may read a window.
    """
    operator = FORWARD[case.operator]
    if max(*case.x, *(case.w or ())) > MOST_COST:
        return MOST_COST + 1
    sizes = zip(case.x[2:], case.window, case.stride, case.padding, case.dilation, strict=True)
    out = [
        transpose_size(s, k, step, pads, d, 0)
        if operator.is_transposed
        else conv_size(s, k, step, pads, d, ceil=case.ceil_mode)
        for s, k, step, pads, d in sizes
    ]
    if min(out) < 1:
        return MOST_COST + 1
    if gathered(case, scattered=scattered) > MOST_GATHERED:
        return MOST_COST + 1
    channels = operator.output_shape(case)[1]
    output = case.x[0] * channels * math.prod(out)
    return operator.work(case) + math.prod(case.x) + math.prod(case.w or ()) + 8 * output


def with_data(case: Case, turn: int, dtype: str) -> Case:
    """Return the case in a dtype, with data of whole numbers, most of them of one digit."""
    digits = turn % 3 == 2 and dtype.startswith(("float", "bfloat"))
    data = "digits" if digits else "integers"
    return replace(case, dtype=dtype, data=data, seed=turn % 97)
