"""Known differences in a run: the failures that they cover, and whether they still occur."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from conformance.calling import CRASH
from conformance.case import Case
from conformance.cases.only import Only
from conformance.cases.validity import parse_valid
from conformance.errors import CaseError, RegistrationError
from conformance.isolation.remote_plugins import Supports
from conformance.judging import RAISED, Verdict
from conformance.judging.attribution import WRONG_RESULT, citable
from conformance.known.difference import KnownDifference
from conformance.large.judge import check_judgeable
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Known
from conformance.runfile.words import (
    FAILED,
    KNOWN_DIFFERENCE,
    NOT_JUDGED,
    OTHER_MACHINE,
    OTHER_VERSION,
    STALE,
)
from conformance.running.shared_known import SharedDifference, shared, shared_entries
from conformance.scripts.standalone import replay_command

Key = tuple[str, int]
"""An implementation's name, and the index of an entry in its list of known differences."""


@dataclass(frozen=True, slots=True)
class Example:
    """The outcome of the smallest case of an entry in this run."""

    judged: bool = False
    occurs: bool = False
    message: str = ""
    script: str = ""
    engine_script: str = ""
    kind: str = ""
    """How it failed (`kind_of`)."""


Kinds: TypeAlias = dict[str, tuple[int, Case]]
"""How the failures that an entry covers failed: how many did so, and the first case."""


def kind_of(verdict: Verdict) -> str:
    """Return how a call failed, in words: by its result, by raising, or by not returning."""
    return {None: "a result", RAISED: "an exception", CRASH: "the end of the process"}.get(
        verdict.outcome, "a call that never returns"
    )


def kinds_of(verdicts: Iterable[Verdict]) -> Kinds:
    """Return how failures of calls by themselves failed."""
    kinds: Kinds = {}
    for verdict in verdicts:
        if not verdict.history:
            add_kinds(kinds, {kind_of(verdict): (1, verdict.case)})
    return kinds


