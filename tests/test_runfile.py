"""The run file: a column is one edit, the file documents itself, and older files are read."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

from conformance.errors import RunFileError
from conformance.reports import load
from conformance.reports.as_json import as_data, as_json
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.runfile.file import RunFile
from conformance.runfile.reading import read
from conformance.runfile.row import NOT_IN_JSON, Lines, Row, columns
from conformance.runfile.tables import TABLES, Convention, Gap, Layer, Timing, Violation

OLD = Path(__file__).parent / "data" / "run_format_2.sql"
"""A run file of format 2, as SQL, that was written before its schema was made from dataclasses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wider(Gap):
    """Why cases were not computed, with a few more columns: one edit each."""

    quiet: Annotated[bool, "Whether nobody was told."] = False
    share: Annotated[float | None, "Of all cases."] = None
    told: Annotated[Lines, "What the engine's author said.", NOT_IN_JSON] = "it's \n nothing"


WIDER = Wider(
    implementation="mine",
    operator="conv",
    reason="no",
    count=2,
    quiet=True,
    share=0.5,
    told="two\nlines",
)
GAP = Gap(implementation="mine", operator="conv", reason="no", count=2)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes rows into a file of some tables, and returns its path."""

    def write(*rows: Row, tables: tuple[type[Row], ...] = TABLES) -> Path:
        file = RunFile(tmp_path / "run.sqlite", tables)
        file.add(rows)
        file.close()
        return file.path

    return write


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return the path of a file as it was written earlier."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(OLD.read_text())
    return path


def query(path: Path, text: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(text).fetchall()


# --- a column is one edit -------------------------------------------------------------------------


def test_a_column_is_in_the_schema_with_its_prose(write: Write) -> None:
    ((schema,),) = query(
        write(tables=(Wider,)), "SELECT sql FROM sqlite_master WHERE name = 'unsupported'"
    )

    for line in (
        "    -- Why cases were not computed, with a few more columns: one edit each.\n",
        '    -- Whether nobody was told.\n    "quiet" INTEGER NOT NULL DEFAULT 0,\n',
        '    -- Of all cases.\n    "share" REAL,\n',
        "    \"told\" TEXT NOT NULL DEFAULT 'it''s \n nothing'\n",
    ):
        assert line in schema


def test_a_column_is_written_and_read(write: Write) -> None:
    assert (WIDER,) == read(write(WIDER, tables=(Wider,)), (Wider,)).rows(Wider)


def test_a_column_is_in_json_unless_it_is_marked() -> None:
    expected = {"operator": "conv", "reason": "no", "count": 2, "quiet": 1, "share": 0.5}

    assert expected == as_data(WIDER, given=("implementation",))


def test_a_file_without_a_column_reads_as_its_default(write: Write) -> None:
    (row,) = read(write(GAP, tables=(Gap,)), (Wider,)).rows(Wider)

    assert (False, None, "it's \n nothing") == (row.quiet, row.share, row.told)


def test_a_row_is_made_of_attributes_by_their_names() -> None:
    source, other = SimpleNamespace(count=3, reason="no"), SimpleNamespace(count=4, operator="conv")

    assert Gap(implementation="mine", operator="conv", reason="no", count=3) == Gap.of(
        source, other, implementation="mine"
    )


def test_a_column_that_nothing_gives_is_an_error_even_with_a_default() -> None:
    with pytest.raises(AttributeError, match="table unsupported: nothing says what quiet is"):
        Wider.of(GAP)


# --- the file documents itself --------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.table))
def test_the_file_has_the_prose_of_every_column(write: Write, table: type[Row]) -> None:
    ((schema,),) = query(write(), f"SELECT sql FROM sqlite_master WHERE name = '{table.table}'")
    text = " ".join(line.strip().removeprefix("-- ") for line in schema.splitlines())

    for prose in (table.__doc__ or "", *(column.prose for column in columns(table))):
        assert " ".join(prose.split()) in text


# --- older files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.table))
def test_columns_are_those_of_older_files_and_later_ones_have_a_default(
    old: Path, write: Write, table: type[Row]
) -> None:
    text = f"SELECT name, type, [notnull], dflt_value, pk FROM pragma_table_info('{table.table}')"
    earlier, now = {*query(old, text)}, {*query(write(), text)}

    assert set() == earlier - now
    added = now - earlier if earlier or not table.later else set()
    assert all(default is not None or not needed for _, _, needed, default, _ in added)


def test_an_older_file_is_read(old: Path) -> None:
    contents = read(old)

    assert "convformance run -i im2col -i torch" == contents.facts["command"]
    there = {table for table in TABLES if not table.later}
    assert there == {table for table in TABLES if contents.rows(table)}
    (violation,) = contents.rows(Violation)
    assert ("torch", "DECLARE-5", "bfloat16") == (
        violation.implementation,
        violation.requirement,
        violation.dtype,
    )
    assert "import torch, torch.nn.functional as F\n" in violation.engine_script
    assert {True, False} == {row.agrees for row in contents.rows(Convention)}
    (timing,) = contents.rows(Timing)
    assert timing.is_verified


def test_an_older_file_has_reports(old: Path) -> None:
    report = load(old)

    assert "1 of 2 implementations violates the requirements" in markdown(report)
    assert "1 of 2 implementations violates the requirements" in html(report)
    assert ["im2col", "torch"] == [one["name"] for one in as_json(report)["implementations"]]


# --- writing --------------------------------------------------------------------------------------


def layer(status: str, **changes: Any) -> Layer:
    row: dict[str, Any] = {"operator": "conv", "dims": 2, "case": "", "share": 1.0, "message": ""}
    row |= {"implementation": "mine", "layer": "one", "seconds": 1.0}
    return Layer(status=status, **row | changes)


def test_a_row_replaces_one_with_its_key(write: Write) -> None:
    rows = read(
        write(layer("conforms"), layer("violates"), layer("crashed", layer="two"), GAP, GAP)
    )

    assert ["violates", "crashed"] == [row.status for row in rows.rows(Layer)]
    assert (GAP, GAP) == rows.rows(Gap)


def test_rows_are_added_all_or_none(tmp_path: Path) -> None:
    def rows() -> Iterator[Row]:
        yield GAP
        raise KeyboardInterrupt

    file = RunFile(tmp_path / "run.sqlite")
    with pytest.raises(KeyboardInterrupt):
        file.add(rows())
    file.close()

    assert () == read(file.path).rows(Gap)


# --- reading --------------------------------------------------------------------------------------


def test_text_is_cleaned_and_lines_are_kept_where_the_column_has_them(write: Write) -> None:
    text = "\x1b[31mred\x1b[0m \u202eone\n  two"
    (row,) = read(write(layer(text, message=text))).rows(Layer)

    assert ("red one two", "red one\n  two") == (row.status, row.message)


def test_nan_is_none_where_that_may_be_and_infinity_stays() -> None:
    share = next(column for column in columns(Wider) if column.name == "share")

    assert [None, None, math.inf] == [share.read(value) for value in (None, math.nan, math.inf)]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("count", "many", "'many' is not of type int"),
        ("quiet", b"1", "b'1' is not of type bool"),
        ("share", "half", "'half' is not of type float | None"),
        ("reason", b"\xff", "b'\\xff' is not of type str"),
        ("count", math.inf, "inf is not of type int"),
    ],
)
def test_a_value_of_another_type_is_named(write: Write, column: str, value: Any, told: str) -> None:
    path = write(WIDER, tables=(Wider,))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE unsupported SET {column} = ?", (value,))

    with pytest.raises(RunFileError) as raised:
        read(path, (Wider,))
    assert f"run file {path}: table unsupported, column {column}: {told}" == str(raised.value)
