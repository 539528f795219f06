"""Where implementations differ: for each requirement who does what, and the case that shows it.

Everything here comes from the run file: violations, known differences, what each implementation
made of the smallest case of another's failure, and the conventions that were probed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from conformance.errors import ConformanceError
from conformance.reports.model import Report
from conformance.reports.order import by_operator, largest
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
        words: dict[str, list[Party]] = {}
        for party in self.parties:
            if not party.fails:
                words.setdefault(party.does, []).append(party)
        return tuple((does, tuple(who)) for does, who in words.items())


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
    parties = list(_parties(report, operator, mine, known, asked))
    parties.sort(key=lambda p: (_PLACES.get(p.does, len(_PLACES)), p.does))
    return Difference(
        requirement=number,
        title=_title(number),
        sentence=_sentence(number),
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
            yield _violating(base, found)
        elif listed:
            yield _expected(base, listed[0])
        elif not cells:
            yield replace(base, does="not implemented")
        elif witness is None:
            yield replace(base, does="not asked", detail="the time ended before it was")
        elif witness.status in FAILED:
            yield replace(
                base,
                does=witness.status,
                detail=f"cited as {witness.cited}" if witness.cited else "",
                case=witness.case,
                message=witness.message,
                script=witness.engine_script,
                alone=bool(witness.engine_script),
            )
        else:
            yield replace(base, does=witness.status, detail=one_line(witness.message))


def _violating(base: Party, found: list[Violation]) -> Party:
    first = found[0]
    where = ", ".join(dict.fromkeys(f"{v.dims}-D {v.dtype}" for v in found))
    return replace(
        base,
        does=first.status,
        detail=f"{plural(sum(v.count for v in found), 'case')}: {where}",
        case=first.case,
        message=first.message,
        script=first.engine_script or first.script,
        alone=bool(first.engine_script),
    )


def _expected(base: Party, entry: Known) -> Party:
    told = f"{plural(entry.count, 'case')} where {entry.covers}: {entry.reason} {entry.link}"
    return replace(
        base,
        does=KNOWN_DIFFERENCE,
        detail=one_line(told),
        case=entry.case,
        message=entry.message,
        script=entry.engine_script or entry.script,
        alone=bool(entry.engine_script),
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
        words: dict[str, list[Follower]] = {}
        for follower in self.followers:
            words.setdefault(follower.followed, []).append(follower)
        return tuple((word, tuple(who)) for word, who in words.items())


def choices(report: Report) -> tuple[Choice, ...]:
    """Return the conventions that were probed, and the accuracy of each dtype, with who has which.

    Where nobody could be probed there is no entry.
    """
    groups: dict[tuple[str, str], list[Convention]] = {}
    for row in report.conventions:
        if row.followed != NOT_APPLICABLE:
            name = f"accuracy in {row.dtype}" if row.convention == "accuracy" else row.convention
            groups.setdefault((name, row.requirement), []).append(row)
    ordered = sorted(groups, key=lambda key: (_group(key[1]), key[0]))
    return tuple(
        Choice(
            name,
            number,
            _title(number),
            _sentence(number),
            tuple(_followers(report, groups[name, number])),
        )
        for name, number in ordered
    )


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


def _where(rows: list[Convention]) -> str:
    words: dict[str, dict[str, None]] = {}
    for row in rows:
        words.setdefault(row.followed, {})[row.operator] = None
    if len(words) == 1:
        return ""
    return "; ".join(f"{word} in {', '.join(places)}" for word, places in words.items())


def _title(number: str) -> str:
    try:
        return requirement(number).title
    except ConformanceError:  # a run may cite a later text
        return ""


def _sentence(number: str) -> str:
    try:
        return requirement(number).rule
    except ConformanceError:
        return ""


def _group(number: str) -> tuple[str, int]:
    group, _, rest = number.partition("-")
    return group, int(rest) if rest.isdigit() else 0
