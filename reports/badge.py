"""A badge of a run, as the JSON that https://shields.io/badges/endpoint-badge reads."""

from __future__ import annotations

from typing import Any

from conformance.reports.headline import overall, violated
from conformance.reports.model import Report
from conformance.reports.text import plural
from conformance.runfile import words

_COLOURS = {words.CONFORMS: "brightgreen", words.KNOWN_DIFFERENCE: "yellowgreen"}
_COLOURS |= {words.INCONCLUSIVE: "lightgrey"}


def badge(report: Report) -> dict[str, Any]:
    """Return what the badge says; that of an incomplete run is marked as an error."""
    verdict = overall(report)
    return {
        "schemaVersion": 1,
        "label": "convformance",
        "message": _message(report, verdict) if report.complete else "incomplete run",
        "color": _COLOURS.get(verdict, "red") if report.complete else "lightgrey",
        "isError": not report.complete,
    }


def _message(report: Report, verdict: str) -> str:
    judged = report.judged
    if len(judged) == 1 and judged[0].verdict in words.FAILED:
        return f"violates {violated(report, judged[0].name)}"
    if len(judged) > 1:
        counts = report.verdicts()
        conform = counts[words.CONFORMS] + counts[words.KNOWN_DIFFERENCE]
        return f"{conform} of {plural(len(judged), 'implementation')} conform"
    if verdict == words.CONFORMS and report.compared:
        return f"conforms, {plural(report.compared, 'case')}"
    return "conforms but for known differences" if verdict == words.KNOWN_DIFFERENCE else verdict
