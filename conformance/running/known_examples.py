"""What the smallest cases of known differences show in a run, so that none goes stale unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from conformance.case import Case
from conformance.checks.histories import SHORT
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, UNSUPPORTED, Verdict
from conformance.known.difference import KnownDifference
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.running.causes import judge_again
from conformance.running.known_in_run import Example, Key, matching_entry
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import script_of

_HISTORIES = {
    "relations": (HISTORY_OF_RELATIONS,),
    "repeat": ("", *SHORT, "turns", "many"),
    "purity": ("", *SHORT, "turns", "many"),
}
"""How what a check finds is shown again: by a call alone, or by several that follow one another."""


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
        case = entry.parsed
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
