"""Banks: the prepared cases of one operator and dimension, kept in the user's cache folder.

A bank file is a checksum of all that follows, the length of a header, the header, and the bytes of
the arrays. The header is a list in Python's own format for constants (`marshal`): the fields of
each case, and the places of its arrays, which are not copied: the file is mapped into memory. A
file is written under another name and then renamed, so that a reader never sees half a file. Its
name is a digest of all that it was made from: spec, seed, counts, versions and the sources of this
package.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import marshal
import math
import mmap
import os
import platform
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case
from conformance.cases.data import sums_are_exact
from conformance.dtypes import dtype_from, numpy_dtype
from conformance.errors import ConformanceError
from conformance.judging import Prepared
from conformance.machine import cache_folder
from conformance.operators.base import Reference

_HEAD = struct.Struct("<QQ")
"""The checksum (CRC-32) of all that follows it, and the length of the header in bytes."""
_CHECKSUM = 8
"""Bytes of the checksum, as of whatever else is in the file, so that arrays are aligned."""

CACHE_BYTES = 3 << 30
"""The cache folder is kept below this size; the least recently used banks are deleted first."""


def key(**facts: Any) -> str:
    """Return the name of the bank that these sources and versions make from ``facts``."""
    facts |= {**_versions(), "sources": _sources()}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def prepare(make_cases: Callable[[], Sequence[Case]], name: str, *, cached: bool) -> list[Prepared]:
    """Return the prepared cases of the bank called ``name``; make them if the cache has none.

    A damaged or unwritable cache costs time, and never raises.
    """
    path = cache_folder() / f"{name}.bank"
    bank = _load(path) if cached else None
    if bank is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # marks it as recently used
    else:
        bank = [_Kept.of(case) for case in make_cases()]
        if cached:
            with contextlib.suppress(OSError):
                _store(path, bank)
    gc.freeze()  # many objects and no cycle among them: they need not be searched for any
    return list(bank)


def cached_cases(
    make_cases: Callable[[], Sequence[Case]], name: str, *, cached: bool
) -> list[Case]:
    """Return the cases called ``name``; make them if the cache has none. It keeps their ids only.

    As with `prepare`, a damaged or unwritable cache never raises.
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
    return {name: version(name) for name in ("numpy", "hypothesis")} | {
        "python": f"{platform.python_version()} {marshal.version}"
    }


