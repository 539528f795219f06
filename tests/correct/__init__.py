"""Correct but unusual implementations, one module an idea: what the suite must never accuse.

They add in another order, in another format or by another algorithm, declare what they do, decline
what they do not do, or hand back arrays that lie in memory in an unusual way. None of it violates
a requirement. Like the defects, they are records, and register nothing with convformance.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from conformance.registration.implementation import Implementation
from tests.defects import Function, in_worker, unregistered

_found: dict[str, Correct] = {}


@dataclass(frozen=True, slots=True)
class Correct:
    """A correct implementation: used as a decorator, it takes the functions of its operators."""

    name: str
    why: str
    """Why it is correct, although it looks otherwise."""
    state: Callable[[], Any] | None
    declarations: Mapping[str, Any]
    isolated: bool = False
    """Whether its calls are made in a worker."""
    functions: dict[str, Function] = field(default_factory=dict)

    def __call__(self, function: Function) -> Function:
        """Take ``function`` as the implementation of the operator that it is named after."""
        if function.__name__ in self.functions:
            raise ValueError(f"correct '{self.name}' has two functions '{function.__name__}'")
        self.functions[function.__name__] = function
        return function

    def implementation(self) -> Implementation:
        """Return a new implementation, which shares no state with any other."""
        functions: Mapping[str, Function] = self.functions
        if self.state is not None:
            kept = self.state()
            functions = {name: partial(function, kept) for name, function in functions.items()}
        made = unregistered(self.name, functions, self.declarations)
        return in_worker(made) if self.isolated else made


def unusual(
    name: str,
    *,
    why: str,
    state: Callable[[], Any] | None = None,
    isolated: bool = False,
    **declarations: Any,
) -> Correct:
    """Return a new correct implementation, to be used as a decorator.

    ``declarations`` are those of `conformance.implementation`; if it is ``isolated``, its calls are
    made in a worker.
    """
    if name in _found:
        raise ValueError(f"correct '{name}': the name is taken")
    _found[name] = Correct(name, why, state, declarations, isolated)
    return _found[name]


def correct() -> tuple[Correct, ...]:
    """Return every correct implementation, module by module."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(_found.values())
