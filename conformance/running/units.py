"""The blocks that a plan is cut into, the shards that they are dealt to, and what a plan is.

Two runs with the same `identity` judge the same cases: so one goes on where another stopped, and
those of several machines are merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.registration.implementation import Implementation
from conformance.running import cache
from conformance.running.plan import Plan


@dataclass(frozen=True, slots=True)
class Unit:
    """A block that is to be judged: one operator and number of dimensions."""

    number: int
    """Its position among the blocks of the whole run."""
    operator: str
    dims: int
    names: tuple[str, ...] = ()
    """The implementations that it judges; empty for all."""

    @property
    def name(self) -> str:
        own = f" of {', '.join(self.names)}" if self.names else ""
        return f"{self.operator} {self.dims}-D{own}"

    def judges(self, implementation: Implementation) -> bool:
        """Whether an implementation is judged in this block."""
        return not self.names or implementation.name in self.names


def units_of(plan: Plan) -> list[Unit]:
    """Return the blocks of a plan, in their order."""
    functions = {
        operator
        for implementation in plan.implementations
        if implementation.installed
        for operator in implementation.functions
    }
    pairs = [(name, dims) for name in plan.operators if name in functions for dims in plan.dims]
    return [Unit(number, *pair) for number, pair in enumerate(pairs)]


def shard_of(text: str) -> tuple[int, int]:
    """Return the two numbers of ``3/8``; raise `ConformanceError` for what is no shard."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise ConformanceError(f"shard '{text}'; name one of so many: 1/8 to 8/8")
    return int(first), int(second)


def in_shard(units: Sequence[Unit], shard: str | None) -> list[Unit]:
    """Return the blocks of a shard, which depend on nothing but the plan.

    They are dealt in turn, those of one number of dimensions after the other: their costs differ
    more from one number to the next than from one operator to the next.
    """
    if shard is None:
        return list(units)
    index, count = shard_of(shard)
    if count > len(units):
        raise ConformanceError(
            f"shard {shard}: there are {len(units)} blocks (an operator and dimension each), so "
            f"{len(units)} shards at most"
        )
    dealt = sorted(units, key=lambda unit: (-unit.dims, unit.number))[index - 1 :: count]
    return sorted(dealt, key=lambda unit: unit.number)


def identity(plan: Plan) -> dict[str, Any]:
    """Return what decides on the cases and their verdicts, but for the implementations."""
    known = hashlib.sha256(repr(sorted(plan.known.items())).encode()).hexdigest()[:16]
    return {
        "suite": cache.key(),
        "spec": plan.spec.digest,
        **{name: getattr(plan, name) for name in _DECIDING},
        "known": known,
        "findings": [case.id for case in plan.findings],
    }


_DECIDING = (
    *("seed", "tier", "examples", "operators", "dims", "dtypes", "checks", "suites"),
    *("only_suites", "layers", "shapes", "enumerations", "source", "models"),
)


def states(implementations: Sequence[Implementation]) -> dict[str, list[str]]:
    """Return the version of each implementation, and a digest of the file that registers it."""
    found = {}
    for implementation in implementations:
        if implementation.installed:
            try:
                digest = hashlib.sha256(Path(implementation.origin).read_bytes()).hexdigest()
            except OSError:
                digest = ""
            found[implementation.name] = [implementation.version, digest[:16]]
    return found


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first thing that differs, in words; empty where nothing does."""
    for name in (*now, *before):
        one, other = _plain(before.get(name)), _plain(now.get(name))
        if one != other:
            if name in ("suite", "spec", "known", "findings", "implementations"):
                return f"{_WORDS[name]} differ"
            return f"{name} was {_short(one)}, and is {_short(other)}"
    return ""


_WORDS = {
    "suite": "the sources of convformance, or the versions of Python, NumPy and Hypothesis,",
    "spec": "the spec files",
    "known": "the lists of known differences",
    "findings": "the findings of fuzzing",
    "implementations": "the implementations, their versions, or the files that register them,",
}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else repr(value)
