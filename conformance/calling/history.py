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
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from conformance.calling import process_state
from conformance.calling.guards import Guards
from conformance.calling.memory import place_all
from conformance.calling.observing import (
    Array,
    Inputs,
    Observation,
    beside_own,
    call_observed,
    call_quietly,
    from_layout,
    to_layout,
)
from conformance.calling.pace import Pace
from conformance.calling.process_state import Part
from conformance.calling.threads import MakeCall, at_once, interrupted
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
    memory: tuple[str, ...] = ()
    """How each argument lies in memory; empty if all are contiguous."""
    takes: tuple[int, int, bool] | None = None
    """The position of an argument that is the output of an earlier call, as it came; the number of
    that call; and whether the output is negated in place before."""
    at_once: str = ""
    """How it is made while other threads make calls (`conformance.calling.threads`): it is
    ``stopped`` at some of its lines, where the next call is made ``meanwhile``, or all those that
    follow one another are made ``together``. Empty if it is made alone."""
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
    taken: Array | None = None
    """A copy of the earlier output that the call took, as it was handed over."""


def perform(
    functions: Mapping[str, Callable[..., Any]],
    calls: Sequence[HistoryCall],
    layout: str = "NCHW",
    *,
    seconds: float = math.inf,
    guarded: Callable[[], Guards] | None = None,
    watched: bool = False,
) -> list[Answer]:
    """Make the calls one after the other, in ``layout``; return an answer for each that was made.

    ``functions`` are an implementation's, by operator. No call but the first begins after
    ``seconds``, start-up apart. Every output is kept until the last call is made, so that memory
    that is handed out twice is noticed. ``guarded`` makes the guards around the arrays of a call.
    With ``watched``, all of the process's state is looked at as well (`process_state.SLOW`).
    """
    process_state.look()
    begun, pace = time.monotonic(), Pace()
    history = _History(functions, layout, guarded)
    counts: list[Any] = []
    for number, call in enumerate(calls):
        if number and time.monotonic() - begun > seconds + pace.startup:
            break
        if number == 1 and watched:  # what the first use opens stays open
            counts = process_state.counts()
        if call.at_once:
            history.make_at_once(calls[number:])
            break
        history.make(call)
        pace.note(call.operator, call.work, history.answers[-1].seen.seconds)
    if counts:
        with process_state.quiet():
            history.look_at_state(calls, process_state.slow_changes(counts))
    history.look_at_outputs(0)
    for guards in filter(None, history.guards):
        guards.release()
    return history.answers


