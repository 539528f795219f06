"""Declarations of a file that only workers load: what it says of itself, and nothing of its code.

A file whose import ends the process, or never ends, is one clear line, not the end of the run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance.calling.observing import HANG
from conformance.case import Case
from conformance.errors import PluginError
from conformance.isolation import AVAILABLE
from conformance.isolation.dispatch import RemoteFunction, caller_at, place_of
from conformance.isolation.process import Ended, Process, StartError
from conformance.isolation.worker_caller import keep
from conformance.known.difference import KnownDifference
from conformance.known.listed import FromFile
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.registration.plugins import check_plugin, load_plugin


@dataclass
class Supports:
    """A ``supports=`` that lies in a worker: asked there, and remembered."""

    place: Place
    known: dict[Case, str | None] = field(default_factory=dict)

    def __call__(self, case: Case) -> bool | str:
        """Return True, or the reason why the implementation declines the case."""
        if case not in self.known:
            self.ask([case])
        return self.known[case] or True

    def ask(self, cases: Iterable[Case]) -> None:
        """Ask for many cases at once."""
        new = [case for case in dict.fromkeys(cases) if case not in self.known]
        if new:
            self.known.update(zip(new, caller_at(self.place).gaps(new), strict=True))


def ask_ahead(one: Implementation, cases: Iterable[Case]) -> None:
    """Ask for all the cases at once, where ``supports=`` lies in a worker."""
    if isinstance(one.supports, Supports):
        operators, dtypes = one.functions, one.dtypes
        one.supports.ask(c for c in cases if c.operator in operators and c.dtype in dtypes)


def load_for(
    plugin: str | Path, isolate: bool | None, limits: Limits
) -> tuple[Implementation, ...]:
    """Load a plugin where its calls will be made: in a worker, unless ``isolate`` is False."""
    elsewhere = AVAILABLE if isolate is None else isolate
    return declare_plugin(plugin, limits) if elsewhere else load_plugin(plugin)


def declare_plugin(path: str | Path, limits: Limits) -> tuple[Implementation, ...]:
    """Load the file ``path`` in a worker, and register what it declares.

    Raises `PluginError` where the file is missing, cannot be loaded, or registers nothing.
    """
    file = check_plugin(path)
    registered = registry.in_use()
    earlier = registered.from_file(file)
    if earlier:
        return earlier
    here = Place(sys.executable, ("file", str(path)), "", limits)  # as typed, for its messages
    try:
        process = Process(here, None)
    except StartError as problem:
        raise PluginError(str(problem)) from None
    except Ended as ended:
        what = "does not end" if ended.kind == HANG else "ends the process that does it"
        raise PluginError(f"plugin {path}: importing it {what}: {ended.how}") from None
    here = replace(here, target=("file", str(file)))
    keep(here, process)
    new = [_declared(plain, replace(here, name=plain["name"])) for plain in process.declared]
    for implementation in new:
        registered.register_remote(implementation)
    return tuple(new)


def declared_as(name: str, python: str, base: Implementation, limits: Limits) -> Implementation:
    """Load the implementation ``base`` in another interpreter, and register it as ``name``.

    Raises `StartError` where that interpreter cannot serve or has not what it needs.
    """
    place = replace(base.place or place_of(base, limits), python=python)
    try:
        process = Process(place, place.name)
    except Ended as ended:
        what = f"loading '{place.name}' failed"
        raise StartError(f"interpreter {python}: {what}: {ended.how}") from None
    process.stop()
    (plain,) = process.declared
    implementation = replace(
        _declared(plain | {"known": []}, place),
        name=name,
        snippet=base.snippet,
        known=base.known,
    )
    registry.in_use().register_remote(implementation)
    return implementation


def _declared(plain: dict[str, Any], place: Place) -> Implementation:
    """Return the implementation that a worker's declarations describe.

    Raises `PluginError` for a known difference that only its own process could tell.
    """
    name, known = plain["name"], plain["known"]
    if isinstance(known, str):
        known = FromFile(Path(known), name)
    else:
        for entry in known:
            if entry["where"] is None:
                raise PluginError(
                    f"{place.target[1]}: implementation '{name}': known={entry['requirement']}: "
                    "where is a function, which stays in its worker; write fields, or run it with "
                    "--no-isolate"
                )
        known = tuple(KnownDifference(**entry) for entry in known)
    supports = Supports(place) if plain["supports"] else None
    functions = {
        operator: RemoteFunction(module, function, operator, place)
        for operator, (module, function) in plain["functions"].items()
    }
    changed = {"known": known, "supports": supports, "functions": functions, "place": place}
    return Implementation(**plain | changed)
