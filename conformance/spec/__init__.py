"""The spec: the ranges of generation, how much each tier judges, and the curated suites.

`load` reads the packaged ``default.toml`` and lays a user's file over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from conformance.case import RECIPES
from conformance.cases.draft import least_work
from conformance.cases.enumerations import ENUMERATIONS, SPACES
from conformance.cases.ranges import LIMITS, MOST_EXAMPLES, Ranges
from conformance.dtypes import FLOATS
from conformance.errors import SpecError, unknown
from conformance.requirements import CHECKS
from conformance.spec.suite import OF_FILES, Suite, SuiteCase, Suites, read_file, read_suite
from conformance.toml import Table, parse, read

__all__ = ["NETWORKS", "OWN", "Ranges", "Spec", "Suite", "SuiteCase", "Tier", "load"]

DEFAULT = Path(__file__).with_name("default.toml")
"""The packaged spec file."""

NETWORKS = "networks"
"""The suite of layers of networks."""

OWN = "spec"
"""The suite of the ``[[case]]`` tables of the spec file itself, which every tier has."""


@dataclass(frozen=True, slots=True)
class Tier:
    """How much a run judges."""

    examples: int
    """Generated cases an operator and dimension."""
    seconds: float
    """The time budget of an implementation in a cell (`running.budget`)."""
    total: float
    """The time budget of all cells together; it shortens that of a cell where there are many."""
    suites: tuple[str, ...]
    """The curated suites that are judged as well."""
    checks: tuple[str, ...] = CHECKS
    """The checks that are made."""
    summary: str = ""
    layers: tuple[str, ...] = ()
    """The layers of networks that are judged by projection, by names or globs."""
    shapes: int = 0
    """The number of generated large shapes for each operator and dimension, judged likewise."""
    enumerations: tuple[str, ...] = ()
    """The spaces of which every case is judged (`conformance.cases.enumerations`)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The ranges, tiers and suites of a spec file laid over the packaged one."""

    ranges: Ranges
    tiers: Mapping[str, Tier]
    suites: Suites
    """The suites by name; a suite is parsed when it is first asked for."""
    source: str
    """The file, or ``default``."""
    digest: str
    """The digest of everything that influences cases: specs with equal digests have equal cases."""
    own: tuple[str, ...] = ()
    """The suites that the user's file has added, or replaced."""
    models: tuple[str, ...] = ()
    """Those that were given as files of their own, as that of a model: each call is reported."""

    def suite(self, name: str) -> Suite:
        """Return the suite called ``name``; raise `SpecError` if there is none or it is wrong."""
        if name not in self.suites:
            raise SpecError(unknown("suite", name, self.suites, own=self.own))
        return self.suites[name]


def load(path: str | Path | None = None) -> Spec:
    """Return the packaged spec, in which the values of the file at ``path`` replace its own.

    Raises `SpecError`, in one line that names file, entry, field, value and the allowed values.
    """
    ranges, tiers, suites, added = Ranges(), dict[str, Tier](), Suites(), tuple[str, ...]()
    for file in (DEFAULT,) if path is None else (DEFAULT, Path(path)):
        document = parse(read(file), str(file))
        document.only(("ranges", "tiers", "suites", *OF_FILES), "table")
        ranges = _read_ranges(document.table("ranges", "[ranges]"), ranges)
        added = _read_suites(document.table("suites", "[suites]"), suites, file.parent)
        if {*OF_FILES} & {*document.values}:
            suites.add(read_suite(OWN, document))
        written = document.table("tiers", "[tiers]")
        tiers = _read_tiers(written, tiers, suites)
        if file != DEFAULT:
            for name in written.values:
                _check_layers(written.table(name, f"[tiers.{name}]"), tiers[name], suites)
            for name in added:
                suites[name]  # parses the user's own, so that a mistake shows before anything runs
    if OWN in suites:
        tiers = {
            name: replace(tier, suites=tuple(dict.fromkeys((*tier.suites, OWN))))
            for name, tier in tiers.items()
        }
    source = "default" if path is None else str(path)
    own = () if path is None else (*added, *((OWN,) if OWN in suites else ()))
    return Spec(ranges, tiers, suites, source, _digest(ranges, suites), own)


def is_file(suite: object) -> bool:
    """Whether what is given in the place of a suite's name is a suite, or a file that has one."""
    return isinstance(suite, (Suite, Path)) or str(suite).endswith(".toml")


