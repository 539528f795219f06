"""Fast paths and tails: the calls that libraries have kernels of their own for, at every remainder.

A library looks at a call's kernel, stride, dilation, groups, dtype and memory layout, and takes one
of many kernels (oneDNN, XNNPACK, ncnn, MNN and Winograd's algorithm: 3x3 with stride 1, 1x1,
depthwise 3x3, ...). That kernel works in blocks of 4 to 64 channels, positions or tiles; what is
left over, the tail, is code of its own. Such code is wrong at its tails alone, so that small shapes
and random ones miss it.

A `Signature` is what a kernel is chosen by; a tail says where a size stands relative to a block
(``outputs:8+1``: nine output channels, one more than a block of eight). `cases` brings every tail
of every size together with every signature, once for each memory layout and dtype, in few cases: a
case stands at tails of all its sizes at once.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from conformance.case import Case, Padding, Shape
from conformance.cases.draft import Draft
from conformance.dtypes import INTEGERS
from conformance.operators import FORWARD, GRADIENTS, OPERATORS

Tail: TypeAlias = tuple[str, int, str]
"""A quantity, a block, and where the quantity stands: ``("outputs", 8, "+1")``."""
Sizes: TypeAlias = dict[str, int]
"""The sizes that a case is made from, by quantity; a quantity that is left out has the least."""

BLOCKS = (4, 8, 16, 32, 64)
"""The numbers of elements that kernels work on at once."""
TILES = (2, 4, 6)
"""The output sizes of Winograd's tiles, F(2, 3), F(4, 3) and F(6, 3); they are square."""
KINDS = ("", "+1", "-1", "rest")
"""Where a size stands: at one block, one more, one less, or further beyond."""
LAYOUTS = ("contiguous", "channels_last", "fortran", "strided")
"""The memory layouts that kernels are chosen by, or that their loads and stores depend on."""
WORK = 10_000
"""The largest cost of a case (`conformance.cases.draft.cost`)."""

_ORDERS = 4
"""A case is filled in this many orders of its quantities; the one at most new tails is taken."""
_BEYOND = (6, 10, 11, 13, 18, 21, 22, 28, 35, 37, 41, 44, 51, 57, 66, 70, 75, 83, 97, 101)
_SIZES = tuple(sorted({1, 2, *_BEYOND, *(b + r for b in BLOCKS for r in (-1, 0, 1))}))
"""The sizes of a quantity that is chosen directly: at every block, and several beyond."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters that a kernel is chosen by; tuples have one entry a spatial axis."""

    operator: str
    kernel: Shape
    """A size of 0 is a kernel as large as the padded input."""
    stride: Shape
    dilation: Shape
    padding: Padding
    grouping: str = "dense"
    """dense; grouped: two or more channels a group; depthwise; multiplier: depthwise with several
    output channels for each input channel."""
    output_padding: Shape = ()
    ceil_mode: bool = False
    count_include_pad: bool = True

    @property
    def name(self) -> str:
        """The signature in words, such as ``3x3 s2 p1 depthwise``."""
        pads = dict.fromkeys("".join(map(str, dict.fromkeys(pair))) for pair in self.padding)
        parts = (
            "x".join(str(size) if size else "all" for size in self.kernel),
            f"s{self.stride[0]}",
            f"p{max(pads)}" if any(map(any, self.padding)) else "",
            f"d{self.dilation[0]}" if self.dilation[0] > 1 else "",
            "op" if any(self.output_padding) else "",
            "ceil" if self.ceil_mode else "",
            "" if self.count_include_pad else "exclude_pad",
            self.grouping if self.grouping != "dense" else "",
        )
        return " ".join(filter(None, parts))


def cases(
    operator: str, dims: int, dtypes: Sequence[str], claimed: Sequence[str] = ()
) -> list[Case]:
    """Return the cases of ``operator``, valid and without repetition.

    Every signature meets every tail in each of `LAYOUTS`, with the ``dtypes`` in turns, and in
    every ``claimed`` dtype, contiguous and channels-last in turns. The first of the cases are those
    of every signature that stand at the most tails, so that a budget that ends early cuts evenly.
    Their data is exact: short whole numbers and long ones in turns.
    """
    gradient = GRADIENTS.get(operator)
    turns = itertools.cycle(dtypes)
    passes: list[tuple[tuple[str, ...], str]] = [((layout,), next(turns)) for layout in LAYOUTS]
    passes += [(LAYOUTS[:2], dtype) for dtype in claimed if dtype in OPERATORS[operator].dtypes]
    found: dict[Case, int] = {}
    for number, (layouts, dtype) in enumerate(passes):
        recipes = ("integers",) if dtype in INTEGERS else ("integers", "digits")
        for signature in signatures(operator, dims):
            for seed, shape in enumerate(_shapes(signature, number)):
                case = shape.replace(
                    dtype=dtype,
                    memory=layouts[seed % len(layouts)],
                    data=recipes[(seed + number) % len(recipes)],
                    seed=seed,
                )
                found.setdefault(gradient.derived(case) if gradient else case, seed)
    return sorted(found, key=found.__getitem__)


