"""Writing a run file: all results of one run, in one SQLite database.

Rows are written as they are judged, each block in one transaction; the row ``finished`` of the
table ``run`` is the closing record, without which a run is known to be incomplete. Values of the
table ``run`` are JSON; everything else is plain SQL types, so that any SQLite client reads it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from conformance.errors import RunFileError
from conformance.runfile.row import Row, create_table, insert_into, values_of
from conformance.runfile.tables import TABLES

FORMAT = 2
"""Version of the tables; a file of another version is refused."""

_FACTS = """
CREATE TABLE run (
    -- One row a fact about the whole run: format, seed, tier, examples, suites, spec, command,
    -- started (ISO 8601, UTC), machine (an object: cpu, its cpu_features, cores, system,
    -- platform, python, threads, packages), finished (ISO 8601, UTC; written last).
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""


def schema(tables: Sequence[type[Row]] = TABLES) -> str:
    """Return the statements that make an empty run file."""
    return "\n".join(("BEGIN;", _FACTS, *map(create_table, tables), "COMMIT;"))


class RunFile:
    """A run file open for writing; `close` without the fact ``finished`` leaves it incomplete."""

    def __init__(self, path: Path, tables: Sequence[type[Row]] = TABLES) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._database = sqlite3.connect(path)
            self._database.executescript(schema(tables))
        except (OSError, sqlite3.Error) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise RunFileError(
                f"run file {path}: cannot be written ({reason}); choose another output folder"
            ) from None
        self.record(format=FORMAT)

    def record(self, **facts: Any) -> None:
        """Write facts about the run, as JSON, into the table ``run``."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Insert rows of any tables in one transaction; a row replaces one with the same key."""
        with self._database:
            for row in rows:
                self._database.execute(insert_into(type(row)), values_of(row))

    def close(self) -> None:
        """Close the database; what was added is on disk."""
        self._database.close()
