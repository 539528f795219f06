"""Where implementations differ: who does what about each requirement, and a case that shows it.

Everything here comes from the run file: violations, known differences, the verdicts of all
implementations on the smallest failing case of each, and the conventions that were probed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.reports.model import Report
from conformance.reports.order import T, by_operator, grouped, largest
from conformance.reports.text import plural
from conformance.requirements import numbered, requirement
from conformance.runfile.tables import Convention, Known, Violation, Witness
from conformance.runfile.text import one_line
from conformance.runfile.words import FAILED, KNOWN_DIFFERENCE, MIXED, NEITHER

CONVENTION, DEFECT = "convention", "defect"

_RANKS = {word: rank for rank, word in enumerate((*FAILED, KNOWN_DIFFERENCE))}


@dataclass(frozen=True, slots=True)
class Stance:
    """The behaviour of one implementation under a requirement, in one operator."""

    implementation: str
    version: str
    does: str
    """A status: violates, conforms, unsupported, known difference, not asked and so on."""
    detail: str = ""
    """How many cases and where, or why."""
    case: str = ""
    """The smallest case on which this implementation fails."""
    message: str = ""
    script: str = ""
    alone: bool = False
    """Whether the script uses the engine alone, without the adapter."""

    @property
    def fails(self) -> bool:
        return self.does in FAILED or self.does == KNOWN_DIFFERENCE


@dataclass(frozen=True, slots=True)
class Difference:
    """One requirement in one operator, and the behaviour of each implementation of the run."""

    requirement: str
    title: str
    sentence: str
    """The normative text of the requirement."""
    kind: str
    """One of convention, defect and known difference."""
    operator: str
    case: str
    """The smallest case that shows it, on which every implementation was judged."""
    parties: tuple[Stance, ...]

    @property
    def anchor(self) -> str:
        return f"{self.requirement}-{self.operator}".lower().replace("_", "-")

    @property
    def failing(self) -> tuple[Stance, ...]:
        """The implementations that fail; the one with the smallest case comes first."""
        failures = [party for party in self.parties if party.fails]
        return tuple(sorted(failures, key=lambda p: (p.case != self.case, len(p.case), p.case)))

    @property
    def others(self) -> tuple[tuple[str, tuple[Stance, ...]], ...]:
        """The implementations that do not fail, grouped by their status."""
        others = (party for party in self.parties if not party.fails)
        return _by(others, lambda party: party.does)


def differences(report: Report) -> tuple[Difference, ...]:
    """Return the differences of a run, by requirement and operator; see `choices`, too."""
    keys = {(v.requirement, v.operator) for v in report.violations if v.status in FAILED}
    keys |= {(k.requirement, k.operator) for k in report.known if k.status == KNOWN_DIFFERENCE}
    ordered = sorted(keys, key=lambda key: (numbered(key[0]), by_operator(key[1])))
    return tuple(_difference(report, *key) for key in ordered)


def _difference(report: Report, number: str, operator: str) -> Difference:
    violations = [v for v in report.violations if (v.requirement, v.operator) == (number, operator)]
    expected = [
        k
        for k in report.known
        if (k.requirement, k.operator, k.status) == (number, operator, KNOWN_DIFFERENCE)
    ]
    asked = [w for w in report.witnesses if (w.requirement, w.operator) == (number, operator)]
    cases = [v.case for v in violations] + [k.case for k in expected]
    case = asked[0].case if asked else min(cases, key=len)
    title, rule = _title_and_rule(number)
    parties = sorted(
        _parties(report, operator, violations, expected, asked),
        key=lambda p: (_RANKS.get(p.does, len(_RANKS)), p.does),
    )
    return Difference(
        requirement=number,
        title=title,
        sentence=rule,
        kind=_kind(report, number, violations),
        operator=operator,
        case=case,
        parties=tuple(parties),
    )


def _kind(report: Report, number: str, violations: list[Violation]) -> str:
    """Return the kind of a difference.

    It is a known difference if nobody violates. It is a convention if every implementation that
    violates was seen to follow one allowed alternative, and only declares another. Else it is a
    defect.
    """
    if not violations:
        return KNOWN_DIFFERENCE
    disagreeing = [c for c in report.conventions if c.convention != "accuracy" and not c.agrees]
    if number != "DECLARE-5":
        disagreeing = [c for c in disagreeing if c.requirement == number]
    for name in {v.implementation for v in violations}:
        followed = {c.followed for c in disagreeing if c.implementation == name}
        if not followed or followed & {MIXED, NEITHER}:
            return DEFECT
    return CONVENTION


def _parties(
    report: Report,
    operator: str,
    violations: Iterable[Violation],
    expected: Iterable[Known],
    asked: Iterable[Witness],
) -> Iterator[Stance]:
    witnessed = {witness.implementation: witness for witness in asked}
    for implementation in report.judged:
        key = (implementation.name, operator)
        cells = [c for c in report.cells if (c.implementation, c.operator) == key]
        failures = sorted(
            (v for v in violations if v.implementation == implementation.name),
            key=lambda v: (len(v.case), v.case),
        )
        entries = [k for k in expected if k.implementation == implementation.name]
        witness = witnessed.get(implementation.name)
        base = Stance(implementation.name, implementation.version, "")
        if failures:
            where = ", ".join(dict.fromkeys(f"{v.dims}-D {v.dtype}" for v in failures))
            count = plural(sum(v.count for v in failures), "case")
            yield _failing(base, failures[0].status, f"{count}: {where}", failures[0])
        elif entries:
            for entry in entries:
                text = f"{plural(entry.count, 'case')} where {entry.covers}: {entry.why}"
                yield _failing(base, KNOWN_DIFFERENCE, one_line(f"{text} {entry.link}"), entry)
            shown = {Case.parse(entry.case).dtype for entry in entries}
            if witness and witness.status in FAILED and Case.parse(witness.case).dtype not in shown:
                yield _failing(base, witness.status, _cited(witness), witness)
        elif not cells:
            yield replace(base, does="not implemented")
        elif witness is None:
            yield replace(base, does="not asked", detail="the time ended before it was")
        elif witness.status in FAILED:
            yield _failing(base, witness.status, _cited(witness), witness)
        else:
            yield replace(base, does=witness.status, detail=one_line(witness.message))


def _cited(witness: Witness) -> str:
    return f"cited as {witness.cited}" if witness.cited else ""


def _failing(base: Stance, does: str, detail: str, shown: Violation | Known | Witness) -> Stance:
    script = shown.engine_script or getattr(
        shown, "script", ""
    )  # a witness has no script through the adapter
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
    """The alternative that is expected of an implementation, and the one that it followed."""

    implementation: str
    declared: str
    """The alternative that it declares; "default: " comes before one that it does not declare."""
    followed: str
    """An alternative, several of them, ``mixed`` or ``neither``."""
    where: str
    """The operators of each alternative, if there are several."""
    agrees: bool
    probes: int
    case: str
    message: str
    worst: float | None
    """The largest share of the declared bound that a case of this dtype took (accuracy only)."""


@dataclass(frozen=True, slots=True)
class ConventionUse:
    """A convention, or the accuracy of a dtype, and who follows which of its alternatives."""

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
    def by_alternative(self) -> tuple[tuple[str, tuple[Follower, ...]], ...]:
        """The followers of each alternative."""
        return _by(self.followers, lambda follower: follower.followed)


def choices(report: Report) -> tuple[ConventionUse, ...]:
    """Return the conventions that were probed, and the accuracy of each dtype, with all followers.

    A convention for which no implementation could be probed has no entry.
    """
    probed = [row for row in report.conventions if row.probes]
    groups = grouped(probed, lambda row: (_name(row), row.requirement))
    return tuple(
        ConventionUse(name, number, *_title_and_rule(number), tuple(_followers(report, rows)))
        for (name, number), rows in sorted(
            groups.items(), key=lambda g: (numbered(g[0][1]), g[0][0])
        )
    )


def _name(row: Convention) -> str:
    return f"accuracy in {row.dtype}" if row.convention == "accuracy" else row.convention


def _followers(report: Report, rows: list[Convention]) -> Iterator[Follower]:
    for implementation in report.judged:
        own = [row for row in rows if row.implementation == implementation.name]
        if not own:
            continue
        wrong = next((row for row in own if not row.agrees), None)
        shown = wrong or own[0]
        worst = None
        if shown.convention == "accuracy":
            cells = (c for c in report.cells if c.implementation == implementation.name)
            worst = largest(cell.worst for cell in cells if cell.dtype == shown.dtype)
        yield Follower(
            implementation=implementation.name,
            declared=f"default: {shown.declared}" if shown.by_default else shown.declared,
            followed=", ".join(dict.fromkeys(row.followed for row in own)),
            where=_where(own),
            agrees=wrong is None,
            probes=sum(row.probes for row in own),
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
