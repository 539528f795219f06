"""Where a worker process finds an implementation, and what stands for its functions here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.isolation.limits import Limits
from conformance.registration.registry import Implementation, restore


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker process finds an implementation, and what it may take there."""

    python: str
    """The interpreter's path."""
    target: tuple[str, str]
    """("module", its name) or ("file", its path)."""
    name: str
    """The name under which it is registered there."""
    limits: Limits


class Elsewhere:
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
        from conformance.isolation.dispatch import invoke

        return invoke(self.place, self.operator, arguments, parameters)


class Moved(dict[str, Callable[..., Any]]):
    """Functions that a worker calls in the place of those that this process has loaded."""


def module_of(one: Implementation) -> str:
    """Return the name of the module that registered it.

    Its functions may come from elsewhere: adapters inherit theirs from a module that they share.
    """
    name = next((getattr(f, "__module__", None) or "" for f in one.functions.values()), "")
    loaded = {name: sys.modules.get(name), **sys.modules}
    for found, module in loaded.items():
        file = getattr(module, "__file__", None)
        if file and Path(file).name == Path(one.origin).name and _same(file, one.origin):
            return found
    return name


def _same(file: str, origin: str) -> bool:
    return Path(file).resolve() == Path(origin)


def moved(one: Implementation, place: Place) -> Implementation:
    """Return ``one`` with its calls made in a worker; the registered one stays as it is."""
    functions = Moved()
    for operator, function in one.functions.items():
        module = getattr(function, "__module__", None) or ""
        name = getattr(function, "__name__", operator)
        functions[operator] = Elsewhere(module, name, operator, place)
    return replace(one, functions=functions, place=place)


def restore_moved(name: str, origin: str, place: Place) -> Implementation:
    """Load an implementation again, and move it to where it was."""
    return moved(restore(name, origin), place)
