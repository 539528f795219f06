"""Cases that an implementation's own source asks for: at its numbers, and towards unreached lines.

They are given in this order: what the conditions around lines that no call has reached ask for;
other numbers for calls that have reached something new; every number of the source in turn, for
every quantity of a call; two quantities at once, where a condition names two numbers. The same
source and the same answers give the same cases.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from conformance.calling.measuring import FALSE, LINE, Seen
from conformance.case import Case
from conformance.cases.numbered import (
    BASES,
    MOST_COST,
    around,
    numbered,
    quantities,
    usual,
    with_data,
)
from conformance.isolation.dispatch import caller_of
from conformance.judging import Prepared, Verdict, judge_each
from conformance.registration.implementation import Implementation
from conformance.sources.numbers import LEAST
from conformance.sources.own import Source

CHUNK = 40
"""Cases that are judged before it is asked which lines they have reached."""
_FURTHER = 300
"""The most cases that are made from one that has reached something new."""
_MOST_BLOCKS = 9
"""Numbers of blocks are below this."""
_PAIRS = 4
"""The most numbers of a condition that are set two at a time."""

Setting: TypeAlias = tuple[tuple[str, int], ...]
"""The numbers that quantities are set to."""
Judged: TypeAlias = tuple[Prepared, Verdict]
_Candidate: TypeAlias = tuple[Setting, int]
"""A setting, and the number of the base."""


class FromSource:
    """The cases of one operator and number of dimensions, for one dtype after the other."""

    def __init__(self, source: Source, operator: str, dims: int, dtypes: Sequence[str]) -> None:
        self.source, self._operator, self._dims = source, operator, dims
        self._dtypes = tuple(dtypes)
        self._quantities = quantities(operator, dims)
        self._usual_ones = usual(operator, dims)
        self._reached: set[tuple[str, int]] = set()
        self._settings: dict[Case, _Candidate] = {}
        self._worth: dict[_Candidate, None] = {}
        """What has reached something new, in whatever dtype."""
        self._given: set[Case] = set()
        self._further: deque[Iterator[_Candidate]] = deque()
        self._usual: Iterator[_Candidate] = iter(())
        self._turn = 0

    def begin(self, dtype: str, called: Iterable[Case]) -> None:
        """Begin with a dtype, in which these cases have been called."""
        self._dtype, self._given = dtype, set(called)
        self._settings.clear()
        self._turn = 0
        self._further = deque([iter([*self._worth]), self._towards((), 0)])
        position = self._dtypes.index(dtype) if dtype in self._dtypes else 0
        self._usual = _own_first(self._all(), position, max(1, len(self._dtypes)))

    def take(self, count: int = CHUNK) -> list[Case]:
        """Return the next cases, at most so many; none where there are no more."""
        cases: list[Case] = []
        while len(cases) < count:
            candidate = self._next()
            if candidate is None:
                break
            setting, base = candidate
            made = numbered(self._operator, self._dims, dict(setting), BASES[base])
            if made is None:
                continue
            case = with_data(made, self._turn, self._dtype)
            plain = made.replace(dtype=self._dtype)
            if case in self._given or plain in self._given:
                continue
            self._given |= {case, plain}
            self._settings[case] = candidate
            self._turn += 1
            cases.append(case)
        return cases

    def judged(self, implementation: Implementation, most: int) -> Iterator[Judged]:
        """Judge at most so many of the next cases, and yield the cases with their verdicts.

        It is measured which lines they reach, so that the next ones depend on it.
        """
        caller = caller_of(implementation)
        caller.measure(self.source.conditions)
        while most > 0 and (cases := self.take(min(most, CHUNK))):
            most -= len(cases)
            prepared = [Prepared.of(case) for case in cases if implementation.gap(case) is None]
            before = caller.measured().calls
            verdicts = (verdict for verdict, _ in judge_each(implementation, prepared))
            yield from zip(prepared, verdicts, strict=False)
            self.saw(caller.measured().seen, [p.case for p in prepared], before)

    def saw(self, seen: Iterable[Seen], cases: Sequence[Case] = (), before: int = 0) -> None:
        """Note what calls have reached: those of the cases, which began after so many others."""
        for number, file, line, what in seen:
            if what == LINE:
                self._reached.add((file, line))
            position = number - before - 1
            if what == FALSE or not 0 <= position < len(cases):
                continue
            candidate = self._settings.get(cases[position])
            if candidate is not None and candidate not in self._worth:
                self._worth[candidate] = None
                self._further.append(itertools.islice(self._towards(*candidate), _FURTHER))

    def _next(self) -> _Candidate | None:
        while self._further:
            if (candidate := next(self._further[0], None)) is not None:
                return candidate
            self._further.popleft()
        return next(self._usual, None)

    def _towards(self, setting: Setting, base: int) -> Iterator[_Candidate]:
        """Yield what the conditions around unreached lines ask for, besides what is set already."""
        bases = itertools.cycle(range(len(BASES)))
        taken, fixed = {name for name, _ in setting}, {number for _, number in setting}
        unreached = [
            statement
            for statement in self.source.statements
            if not any(
                (statement.file, line) in self._reached
                for line in range(statement.first, statement.last + 1)
            )
        ]
        choices = dict.fromkeys(choice for s in unreached for choice in s.guards)
        sizes = [size for choice in choices for size in choice]
        # The other side of a condition, as of a function that has returned before.
        sizes += [near for size in sizes for near in (size - 1, size + 1)]
        if setting:
            sizes += [size for statement in unreached for size in statement.numbers]
        for size in dict.fromkeys(sizes):
            for name in self._quantities:
                if name not in taken and (setting or size >= LEAST) and size not in fixed:
                    yield (*setting, (name, size)), base if setting else next(bases)
        if not setting:
            yield from self._pairs(dict.fromkeys(s.guards for s in unreached), self._usual_ones)

    def _all(self) -> Iterator[_Candidate]:
        """Yield every number in turn for every quantity, and pairs of them in between."""
        asked = dict.fromkeys(size for demand in self.source.demands for size in demand.sizes)
        exact = [size for size in asked if size >= LEAST]
        numbers = self.source.numbers
        near = [size for number in numbers for size in around(number)[:3]]
        double = [size for number in numbers for size in around(number)[3:]]
        first = list(dict.fromkeys((*exact, *near, *self._remainders(asked))))
        passes = ((first, 0), (double, 1), *((first, more) for more in range(1, len(BASES))))
        alone = itertools.chain.from_iterable(self._alone(sizes, skip) for sizes, skip in passes)
        guards = [demand.choices for demand in self.source.demands]
        pairs = itertools.chain(
            self._pairs(guards, self._usual_ones), self._pairs(guards, self._quantities)
        )
        for candidate in alone:
            yield candidate
            yield from itertools.islice(pairs, 1)
        yield from pairs

    def _remainders(self, asked: Iterable[int]) -> Iterator[int]:
        """Yield sizes of some blocks and a rest, both of which conditions ask for."""
        small = [size for size in asked if size < _MOST_BLOCKS]
        for block in self.source.blocks:
            rests = dict.fromkeys(size for size in asked if size < block)
            for blocks, rest in itertools.product(dict.fromkeys((1, 2, *small)), rests):
                yield blocks * block + rest

    def _alone(self, sizes: Sequence[int], skip: int) -> Iterator[_Candidate]:
        for place, size in enumerate(sizes):
            for number, name in enumerate(self._quantities):
                yield ((name, size),), (place + number + skip) % len(BASES)

    def _pairs(
        self, guards: Iterable[Sequence[Sequence[int]]], names: Sequence[str]
    ) -> Iterator[_Candidate]:
        """Yield what sets two quantities to what two comparisons of one condition ask for."""
        bases = itertools.cycle(range(len(BASES)))
        for choices in guards:
            telling = sorted(choices, key=max, reverse=True)[:_PAIRS]
            for one, other in itertools.combinations(telling, 2):
                for first, second in itertools.permutations(names, 2):
                    for size in dict.fromkeys((one[0], one[-1])):
                        yield ((first, size), (second, other[0])), next(bases)


def _own_first(candidates: Iterator[_Candidate], position: int, count: int) -> Iterator[_Candidate]:
    """Yield one candidate in ``count``, then the others: the dtypes take turns."""
    others: list[_Candidate] = []
    for number, candidate in enumerate(candidates):
        if number % count == position:
            yield candidate
        else:
            others.append(candidate)
    yield from others


def beyond(numbers: Iterable[int], operator: str, dims: int) -> set[int]:
    """Return the numbers that no case is cheap enough for, in any quantity."""
    names = [name for name in quantities(operator, dims) if name in _CHEAPEST]
    return {
        number
        for number in numbers
        if number > MOST_COST or not any(numbered(operator, dims, {name: number}) for name in names)
    }


_CHEAPEST = ("channels", "outputs", "batch", "size0", "out0", "x", "y", "window")
"""What is the cheapest to be large: a number that none of these reaches, nothing does."""
