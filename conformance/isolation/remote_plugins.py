"""Implementations of a file that only workers load: this process has only their declarations.

A file whose import crashes or never ends is one line of error, and not the end of the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance.calling.observing import HANG
from conformance.case import Case
from conformance.cases.only import Only
from conformance.errors import PluginError
from conformance.isolation import AVAILABLE
from conformance.isolation.dispatch import RemoteFunction, answers_questions, place_of
from conformance.isolation.patience import ending, telling
from conformance.isolation.process import Ended, Process, StartError
from conformance.isolation.worker_caller import keep, spare
from conformance.known.difference import KnownDifference
from conformance.known.listed import FromFile
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.registration.plugins import check_plugin, load_plugin
from conformance.registration.recipes import Recipe


@dataclass
class Supports:
    """A ``supports=`` function in a worker, whose answers are remembered."""

    place: Place
    answers: dict[Case, str | None] = field(default_factory=dict, repr=False)

    def __call__(self, case: Case) -> bool | str:
        """Return True, or the reason why the implementation declines the case."""
        if case not in self.answers:
            self.ask([case])
        return self.answers[case] or True

    def ask(self, cases: Iterable[Case]) -> None:
        """Ask for many cases at once."""
        new = [case for case in dict.fromkeys(cases) if case not in self.answers]
        if new:
            self.answers.update(zip(new, answers_questions(self.place).gaps(new), strict=True))


def ask_ahead(implementation: Implementation, cases: Iterable[Case]) -> None:
    """Ask for all the cases at once, where ``supports=`` lies in a worker."""
    if isinstance(implementation.supports, Supports):
        operators, dtypes = implementation.functions, implementation.dtypes
        implementation.supports.ask(
            c for c in cases if c.operator in operators and c.dtype in dtypes
        )


def load_for(
    plugin: str | Path, isolate: bool | None, limits: Limits
) -> tuple[Implementation, ...]:
    """Load a plugin where its calls will be made: in a worker, unless ``isolate`` is False."""
    elsewhere = AVAILABLE if isolate is None else isolate
    with telling(f"the import of {plugin}", limits.loading):
        if elsewhere:
            return declare_plugin(plugin, limits)
        with ending("importing it", limits.loading):
            return load_plugin(plugin)


def start_loading(plugins: Iterable[str | Path], isolate: bool | None, limits: Limits) -> None:
    """Start the workers that `load_for` is going to wait for, while this process does other things.

    A file that is missing is left to `load_for`.
    """
    for path in plugins if AVAILABLE and isolate is not False else ():
        if os.path.isfile(os.path.expanduser(path)):
            place = _place_of_all("file", path, limits)
            keep(place, Process(place, None))


def _place_of_all(kind: str, location: str | Path, limits: Limits) -> Place:
    """Return where a worker finds all that a file registers: named as typed, for its messages."""
    return Place(sys.executable, (kind, str(location)), "", limits)


def declare_plugin(path: str | Path, limits: Limits) -> tuple[Implementation, ...]:
    """Load the file ``path`` in a worker, and register what it declares.

    Raises `PluginError` where the file is missing, cannot be loaded, or registers nothing.
    """
    file = check_plugin(path)
    registered = registry.in_use()
    earlier = registered.from_plugin(file)
    if earlier:
        return earlier
    new = _declare(_place_of_all("file", path, limits), ("file", str(file)), f"plugin {path}")
    registered.belong_to_plugin(file, new)
    return new


def program(command: str, *, limits: Limits | None = None) -> Implementation:
    """Start the program that ``command`` names, as a shell would, and register what it declares.

    What it has to read and write is in docs/programs.md. Raises `PluginError` where it cannot be
    started, or does not answer so.
    """
    return _declare_form("program", command, limits or Limits())


def library(path: str | Path, *, limits: Limits | None = None) -> Implementation:
    """Load a shared library in a worker, and register the functions of docs/libraries.md it has.

    Raises `PluginError` where it cannot be loaded, or has none.
    """
    return _declare_form("library", os.path.abspath(os.path.expanduser(path)), limits or Limits())


def model(location: str, *, limits: Limits | None = None) -> Implementation:
    """Load the class of a file that has to compute what its ``Model`` does: FILE, or FILE:CLASS.

    Raises `PluginError` where the file has none, or ``Model`` is not one operator.
    """
    path = os.path.abspath(os.path.expanduser(location))
    return _declare_form("model", path, limits or Limits())


def load_forms(
    programs: Iterable[str],
    libraries: Iterable[str | Path],
    modules: Iterable[str],
    limits: Limits,
) -> tuple[Implementation, ...]:
    """Load programs, libraries and modules: they are called in workers, whatever else is."""
    return (
        *(program(command, limits=limits) for command in programs),
        *(library(path, limits=limits) for path in libraries),
        *(model(location, limits=limits) for location in modules),
    )


def _declare_form(kind: str, location: str, limits: Limits) -> Implementation:
    """Register a kernel of another form (`conformance.forms`), unless that was done before."""
    target = (kind, location)
    for earlier in registry.implementations().values():
        if earlier.place is not None and earlier.place.target == target:
            return earlier
    place = _place_of_all(kind, location, limits)
    (new,) = _declare(place, target, f"{place.option} '{location}'")
    return new


def _declare(place: Place, target: tuple[str, str], what: str) -> tuple[Implementation, ...]:
    """Register what a worker that loads a place declares, and keep it for the calls of ``target``.

    Raises `PluginError`, about ``what`` is loaded, where that fails.
    """
    try:
        process = (spare(place) or Process(place, None)).greet()
    except StartError as problem:
        raise PluginError(str(problem)) from None
    except Ended as ended:
        ending = "does not end" if ended.kind == HANG else "ends the process that does it"
        doing = "importing" if target[0] == "file" else "loading"
        raise PluginError(f"{what}: {doing} it {ending}: {ended.how}") from None
    place = replace(place, target=target)
    keep(place, process)
    references = "hidden" if process.hides else "in reach"
    new = [
        replace(
            _declared(values, replace(place, name=values["name"])),
            references=references,
        )
        for values in process.declared
    ]
    for implementation in new:
        registry.in_use().register_remote(implementation)
    return tuple(new)


def declared_as(name: str, python: str, base: Implementation, limits: Limits) -> Implementation:
    """Load the implementation ``base`` in another interpreter, and register it as ``name``.

    Raises `StartError` where that interpreter cannot serve, or lacks what it needs.
    """
    place = replace(base.place or place_of(base, limits), python=python)
    try:
        process = Process(place, place.name).greet()
    except Ended as ended:
        what = f"loading '{place.name}' failed"
        raise StartError(f"interpreter {python}: {what}: {ended.how}") from None
    process.stop()
    (values,) = process.declared
    implementation = replace(
        _declared(values | {"known": []}, place),
        name=name,
        snippet=base.snippet,
        known=base.known,
    )
    registry.in_use().register_remote(implementation)
    return implementation


def _declared(values: dict[str, Any], place: Place) -> Implementation:
    """Return the implementation that a worker's declarations describe.

    Raises `PluginError` for a known difference whose cases only the worker could tell.
    """
    name, known = values["name"], values["known"]
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
    supports: Supports | Only | None = Supports(place) if values["supports"] else None
    if isinstance(values["supports"], dict):
        supports = Only(**values["supports"])
    functions = {
        operator: RemoteFunction(module, function, operator, place, line)
        for operator, (module, function, line) in values["functions"].items()
    }
    recipes = {
        operator: {dims: Recipe(**recipe) for dims, recipe in of.items()}
        for operator, of in values["recipes_there"].items()
    }
    values = values | {"recipes_there": recipes}
    changed = {"known": known, "supports": supports, "functions": functions, "place": place}
    return Implementation(**values | changed)
