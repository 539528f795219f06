"""Known differences in a run: which failures they cover, and which of them no longer occur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.case import Case
from conformance.checks import check_of
from conformance.checks.histories import SHORT
from conformance.errors import CaseError, RegistrationError
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, UNSUPPORTED, Verdict
from conformance.known import KnownDifference
from conformance.registration.registry import Implementation
from conformance.running.causes import covering, judge_again
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import replay_command, script_of

OCCURS, STALE = "known difference", "stale"
NOT_JUDGED, OTHER_VERSION = "not judged", "other version"

Key = tuple[str, int]
"""An implementation's name, and the place of an entry in its list."""


@dataclass(frozen=True, slots=True)
class Example:
    """What the smallest case of an entry showed in this run."""

    judged: bool
    occurs: bool
    message: str = ""
    script: str = ""
    engine_script: str = ""


_HISTORIES = {
    "relations": (HISTORY_OF_RELATIONS,),
    "repeat": ("", *SHORT, "turns", "many"),
    "purity": ("", *SHORT, "turns", "many"),
}
"""How what a check finds is shown again: by a call alone, or by several that follow one another."""


def listed(
    one: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
) -> tuple[KnownDifference, ...]:
    """Return the entries of an implementation: its own, and ``further`` ones of the run."""
    return (*one.known, *further.get(one.name, ()))


def applicable(
    one: Implementation, further: Mapping[str, tuple[KnownDifference, ...]]
) -> dict[int, KnownDifference]:
    """Return the entries that its version has, by their place in the list."""
    found = enumerate(listed(one, further))
    return {place: entry for place, entry in found if entry.applies_to(one.version)}


def check(one: Implementation, known: Iterable[KnownDifference]) -> None:
    """Raise `RegistrationError` for an entry whose case is no case, or not covered by it."""
    for entry in known:
        head = f"{one.origin}: implementation '{one.name}': known difference {entry.requirement}"
        try:
            case = Case.parse(entry.case)
        except CaseError as problem:
            raise RegistrationError(f"{head}: {problem}") from None
        if not entry.holds(case):
            raise RegistrationError(
                f"{head}: its where ({entry.condition}) leaves out its own case {entry.case}"
            )


def fatal(known: Mapping[int, KnownDifference], cases: Iterable[Case]) -> dict[Case, int]:
    """Return the cases that would end their process, with the place of the entry that says so."""
    ending = {place: entry for place, entry in known.items() if entry.fatal}
    return {
        case: place
        for case in (cases if ending else ())
        for place, entry in reversed(ending.items())
        if entry.holds(case)
    }


def spared(one: Implementation, known: Iterable[KnownDifference]) -> Implementation:
    """Return ``one``, declining what would end its process: for calls that are not its cases'."""
    ending = [entry for entry in known if entry.fatal]
    if not ending:
        return one

    def supports(case: Case) -> bool | str:
        if any(entry.holds(case) for entry in ending):
            return "a known difference ends the process"
        return one.gap(case) or True

    return replace(one, supports=supports)


def split(
    known: Mapping[int, KnownDifference], failures: Iterable[Verdict]
) -> tuple[list[Verdict], Counter[int]]:
    """Return the failures that no entry covers, and how many each entry does."""
    places, entries = list(known), list(known.values())
    rest, covered = [], Counter[int]()
    for verdict in failures:
        found = covering(entries, verdict)
        if found is None:
            rest.append(verdict)
        else:
            covered[places[found]] += 1
    return rest, covered


def examples(
    one: Implementation,
    known: Mapping[int, KnownDifference],
    operator: str,
    dims: int,
    dtypes: Sequence[str],
    checks: Sequence[str],
) -> dict[Key, Example]:
    """Judge the smallest case of each entry that belongs to a block, and return what came of it."""
    found = {}
    for place, entry in known.items():
        case = Case.parse(entry.case)
        mine = (case.operator, case.dims) == (operator, dims) and case.dtype in dtypes
        if mine and ({check_of(entry.requirement), "result"} & {*checks}):
            found[one.name, place] = _example(one, entry, case)
    return found


def _example(one: Implementation, entry: KnownDifference, case: Case) -> Example:
    if entry.requirement == "DECLARE-5":  # several probes show it, and no case alone
        return Example(judged=False, occurs=False)
    verdict = found = Verdict(one.name, case, CONFORMS, entry.requirement)
    for history in _HISTORIES.get(check_of(entry.requirement), ("",)):
        found = replace(found, history=history)
        verdict = judge_again(one, case, found)
        if verdict.status == UNSUPPORTED:
            return Example(judged=False, occurs=False, message=verdict.message)
        if covering([entry], verdict) is not None:
            break
    else:
        return Example(judged=True, occurs=False)
    return Example(
        judged=True,
        occurs=True,
        message=verdict.message,
        script=script_of(one, case, found),
        engine_script=engine_script_of(one, case, found, verdict),
    )


def rows(
    one: Implementation,
    further: Mapping[str, tuple[KnownDifference, ...]],
    counts: Mapping[Key, int],
    shown: Mapping[Key, Example],
) -> list[dict[str, Any]]:
    """Return the entries of one implementation as rows of the run file."""
    applying = applicable(one, further)
    made = []
    for place, entry in enumerate(listed(one, further)):
        example = shown.get((one.name, place), Example(judged=False, occurs=False))
        count = counts.get((one.name, place), 0)
        if place not in applying:
            status = OTHER_VERSION
        elif count or example.occurs:
            status = OCCURS
        else:
            status = STALE if example.judged else NOT_JUDGED
        case = Case.parse(entry.case)
        made.append(
            {
                "implementation": one.name,
                "requirement": entry.requirement,
                "operator": case.operator,
                "case": entry.case,
                "covers": entry.condition,
                "reason": entry.reason,
                "link": entry.link,
                "versions": entry.versions,
                "status": status,
                "count": count,
                "message": example.message,
                "script": example.script,
                "engine_script": example.engine_script,
                "replay": replay_command(one, case),
            }
        )
    return made
