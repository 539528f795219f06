"""What an implementation does on one small case, from the arrays that it really makes.

Its own source is followed line by line while it computes (`sys.settrace`), and each array that a
line makes is kept. Then it computes again with one element of the input changed: what differs
depends on that element.
"""

from __future__ import annotations

import inspect
import linecache
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.errors import CaseError
from conformance.judging import Prepared, judge_prepared
from conformance.registration.implementation import Implementation
from conformance.reports.steps import Method, Step

LARGEST = 100
"""A case whose input or weight has more elements is for nobody's eyes."""
_DRAWN = 600
"""An array of more elements is named, and not drawn."""
_IN_A_LOOP = 3
"""Of the arrays that a line makes in a loop, the first ones are shown, and the last."""


def check_small(case: Case) -> None:
    """Raise `CaseError` for a case that is not to be drawn."""
    if case.invalid:
        raise CaseError(
            f"case id '{case.id}': an invalid call computes nothing; leave out invalid="
        )
    if max(map(math.prod, filter(None, (case.x, case.w)))) > LARGEST:
        raise CaseError(
            f"case id '{case.id}': too large to be drawn; allowed: {LARGEST} elements of x and of w"
        )


def code_of(implementation: Implementation, operator: str) -> CodeType | None:
    """Return the code of the function that is behind an operator; None if that is not Python's."""
    function = inspect.unwrap(implementation.functions[operator])
    return getattr(function, "__code__", None)


def explain(implementation: Implementation, case: Case) -> Method:
    """Return the steps of an implementation of this process, whose function is Python's."""
    code = code_of(implementation, case.operator)
    assert code is not None
    prepared = Prepared.of(case)
    verdict, first = _followed(implementation, prepared, code)
    _, second = _followed(implementation, _changed(prepared), code)
    steps = tuple(_steps(first, second))
    idea = inspect.getdoc(inspect.unwrap(implementation.functions[case.operator])) or ""
    return Method(implementation.name, idea.partition("\n\n")[0].replace("\n", " "), steps, verdict)


@dataclass(slots=True)
class _Made:
    """An array that a line has made."""

    code: CodeType
    line: int
    name: str
    array: Array
    """A copy."""
    itself: Array

    @property
    def given(self) -> bool:
        """Whether it is an argument of the function."""
        return self.line == self.code.co_firstlineno

    @property
    def source(self) -> str:
        if self.given:
            return f"given to {self.code.co_name}"
        return linecache.getline(self.code.co_filename, self.line).strip()


class _Trace:
    """Follows the functions of one file, and keeps the arrays that their lines make."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.made: list[_Made] = []
        self._before: dict[int, dict[str, bytes]] = {}
        self._line: dict[int, int] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if code.co_filename != self.code.co_filename or code.co_name.startswith("<"):
            return None
        if event == "call":
            self._before[id(frame)] = {}
            self._line[id(frame)] = frame.f_lineno
            self._look(frame, shown=code is self.code)
            return self
        self._look(frame, shown=True)
        self._line[id(frame)] = frame.f_lineno
        if event == "return" and isinstance(argument, np.ndarray):
            self._keep(frame, f"{code.co_name}()", argument)
        return self

    def _look(self, frame: FrameType, *, shown: bool) -> None:
        before = self._before[id(frame)]
        for name, value in frame.f_locals.items():
            if not isinstance(value, np.ndarray) or value.size > 10 * _DRAWN:
                continue
            mark = repr((value.shape, value.dtype.str)).encode() + value.tobytes()
            if before.get(name) != mark:
                before[name] = mark
                # What helps to find elements, such as a table of positions, is no step.
                if shown and (value.dtype.kind not in "iub" or frame.f_code is self.code):
                    self._keep(frame, name, value)

    def _keep(self, frame: FrameType, name: str, value: Array) -> None:
        line = self._line[id(frame)]
        made = _Made(frame.f_code, line, name, value.copy(), value)
        last = self.made[-1] if self.made else None
        if last is not None and last.name.endswith("()") and last.itself is value:
            self.made[-1] = made  # what a function returned has a name now
        elif last is None or last.itself is not value or last.array.tobytes() != value.tobytes():
            self.made.append(made)


def _followed(
    implementation: Implementation, prepared: Prepared, code: CodeType
) -> tuple[str, list[_Made]]:
    trace, earlier = _Trace(code), sys.gettrace()
    sys.settrace(trace)
    try:
        with np.errstate(all="ignore"):
            verdict, _ = judge_prepared(implementation, prepared)
    finally:
        sys.settrace(earlier)
    return str(verdict), trace.made


def _changed(prepared: Prepared) -> Prepared:
    """Return the case with another number in the middle of its first argument."""
    first, *others = prepared.inputs
    changed = first.copy()
    changed.flat[_middle(first)] += 100
    return Prepared(prepared.case, (changed, *others), prepared.reference)


def _middle(array: Array) -> int:
    return int(np.ravel_multi_index(tuple(size // 2 for size in array.shape), array.shape))


def _steps(first: list[_Made], second: list[_Made]) -> Iterator[Step]:
    places = Counter((one.code, one.line, one.name) for one in first)
    met: Counter[tuple[CodeType, int, str]] = Counter()
    alike = len(first) == len(second)
    for number, one in enumerate(first):
        key = one.code, one.line, one.name
        met[key] += 1
        left = places[key] - _IN_A_LOOP - 1
        if _IN_A_LOOP < met[key] < places[key] and left > 0:
            continue
        changed: frozenset[int] = frozenset()
        if alike and second[number].array.shape == one.array.shape:
            differs = (one.array != second[number].array).ravel()
            changed = frozenset(np.flatnonzero(differs).tolist())
        last = met[key] == places[key]
        yield Step(
            place=f"{Path(one.code.co_filename).name}:{one.line}",
            source=one.source,
            name=one.name,
            shape=one.array.shape,
            values=_values(one.array),
            changed=changed,
            left_out=max(left, 0) if last else 0,
        )


def _values(array: Array) -> tuple[str, ...]:
    if array.size > _DRAWN:
        return ()
    return tuple(f"{float(number):.4g}" for number in array.ravel())