@cache
def _shapes(signature: Signature, number: int) -> tuple[Case, ...]:
    """Return cases that stand together at every tail there is, others for another ``number``."""
    rng = random.Random(f"{signature.operator} {signature.name} {number}")
    maker = _maker(signature)
    wanted = set(maker.reached)
    biased = "bias" in FORWARD[signature.operator].arguments
    shapes: list[Case] = []
    while wanted:
        sizes = maker.next_sizes(wanted, rng)
        shape = maker.case(sizes)
        wanted -= tails(shape)
        shapes.append(shape.replace(bias=biased and len(shapes) % 3 == 1))
    return tuple(shapes)


def tails_of(signature: Signature) -> frozenset[Tail]:
    """Return every tail that a case of ``signature`` can stand at within `WORK`."""
    return frozenset(_maker(signature).reached)


@cache
def _maker(signature: Signature) -> _Maker:
    return _Maker(signature)


class _Maker:
    """Makes the cases of one signature from the sizes of its quantities."""

    def __init__(self, signature: Signature) -> None:
        self.signature, self.operator = signature, FORWARD[signature.operator]
        self.axes = [f"out{axis}" for axis, size in enumerate(signature.kernel) if size]
        channels = {
            "dense": ("inputs", "outputs"),
            "grouped": ("inputs", "outputs"),
            "depthwise": ("groups",),
            "multiplier": ("groups", "outputs"),
        }[signature.grouping]
        self.direct = [
            "batch",
            *(channels if self.operator.has_weight else channels[:1]),
            *self.axes,
        ]
        whole = 7 - len(signature.kernel)
        self.kernel = tuple(size or whole for size in signature.kernel)
        self.least = {
            "groups": 1 if signature.grouping == "dense" else 2,
            "inputs": 2 if signature.grouping == "grouped" else 1,
            "outputs": 2 if signature.grouping == "multiplier" else 1,
        }
        self.names = [f"out{axis}" for axis in range(len(self.kernel))]
        self.taps, self.weighted = math.prod(self.kernel), self.operator.has_weight
        self._extents: dict[tuple[int, int], tuple[int, int]] = {}
        self._prices: dict[Tail, int] = {}
        self.reached = self._reached()

    def case(self, sizes: Mapping[str, int]) -> Case:
        """Return the case with these sizes."""
        signature, get = self.signature, {**self.least, **sizes}
        return Draft(
            operator=signature.operator,
            kernel=self.kernel,
            stride=signature.stride,
            dilation=signature.dilation,
            padding=signature.padding,
            out=tuple(sizes.get(name, 1) for name in self.names),
            remainder=signature.output_padding,
            batch=sizes.get("batch", 1),
            groups=get["groups"],
            inner=get["inputs"],
            outer=get["outputs"],
            ceil_mode=signature.ceil_mode,
            count_include_pad=signature.count_include_pad,
        ).case()

    def sizes(self, name: str) -> Shape:
        """Return the sizes that a quantity is given; two channels at least make a group of them."""
        return _SIZES[self.least.get(name, 1) - 1 :]

    def price(self, sizes: Mapping[str, int]) -> int:
        """Return the `conformance.cases.draft.cost` of a case that is not made yet."""
        inner = sizes.get("inputs", self.least["inputs"])
        outer = sizes.get("outputs", self.least["outputs"])
        inside = outside = 1
        for axis, name in enumerate(self.names):
            before, after = self._extent(axis, sizes.get(name, 1))
            inside, outside = inside * before, outside * after
        taps = self.taps * (inside if self.operator.is_transposed else outside)
        results = outer if self.weighted else inner
        planes = sizes.get("batch", 1) * sizes.get("groups", self.least["groups"])
        return planes * (inner * outer * taps + inner * inside + 8 * results * outside)

    def _extent(self, axis: int, out: int) -> tuple[int, int]:
        """Return the input and output sizes along an axis for which ``out`` was chosen."""
        if (axis, out) not in self._extents:
            case = self.case({self.names[axis]: out})
            self._extents[axis, out] = case.x[2 + axis], self.operator.output_shape(case)[2 + axis]
        return self._extents[axis, out]

    def _reached(self) -> dict[Tail, Sizes]:
        """Return each tail that `WORK` allows, with the cheapest sizes of its quantity."""
        found: dict[Tail, tuple[int, Sizes]] = {}
        for sizes in self._alone():
            price = self.price(sizes)
            for tail in tails(self.case(sizes)) if price <= WORK else ():
                if tail not in found or price < found[tail][0]:
                    found[tail] = price, sizes
        self._prices = {tail: price for tail, (price, _) in found.items()}
        return {tail: sizes for tail, (_, sizes) in sorted(found.items())}

    def _alone(self) -> Iterator[Sizes]:
        """Yield the sizes of one quantity alone, and those of two spatial axes."""
        for name in self.direct:
            yield from ({name: size} for size in self.sizes(name))
        for pair in itertools.combinations(self.axes, 2):
            for sizes in itertools.product(_SIZES[:14], _SIZES[:14]):
                yield dict(zip(pair, sizes, strict=True))

    def next_sizes(self, wanted: set[Tail], rng: random.Random) -> Sizes:
        """Return the sizes of a case at the dearest of the ``wanted`` tails, and at many others."""
        tail = max(wanted, key=self._prices.__getitem__)
        apart = {} if tail[0] in self.direct else dict.fromkeys(self.axes, 1)
        fixed = apart | self.reached[tail]  # what follows from all axes fixes all of them
        free = [name for name in self.direct if name not in fixed]
        best: tuple[int, Sizes] = (-1, {})
        for _ in range(_ORDERS):
            rng.shuffle(free)
            best = max(best, self._filled(fixed, free, wanted, rng), key=lambda pair: pair[0])
        return best[1]

    def _filled(
        self, fixed: Sizes, free: Iterable[str], wanted: set[Tail], rng: random.Random
    ) -> tuple[int, Sizes]:
        """Return ``fixed`` with a size of each ``free`` quantity as the work allows.

        Of the sizes that the work allows, one at most new tails is taken. The number of new tails
        comes first.
        """
        sizes, total = dict(fixed), 0
        for name in free:
            options = self.sizes(name)
            most = bisect.bisect(options, WORK, key=lambda n: self.price({**sizes, name: n}))
            new = {n: sum((name, *stand) in wanted for stand in _stands(n)) for n in options[:most]}
            sizes[name] = rng.choice([n for n, count in new.items() if count == max(new.values())])
            total += new[sizes[name]]
        return total, sizes


