"""What a run does, resolved from its options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.dtypes import DTYPES, available
from conformance.errors import ConformanceError
from conformance.known.difference import KnownDifference
from conformance.operators import OPERATORS
from conformance.registration.registry import Implementation, find, get, implementations
from conformance.requirements import CHECKS
from conformance.running import known_in_run
from conformance.spec import Spec, Tier


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
    """What the calls of a cell may be reckoned at (`running.pace`)."""
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
    clock: float = math.inf
    """The seconds that a cell may take before it matters how long it would."""


_WITHOUT_EXAMPLES = {"reject", "special"}
"""Checks whose cases are made from nothing."""


def resolve(
    chosen: Iterable[object] | None,
    loaded: Sequence[Implementation],
    operators: Iterable[str] | None,
    dims: Iterable[int] | None,
    dtypes: Iterable[str] | None,
    checks: Iterable[str] | None,
    suites: Iterable[str] | None,
    examples: int | None,
    seconds: float | None,
    seed: int,
    tier: str,
    spec: Spec,
    cache: bool,
    known: Mapping[str, tuple[KnownDifference, ...]],
) -> Plan:
    """Return the plan of what is asked for; raise `ConformanceError` for what names nothing."""
    if tier not in spec.tiers:
        raise ConformanceError(f"tier '{tier}' is unknown; known are {', '.join(spec.tiers)}")
    limits = spec.tiers[tier]
    if chosen is not None:
        selected = [find(one) for one in chosen]
    else:
        selected = list(loaded) or [
            one for one in implementations().values() if one.installed or one.package
        ]
    for one in selected:
        if chosen is not None and not one.installed:
            raise ConformanceError(f"implementation '{one.name}' is {one.hint}")
    if not selected:
        raise ConformanceError("no implementation is registered; see `convformance list`")
    for name in known:
        if all(one.name != name for one in selected):
            get(name)  # one that is not in this run may be listed, but not one that is unknown
    for one in selected:
        known_in_run.check(one, known_in_run.all_entries(one, known))
    wanted = tuple(dict.fromkeys(suites)) if suites is not None else limits.suites
    for name in wanted:
        spec.suite(name)
    ordinary = _choose("dtype", dtypes, spec.ranges.dtypes, DTYPES)
    claimed = tuple(
        dtype
        for dtype in DTYPES
        if dtypes is None and dtype not in ordinary and available(dtype)
        if any(dtype in one.dtypes for one in selected)
    )
    count = limits.examples if examples is None else examples
    if count < 0:
        raise ConformanceError(f"examples={count}; a whole number, 0 or more")
    if seconds is not None and not seconds > 0:
        raise ConformanceError(f"seconds={seconds}; a number above 0")
    asked = _choose("check", checks, limits.checks, CHECKS)
    if not count and not wanted and not _WITHOUT_EXAMPLES & set(asked):
        raise ConformanceError(
            "nothing to judge: no example is generated and no suite is chosen; ask for examples, "
            f"a suite, or a check with cases of its own ({', '.join(sorted(_WITHOUT_EXAMPLES))})"
        )
    chosen_operators = _choose("operator", operators, tuple(OPERATORS), tuple(OPERATORS))
    chosen_dims = _choose("dims", dims, spec.ranges.dims, (1, 2, 3))
    cells = len(chosen_dims) * sum(
        len({*chosen_operators} & {*one.functions}) * len({*ordinary, *claimed} & {*one.dtypes})
        for one in selected
        if one.installed
    )
    return Plan(
        implementations=tuple(dict.fromkeys(selected)),
        operators=chosen_operators,
        dims=chosen_dims,
        dtypes=ordinary,
        claimed=claimed,
        checks=asked,
        suites=wanted,
        layers=limits.layers if suites is None else (),
        shapes=limits.shapes * count // max(1, limits.examples),
        examples=count,
        seconds=budget(limits, cells) if seconds is None else seconds,
        clock=limits.seconds if seconds is None else seconds,
        seed=seed,
        tier=tier,
        spec=spec,
        cache=cache,
        known=known,
    )


def budget(limits: Tier, cells: int) -> float:
    """Return the seconds of a cell, where there are so many."""
    return min(limits.seconds, limits.total / max(1, cells))


def _choose(
    what: str, chosen: Iterable[Any] | None, default: Sequence[Any], known: Sequence[Any]
) -> tuple[Any, ...]:
    if chosen is None:
        return tuple(default)
    values = set(chosen)
    for value in values - set(known):
        raise ConformanceError(
            f"{what} '{value}' is unknown; known are {', '.join(map(str, known))}"
        )
    return tuple(value for value in known if value in values)
