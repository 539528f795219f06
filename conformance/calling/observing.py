"""Calling an implementation and observing what it did, apart from judging it.

This module needs nothing but NumPy: it is what runs next to the implementation.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conformance.calling import process_state
from conformance.calling.guards import Guards, OutputOverrun
from conformance.calling.memory import place_all
from conformance.errors import Unsupported
from conformance.signatures import Signature

Array: TypeAlias = NDArray[Any]
Inputs: TypeAlias = tuple[Any, ...]


CRASH, HANG, MEMORY = ENDINGS = ("crash", "hang", "memory")
"""How a call can end without an answer: its process is gone, its time is over, or it took more
memory than is allowed."""


@dataclass(frozen=True, slots=True)
class NotAnArray:
    """A stand-in for an output that is no array of numbers, and was not sent to this process."""

    kind: str
    """Its type, in words."""
    due: str = "plain numpy.ndarray"
    """What an output had to be, in words."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one call returned or raised, and what it did to its inputs."""

    output: Any = None
    """What was returned, channels-first; None where the call raised."""
    unsupported: str | None = None
    """The reason, where the implementation said that it does not compute this case."""
    raised: str | None = None
    """Type and message of any other exception."""
    changed: tuple[int, ...] = ()
    """Positions of the inputs whose bytes differ after the call."""
    shared: tuple[int, ...] = ()
    """Positions of the inputs that the output shares memory with."""
    overrun: tuple[tuple[int, int, int], ...] = ()
    """Positions of the inputs around which something was written, and that after the last input for
    a result that the suite has allocated: how many bytes before the array, and past its end, at the
    farthest (seen in a worker only)."""
    ended: str | None = None
    """Why nothing came back, where the call was made in a worker process: one of `ENDINGS`."""
    how: str = ""
    """How the worker ended, and the end of what it wrote to stderr."""
    left: tuple[str, ...] = ()
    """The parts of the process's state that it changes whenever it is made (`process_state`)."""
    likewise: str = ""
    """Who else returns something from this call, which is invalid: "PyTorch's own layer"."""
    printed: str | None = None
    """What the call wrote to stdout or stderr, whenever it was made (seen in a worker only)."""
    seconds: float = field(default=0.0, compare=False)
    """How long the call took, where it was made."""
    error: str = field(default="", compare=False)
    """The type of what was raised, or how the process ended: ``SIGSEGV``, ``exit 3``."""
    where: str = field(default="", compare=False)
    """The innermost line of the implementation's own code in which that happened, ``file:line``;
    empty where it is not known."""
    side: str = field(default="", compare=False)
    """The end of its arrays that lay against a page without access, where it was made in a worker
    (`conformance.calling.guards`)."""


class CallEnded(Exception):
    """Raised by the stand-in for a function in a worker: the call ended without an answer."""

    def __init__(self, seen: Observation) -> None:
        super().__init__(seen.how)
        self.seen = seen


class RaisedInWorker(Exception):
    """Raised by the stand-in for a function in a worker, with what was observed there."""

    def __init__(self, seen: Observation) -> None:
        super().__init__(seen.raised)
        self.seen = seen


def observe(
    function: Callable[..., Any],
    inputs: Inputs,
    parameters: Mapping[str, Any],
    layout: str,
    memory: Sequence[str] | str = "contiguous",
    *,
    signature: Signature,
    guarded: Callable[[], Guards] | None = None,
    invalid: bool = False,
) -> Observation:
    """Call ``function`` once, on copies of ``inputs`` in its layout, and say what happened.

    ``memory`` is how the copies lie in memory: one name for all of them, or one an input. What the
    implementation does to its copies is observed, and harms nothing else. ``signature`` is the
    operator's, whose roles say which axes the layout moves. ``guarded`` makes the guards around the
    copies, None leaves them without. An ``invalid`` call has to raise.
    """
    pristine = to_layout(inputs, layout, signature.roles)
    ways = [memory] * len(inputs) if isinstance(memory, str) else memory

    def call(guards: Guards | None) -> Observation:
        placed = place_all(pristine, ways, *((guards.room,) if guards else ()))
        observation = call_observed(function, placed, parameters, guards)
        if guards:
            guards.release()
        return observation

    guards = guarded() if guarded else None
    observation = call(guards)
    if guarded and guards and guards.misaligned and not has_result(observation):
        # Whoever demands a vector's alignment is handed what the system's allocator returns. An
        # answer that only the calls before decide is told from that by a third call.
        elsewhere = call(None)
        if has_result(elsewhere) and not has_result(call(guarded())):
            observation = elsewhere
    observation = beside_own(function, inputs, parameters, observation, signature, invalid=invalid)
    if layout == "NCHW":
        return observation
    return replace(observation, output=from_layout(observation.output, layout, signature.result))


