"""Callers make the calls, in this process or in a worker (`conformance.isolation`).

A caller takes requests and yields observations, in order. The run's process makes the inputs and
judges the answers; only the calls themselves are made elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from conformance.calling import process_state, starving
from conformance.calling.guards import Guard, Guards
from conformance.calling.history import Answer, HistoryCall, perform
from conformance.calling.measuring import Files, Measured, Watch
from conformance.calling.observing import Inputs, Observation, observe
from conformance.calling.pace import Pace
from conformance.signatures import SIGNATURES


@dataclass(frozen=True, slots=True)
class Request:
    """One call that is to be made."""

    operator: str
    inputs: Inputs
    """The positional arguments, channels-first."""
    parameters: Mapping[str, Any]
    layout: str
    memory: Sequence[str] | str = "contiguous"
    """How the arrays lie in memory: one way for all, or one an input."""
    nbytes: int | None = None
    """Expected size of the result in bytes, or None. Of a larger result only dtype and shape are
    sent back."""
    work: int = 0
    """Multiply-accumulates of the call, by which its limit of time is scaled."""
    case: object = None
    """What the call is made for: reports name the calls before a failure by it."""
    guard: Guard = ""
    """Where its arrays lie in a worker (`conformance.calling.guards`); empty for the end of them
    that its case is called at."""
    invalid: bool = False
    """Whether it has to raise."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeCall:
    """A call that a worker has made, and can be asked to make again."""

    request: Request

    @property
    def name(self) -> str:
        """Return the id of the case that it was made for, or else what it is called."""
        return str(getattr(self.request.case, "id", self.request.case))


def made_calls(calls: Sequence[HistoryCall], layout: str) -> Iterator[MadeCall]:
    """Yield the calls of a history, each as a call of its own."""
    for call in calls:
        name = f"{call.operator} of {np.shape(call.inputs[0])}: {call.what}"
        case = call.case or name
        yield MadeCall(Request(call.operator, call.inputs, call.parameters, layout, case=case))


class HistoryEnded(Exception):
    """A history of calls ended without answers, at its ``number``-th call (from 0 on)."""

    def __init__(self, seen: Observation, number: int) -> None:
        super().__init__(seen.how)
        self.seen = seen
        self.number = number


class Caller(Protocol):
    """Makes calls of one implementation."""

    @property
    def given_up_because(self) -> str | None:
        """Why no more calls are made, or None."""

    @property
    def pace(self) -> Pace:
        """What the calls took, and how much of that was start-up."""

    side: str
    """The end of arrays that lies against a page without access in all calls; empty where the case
    of each call decides. Where this process makes the calls, there are no such pages."""

    @property
    def startup(self) -> float:
        """Seconds from a call that ended its process to the next one that can be made."""

    def calls_before(self) -> tuple[MadeCall, ...]:
        """Return the calls made in the process of the last answer before it, the last ones only."""

    def waits(self) -> Mapping[str, float]:
        """Return how long the thread that makes the calls has waited for a core (`starving`)."""

    def count_ending(self, *, hung: bool) -> None:
        """Count a call that would have ended the process as one that has ended it."""

    def start_anew(self) -> None:
        """Let the next call be the first one of its process, if that is not this process."""

    def measure(self, files: Files) -> None:
        """Measure from now on which lines of these files the calls reach."""

    def measured(self) -> Measured:
        """Return what was measured since this was asked last."""

    def while_shrinking(self, *, short_limits: bool = True) -> AbstractContextManager[None]:
        """Enter a search for the smallest case that fails: how calls end there does not count.

        With ``short_limits``, a call that does not come back is given less time.
        """

    def perform(
        self, calls: Sequence[HistoryCall], layout: str, seconds: float, *, watched: bool = False
    ) -> list[Answer]:
        """Make the calls of a history (`conformance.calling.history`).

        Raises `HistoryEnded` where one of them ends its process.
        """

    def observe(self, requests: Iterable[Request]) -> Generator[Observation, None, None]:
        """Make the calls, and yield what came of each, in order.

        An iterator that is not used up makes no more calls than it has begun.
        """


_known: set[int] = set()
"""The implementations that this process has called, by the identity of their functions."""


def forget_calls() -> None:
    """Look at the process's state anew before the next call: others may change it until then."""
    _known.clear()


class InProcess:
    """Makes the calls in this process: nothing stops a call that crashes or does not come back."""

    given_up_because = None
    startup = 0.0
    side = ""

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        pace: Pace | None = None,
        watch: Watch | None = None,
        in_form: Callable[[str, Callable[..., Any]], Callable[..., Any]] = lambda _, f: f,
    ) -> None:
        """Call ``functions``, each as ``in_form`` makes a function over NumPy arrays of it."""
        self._watch = watch or Watch()
        self.functions = {name: in_form(name, self._watch.over(f)) for name, f in functions.items()}
        self.pace = pace or Pace()
        if id(functions) not in _known:
            _known.add(id(functions))
            process_state.look_at_all()

    def calls_before(self) -> tuple[MadeCall, ...]:
        """Return no call: here they cannot be made again in a new process."""
        return ()

    def waits(self) -> Mapping[str, float]:
        """Return how long this thread has waited for a core."""
        return starving.waits_of(os.getpid(), threading.get_native_id())

    def count_ending(self, *, hung: bool) -> None:
        """Change nothing: no call ends this process and is counted."""

    def start_anew(self) -> None:
        """Change nothing: this process goes on."""

    def measure(self, files: Files) -> None:
        """Measure from now on which lines of these files the calls reach."""
        self._watch.begin(files)

    def measured(self) -> Measured:
        """Return what was measured since this was asked last."""
        return self._watch.measured()

    def while_shrinking(self, *, short_limits: bool = True) -> AbstractContextManager[None]:
        """Change nothing: no call ends here without an answer."""
        return contextlib.nullcontext()

    def perform(
        self, calls: Sequence[HistoryCall], layout: str, seconds: float, *, watched: bool = False
    ) -> list[Answer]:
        """Make the calls of a history."""
        answers = perform(self.functions, calls, layout, seconds=seconds, watched=watched)
        note_history(self.pace, calls, answers)
        return answers

    def observe(self, requests: Iterable[Request]) -> Generator[Observation, None, None]:
        """Make the calls, and yield what came of each, in order."""
        process_state.look()
        for request in requests:
            observation = observe_request(self.functions[request.operator], request)
            self.pace.note(request.operator, request.work, observation.seconds)
            yield observation


def note_history(pace: Pace, calls: Sequence[HistoryCall], answers: Sequence[Answer]) -> None:
    """Note what the calls of a history took, of which the last ones may not have been made."""
    for call, answer in zip(calls, answers, strict=False):
        if call.at_once:  # it has waited for others
            return
        pace.note(call.operator, call.work, answer.seen.seconds)


def observe_request(
    function: Callable[..., Any], request: Request, guarded: Callable[[], Guards] | None = None
) -> Observation:
    """Make one call in this process, and say what happened; ``guarded`` makes its guards."""
    return observe(
        function,
        request.inputs,
        request.parameters,
        request.layout,
        request.memory,
        signature=SIGNATURES[request.operator],
        guarded=guarded,
        invalid=request.invalid,
    )
