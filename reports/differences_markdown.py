"""The differences page as GitHub-flavoured Markdown."""

from __future__ import annotations

from conformance.reports.differences import (
    CONVENTION,
    DEFECT,
    ConventionUse,
    Difference,
    Stance,
    choices,
    differences,
)
from conformance.reports.headline import INCOMPLETE
from conformance.reports.markdown import Marked, escaped, fenced, fenced_script, folded, table
from conformance.reports.model import Report
from conformance.reports.tables import Table
from conformance.reports.text import multiple, plural, shorten
from conformance.runfile.text import one_line
from conformance.runfile.words import FAILED, KNOWN_DIFFERENCE

_LONGEST_MESSAGE = 2000
_KINDS = {
    CONVENTION: "A convention: who differs follows an allowed alternative, and declares another.",
    DEFECT: "A defect.",
    KNOWN_DIFFERENCE: "A known difference.",
}


def differences_markdown(report: Report) -> str:
    """Return the page: a summary, then each difference with its smallest cases and scripts."""
    shown, followed = differences(report), choices(report)
    parts = ["# Where the implementations differ", sentence(report, shown)]
    if not report.complete:
        parts.append(f"> [!WARNING]\n> {INCOMPLETE}")
    if shown:
        rows = [
            (
                Marked(f"[{escaped(d.requirement)}](#{d.anchor})"),
                d.operator,
                d.kind,
                ", ".join(party.implementation for party in d.failing),
                ", ".join(f"{len(parties)} {does}" for does, parties in d.others),
            )
            for d in shown
        ]
        header = ("requirement", "operator", "kind", "who", "the others")
        parts.append(table(Table(header, "lllll", rows)))
    for difference in shown:
        parts += _difference(difference)
    if followed:
        parts.append("# Which conventions they follow")
        parts.append(
            "Expected of each implementation, by its declaration or by default, and seen by probes "
            "of the run. Accuracy is that of the accumulator, or of the multiplier; worst: the "
            "largest share of the declared bound."
        )
    for choice in followed:
        parts += _choice(choice)
    parts.append(f"From {escaped(report.path)}, seed {report.facts.get('seed')}.")
    return "\n\n".join(parts) + "\n"


def sentence(report: Report, shown: tuple[Difference, ...]) -> str:
    """Return the sentence that sums up the page."""
    if not shown:
        return f"No requirement on which {plural(len(report.judged), 'implementation')} differ."
    numbers = len({difference.requirement for difference in shown})
    names = {party.implementation for d in shown for party in d.failing}
    return (
        f"{plural(numbers, 'requirement')} on which implementations differ: {len(names)} of "
        f"{plural(len(report.judged), 'implementation')} differ from the exact result, or from "
        "what they declare, somewhere."
    )


def _difference(difference: Difference) -> list[str]:
    title = f"{difference.requirement}: {difference.title}, {difference.operator}"
    rows: list[tuple[str, ...]] = [
        (
            Marked(f"<b>{escaped(party.implementation)}</b> {escaped(party.version)}"),
            party.does,
            one_line(shorten(party.detail, 300)),
        )
        for party in difference.failing
    ]
    for does, parties in difference.others:
        names = ", ".join(party.implementation for party in parties)
        details = "; ".join(dict.fromkeys(party.detail for party in parties if party.detail))
        rows.append((names, does, shorten(details, 300)))
    parts = [
        f'<a id="{difference.anchor}"></a>',
        f"## {escaped(title)}",
        _KINDS[difference.kind],
        _quoted(difference.sentence),
        table(Table(("implementation", "does", "in how many cases, and where"), "lll", rows)),
        "The smallest case, which every implementation was asked about:",
        fenced(difference.case, "text"),
    ]
    for party in difference.failing:
        parts += _shown(party)
    return [part for part in parts if part]


def _shown(party: Stance) -> list[str]:
    verb = "expected of" if party.does not in FAILED else "found in"
    means = "with the engine alone" if party.alone else "through its adapter"
    head = f"{verb} <b>{escaped(party.implementation)}</b>, {means}"
    inner = [
        fenced(party.case, "text"),
        fenced(shorten(party.message, _LONGEST_MESSAGE), "text") if party.message else "",
        fenced_script(party.script) if party.script else "",
    ]
    return folded(head, *(part for part in inner if part))


def _choice(choice: ConventionUse) -> list[str]:
    rows = [
        (
            follower.implementation,
            follower.declared,
            follower.where or follower.followed,
            "" if follower.agrees else f"❌ {one_line(shorten(follower.message, 300))}",
            f"{follower.probes:,}",
            multiple(follower.worst),
        )
        for follower in choice.followers
    ]
    header = ("implementation", "expected", "follows", "", "probes", "worst")
    title = f"{choice.name} ({choice.requirement}: {choice.title})"
    lines = table(Table(header, "llllrr", rows))
    return [f"## {escaped(title)}", _quoted(choice.sentence), lines]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