def with_files(spec: Spec, given: Iterable[object]) -> tuple[Spec, tuple[str, ...]]:
    """Return a spec that has the suites which are ``given``, and the names of all of these.

    Each is a suite, a file with tables ``[[case]]``, which is called as its file is, or a name.
    """
    names = []
    for one in given:
        if not is_file(one):
            names.append(str(one))
            continue
        suite = one if isinstance(one, Suite) else read_file(Path(str(one)))
        if suite.name in spec.suites:
            where = suite.name if isinstance(one, Suite) else str(one)
            raise SpecError(
                f"{where}: a suite {suite.name} is there already; allowed: a file of another name"
            )
        suites = spec.suites.with_suite(suite)
        spec = replace(
            spec,
            suites=suites,
            digest=_digest(spec.ranges, suites),
            own=(*spec.own, suite.name),
            models=(*spec.models, suite.name),
        )
        names.append(suite.name)
    return spec, tuple(names)


def _digest(ranges: Ranges, suites: Suites) -> str:
    digest = hashlib.sha256(repr(sorted(asdict(ranges).items())).encode())
    for part in suites.contents():
        digest.update(part)
    return digest.hexdigest()[:16]


def packaged_text() -> str:
    """Return the packaged spec as TOML, for a file of one's own to start from.

    Its suites, whose files lie beside it, are comments: they are there whatever a file says.
    """
    head, mark, suites = DEFAULT.read_text(encoding="utf-8").partition("[suites]\n")
    return head + "".join(f"# {line}" for line in (mark + suites).splitlines(keepends=True))


def _read_ranges(table: Table, base: Ranges) -> Ranges:
    """Return ``base`` with the values of the fields that ``table`` has."""
    table.only(field.name for field in fields(Ranges))
    values: dict[str, Any] = {}
    for name in table.values:
        if name in ("dtypes", "data"):
            values[name] = table.names(name, FLOATS if name == "dtypes" else RECIPES, least=1)
        elif name == "boundary_share":
            values[name] = table.number(name, 0, 1)
        elif LIMITS[name].values == 1:
            values[name] = table.whole(name, LIMITS[name].least, LIMITS[name].most)
        else:
            limit = LIMITS[name]
            values[name] = table.wholes(name, limit.least, limit.most, length=(1, limit.values))
            table.different(name)
    ranges = replace(base, **values)
    if values and ranges.work < (needed := least_work(ranges)):  # no draft could be cut to it
        raise table.failure(
            f"work = {ranges.work}; allowed: {needed} or more, what the smallest case with kernel "
            f"{max(ranges.kernel)} in {max(ranges.dims)} dimensions may cost"
        )
    return ranges


def _read_suites(table: Table, suites: Suites, folder: Path) -> tuple[str, ...]:
    """Add the suites that ``table`` names, their files relative to ``folder``; return the names."""
    for name in table.values:
        if name == OWN:
            raise table.failure(
                f"{OWN} is the suite of the file's own [[case]] tables; allowed: another name"
            )
        path = folder / table.text(name)
        if not path.is_file():
            raise table.error(name, f"a TOML file; {path} is none")
        suites.add_file(name, read(path), str(path))
    return tuple(table.values)


def _check_layers(table: Table, tier: Tier, suites: Suites) -> None:
    """Raise `SpecError` if a pattern names no layer of the suite of networks."""
    names = [case.name for case in suites[NETWORKS].cases] if tier.layers else []
    for pattern in tier.layers:
        if not any(fnmatchcase(layer, pattern) for layer in names):
            raise table.error(
                "layers", f"names or globs of layers in the suite {NETWORKS}; {pattern} is none"
            )


def _read_tiers(table: Table, tiers: dict[str, Tier], suites: Suites) -> dict[str, Tier]:
    """Return ``tiers`` with those of ``table``; a field that is left out keeps its value.

    In a new tier a field that is left out has the value of the tier ``default``.
    """
    tiers_read = dict(tiers)
    for name in table.values:
        own = table.table(name, f"[tiers.{name}]")
        own.only(field.name for field in fields(Tier))
        base = tiers.get(name)
        if base is None and tiers:
            base = replace(tiers["default"], summary="")
        values = _read_tier(own, suites)
        tiers_read[name] = replace(base, **values) if base else Tier(**values)
    return tiers_read


def _read_tier(table: Table, suites: Suites) -> dict[str, Any]:
    """Return the fields that the table of one tier has."""
    readers: dict[str, Callable[[str], Any]] = {
        "examples": lambda field: table.whole(field, 0, MOST_EXAMPLES),
        "seconds": lambda field: table.number(field, 0.001, 100_000),
        "total": lambda field: table.number(field, 0.001, 10_000_000),
        "suites": lambda field: table.names(field, suites, least=0),
        "checks": lambda field: table.names(field, CHECKS, least=1),
        "layers": table.texts,
        "shapes": lambda field: table.whole(field, 0, 10_000),
        "enumerations": lambda field: table.names(field, (*ENUMERATIONS, *SPACES), least=0),
        "summary": table.text,
    }
    return {field: reader(field) for field, reader in readers.items() if field in table.values}
