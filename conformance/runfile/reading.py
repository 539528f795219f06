"""Reading a run file: facts and rows of checked types, every string without control characters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from conformance.errors import RunFileError, did_you_mean
from conformance.runfile.file import FORMAT
from conformance.runfile.row import Row, columns
from conformance.runfile.tables import TABLES
from conformance.runfile.text import cleaned, one_line

Kind = TypeVar("Kind", bound=Row)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a run file says."""

    facts: dict[str, Any]
    """About the whole run, by name."""
    tables: Mapping[type[Row], tuple[Row, ...]]

    def rows(self, table: type[Kind]) -> tuple[Kind, ...]:
        """Return the rows of one table, in the order of the file."""
        return cast("tuple[Kind, ...]", self.tables[table])

    def dicts(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of the table of that name as dicts; `RunFileError` if there is none."""
        named = {row_type.table: row_type for row_type in self.tables}
        if table not in named:
            hint = did_you_mean(table, named)
            raise RunFileError(f"table '{table}' is unknown; {hint}known are {', '.join(named)}")
        names = [column.name for column in columns(named[table])]
        return [{name: getattr(row, name) for name in names} for row in self.tables[named[table]]]


def read(path: str | Path, tables: Sequence[type[Row]] = TABLES) -> Contents:
    """Return what a run file says.

    Raises `RunFileError`, in one line, if the file is missing or is no run file, and with the table
    and the column for a value whose type is not the column's: SQLite stores any.
    """
    file = Path(path)
    if not file.is_file():
        raise RunFileError(f"run file {path}: no such file; `convformance run` writes one")
    try:
        with closing(sqlite3.connect(f"file:{file.resolve()}?mode=rw", uri=True)) as database:
            database.row_factory = sqlite3.Row
            facts = {
                key: json.loads(value)
                for key, value in database.execute("SELECT key, value FROM run").fetchall()
            }
            if facts.get("format") != FORMAT:
                raise RunFileError(
                    f"run file {path}: its format is {facts.get('format')!r}; this version reads "
                    f"format {FORMAT}"
                )
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            stored = {
                table: [dict(row) for row in database.execute(f"SELECT * FROM {table.table}")]
                for table in tables
                if table.table in names or not table.later
            }
    except (sqlite3.DatabaseError, ValueError) as problem:
        raise RunFileError(f"run file {path}: not a run file of convformance ({problem})") from None
    rows = {table: tuple(_rows(table, stored.get(table, ()), path)) for table in tables}
    return Contents(cleaned(facts), rows)


def _rows(table: type[Row], stored: Iterable[Mapping[str, Any]], path: object) -> list[Row]:
    """Return the rows of a table; a column that the file does not have has its default."""
    rows = []
    for row in stored:
        values = {}
        for column in columns(table):
            if column.name not in row and column.default is not MISSING:
                continue
            try:
                values[column.name] = column.read(row[column.name])
            except (KeyError, TypeError, ValueError, OverflowError):
                raise RunFileError(
                    f"run file {path}: table {table.table}, column {column.name}: "
                    f"{one_line(repr(row.get(column.name)))[:80]} is not of type {column.type_name}"
                ) from None
        rows.append(table(**values))
    return rows
