"""Deliberately wrong implementations, one module a kind: what the suite is there to catch.

Each defect alters a correct kernel (`tests.defects.kernels`) in a few lines::

    @defect("stride-ignored-on-last-axis", check="result", when="the last stride is above 1")
    def conv(x, w, bias, **call):
        return kernels.conv(x, w, bias, **call, alter=last_stride_one)

The function is named after its operator. ``check`` names the group of requirements that it
violates, the check that must catch it (`CHECKS`); ``when`` says in words where it is wrong.
Importing a module makes records and registers nothing with convformance; `Defect.implementation`
makes an implementation, with fresh state each time.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from conformance.isolation.dispatch import called_in_worker
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.registration.registry import Registry, implementation
from conformance.requirements import CHECKS, check_of
from tests.compiled import build

Function = Callable[..., Any]

_found: dict[str, Defect] = {}


@dataclass(frozen=True, slots=True)
class Defect:
    """A wrong implementation: used as a decorator, it takes the functions of its operators."""

    name: str
    kind: str
    """The module that it is in."""
    check: str
    """The check that must catch it, one of `CHECKS`."""
    when: str
    """The condition under which it is wrong."""
    state: Callable[[], Any] | None
    """Makes what the functions keep between calls; they take it as their first argument."""
    needs: str | None
    """What the suite must have for the defect to show, where that is not there from the start."""
    at: tuple[str, ...]
    """Ids of cases on which it is wrong, where it shows on few ordinary ones."""
    declarations: Mapping[str, Any]
    functions: dict[str, Function] = field(default_factory=dict)

    @property
    def isolated(self) -> bool:
        """Whether its calls are made in a worker: what it does may end its process."""
        return self.check == "memory"

    def __call__(self, function: Function) -> Function:
        """Take ``function`` as the wrong implementation of the operator that it is named after."""
        if function.__name__ in self.functions:
            raise ValueError(f"defect '{self.name}' has two functions '{function.__name__}'")
        self.functions[function.__name__] = function
        return function

    def implementation(self) -> Implementation:
        """Return a new implementation, which shares no state with any other."""
        functions = self.functions
        if self.state is not None:
            kept = self.state()
            functions = {name: partial(function, kept) for name, function in functions.items()}
        made = unregistered(self.name, functions, self.declarations)
        return in_worker(made) if self.isolated else made


def defect(
    name: str,
    *,
    check: str,
    when: str,
    state: Callable[[], Any] | None = None,
    needs: str | None = None,
    at: str = "",
    kind: str = "",
    **declarations: Any,
) -> Defect:
    """Return a new defect, to be used as a decorator.

    ``declarations`` are those of `conformance.implementation`. Raises ValueError for a name that
    another defect has, and for an unknown check.
    """
    if name in _found:
        raise ValueError(f"defect '{name}': the name is taken, in {_found[name].kind}.py")
    if check not in CHECKS:
        raise ValueError(f"defect '{name}': check={check!r}; allowed: {', '.join(CHECKS)}")
    kind = kind or sys._getframe(1).f_globals["__name__"].rpartition(".")[2]
    new = Defect(name, kind, check, when, state, needs, tuple(at.split()), declarations)
    _found[name] = new
    return new


def defects() -> tuple[Defect, ...]:
    """Return every defect, kind by kind."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(sorted(_found.values(), key=lambda one: one.kind))


def unregistered(
    name: str, functions: Mapping[str, Function], declarations: Mapping[str, Any]
) -> Implementation:
    """Return an implementation that `conformance.implementations` does not list."""
    with registry.using(Registry()):
        made = implementation(name, **declarations)
    for operator, function in functions.items():
        made.register(operator, function)
    return made


def in_worker(made: Implementation) -> Implementation:
    """Return the implementation with its calls made in a worker, which loads `tests.hostile`."""
    build()
    plugin = Path(__file__).parents[1] / "hostile" / "overruns.py"
    return called_in_worker(made, Place(sys.executable, ("file", str(plugin)), made.name, Limits()))


def catches(check: str, requirement: str | None) -> bool:
    """Whether a violation of ``requirement`` is one that ``check`` looks for."""
    return requirement is not None and check_of(requirement) == check
