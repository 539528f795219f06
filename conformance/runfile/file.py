"""Writing a run file: all results of one run, in one SQLite database.

Each block is written in one transaction; the row ``finished`` of the table ``run`` is the closing
record, without which a run is known to be incomplete. Values of the table ``run`` are JSON;
everything else is plain SQL types, so that any SQLite client reads it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from conformance.errors import RunFileError
from conformance.runfile.lock import lock, unlock
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
    """A run file open for writing; `close` without the fact ``finished`` leaves it incomplete.

    Where there is a run file already, the new one is written beside it, and takes its place when it
    is closed. It does not if it has no row, or could not be written. Until it is closed, its folder
    is locked.
    """

    def __init__(self, path: Path, tables: Sequence[type[Row]] = TABLES) -> None:
        """Lock the folder, and begin the file; raise `RunFileError` where that fails."""
        self.path = path
        self._written, self._worth_keeping, self._failed = path, False, False
        self._locked: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._locked = lock(path.parent)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if path.exists():
                self._written = path.with_name(f"{path.name}.part")
                _remove(self._written)
            self._database = sqlite3.connect(self._written)
            self._database.executescript(schema(tables))
            self.record(format=FORMAT)
        except BlockingIOError:
            raise RunFileError(
                f"run file {path}: another run is writing into that folder; wait until it has "
                f"ended, or choose another output folder"
            ) from None
        except (OSError, sqlite3.Error, RunFileError) as problem:
            with contextlib.suppress(OSError):
                _remove(self._written)
            unlock(self._locked)
            reason = getattr(problem, "strerror", None) or problem
            raise RunFileError(
                f"run file {path}: cannot be written ({reason}); choose another output folder"
            ) from None

    def record(self, **facts: Any) -> None:
        """Write facts about the run, as JSON, into the table ``run``."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        with self._writing():
            self._database.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Insert rows of any tables in one transaction; a row replaces one with the same key."""
        given = tuple(rows)
        with self._writing():
            for row in given:
                self._database.execute(insert_into(type(row)), values_of(row))
        self._worth_keeping = self._worth_keeping or bool(given)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Enter a transaction; raise `RunFileError` where it fails, as on a full disk."""
        try:
            with self._database:
                yield
        except sqlite3.Error as problem:
            self._failed = True
            kept = "" if self._written == self.path else "; the run that was there before is kept"
            raise RunFileError(
                f"run file {self.path}: cannot be written any more ({problem}){kept}"
            ) from None

    def close(self) -> None:
        """Close the database; what was added is on disk, in its place, and the folder is free."""
        self._database.close()
        try:
            if self._written == self.path:
                return
            if self._failed or not self._worth_keeping:
                _remove(self._written)
                return
            _journal(self.path).unlink(missing_ok=True)  # of a run that was killed
            os.replace(self._written, self.path)
        except OSError as problem:
            raise RunFileError(
                f"run file {self.path}: cannot be replaced ({problem.strerror}); the new one is "
                f"{self._written}"
            ) from None
        finally:
            unlock(self._locked)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _journal(path).unlink(missing_ok=True)


def _journal(path: Path) -> Path:
    """Return the file that SQLite keeps beside a database while it writes."""
    return path.with_name(f"{path.name}-journal")
