"""Timing calls in whatever process they are made: only the call lies between two looks at a clock.

This runs in the process of what is timed, which can replace any of it. So a run believes what it
says as far as the clocks of the run itself agree (docs/timing.md).
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Any, TypeAlias

import numpy as np

from conformance.calling.observing import Array, NotAnArray, one_line
from conformance.dtypes import dtype_from
from conformance.errors import Unsupported

Sized: TypeAlias = tuple[str, tuple[int, ...]]
"""The dtype and the shape of an array."""

_TICK = 1e-9
"""The least seconds of a call, in case the clock is too coarse."""
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One call: its seconds, and what was wrong with it."""

    seconds: float = 0.0
    waited: float = 0.0
    """Those of them in which its thread could have run, and another process had the processor."""
    garbage: float = 0.0
    """Seconds that it takes to free what the call has left in reference cycles."""
    wrong: Any = None
    """What it returned, where that is no array of the shape and the dtype that are due."""
    changed: tuple[int, ...] = ()
    """The positions of the arguments that the call changed."""
    shared: tuple[int, ...] = ()
    """The positions of the arguments with which the output shares memory."""
    kept: bool = False
    """Whether the output shares memory with that of the call before."""
    unsupported: str | None = None
    raised: str | None = None

    @property
    def returned(self) -> bool:
        return self.unsupported is None and self.raised is None


@dataclass(frozen=True, slots=True)
class Form:
    """What a call takes, None for an argument that is left out, and what it returns."""

    arguments: tuple[Sized | None, ...]
    result: Sized

    @property
    def size(self) -> int:
        """The bytes of a slot: the arrays of one call, those that go in and the one that returns.

        Each begins a cache line after the last one's end: two arrays a multiple of 4096 bytes apart
        would be slow together.
        """
        sizes = (_bytes(sized) for sized in (*self.arguments, self.result) if sized is not None)
        return sum(-(-size // _ALIGNMENT) * _ALIGNMENT + _ALIGNMENT for size in sizes)

    def slot(self, buffer: Any, number: int) -> Slot:
        """Return the arrays of a slot of ``buffer``."""
        at = number * self.size
        arrays: list[Array | None] = []
        for sized in (*self.arguments, self.result):
            if sized is None:
                arrays.append(None)
                continue
            dtype, shape = dtype_from(sized[0]), sized[1]
            array = np.frombuffer(buffer, dtype, math.prod(shape), at)
            arrays.append(array.reshape(shape))
            at += -(-_bytes(sized) // _ALIGNMENT) * _ALIGNMENT + _ALIGNMENT
        *arguments, result = arrays
        assert result is not None
        return Slot(tuple(arguments), result)


def _bytes(sized: Sized) -> int:
    return dtype_from(sized[0]).itemsize * math.prod(sized[1])


@dataclass(frozen=True, slots=True)
class Slot:
    """The arrays of one call as they are handed over, from and to whoever asks for it."""

    arguments: tuple[Array | None, ...]
    result: Array


class TimedCalls:
    """The calls of one function, whose arguments have the same address in each of them.

    Of each call the data are copied from its slot before it, and the output is copied into that
    slot as soon as it returns: what is written later comes too late.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Mapping[str, Any],
        slots: Sequence[Slot],
    ) -> None:
        self.function = function
        self.parameters = parameters
        self.slots = slots
        self._arguments = tuple(None if a is None else a.copy() for a in slots[0].arguments)
        self._before: Any = None
        self._schedule = -1
        with contextlib.suppress(OSError):
            self._schedule = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        gc.collect()

    def close(self) -> None:
        """Release what the calls needed."""
        if self._schedule >= 0:
            os.close(self._schedule)
        self._schedule = -1

    def _waited(self) -> float:
        """Return the seconds for which this process had to wait for a processor so far."""
        if self._schedule < 0:
            return 0.0
        return 1e-9 * int(os.pread(self._schedule, 99, 0).split()[1])

    def make(self, numbers: Iterable[int]) -> list[TimedCall]:
        """Make a call with the data of each of these slots; stop after one that does not return."""
        made = []
        collecting = gc.isenabled()
        gc.disable()
        gc.freeze()  # so that collecting what a call leaves does not look at all there is
        try:
            for number in numbers:
                made.append(self._make(self.slots[number]))
                if not made[-1].returned:
                    break
        finally:
            gc.unfreeze()
            if collecting:
                gc.enable()
        return made

    def _make(self, slot: Slot) -> TimedCall:
        arguments = self._arguments
        for target, source in zip(arguments, slot.arguments, strict=True):
            if target is not None and source is not None:
                np.copyto(target, source)
        before, busy = self._waited(), thread_time()
        try:
            seconds, value = _call(self.function, arguments, self.parameters)
        except (Unsupported, NotImplementedError) as gap:
            return TimedCall(unsupported=one_line(gap) or "no reason given")
        except BaseException as problem:  # whatever is raised is a finding
            return TimedCall(raised=f"{type(problem).__name__}: {one_line(problem)}")
        # What it waited just before the call is no part of that, nor what it used of a processor.
        busy = thread_time() - busy
        waited = min(self._waited() - before, max(0.0, seconds - busy))
        result = slot.result
        right = (type(value), getattr(value, "dtype", None), getattr(value, "shape", None)) == (
            np.ndarray,
            result.dtype,
            result.shape,
        )
        if right:
            np.copyto(result, value)
        garbage = _collected()
        earlier, self._before = self._before, value if isinstance(value, np.ndarray) else None
        pairs = [(n, a) for n, a in enumerate(arguments) if a is not None]
        return TimedCall(
            seconds,
            waited,
            garbage,
            wrong=None if right else _described(value),
            changed=tuple(n for n, a in pairs if not _same(a, slot.arguments[n])),
            shared=tuple(n for n, a in pairs if right and np.may_share_memory(a, value)),
            kept=right and earlier is not None and np.may_share_memory(earlier, value),
        )


def _call(
    function: Callable[..., Any], arguments: Sequence[Any], parameters: Mapping[str, Any]
) -> tuple[float, Any]:
    """Make one call, and return its seconds and its output."""
    bind = getattr(function, "bind", None)
    if bind is None:
        started = perf_counter()
        value = function(*arguments, **parameters)
        return max(perf_counter() - started, _TICK), value
    placed = [(value, value if isinstance(value, np.ndarray) else None) for value in arguments]
    call = bind(placed, parameters, watched=False)
    started = perf_counter()
    returned = call()
    seconds = max(perf_counter() - started, _TICK)
    return seconds, call.result(returned)


def _described(value: Any) -> Any:
    """Return an array as it is, and a stand-in for anything else."""
    if type(value) is np.ndarray or isinstance(value, NotAnArray):
        return value
    return NotAnArray(f"{type(value).__module__}.{type(value).__qualname__}")


def _same(array: Array, other: Any) -> bool:
    return np.array_equal(array.view(np.uint8), other.view(np.uint8))


def _collected() -> float:
    """Free what lies in reference cycles; return the seconds that it takes, 0 if there is none."""
    started = perf_counter()
    found = gc.collect()
    between = perf_counter()
    if not found:
        return 0.0
    gc.collect()
    return max(0.0, 2 * between - started - perf_counter())
