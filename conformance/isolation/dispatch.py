"""Who makes an implementation's calls in this process: the process itself, or a worker of its own.

Workers live as long as the process: a block of a run finds those that the block before has left.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from conformance.calling import (
    CRASH,
    CallEnded,
    Caller,
    InProcess,
    Inputs,
    Observation,
    RaisedElsewhere,
    Request,
)
from conformance.errors import ConformanceError, Unsupported
from conformance.isolation import AVAILABLE
from conformance.isolation.limits import Limits
from conformance.isolation.place import Place, module_of, moved
from conformance.isolation.worker_caller import Isolated, end_spares
from conformance.registration.registry import ENTRY_POINT_GROUP, Implementation

_UNKNOWN_WORK = 10**9
"""What is allowed for a call of which only the arguments are known."""

_callers: dict[Place, Isolated] = {}


def caller_of(one: Implementation) -> Caller:
    """Return what makes the calls of ``one``: always the same for the same place."""
    return InProcess(one.functions) if one.place is None else caller_at(one.place)


def caller_at(place: Place) -> Isolated:
    """Return the caller of a place; its worker starts with its first call."""
    if not _callers:
        atexit.register(close_all)
    if place not in _callers:
        _callers[place] = Isolated(place)
    return _callers[place]


def close_all() -> None:
    """End every worker of this process."""
    while _callers:
        _callers.popitem()[1].close()
    end_spares()


def call_once(one: Implementation, request: Request) -> Observation:
    """Make one call of ``one``, wherever its calls are made."""
    return _first(caller_of(one), request)


def invoke(place: Place, operator: str, arguments: Inputs, parameters: Mapping[str, Any]) -> Any:
    """Make one call in a worker as if it were made here: return the output, or raise."""
    request = Request(operator, arguments, parameters, "NCHW", work=_UNKNOWN_WORK)
    seen = _first(caller_at(place), request)
    if seen.ended is not None:
        raise CallEnded(seen)
    if seen.unsupported is not None:
        raise Unsupported(seen.unsupported)
    if seen.raised is not None:
        raise RaisedElsewhere(seen.raised)
    return seen.output


def _first(caller: Caller, request: Request) -> Observation:
    with contextlib.closing(caller.observe([request])) as observations:
        for seen in observations:
            return seen
    return Observation(ended=CRASH, how=caller.lost or "")


def isolated(one: Implementation, wanted: bool | None, limits: Limits) -> Implementation:
    """Return ``one`` with its calls made in a worker, where that is ``wanted`` or (None) usual.

    Raises `ConformanceError` where a worker is wanted, and none could load it.
    """
    if not one.installed or one.place is not None:
        return one
    chosen = _by_default(one) if wanted is None else wanted
    return moved(one, place_of(one, limits)) if chosen else one


def _by_default(one: Implementation) -> bool:
    """Whether an implementation is isolated unless it is asked for otherwise.

    What needs a package is somebody else's code; so is what a plugin registers, which workers alone
    load. What cannot be loaded again by its name, such as a function in a notebook, is called here.
    """
    return AVAILABLE and one.package is not None and module_of(one) in _entry_modules()


def place_of(one: Implementation, limits: Limits) -> Place:
    """Return where a worker finds ``one``; raise `ConformanceError` where none could."""
    module = module_of(one)
    file = getattr(sys.modules.get(module), "__file__", None)
    own = bool(file) and Path(str(file)).resolve() == Path(one.origin)
    plugin = module.startswith("convformance_plugin_") or module == "__main__"
    if module in _entry_modules() or (own and not plugin):
        return Place(sys.executable, ("module", module), one.name, limits)
    if own:
        return Place(sys.executable, ("file", one.origin), one.name, limits)
    raise ConformanceError(
        f"implementation '{one.name}' is registered in {one.origin}, which a worker process cannot "
        f"load; put it into a file of its own and name that with --plugin"
    )


def _entry_modules() -> set[str]:
    return {entry.module for entry in entry_points(group=ENTRY_POINT_GROUP)}
