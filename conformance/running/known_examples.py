"""What the smallest cases of known differences show in a run, so that none goes stale unseen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from conformance.case import Case
from conformance.checks.histories import SHORT
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, UNSUPPORTED, Verdict
from conformance.known.difference import KnownDifference
from conformance.registration.registry import Implementation
from conformance.requirements import check_of
from conformance.running.causes import judge_again
from conformance.running.known_in_run import Example, Key, Subject, matching_entry
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import script_of

_HISTORIES = {
    "relations": (HISTORY_OF_RELATIONS,),
    "repeat": ("", *SHORT, "turns", "many"),
    "purity": ("", *SHORT, "turns", "many"),
}
"""How what a check finds is shown again: by a call alone, or by several that follow one another."""


def examples(
    subject: Subject, operator: str, dims: int, dtypes: Collection[str], checks: Collection[str]
) -> dict[Key, Example]:
    """Judge the smallest case of each entry that belongs to a block, and return what came of it."""
    one, shown = subject.implementation, {}
    for place, entry in subject.known.items():
        case = entry.parsed
        in_block = (case.operator, case.dims) == (operator, dims) and case.dtype in dtypes
        if in_block and not {check_of(entry.requirement), "result"}.isdisjoint(checks):
            shown[one.name, place] = _example(one, entry, case)
    return shown


def _example(one: Implementation, entry: KnownDifference, case: Case) -> Example:
    if entry.requirement == "DECLARE-5":  # several probes show it, and no case alone
        return Example(judged=False, occurs=False)
    verdict = found = Verdict(one.name, case, CONFORMS, entry.requirement)
    for history in _HISTORIES.get(check_of(entry.requirement), ("",)):
        found = replace(found, history=history)
        verdict = judge_again(one, case, found)
        if verdict.status == UNSUPPORTED:
            return Example(judged=False, occurs=False, message=verdict.message)
        if matching_entry([entry], verdict) is not None:
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