class _History:
    """The calls so far: their arguments, their answers, and the outputs as they were returned."""

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        layout: str,
        guarded: Callable[[], Guards] | None,
    ) -> None:
        self.functions = functions
        self.layout = layout
        self.guarded = guarded
        self.guards: list[Guards | None] = []
        """Those around the arrays of each call."""
        self.arguments: list[list[tuple[Any, Array | None]]] = []
        self.answers: list[Answer] = []
        self.executed: set[tuple[str, int]] = set()
        """The implementation's own lines that were executed by calls that were stopped."""
        self.outputs: dict[int, tuple[Array, bytes]] = {}
        """The arrays returned, by the number of their call, and the bytes that they had then."""

    def make(self, call: HistoryCall) -> None:
        """Make the next call."""
        function, taken = self.functions[call.operator], None
        guards = self.guarded() if self.guarded and call.refill is None else None
        placed = self._placed(call, guards)
        if call.refill is not None:
            guards = self.guards[call.refill]
        if call.takes is not None:
            placed, taken = self._with_output(call, placed)
        observation = call_observed(function, placed, call.parameters, guards)
        if guards and guards.misaligned and observation.unsupported is not None:
            # It may demand a vector's alignment, which is no gap (`observing.observe`).
            guards, placed = None, self._placed(call, None)
            if call.takes is not None:
                placed, taken = self._with_output(call, placed)
            observation = call_observed(function, placed, call.parameters)
        signature = SIGNATURES[call.operator]
        observation = beside_own(function, call.inputs, call.parameters, observation, signature)
        self._note(call, placed, observation, guards)
        if taken is not None:
            self.answers[-1] = replace(self.answers[-1], taken=taken)

    def make_at_once(self, calls: Sequence[HistoryCall]) -> None:
        """Make the calls that are left in several threads, and put back what they leave changed."""
        state = process_state.read(process_state.QUICK)
        waiting = list(calls)
        while waiting:
            if waiting[0].at_once == "stopped" and waiting[1:]:
                call, other, *waiting = waiting
                seen, others = interrupted(
                    self._apart(call),
                    self._apart(other),
                    self.functions[call.operator],
                    self.executed,
                    None if call.like is None else crc32(other.inputs[0].tobytes()),
                )
                self._note(call, (), seen)
                self._note(other, (), self._worst(other, others))
            else:
                together = [call for call in waiting if call.at_once != "stopped"]
                waiting = []
                for call, seen in zip(
                    together, at_once(list(map(self._apart, together))), strict=True
                ):
                    self._note(call, (), seen)
        process_state.put_back(process_state.QUICK, state)

    def _apart(self, call: HistoryCall) -> MakeCall:
        """Return what makes a call on arrays of its own, whatever other threads do."""
        placed, function = self._placed(call, None), self.functions[call.operator]
        return partial(call_observed, function, placed, call.parameters, watched=False)

    def _worst(self, call: HistoryCall, seen: Sequence[Observation]) -> Observation:
        """Return one observation of a call made several times, one unlike the others if any is."""
        if not seen:  # the call that was to be stopped has no lines of its own
            return self._apart(call)()
        first = None if call.like is None else self.outputs.get(call.like)
        for one in seen:
            array = one.output
            if type(array) is not np.ndarray:
                return one
            entry = array, array.tobytes()
            first = first or entry
            if not _equal(entry, first):
                return one
        return seen[-1]

    def look_at_state(
        self, calls: Sequence[HistoryCall], changed: Sequence[tuple[Part, Any]]
    ) -> None:
        """Note which call changes a part of the state whenever it is made."""
        if not changed:
            return
        quick = process_state.read(process_state.QUICK)
        parts, before = [part for part, _ in changed], [value for _, value in changed]
        after = process_state.read(parts)
        process_state.put_back(parts, before)
        for number, call in enumerate(calls[: len(self.answers)]):
            if call.like is not None or call.refill is not None or call.at_once:
                continue
            placed, state = self._placed(call, None), process_state.read(parts)
            again = partial(call_quietly, self.functions[call.operator], placed, call.parameters)
            again()
            if names := process_state.left(parts, state, again):
                answer = self.answers[number]
                seen = replace(answer.seen, left=(*answer.seen.left, *names))
                self.answers[number] = replace(answer, seen=seen)
                break
        else:
            lasting = [i for i, part in enumerate(parts) if part.lasting]
            process_state.put_back([parts[i] for i in lasting], [after[i] for i in lasting])
        process_state.put_back(process_state.QUICK, quick)
        process_state.look_at_all()

    def _note(
        self,
        call: HistoryCall,
        placed: Sequence[tuple[Any, Array | None]],
        observation: Observation,
        guards: Guards | None = None,
    ) -> None:
        number = len(self.answers)
        self.guards.append(guards)
        self.arguments.append(list(placed))
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

    def _with_output(
        self, call: HistoryCall, placed: list[tuple[Any, Array | None]]
    ) -> tuple[list[tuple[Any, Array | None]], Array | None]:
        """Return the arguments with the output that a call takes, if there is one, and its copy."""
        assert call.takes is not None
        position, earlier, negated = call.takes
        output, _ = self.outputs.get(earlier, (None, b""))
        due = placed[position][0]
        if output is None or (output.shape, output.dtype) != (due.shape, due.dtype):
            return placed, None
        if negated and output.flags.writeable:
            np.negative(output, out=output)
            self.outputs[earlier] = (output, output.tobytes())
        placed[position] = (output, output)
        role = SIGNATURES[call.operator].roles[position]
        return placed, from_layout(output.copy(), self.layout, role)

    def _placed(self, call: HistoryCall, guards: Guards | None) -> list[tuple[Any, Array | None]]:
        values = to_layout(call.inputs, self.layout, SIGNATURES[call.operator].roles)
        ways = call.memory or ("contiguous",) * len(values)
        placed = place_all(values, ways, *((guards.room,) if guards else ()))
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
