"""The calls of models: is an implementation right for one, in a sentence, and call by call."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.reports.tables import Table
from conformance.reports.text import percentage, plural
from conformance.runfile.tables import Call
from conformance.runfile.words import (
    CONFORMS,
    FAILED,
    KNOWN_DIFFERENCE,
    NO_CALL,
    NOT_JUDGED,
    UNSUPPORTED,
)

_NAMED = 4
"""A sentence names this many calls, and counts more."""


def sentences(report: Report) -> list[str]:
    """Say of each implementation and model whether it is right for it, with counts."""
    groups = grouped(report.calls, lambda call: (call.implementation, call.suite))
    return [_sentence(name, model, calls) for (name, model), calls in groups.items()]


def _sentence(name: str, model: str, calls: Sequence[Call]) -> str:
    own = [call for call in calls if call.status != NO_CALL]
    wrong = [call for call in own if call.status in FAILED]
    right = [call for call in own if call.status == CONFORMS]
    some = f"{_of(wrong or right, own)} of {model}"
    if wrong:
        text = f"{name} is wrong in {some}: {_named(wrong, [call.requirement for call in wrong])}"
    elif not right:
        text = f"{name} was judged in no call of {model}"
    elif len(right) == len(own):
        distinct, layers = plural(len(own), "distinct call"), plural(_layers(own), "layer")
        text = f"{name} is right for {model}: {distinct} of {layers} judged, all conform"
    else:
        text = f"{name} is right in {some}"
    known = [call for call in own if call.status == KNOWN_DIFFERENCE]
    parts = [("known differences in", known, [call.requirement for call in known])]
    for word, status in (("not computed", UNSUPPORTED), ("not judged", NOT_JUDGED)):
        left = [call for call in own if call.status == status]
        parts.append((f"{word}:", left, ["" for _ in left]))
    partly = [call for call in right if call.share < 1]
    parts.append(("in part:", partly, [percentage(call.share) for call in partly]))
    fewer = [call for call in right if call.judged < call.due]
    notes = [f"{call.judged} of {call.due}" for call in fewer]
    parts.append(("not on all kinds of data:", fewer, notes))
    others = [call for call in calls if call.status == NO_CALL]
    parts.append(("no call of an operator, and not judged:", others, ["" for _ in others]))
    text += "".join(f"; {word} {_named(some, why)}" for word, some, why in parts if some)
    return f"{text}."


def _of(some: Sequence[Call], own: Sequence[Call]) -> str:
    """Count some of the calls, and their layers: ``2 of 11 distinct calls, 5 of 20 layers``."""
    calls, layers = plural(len(own), "distinct call"), plural(_layers(own), "layer")
    return f"{len(some)} of {calls}, {_layers(some)} of {layers},"


def _layers(calls: Sequence[Call]) -> int:
    return sum(call.layer_count for call in calls)


def _named(calls: Sequence[Call], notes: Sequence[str]) -> str:
    named = [
        f"{call.call} ({note})" if note else call.call
        for call, note in zip(calls[:_NAMED], notes, strict=False)
    ]
    more = [f"{len(calls) - _NAMED} more"] if len(calls) > _NAMED else []
    return ", ".join([*named, *more])


def outcome(call: Call) -> str:
    """Return what came of one call."""
    text = call.status
    if call.requirement and call.status in (*FAILED, KNOWN_DIFFERENCE):
        text += f" {call.requirement}"
    if 0 < call.share < 1:
        text += f", {percentage(call.share)} of it"
    if call.status in (NO_CALL, UNSUPPORTED) and call.message:
        text += f": {call.message}"
    return text


def table(report: Report) -> Table:
    """Return what came of each call, with its count and the number of its layers."""
    header = ("call", "operator", "count", "layers", "implementation", "cases", "outcome")
    rows = [
        (
            call.call,
            f"{call.operator} {call.dims}-D {call.dtype}".strip() if call.operator else "",
            str(call.count),
            str(call.layer_count),
            report.label(call.implementation),
            str(call.judged),
            outcome(call),
        )
        for call in report.calls
    ]
    return Table(header, "llrrlrl", rows)
