"""Calls that follow one another: what a single call cannot show.

A kernel that caches by shape, identity, address or a part of the content, one that hands out its
own memory, one that drifts or fails after some number of calls: each is right the first time.
Here a case is called again and again, with the same data, with other data of the same shapes, and
with its own buffers refilled in place; each answer must be what its data says, the same call must
give the same bits, and an answer once given must stay as it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.calling import Array, Observation, from_layout, one_line, to_layout
from conformance.errors import Unsupported
from conformance.judging import CRASHED, VIOLATES, Accuracy, Prepared, Verdict, verdict
from conformance.registry import Implementation
from conformance.signatures import SIGNATURES

CALLS = 101
"""How often `endure` calls: a kernel that goes wrong at one of the first hundred is found."""


class _Declined(Exception):
    """The implementation does not support the case: there is nothing to repeat."""


def repeat(one: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the violation that a short history of calls shows, or None.

    With data A, B (another seed) and C (A, but for one element): A, A again, B, C, A's own buffers
    refilled with B's data, A again. Every answer is judged; equal data must give equal bits.
    """
    # On exact data a wrong answer is wrong by more than rounding, which has a check of its own.
    case = prepared.case.replace(data="integers")
    prepared = prepared if prepared.case == case else Prepared.of(case)
    other = Prepared.of(case.replace(seed=case.seed + 1))
    touched = _touched(prepared)
    history = _History(one, prepared.case.operator)
    try:
        own = history.arrays(prepared)
        first = history.call("the first call", prepared, own)
        again = history.call("the same call again", prepared)
        _same_bits("REPEAT-1", "the same call again", first, again)
        history.call("a call with other data of the same shapes", other)
        history.call("a call with one element changed", touched)
        for mine, theirs in zip(own, history.arrays(other), strict=True):
            if isinstance(mine, np.ndarray):
                if mine.shape != theirs.shape:
                    raise _Declined  # the call reshaped its input: the purity check says so
                mine[...] = theirs
        history.call("a call with the first call's arrays refilled in place", other, own)
        last = history.call("the first call repeated after the others", prepared)
        _same_bits("REPEAT-2", "the first call repeated after the others", first, last)
    except _Declined:
        return None
    except _Found as found:
        return Verdict(one.name, case, found.status, found.requirement, str(found))
    return None


def endure(
    one: Implementation, prepared: Prepared, calls: int = CALLS, seconds: float = math.inf
) -> Verdict | None:
    """Call one case ``calls`` times with the same data; return the first difference, or None.

    No call begins after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    history = _History(one, prepared.case.operator)
    case = prepared.case
    try:
        first = history.call("the first call", prepared)
        for number in range(2, calls + 1):
            if time.monotonic() > deadline:
                break
            later = history.raw(history.arrays(prepared), case.parameters)
            _same_bits("REPEAT-1", f"call {number} of the same call", first, _as_bytes(later))
    except _Declined:
        return None
    except _Found as found:
        return Verdict(one.name, case, found.status, found.requirement, str(found))
    return None


class _Found(Exception):
    def __init__(self, requirement: str, message: str, status: str = VIOLATES) -> None:
        super().__init__(message)
        self.requirement = requirement
        self.status = status


class _History:
    """The outputs of the calls so far, each as it was handed out and as it was then."""

    def __init__(self, one: Implementation, operator: str) -> None:
        self.one = one
        self.operator = operator
        self.signature = SIGNATURES[operator]
        self.outputs: list[tuple[str, Array, bytes]] = []

    def arrays(self, prepared: Prepared) -> tuple[Any, ...]:
        """Return fresh writable copies of the inputs, in the implementation's layout."""
        return tuple(
            value.copy() if isinstance(value, np.ndarray) else value
            for value in to_layout(prepared.inputs, self.one.layout, self.signature.roles)
        )

    def raw(self, arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Any:
        """Call the function; raise _Declined or _Found where it raises."""
        function: Callable[..., Any] = self.one.functions[self.operator]
        try:
            return function(*arrays, **parameters)
        except (Unsupported, NotImplementedError):
            raise _Declined from None
        except Exception as problem:
            text = f"raised {type(problem).__name__}: {one_line(problem)}"
            raise _Found("REPEAT-2", f"a call repeated {text}", CRASHED) from None

    def call(self, what: str, prepared: Prepared, arrays: tuple[Any, ...] | None = None) -> bytes:
        """Call, judge the answer and all earlier ones; return the answer's bytes."""
        case = prepared.case
        output = self.raw(self.arrays(prepared) if arrays is None else arrays, case.parameters)
        if not isinstance(output, np.ndarray):
            raise _Declined  # the plain result check says so
        for earlier, array, _ in self.outputs:
            if np.may_share_memory(array, output):
                raise _Found("PURE-3", f"the output of {what} shares memory with that of {earlier}")
        self._unchanged(what)
        seen = from_layout(output, self.one.layout, self.signature.result)
        found, _ = verdict(self.one.name, Accuracy.of(self.one), prepared, Observation(output=seen))
        if found.failed:
            if not self.outputs:
                raise _Declined  # wrong from the start: the plain result check says so
            raise _Found("REPEAT-3", f"{what} is wrong: {found.message}")
        self.outputs.append((what, output, output.tobytes()))
        return self.outputs[-1][2]

    def _unchanged(self, what: str) -> None:
        for earlier, array, before in self.outputs:
            if array.tobytes() != before:
                raise _Found("PURE-4", f"the output of {earlier} was changed by {what}")


def _as_bytes(output: Any) -> bytes:
    return output.tobytes() if isinstance(output, np.ndarray) else b""


def _same_bits(requirement: str, what: str, first: bytes, later: bytes) -> None:
    if first != later:
        raise _Found(requirement, f"{what} gives other bits than the first call")


def _touched(prepared: Prepared) -> Prepared:
    """Return the case with the middle element of x one larger, and its own reference."""
    from conformance.operators import OPERATORS

    x = prepared.inputs[0].copy()
    if x.size:
        x.reshape(-1)[x.size // 2] += 1
    inputs = (x, *prepared.inputs[1:])
    made = OPERATORS[prepared.case.operator].reference(prepared.case, inputs)
    return replace(prepared, inputs=inputs, reference=made, _bounds={})
