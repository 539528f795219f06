"""TOML tables, written and read: a mistake is one line with file, entry, field, and what is due."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.dtypes import meant_dtype
from conformance.errors import SpecError, did_you_mean


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a TOML file, and how to call it in an error message."""

    file: str
    entry: str
    """Such as ``[ranges]``; empty for the whole file."""
    values: Mapping[str, Any]

    def table(self, field: str, entry: str) -> Table:
        """Return the table called ``field``, empty if there is none."""
        value = self.values.get(field, {})
        if not isinstance(value, dict):
            raise self.error(field, f"a table, written {entry}")
        return Table(self.file, entry, value)

    def tables(self, field: str, entry: str) -> list[dict[str, Any]]:
        """Return the tables of an array of tables, none if there is no such array."""
        value = self.values.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(field, f"tables, each written {entry}")
        return value

    def error(self, field: str, allowed: str, hint: str = "") -> SpecError:
        """Return the error for a field whose value is not allowed."""
        value = show(self.values.get(field))
        suggestion = f"; {hint.strip()}" if hint else ""
        return self.failure(f"{_name(field)} = {value}; allowed: {allowed}{suggestion}")

    def failure(self, text: str) -> SpecError:
        """Return an error that names the file and the entry."""
        return _error(": ".join(part for part in (self.file, self.entry, text) if part))

    def only(self, known: Iterable[str], what: str = "field") -> None:
        """Raise `SpecError`, suggesting the nearest name, if there is a field not in ``known``."""
        names = tuple(known)
        for field in self.values:
            if field not in names:
                hint = did_you_mean(field, names)
                raise self.failure(
                    f"{what} {show(field)} is unknown; {hint}allowed: {', '.join(names)}"
                )

    def whole(self, field: str, least: int, most: int) -> int:
        """Return a whole number."""
        value = self.values[field]
        if not _is_whole(value) or not least <= value <= most:
            raise self.error(field, f"a whole number, {least} to {most}")
        return int(value)

    def wholes(self, field: str, least: int, most: int, *, length: tuple[int, int]) -> Any:
        """Return a tuple of whole numbers, at least and at most as long as ``length``."""
        value = self.values[field]
        low, high = length
        count = plural(high, "whole number")
        if low != high:
            count = f"{low} to {count}"
        if (
            not isinstance(value, list)
            or not low <= len(value) <= high
            or not all(_is_whole(item) and least <= item <= most for item in value)
        ):
            raise self.error(field, f"a list of {count}, each {least} to {most}")
        return tuple(value)

    def number(self, field: str, least: float, most: float) -> float:
        """Return a number; a whole one will do."""
        value = self.values[field]
        right = isinstance(value, float) or _is_whole(value)
        if not right or not least <= value <= most:  # false for NaN, too
            raise self.error(field, f"a number, {least:g} to {most:g}")
        return float(value)

    def flag(self, field: str) -> bool:
        """Return true or false."""
        value = self.values[field]
        if not isinstance(value, bool):
            raise self.error(field, "true or false")
        return value

    def text(self, field: str) -> str:
        """Return a text of one line."""
        value = self.values[field]
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.error(field, "a text in quotes, of one line")
        return value

    def names(self, field: str, known: Iterable[str], *, least: int) -> tuple[str, ...]:
        """Return a tuple of at least ``least`` different names, all of them in ``known``."""
        value, allowed = self.values[field], tuple(known)
        if (
            not isinstance(value, list)
            or len(value) < least
            or not all(isinstance(item, str) and item in allowed for item in value)
        ):
            some = "a list of one or more" if least else "a list"
            items = value if isinstance(value, list) else [value]
            wrong = next((item for item in items if item not in allowed), None)
            meant = meant_dtype(wrong)
            hint = did_you_mean(wrong, allowed, meant if meant in allowed else "")
            raise self.error(field, f"{some} of {', '.join(map(show, allowed))}", hint)
        self.different(field)
        return tuple(value)

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a tuple of different texts of one line."""
        value = self.values[field]
        if not isinstance(value, list) or not all(
            isinstance(item, str) and item.strip() and item.isprintable() for item in value
        ):
            raise self.error(field, "a list of texts in quotes")
        self.different(field)
        return tuple(value)

    def different(self, field: str) -> None:
        """Raise `SpecError` if a value of a list occurs twice."""
        value = self.values[field]
        for index, item in enumerate(value):
            if item in value[:index]:
                raise self.error(field, f"each value once ({show(item)} is there twice)")


def read(path: Path) -> bytes:
    """Return what is in a file; raise `SpecError` if it cannot be read."""
    try:
        if path.is_dir():
            raise _error(f"{path}: a folder; allowed: a TOML file")
        return path.read_bytes()
    except FileNotFoundError:
        raise _error(f"{path}: no such file; allowed: a TOML file") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise _error(f"{path}: cannot be read: {reason}") from None


def parse(data: bytes, file: str) -> Table:
    """Return the TOML document ``data``, read from ``file``; raise `SpecError` if it is none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise _error(f"{file}: line {line} is not UTF-8; allowed: UTF-8 text") from None
    try:
        return Table(file, "", tomllib.loads(text))
    except (ValueError, RecursionError) as problem:
        reason = " ".join(str(problem).split()) or "nested too deeply"
        raise _error(f"{file}: not TOML: {reason}") from None


def write(tables: Iterable[tuple[str, Mapping[str, Any]]], comment: str) -> str:
    """Return tables, each with the name of its array, as a file that begins with a comment.

    The comment may have several lines.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for name, fields in tables:
        lines += ["", f"[[{name}]]", *(f"{key} = {_written(v)}" for key, v in fields.items())]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {_written(item)}' for name, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)  # a text, a whole number, true or false


def show(value: object) -> str:
    """Return ``value`` much as TOML writes it, on one line and not too long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def plural(count: int, noun: str) -> str:
    """Return ``2 pairs``, but ``1 pair``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _error(text: str) -> SpecError:
    return SpecError("".join(c if c.isprintable() else "?" for c in text))


def _name(field: str) -> str:
    return field if field.replace("-", "_").isidentifier() else show(field)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
