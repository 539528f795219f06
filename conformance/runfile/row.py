"""A table of the run file as one frozen dataclass, from which its SQL and its reading are made.

A field is a column: its annotation says how it is stored and checked when it is read, and what
``Annotated`` adds documents it in the file itself. So a column is one edit, which the schema,
writing, reading and JSON follow (`conformance.runfile.tables`). One that was added later has a
default, for files without it.
"""

from __future__ import annotations

import enum
import math
import textwrap
from dataclasses import MISSING, dataclass, fields
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, TypeAlias, get_args, get_origin, get_type_hints

from conformance.runfile.text import clean, one_line


class Mark(enum.Enum):
    """A further property of a column, which its annotation may name."""

    LINES = enum.auto()
    """It is text of several lines."""
    NOT_IN_JSON = enum.auto()
    """It is left out where a report is written as JSON."""


Lines: TypeAlias = Annotated[str, Mark.LINES]
NOT_IN_JSON = Mark.NOT_IN_JSON

_STORED = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL"}
_WIDTH = 94
"""The width of a comment in the schema, without its indentation and dashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of one table; each kind of row is a frozen dataclass, and each field a column."""

    table: ClassVar[str]
    """The table's name in the file."""
    key: ClassVar[tuple[str, ...]] = ()
    """The columns by which a row replaces an earlier one; none where every row is kept."""
    later: ClassVar[bool] = False
    """Whether there are files of this format without the table: they read as if it were empty."""

    @classmethod
    def of(cls, *sources: object, **values: Any) -> Self:
        """Return a row of ``values``, and else of what the first source has by a column's name.

        Raises `AttributeError` where none has one: defaults are only for files older than the
        column.
        """
        for column in columns(cls):
            if column.name in values:
                continue
            owner = next((source for source in sources if hasattr(source, column.name)), None)
            if owner is None:
                raise AttributeError(f"table {cls.table}: nothing says what {column.name} is")
            values[column.name] = getattr(owner, column.name)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as its field declares it."""

    name: str
    kind: type
    """str, int, bool or float."""
    optional: bool
    """Whether it may be None."""
    default: Any
    """What a file without the column reads as; ``MISSING`` where there is no such file."""
    prose: str
    marks: frozenset[Mark]

    @property
    def in_json(self) -> bool:
        return Mark.NOT_IN_JSON not in self.marks

    @property
    def type_name(self) -> str:
        """The type as it is written in Python."""
        return f"{self.kind.__name__} | None" if self.optional else self.kind.__name__

    @property
    def sql(self) -> str:
        """The column as CREATE TABLE declares it."""
        text = f"{_quoted(self.name)} {_STORED[self.kind]}"
        if not self.optional:
            text += " NOT NULL"
        if self.default in (MISSING, None):
            return text
        value = str(int(self.default) if self.kind is bool else self.default)
        if self.kind is str:
            value = "'" + value.replace("'", "''") + "'"
        return f"{text} DEFAULT {value}"

    def read(self, value: Any) -> str | int | float | None:
        """Return a stored value as the column's type, text cleaned, NaN as None where that may be.

        SQLite stores any type: raises `TypeError`, `ValueError` or `OverflowError` for another one.
        """
        if value is None and self.optional:
            return None
        if isinstance(value, str) != (self.kind is str) or isinstance(value, bytes):
            raise TypeError
        if self.kind is str:
            return clean(value) if Mark.LINES in self.marks else one_line(value)
        number = float(value) if self.kind is float else self.kind(int(value))
        return None if self.optional and math.isnan(number) else number


_COLUMNS: dict[type[Row], tuple[Column, ...]] = {}
"""The columns of each table, once read: reading annotations is slow, and rows are many."""


def columns(row_type: type[Row]) -> tuple[Column, ...]:
    """Return the columns of a table, in the order of its fields."""
    if row_type not in _COLUMNS:
        hints = get_type_hints(row_type, include_extras=True)
        declared = fields(row_type)
        _COLUMNS[row_type] = tuple(_column(f.name, hints[f.name], f.default) for f in declared)
    return _COLUMNS[row_type]


def _column(name: str, hint: Any, default: Any) -> Column:
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    kinds = get_args(kind) or (kind,)
    (stored,) = (kind for kind in kinds if kind is not NoneType)
    return Column(
        name=name,
        kind=stored,
        optional=NoneType in kinds,
        default=default,
        prose=" ".join(extra for extra in extras if isinstance(extra, str)),
        marks=frozenset(extra for extra in extras if isinstance(extra, Mark)),
    )


def create_table(row_type: type[Row]) -> str:
    """Return the statement that creates a table, with the prose of its class and columns.

    SQLite keeps those comments, so that the schema of a file documents it.
    """
    prose = _comment(" ".join((row_type.__doc__ or "").split()))
    parts = [_comment(column.prose) + f"    {column.sql}" for column in columns(row_type)]
    if row_type.key:
        parts.append(f"    PRIMARY KEY ({', '.join(map(_quoted, row_type.key))})")
    options = " WITHOUT ROWID" if row_type.key else ""
    lines = ",\n".join(parts)
    return f"CREATE TABLE {row_type.table} (\n{prose}{lines}\n){options};\n"


def _comment(prose: str) -> str:
    """Return the prose as indented lines of comment, each with its line end."""
    return "".join(f"    -- {line}\n" for line in textwrap.wrap(prose, _WIDTH))


def _quoted(name: str) -> str:
    """Return a column's name quoted, since it may be a keyword of SQL, such as case."""
    return f'"{name}"'


def insert_into(row_type: type[Row]) -> str:
    """Return the statement that inserts or replaces a row, given its values in order."""
    names = [_quoted(column.name) for column in columns(row_type)]
    marks = ", ".join("?" * len(names))
    return f"INSERT OR REPLACE INTO {row_type.table} ({', '.join(names)}) VALUES ({marks})"


def values_of(row: Row) -> tuple[Any, ...]:
    """Return what a row has in each column."""
    return tuple(getattr(row, column.name) for column in columns(type(row)))
