"""Who makes timed calls: this process, or a worker, whose calls this process's own clock times.

Of a worker's calls it is known what this process and the system have seen: the seconds between the
request and the answer, by when all outputs have been handed over, and the processor time of all
processes and threads meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import math
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import IO, Any, Protocol

import numpy as np

from conformance.calling import CRASH, Array, Inputs, from_layout, to_layout
from conformance.calling.timed import Form, Slot, TimedCall, TimedCalls
from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.isolation.process import Ended, Process
from conformance.isolation.wire import Frame, take
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.registration.place import Place
from conformance.signatures import SIGNATURES
from conformance.timing import processes

_RESULT = "image"
"""The role of what the timed operators return."""
_TICK = 1e-9
"""The least seconds of a call."""
_SHARED = Path("/dev/shm")
"""A folder in memory, where the system has it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some calls that were made one after the other, and what was seen from outside."""

    calls: tuple[TimedCall, ...]
    outer: float | None = None
    """Seconds from the request to the answer, by the clock of the run; None in its own process."""
    cpu: float | None = None
    """Processor seconds of all threads, and of all processes that they have started."""
    waited: float = 0.0
    """Seconds of ``outer`` in which other processes had the worker's processor."""

    def seconds(self, call: TimedCall) -> float:
        """Return the seconds of one of the calls, without those in which it had no processor."""
        there = sum(each.waited for each in self.calls)
        known = min(1.0, self.waited / there) if there else 0.0  # what the system does not confirm
        return max(call.seconds + call.garbage - known * call.waited, _TICK)

    @property
    def inner(self) -> float:
        """The seconds of all calls, by the clock of the process that made them."""
        return sum(map(self.seconds, self.calls))

    @property
    def beyond(self) -> float | None:
        """The seconds beyond these, by the clock of the run."""
        return None if self.outer is None else self.outer - self.waited - self.inner


class Caller(Protocol):
    """Makes the timed calls of one implementation, on one case after the other."""

    pid: int
    is_watched: bool
    """Whether the clock of another process than its own times the calls as well."""

    def open(self, case: Case, slots: int) -> str | None:
        """Prepare calls of ``case`` with so many slots for their data, or say why it cannot."""

    def write(self, number: int, inputs: Inputs) -> None:
        """Hand over the data of a call."""

    def make(self, numbers: Sequence[int]) -> Batch:
        """Make a call with the data of each of these slots."""

    def result(self, number: int) -> Array:
        """Return the output of the last call with the data of that slot, channels-first."""

    def close(self) -> None:
        """Release what the calls needed."""


class _Slots:
    """The slots of the calls of one case, in the layout of their implementation."""

    def __init__(self, layout: str) -> None:
        self.layout = layout
        self.slots: list[Slot] = []
        self.operator = ""

    def form(self, case: Case) -> Form:
        self.operator, operator = case.operator, OPERATORS[case.operator]
        roles = SIGNATURES[case.operator].roles
        shapes = tuple(operator.argument_shape(case, name) for name in operator.arguments)
        placed = to_layout(shapes, self.layout, roles)
        (due,) = to_layout((operator.output_shape(case),), self.layout, (_RESULT,))
        sized = tuple(None if shape is None else (case.dtype, shape) for shape in placed)
        return Form(sized, (case.dtype, due))

    def write(self, number: int, inputs: Inputs) -> None:
        placed = to_layout(inputs, self.layout, SIGNATURES[self.operator].roles)
        for target, source in zip(self.slots[number].arguments, placed, strict=True):
            if target is not None:
                np.copyto(target, source)

    def result(self, number: int) -> Array:
        output: Array = from_layout(self.slots[number].result, self.layout, _RESULT)
        return output


class Here(_Slots):
    """Makes the calls of a function in this process, which is all that knows it."""

    is_watched = False

    def __init__(self, implementation: Implementation) -> None:
        super().__init__(implementation.layout)
        self.implementation = implementation
        self.pid = os.getpid()
        self._calls: TimedCalls | None = None

    def open(self, case: Case, slots: int) -> str | None:
        form = self.form(case)
        self.slots = [form.slot(bytearray(form.size), 0) for _ in range(slots)]
        function = self.implementation.functions[case.operator]
        function = self.implementation.in_form(case.operator, function)
        self._calls = TimedCalls(function, case.parameters, self.slots)
        return None

    def make(self, numbers: Sequence[int]) -> Batch:
        assert self._calls is not None
        return Batch(tuple(self._calls.make(numbers)))

    def close(self) -> None:
        if self._calls is not None:
            self._calls.close()
        self._calls = None
        self.slots = []


