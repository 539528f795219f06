"""Who makes an implementation's calls in this process: the process itself, or a worker of its own.

Workers live as long as the process: a block of a run finds those that the block before has left.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.calling import (
    CRASH,
    CallEnded,
    Caller,
    InProcess,
    Observation,
    RaisedElsewhere,
    Request,
)
from conformance.errors import ConformanceError, Unsupported
from conformance.isolation import AVAILABLE
from conformance.isolation.worker_caller import WorkerCaller, end_spares
from conformance.registration import entry_points, registry
from conformance.registration.implementation import Implementation, names_of
from conformance.registration.place import Limits, Place
from conformance.registration.plugins import load_plugin

_UNKNOWN_WORK = 10**9
"""What is allowed for a call of which only the arguments are known."""

_callers: dict[Place, WorkerCaller] = {}


def caller_of(one: Implementation) -> Caller:
    """Return what makes the calls of ``one``: always the same for the same place."""
    return InProcess(one.functions) if one.place is None else caller_at(one.place)


def caller_at(place: Place) -> WorkerCaller:
    """Return the caller of a place; its worker starts with its first call."""
    if place not in _callers:
        _callers[place] = WorkerCaller(place)
    return _callers[place]


@atexit.register
def close_all() -> None:
    """End every worker of this process."""
    while _callers:
        _callers.popitem()[1].close()
    end_spares()


def call_once(one: Implementation, request: Request) -> Observation:
    """Make one call of ``one``, wherever its calls are made."""
    return _first(caller_of(one), request)


def _first(caller: Caller, request: Request) -> Observation:
    with contextlib.closing(caller.observe([request])) as observations:
        for seen in observations:
            return seen
    return Observation(ended=CRASH, how=caller.lost or "")


class RemoteFunction:
    """What stands for a function that a worker calls: the names that it goes by there."""

    def __init__(self, module: str, name: str, operator: str, place: Place) -> None:
        self.__module__ = module
        self.__name__ = name
        self.operator = operator
        self.place = place

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        """Let the worker make the call; return or raise what it returns or raises there.

        Raises `conformance.calling.CallEnded` where the call ends the worker.
        """
        request = Request(self.operator, arguments, parameters, "NCHW", work=_UNKNOWN_WORK)
        seen = _first(caller_at(self.place), request)
        if seen.ended is not None:
            raise CallEnded(seen)
        if seen.unsupported is not None:
            raise Unsupported(seen.unsupported)
        if seen.raised is not None:
            raise RaisedElsewhere(seen.raised)
        return seen.output


class RemoteFunctions(dict[str, Callable[..., Any]]):
    """Functions that a worker calls in the place of those that this process has loaded."""


def called_in_worker(implementation: Implementation, place: Place) -> Implementation:
    """Return it with its calls made in a worker; the registered one stays as it is."""
    functions = RemoteFunctions(
        (operator, RemoteFunction(*names_of(operator, function), operator, place))
        for operator, function in implementation.functions.items()
    )
    return replace(implementation, functions=functions, place=place)


@dataclass(frozen=True, slots=True)
class Reference:
    """What another process needs to find an implementation: its functions stay where they are."""

    name: str
    origin: str
    place: Place | None


def to_pool(implementation: Implementation) -> Implementation | Reference:
    """Return what can be sent to another process in the place of an implementation.

    One that only workers load goes as it is: its declarations are all that there is.
    """
    place = implementation.place
    if place is not None and not isinstance(implementation.functions, RemoteFunctions):
        return implementation
    return Reference(implementation.name, implementation.origin, place)


def in_pool(sent: Implementation | Reference) -> Implementation:
    """Return the implementation that `to_pool` has sent, loading its file if need be.

    Raises `PluginError` where that file cannot be loaded.
    """
    if isinstance(sent, Implementation):
        return sent
    if sent.name not in registry.implementations():
        load_plugin(sent.origin)
    implementation = registry.get(sent.name)
    return called_in_worker(implementation, sent.place) if sent.place else implementation


def isolated(one: Implementation, wanted: bool | None, limits: Limits) -> Implementation:
    """Return ``one`` with its calls made in a worker, where that is ``wanted`` or (None) usual.

    Raises `ConformanceError` where a worker is wanted, and none could load it.
    """
    if not one.installed or one.place is not None:
        return one
    if wanted is None:
        # What needs a package is somebody else's code. What cannot be loaded again by its name,
        # such as a function in a notebook, is called here; what a plugin registers has a place.
        wanted = AVAILABLE and one.package is not None and one.module in entry_points.modules()
    return called_in_worker(one, place_of(one, limits)) if wanted else one


def place_of(one: Implementation, limits: Limits) -> Place:
    """Return where a worker finds ``one``; raise `ConformanceError` where none could."""
    module = one.module
    file = getattr(sys.modules.get(module), "__file__", None)
    own = bool(file) and Path(str(file)).resolve() == Path(one.origin)
    plugin = module.startswith("convformance_plugin_") or module == "__main__"
    if module in entry_points.modules() or (own and not plugin):
        return Place(sys.executable, ("module", module), one.name, limits)
    if own:
        return Place(sys.executable, ("file", one.origin), one.name, limits)
    raise ConformanceError(
        f"implementation '{one.name}' is registered in {one.origin}, which a worker process cannot "
        f"load; put it into a file of its own and name that with --plugin"
    )
