"""What a run does, resolved from its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.known import KnownDifference
from conformance.registry import Implementation
from conformance.spec import Spec


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does, resolved from its options."""

    implementations: tuple[Implementation, ...]
    operators: tuple[str, ...]
    dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    claimed: tuple[str, ...]
    """Further dtypes, which some of the implementations declare."""
    checks: tuple[str, ...]
    suites: tuple[str, ...]
    examples: int
    seconds: float
    seed: int
    tier: str
    spec: Spec
    cache: bool
    known: Mapping[str, tuple[KnownDifference, ...]] = field(default_factory=dict)
    """Known differences besides those that implementations declare, by implementation."""
    layers: tuple[str, ...] = ()
    """Names, or globs, of the layers of networks that are judged."""
    shapes: int = 0
    """Large shapes that are generated, an operator and dimension."""
