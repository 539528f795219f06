"""The bank: the cases of one operator and dimension, prepared once and kept in the user's cache.

A bank file is a NumPy ``.npz`` of two arrays: ``header``, JSON that says for each case its id and
where its arrays lie, and ``blob``, their bytes. No pickle; the archive's checksums find damage;
a file is written under another name and renamed, so that a reader never sees half of one. Its
name is a digest of all that made it: spec, seed, counts, versions and this package's sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import platformdirs

from conformance.calling import Array
from conformance.case import Case
from conformance.dtypes import dtype_from
from conformance.errors import ConformanceError
from conformance.judging import Prepared
from conformance.operators.base import Reference

CACHE_BYTES = 1 << 30
"""The cache folder is kept below this size; the banks unused for longest go first."""


def cache_folder() -> Path:
    """Return the folder of cached banks, inside the user's cache folder."""
    return Path(platformdirs.user_cache_dir("convformance")) / "banks"


def key(**facts: Any) -> str:
    """Return the name of the bank made from ``facts`` by these sources and versions."""
    facts |= {**_versions(), "sources": _sources()}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def prepare(make_cases: Callable[[], Sequence[Case]], name: str, *, cached: bool) -> list[Prepared]:
    """Return the prepared cases of the bank called ``name``, made now if the cache has none.

    Nothing about the cache is ever fatal: a damaged or unwritable one costs time only.
    """
    path = cache_folder() / f"{name}.npz"
    if cached and (stored := _load(path)) is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: among the last to be pruned
        return stored
    bank = [Prepared.of(case) for case in make_cases()]
    if cached:
        with contextlib.suppress(OSError):
            _store(path, bank)
    return bank


def cached_cases(
    make_cases: Callable[[], Sequence[Case]], name: str, *, cached: bool
) -> list[Case]:
    """Return the cases called ``name``, made now if the cache has none: their ids alone are kept.

    As with `prepare`, nothing about the cache is ever fatal.
    """
    path = cache_folder() / f"{name}.json"
    if cached:
        with contextlib.suppress(OSError, ValueError, ConformanceError):
            return [Case.parse(text) for text in json.loads(path.read_bytes())]
    cases = list(make_cases())
    if cached:
        with contextlib.suppress(OSError):
            text = json.dumps([case.id for case in cases])
            _write(path, lambda file: file.write(text.encode()))
    return cases


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "hypothesis")}


@cache
def _sources() -> str:
    """Return a digest of the package's sources: an edited recipe or reference makes new banks."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _load(path: Path) -> list[Prepared] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            blob = archive["blob"]
        blob.flags.writeable = False  # judged by many, one after the other
        return [_unpack(entry, blob) for entry in header]
    except Exception:  # whatever is wrong with the file, a new one is made
        return None


def _store(path: Path, bank: list[Prepared]) -> None:
    header: list[dict[str, Any]] = []
    parts: list[bytes] = []
    offset = 0
    for prepared in bank:
        entry: dict[str, Any] = {"case": prepared.case.id}
        for field, value in _fields(prepared).items():
            if not isinstance(value, np.ndarray):
                entry[field] = {"shape": value} if isinstance(value, tuple) else value
                continue
            entry[field] = [value.dtype.name, list(value.shape), offset]
            parts.append(value.tobytes())
            padding = -value.nbytes % 8  # keep every array aligned
            parts.append(bytes(padding))
            offset += value.nbytes + padding
        header.append(entry)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    blob = np.frombuffer(b"".join(parts), np.uint8)
    _write(path, lambda file: np.savez(file, header=text, blob=blob))


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _prune(path.parent)


def _fields(prepared: Prepared) -> dict[str, Any]:
    reference = prepared.reference
    inputs = {f"input{i}": value for i, value in enumerate(prepared.inputs)}
    names = ("exact", "residual", "magnitude", "terms", "error", "exact_mask")
    return inputs | {name: getattr(reference, name) for name in names}


def _unpack(entry: dict[str, Any], blob: Array) -> Prepared:
    values = {name: _array(value, blob) for name, value in entry.items() if name != "case"}
    inputs = [values.pop(name) for name in sorted(values) if name.startswith("input")]
    return Prepared(Case.parse(entry["case"]), tuple(inputs), Reference(**values))


def _array(value: Any, blob: Array) -> Any:
    if isinstance(value, dict):
        return tuple(value["shape"])
    if not isinstance(value, list):
        return value
    name, shape, offset = value
    dtype = dtype_from(name)
    if not (count := math.prod(shape)):
        return np.empty(shape, dtype)
    return np.frombuffer(blob, dtype, count, offset).reshape(shape)


def _prune(folder: Path) -> None:
    found = []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may prune as well
            status = file.stat()
            found.append((status.st_mtime_ns, status.st_size, file))
    total = 0
    for _, size, file in sorted(found, reverse=True):
        total += size
        if total > CACHE_BYTES:
            file.unlink(missing_ok=True)
