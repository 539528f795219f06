"""Snippets: an implementation's way to write its engine's own call as source text.

It declares ``implementation(..., snippet=function)``, a function that takes a `SnippetCall` and
returns the lines of source that make the call. docs/engines.md says what these may use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class SnippetCall:
    """One call to be written as source text."""

    operator: str
    dims: int
    dtype: str
    arguments: Mapping[str, Any]
    """The positional arguments by name, in the implementation's layout: arrays, None, shapes."""
    parameters: Mapping[str, Any]
    memory: Mapping[str, str]
    """How each argument lies in memory, by name: ``contiguous``, ``reversed``, ..."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """The versions of the packages that the implementation needs, where it runs."""
    invalid: str = ""
    """What makes the call invalid (`conformance.cases.invalid`), empty for a valid one."""

    def text(self, name: str) -> str:
        """Return a parameter, or a shape, as source text."""
        value = self.parameters[name] if name in self.parameters else self.arguments[name]
        return plain(value)


SnippetFunction: TypeAlias = Callable[[SnippetCall], Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class InJavaScript:
    """A snippet whose lines are JavaScript, for engines that run in Node.js."""

    write: SnippetFunction

    def __call__(self, call: SnippetCall) -> Sequence[str] | None:
        """Return the lines of source that make a call."""
        return self.write(call)


def plain(value: Any) -> str:
    """Return a parameter as source text; NaN and infinity have no literal of their own."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, tuple):
        return f"({', '.join(map(plain, value))}{',' * (len(value) == 1)})"
    return repr(value)
