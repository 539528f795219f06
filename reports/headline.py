"""The outcome of a run in one sentence, and the machine and settings of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.reports.model import Report
from conformance.reports.order import largest
from conformance.reports.text import multiple, plural
from conformance.runfile import words
from conformance.runfile.tables import Implementation
from conformance.runfile.text import one_line

_NAMED = 6
"""A sentence names this many implementations, and counts more."""
_CLASSES = 5
"""And this many classes of cases, if there are no more."""
INCOMPLETE = "The run is incomplete: it ended before its closing record."


def headline(report: Report) -> str:
    """Return the outcome in one sentence, such as ``2 of 7 implementations violate ...``."""
    if not report.cells:
        return _without_cells(report)
    judged = report.judged
    parts = [_one(report, judged[0]) if len(judged) == 1 else _several(report, judged)]
    parts.append(f"{plural(report.compared, 'case')} compared")
    if report.not_installed:
        count = len(report.not_installed)
        parts.append(f"{count} {'is' if count == 1 else 'are'} not installed")
    if report.stale:
        parts.append(f"{plural(len(report.stale), 'known difference')} no longer occurring")
    return f"{parts[0]}; {', '.join(parts[1:])}."


def violated(report: Report, implementation: str) -> str:
    """Return the worst requirement that it violates, and how many more: ``CONV-5 and 3 more``."""
    own = [v for v in report.violations if v.implementation == implementation]
    numbers = list(dict.fromkeys(v.requirement for v in own if v.status in words.FAILED))
    more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
    return numbers[0] + more if numbers else "the requirements"


def not_asked(report: Report) -> str:
    """Return what the implementations were not asked, in one sentence, or nothing.

    Such as ``Not asked: reversed arrays, NaN, invalid calls.`` Of many kinds the first are named.
    """
    names: dict[tuple[str, ...], list[str]] = {}
    for name, classes in report.not_asked.items():
        names.setdefault(classes, []).append(name)
    if not names:
        return ""
    if len(names) == 1 and len(report.not_asked) == len(report.judged):
        return f"Not asked: {_first(*names)}."
    parts = []
    for classes, some in names.items():
        who = ", ".join(some) if len(some) <= _NAMED else plural(len(some), "implementation")
        parts.append(f"of {who}: {_first(classes)}")
    return f"Not asked {'; '.join(parts)}."


def _first(classes: Sequence[str]) -> str:
    """Return the names of classes of cases, or of the first few and how many others there are."""
    if len(classes) <= _CLASSES:
        return ", ".join(classes)
    others = len(classes) - _CLASSES + 1
    return f"{', '.join(classes[: _CLASSES - 1])} and {plural(others, 'other kind')} of cases"


def overall(report: Report) -> str:
    """Return the verdict on the whole run.

    It is one of adapter wrong, violates, known difference, conforms and inconclusive.
    """
    verdicts = report.verdicts()
    if verdicts[words.ADAPTER_WRONG]:
        return words.ADAPTER_WRONG
    if any(verdicts[verdict] for verdict in words.FAILED) or failed_timings(report) or report.stale:
        return words.VIOLATES
    if verdicts[words.INCONCLUSIVE]:
        return words.INCONCLUSIVE
    if verdicts[words.KNOWN_DIFFERENCE] and report.complete:
        return words.KNOWN_DIFFERENCE
    return words.CONFORMS if verdicts[words.CONFORMS] and report.complete else words.INCONCLUSIVE


def failed_timings(report: Report) -> int:
    """Return how many timings have outputs that do not conform, or are not believable."""
    return sum(not timing.is_believed for timing in report.timings)


def _without_cells(report: Report) -> str:
    if report.timings:
        names = {timing.implementation for timing in report.timings}
        layers = {timing.layer for timing in report.timings}
        text = f"{plural(len(names), 'implementation')} timed on {plural(len(layers), 'layer')}"
        wrong = failed_timings(report)
        doubted = sum(timing.is_verified and bool(timing.doubt) for timing in report.timings)
        parts = [text]
        parts += [f"{plural(wrong - doubted, 'timing')} with wrong outputs"] * (wrong > doubted)
        parts += [f"{plural(doubted, 'timing')} not believable"] * bool(doubted)
        return f"{'; '.join(parts)}."
    if report.not_installed:
        count = len(report.not_installed)
        names_ = "the implementation is" if count == 1 else f"all {count} implementations are"
        return f"Nothing was judged: {names_} not installed."
    return "Nothing was judged: the run has no cases."


def _one(report: Report, implementation: Implementation) -> str:
    name = implementation.name
    if implementation.verdict == words.ADAPTER_WRONG:
        return f"The adapter {name} is wrong"
    if implementation.verdict in words.FAILED:
        return f"{name} violates {violated(report, name)}"
    if implementation.verdict == words.CONFORMS:
        worst = largest(cell.worst for cell in report.cells)
        return f"{name} conforms, worst error {multiple(worst)} of the bound"
    if implementation.verdict == words.INCONCLUSIVE:
        return f"{name} is inconclusive"
    if implementation.verdict == words.KNOWN_DIFFERENCE:
        return f"{name} conforms but for known differences"
    return f"{name}: {implementation.verdict}"


def several(verdict: str) -> str:
    """Return a verdict as it is said of a number of implementations: 2 with known differences."""
    return "with known differences" if verdict == words.KNOWN_DIFFERENCE else verdict


def _several(report: Report, judged: tuple[Implementation, ...]) -> str:
    counts = report.verdicts()
    failed = sum(counts[verdict] for verdict in words.FAILED)
    conform = counts[words.CONFORMS]
    if conform == len(judged):
        return f"All {conform} implementations conform"
    others = [
        f"{count} {several(verdict)}"
        for verdict, count in sorted(counts.items())
        if verdict not in (*words.FAILED, words.CONFORMS, words.NOT_INSTALLED)
    ]
    of = f"of {len(judged)} implementations"
    if not failed:
        return f"{conform} {of} {'conforms' if conform == 1 else 'conform'}, {', '.join(others)}"
    verb = "violates" if failed == 1 else "violate"
    good = [f"{conform} {'conforms' if conform == 1 else 'conform'}"] if conform else []
    return ", ".join([f"{failed} {of} {verb} the requirements", *good, *others])


_FACTS = (
    "started",
    "finished",
    "command",
    "kernels",
    "ends",
    "seed",
    "tier",
    "examples",
    "seconds",
    "suites",
)
SETTINGS = ("seed", "tier", "kernels", "ends")
"""The facts that a terminal shows in one line with the path of the run file."""
_MACHINE = ("cpu", "cores", "threads", "system", "platform", "python", "packages", "references")
_APART = ("format", "machine", "identity", "blocks", "shape_seconds")
"""The facts of the run file that are not shown one by one: what a run that goes on is held to."""
_TOO_LONG = ("cpu_features",)
"""The facts of the run file that are too long for a page."""
_LABELS = {
    "examples": "examples generated",
    "seconds": "time budget in seconds",
    "dims": "spatial dimensions",
    "references": "cached references, to a plugin",
    "matmul_gflops": "matrix product in GFLOP/s",
    "spent": "seconds spent",
}


def baseline(report: Report) -> str:
    """Return the baseline of the timings' ratios in words, such as ``that of torch``."""
    name = one_line(str(report.facts.get("baseline", "")))
    return f"that of {name}" if name else "the baseline's"


def environment(report: Report) -> list[tuple[str, str]]:
    """Return label and value of what the run depended on, in reading order, one line each."""
    facts = {key: value for key, value in report.facts.items() if key not in _APART}
    if not report.complete:
        facts["finished"] = "no: the run is incomplete"
    rows = _ordered(facts, _FACTS)
    machine = report.facts.get("machine")
    if isinstance(machine, dict):
        shown = {key: value for key, value in machine.items() if key not in _TOO_LONG}
        rows += _ordered(shown, _MACHINE)
    for implementation in report.implementations:
        if implementation.environment and len(report.twins(implementation.name)) > 1:
            rows.append((implementation.name, implementation.environment))
    return [*rows, ("run file", report.path)]


def _ordered(facts: dict[str, Any], first: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return label and value of each fact that has one: those in ``first``, then the others."""
    keys = [*(key for key in first if key in facts), *(key for key in facts if key not in first)]
    return [
        (one_line(_LABELS.get(key, key.replace("_", " "))), one_line(_value(facts[key])))
        for key in keys
        if facts[key] is not None
    ]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
