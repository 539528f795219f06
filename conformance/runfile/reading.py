"""Reading a run file: facts and rows of checked types, every string without control characters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
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
    with _opened(path) as (database, facts):
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        database.row_factory = sqlite3.Row
        stored = {
            table: [dict(row) for row in database.execute(f"SELECT * FROM {table.table}")]
            for table in tables
            if table.table in names or not table.later
        }
    rows = {table: tuple(_rows(table, stored.get(table, ()), path)) for table in tables}
    return Contents(cleaned(facts), rows)


def read_facts(path: str | Path) -> dict[str, Any]:
    """Return the facts about the whole run; raise `RunFileError` as `read` does."""
    with _opened(path) as (_, facts):
        return facts


def read_blocks(path: str | Path) -> list[tuple[str, int, bytes]]:
    """Return the name, the number and the content of each block that was judged whole.

    Raises `RunFileError` as `read` does, and for a file that an older version wrote without them.
    """
    with _opened(path) as (database, _):
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'block'").fetchall():
            raise RunFileError(
                f"run file {path}: it has no blocks, being of an older version, or of another "
                f"command than run; judge once more"
            )
        query = "SELECT name, number, content FROM block ORDER BY number, name"
        return [(str(name), int(number), bytes(c)) for name, number, c in database.execute(query)]


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[sqlite3.Connection, dict[str, Any]]]:
    """Open a run file, and read its facts; whatever is wrong with it is a `RunFileError`."""
    file = Path(path)
    if not file.is_file():
        raise RunFileError(f"run file {path}: no such file; `convformance run` writes one")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as database:
            stored = database.execute("SELECT key, value FROM run").fetchall()
            facts = {key: json.loads(value) for key, value in stored}
            if facts.get("format") != FORMAT:
                raise RunFileError(
                    f"run file {path}: its format is {facts.get('format')!r}; this version reads "
                    f"format {FORMAT}{_NEWER if _is_newer(facts.get('format')) else ''}"
                )
            yield database, facts
    except (sqlite3.DatabaseError, ValueError) as problem:
        raise RunFileError(f"run file {path}: {_what_is_wrong(problem)} ({problem})") from None


_NEWER = ": a newer version of convformance wrote it, which reads it"


def _is_newer(found: object) -> bool:
    return isinstance(found, int) and found > FORMAT


def _what_is_wrong(problem: Exception) -> str:
    text = str(problem)
    if "locked" in text:
        return "another program has locked it; wait until that has ended"
    if "malformed" in text or "I/O error" in text:
        return "it is damaged, or was cut off; take a copy of it, or judge once more"
    if "readonly" in text or "unable to open" in text:
        return (
            "it cannot be opened where it is; copy it, and what lies beside it, to a folder "
            "that can be written"
        )
    return "not a run file of convformance"


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