# --- labels -------------------------------------------------------------------------------------


def tails(case: Case) -> frozenset[Tail]:
    """Return the tails that the sizes of a case stand at."""
    return frozenset(
        (quantity, *stand) for quantity, size in quantities(case).items() for stand in _stands(size)
    )


@cache
def _stands(size: int) -> tuple[tuple[int, str], ...]:
    """Return each block that ``size`` is near or above, and where it stands."""
    stands = []
    for block in BLOCKS:
        if size in (block, block + 1, block - 1):
            stands.append((block, {0: "", 1: "+1", -1: "-1"}[size - block]))
        elif size > block:
            stands.append((block, "rest"))
    return tuple(stands)


def quantities(case: Case) -> dict[str, int]:
    """Return the sizes of a call that kernels block by, which are those of its forward call.

    The positions of a transposed convolution are those of its input.
    """
    gradient = GRADIENTS.get(case.operator)
    operator = gradient.forward if gradient else OPERATORS[case.operator]
    if case.w is None and case.kernel is None:  # a sum over all positions, in each channel
        return {"batch": case.x[0], "inputs": case.x[1], **_positions(case.x[2:])}
    _, outputs, *out = operator.output_shape(case)
    positions = _positions(case.x[2:] if operator.is_transposed else tuple(out))
    if case.w is None:
        return {"batch": case.x[0], "inputs": case.x[1], **positions}
    sizes = {"batch": case.x[0], **positions}
    sizes |= {"inputs": case.x[1] // case.groups, "outputs": outputs // case.groups}
    if case.groups > 1:
        sizes["groups"] = case.groups
    if set(case.stride) == {1} and max(case.window) > 1:
        sizes |= {f"tiles{tile}": math.prod(-(-size // tile) for size in out) for tile in TILES}
    return sizes


def _positions(axes: Shape) -> dict[str, int]:
    """Return the size of each axis, and of their product where there are several."""
    sizes = {f"out{axis}": size for axis, size in enumerate(axes)}
    return sizes | ({"positions": math.prod(axes)} if len(axes) > 1 else {})


# --- the signatures -----------------------------------------------------------------------------


def signatures(operator: str, dims: int) -> tuple[Signature, ...]:
    """Return the signatures of an operator, the commonest first; a gradient has its forward's."""
    gradient = GRADIENTS.get(operator)
    found = _SIGNATURES[gradient.forward.name if gradient else operator](dims)
    return found if OPERATORS[operator].has_window else found[1:2]


def _make(
    operator: str,
    dims: int,
    kernel: int | Shape,
    stride: int = 1,
    padding: int | tuple[int, int] | Shape = 0,
    grouping: str = "dense",
    *,
    dilation: int = 1,
    output_padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Signature:
    """Return a signature, the same on every axis but for a ``kernel`` given by axis.

    A ``padding`` of two numbers is before and after every axis; along an axis whose kernel is 1,
    where others' are not, there is none.
    """
    sizes = (kernel,) * dims if isinstance(kernel, int) else kernel
    pair = (padding, padding) if isinstance(padding, int) else padding
    uneven = len(set(sizes)) > 1
    return Signature(
        operator,
        sizes,
        (stride,) * dims,
        (dilation,) * dims,
        tuple((0, 0) if uneven and size == 1 else (pair[0], pair[1]) for size in sizes),
        grouping,
        (output_padding,) * dims,
        ceil_mode,
        count_include_pad,
    )


Row: TypeAlias = tuple[Any, ...]


@cache
def _convolutions(dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [
        (3, 1, 1),
        (1,),
        (3, 1, 1, "depthwise"),
        (3, 2, 1),
        (1, 2),
        (3, 1, 1, "grouped"),
        (1, 1, 0, "grouped"),
        (0,),
    ]
    if dims < 3:
        rows += [(3,), (3, 2, 1, "depthwise"), (5, 1, 2), (3, 2, (0, 1))]
    if dims == 2:
        rows += [
            (3, 1, (0, 1)),
            (3, 1, 1, "multiplier"),
            (5, 2, 2),
            (7, 2, 3),
            (5, 1, 2, "depthwise"),
            (2, 2),
            (1, 1, 1),
            ((1, 3), 1, 1),
            ((3, 1), 1, 1),
        ]
    if dims == 3:
        rows += [((1, 3, 3), 1, 1), ((3, 1, 1), 1, 1)]
    dilated = ("dense", "depthwise") if dims == 2 else ("dense",)
    return (
        *(_make("conv", dims, *row) for row in rows),
        *(_make("conv", dims, 3, 1, 2, grouping, dilation=2) for grouping in dilated),
    )


@cache
def _transposed(dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [(2, 2), (4, 2, 1), (3, 1, 1), (4, 2, 1, "depthwise"), (3, 2, 1, "grouped")]
    if dims < 3:
        rows += [(1,), (2, 3), (3, 2, (0, 1))]
    if dims == 2:
        rows += [(5, 2, 2), (1, 2), (3,), (3, 1, 1, "grouped"), (2, 1)]
    return (
        *(_make("conv_transpose", dims, *row) for row in rows),
        _make("conv_transpose", dims, 3, 2, 1, output_padding=1),
        *(_make("conv_transpose", dims, 3, 1, 2, dilation=2) for _ in range(dims == 2)),
    )


@cache
def _max_pools(dims: int) -> tuple[Signature, ...]:
    return (*_pools("max_pool", dims), _make("max_pool", dims, 3, 1, 1, dilation=2))


@cache
def _avg_pools(dims: int) -> tuple[Signature, ...]:
    return (*_pools("avg_pool", dims), _make("avg_pool", dims, 3, 2, 1, count_include_pad=False))


def _pools(operator: str, dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [(2, 2), (3, 2, 1), (3, 1, 1), (0,)]
    if dims < 3:
        rows += [(3, 2), (2, 1), (5, 1, 2)]
    if dims == 2:
        rows += [(3, 2, (0, 1)), (3, 3), ((1, 3),), ((3, 1),)]
    return (
        *(_make(operator, dims, *row) for row in rows),
        *(_make(operator, dims, 3, 2, pad, ceil_mode=True) for pad in range(1 + (dims == 2))),
    )


_SIGNATURES = {
    "conv": _convolutions,
    "conv_transpose": _transposed,
    "max_pool": _max_pools,
    "avg_pool": _avg_pools,
}
