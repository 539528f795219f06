"""Known differences of a variant, and of modules: those of their engine, where both do the same.

What is known of an engine was found by runs of it. Another device, or a library that overrides
operators, may have none of that, or be wrong in the same cases in another way: nothing of that is
known. So an entry covers a failure of a variant only if the engine without the options, asked about
the same case, fails too, and as much and in the same place.

A class of layers that declares nothing of its gradients has those of its library's differentiation,
and what is known of them; also what ends a process, or differs from call to call. And an invalid
call that ends the engine's process may end that of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from conformance.case import Case
from conformance.isolation.dispatch import isolated
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.known.difference import KnownDifference
from conformance.large.judge import is_large
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits


@dataclass(frozen=True, eq=False)
class SharedDifference(KnownDifference):
    """An entry of the implementation ``base``, for a variant of it."""

    base: Implementation
    asked: bool
    """Whether the base is asked; what comes and goes it need not show."""
    limits: Limits | None
    """The limits of the variant's worker; None where this process makes its calls."""


def shared(entry: KnownDifference, verdict: Verdict) -> bool:
    """Whether an entry is one's own, or what it is shared with fails as the verdict says."""
    if not isinstance(entry, SharedDifference) or not entry.asked:
        return True
    if verdict.history or is_large(verdict.case):
        return False
    same = (verdict.status, verdict.outcome, verdict.at, repr(verdict.worst))
    return any(
        same == (other.status, other.outcome, other.at, repr(other.worst))
        for other in _findings(entry.base, entry.limits, verdict.case)
    )


def shared_entries(implementation: Implementation) -> Iterator[SharedDifference]:
    """Yield the entries that an implementation may share with what it is a variant of.

    What ends a process, or differs from call to call, is no variant's.
    """
    limits = None if implementation.place is None else implementation.place.limits
    base = implementation.base
    while base is not None and not base.known and base.base is not None:
        base = base.base
    if base is not None and not implementation.known:
        for entry in base.known:
            if not (entry.fatal or entry.unsteady):
                yield _of_base(entry, base, limits, asked=True)
    engine, differentiates = _engine(implementation)
    if engine is None:
        return
    for entry in engine.known:
        of_gradient = differentiates and entry.parsed.operator.endswith("_grad")
        ends = entry.fatal and entry.requirement.startswith("REJECT-")
        if (of_gradient or ends) and entry.applies_to(engine.version):
            unsure = entry.fatal or entry.unsteady or entry.requirement.startswith(_ENDING)
            yield replace(_of_base(entry, engine, limits, asked=not unsure), versions="")


_ENDING = ("PROCESS-1", "MEMORY-")
"""What a call does that reads or writes beyond its arrays depends on what lies there."""


def _engine(implementation: Implementation) -> tuple[Implementation | None, bool]:
    """Return the engine that its layers run on, if it has any, and whether it differentiates them.

    Where gradients are declared, they are the layers' own affair.
    """
    layers = [one for of in implementation.recipes.values() for one in of.values() if not one.file]
    engine = registry.implementations().get(implementation.arrays) if layers else None
    return engine, not any(one.needs_derivative for one in layers)


def _of_base(
    entry: KnownDifference, base: Implementation, limits: Limits | None, *, asked: bool
) -> SharedDifference:
    own = {field.name: getattr(entry, field.name) for field in _FIELDS}
    return SharedDifference(**own, base=base, asked=asked, limits=limits)


_FIELDS = tuple(field for field in fields(KnownDifference) if field.init)


@lru_cache(maxsize=4096)
def _findings(base: Implementation, limits: Limits | None, case: Case) -> tuple[Verdict, ...]:
    called = base if limits is None else isolated(base, True, limits)
    with np.errstate(all="ignore"):
        verdict, _ = judge_prepared(called, Prepared.of(case))
    return verdict.findings
