"""Other interpreters: the same implementation, in another Python with other packages.

On the command line ``--python torch@old=/path/to/python``; in a TOML file, a table each::

    [[environment]]
    name = "torch@old"               # the implementation, @, and what to call this one
    python = "/path/to/python"       # absolute, relative to the file, or a command
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.errors import SpecError
from conformance.isolation.remote_plugins import declared_as
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import get

_FIELDS = ("name", "python")
_RIGHT = "write torch@old=/path/to/python: an implementation, @, a label, =, an interpreter"


_NAMED = re.compile(r"((?:[^\[=]|\[[^\]]*\])*)=(.+)")
"""A name, whose options are in brackets, and an interpreter."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An implementation in another interpreter, and the name that it goes by."""

    name: str
    python: str

    @classmethod
    def parse(cls, text: str) -> Environment:
        """Read ``torch@old=/path/to/python``; raise `SpecError` for anything else."""
        found = _NAMED.fullmatch(text)
        if found is None:
            raise SpecError(f"environment '{text}': no interpreter; {_RIGHT}")
        return cls._checked(found[1], found[2], f"environment '{text}'")

    @classmethod
    def _checked(cls, name: str, python: str, where: str) -> Environment:
        base, at, label = name.partition("@")
        if not (base and at and label):
            raise SpecError(f"{where}: name '{name}'; {_RIGHT}")
        return cls(name, str(Path(python).expanduser()))

    def load(self, limits: Limits) -> Implementation:
        """Load and register it; raise `ConformanceError` where that interpreter cannot."""
        return declared_as(self.name, self.python, get(self.name.partition("@")[0]), limits)


def read(path: str | Path) -> tuple[Environment, ...]:
    """Return the environments of a TOML file; raise `SpecError` for a mistake in it."""
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise SpecError(f"environments {path}: cannot be read ({problem.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SpecError(f"environments {path}: not TOML ({problem})") from None
    right = "write [[environment]] tables"
    for key in table:
        if key != "environment":
            raise SpecError(f"environments {path}: '{key}' is unknown; {right}")
    entries = table.get("environment", [])
    if not isinstance(entries, list) or not entries:
        raise SpecError(f"environments {path}: no environment; {right}")
    return tuple(
        _read(entry, f"environments {path}: entry {number}", file)
        for number, entry in enumerate(entries, 1)
    )


def _read(entry: Any, where: str, file: Path) -> Environment:
    if not isinstance(entry, dict) or {*entry} != {*_FIELDS}:
        raise SpecError(f"{where}: fields {', '.join(map(str, entry))}; write {', '.join(_FIELDS)}")
    for field in _FIELDS:
        if not isinstance(entry[field], str):
            raise SpecError(f"{where}: {field}={entry[field]!r}; write a text")
    python = entry["python"]
    if "/" in python:  # else a command
        python = str(file.parent / Path(python).expanduser())
    return Environment._checked(entry["name"], python, where)
