"""Which cases of a cell were compared, and which of them violate: what two runs have in common.

A case is told by the CRC-32 of its id. The cases of all implementations of an operator, a number of
dimensions and a dtype are one sorted list, a row of the table ``cases``, and each of their cells
says which of the list it compared and which of those violate, by a bit each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Fingerprints: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint32]]"
"""Cases, each by a number, sorted and without repetition."""


def fingerprint(case_id: str) -> int:
    """Return the number that a case is told by."""
    return zlib.crc32(case_id.encode())


@dataclass(frozen=True, slots=True)
class Judged:
    """The cases of a cell that were compared, and those of them that violate a requirement."""

    compared: Fingerprints
    violating: Fingerprints

    def __contains__(self, case_id: object) -> bool:
        return bool((self.compared == fingerprint(str(case_id))).any())


def as_list(cases: Iterable[int]) -> Fingerprints:
    """Return the fingerprints in any order as a list of cases."""
    return np.unique(np.fromiter(cases, np.uint32))


def write_list(cases: Fingerprints) -> tuple[str, str]:
    """Return a list of cases as text, after the key that its cells name it by."""
    data = cases.astype("<u4").tobytes()
    return hashlib.sha256(data).hexdigest()[:16], base64.b64encode(data).decode()


def write_cell(key: str, cases: Fingerprints, judged: Judged) -> str:
    """Return which of the ``cases``, whose list has that ``key``, a cell has judged."""
    parts = (_write_bits(np.isin(cases, part)) for part in (judged.compared, judged.violating))
    return " ".join((key, *parts))


def read_lists(rows: Iterable[tuple[str, str]]) -> dict[str, Fingerprints]:
    """Return the lists of cases by their keys; one that cannot be read is left out."""
    lists = {}
    for key, text in rows:
        try:
            data = base64.b64decode(text, validate=True)
            lists[key] = np.frombuffer(data, "<u4").astype(np.uint32)
        except (binascii.Error, ValueError):
            continue
    return lists


def read_cell(text: str, lists: dict[str, Fingerprints]) -> Judged | None:
    """Return what `write_cell` wrote; None for an empty text, as of an older file, or another."""
    key, *parts = text.split()
    if key not in lists or len(parts) != 2:
        return None
    try:
        bits = [_read_bits(part, len(lists[key])) for part in parts]
    except (binascii.Error, ValueError, zlib.error):
        return None
    return Judged(*(lists[key][part] for part in bits))


def _write_bits(bits: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def _read_bits(text: str, count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    data = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    return np.unpackbits(data, count=count).astype(bool)