@cache
def _sources() -> str:
    """Return a digest of the package's sources, so that editing a reference makes new banks."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


_FIELDS = tuple(field.name for field in fields(Case))
_NONE = memoryview(b"")
"""The arrays of a bank whose cases hold their own."""


def _load(path: Path) -> list[_Kept] | None:
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        checksum, length = _HEAD.unpack_from(data)
        if checksum != zlib.crc32(data[_CHECKSUM:]):
            return None
        arrays = data[_HEAD.size + length :]
        rows = marshal.loads(data[_HEAD.size : _HEAD.size + length])
        return [
            _Kept(Case(**dict(zip(_FIELDS, row, strict=True))), inputs, made, arrays)
            for row, inputs, made in rows
        ]
    except Exception:  # whatever is wrong with the file, a new one replaces it
        return None


class _Kept(Prepared):
    """A case of a bank: its arrays in the narrowest types that hold their values.

    They are read from the bank's ``arrays``, if they are places there, and made wide, whenever they
    are asked for.
    """

    __slots__ = ("arrays", "narrow", "narrow_inputs")

    def __init__(
        self, case: Case, inputs: Inputs, narrow: tuple[Any, ...], arrays: memoryview = _NONE
    ) -> None:
        super().__init__(
            case, partial(_wide_inputs, case, inputs, arrays), partial(_wide, narrow, arrays)
        )
        self.narrow_inputs, self.narrow, self.arrays = inputs, narrow, arrays

    @classmethod
    def of(cls, case: Case) -> _Kept:
        made = Prepared.of(case)
        inputs = (_narrowest(v) if isinstance(v, np.ndarray) else v for v in made.inputs)
        return cls(case, tuple(inputs), _values(_narrow(made)))

    @property
    def elements(self) -> int:
        exact = self.narrow[0]
        return math.prod(exact[1]) if isinstance(exact, tuple) else exact.size

    @property
    def nonzero(self) -> bool:
        return bool(_array(self.narrow[0], self.arrays).any())

    def ready(self) -> Prepared:
        return Prepared(self.case, self.inputs, self.reference)


@np.errstate(all="ignore")  # most numbers do not fit the narrowest type
def _narrow(prepared: Prepared) -> Reference:
    """Return the reference in the least room.

    Where every sum is exact, one number bounds the magnitudes of all elements.
    """
    made = prepared.reference
    if made.magnitude is None or not np.all(made.single_valued) or not made.exact.size:
        return made
    if not sums_are_exact(prepared.case, made.magnitude, None):
        return made
    exact = _narrowest(made.exact)
    most = np.full((1,) * exact.ndim, float(made.magnitude.max()))
    return Reference(exact, None, most, int(np.max(made.terms)))


def _wide(values: tuple[Any, ...], arrays: memoryview) -> Reference:
    """Return the reference that `_narrow` was given, with magnitudes that are no smaller."""
    narrow = Reference(*[_array(v, arrays) if type(v) is tuple else v for v in values])
    if narrow.magnitude is None or narrow.magnitude.shape == narrow.exact.shape:
        return narrow
    magnitude = np.full(narrow.exact.shape, narrow.magnitude)
    return Reference(narrow.exact.astype(np.float64), None, magnitude, narrow.terms)


def _wide_inputs(case: Case, narrow: Inputs, arrays: memoryview) -> Inputs:
    dtype = numpy_dtype(case.dtype)
    values = [_array(v, arrays) if type(v) is tuple else v for v in narrow]
    return tuple([v.astype(dtype) if isinstance(v, np.ndarray) else v for v in values])


_NARROW = ("int8", "int16", "int32", "float32")
"""The types that whole numbers are kept in, the narrowest first."""


def _narrowest(array: Array) -> Array:
    """Return an array in the narrowest type that holds its values, zeros of both signs included."""
    size = np.abs(array.astype(np.float64)).max(initial=0.0)
    narrower = [name for name in _NARROW if np.dtype(name).itemsize < array.dtype.itemsize]
    for name in narrower if size < 2**31 else ():
        narrow = array.astype(name)
        if narrow.astype(array.dtype).tobytes() == array.tobytes():
            return narrow
    return array


def _store(path: Path, bank: list[_Kept]) -> None:
    parts: list[bytes] = []
    offset = 0

    def placed(value: Any) -> Any:
        """Return where an array lies among the bank's; whatever else is, as it is."""
        nonlocal offset
        if not isinstance(value, np.ndarray):
            return value.item() if isinstance(value, np.generic) else value
        place = value.dtype.name, value.shape, offset
        padding = -value.nbytes % 8  # keeps every array aligned
        parts.extend((value.tobytes(), bytes(padding)))
        offset += value.nbytes + padding
        return place

    rows = [
        (
            _values(kept.case),
            tuple(map(placed, kept.narrow_inputs)),
            tuple(map(placed, kept.narrow)),
        )
        for kept in bank
    ]
    header = marshal.dumps(rows)
    header += bytes(-len(header) % 8)
    data = b"".join((_HEAD.pack(0, len(header))[_CHECKSUM:], header, *parts))
    checksum = _HEAD.pack(zlib.crc32(data), 0)[:_CHECKSUM]
    _write(path, lambda file: file.writelines((checksum, data)))


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


def _values(value: Case | Reference) -> tuple[Any, ...]:
    """Return the fields of a case or a reference, in their order."""
    return tuple(getattr(value, field.name) for field in fields(value))


def _array(value: Any, arrays: memoryview) -> Any:
    """Return the array whose place among ``arrays`` is given; whatever else is, as it is."""
    if type(value) is not tuple or not value or type(value[0]) is not str:
        return value
    name, shape, offset = value
    dtype = dtype_from(name)
    if not (count := math.prod(shape)):
        return np.empty(shape, dtype)
    return np.frombuffer(arrays, dtype, count, offset).reshape(shape)


def _prune(folder: Path) -> None:
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may prune, too
            status = file.stat()
            files.append((status.st_mtime_ns, status.st_size, file))
    total = 0
    for _, size, file in sorted(files, reverse=True):
        total += size
        if total > CACHE_BYTES:
            file.unlink(missing_ok=True)
