"""The run file: everything that came of one run, in one SQLite database.

Rows are written as they are judged, each block in one transaction; the row ``finished`` of the
table ``run`` is the closing record, without which a run is known to be incomplete. Values of the
table ``run`` are JSON; everything else is plain SQL types, so that any SQLite client reads it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from conformance.errors import RunFileError

FORMAT = 2
"""Version of the schema below; a file of another version is refused."""

SCHEMA = """
-- One row a fact about the whole run: format, seed, tier, examples, suites, spec, command,
-- started (ISO 8601, UTC), machine (an object: cpu, its cpu_features, cores, system, platform,
-- python, threads, packages), finished (ISO 8601, UTC; written last).
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- verdict: conforms | violates | known difference | unsupported | inconclusive | not installed |
-- adapter wrong (it fails the simplest cases, so that its engine was not judged). note: why it was
-- not called (any more), or that the clock ended some of its cells. settings: how the engine was
-- told to compute, where its users may have it otherwise.
CREATE TABLE implementation (
    name TEXT PRIMARY KEY, family TEXT NOT NULL, version TEXT NOT NULL, layout TEXT NOT NULL,
    accumulate TEXT, multiply TEXT, error TEXT NOT NULL, verdict TEXT NOT NULL, note TEXT NOT NULL,
    settings TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- One row for each implementation, operator, dims and dtype. planned: cases of the cell;
-- reached: how many of them the time budget reached: compared + unsupported, and those that are
-- known to end the process, which are counted as known and not called.
-- worst: the largest error as a fraction of the bound (0 where the result is exact).
-- elements: output elements compared; nonzero: cases compared whose exact result is not all zero.
-- violating: failures; known: further failures, which the table known has the reasons of.
CREATE TABLE cell (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, dims INTEGER NOT NULL,
    dtype TEXT NOT NULL, planned INTEGER NOT NULL, reached INTEGER NOT NULL,
    compared INTEGER NOT NULL, unsupported INTEGER NOT NULL, violating INTEGER NOT NULL,
    elements INTEGER NOT NULL, nonzero INTEGER NOT NULL, worst REAL, worst_case TEXT,
    seconds REAL NOT NULL, verdict TEXT NOT NULL, known INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (implementation, operator, dims, dtype)
) WITHOUT ROWID;

-- The smallest case of each violated requirement of a cell. found: the case that first showed it;
-- count: how many of the cell's cases violate it; script: a standalone reproducer; engine_script: a
-- shorter one that uses the engine alone, or empty; replay: the command that judges the case again.
CREATE TABLE violation (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, dims INTEGER NOT NULL,
    dtype TEXT NOT NULL, requirement TEXT NOT NULL, status TEXT NOT NULL, "case" TEXT NOT NULL,
    found TEXT NOT NULL, count INTEGER NOT NULL, message TEXT NOT NULL, script TEXT NOT NULL,
    replay TEXT NOT NULL, engine_script TEXT NOT NULL DEFAULT ''
);

-- The known differences on the lists of the implementations. case: the one that shows it, of the
-- operator; covers: which cases it may show in, and on which machines; versions: those that have
-- it, empty for all; status: known difference (it occurs) | stale (its case was judged, and nothing
-- shows it) | not judged | other version | other machine; count: failures of the run that it
-- covers; message: of its case.
CREATE TABLE known (
    implementation TEXT NOT NULL, requirement TEXT NOT NULL, operator TEXT NOT NULL,
    "case" TEXT NOT NULL, covers TEXT NOT NULL, reason TEXT NOT NULL, link TEXT NOT NULL,
    versions TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, message TEXT NOT NULL,
    script TEXT NOT NULL, engine_script TEXT NOT NULL, replay TEXT NOT NULL
);

-- What each implementation makes of the smallest case that shows a violation (or a known
-- difference) of a requirement in an operator, whoever's it is. status: conforms | violates |
-- unsupported | crashed | ...; cited: the requirement that this implementation violates there.
CREATE TABLE witness (
    implementation TEXT NOT NULL, requirement TEXT NOT NULL, operator TEXT NOT NULL,
    "case" TEXT NOT NULL, status TEXT NOT NULL, cited TEXT NOT NULL, message TEXT NOT NULL,
    engine_script TEXT NOT NULL,
    PRIMARY KEY (implementation, requirement, operator)
) WITHOUT ROWID;

-- Which alternative of each convention, and which class of accuracy, the probes saw: one row for
-- each implementation, convention, operator, dims and dtype. followed: an alternative | mixed |
-- neither | not applicable; agrees: whether declared allows it; probes: cases that could tell;
-- case, message: what decided.
CREATE TABLE convention (
    implementation TEXT NOT NULL, convention TEXT NOT NULL, requirement TEXT NOT NULL,
    operator TEXT NOT NULL, dims INTEGER NOT NULL, dtype TEXT NOT NULL, declared TEXT NOT NULL,
    followed TEXT NOT NULL, agrees INTEGER NOT NULL, probes INTEGER NOT NULL, "case" TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (implementation, convention, operator, dims, dtype)
) WITHOUT ROWID;

-- Why cases were not computed, and how many.
CREATE TABLE unsupported (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL,
    count INTEGER NOT NULL
);

-- One row for each implementation and large case (a layer of a network, or a generated shape, whose
-- name is its case id). case: the one that was judged; share: how many of the layer's output
-- elements it has; status: a verdict on the case; seconds: of calling and checking.
CREATE TABLE layer (
    implementation TEXT NOT NULL, layer TEXT NOT NULL, operator TEXT NOT NULL,
    dims INTEGER NOT NULL, "case" TEXT NOT NULL, share REAL NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (implementation, layer)
) WITHOUT ROWID;

-- Outputs of two implementations on the cases that both computed. identical: elements that are
-- equal bit for bit; largest: the largest difference as a fraction of the bound, and its case.
CREATE TABLE pair (
    first TEXT NOT NULL, second TEXT NOT NULL, operator TEXT NOT NULL, cases INTEGER NOT NULL,
    elements INTEGER NOT NULL, identical INTEGER NOT NULL, largest REAL, largest_case TEXT,
    PRIMARY KEY (first, second, operator)
) WITHOUT ROWID;

-- One row for each implementation and layer timed. Seconds of one call: median and quartiles;
-- ratio: the median over the baseline's; macs: multiply-accumulates of the layer; peak: share of
-- the machine's measured matrix-product rate; verified: conforms | the violation's message.
CREATE TABLE timing (
    implementation TEXT NOT NULL, layer TEXT NOT NULL, "case" TEXT NOT NULL, calls INTEGER NOT NULL,
    median REAL, lower REAL, upper REAL, ratio REAL, macs INTEGER NOT NULL, gflops REAL, peak REAL,
    threads INTEGER NOT NULL, verified TEXT NOT NULL,
    PRIMARY KEY (implementation, layer)
) WITHOUT ROWID;
"""

TABLES = (
    *("implementation", "cell", "violation", "known", "witness", "convention", "unsupported"),
    *("layer", "pair", "timing"),
)


class RunFile:
    """A run file open for writing; `close` without `finish` leaves it known to be incomplete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._database = sqlite3.connect(path)
            self._database.executescript(SCHEMA)
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

    def add(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert or replace rows of one table, in one transaction."""
        assert table in TABLES
        with self._database:
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" for _ in row)
                self._database.execute(
                    f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})",
                    tuple(row.values()),
                )

    def close(self) -> None:
        """Close the database; what was added is on disk."""
        self._database.close()


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return the facts and the tables of a run file; raise `RunFileError` if it is not one."""
    file = Path(path)
    if not file.is_file():
        raise RunFileError(f"run file {path}: no such file; `convformance run` writes one")
    try:
        with closing(sqlite3.connect(f"file:{file.resolve()}?mode=ro", uri=True)) as database:
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
            tables = {
                table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
                for table in TABLES
            }
    except (sqlite3.DatabaseError, ValueError) as problem:
        raise RunFileError(f"run file {path}: not a run file of convformance ({problem})") from None
    return facts, tables
