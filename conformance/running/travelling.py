"""Implementations on their way to other machines: the files of plugins and libraries go with them.

The process that receives one writes its files into a folder of its own, and finds it there.
"""

from __future__ import annotations

import copy
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

from conformance.isolation.dispatch import Reference, RemoteFunction, in_pool, to_pool
from conformance.registration import entry_points
from conformance.registration.implementation import Implementation
from conformance.registration.place import Place

Files = tuple[tuple[str, bytes], ...]
"""Names relative to one folder, and contents."""
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(\w+)", re.MULTILINE)
_TRAVELS = ("file", "library", "model")


@dataclass(frozen=True, slots=True)
class Travelling:
    """An implementation, and the files that it needs."""

    sent: Implementation | Reference
    origin: str
    """The path of its own file, where it comes from."""
    files: Files


Sent: TypeAlias = Implementation | Reference | Travelling
"""What is sent to another process instead of an implementation."""


def departing(implementation: Implementation) -> Sent:
    """Return what can be sent to another machine instead of an implementation."""
    sent, place = to_pool(implementation), implementation.place
    if implementation.module in entry_points.modules():
        if isinstance(sent, Reference) and place is not None:
            return replace(sent, place=replace(place, python=""))
        return sent
    origin = sent.origin if isinstance(sent, Reference) else _target(place) or ""
    if not Path(origin).is_file() or (place is not None and place.target[0] not in _TRAVELS):
        return sent
    return Travelling(sent, origin, tuple(_files(Path(origin))))


def arrived(sent: Sent) -> Implementation:
    """Return the implementation that `departing` has sent."""
    if isinstance(sent, Travelling):
        here = _unpacked(sent.files) / Path(sent.origin).name
        sent = _moved(sent.sent, sent.origin, str(here))
    elif isinstance(sent, Reference) and sent.place is not None and not sent.place.python:
        sent = replace(sent, place=replace(sent.place, python=sys.executable))
    return in_pool(sent)


def _target(place: Place | None) -> str | None:
    """Return the file of a place: that of a module may have the name of a class after it."""
    if place is None:
        return None
    location = place.target[1]
    return location if Path(location).is_file() else location.rpartition(":")[0]


def _moved(sent: Implementation | Reference, origin: str, here: str) -> Implementation | Reference:
    def moved(place: Place | None) -> Place | None:
        if place is None:
            return None
        kind, location = place.target
        return replace(place, python=sys.executable, target=(kind, location.replace(origin, here)))

    if isinstance(sent, Reference):
        return replace(sent, origin=here, place=moved(sent.place))
    functions = dict(sent.functions)
    for operator, function in functions.items():
        if isinstance(function, RemoteFunction):
            functions[operator] = copied = copy.copy(function)
            place = moved(function.place)
            assert place is not None
            copied.place = place
    return replace(sent, functions=functions, place=moved(sent.place), origin=here)


def _files(file: Path) -> Iterable[tuple[str, bytes]]:
    """Yield a file, and the Python files beside it that it imports, directly or not."""
    waiting, done = [file], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        content = path.read_bytes()
        yield str(path.relative_to(file.parent)), content
        if path.suffix == ".py":
            for name in _IMPORT.findall(content.decode(errors="replace")):
                beside = file.parent / f"{name}.py"
                package = file.parent / name
                waiting += [beside] if beside.is_file() else sorted(package.rglob("*.py"))


@cache
def _unpacked(files: Files) -> Path:
    """Write files into a folder, once in a process, and return the folder."""
    digest = hashlib.sha256(repr(files).encode()).hexdigest()[:12]
    folder = Path(tempfile.mkdtemp(prefix=f"convformance-{digest}-"))
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