def beside_own(
    function: Callable[..., Any],
    inputs: Inputs,
    parameters: Mapping[str, Any],
    observation: Observation,
    signature: Signature,
    *,
    invalid: bool = False,
) -> Observation:
    """Return what was observed, seen beside what the kernel's library has of its own.

    A kernel takes its place, and so need not compute what that refuses, nor reject what that takes.
    It is asked only where the kernel has refused a valid call, or returned from an invalid one.
    """
    find = getattr(function, "own", None)
    refused = observation.raised is not None
    if find is None or refused == invalid or observation.unsupported is not None:
        return observation
    own = find()
    if own is None:
        return observation
    seen = observe(own.function, inputs, parameters, own.layout, signature=signature)
    if refused and seen.raised is not None:
        reason = f"{own.name} refuses it as well"
        return replace(observation, unsupported=reason, raised=None)
    return (
        observation if refused or not has_result(seen) else replace(observation, likewise=own.name)
    )


def has_result(observation: Observation) -> bool:
    """Whether a call that came back returned something: it was not declined, and did not raise."""
    return observation.raised is None and observation.unsupported is None


def call_observed(
    function: Callable[..., Any],
    placed: Sequence[tuple[Any, Array | None]],
    parameters: Mapping[str, Any],
    guards: Guards | None = None,
    *,
    watched: bool = True,
) -> Observation:
    """Call ``function`` once on these arguments themselves, and say what happened.

    Each argument comes with the buffer that it is a view of, None where it is no array. The output
    is in the implementation's layout, as it was returned. The ``guards`` are those around them. The
    state of the process is not ``watched`` while other threads make calls, which may change it for
    a moment.
    """
    with process_state.quiet():
        return _observed(function, placed, parameters, guards, watched)


def _observed(
    function: Callable[..., Any],
    placed: Sequence[tuple[Any, Array | None]],
    parameters: Mapping[str, Any],
    guards: Guards | None,
    watched: bool,
) -> Observation:
    before = [None if buffer is None else buffer.tobytes() for _, buffer in placed]
    shapes = [np.shape(value) if buffer is not None else None for value, buffer in placed]
    output, unsupported, raised, error, where = None, None, None, "", ""
    bind, bound, besides, elsewhere = getattr(function, "bind", None), None, [], []
    beyond: tuple[tuple[int, int, int], ...] = ()
    seconds, begun = 0.0, time.perf_counter()
    try:
        if bind is None:
            output = function(*(value for value, _ in placed), **parameters)
        else:  # the kernel takes arrays of another library (`conformance.arrays`)
            bound = bind(placed, parameters)
            begun = time.perf_counter()
            returned = bound()
            seconds = time.perf_counter() - begun
            elsewhere = bound.shared(returned)
            output = bound.result(returned)
    except CallEnded as ended:
        return ended.seen
    except RaisedInWorker as problem:
        raised, error, where = problem.seen.raised, problem.seen.error, problem.seen.where
    except OutputOverrun as problem:
        output, beyond = problem.output, ((len(placed), *problem.beyond),)
        raised = None if output is not None else "Rejected: after it had written beyond its result"
    except (Unsupported, NotImplementedError) as gap:
        unsupported = one_line(gap) or "no reason given"
    except (Exception, SystemExit) as problem:  # whatever it raises is a finding
        raised = f"{type(problem).__name__}: {one_line(problem)}"
        error, where = type(problem).__name__, raised_at(problem)
    seconds = seconds or time.perf_counter() - begun
    if bound is not None:
        besides = bound.reshaped()
    overrun = (*(guards.overrun() if guards else ()), *beyond)
    changed = []
    shared = []
    for position, (value, buffer) in enumerate(placed):
        if buffer is None:
            continue
        reshaped = value.shape != shapes[position] or position in besides
        if reshaped or buffer.tobytes() != before[position]:
            changed.append(position)
        if position in elsewhere or (
            isinstance(output, np.ndarray) and np.may_share_memory(output, buffer)
        ):
            shared.append(position)
    left: tuple[str, ...] = ()
    if watched:
        left = process_state.left_quickly(lambda: call_quietly(function, placed, parameters))
    if unsupported is not None or raised is not None:
        return Observation(
            unsupported=unsupported,
            raised=raised,
            changed=tuple(changed),
            overrun=overrun,
            error=error,
            where=where,
            seconds=seconds,
            left=left,
        )
    return Observation(
        output=output,
        changed=tuple(changed),
        shared=tuple(shared),
        overrun=overrun,
        seconds=seconds,
        left=left,
    )


