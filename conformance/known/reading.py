"""Known differences from a TOML file: those of an engine, or a user's own for a run.

Each entry is a table with the fields of `conformance.known.difference.KnownDifference`, and the
implementations that have the difference, in the order of the file (docs/known.md has an example).
``mistakes`` are the invalid calls that an entry covers (`conformance.cases.invalid`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.errors import CaseError, RegistrationError, did_you_mean
from conformance.known.difference import KnownDifference
from conformance.toml import Table, parse, read, show

_TEXTS = ("requirement", "case", "reason")
_WHOSE = ("implementation", "implementations")
_CASES = ("where", "condition", "mistakes")
_FLAGS = ("fatal", "unsteady", "may_end")
_FIELDS = (*_WHOSE, *_TEXTS, *_CASES, "link", "versions", "machine", *_FLAGS)

Entries = dict[str, tuple[KnownDifference, ...]]
"""Entries by the implementation that has them."""


def read_known(path: str | Path) -> Entries:
    """Return the entries of a file by implementation; raise `SpecError`, in one line, naming it."""
    document = parse(read(Path(path)), str(path))
    document.only(("known", "implementations", "versions"))
    shared = _names(document)
    versions = document.text("versions") if "versions" in document.values else ""
    entries: Entries = {}
    for number, values in enumerate(document.tables("known", "[[known]]"), 1):
        table = Table(str(path), f"[[known]] {number}", values)
        table.only(_FIELDS)
        names = _names(table) or shared
        if not names:
            raise table.failure(
                "implementation is missing; name one, or several as implementations, here or at "
                "the top of the file"
            )
        entry = _entry(table, versions)
        for name in names:
            entries[name] = (*entries.get(name, ()), entry)
    if not entries:
        raise document.failure(f"{show('known')} has no entry; write tables [[known]]")
    return entries


def read_tables(path: str | Path) -> list[dict[str, Any]]:
    """Return the tables of a file, each with the fields that the top of the file has for all."""
    document = parse(read(Path(path)), str(path))
    top = {name: document.values[name] for name in (*_WHOSE, "versions") if name in document.values}
    whose = {name: value for name, value in top.items() if name in _WHOSE}
    tables = document.tables("known", "[[known]]")
    for table in tables:
        if not any(name in table for name in _WHOSE):
            table.update(whose)
        if "versions" in top:
            table.setdefault("versions", top["versions"])
    return tables


def entries_of(name: str, path: Path, *, may_be_none: bool = False) -> tuple[KnownDifference, ...]:
    """Return the entries of an implementation in the file ``path``.

    Raises `SpecError` if it has none, unless there ``may_be_none``.
    """
    entries = _read_once(path, path.stat().st_mtime_ns if path.is_file() else 0)
    if may_be_none:
        return entries.get(name, ())
    if name not in entries:
        hint = did_you_mean(name, entries)
        raise Table(str(path), "", {}).failure(
            f"no entry is of implementation {show(name)}; {hint}some are of {', '.join(entries)}"
        )
    return entries[name]


@lru_cache(maxsize=64)
def _read_once(path: Path, changed: int) -> Entries:
    """Return a file's entries, read once for all its implementations, until it has ``changed``."""
    return read_known(path)


def _names(table: Table) -> tuple[str, ...]:
    """Return the implementations that a table names, none if it names none."""
    given = [field for field in _WHOSE if field in table.values]
    if len(given) > 1:
        raise table.failure("implementation and implementations are both there; keep one of them")
    return _one_or_more(table, given[0]) if given else ()


def _one_or_more(table: Table, field: str) -> tuple[str, ...]:
    several = isinstance(table.values[field], list)
    return table.texts(field) if several else (table.text(field),)


def _entry(table: Table, versions: str) -> KnownDifference:
    values = table.values
    for field in _TEXTS:
        if field not in values:
            raise table.failure(f"{field} is missing; each entry has {', '.join(_TEXTS)}, where")
    if not any(field in values for field in _CASES):
        raise table.failure("where is missing; say which cases: with where, condition or mistakes")
    given: dict[str, Any] = {
        name: table.text(name) for name in (*_TEXTS, "link", "versions") if name in values
    }
    given |= {name: table.flag(name) for name in _FLAGS if name in values}
    if not isinstance(where := values.get("where", {}), dict):
        raise table.error("where", 'a table, such as {operator = "conv", groups = ">1"}')
    if not isinstance(machine := values.get("machine", {}), dict):
        raise table.error("machine", 'a table, such as {cpu = "avx512_bf16", system = "Linux"}')
    try:
        return KnownDifference(
            where=_invalid(table, given["case"]) | where if "mistakes" in values else where,
            condition=_one_or_more(table, "condition") if "condition" in values else (),
            machine=machine,
            **{"versions": versions} | given,
        )
    except (CaseError, RegistrationError) as problem:
        raise table.failure(str(problem)) from None


def _invalid(table: Table, case: str) -> dict[str, Any]:
    """Return the conditions that ``mistakes`` stand for; `CaseError` if ``case`` is no case id."""
    if "invalid" in table.values.get("where", {}):
        raise table.failure("mistakes and invalid in where are both there; keep one of them")
    mistakes = _one_or_more(table, "mistakes")
    if any("*" in mistake[:-1] or mistake == "*" or " " in mistake for mistake in mistakes):
        raise table.error(
            "mistakes",
            'names of mistakes, one or a list, such as "stride-zero"; a star at the end is for any '
            'axis: "stride-zero*"',
        )
    names = tuple(name for mistake in mistakes for name in in_any_axis(mistake))
    return {"operator": Case.parse(case).operator, "invalid": names}


def in_any_axis(mistake: str) -> tuple[str, ...]:
    """Return the names of a mistake in the first axis, the last one and all, if it has a star."""
    name = mistake.removesuffix("*")
    if name == mistake:
        return (name,)
    return name, f"{name}-last", f"{name}-{'both' if name.startswith('padding') else 'all'}"
