"""Calls from several threads at once, made so that those which share memory meet.

Where a kernel is Python code, meeting is no luck: a call is stopped at some of its own lines, and
there another call is made in another thread, from its first line to its last. Code that is compiled
is not stopped; there several threads make calls at the same time.
"""

from __future__ import annotations

import inspect
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from types import CodeType, FrameType
from typing import Any, TypeAlias

from conformance.calling.observing import HANG, Observation, is_own

MakeCall: TypeAlias = Callable[[], Observation]

STOPS, MOST_STOPS = 10, 30
"""At so many lines a call is stopped outside of its function, and in all."""
MOST_CALLS = {"stopped": 2, "meanwhile": MOST_STOPS}
"""How often the two calls are made of which one is stopped."""
AT_ONCE = 4
"""So many threads make calls at the same time."""
_LOCKED = 0.02
"""Seconds that a call gets while another one is stopped, which may hold a lock that it needs."""
_STARTING = 0.5
"""Seconds that threads wait for one another."""
_SWITCHING = 1e-5
"""Seconds after which another thread of Python code gets its turn."""
PATIENCE = 15.0
"""Seconds after which calls that wait for one another are given up."""

_is_own = cache(is_own)
NOT_BACK = Observation(ended=HANG, how=f"no answer after {PATIENCE:g} s")


def interrupted(
    call: MakeCall,
    other: MakeCall,
    function: Callable[..., Any],
    executed: set[tuple[str, int]],
    chosen: int | None,
) -> tuple[Observation, list[Observation]]:
    """Make a call of ``function``, and the ``other`` one at some of its lines in another thread.

    Return what came of the call, and of each of the other ones. ``chosen`` is any number, which
    says at which lines, where they are many. If it is None, the call is the first one of its shape:
    it is stopped at the lines that were not ``executed`` by the calls before, which set up what the
    shape needs. Lines that are executed are added. Any other call is stopped at all of the
    function's own lines, between which what calls share is mostly written and read.
    """
    code, helper = _code_of(function), _Helper(other)
    lines, own = _Lines(code.co_filename if code is not None else ""), _lines_of(code)
    if chosen is None:
        lines.skipped, lines.stop = set(executed), helper.make_call
    else:
        with lines.traced():
            call()
        places = [place for place in lines.places if place not in own]
        apart = max(1, -(-len(places) // STOPS))
        skipped = {*places} - {*places[chosen % apart :: apart]}
        lines = _Lines(lines.file, skipped, helper.make_call)
    with lines.traced():
        seen = call()
    executed.update(lines.places)
    return seen, helper.answers()


def at_once(calls: Sequence[MakeCall]) -> list[Observation]:
    """Make the calls in a few threads, each of which makes one at a time; return what came of each.

    The threads begin their calls together. A call without an answer did not come back.
    """
    seen = [NOT_BACK] * len(calls)
    ready = threading.Barrier(min(AT_ONCE, len(calls)))

    def make(first: int) -> None:
        for i in range(first, len(calls), ready.parties):
            with suppress(threading.BrokenBarrierError):  # the number of calls is no multiple
                ready.wait(_STARTING)
            seen[i] = calls[i]()

    threads = [threading.Thread(target=partial(make, i), daemon=True) for i in range(ready.parties)]
    interval, deadline = sys.getswitchinterval(), time.monotonic() + PATIENCE
    sys.setswitchinterval(_SWITCHING)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:
        sys.setswitchinterval(interval)
    return list(seen)


class _Helper:
    """A thread that makes a call whenever it is told to."""

    def __init__(self, call: MakeCall) -> None:
        self.call = call
        self.asked = queue.SimpleQueue[bool]()
        self.seen = queue.SimpleQueue[Observation]()
        self.found: list[Observation] = []
        self.waiting = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self.asked.get():
            self.seen.put(self.call())

    def make_call(self) -> None:
        """Let the thread make the call, unless it is still making the last one."""
        if not self.waiting or self._answered(0.0):
            self.asked.put(True)
            self.waiting = True
            self._answered(_LOCKED)

    def _answered(self, seconds: float) -> bool:
        try:
            self.found.append(self.seen.get(timeout=seconds) if seconds else self.seen.get_nowait())
        except queue.Empty:
            return False
        self.waiting = False
        return True

    def answers(self) -> list[Observation]:
        """Return what came of all calls, and end the thread."""
        if self.waiting and not self._answered(PATIENCE):
            self.found.append(NOT_BACK)
        self.asked.put(False)
        return self.found


class _Lines:
    """Notes the implementation's own lines that a call executes, and stops at the first ones.

    It stops once at each line that is not ``skipped``, but at no more than `MOST_STOPS`.
    """

    def __init__(
        self,
        file: str,
        skipped: Collection[tuple[str, int]] = (),
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.file, self.skipped, self.stop = file, skipped, stop
        self.left = MOST_STOPS
        self.places: dict[tuple[str, int], None] = {}
        """The lines, ``file`` and number, in the order in which they are first executed."""

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Look at the lines that this thread executes; whoever else traces them sees none."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        return self._line if file == self.file or _is_own(file) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            place = frame.f_code.co_filename, frame.f_lineno
            if place not in self.places:
                self.places[place] = None
                if self.stop is not None and self.left and place not in self.skipped:
                    self.left -= 1
                    self.stop()
        return self._line


def _code_of(function: Callable[..., Any]) -> CodeType | None:
    while isinstance(function, partial):
        function = function.func
    return getattr(inspect.unwrap(function), "__code__", None)


def _lines_of(code: CodeType | None) -> set[tuple[str, int]]:
    if code is None:
        return set()
    return {(code.co_filename, line) for *_, line in code.co_lines() if line is not None}
