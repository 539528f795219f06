"""Known differences of a variant: those of what it is a variant of, where both do the same.

What is known of an engine was found by runs of it. Another device, or a library that overrides
operators, may have none of that, or be wrong in the same cases in another way: nothing of that is
known. So an entry covers a failure of a variant only if the engine without the options, asked about
the same case, fails too, and as much and in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from conformance.case import Case
from conformance.isolation.dispatch import isolated
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.known.difference import KnownDifference
from conformance.large.judge import is_large
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits


@dataclass(frozen=True, eq=False)
class SharedDifference(KnownDifference):
    """An entry of the implementation ``base``, for a variant of it."""

    base: Implementation
    limits: Limits | None
    """The limits of the variant's worker; None where this process makes its calls."""


def shared(entry: KnownDifference, verdict: Verdict) -> bool:
    """Whether an entry is one's own, or what it is shared with fails as the verdict says."""
    if not isinstance(entry, SharedDifference):
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
    base = implementation.base
    while base is not None and not base.known and base.base is not None:
        base = base.base
    if base is None or implementation.known:
        return
    limits = None if implementation.place is None else implementation.place.limits
    for entry in base.known:
        if not (entry.fatal or entry.unsteady):
            own = {field.name: getattr(entry, field.name) for field in _FIELDS}
            yield SharedDifference(**own, base=base, limits=limits)


_FIELDS = tuple(field for field in fields(KnownDifference) if field.init)


@lru_cache(maxsize=4096)
def _findings(base: Implementation, limits: Limits | None, case: Case) -> tuple[Verdict, ...]:
    called = base if limits is None else isolated(base, True, limits)
    with np.errstate(all="ignore"):
        verdict, _ = judge_prepared(called, Prepared.of(case))
    return verdict.findings
