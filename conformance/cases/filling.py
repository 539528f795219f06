"""Filling: sizes for the cases of one signature, so that few cases stand together at every tail.

A case is made of units: its spatial axes, each number of channels, and its batch. A unit has
options, and each option stands at some tails (`conformance.cases.tails`). A case takes of each unit
the option that stands at the most tails that are still wanted, as far as its cost allows.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conformance.case import Case
from conformance.cases.draft import Draft
from conformance.cases.kernels import Signature
from conformance.cases.tails import (
    BLOCKS,
    FURTHER_BLOCKS,
    Tail,
    has_tiles,
    spatial,
    stands,
    tiles,
)
from conformance.operators import FORWARD

Array: TypeAlias = NDArray[Any]
Sizes: TypeAlias = dict[str, int]
"""The sizes that a case is made from, by quantity; one that is left out has the least."""

WORK = 10_000
"""The largest cost of a case (`conformance.cases.draft.cost`)."""
SIZES = tuple(
    sorted(
        {block + more for block in BLOCKS for more in (-1, 0, 1)}
        | {1, 2, 6, 10, 11, 12, 13, 18, 20, 21, 22, 23, 24, 25, 27, 28, 29, 35, 37, 41, 44, 48}
        | {51, 57, 66, 70, 75, 83, 96, 97, 101, 127, 128, 129}
    )
)
"""The sizes that a unit is given: at every block, and several between and beyond."""

_LONG = 47
"""An axis that is longer may lie beside axes of two, which are cheap."""
_ORDERS = 3
"""A case is filled in this many orders of its units; the one at most new tails is taken."""
_FURTHER, _LUCK = 0.05, 0.04
"""What a tail of `FURTHER_BLOCKS` counts beside one of `BLOCKS`, and how much chance adds."""


class _Unit:
    """What can be chosen for one part of a case."""

    def __init__(self, options: list[Sizes], columns: Mapping[str, list[int]]) -> None:
        self.options = options
        self.columns = {name: np.array(values) for name, values in columns.items()}
        """The factors of an option's cost."""
        self.falling = np.linspace(1.0, 0.0, len(options))
        self.at: list[frozenset[Tail]] = []
        self.marks = np.zeros((0, 0), np.float32)
        """Of each option (a row) and each tail 1 if it stands there, else 0."""
        self.own, self.own_marks = slice(0), self.marks
        """The tails that some option stands at, which lie beside one another, and their marks."""


