"""Which lines of an implementation's own files run, measured while it is called.

Python 3.12 and later tell so at nearly no cost (`sys.monitoring`): each place is asked about until
it was seen. Before, a trace function is called for each line of a function that has lines left, and
no more once an allowance of events is used up, which is counted and not timed: two runs measure the
same. A C library counts its own lines (`conformance.calling.gcov`).
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, TypeAlias

from conformance.calling.gcov import Counters

Condition: TypeAlias = tuple[int, int, int, int, int, int]
"""An ``if`` without an ``else``: first and last line of its head, columns where its test begins and
ends on these, first and last line of its body."""
Files: TypeAlias = Mapping[str, Sequence[Condition]]
"""The files that are measured, with the conditions that are to be seen false."""
Seen: TypeAlias = tuple[int, str, int, int]
"""The number of the call (0 if it is not known), the file, the line, and what was seen there:
`LINE`, `FALSE`, `RAISED` (the line, in a call that raised), or another number for each way that a
branch took."""

LINE, FALSE, RAISED = 0, 1, 2
_WAYS = 10
"""Numbers of ways start here."""

_EVENTS, _EVENTS_A_CALL, _EVENTS_OF_A_FRAME = 300_000, 100, 2_000
"""A trace function is called for so many lines, and for so many more with each call; and in a call
of one function for no more than the last after it has seen something new: what loops is slow."""
_ONE_SIDED = 10_000
"""A branch that goes one way so often is not asked about any more, and nothing is said of it."""
_DEFAULT: Any = object()


class Measuring:
    """What was seen of some files so far. One at a time measures in a process."""

    def __init__(self, files: Files) -> None:
        self.calls = 0
        """How many calls have begun."""
        self.partial = False
        """Whether some lines of some calls were not measured."""
        self._files = {os.path.realpath(file): file for file in files}
        self._heads = {
            file: {line: condition for condition in conditions for line in _head_of(condition)}
            for file, conditions in files.items()
        }
        self._names: dict[str, str | None] = {}
        self._seen: set[tuple[str, int, int]] = set()
        self._new: list[Seen] = []
        self._raised: list[Seen] = []
        self._mark = 0
        self._backend: _Monitoring | _Tracing | None = None
        monitoring = hasattr(sys, "monitoring")
        self._backend = _Monitoring(self) if monitoring else _Tracing(self)

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, each call of which is measured."""

        def call(*arguments: Any, **parameters: Any) -> Any:
            self._begin()
            returned = False
            try:
                result = function(*arguments, **parameters)
                returned = True
                return result
            finally:
                self._end(returned)

        return call

    def take(self) -> list[Seen]:
        """Return what was seen since this was asked last, in order; see `Seen`."""
        taken, self._new = self._new, []
        taken += self._raised
        self._raised, self._mark = [], 0
        return taken

    def stop(self) -> None:
        """Measure no more."""
        if self._backend is not None:
            self._backend.stop()
            self._backend = None

    def _begin(self) -> None:
        self.calls += 1
        self._mark = len(self._new)
        if self._backend is not None:
            self._backend.begin()

    def _end(self, returned: bool) -> None:
        if self._backend is not None:
            self._backend.end()
        if returned or self._mark >= len(self._new):
            return
        # What only a call that raised has reached is to be seen again when one returns.
        for number, file, line, what in self._new[self._mark :]:
            self._seen.discard((file, line, what))
            if what == LINE and (file, line, RAISED) not in self._seen:
                self._seen.add((file, line, RAISED))
                self._raised.append((number, file, line, RAISED))
        del self._new[self._mark :]
        if self._backend is not None:
            self._backend.again()

    def file_of(self, code: CodeType) -> str | None:
        """Return the measured file that code is of, or None."""
        name = self._names.get(code.co_filename, _DEFAULT)
        if name is _DEFAULT:
            name = self._files.get(os.path.realpath(code.co_filename))
            self._names[code.co_filename] = name
        return name  # type: ignore[no-any-return]

    def head(self, file: str, line: int) -> Condition | None:
        """Return the condition whose head has this line."""
        return self._heads[file].get(line)

    def note(self, file: str, line: int, what: int) -> bool:
        """Note that this was seen, and return whether it is new."""
        if (file, line, what) in self._seen:
            return False
        self._seen.add((file, line, what))
        self._new.append((self.calls, file, line, what))
        return True

    def unseen(self, file: str, lines: set[int]) -> set[int]:
        """Return those of the lines that were not seen, and the heads that were not seen false."""
        missing = {line for line in lines if (file, line, LINE) not in self._seen}
        for line in lines:
            head = self._heads[file].get(line)
            if head is not None and (file, head[0], FALSE) not in self._seen:
                missing.add(-line)
        return missing


