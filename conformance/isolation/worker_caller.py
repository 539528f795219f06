"""Calls made in a worker process, which is started when it is needed, and again when it has ended.

Several calls are on their way at a time, so that neither side waits for the other; answers come
one by one, so that the call that ends the process is the first one unanswered.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import Any

from conformance.calling import starving
from conformance.calling.caller import HistoryEnded, MadeCall, Request, made_calls, note_history
from conformance.calling.guards import END, START, Guard
from conformance.calling.history import Answer, HistoryCall
from conformance.calling.measuring import Files, Measured, Seen
from conformance.calling.observing import CRASH, HANG, Observation
from conformance.calling.pace import Pace
from conformance.case import Case
from conformance.errors import RegistrationError
from conformance.isolation.process import Ended, Process, StartError
from conformance.isolation.wire import Frame, take, take_observed
from conformance.registration.place import Limits, Place

_AHEAD = 64
"""The largest number of calls that are on their way at a time."""
_AHEAD_SECONDS = 0.02
"""Seconds that they may take together: a cell whose time is over waits for them."""
_AHEAD_BYTES = 4 << 20
"""Bytes that they may have together."""
_MANY = 100
"""After this many answers it is known how long calls take."""
_KEPT_CALLS = 128
"""How many of the last calls of a worker are kept: a failure may need them."""
_DRAIN = 1.0
"""Seconds to wait for calls whose answers are not needed any more; then their worker is ended."""


@dataclass(slots=True)
class _Sent:
    """A call that is on its way, or was when its worker ended."""

    made: MadeCall
    guard: Guard
    data: bytes
    number: int = 0
    """Its number among the calls of the worker that is there, from 1 on; 0 if it waits here."""
    outcome: Observation | None = None
    """How it ended the worker, if it did: then earlier calls without an answer are sent again."""
    before: tuple[MadeCall, ...] = ()
    """The calls before it in the worker that it ended."""


class WorkerCaller:
    """Makes the calls of one implementation in a worker process of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.limits = place.limits
        self.given_up_because: str | None = None
        self.pace = Pace()
        self.side = ""
        self.startup = 0.0
        """Seconds that the last start took, the first call (which may import) among them."""
        self._broken = False
        self._trying = False
        self._slowest = 0.0
        self._answered = 0
        self._loaded = False
        """Whether a call has been answered, by this worker or one before it."""
        self._process: Process | None = None
        self._fresh = True
        self._endings_in_a_row: list[str] = []
        self._pace = _AHEAD_SECONDS
        self._number = 0
        self._made: deque[MadeCall] = deque(maxlen=_KEPT_CALLS)
        self._before: tuple[MadeCall, ...] = ()
        self._files: Files = {}
        self._kept: list[Seen] = []
        """What was measured in workers that have been closed."""

    def calls_before(self) -> tuple[MadeCall, ...]:
        """Return the calls made in the process of the last answer before it, the last ones only."""
        return self._before

    def waits(self) -> Mapping[str, float]:
        """Return how long the worker that is there has waited for a core."""
        pid = 0 if self._process is None else self._process.pid
        return starving.waits_of(pid, pid)

    def count_ending(self, *, hung: bool) -> None:
        """Count a call that would have ended the process as one that has ended it."""
        self._count(Observation(ended=HANG if hung else CRASH))

    def start_anew(self) -> None:
        """Let the next call be the first one of a new worker."""
        self._kept += self.measured().seen
        self.close()

    def measure(self, files: Files) -> None:
        """Measure from now on which lines of these files the calls reach, in every worker."""
        self._files = files
        with contextlib.suppress(Ended):
            if self._process is not None:
                self._ask_about("measure", self._process, files)

    def measured(self) -> Measured:
        """Return what was measured since this was asked last, in a worker that is still there."""
        kept, self._kept = self._kept, []
        if not self._files or self._process is None:
            return Measured(0, kept)
        try:
            _, calls, seen, partial = self._ask_about("measured", self._process)
        except Ended:
            self._process = None
            return Measured(0, kept)
        return Measured(calls, [*kept, *map(tuple, seen)], partial)

    def _ask_about(self, what: str, process: Process, *details: object) -> tuple[Any, ...]:
        """Ask a worker about the lines that calls reach, which is no call."""
        process.send(Frame().packed(what, self.place.name, *details))
        self._number += 1
        answer, _ = process.receive(lambda: self._loading().of_call(0, first=self._fresh))
        return answer

    def make_again(self, calls: Iterable[MadeCall]) -> bool:
        """Make calls whose answers nobody needs; return whether the worker is still there."""
        try:
            for call in calls:
                guard = self._guard(call.request)
                self._ask(self._running(), _packed(self.place.name, call.request, guard))
                self._made.append(call)
        except Ended:
            self._process = None
            return False
        return True

    @contextlib.contextmanager
    def while_shrinking(self, *, short_limits: bool = True) -> Iterator[None]:
        """Enter a search for the smallest case that fails: how calls end there does not count.

        With ``short_limits``, a call that does not return gets less time: a second, or twenty times
        what the slowest other call took.
        """
        before = self.given_up_because, self.limits, self._trying
        self._trying = True
        if not self._broken:
            self.given_up_because = None
        if short_limits:
            seconds = min(self.limits.seconds, max(1.0, 20 * self._slowest))
            loading = min(self.limits.loading, max(0.5, 3 * self.startup))
            self.limits = replace(self.limits, seconds=seconds, loading=loading)
        try:
            yield
        finally:
            reason, self.limits, self._trying = before
            self.given_up_because = self.given_up_because if self._broken else reason

    def observe(self, requests: Iterable[Request]) -> Generator[Observation, None, None]:
        """Make the calls, and yield what came of each, in order.

        It stops once the implementation is given up (`given_up_because`).
        """
        source = iter(requests)
        sent: deque[_Sent] = deque()
        try:
            while self.given_up_because is None or self._broken:
                self._send_ahead(source, sent)
                if not sent:
                    return
                observation = sent[0].outcome or self._receive(sent)
                if sent[0].outcome is not observation and observation.ended is not None:
                    continue  # a later call ended the worker
                call = sent.popleft()
                self._before = call.before if call.outcome else tuple(self._made)
                if not call.outcome:
                    self._made.append(call.made)
                self._count(observation)
                if isinstance(call.guard, str):
                    observation = replace(observation, side=call.guard)
                if observation.ended is None:
                    request = call.made.request
                    self.pace.note(request.operator, request.work, observation.seconds)
                yield observation
                if self._broken:
                    return
        finally:
            self._drain(sent)

    def _send_ahead(self, source: Iterator[Request], sent: deque[_Sent]) -> None:
        """Send more calls when few are left, all in one piece, which wakes the worker only once."""
        most = max(1, min(_AHEAD, int(_AHEAD_SECONDS / max(self._pace, 1e-9))))
        if len(sent) > most // 2:
            return
        size = sum(len(call.data) for call in sent)
        waiting, new = bool(sent) and not sent[-1].number, list[_Sent]()
        while len(sent) < most and size < _AHEAD_BYTES:
            request = next(source, None)
            if request is None:
                break
            guard = self._guard(request)
            data = _packed(self.place.name, request, guard)
            new.append(_Sent(MadeCall(request), guard, data))
            sent.append(new[-1])
            size += len(new[-1].data)
        if self._process is not None and not waiting:
            self._send(self._process, new)

    def _receive(self, sent: deque[_Sent]) -> Observation:
        before = time.monotonic()
        try:
            if self._process is None:
                self._process = self._start()
                for call in sent:
                    call.number = 0
            if not sent[0].number:
                # What follows a call that ended its worker waits until somebody asks for it.
                self._send(self._process, list(takewhile(lambda call: not call.outcome, sent)))
            plain, payload = self._process.receive(lambda: self._limit(sent))
            with _readable(self._process):
                *observed, printed = plain[1:]
                observation = take_observed(tuple(observed), payload, printed)
        except Ended as ended:
            observation = ended.seen()
            guilty = self._guilty(sent)
            unread = (s.made for s in sent if 0 < s.number < guilty.number and not s.outcome)
            guilty.outcome, guilty.before = observation, (*self._made, *unread)[-_KEPT_CALLS:]
            self._process = None
            self.pace.total += time.monotonic() - before
            return observation
        passed = time.monotonic() - before
        if self._fresh:
            self._fresh = False
            self.startup += passed
            self.pace.total += passed if self._answered else 0.0  # a worker has ended before
        else:
            self._pace += (passed - self._pace) / 8
            self._slowest = max(self._slowest, passed)
            self._answered += 1
        self._loaded = True
        if self._answered:
            self.pace.wait(passed - observation.seconds)
        self._slowest = max(self._slowest, observation.seconds)  # of the first call, too
        return observation

    def perform(
        self, calls: Sequence[HistoryCall], layout: str, seconds: float, *, watched: bool = False
    ) -> list[Answer]:
        """Make the calls of a history; raise `HistoryEnded` where one of them ends the worker."""
        frame = Frame()
        plain_calls = [
            (
                c.what,
                c.operator,
                frame.put_all(c.inputs),
                dict(c.parameters),
                c.refill,
                c.like,
                c.work,
                c.memory,
                c.takes,
                c.at_once,
            )
            for c in calls
        ]
        side = self.side or side_of(calls[0].case)
        details = layout, seconds, watched, side
        data = frame.packed("history", self.place.name, plain_calls, *details)
        process, begun, fresh = self._process, 0, False
        before = time.monotonic()
        self._before = tuple(self._made) if process is not None else ()
        made = list(made_calls(calls, layout))
        try:
            process = self._running()
            begun, fresh = process.begun, self._fresh
            plain, payload = self._ask(process, data)
            with _readable(process):
                answers = [
                    Answer(
                        take_observed(observation, payload),
                        same,
                        shares,
                        changed_by,
                        take(taken, payload),
                    )
                    for observation, same, shares, changed_by, taken in plain[1]
                ]
        except Ended as ended:
            number = max(0, process.begun - begun - 1) if process is not None else 0
            self._process = None
            self.pace.total += time.monotonic() - before
            self._before = (*self._before, *made[:number])[-_KEPT_CALLS:]
            raise HistoryEnded(replace(ended.seen(), side=side), number) from None
        if fresh and answers:
            self.startup += answers[0].seen.seconds
        self._made.extend(made[: len(answers)])
        self._loaded = True
        note_history(self.pace, calls, answers)
        return answers

    def gaps(self, cases: Sequence[Case]) -> list[str | None]:
        """Return why the implementation declares each case unsupported, or None.

        Raises `RegistrationError` where its ``supports=`` raises, or ends a new process: one that
        has made calls may end by what they did to its memory, and is asked again.
        """
        data = Frame().packed("gaps", self.place.name, [asdict(case) for case in cases])
        try:
            process, has_called = self._running(), not self._fresh
            try:
                plain, _ = self._ask(process, data)
            except Ended:
                self._process = None
                if not has_called:
                    raise
                plain, _ = self._ask(self._running(), data)
        except Ended as ended:
            self._process = None
            where = f"{self.place.target[1]}: implementation '{self.place.name}'"
            raise RegistrationError(f"{where}: asking its supports= failed: {ended.how}") from None
        if plain[0] == "misdeclared":
            raise RegistrationError(plain[1])
        return list(plain[1])

    def _guard(self, request: Request) -> Guard:
        return request.guard or self.side or side_of(request.case)

    def _ask(self, process: Process, data: bytes) -> tuple[tuple[Any, ...], bytearray]:
        """Send one request while none is on its way, and return its answer."""
        process.send(data)
        self._number += 1
        answer = process.receive(lambda: self._loading().of_call(0, first=self._fresh))
        self._fresh = False
        return answer

    def _running(self) -> Process:
        if self._process is None:
            self._process = self._start()
        return self._process

    def _send(self, process: Process, calls: Sequence[_Sent]) -> None:
        if not calls:
            return
        process.send(b"".join(call.data for call in calls))
        for call in calls:
            self._number += 1
            call.number = self._number

    def _limit(self, sent: Iterable[_Sent]) -> float:
        """Return the seconds that any of the calls may take."""
        work = max(call.made.request.work for call in sent)
        limits = self._loading()
        if self._answered < _MANY:
            return limits.of_call(work, first=self._fresh)
        return limits.of_call(work, first=self._fresh, slowest=self._slowest)

    def _loading(self) -> Limits:
        """Return the limits, with less for a first call if it is known what such a call takes."""
        if not self._loaded:
            return self.limits
        usual = min(10.0, self.limits.seconds) + 5 * self.startup
        return replace(self.limits, loading=min(self.limits.loading, usual))

    def _guilty(self, sent: deque[_Sent]) -> _Sent:
        """Return the call that was being made when the worker ended."""
        serving = 0 if self._process is None else self._process.serving
        return next((call for call in sent if call.number == serving and not call.outcome), sent[0])

    def _start(self) -> Process:
        if self._broken:
            raise Ended(CRASH, self.given_up_because or "")
        self._fresh = True
        self._pace = _AHEAD_SECONDS
        self._number = 0
        self._made.clear()
        try:
            process = (spare(self.place) or Process(self.place, self.place.name)).greet()
        except StartError as problem:
            self.given_up_because, self._broken = f"cannot be loaded: {problem}", True
            raise Ended(CRASH, self.given_up_because) from None
        except Ended as ended:
            self.given_up_because, self._broken = f"loading it ended its worker: {ended.how}", True
            raise Ended(ended.kind, self.given_up_because) from None
        self.startup = process.startup
        if self._files:
            self._ask_about("measure", process, self._files)
        return process

    def _count(self, observation: Observation) -> None:
        """Note how a call ended, and whether too many have ended their worker in a row."""
        if self._trying:
            return
        if observation.ended is None:
            self._endings_in_a_row.clear()
            return
        self._endings_in_a_row.append(observation.ended)
        hangs = sum(kind == HANG for kind in self._endings_in_a_row)
        if self.given_up_because is not None:
            return
        if len(self._endings_in_a_row) >= self.limits.crashes:
            self.given_up_because = f"ended after {len(self._endings_in_a_row)} crashes in a row"
        elif hangs >= self.limits.hangs:
            self.given_up_because = f"ended after {hangs} calls in a row that did not come back"

    def _drain(self, sent: deque[_Sent]) -> None:
        """Take the answers that are not needed any more, before the next call is sent."""
        unanswered = [call for call in sent if call.number and not call.outcome]
        if self._process is None or not unanswered:
            return
        deadline = time.monotonic() + _DRAIN
        with contextlib.suppress(Ended):
            for _ in unanswered:
                self._process.receive(lambda: deadline - time.monotonic())
            return
        self.close()

    def close(self) -> None:
        """End the worker; the next call starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()


_spares: dict[Place, Process] = {}
"""Workers that load all of a place to tell its declarations, and then wait for calls."""


def keep(place: Place, process: Process) -> None:
    """Keep this worker for whoever first asks for a `spare` one of the place."""
    if (earlier := spare(place)) is not None:
        earlier.stop()
    _spares[place.shared] = process


def keep_ahead(place: Place) -> None:
    """Start a worker for whoever first asks for a `spare` one of the place, unless one is kept."""
    if place.shared not in _spares:
        with contextlib.suppress(StartError):  # whoever needs it is told
            keep(place, Process(place, place.served))


def spare(place: Place) -> Process | None:
    """Return the worker that is kept for the place, and keep it no more; None if there is none."""
    return _spares.pop(place.shared, None)


def end_spares() -> None:
    """End the workers that nobody has called."""
    while _spares:
        _spares.popitem()[1].stop()


def side_of(case: object) -> str:
    """Return the end of its arrays that a case is called at: in one of four the beginning.

    Code reaches past an end far more often.
    """
    if not isinstance(case, Case):
        return END
    return END if zlib.crc32(case.id.encode()) % 4 else START


def _packed(name: str, request: Request, guard: Guard) -> bytes:
    frame = Frame()
    arguments = frame.put_all(request.inputs), dict(request.parameters)
    memory = request.memory if isinstance(request.memory, str) else tuple(request.memory)
    call = request.operator, *arguments, request.layout, memory, request.nbytes
    return frame.packed("call", name, *call, request.invalid, guard)


@contextlib.contextmanager
def _readable(process: Process) -> Iterator[None]:
    """Stop the worker, and raise `Ended`, where its answer makes no sense: a call wrote over it."""
    try:
        yield
    except Exception as problem:  # whatever decoding noise raises
        process.stop()
        reason = f"{type(problem).__name__}: {problem}"
        raise Ended(CRASH, f"the answer of its worker cannot be read ({reason})") from None
