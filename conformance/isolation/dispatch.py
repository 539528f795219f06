"""Dispatch: an implementation's calls are made by this process itself, or by a worker.

Workers live as long as this process, so that each block of a run uses those of the block before.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.arrays.parameters import OWN
from conformance.calling import (
    CRASH,
    CallEnded,
    Caller,
    InProcess,
    Observation,
    Pace,
    RaisedInWorker,
    Request,
    Watch,
)
from conformance.calling.caller import forget_calls
from conformance.calling.guards import SIDES
from conformance.case import Case
from conformance.errors import ConformanceError, Unsupported
from conformance.isolation import AVAILABLE
from conformance.isolation.process import Ended, Process, StartError
from conformance.isolation.worker_caller import (
    WorkerCaller,
    end_spares,
    keep,
    keep_ahead,
    side_of,
)
from conformance.registration import entry_points, registry
from conformance.registration.implementation import Implementation, names_of, source_line
from conformance.registration.options import split
from conformance.registration.place import Limits, Place
from conformance.registration.plugins import load_plugin

_UNKNOWN_WORK = 10**9
"""Multiply-accumulates that are assumed of a call of which only the arguments are known."""

_OWN_PACKAGE = __name__.partition(".")[0]

_callers: dict[Place, WorkerCaller] = {}
_paces: defaultdict[str, Pace] = defaultdict(Pace)
_watches: defaultdict[str, Watch] = defaultdict(Watch)
"""Of the implementations whose calls this process makes, by name."""


def caller_of(implementation: Implementation) -> Caller:
    """Return the caller that makes the calls of ``implementation``; each place has one caller."""
    place = implementation.place
    if place is not None:
        return caller_at(place)
    name = implementation.name
    functions, in_form = implementation.functions, implementation.in_form
    return InProcess(functions, _paces[name], _watches[name], in_form)


def caller_at(place: Place) -> WorkerCaller:
    """Return the caller of a place; its worker starts with its first call."""
    if place not in _callers:
        _callers[place] = WorkerCaller(place)
    return _callers[place]


@atexit.register
def close_all() -> None:
    """End every worker of this process, and forget what calls took."""
    forget_calls()
    _paces.clear()
    while _watches:
        _watches.popitem()[1].end()
    while _callers:
        _callers.popitem()[1].close()
    end_spares()


def for_operator(implementation: Implementation, operator: str) -> Implementation:
    """Return a copy whose worker makes calls of ``operator`` alone, if it is not the suite's own.

    A compiled kernel may write outside of its arrays; then a later call in the same process pays
    for it. In workers of their own the functions of a user's file or package cannot harm each
    other. The workers of its other operators are ended.
    """
    place = implementation.place
    kind, location = place.target if place is not None else ("", "")
    if place is None or (kind == "module" and location.startswith(f"{_OWN_PACKAGE}.")):
        return implementation
    own = replace(place, part=operator)
    for other in [p for p in _callers if p != own and replace(p, part=operator) == own]:
        if other.part:
            _callers.pop(other).close()
    caller_at(own)
    return replace(implementation, place=own)


@contextlib.contextmanager
def fresh_worker(implementation: Implementation) -> Iterator[WorkerCaller | None]:
    """Let a new worker, which has made no call, make the calls of ``implementation``.

    It is None where this process makes them: nothing makes that one new.
    """
    place = implementation.place
    if place is None:
        yield None
        return
    before = _callers.pop(place, None)
    try:
        fresh = caller_at(place)
        fresh.side = before.side if before is not None else ""
        yield fresh
    finally:
        _callers.pop(place).close()
        if before is not None:
            _callers[place] = before


def start_ahead(implementation: Implementation) -> None:
    """Start what `fresh_worker` is soon to take, while this process does other things.

    An engine's adapter is left out: two of its processes more may not fit into memory.
    """
    place = implementation.place
    if place is not None and place.target[0] != "module":
        keep_ahead(place)


def answers_questions(place: Place) -> WorkerCaller:
    """Return a caller that can be asked about declarations: one that is there already, if any."""
    same = (caller for other, caller in _callers.items() if replace(other, part="") == place)
    return next(same, None) or caller_at(place)


def at_both_sides(implementation: Implementation, case: Case) -> Iterator[None]:
    """Let the calls of one turn have the guards of a case, and those of a second turn the others.

    There is one turn where this process makes the calls, without guards.
    """
    caller = caller_of(implementation)
    yield
    if implementation.place is not None:
        caller.side = SIDES[SIDES[0] == side_of(case)]
        try:
            yield
        finally:
            caller.side = ""


def call_once(implementation: Implementation, request: Request) -> Observation:
    """Make one call of ``implementation``, wherever its calls are made."""
    return _first(caller_of(implementation), request)


def _first(caller: Caller, request: Request) -> Observation:
    with contextlib.closing(caller.observe([request])) as observations:
        for observation in observations:
            return observation
    return Observation(ended=CRASH, how=caller.given_up_because or "")


class RemoteFunction:
    """A stand-in for a function that a worker calls, with its module and its name there."""

    def __init__(
        self,
        module: str,
        name: str,
        operator: str,
        place: Place,
        source_line: tuple[str, int] | None = None,
    ) -> None:
        self.__module__ = module
        self.__name__ = name
        self.source_line = source_line
        self.operator = operator
        self.place = place

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        """Let the worker make the call; return or raise what it returns or raises there.

        Raises `conformance.calling.CallEnded` where the call ends the worker.
        """
        request = Request(self.operator, arguments, parameters, "NCHW", work=_UNKNOWN_WORK)
        observation = _first(caller_at(self.place), request)
        if observation.ended is not None:
            raise CallEnded(observation)
        if observation.unsupported is not None:
            raise Unsupported(observation.unsupported)
        if observation.raised is not None:
            raise RaisedInWorker(observation)
        return observation.output


def is_from_plugin(implementation: Implementation) -> bool:
    """Whether an implementation was registered by a plugin, wherever that was loaded."""
    if implementation.place is not None:
        return implementation.place.target[0] != "module"
    registered = registry.in_use()
    return Path(registered.file_of(implementation)) in registered.plugins()


class RemoteFunctions(dict[str, Callable[..., Any]]):
    """Stand-ins for functions that this process has loaded as well."""


def called_in_worker(implementation: Implementation, place: Place) -> Implementation:
    """Return a copy whose calls a worker makes; the registered implementation does not change."""
    functions = RemoteFunctions(
        (
            operator,
            RemoteFunction(*names_of(operator, function), operator, place, source_line(function)),
        )
        for operator, function in implementation.functions.items()
    )
    known = None if implementation.parameters == OWN else implementation.keywords
    return replace(
        implementation,
        functions=functions,
        place=place,
        keywords_there=known,
        recipes_there=implementation.recipes,
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """What another process needs to find an implementation, whose functions are not sent."""

    name: str
    origin: str
    place: Place | None


def to_pool(implementation: Implementation) -> Implementation | Reference:
    """Return what can be sent to another process instead of an implementation.

    An implementation that only workers load is sent itself: it consists of declarations.
    """
    place = implementation.place
    if place is not None and not isinstance(implementation.functions, RemoteFunctions):
        return implementation
    return Reference(implementation.name, registry.in_use().file_of(implementation), place)


def in_pool(sent: Implementation | Reference) -> Implementation:
    """Return the implementation that `to_pool` has sent, loading its file if need be.

    Raises `PluginError` where that file cannot be loaded.
    """
    if isinstance(sent, Implementation):
        return sent
    if not {sent.name, split(sent.name)[0]} & {*registry.implementations()}:
        load_plugin(sent.origin)
    implementation = registry.get(sent.name)
    return called_in_worker(implementation, sent.place) if sent.place else implementation


def isolated(
    implementation: Implementation, isolate: bool | None, limits: Limits
) -> Implementation:
    """Return ``implementation``, with its calls made in a worker if ``isolate`` says so.

    None leaves the choice to the suite: a worker makes the calls of an implementation that needs a
    package, and what is called inside of a context (`registration.options`). Raises
    `ConformanceError` where a worker is asked for that could not load it.
    """
    if not implementation.installed:
        return implementation
    if implementation.place is not None:
        if implementation.place.apart:
            _load_now(implementation.place)
        return implementation
    setup = implementation.setup
    surrounded = setup is not None and setup.changes_process
    if surrounded and isolate is False:
        raise ConformanceError(
            f"implementation '{implementation.name}': what --import and --around do to a process "
            f"is done in a worker; leave out --no-isolate (isolate=False)"
        )
    if isolate is None and surrounded:
        isolate = True
    elif isolate is None:
        # What needs a package is somebody else's code. What cannot be loaded again by its name,
        # such as a function in a notebook, is called here; what a plugin registers has a place.
        packaged = implementation.package is not None
        isolate = AVAILABLE and packaged and implementation.module in entry_points.modules()
    if not isolate:
        return implementation
    place = place_of(implementation, limits)
    if setup is not None:  # which imports the engine, as the first call does elsewhere
        limits = replace(limits, loading=2 * limits.loading)
        place = replace(place, apart=True, limits=limits)
        _load_now(place)
    return called_in_worker(implementation, place)


def _load_now(place: Place) -> None:
    """Start a worker, so that what is not there, such as a device, is said before any call."""
    if place in _callers:
        return
    try:
        keep(place, Process(place, place.served).greet())
    except Ended as ended:
        raise StartError(f"loading '{place.name}' ended its worker: {ended.how}") from None


def place_of(implementation: Implementation, limits: Limits) -> Place:
    """Return where a worker finds ``implementation``; raise `ConformanceError` where none could."""
    name, module, origin = implementation.name, implementation.module, implementation.origin
    file = getattr(sys.modules.get(module), "__file__", None)
    is_loaded = bool(file) and Path(str(file)).resolve() == Path(origin)
    loaded_by = registry.in_use().file_of(implementation)
    plugin = Path(loaded_by) in registry.in_use().plugins() or module == "__main__"
    if module in entry_points.modules() or (is_loaded and not plugin):
        return Place(sys.executable, ("module", module), name, limits)
    if is_loaded:
        return Place(sys.executable, ("file", loaded_by), name, limits)
    raise ConformanceError(
        f"implementation '{name}' is registered in {origin}, which a worker process cannot "
        f"load; put it into a file of its own and name that with --plugin"
    )
