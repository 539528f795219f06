"""The cases that an engine can afford which compiles for each shape.

Such an engine takes a moment for each new shape, and next to nothing for further calls of it. Where
the budget of a cell does not pay for all shapes, a few are chosen: as many as it pays for, but
`LEAST_SHAPES` whatever they cost, and those that have as many features together as so few can
have. All cases of these are judged, and in them each memory layout and each kind of special values,
which need no shapes of their own. What is chosen follows from the cases and from what is declared,
so that two runs judge the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.case import Case
from conformance.cases import layouts
from conformance.cases.features import labels
from conformance.cases.ranges import Ranges
from conformance.cases.validity import is_valid
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.running.budget import Shape, of_calls, reckoned_work, shape_of
from conformance.running.cell import MIN_COMPARED, class_of

LEAST_SHAPES = 6
"""Shapes of a cell that are compiled whatever that costs."""
LEAST_OF_SPACE = 3
"""Of a space that is listed completely nothing is judged where fewer shapes of it are paid for."""
SHARE = 0.5
"""The share of a cell's budget that pays for its shapes, and that those of a space may cost."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is judged of the cases of a cell."""

    chosen: frozenset[Case]
    further: tuple[Case, ...] = ()
    """Cases of the shapes chosen, one for each class that these would not have."""


def cost(implementation: Implementation, cases: Iterable[Case]) -> float:
    """Return the seconds that calls of ``cases`` are reckoned to take."""
    return max((seconds for seconds, _ in _running(implementation, cases)), default=0.0)


def of_cell(
    implementation: Implementation, cases: Sequence[Prepared], seconds: float, ranges: Ranges
) -> Choice | None:
    """Return what is judged of the cases of a cell of so many ``seconds``, None if all of it is."""
    seconds *= SHARE
    running = _running(implementation, (p.case for p in cases))
    if not implementation.shape_seconds or all(spent <= seconds for spent, _ in running):
        return None
    by_shape = _by_shape(implementation, cases)
    bases = {shape: found[0].case for shape, found in by_shape.items() if found[0].case.x[0]}
    chosen = {p.case for p in cases if not _compiles(implementation, p.case)}
    shapes: list[Shape] = []
    nonzero = 0
    for shape in _most_varied({shape: _marks(case, ranges) for shape, case in bases.items()}):
        paid = (len(shapes) + 1) * implementation.shape_seconds <= seconds
        if not paid and len(shapes) >= LEAST_SHAPES and nonzero >= MIN_COMPARED:
            break
        shapes.append(shape)
        chosen |= {p.case for p in by_shape[shape]}
        nonzero += sum(p.nonzero for p in by_shape[shape])
    met = {class_of(case) for case in chosen}
    further: dict[str, Case] = {}
    for case in (p.case for p in cases):
        kind = class_of(case)
        if kind not in met and kind not in further:
            moved = (_moved(case, bases[shape]) for shape in shapes)
            found = next((c for c in moved if c and implementation.gap(c) is None), None)
            if found is not None:
                further[kind] = found
    unmet = {class_of(p.case): p.case for p in reversed(cases)}
    chosen |= {case for kind, case in unmet.items() if kind not in met and kind not in further}
    return Choice(frozenset(chosen), tuple(further.values()))


def of_space(
    implementation: Implementation, cases: Sequence[Prepared], part: float, seconds: float
) -> int:
    """Return how many of the first cases of a space are judged.

    It is those that the ``part`` of the space pays for, of the ``seconds`` of its cell; or
    `LEAST_OF_SPACE` shapes, if a `SHARE` of these pays for them; or none.
    """
    shapes = 0
    for position, (spent, then) in enumerate(_running(implementation, (p.case for p in cases))):
        enough = shapes >= LEAST_OF_SPACE
        if implementation.shape_seconds and spent > (part if enough else SHARE * seconds):
            return position if enough else 0
        shapes = then
    return len(cases)


def _running(implementation: Implementation, cases: Iterable[Case]) -> Iterator[tuple[float, int]]:
    """Yield for each case the seconds and the shapes of the calls up to it."""
    seconds, shapes = 0.0, set[Shape]()
    for case in cases:
        shape = shape_of(case)
        called = implementation.gap(case) is None
        new = called and not case.invalid and shape not in shapes
        if new:
            shapes.add(shape)
        macs = reckoned_work(case)
        seconds += of_calls(implementation, macs, calls=int(called), shapes=int(new))
        yield seconds, len(shapes)


def _compiles(implementation: Implementation, case: Case) -> bool:
    return not case.invalid and implementation.gap(case) is None


def _by_shape(
    implementation: Implementation, cases: Iterable[Prepared]
) -> dict[Shape, list[Prepared]]:
    found: dict[Shape, list[Prepared]] = {}
    for p in cases:
        if _compiles(implementation, p.case):
            found.setdefault(shape_of(p.case), []).append(p)
    return found


def _marks(case: Case, ranges: Ranges) -> frozenset[str]:
    """Return the labels of a shape."""
    found = labels(case, ranges)
    return frozenset(one for one in found if one.partition("=")[0] not in layouts.APART)


def _most_varied(marks: Mapping[Shape, frozenset[str]]) -> Iterator[Shape]:
    """Yield all shapes: next is always that with the most labels which the others do not have.

    Where there is none, it starts again with the labels of all.
    """
    left, new = dict(marks), frozenset[str]()
    while left:
        shape = max(left, key=lambda shape: len(left[shape] & new))
        if not left[shape] & new:
            new = frozenset[str]().union(*left.values())
            shape = max(left, key=lambda shape: len(left[shape] & new))
        new -= left.pop(shape)
        yield shape


def _moved(case: Case, base: Case) -> Case | None:
    """Return the case of the shape of ``base`` that has the data and the memory of ``case``."""
    moved = base.replace(data=case.data, seed=case.seed, memory=case.memory)
    if not is_valid(moved):
        return None
    way = case.memory
    return moved if way == "contiguous" or layouts.shows(way, layouts.shapes_of(moved)) else None
