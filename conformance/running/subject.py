"""An implementation as a block judges it: what it declines, and what is known of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from conformance.isolation.remote_plugins import Supports
from conformance.known.difference import KnownDifference
from conformance.registration.implementation import Implementation
from conformance.running import known_in_run


@dataclass(frozen=True, slots=True)
class Subject:
    """An implementation in a block, with what holds of it there whatever is judged."""

    implementation: Implementation
    """Its ``supports=`` is asked once a case; what it answered holds for the whole block."""
    known: Mapping[int, KnownDifference]
    """The known differences that apply to it, by their place in its list."""
    careful: Implementation
    """The implementation, declining what would end its process."""

    @classmethod
    def of(
        cls, implementation: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
    ) -> Subject:
        """Return what an implementation is in a block; a run may have ``further`` entries."""
        asked = asked_once(implementation)
        known = known_in_run.applicable(asked, further)
        return cls(asked, known, known_in_run.declining_fatal_cases(asked, known.values()))

    @property
    def entries(self) -> tuple[KnownDifference, ...]:
        """The known differences that apply to it."""
        return tuple(self.known.values())


def asked_once(implementation: Implementation) -> Implementation:
    """Return an implementation that remembers which cases its ``supports=`` declines.

    Histories, relations and probes share cases with one another and with what is judged by itself.
    """
    supports = implementation.supports
    if supports is None or isinstance(supports, Supports):  # that one remembers by itself
        return implementation
    return replace(implementation, supports=functools.cache(supports))