class InWorker(_Slots):
    """Lets a worker of its own make the calls."""

    is_watched = True

    def __init__(self, place: Place, layout: str) -> None:
        """Start the worker; raise `StartError` or `Ended` where it cannot load what it is for."""
        super().__init__(layout)
        self.place = place
        self._buffer: mmap.mmap | None = None
        self._process = Process(place, place.name).greet()
        self.pid = self._process.pid
        self._spent = processes.Spent(self._process.guardian)
        self._cores = processes.cores(self.pid)
        self._limit = place.limits.of_call(0, first=True)
        self._fresh = True

    def open(self, case: Case, slots: int) -> str | None:
        form = self.form(case)
        self._limit = place_limit = self.place.limits.of_call(work(case), first=True)
        with _file(slots * form.size) as file:
            self._buffer = mmap.mmap(file.fileno(), slots * form.size)
            self.slots = [form.slot(self._buffer, number) for number in range(slots)]
            details = dict(case.parameters), form.arguments, form.result, slots, file.name
            name, operator = self.place.name, case.operator
            self._process.send(Frame().packed("timing", name, operator, *details))
            answer, _ = self._process.receive(lambda: place_limit)
        return None if answer[0] == "ready" else str(answer[1])

    def widened(self) -> bool:
        """Whether a thread of any of its processes may use cores that were not granted."""
        return bool(self._cores) and not processes.all_cores(self.pid) <= self._cores

    def write(self, number: int, inputs: Inputs) -> None:
        """Hand over the data of a call, from when on the worker has no business but that call."""
        if not self._spent.begun:
            self._spent.begin()
        super().write(number, inputs)

    def make(self, numbers: Sequence[int]) -> Batch:
        """Do what `Caller.make` does; raise `Ended` where a call ends the worker."""
        request = Frame().packed("time", self.place.name, list(numbers))
        limit = self._limit * len(numbers)
        own = os.getpid()
        if not self._spent.begun:
            self._spent.begin()
        there, here = processes.waited(self.pid), processes.waited(own)
        with _no_garbage_collected():
            started = perf_counter()
            self._process.send(request)
            answer, payload = self._process.receive(lambda: limit)
            outer = perf_counter() - started
        cpu = self._spent.end()
        waited = processes.waited(self.pid) - there, processes.waited(own) - here
        calls = _read(answer, payload, len(numbers))
        if calls is None:
            self._process.stop()
            raise Ended(CRASH, "the answer of its worker cannot be read")
        return Batch(calls, outer - min(waited[1], outer), cpu, waited[0])

    def close(self) -> None:
        """End the worker."""
        self.slots = []
        with contextlib.suppress(BufferError):  # an output may still be in use
            if self._buffer is not None:
                self._buffer.close()
        self._buffer = None
        self._process.stop()


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Keep this process from collecting garbage, which would be taken for time of the worker."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _file(size: int) -> IO[bytes]:
    """Return a new file of ``size`` bytes, in memory where there is room for it.

    It loses its name when it is closed. Raises `ConformanceError` where there is no room at all.
    """
    problem: OSError | None = None
    for folder in (_SHARED, None):
        try:
            file = tempfile.NamedTemporaryFile(dir=folder, prefix="convformance-")  # noqa: SIM115
        except OSError as found:
            problem = found
            continue
        try:
            if hasattr(os, "posix_fallocate"):  # else writing ends the process where there is none
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError as found:
            file.close()
            problem = found
            continue
        return file
    raise ConformanceError(
        f"timing: no room for {size >> 20} MiB of data of calls in {tempfile.gettempdir()} "
        f"({problem}); set TMPDIR to a folder with more"
    )


def _read(answer: tuple[Any, ...], payload: bytearray, number: int) -> tuple[TimedCall, ...] | None:
    """Return the calls that a worker tells of, None where it tells none that can be: it may lie."""
    try:
        calls = [TimedCall(*row) for row in answer[1]]
        calls = [replace(call, wrong=take(call.wrong, payload)) for call in calls]
        seconds = [(call.seconds, call.waited, call.garbage) for call in calls]
        possible = all(math.isfinite(value) and value >= 0 for row in seconds for value in row)
    except Exception:  # whatever else it may be
        return None
    complete = len(calls) == number or bool(calls and not calls[-1].returned)
    return tuple(calls) if possible and complete else None


def caller_of(implementation: Implementation) -> Caller:
    """Return who makes the calls; raise `StartError` or `Ended` where its worker does not start."""
    place = implementation.place
    return Here(implementation) if place is None else InWorker(place, implementation.layout)


__all__ = ["Batch", "Caller", "Ended", "Here", "InWorker", "caller_of"]