def add_kinds(kinds: Kinds, others: Kinds) -> None:
    """Add how ``others`` failed to ``kinds``."""
    for kind, (count, case) in others.items():
        before, first = kinds.get(kind, (0, case))
        kinds[kind] = (before + count, first)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict as it is reported: a failure that is expected is a known difference."""

    status: str
    requirement: str = ""
    message: str = ""
    case: Case | None = None

    @property
    def failed(self) -> bool:
        """Whether it is a failure that is not expected."""
        return self.status in FAILED


def all_entries(
    implementation: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
) -> tuple[KnownDifference, ...]:
    """Return the entries of an implementation: its own, and the ``further`` ones of the run.

    Last come those that a variant may share.
    """
    own = (*implementation.known, *further.get(implementation.name, ()))
    return (*own, *shared_entries(implementation))


@dataclass(frozen=True, slots=True)
class Subject:
    """An implementation as a block judges it, with the known differences that apply to it."""

    implementation: Implementation
    """Its ``supports=`` is asked once for each case; the answer holds for the whole block."""
    known: Mapping[int, KnownDifference]
    """The known differences of its version on this machine, by their index in its list."""
    careful: Implementation
    """The same implementation, which also declines the cases that would end its process.

    It makes the calls that the suite makes up itself: histories, probes, relations.
    """

    @classmethod
    def of(
        cls, implementation: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
    ) -> Subject:
        """Return the subject of an implementation; a run may have ``further`` entries."""
        remembering = _asked_once(implementation)
        known = {
            index: entry
            for index, entry in enumerate(all_entries(implementation, further))
            if entry.applies_to(implementation.version) and entry.applies_here()
        }
        return cls(remembering, known, _declining_fatal_cases(remembering, known.values()))

    @property
    def entries(self) -> tuple[KnownDifference, ...]:
        """The known differences that apply to the implementation."""
        return tuple(self.known.values())

    def fatal_cases(self, cases: Iterable[Case]) -> dict[Case, int]:
        """Return the cases that would end the process, each with the index of its fatal entry."""
        fatal = {index: entry for index, entry in self.known.items() if entry.fatal}
        return {
            case: index
            for case in (cases if fatal else ())
            for index, entry in reversed(fatal.items())
            if entry.holds(case)
        }

    def outcome(self, verdict: Verdict) -> Outcome:
        """Return what is reported of a call: its worst finding, unless all of them are known."""
        new, _ = self.separate_known(verdict.findings)
        shown = new[0] if new else verdict
        status = KNOWN_DIFFERENCE if verdict.failed and not new else shown.status
        return Outcome(status, shown.requirement or "", shown.message, verdict.case)

    def separate_known(self, failures: Iterable[Verdict]) -> tuple[list[Verdict], Counter[int]]:
        """Return the failures that no entry covers, and how many each entry covers, by index."""
        new, covered = self.covered_by(failures)
        return new, Counter({index: len(verdicts) for index, verdicts in covered.items()})

    def covered_by(
        self, failures: Iterable[Verdict]
    ) -> tuple[list[Verdict], dict[int, list[Verdict]]]:
        """Return the failures that no entry covers, and those that each entry covers, by index."""
        indices, entries = list(self.known), self.entries
        new: list[Verdict] = []
        covered: dict[int, list[Verdict]] = {}
        for verdict in failures:
            position = matching_entry(entries, verdict)
            if position is None:
                new.append(verdict)
            else:
                covered.setdefault(indices[position], []).append(verdict)
        return new, covered


def _asked_once(implementation: Implementation) -> Implementation:
    """Return an implementation that remembers the answers of its ``supports=``.

    Histories, relations, probes and single calls share many cases.
    """
    supports = implementation.supports
    if supports is None or isinstance(supports, (Supports, Only)):  # they need not be asked
        return implementation
    return replace(implementation, supports=functools.cache(supports))


def _declining_fatal_cases(
    implementation: Implementation, known: Iterable[KnownDifference]
) -> Implementation:
    fatal = [entry for entry in known if entry.fatal]
    if not fatal:
        return implementation

    def supports(case: Case) -> bool | str:
        if any(entry.holds(case) for entry in fatal):
            return "a known difference ends the process"
        return implementation.gap(case) or True

    return replace(implementation, supports=supports)


def check(implementation: Implementation, known: Iterable[KnownDifference]) -> None:
    """Raise `RegistrationError` for an entry whose case is not valid, too large or not covered."""
    origin = f"{implementation.origin}: implementation '{implementation.name}'"
    for entry in known:
        head = f"{origin}: known difference {entry.requirement}"
        try:
            case = parse_valid(entry.case)
            check_judgeable(case)
        except CaseError as problem:
            raise RegistrationError(f"{head}: {problem}") from None
        if not entry.holds(case):
            raise RegistrationError(
                f"{head}: its where ({entry.covers}) leaves out its own case {entry.case}"
            )


def matching_entry(known: Sequence[KnownDifference], verdict: Verdict) -> int | None:
    """Return the index of the first of the ``known`` differences that covers a failure, if any."""
    if not verdict.failed or not known:
        return None
    requirement, case = verdict.requirement or "", verdict.alone or verdict.case
    if verdict.history and requirement in WRONG_RESULT and verdict.alone is None:
        return None  # a result that is wrong only after other calls is another difference
    cited = citable(requirement, case)
    other_bits = bool(verdict.history) and requirement in _OTHER_BITS
    for index, entry in enumerate(known):
        if verdict.ended and not entry.is_of_endings:
            continue
        same = entry.requirement in cited or (other_bits and entry.unsteady)
        if same and entry.holds(case) and shared(entry, verdict):
            return index
    return None


_OTHER_BITS = ("REPEAT-1", "REPEAT-2", "REPEAT-3", "REJECT-2")
"""The requirements that a repeated call gives the same bits."""


def known_rows(
    implementations: Iterable[Implementation],
    further: Mapping[str, tuple[KnownDifference, ...]],
    counts: Mapping[Key, int],
    kinds: Mapping[Key, Kinds],
    examples: Mapping[Key, Example],
) -> Iterator[Known]:
    """Yield the entries of the implementations as rows of the run file."""
    for implementation in implementations:
        for index, entry in enumerate(all_entries(implementation, further)):
            example = examples.get((implementation.name, index), Example())
            count = counts.get((implementation.name, index), 0)
            # Of a fatal entry the count is of calls that were not made, which show nothing.
            occurs = example.occurs or (count and not (entry.fatal and example.judged))
            if isinstance(entry, SharedDifference) and not occurs:
                continue  # nothing says that the variant has it
            if not entry.applies_to(implementation.version):
                status = OTHER_VERSION
            elif not entry.applies_here():
                status = OTHER_MACHINE
            elif occurs:
                status = KNOWN_DIFFERENCE
            else:
                status = STALE if example.judged else NOT_JUDGED
            yield Known.of(
                entry,
                example,
                implementation=implementation.name,
                operator=entry.parsed.operator,
                status=status,
                count=count,
                beyond=_beyond(kinds.get((implementation.name, index), {}), example),
                replay=replay_command(implementation, entry.parsed),
            )


def _beyond(kinds: Kinds, example: Example) -> str:
    """Return which failures an entry covers that fail otherwise than its smallest case does."""
    return ", ".join(
        f"{count} with {kind} where its own case has {example.kind}: {case.id}"
        for kind, (count, case) in kinds.items()
        if example.kind not in ("", kind)
    )