class Filling:
    """The sizes of one signature's cases, and the tails that they stand at."""

    def __init__(self, signature: Signature) -> None:
        self.signature, self.operator = signature, FORWARD[signature.operator]
        whole = 7 - len(signature.kernel)
        self.kernel = tuple(size or whole for size in signature.kernel)
        self._taps = math.prod(self.kernel)
        self._is_transposed, self._has_weight = (
            self.operator.is_transposed,
            self.operator.has_weight,
        )
        self.least = {
            "batch": 1,
            "groups": 1 if signature.grouping in ("dense", "image") else 2,
            "inputs": {"grouped": 2, "image": 3}.get(signature.grouping, 1),
            "outputs": 2 if signature.grouping == "multiplier" else 1,
        }
        channels = {
            "dense": ("inputs", "outputs"),
            "image": ("outputs",),
            "grouped": ("inputs", "outputs"),
            "depthwise": ("groups",),
            "multiplier": ("groups", "outputs"),
        }[signature.grouping]
        self.units = {"space": self._space()}
        for name in ("batch", *(channels if self.operator.has_weight else channels[:1])):
            sizes = [size for size in SIZES if size >= self.least[name]]
            self.units[name] = _Unit([{name: size} for size in sizes], {name: sizes})
            self.units[name].at = [_tails_of({name: size}) for size in sizes]
        lowest = {"inside": self.units["space"].columns["inside"].min()}
        lowest |= {"outside": self.units["space"].columns["outside"].min()}
        self._lowest: dict[str, Any] = {**self.least, **lowest}
        affordable = [
            {tail for at in itertools.compress(unit.at, self._prices(unit) <= WORK) for tail in at}
            for unit in self.units.values()
        ]
        self.tails = tuple(itertools.chain.from_iterable(map(sorted, affordable)))
        """Every tail, of the further blocks as well, that a case can stand at within `WORK`."""
        self.main = np.array([tail[1] in BLOCKS for tail in self.tails], float)
        """Of each tail 1 if its block is one of `BLOCKS`, else 0."""
        self.owners = [tail[0] if tail[0] in self.units else "space" for tail in self.tails]
        indices = {tail: index for index, tail in enumerate(self.tails)}
        for unit in self.units.values():
            unit.marks = np.zeros((len(unit.at), len(self.tails)), np.float32)
            for row, at in zip(unit.marks, unit.at, strict=True):
                row[[indices[tail] for tail in at if tail in indices]] = 1
        ends = itertools.accumulate(map(len, affordable), initial=0)
        for unit, (begin, end) in zip(self.units.values(), itertools.pairwise(ends), strict=True):
            unit.own, unit.own_marks = slice(begin, end), unit.marks[:, begin:end].copy()
        self.prices = np.concatenate(
            [
                np.where(unit.own_marks > 0, self._prices(unit)[:, None], np.inf).min(axis=0)
                for unit in self.units.values()
            ]
        )

    def case(self, sizes: Sizes, spare: int = 0) -> Case:
        """Return the case with these sizes; windows leave ``spare`` rows of an input unread.

        They can leave fewer than the stride, and none in a transposed convolution or ceil_mode.
        """
        signature, get = self.signature, {**self.least, **sizes}
        unread = tuple(spare % stride for stride in signature.stride)
        if self.operator.is_transposed or signature.ceil_mode:
            unread = signature.output_padding
        return Draft(
            operator=signature.operator,
            kernel=self.kernel,
            stride=signature.stride,
            dilation=signature.dilation,
            padding=signature.padding,
            out=tuple(sizes.get(f"out{axis}", 1) for axis in range(len(self.kernel))),
            remainder=unread,
            batch=get["batch"],
            groups=get["groups"],
            inner=get["inputs"],
            outer=get["outputs"],
            ceil_mode=signature.ceil_mode,
            count_include_pad=signature.count_include_pad,
        ).case()

    def generator(self, number: int) -> np.random.Generator:
        """Return what draws the sizes; another ``number`` gives others."""
        name = f"{self.signature.operator} {self.signature.name}"
        return np.random.default_rng((zlib.crc32(name.encode()), number))

    def next_sizes(self, wanted: Array, rng: np.random.Generator) -> tuple[Sizes, Array]:
        """Return sizes at the dearest of the tails that are ``wanted``, and at many others.

        ``wanted`` has a weight for each of `tails`. The second result has 1 for each tail that the
        case stands at, else 0.
        """
        target = int(np.argmax(self.prices * self.main * wanted))
        owner = self.owners[target]
        weights = np.where(self.main > 0, wanted, _FURTHER * wanted).astype(np.float32)
        scores = {
            name: np.einsum("ij,j", unit.own_marks, weights[unit.own]) + _luck(unit, rng)
            for name, unit in self.units.items()
        }  # einsum, because BLAS would start threads for so little
        at_target = self.units[owner].marks[:, target] > 0
        first = int(np.argmin(np.where(at_target, self._prices(self.units[owner]), np.inf)))
        others = [name for name in self.units if name != owner]
        best, most = {owner: first}, -1.0
        for _ in range(_ORDERS):
            rng.shuffle(others)
            chosen = {owner: first}
            columns = {**self._lowest, **self._columns(owner, first)}
            for name in (*others, owner):
                unit = self.units[name]
                allowed = self._price({**columns, **unit.columns}) <= WORK
                if name == owner:
                    allowed &= at_target
                chosen[name] = int(np.where(allowed, scores[name], -1.0).argmax())
                columns |= self._columns(name, chosen[name])
            total = sum(scores[name][index] for name, index in chosen.items())
            if total > most:
                best, most = chosen, total
        return self.sizes(best), self.stood(best).astype(float)

    def sizes(self, chosen: Mapping[str, int]) -> Sizes:
        """Return the sizes of the options that were chosen of each unit, by their indices."""
        sizes: Sizes = {}
        for name, index in chosen.items():
            sizes |= self.units[name].options[index]
        return sizes

    def stood(self, chosen: Mapping[str, int]) -> Array:
        """Return of each of `tails` whether an option that was chosen stands there."""
        stood = np.zeros(len(self.tails), bool)
        for name, index in chosen.items():
            unit = self.units[name]
            stood[unit.own] = unit.own_marks[index] > 0
        return stood

    def prices_beside(self, name: str, chosen: Mapping[str, int]) -> Array:
        """Return what a case costs with each option of a unit, beside what is ``chosen``."""
        columns = dict(self._lowest)
        for other, index in chosen.items():
            columns |= self._columns(other, index)
        prices: Array = self._price({**columns, **self.units[name].columns})
        return prices

    def pairs(self) -> Array:
        """Return, for each two of `tails`, whether a case within `WORK` stands at both."""
        found = np.zeros((len(self.tails), len(self.tails)), bool)
        cheapest = {name: self._cheapest(unit) for name, unit in self.units.items()}
        for name, unit in self.units.items():
            marks = unit.marks[self._prices(unit) <= WORK]
            found |= marks.T @ marks > 0
            for index, option in cheapest[name].items():
                columns = {**self._lowest, **self._columns(name, option)}
                for other in self.units.keys() - {name}:
                    prices = self._price({**columns, **self.units[other].columns})
                    at = self.units[other].marks[prices <= WORK] > 0
                    found[index] |= at.any(axis=0)
        return found

    def _cheapest(self, unit: _Unit) -> dict[int, int]:
        """Return the cheapest option of a unit at each of its tails, by their indices."""
        prices = self._prices(unit)
        columns = np.flatnonzero(unit.marks.any(axis=0)).tolist()
        return {
            index: int(np.argmin(np.where(unit.marks[:, index] > 0, prices, np.inf)))
            for index in columns
        }

    def _columns(self, name: str, index: int) -> dict[str, Any]:
        return {key: values.item(index) for key, values in self.units[name].columns.items()}

    def _prices(self, unit: _Unit) -> Array:
        """Return what the cheapest case with each option of a unit costs."""
        prices: Array = self._price({**self._lowest, **unit.columns})
        return prices

    def _price(self, of: Mapping[str, Any]) -> Any:
        """Return the `conformance.cases.draft.cost` of cases that are not made yet."""
        inner, outer = of["inputs"], of["outputs"]
        taps = self._taps * of["inside" if self._is_transposed else "outside"]
        results = outer if self._has_weight else inner
        each = inner * outer * taps + inner * of["inside"] + 8 * results * of["outside"]
        return of["batch"] * of["groups"] * each

    def _space(self) -> _Unit:
        """Return the sizes of the spatial axes: the cheapest ones at each set of tails."""
        most = {1: SIZES[-1], 2: 44, 3: 17}[len(self.kernel)]
        few = tuple(size for size in SIZES if size <= most)
        each = [few if size else (1,) for size in self.signature.kernel]
        chosen = {
            sizes
            for sizes in itertools.product(*each)
            if max(sizes) == 1 or sizes.count(1) <= max(0, len(sizes) - 2) or len(sizes) == 1
        }  # a single row of columns seldom shows what is wrong with rows
        for axis, size in enumerate(self.signature.kernel):  # long ones beside short ones
            long: list[tuple[int, ...]] = [(2,) if one else (1,) for one in self.signature.kernel]
            long[axis] = tuple(n for n in SIZES if n > _LONG) if size else (1,)
            chosen |= set(itertools.product(*long))
        found: dict[frozenset[Tail], tuple[int, Sizes, int, int]] = {}
        for sizes in sorted(chosen):
            pairs = [self._extent(axis, size) for axis, size in enumerate(sizes)]
            inside, outside = (math.prod(axis) for axis in zip(*pairs, strict=True))
            price = self._price({**self.least, "inside": inside, "outside": outside})
            if price > WORK:
                continue
            before, out = zip(*pairs, strict=True)
            own = spatial(before if self.operator.is_transposed else out)
            if self.operator.has_weight and has_tiles(self.signature.stride, self.kernel):
                own |= tiles(out)
            at = _tails_of(own)
            if at not in found or price < found[at][0]:
                named = {f"out{axis}": size for axis, size in enumerate(sizes)}
                found[at] = price, named, inside, outside
        rows = list(found.values())
        columns = {"inside": [row[2] for row in rows], "outside": [row[3] for row in rows]}
        unit = _Unit([row[1] for row in rows], columns)
        unit.at = list(found)
        return unit

    @cache  # noqa: B019 - one signature's filling lives as long as the process
    def _extent(self, axis: int, out: int) -> tuple[int, int]:
        """Return the input and output sizes along an axis for which ``out`` was chosen."""
        case = self.case({f"out{axis}": out}, self.signature.stride[axis] - 1)
        return case.x[2 + axis], self.operator.output_shape(case)[2 + axis]


def _tails_of(sizes: Mapping[str, int]) -> frozenset[Tail]:
    return frozenset().union(*(_tails_of_one(name, size) for name, size in sizes.items()))


@cache
def _tails_of_one(name: str, size: int) -> frozenset[Tail]:
    every = (*stands(size), *stands(size, FURTHER_BLOCKS))
    return frozenset((name, *stand) for stand in every)


def _luck(unit: _Unit, rng: np.random.Generator) -> Array:
    """Return what chance adds to the scores of a unit's options: half of the time to small ones."""
    return _LUCK * (rng.random(len(unit.options)) if rng.integers(2) else unit.falling)
