"""Where implementations differ: for each requirement who does what, and the case that shows it.

Everything here comes from the run file: violations, known differences, what each implementation
made of the smallest case of another's failure, and the conventions that were probed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from conformance.errors import ConformanceError
from conformance.reports.model import Report
from conformance.reports.order import T, by_operator, grouped, largest
from conformance.reports.text import plural
from conformance.requirements import requirement
from conformance.runfile.tables import Convention, Known, Violation, Witness
from conformance.runfile.text import one_line
from conformance.runfile.words import FAILED, KNOWN_DIFFERENCE, MIXED, NEITHER, NOT_APPLICABLE

CONVENTION, DEFECT = "convention", "defect"

_PLACES = {word: place for place, word in enumerate((*FAILED, KNOWN_DIFFERENCE))}


@dataclass(frozen=True, slots=True)
class Party:
    """What one implementation does about a requirement, in one operator."""

    implementation: str
    version: str
    does: str
    """Such as violates, conforms, unsupported, known difference, or the convention followed."""
    detail: str = ""
    """How many cases, since when, or why."""
    case: str = ""
    """The smallest case on which this implementation fails."""
    message: str = ""
    script: str = ""
    alone: bool = False
    """Whether the script uses the engine alone, and not the adapter."""

    @property
    def fails(self) -> bool:
        return self.does in FAILED or self.does == KNOWN_DIFFERENCE


@dataclass(frozen=True, slots=True)
class Difference:
    """One requirement in one operator, and what each implementation of the run does about it."""

    requirement: str
    title: str
    sentence: str
    """The normative text."""
    kind: str
    """convention, defect or known difference."""
    operator: str
    case: str
    """The smallest case that shows it, which every implementation was asked about."""
    parties: tuple[Party, ...]

    @property
    def anchor(self) -> str:
        return f"{self.requirement}-{self.operator}".lower().replace("_", "-")

    @property
    def failing(self) -> tuple[Party, ...]:
        """Who fails, the one with the smallest case first."""
        found = [party for party in self.parties if party.fails]
        return tuple(sorted(found, key=lambda p: (p.case != self.case, len(p.case), p.case)))

    @property
    def others(self) -> tuple[tuple[str, tuple[Party, ...]], ...]:
        """Who does not fail, by what they do."""
        others = (party for party in self.parties if not party.fails)
        return _by(others, lambda party: party.does)


def differences(report: Report) -> tuple[Difference, ...]:
    """Return the differences of a run, conventions apart, by requirement and operator."""
    keys = {(v.requirement, v.operator) for v in report.violations if v.status in FAILED}
    keys |= {(k.requirement, k.operator) for k in report.known if k.status == KNOWN_DIFFERENCE}
    ordered = sorted(keys, key=lambda key: (_group(key[0]), by_operator(key[1])))
    return tuple(_difference(report, *key) for key in ordered)


def _difference(report: Report, number: str, operator: str) -> Difference:
    mine = [v for v in report.violations if (v.requirement, v.operator) == (number, operator)]
    known = [
        k
        for k in report.known
        if (k.requirement, k.operator, k.status) == (number, operator, KNOWN_DIFFERENCE)
    ]
    asked = [w for w in report.witnesses if (w.requirement, w.operator) == (number, operator)]
    cases = [v.case for v in mine] + [k.case for k in known]
    case = asked[0].case if asked else min(cases, key=len)
    title, rule = _title_and_rule(number)
    parties = sorted(
        _parties(report, operator, mine, known, asked),
        key=lambda p: (_PLACES.get(p.does, len(_PLACES)), p.does),
    )
    return Difference(
        requirement=number,
        title=title,
        sentence=rule,
        kind=_kind(report, number, mine),
        operator=operator,
        case=case,
        parties=tuple(parties),
    )


def _kind(report: Report, number: str, mine: list[Violation]) -> str:
    """Return what a difference is.

    It is a convention where everybody who violates was seen to follow an allowed alternative, and
    the same one everywhere: what is wrong is only that another one is declared.
    """
    if not mine:
        return KNOWN_DIFFERENCE
    seen = [c for c in report.conventions if c.convention != "accuracy" and not c.agrees]
    if number != "DECLARE-5":
        seen = [c for c in seen if c.requirement == number]
    for name in {v.implementation for v in mine}:
        followed = {c.followed for c in seen if c.implementation == name}
        if not followed or followed & {MIXED, NEITHER}:
            return DEFECT
    return CONVENTION


def _parties(
    report: Report,
    operator: str,
    mine: Iterable[Violation],
    known: Iterable[Known],
    asked: Iterable[Witness],
) -> Iterator[Party]:
    witnessed = {witness.implementation: witness for witness in asked}
    for one in report.judged:
        cells = [c for c in report.cells if (c.implementation, c.operator) == (one.name, operator)]
        found = sorted(
            (v for v in mine if v.implementation == one.name), key=lambda v: (len(v.case), v.case)
        )
        listed = [k for k in known if k.implementation == one.name]
        witness = witnessed.get(one.name)
        base = Party(one.name, one.version, "")
        if found:
            where = ", ".join(dict.fromkeys(f"{v.dims}-D {v.dtype}" for v in found))
            count = plural(sum(v.count for v in found), "case")
            yield _failing(base, found[0].status, f"{count}: {where}", found[0])
        elif listed:
            entry = listed[0]
            told = f"{plural(entry.count, 'case')} where {entry.covers}: {entry.reason}"
            yield _failing(base, KNOWN_DIFFERENCE, one_line(f"{told} {entry.link}"), entry)
        elif not cells:
            yield replace(base, does="not implemented")
        elif witness is None:
            yield replace(base, does="not asked", detail="the time ended before it was")
        elif witness.status in FAILED:
            cited = f"cited as {witness.cited}" if witness.cited else ""
            yield _failing(base, witness.status, cited, witness)
        else:
            yield replace(base, does=witness.status, detail=one_line(witness.message))


def _failing(base: Party, does: str, detail: str, shown: Violation | Known | Witness) -> Party:
    script = shown.engine_script or getattr(shown, "script", "")  # a witness has no other
    return replace(
        base,
        does=does,
        detail=detail,
        case=shown.case,
        message=shown.message,
        script=script,
        alone=bool(shown.engine_script),
    )


# --- conventions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Follower:
    """What one implementation declares of a convention, and what the probes saw it follow."""

    implementation: str
    declared: str
    followed: str
    """The alternative, or several, or mixed or neither."""
    where: str
    """The operators of each, where there are several."""
    agrees: bool
    probes: int
    case: str
    message: str
    worst: float | None
    """The largest share of the declared bound that a case of this dtype took (accuracy only)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A convention, or a class of accuracy, and who follows which of its alternatives."""

    name: str
    requirement: str
    title: str
    sentence: str
    followers: tuple[Follower, ...]

    @property
    def accuracy(self) -> bool:
        """Whether this is the accuracy of a dtype, and not a convention."""
        return self.name.startswith("accuracy")

    @property
    def camps(self) -> tuple[tuple[str, tuple[Follower, ...]], ...]:
        """Who follows what, those of one alternative together."""
        return _by(self.followers, lambda follower: follower.followed)


def choices(report: Report) -> tuple[Choice, ...]:
    """Return the conventions that were probed, and the accuracy of each dtype, with who has which.

    Where nobody could be probed there is no entry.
    """
    probed = [row for row in report.conventions if row.followed != NOT_APPLICABLE]
    groups = grouped(probed, lambda row: (_name(row), row.requirement))
    return tuple(
        Choice(name, number, *_title_and_rule(number), tuple(_followers(report, rows)))
        for (name, number), rows in sorted(groups.items(), key=lambda g: (_group(g[0][1]), g[0][0]))
    )


def _name(row: Convention) -> str:
    return f"accuracy in {row.dtype}" if row.convention == "accuracy" else row.convention


def _followers(report: Report, rows: list[Convention]) -> Iterator[Follower]:
    for one in report.judged:
        mine = [row for row in rows if row.implementation == one.name]
        if not mine:
            continue
        wrong = next((row for row in mine if not row.agrees), None)
        shown = wrong or mine[0]
        worst = None
        if shown.convention == "accuracy":
            cells = (c for c in report.cells if c.implementation == one.name)
            worst = largest(cell.worst for cell in cells if cell.dtype == shown.dtype)
        yield Follower(
            implementation=one.name,
            declared=shown.declared,
            followed=", ".join(dict.fromkeys(row.followed for row in mine)),
            where=_where(mine),
            agrees=wrong is None,
            probes=sum(row.probes for row in mine),
            case=shown.case,
            message=shown.message,
            worst=worst,
        )


def _by(rows: Iterable[T], word: Callable[[T], str]) -> tuple[tuple[str, tuple[T, ...]], ...]:
    return tuple((each, tuple(group)) for each, group in grouped(rows, word).items())


def _where(rows: list[Convention]) -> str:
    words: dict[str, dict[str, None]] = {}
    for row in rows:
        words.setdefault(row.followed, {})[row.operator] = None
    if len(words) == 1:
        return ""
    return "; ".join(f"{word} in {', '.join(places)}" for word, places in words.items())


def _title_and_rule(number: str) -> tuple[str, str]:
    try:
        return requirement(number).title, requirement(number).rule
    except ConformanceError:  # a run may cite a later text
        return "", ""


def _group(number: str) -> tuple[str, int]:
    group, _, rest = number.partition("-")
    return group, int(rest) if rest.isdigit() else 0
