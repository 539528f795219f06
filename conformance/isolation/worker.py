"""The worker: loads one implementation, makes the calls that come through its pipe, and answers.

Needs NumPy and what the implementation needs. What this file answers is in PROTOCOL.md.
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import platform
import shlex
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Any, NoReturn

import numpy as np

from conformance.arrays import interpreters
from conformance.arrays.parameters import OWN
from conformance.calling import process_state
from conformance.calling.caller import Request, observe_request
from conformance.calling.guards import Arena, Guard, Guards
from conformance.calling.history import Answer, HistoryCall, perform
from conformance.calling.measuring import Watch
from conformance.calling.observing import Observation, one_line
from conformance.calling.timed import Form, TimedCall, TimedCalls
from conformance.case import Case
from conformance.errors import ConformanceError, RegistrationError
from conformance.isolation import PROTOCOL
from conformance.isolation.wire import Frame, Inbox, observed, take
from conformance.known.difference import KnownDifference
from conformance.known.listed import FromFile
from conformance.registration import registry
from conformance.registration.declarations import Declarations
from conformance.registration.implementation import Implementation, names_of, source_line
from conformance.registration.options import split
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Registry

_CHUNK = 1 << 20
_SHOWN = 400
"""Characters of what a call printed that are reported."""
_LARGEST = 1 << 32
"""Bytes of an output that are sent where its size is not known; of a larger one only the shape."""
_STDOUT, _STDERR = 1, 2
_BEGUN, _SERVING, _PIPE_LOST = 0, 2, 3
"""Indices into the page that is shared with the run: calls begun, requests taken up, and whether a
call has closed the pipe."""
_WRONG = [field.name for field in fields(TimedCall)].index("wrong")
_KEPT, _KEPT_SECONDS = 1 << 15, 0.005
"""Bytes and seconds of answers that are sent as one piece, while there are requests left."""


def serve(requests: int, answers: int, page: int) -> NoReturn:
    """Answer the greeting, then every request, until the run closes the pipe."""
    pipe = _Pipe(requests, answers)
    shared = np.frombuffer(mmap.mmap(page, mmap.PAGESIZE), np.int64)
    greeting, _ = pipe.receive()
    _, protocol, path, target, name = greeting
    if protocol != PROTOCOL:
        _end(pipe, "refused", f"it speaks protocol {PROTOCOL} of workers, the run {protocol}")
    if path is not None:
        sys.path[:] = path
    interpreters.install()
    warnings.simplefilter("ignore")  # given once a process at most: no part of an answer
    warnings.filterwarnings("ignore", module="conformance")  # what ignores all is noticed
    implementations = _load(target, name, pipe, there=path is None)
    declared = [declarations(implementation) for implementation in implementations]
    versions = platform.python_version(), np.__version__
    pipe.send(Frame().packed("hello", PROTOCOL, os.getpid(), *versions, declared))
    process_state.look_at_all()
    server = _Server({each.name: each for each in implementations}, pipe, shared)
    server.may_print = target[0] == "program"
    while True:
        frame = pipe.receive()
        shared[_SERVING] += 1
        pipe.send_later(server.answer(*frame))


class _Pipe:
    """The worker's ends of both pipes; the worker exits when the run closes its end."""

    def __init__(self, requests: int, answers: int) -> None:
        self.requests, self.answers = requests, answers
        self.inbox = Inbox()
        self.frames: deque[tuple[tuple[Any, ...], bytearray]] = deque()
        self.pending: list[bytes] = []
        self.size = 0
        self.since = 0.0

    def receive(self) -> tuple[tuple[Any, ...], bytearray]:
        while not self.frames:
            data = os.read(self.requests, _CHUNK)
            if not data:
                os._exit(0)
            self.inbox.feed(data)
            self.frames += self.inbox.frames()
        return self.frames.popleft()

    def send_later(self, data: bytes) -> None:
        """Send an answer together with those that follow soon: each piece wakes the run once."""
        if not self.pending:
            self.since = time.monotonic()
        self.pending.append(data)
        self.size += len(data)
        old = time.monotonic() - self.since > _KEPT_SECONDS
        if not self.frames or self.size > _KEPT or old:
            self.send(b"".join(self.pending))
            self.pending, self.size = [], 0

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.answers, view) :]


