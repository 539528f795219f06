"""The differences page as one HTML page that needs nothing else."""

from __future__ import annotations

import re
from itertools import groupby

from conformance.reports.differences import choices, differences
from conformance.reports.differences_markdown import sentence
from conformance.reports.headline import INCOMPLETE, environment
from conformance.reports.html import environment_of_templates
from conformance.reports.model import Report


def differences_html(report: Report) -> str:
    """Return the page."""
    shown = differences(report)
    return (
        environment_of_templates()
        .get_template("differences.html.j2")
        .render(
            report=report,
            sentence=sentence(report, shown),
            incomplete=None if report.complete else INCOMPLETE,
            differences=[(difference, prose(difference.sentence)) for difference in shown],
            choices=[(choice, prose(choice.sentence)) for choice in choices(report)],
            environment=environment(report),
        )
    )


def prose(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a requirement's text as ("p" or "pre", parts); a part is ("text" or "code", string).

    The text is Markdown of SPEC.md. Only what requirements use is read: paragraphs, indented
    formulas, and code between backticks.
    """
    paragraphs = []
    for filled, group in groupby(text.splitlines(), key=lambda line: bool(line.strip())):
        lines = list(group)
        if not filled:
            continue
        if all(line.startswith("    ") for line in lines):
            paragraphs.append(("pre", [("text", "\n".join(line[4:] for line in lines))]))
            continue
        parts = re.split(r"`([^`]*)`", " ".join(line.strip() for line in lines))
        kinds = ("text", "code")
        paragraphs.append(
            ("p", [(kinds[position % 2], part) for position, part in enumerate(parts) if part])
        )
    return paragraphs
