"""Known differences in a run: which failures they cover, and which of them no longer occur."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from conformance.case import Case
from conformance.cases.validity import parse_valid
from conformance.errors import CaseError, RegistrationError
from conformance.isolation.remote_plugins import Supports
from conformance.judging import Verdict
from conformance.judging.attribution import WRONG_RESULT, citable
from conformance.known.difference import KnownDifference
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Known
from conformance.runfile.words import (
    KNOWN_DIFFERENCE,
    NOT_JUDGED,
    OTHER_MACHINE,
    OTHER_VERSION,
    STALE,
)
from conformance.scripts.standalone import replay_command

Key = tuple[str, int]
"""An implementation's name, and the place of an entry in its list."""


@dataclass(frozen=True, slots=True)
class Example:
    """What the smallest case of an entry showed in this run."""

    judged: bool = False
    occurs: bool = False
    message: str = ""
    script: str = ""
    engine_script: str = ""


def all_entries(
    one: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
) -> tuple[KnownDifference, ...]:
    """Return the entries of an implementation: its own, and ``further`` ones of the run."""
    return (*one.known, *further.get(one.name, ()))


@dataclass(frozen=True, slots=True)
class Subject:
    """An implementation as a block judges it: what it declines, and what is known of it."""

    implementation: Implementation
    """Its ``supports=`` is asked once a case; what it answered holds for the whole block."""
    known: Mapping[int, KnownDifference]
    """The known differences that its version has on this machine, by their place in its list."""
    careful: Implementation
    """The implementation, declining what would end its process.

    It makes the calls that the suite thinks up itself: histories, probes, relations.
    """

    @classmethod
    def of(
        cls, implementation: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
    ) -> Subject:
        """Return what an implementation is in a block; a run may have ``further`` entries."""
        asked = _asked_once(implementation)
        known = {
            place: entry
            for place, entry in enumerate(all_entries(asked, further))
            if entry.applies_to(asked.version) and entry.applies_here()
        }
        return cls(asked, known, _declining_fatal_cases(asked, known.values()))

    @property
    def entries(self) -> tuple[KnownDifference, ...]:
        """The known differences that apply to it."""
        return tuple(self.known.values())

    def fatal_cases(self, cases: Iterable[Case]) -> dict[Case, int]:
        """Return the cases that would end its process, with the place of the entry that says so."""
        ending = {place: entry for place, entry in self.known.items() if entry.fatal}
        return {
            case: place
            for case in (cases if ending else ())
            for place, entry in reversed(ending.items())
            if entry.holds(case)
        }

    def separate_known(self, failures: Iterable[Verdict]) -> tuple[list[Verdict], Counter[int]]:
        """Return the failures that no entry covers, and how many each entry does, by its place."""
        places, entries = list(self.known), self.entries
        rest, covered = [], Counter[int]()
        for verdict in failures:
            found = matching_entry(entries, verdict)
            if found is None:
                rest.append(verdict)
            else:
                covered[places[found]] += 1
        return rest, covered


def _asked_once(implementation: Implementation) -> Implementation:
    """Return an implementation that remembers which cases its ``supports=`` declines.

    Histories, relations and probes share cases with one another and with what is judged by itself.
    """
    supports = implementation.supports
    if supports is None or isinstance(supports, Supports):  # that one remembers by itself
        return implementation
    return replace(implementation, supports=functools.cache(supports))


def _declining_fatal_cases(one: Implementation, known: Iterable[KnownDifference]) -> Implementation:
    ending = [entry for entry in known if entry.fatal]
    if not ending:
        return one

    def supports(case: Case) -> bool | str:
        if any(entry.holds(case) for entry in ending):
            return "a known difference ends the process"
        return one.gap(case) or True

    return replace(one, supports=supports)


def check(one: Implementation, known: Iterable[KnownDifference]) -> None:
    """Raise `RegistrationError` for an entry whose case is no case, or not covered by it."""
    for entry in known:
        head = f"{one.origin}: implementation '{one.name}': known difference {entry.requirement}"
        try:
            case = parse_valid(entry.case)
        except CaseError as problem:
            raise RegistrationError(f"{head}: {problem}") from None
        if not entry.holds(case):
            raise RegistrationError(
                f"{head}: its where ({entry.covers}) leaves out its own case {entry.case}"
            )


def matching_entry(known: Sequence[KnownDifference], verdict: Verdict) -> int | None:
    """Return the place of the first of the ``known`` differences that covers a failure, if any."""
    if not verdict.failed or not known:
        return None
    requirement = verdict.requirement or ""
    if verdict.history and requirement in WRONG_RESULT:
        return None  # wrong after other calls is another matter than wrong
    cited = citable(requirement, verdict.case)
    other_bits = bool(verdict.history) and requirement in _OTHER_BITS
    for place, entry in enumerate(known):
        meant = entry.requirement in cited or (other_bits and entry.unsteady)
        if meant and entry.holds(verdict.case):
            return place
    return None


_OTHER_BITS = ("REPEAT-1", "REPEAT-2", "REPEAT-3", "REJECT-2")
"""Requirements that one call, made again, gives the same bits."""


def known_rows(
    implementations: Iterable[Implementation],
    further: Mapping[str, tuple[KnownDifference, ...]],
    counts: Mapping[Key, int],
    examples: Mapping[Key, Example],
) -> Iterator[Known]:
    """Yield the entries of the implementations as rows of the run file."""
    for one in implementations:
        for place, entry in enumerate(all_entries(one, further)):
            example = examples.get((one.name, place), Example())
            count = counts.get((one.name, place), 0)
            if not entry.applies_to(one.version):
                status = OTHER_VERSION
            elif not entry.applies_here():
                status = OTHER_MACHINE
            elif count or example.occurs:
                status = KNOWN_DIFFERENCE
            else:
                status = STALE if example.judged else NOT_JUDGED
            yield Known.of(
                entry,
                example,
                implementation=one.name,
                operator=entry.parsed.operator,
                status=status,
                count=count,
                replay=replay_command(one, entry.parsed),
            )