def _load(
    target: tuple[str, str], name: str | None, pipe: _Pipe, *, there: bool
) -> list[Implementation]:
    """Return the implementations of a module or file, or the one of that name.

    ``there`` says that the run has another interpreter, whose user must be told which lacks what.
    """
    registered = Registry()  # for this module alone: others may need missing packages
    registry.use(registered)
    kind, location = target
    try:
        if kind == "module":
            importlib.import_module(location)
            implementations = list(registered.implementations().values())
        elif kind == "file":
            implementations = list(load_plugin(location))
        else:
            form = importlib.import_module(f"conformance.forms.{kind}")  # other workers need none
            implementations = [form.load(location)]
    except ConformanceError as problem:
        _end(pipe, "failed", str(problem))
    except BaseException as problem:  # whatever an import raises, SystemExit among it
        _end(pipe, "failed", f"{location}: {type(problem).__name__}: {one_line(problem)}")
    if name is None:
        _start(implementations, pipe)
        return implementations
    named = [implementation for implementation in implementations if implementation.name == name]
    if not named and split(name)[1]:
        try:
            named = [registered.get(name)]
        except ConformanceError as problem:
            _end(pipe, "failed", str(problem))
    if not named:
        _end(pipe, "failed", f"{location}: registers no implementation called '{name}'")
    if not named[0].installed:
        hint, lacking = named[0].hint, ", ".join(named[0].missing)
        if there:
            install = f"{shlex.quote(sys.executable)} -m pip install {named[0].to_install}"
            hint = f"not installed there: {sys.executable} has no {lacking}: {install}"
        _end(pipe, "failed", f"implementation '{name}' is {hint}")
    _start(named, pipe)
    return named


def _start(implementations: Sequence[Implementation], pipe: _Pipe) -> None:
    """Import the libraries whose arrays are taken, so that no call is the one that does.

    What the options of a variant ask for is done here, too, and programs of adapters are started.
    """
    for implementation in implementations:
        if implementation.installed:
            try:
                if implementation.setup is not None:
                    implementation.setup.enter()
                for operator, function in implementation.functions.items():
                    implementation.in_form(operator, function)
                    if hasattr(function, "start_program"):
                        function.start_program()
            except ConformanceError as problem:
                _end(pipe, "failed", str(problem))


def _end(pipe: _Pipe, answer: str, reason: str) -> NoReturn:
    """Answer the greeting with a reason why nothing else will be answered, and end."""
    pipe.send(Frame().packed(answer, one_line(reason)))
    os._exit(0)


def declarations(implementation: Implementation) -> dict[str, Any]:
    """Return what an implementation declares as plain values, functions as their names.

    ``supports`` tells only whether there is such a function, unless it is data, and ``snippet`` is
    left out.
    """
    plain = {spec.name: getattr(implementation, spec.name) for spec in fields(Declarations)}
    return plain | {
        "name": implementation.name,
        "origin": implementation.origin,
        "module": implementation.module,
        "declared_version": implementation.version,
        "packages_there": dict(implementation.packages),
        "keywords_there": implementation.keywords if implementation.parameters != OWN else None,
        "recipes_there": {
            operator: {dims: asdict(recipe) for dims, recipe in recipes.items()}
            for operator, recipes in implementation.recipes.items()
        },
        "known": _plain_known(implementation.known),
        "supports": _plain_supports(implementation.supports),
        "snippet": None,
        "functions": {
            operator: (*names_of(operator, f), source_line(f))
            for operator, f in implementation.functions.items()
        },
    }


