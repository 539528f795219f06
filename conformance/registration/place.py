"""Places: where a worker process finds an implementation, and what a call may take there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.machine import memory

_SECONDS_OF_WORK = 2e-5
"""Seconds allowed for a multiply-accumulate: a loop in plain Python takes a tenth of that."""

_MOST_FOR_WORK = 600.0
"""The most seconds that are allowed for the work of a call."""

_SLOWEST, _LEAST = 50.0, 10.0
"""A call after many others gets this multiple of the slowest one's seconds, and these at least."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take. A correct implementation comes nowhere near the defaults."""

    seconds: float = 30.0
    """Seconds for a call, in addition to those for its work. Once many calls have been made, it is
    less: fifty times the slowest call so far, and ten at least."""
    memory: int = 0
    """Bytes that the worker may hold in memory; 0 stands for half of the machine's memory."""
    loading: float = 60.0
    """Seconds for loading an implementation, and more for its first call, which often imports and
    starts the engine."""
    crashes: int = 10
    """Crashes in a row after which no more calls are made."""
    hangs: int = 3
    """Calls in a row that did not come back, after which no more are made: each costs its limit."""

    def of_call(self, work: int, *, first: bool, slowest: float | None = None) -> float:
        """Return the seconds that a call may take.

        ``work`` is its multiply-accumulates, ``slowest`` the seconds that the slowest of many calls
        took, None where there were few.
        """
        scaled = min(work * _SECONDS_OF_WORK, _MOST_FOR_WORK)
        usual = self.seconds
        if slowest is not None:
            usual = min(usual, max(_LEAST, _SLOWEST * slowest))
        return usual + scaled + (self.loading if first else 0.0)

    @property
    def bytes(self) -> int:
        """Return the memory limit in bytes."""
        return self.memory or memory() // 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker process finds an implementation, and what it may take there."""

    python: str
    """The interpreter's path."""
    target: tuple[str, str]
    """("module", its name), ("file", its path), or a form (`conformance.forms`) and its location:
    ("program", a command), ("library", a path) or ("model", a path, or a path:class)."""
    name: str
    """The name under which it is registered there."""
    limits: Limits
    part: str = ""
    """The operator whose calls alone the worker makes; empty for a worker that makes all calls."""
    apart: bool = False
    """Whether the worker serves a variant that changes its process, and nothing else."""

    @property
    def shared(self) -> Place:
        """The place of all that one worker could serve."""
        return replace(self, name=self.name if self.apart else "", part="")

    @property
    def served(self) -> str | None:
        """The one name that its worker serves; None for whatever is found there."""
        return self.name if self.apart else None

    @property
    def form(self) -> str:
        """The form of a kernel that is no Python function; empty for one that is."""
        kind = self.target[0]
        return "" if kind in ("module", "file") else kind

    @property
    def option(self) -> str:
        """The command line's option for a form."""
        return "module" if self.form == "model" else self.form
