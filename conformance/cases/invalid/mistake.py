"""What a mistake is: its name, the requirement that forbids it, and a function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case
from conformance.requirements import ACCEPTED
from conformance.signatures import SIGNATURES

Parameters: TypeAlias = Mapping[str, Any]
Arguments: TypeAlias = Mapping[str, Any]
"""All arguments of a call by name, positional and keyword arguments alike."""
Change: TypeAlias = Callable[[Case, Arguments], Arguments | None]
"""A function from all arguments to those that change, or to None if the mistake is impossible."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in the arguments of an otherwise valid call.

    It is made in channels-first arrays, and remains the same mistake in channels-last ones.
    """

    name: str
    requirement: str
    """The requirement of SPEC.md that makes the call invalid."""
    summary: str
    """What is wrong, in one line."""
    operators: tuple[str, ...]
    """The operators that have the arguments for it."""
    change: Change

    @property
    def convention(self) -> tuple[str, str] | None:
        """A convention and its alternative; an implementation that declares it accepts the call."""
        return ACCEPTED.get(self.name)

    def changes(self, case: Case, inputs: Inputs, parameters: Parameters) -> Arguments | None:
        """Return the changed arguments by name, or None if it does not apply to ``case``."""
        if case.operator not in self.operators:
            return None
        names = SIGNATURES[case.operator].arguments
        return self.change(case, dict(zip(names, inputs, strict=True)) | dict(parameters))

    def apply(
        self, case: Case, inputs: Inputs, parameters: Parameters
    ) -> tuple[Inputs, dict[str, Any]] | None:
        """Return new inputs and parameters, or None if it does not apply to ``case``."""
        changes = self.changes(case, inputs, parameters)
        if changes is None:
            return None
        names = SIGNATURES[case.operator].arguments
        return (
            tuple(changes.get(name, value) for name, value in zip(names, inputs, strict=True)),
            {name: changes.get(name, value) for name, value in parameters.items()},
        )


def having(*needs: str, without: str = "") -> tuple[str, ...]:
    """Return the operators that have all these arguments or parameters, except ``without``."""
    return tuple(
        operator
        for operator, signature in SIGNATURES.items()
        if operator != without and {*needs} <= {*signature.arguments, *signature.parameters}
    )


def another_rank(
    name: str, change: Callable[[Array], Array | None], case: Case, a: Arguments
) -> Arguments | None:
    """Change the number of axes of one array, unless the call is valid with another one, too.

    It is valid if the operator has no parameter with an entry for each spatial axis.
    """
    array = change(a[name])
    free = not SIGNATURES[case.operator].parameters
    return None if array is None or (free and 3 <= array.ndim <= 5) else {name: array}


def resized(array: Array, axis: int, size: int) -> Array:
    """Return ``array`` with ``size`` positions along ``axis``, its own ones repeated or cut."""
    result: Array = array.take(np.arange(size) % max(1, array.shape[axis]), axis)
    return result