def _plain_supports(supports: Any) -> bool | dict[str, Any]:
    """Return the fields of a ``supports=`` that is data (`conformance.only`), else if there is one.

    Its module is not imported here: most workers have no other use for it.
    """
    return asdict(supports) if type(supports).__name__ == "Only" else supports is not None


def _plain_known(known: Sequence[KnownDifference]) -> str | list[dict[str, Any]]:
    """Return the file that lists known differences, or each of them as plain values.

    An entry's ``where`` is None if it is a function.
    """
    if isinstance(known, FromFile):
        return str(known.path)
    names = {field.name for field in fields(KnownDifference)} - {"_", "where", "machine"}
    return [
        {name: getattr(entry, name) for name in names}
        | {"where": dict(entry.where) if isinstance(entry.where, Mapping) else None}
        | {"machine": dict(entry.machine)}
        for entry in known
    ]


class _Server:
    def __init__(self, implementations: dict[str, Implementation], pipe: _Pipe, page: Any) -> None:
        self.implementations = implementations
        self.pipe = pipe
        self.page = page
        self.pid = os.getpid()
        self.arena = Arena()
        self.watch = Watch()
        self.timed: TimedCalls | None = None
        self.may_print = False
        """Whether what is printed is a log, and none of the calls' business."""

    def answer(self, plain: tuple[Any, ...], payload: bytearray) -> bytes:
        """Make what is asked for, and return the answer."""
        kind, name, *details = plain
        answers = {"call": self._call, "history": self._history, "gaps": self._gaps}
        answers |= {"measure": self._measure, "measured": self._measured}
        answers |= {"timing": self._timing, "time": self._time}
        return answers[kind](self.implementations[name], details, payload)

    def _call(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        operator, items, parameters, layout, memory, nbytes, invalid, guard = details
        try:
            inputs = tuple(take(item, payload) for item in items)
        except ConformanceError as problem:  # a dtype that needs a package
            return _seen(Observation(unsupported=str(problem)), None, 0)
        function = self._counted(implementation.functions[operator])
        function = implementation.in_form(operator, function)
        request = Request(operator, inputs, parameters, layout, memory, invalid=invalid)
        guarded = self._guarded(implementation, guard)
        call = partial(observe_request, function, request, guarded)
        return _seen(*(_unheard(call) if self.may_print else _listened(call)), nbytes)

    def _history(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        plain_calls, layout, seconds, watched, guard = details
        try:
            calls = [
                HistoryCall(label, operator, tuple(take(i, payload) for i in items), *more)
                for label, operator, items, *more in plain_calls
            ]
        except ConformanceError as problem:
            gap = Answer(Observation(unsupported=str(problem)))
            return _answered([gap] * len(plain_calls))
        functions = {
            operator: implementation.in_form(operator, self._counted(function))
            for operator, function in implementation.functions.items()
        }
        guarded = self._guarded(implementation, guard)
        answers = perform(
            functions, calls, layout, seconds=seconds, watched=watched, guarded=guarded
        )
        _said()  # a single call shows what is printed
        return _answered(answers)

    def _guarded(self, implementation: Implementation, guard: Guard) -> Callable[[], Guards]:
        return partial(Guards, self.arena, guard, implementation.reads_beyond)

    def _measure(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        self.watch.begin(*details)
        return self._measured(implementation, details, payload)

    def _measured(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        found = self.watch.measured()
        return Frame().packed("measured", found.calls, list(found.seen), found.partial)

    def _timing(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        """Prepare the timed calls of one function, whose data lie in the file ``path``."""
        operator, parameters, arguments, result, slots, path = details
        form = Form(tuple(arguments), result)
        try:
            with open(path, "r+b") as file:
                buffer = mmap.mmap(file.fileno(), slots * form.size)
            placed = [form.slot(buffer, number) for number in range(slots)]
        except ConformanceError as problem:  # a dtype that needs a package
            return Frame().packed("declined", str(problem))
        function = implementation.in_form(operator, implementation.functions[operator])
        if self.timed is not None:
            self.timed.close()
        self.timed = TimedCalls(function, parameters, placed)
        return Frame().packed("ready")

    def _time(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        """Make the calls of these slots, and answer when their outputs lie there."""
        assert self.timed is not None
        self.page[_BEGUN] += 1
        frame, rows = Frame(), []
        for call in self.timed.make(details[0]):
            wrong = frame.put_output(call.wrong, 0)
            rows.append([getattr(call, each.name) for each in fields(call)])
            rows[-1][_WRONG] = wrong
        self._look_around()
        if _printed():
            _said()
        return frame.packed("timed", rows)

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that the run can count the calls that began."""
        function = self.watch.over(function)

        def call(*arguments: Any, **parameters: Any) -> Any:
            self.page[_BEGUN] += 1
            try:
                return function(*arguments, **parameters)
            except (Exception, SystemExit):
                raise
            except BaseException as problem:  # KeyboardInterrupt, GeneratorExit: whatever it raises
                raise RuntimeError(f"{type(problem).__name__}: {problem}") from None
            finally:
                self._look_around()

        return call

    def _look_around(self) -> None:
        """Exit if the call has forked this process, or closed a pipe."""
        if os.getpid() != self.pid:  # a child that the call has forked, and that came back here
            os._exit(0)
        try:
            os.fstat(self.pipe.answers)
            os.fstat(self.pipe.requests)
        except OSError:
            self.page[_PIPE_LOST] = 1
            os._exit(1)

    def _gaps(
        self, implementation: Implementation, details: list[Any], payload: bytearray
    ) -> bytes:
        (cases,) = details
        try:
            gaps = [implementation.gap(Case(**case)) for case in cases]
        except RegistrationError as problem:
            return Frame().packed("misdeclared", str(problem))
        return Frame().packed("gaps", gaps)


def _listened(call: Callable[[], Observation]) -> tuple[Observation, str | None]:
    """Return what a call did, and what it prints each time that it is made.

    What an engine prints once, when it is first used, is no part of the call. So the output of a
    call counts only if the same call, made again at once, prints as well.
    """
    observation = call()
    if not _printed():
        return observation, None
    first = _said()
    call()
    again = _printed()
    _said()
    return observation, first if again else None


def _unheard(call: Callable[[], Observation]) -> tuple[Observation, None]:
    """Return what a call did. What was printed before it is forgotten, so that it is not much."""
    if _printed():
        _said()
    return call(), None


def _seen(observation: Observation, printed: str | None, nbytes: int | None) -> bytes:
    frame = Frame()
    most = _LARGEST if nbytes is None else nbytes
    return frame.packed("seen", *observed(frame, observation, most), printed)


def _answered(answers: Sequence[Answer]) -> bytes:
    frame = Frame()
    return frame.packed(
        "answers",
        [
            (
                observed(frame, answer.seen, _LARGEST),
                answer.same,
                answer.shares,
                answer.changed_by,
                frame.put_output(answer.taken, _LARGEST),
            )
            for answer in answers
        ],
    )


def _printed() -> bool:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        return os.fstat(_STDOUT).st_size + os.fstat(_STDERR).st_size > 0
    except OSError:  # closed by the call
        return False


def _said() -> str:
    """Return, and forget, what was written to stdout and stderr."""
    parts = []
    for number, name in ((_STDOUT, "stdout"), (_STDERR, "stderr")):
        try:
            size = os.fstat(number).st_size
            if size:
                text = os.pread(number, _SHOWN, 0).decode(errors="replace")
                parts.append(f"{size} bytes to {name}: {one_line(text)!a}")
            os.ftruncate(number, 0)
        except OSError:
            continue
    return "; ".join(parts)