def call_quietly(
    function: Callable[..., Any],
    placed: Sequence[tuple[Any, Array | None]],
    parameters: Mapping[str, Any],
) -> None:
    """Make a call for what it leaves behind, whatever it returns or raises."""
    with contextlib.suppress(Exception, SystemExit):
        function(*(value for value, _ in placed), **parameters)


CALLING = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(__file__).parents[1] / 'isolation'}{os.sep}",
    f"{Path(__file__).parents[1] / 'forms'}{os.sep}",
)
"""The folders of the code that makes calls; implementations may lie in the same package."""
_LIBRARY = re.compile(r"[/\\](?:site|dist)-packages[/\\]|/lib(?:64)?/python3\.[0-9]+/")


def is_own(file: str) -> bool:
    """Whether a line of this file may be the implementation's, and no caller's or library's."""
    return not file.startswith((*CALLING, "<")) and not _LIBRARY.search(file)


def raised_at(problem: BaseException) -> str:
    """Return the innermost line, ``file:line``, of the implementation's own code that raised.

    That is the innermost one outside of installed packages, or, where the implementation is itself
    one, the innermost one in the file of its function. It is empty for what has no line.
    """
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(problem.__traceback__)
        if not frame.f_code.co_filename.startswith((*CALLING, "<"))
    ]
    own = [place for place in frames if is_own(place[0])]
    own = own or [place for place in frames if place[0] == frames[0][0]]
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""


def to_layout(values: Inputs, layout: str, roles: Sequence[str]) -> Inputs:
    """Return ``values``, whose ``roles`` are those of a signature, in ``layout``.

    For "NHWC" an image (N, C, *S) becomes (N, *S, C) and a weight (A, B, *K) becomes (*K, B, A),
    C-contiguous, and a tuple that is the shape of one becomes the shape of the other. For "NCHW"
    they are handed back as they are.
    """
    if layout == "NCHW":
        return values
    return tuple(_channels_last(value, role) for value, role in zip(values, roles, strict=True))


def shape_from_layout(shape: tuple[int, ...], layout: str, role: str) -> tuple[int, ...]:
    """Return the shape of an array in ``layout`` channels-first."""
    if layout == "NCHW":
        return shape
    return tuple(shape[axis] for axis in np.argsort(_last_order(role, len(shape))))


def from_layout(output: Any, layout: str, role: str) -> Any:
    """Return what a call returned in ``layout`` channels-first, as a view where it is an array."""
    if layout == "NCHW" or not isinstance(output, np.ndarray):
        return output
    return output.transpose(np.argsort(_last_order(role, output.ndim)))


def _channels_last(value: Any, role: str) -> Any:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value.transpose(_last_order(role, value.ndim)))
    if isinstance(value, tuple):
        return tuple(value[axis] for axis in _last_order(role, len(value)))
    return value


def _last_order(role: str, axes: int) -> tuple[int, ...]:
    """Return the channels-first axes in the order in which they are channels-last."""
    spatial = tuple(range(2, axes))
    if role == "vector" or axes < 2:
        return tuple(range(axes))
    return (*spatial, 1, 0) if role == "weight" else (0, *spatial, 1)


def one_line(text: object) -> str:
    """Return ``text`` as one line of at most 500 characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 500 else f"{line[:500]} ..."
