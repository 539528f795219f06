"""A history: calls that follow one another, as data, and what came of each of them.

What a kernel keeps between calls (a cache, a buffer, a counter) shows in the answers of later
calls. The calls are made here, next to the implementation; the answers are judged afterwards, where
the exact results are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.calling.guards import Guards
from conformance.calling.memory import place
from conformance.calling.observing import (
    Array,
    Inputs,
    Observation,
    call_observed,
    from_layout,
    to_layout,
)
from conformance.calling.pace import Pace
from conformance.signatures import SIGNATURES

_RECENT = 8
"""The number of earlier outputs that are checked after each call; the end checks all of them."""


@dataclass(frozen=True, slots=True)
class HistoryCall:
    """One call of a history."""

    what: str
    """What it is called in messages: ``the same call again``."""
    operator: str
    inputs: Inputs
    """The positional arguments, channels-first."""
    parameters: Mapping[str, Any]
    refill: int | None = None
    """The earlier call whose arrays are filled with these inputs and handed over again; None if the
    arrays are new ones."""
    like: int | None = None
    """The first call that this one repeats: its answer must be the same, bit for bit."""
    work: int = 0
    """Its multiply-accumulates, by which calls that take far longer than others are told."""
    case: object = None
    """The case that describes the whole call, if one does: reports name the call by it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call of a history."""

    seen: Observation
    """What the call did; its output is a copy made at once, or None where ``same`` is true."""
    same: bool | None = None
    """Whether the bits are those of the call that it repeats; None where it repeats none, or where
    one of the two returned no array."""
    shares: tuple[int, ...] = ()
    """The earlier calls whose outputs it shares memory with."""
    changed_by: int | None = None
    """The later call after which the output had other bytes."""


def perform(
    functions: Mapping[str, Callable[..., Any]],
    calls: Sequence[HistoryCall],
    layout: str = "NCHW",
    *,
    seconds: float = math.inf,
    guarded: Callable[[], Guards] | None = None,
) -> list[Answer]:
    """Make the calls one after the other, in ``layout``; return an answer for each that was made.

    ``functions`` are an implementation's, by operator. No call but the first begins after
    ``seconds``, start-up apart. Every output is kept until the last call is made, so that memory
    that is handed out twice is noticed. ``guarded`` makes the guards around the arrays of a call.
    """
    begun, pace = time.monotonic(), Pace()
    history = _History(layout, guarded)
    for number, call in enumerate(calls):
        if number and time.monotonic() - begun > seconds + pace.startup:
            break
        history.make(functions[call.operator], call)
        pace.note(call.operator, call.work, history.answers[-1].seen.seconds)
    history.look_at_outputs(0)
    for guards in filter(None, history.guards):
        guards.release()
    return history.answers


class _History:
    """The calls so far: their arguments, their answers, and the outputs as they were returned."""

    def __init__(self, layout: str, guarded: Callable[[], Guards] | None) -> None:
        self.layout = layout
        self.guarded = guarded
        self.guards: list[Guards | None] = []
        """Those around the arrays of each call."""
        self.arguments: list[list[tuple[Any, Array | None]]] = []
        self.answers: list[Answer] = []
        self.outputs: dict[int, tuple[Array, bytes]] = {}
        """The arrays returned, by the number of their call, and the bytes that they had then."""

    def make(self, function: Callable[..., Any], call: HistoryCall) -> None:
        """Make the next call."""
        number = len(self.answers)
        guards = self.guarded() if self.guarded and call.refill is None else None
        placed = self._placed(call, guards)
        if call.refill is not None:
            guards = self.guards[call.refill]
        observation = call_observed(function, placed, call.parameters, guards)
        if guards and guards.misaligned and observation.unsupported is not None:
            # It may demand a vector's alignment, which is no gap (`observing.observe`).
            guards, placed = None, self._placed(call, None)
            observation = call_observed(function, placed, call.parameters)
        self.guards.append(guards)
        self.arguments.append(placed)
        output = observation.output
        if type(output) is not np.ndarray or output.dtype.hasobject:
            self.answers.append(Answer(observation))
            return
        shares = tuple(
            earlier
            for earlier, (array, _) in self.outputs.items()
            if np.may_share_memory(array, output)
        )
        self.look_at_outputs(-_RECENT)
        entry = self.outputs[number] = (output, output.tobytes())
        first = None if call.like is None else self.outputs.get(call.like)
        same = None if first is None else _equal(entry, first)
        result = SIGNATURES[call.operator].result
        copy = None if same else from_layout(output.copy(), self.layout, result)
        self.answers.append(Answer(replace(observation, output=copy), same, shares))

    def _placed(self, call: HistoryCall, guards: Guards | None) -> list[tuple[Any, Array | None]]:
        values = to_layout(call.inputs, self.layout, SIGNATURES[call.operator].roles)
        placed: list[tuple[Any, Array | None]] = [
            place(value, "contiguous", guards.room(position) if guards else np.empty)
            if isinstance(value, np.ndarray)
            else (value, None)
            for position, value in enumerate(values)
        ]
        if call.refill is None:
            return placed
        for position, (old, buffer) in enumerate(self.arguments[call.refill]):
            value = values[position]
            # A callee may have reshaped its input: then there is nothing to fill.
            if buffer is not None and np.shape(value) == old.shape and value.dtype == old.dtype:
                old[...] = value
                placed[position] = (old, buffer)
        return placed

    def look_at_outputs(self, start: int) -> None:
        """Note which outputs, from the ``start``-th one on, have other bytes than at first."""
        for number, (array, content) in list(self.outputs.items())[start:]:
            answer = self.answers[number]
            if answer.changed_by is None and array.tobytes() != content:
                by = len(self.arguments) - 1
                self.answers[number] = replace(answer, changed_by=by)


def _equal(first: tuple[Array, bytes], other: tuple[Array, bytes]) -> bool:
    (array, content), (other_array, other_content) = first, other
    alike = array.shape == other_array.shape and array.dtype == other_array.dtype
    return alike and content == other_content
