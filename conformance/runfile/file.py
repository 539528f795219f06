"""Writing a run file: all results of one run, in one SQLite database.

Each block is written in one transaction, with what a run that goes on needs of it; the row
``finished`` of the table ``run`` is the closing record, without which a run is known to be
incomplete. Values of the table ``run`` are JSON; everything else but the table ``block`` is plain
SQL types, so that any SQLite client reads it.

While it is written, the database has a write-ahead log, so that a process that is killed at any
moment leaves all blocks that were written. A file that is closed is one file again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
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


_BLOCKS = """
CREATE TABLE block (
    -- One row a block that was judged whole: what a run needs that goes on, or is merged.
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL, -- Its position among the blocks of the whole run.
    content BLOB NOT NULL
) WITHOUT ROWID;
"""
_BESIDE = ("-journal", "-wal", "-shm")
"""The ends of the names of files that SQLite keeps beside a database."""


def schema(tables: Sequence[type[Row]] = TABLES) -> str:
    """Return the statements that make an empty run file."""
    return "\n".join(("BEGIN;", _FACTS, _BLOCKS, *map(create_table, tables), "COMMIT;"))


class RunFile:
    """A run file open for writing; `close` without the fact ``finished`` leaves it incomplete.

    Where there is a run file already, the new one is written beside it, and takes its place when it
    is closed. It does not if it has no row, or could not be written. Until it is closed, its folder
    is locked. A file that is no run file is never replaced.
    """

    def __init__(
        self, path: Path, tables: Sequence[type[Row]] = TABLES, *, resume: bool = False
    ) -> None:
        """Lock the folder, and begin the file; raise `RunFileError` where that fails.

        With ``resume``, the run that was written there goes on (`resumed`), where there is one.
        """
        self.path = path
        self.resumed = False
        """Whether what was written before is kept."""
        self._written, self._worth_keeping, self._failed = path, False, False
        self._locked: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._locked = lock(path.parent)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            beside = path.with_name(f"{path.name}.part")
            found = next((file for file in (beside, path) if file.exists()), None)
            if found and resume and not _is_empty(found):
                _check_format(found)
                self._written, self.resumed, self._worth_keeping = found, True, True
                self._database = sqlite3.connect(found)
            else:
                if path.exists():
                    _is_empty(path)  # or a run file
                    self._written = beside
                    _remove(self._written)
                self._database = sqlite3.connect(self._written)
                self._database.executescript(schema(tables))
            self._database.execute("PRAGMA journal_mode = WAL").fetchall()
            self.record(format=FORMAT)
        except BlockingIOError:
            raise RunFileError(
                f"run file {path}: another run is writing into that folder; wait until it has "
                f"ended, or choose another output folder"
            ) from None
        except (OSError, sqlite3.Error, RunFileError) as problem:
            if self._written != path and not self.resumed:
                with contextlib.suppress(OSError):
                    _remove(self._written)
            unlock(self._locked)
            if isinstance(problem, RunFileError) and not self._failed:
                raise
            reason = getattr(problem, "strerror", None) or problem
            raise RunFileError(
                f"run file {path}: cannot be written ({reason}); choose another output folder"
            ) from None

    @property
    def written(self) -> Path:
        """The file that is written until it takes its place."""
        return self._written

    def record(self, **facts: Any) -> None:
        """Write facts about the run, as JSON, into the table ``run``."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        with self._writing():
            self._database.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def add(self, rows: Iterable[Row], *, blocks: Iterable[tuple[str, int, bytes]] = ()) -> None:
        """Insert rows of any tables in one transaction; a row replaces one with the same key.

        With them the names, the numbers and the contents of ``blocks`` may be written.
        """
        given = tuple(rows)
        with self._writing():
            for row in given:
                self._database.execute(insert_into(type(row)), values_of(row))
            self._database.executemany("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", blocks)
        self._worth_keeping = self._worth_keeping or bool(given)

    def start_again(self, tables: Sequence[type[Row]] = TABLES) -> None:
        """Delete all rows but the blocks and the facts: what they say is written once more."""
        with self._writing():
            self._database.execute("DELETE FROM run WHERE key = 'finished'")
            for table in tables:
                self._database.execute(f"DELETE FROM {table.table}")

    def leave(self) -> None:
        """Let what was written before stay where it is: it is not gone on with."""
        self._failed = True

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
        with contextlib.suppress(sqlite3.Error):  # somebody reads it, or the disk is full
            self._database.execute("PRAGMA journal_mode = DELETE").fetchall()
        self._database.close()
        try:
            if self._written == self.path:
                return
            if (self._failed and not self.resumed) or not self._worth_keeping:
                _remove(self._written)
                return
            if self._failed:
                return
            _remove_beside(self.path)  # of a run that was killed
            os.replace(self._written, self.path)
        except OSError as problem:
            raise RunFileError(
                f"run file {self.path}: cannot be replaced ({problem.strerror}); the new one is "
                f"{self._written}"
            ) from None
        finally:
            unlock(self._locked)


def _is_empty(path: Path) -> bool:
    """Whether a file holds nothing yet; raise `RunFileError` if it is another's, or damaged."""
    try:
        if not path.stat().st_size:
            return True
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
            if not database.execute("SELECT name FROM sqlite_master").fetchall():
                return True
            database.execute("SELECT value FROM run WHERE key = 'format'").fetchall()
            return False
    except (OSError, sqlite3.Error) as problem:
        raise RunFileError(
            f"run file {path}: there is a file that is no run file, or a damaged one ({problem}), "
            f"and it is not replaced; move it, or choose another output folder"
        ) from None


def _check_format(path: Path) -> None:
    """Raise `RunFileError` for a run of another format, which cannot go on."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
        formats = database.execute("SELECT value FROM run WHERE key = 'format'").fetchall()
    if formats != [(json.dumps(FORMAT),)]:
        found = ", ".join(text for (text,) in formats) or "unknown"
        raise RunFileError(
            f"run file {path}: its format is {found}; this version goes on with format {FORMAT}: "
            f"resume it with the version that wrote it"
        )


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_beside(path)


def _remove_beside(path: Path) -> None:
    for end in _BESIDE:
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