def _head_of(condition: Condition) -> range:
    return range(condition[0], condition[1] + 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of an implementation's source, and how many calls have been made by then."""

    calls: int = 0
    seen: Sequence[Seen] = ()
    partial: bool = False


class Watch:
    """Measures the calls of one implementation in this process, as long as no other one begins."""

    _measuring: Measuring | None = None
    _counters: Counters | None = None

    def begin(self, files: Files) -> None:
        """Measure these files, and what no other watch was told to."""
        global _watching
        if _watching is not None:
            _watching.end()
        self._measuring, _watching = Measuring(files), self

    def end(self) -> None:
        """Measure no more."""
        if self._measuring is not None:
            self._measuring.stop()
            self._measuring = None

    def measured(self) -> Measured:
        """Return what was measured since this was asked last."""
        if self._measuring is None:
            return Measured()
        seen = self._measuring.take()
        if self._counters is not None:  # they do not tell one call from another
            seen += [(0, *place, LINE) for place in sorted(self._counters.executed())]
        return Measured(self._measuring.calls, seen, self._measuring.partial)

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose calls are measured if any are."""
        self._counters = getattr(function, "counters", None)
        if self._measuring is None:
            return function
        if self._counters is not None:  # nothing of it is Python
            self._measuring.stop()
        return self._measuring.wrapped(function)


_watching: Watch | None = None


class _Monitoring:
    """Sees lines and branches by `sys.monitoring`."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._ways: dict[tuple[CodeType, int], dict[int, int]] = {}
        self._positions: dict[CodeType, list[tuple[int | None, ...]]] = {}
        self._tool = -1
        monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        self._m = monitoring
        for tool in (4, 3, 2, 1, 0):
            if monitoring.get_tool(tool) is None:
                self._tool = tool
                break
        if self._tool < 0:
            measuring.partial = True
            return
        events = monitoring.events
        self._sides = [
            getattr(events, name)
            for name in ("BRANCH_LEFT", "BRANCH_RIGHT")
            if hasattr(events, name)
        ]
        self._separate = bool(self._sides)
        self._sides = self._sides or [events.BRANCH]
        monitoring.use_tool_id(self._tool, "convformance")
        for event, function in (
            (events.PY_START, self._start),
            (events.LINE, self._line),
            *((side, self._branch) for side in self._sides),
        ):
            monitoring.register_callback(self._tool, event, function)
        monitoring.set_events(self._tool, events.PY_START)

    def begin(self) -> None:
        """Change nothing: what was seen is not asked about again."""

    def end(self) -> None:
        """Change nothing."""

    def again(self) -> None:
        """Ask about everything again."""
        self._ways.clear()
        if self._tool >= 0:
            self._m.restart_events()

    def stop(self) -> None:
        if self._tool < 0:
            return
        self._m.set_events(self._tool, 0)
        self._m.free_tool_id(self._tool)
        self._tool = -1

    def _start(self, code: CodeType, offset: int) -> Any:
        if self._measuring.file_of(code) is not None:
            events = self._m.events.LINE
            for side in self._sides:
                events |= side
            self._m.set_local_events(self._tool, code, events)
        return self._m.DISABLE

    def _line(self, code: CodeType, line: int) -> Any:
        file = self._measuring.file_of(code)
        if file is not None:
            self._measuring.note(file, line, LINE)
        return self._m.DISABLE

    def _branch(self, code: CodeType, offset: int, target: int) -> Any:
        file = self._measuring.file_of(code)
        if file is None:
            return self._m.DISABLE
        ways = self._ways.setdefault((code, offset), {})
        times = ways[target] = ways.get(target, 0) + 1
        if 1 < times < _ONE_SIDED and not self._separate:
            return None
        line = self._position(code, offset)[0]
        if line is not None:
            self._measuring.note(file, line, _WAYS + target)
            head = self._measuring.head(file, line)
            if head and (times >= _ONE_SIDED or self._leaves(code, head, target)):
                self._measuring.note(file, head[0], FALSE)
        done = self._separate or len(ways) > 1 or times >= _ONE_SIDED
        return self._m.DISABLE if done else None

    def _position(self, code: CodeType, offset: int) -> tuple[int | None, ...]:
        if code not in self._positions:
            self._positions[code] = list(code.co_positions())
        return self._positions[code][offset // 2]

    def _leaves(self, code: CodeType, head: Condition, target: int) -> bool:
        """Whether a branch of a test leads to what follows the statement."""
        first, last, begin, end, body, body_end = head
        line, _, column, _ = self._position(code, target)
        name = dis.opname[code.co_code[target]]
        after = dis.opname[code.co_code[target + 2]] if target + 2 < len(code.co_code) else ""
        returns = name.startswith("LOAD_") and after == "RETURN_VALUE"
        if line is None or name.startswith(("RETURN_CONST", "JUMP_BACKWARD")):
            return True
        if body <= line <= body_end:
            return False
        if returns and first <= line <= last:
            return True
        inside = (first, begin) <= (line, column or 0) < (last, end)
        return not inside


class _Tracing:
    """Sees lines by a trace function, which nobody else may have set."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._lines: dict[CodeType, set[int]] = {}
        self._done: set[CodeType] = set()
        self._events = 0
        self._set = False

    def begin(self) -> None:
        measuring = self._measuring
        allowed = _EVENTS + _EVENTS_A_CALL * measuring.calls
        if self._events > allowed or sys.gettrace() is not None:
            measuring.partial = True
            return
        self._set = True
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def end(self) -> None:
        if self._set:
            sys.settrace(None)
            threading.settrace(None)
            self._set = False

    def again(self) -> None:
        self._done.clear()

    def stop(self) -> None:
        self.end()

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code in self._done:
            return None
        file = self._measuring.file_of(code)
        if file is None:
            self._done.add(code)
            return None
        lines = self._lines.setdefault(code, {*_lines_of(code)})
        if not self._measuring.unseen(file, lines):
            self._done.add(code)
            return None
        return self._local(file)

    def _local(self, file: str) -> Callable[[FrameType, str, Any], Any]:
        """Return the trace function of one frame, which knows the line before."""
        measuring, before, left = self._measuring, 0, _EVENTS_OF_A_FRAME

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before, left
            self._events += 1
            left -= 1
            line = frame.f_lineno
            if event == "exception":
                before = 0
                return local
            head = measuring.head(file, before) if before else None
            if head is not None and event in ("line", "return"):
                first, last, _, _, body, body_end = head
                away = not (first <= line <= last or body <= line <= body_end)
                if event == "return" or away:
                    measuring.note(file, first, FALSE)
            if event == "line":
                if measuring.note(file, line, LINE):
                    left = _EVENTS_OF_A_FRAME
                before = line
            if not left:
                measuring.partial = True
                frame.f_trace_lines = False
            return local

        return local


_ENTERING = ("RESUME", "MAKE_CELL", "COPY_FREE_VARS", "RETURN_GENERATOR", "POP_TOP")


def _lines_of(code: CodeType) -> Iterator[int]:
    """Yield the lines of a function, without the one on which it is entered."""
    entered = False
    line = 0
    for instruction in dis.get_instructions(code):
        line = instruction.starts_line or line
        entered = entered or instruction.opname not in _ENTERING
        if entered:
            yield line
