"""The order of the rows in reports, their groups, and the verdict that stands for several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from conformance.runfile import words
from conformance.runfile.tables import Cell
from conformance.signatures import SIGNATURES

_WORST_FIRST: tuple[str, ...] = (words.ADAPTER_WRONG, *words.FAILED, words.INCONCLUSIVE)
_WORST_FIRST += (words.KNOWN_DIFFERENCE, words.CONFORMS, words.UNSUPPORTED)
T = TypeVar("T")
K = TypeVar("K")

_OPERATORS = {operator: position for position, operator in enumerate(SIGNATURES)}
_DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")


def worst_verdict(verdicts: Iterable[str]) -> str:
    """Return the worst of ``verdicts``, which stands for all of them.

    A wrong adapter is the worst, then a failure, inconclusive, a known difference and conforms;
    unsupported stands only for cells that are all unsupported. An unknown word comes right after
    the failures.
    """

    def rank(verdict: str) -> tuple[float, str]:
        listed = verdict in _WORST_FIRST
        return (_WORST_FIRST.index(verdict) if listed else len(words.FAILED) + 0.5, verdict)

    return min(verdicts, key=rank, default=words.INCONCLUSIVE)


def largest(values: Iterable[float | None]) -> float | None:
    """Return the largest of the values that are not None, or None if there is none."""
    return max((value for value in values if value is not None), default=None)


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return the rows of each key; keys and rows keep their order."""
    groups: dict[K, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_operator(operator: str) -> tuple[int, str]:
    """Sort key: operators as `conformance.signatures` lists them, others after them by name."""
    return (_OPERATORS.get(operator, len(_OPERATORS)), operator)


def by_dtype(dtype: str) -> tuple[int, str]:
    """Sort key: floating point before integers, narrow before wide, others after them by name."""
    return (_DTYPES.index(dtype) if dtype in _DTYPES else len(_DTYPES), dtype)


def by_cell(cell: Cell) -> tuple[str, tuple[int, str], int, tuple[int, str]]:
    """Sort key: implementation, operator, dims, dtype."""
    return (cell.implementation, by_operator(cell.operator), cell.dims, by_dtype(cell.dtype))


def natural(text: str) -> list[tuple[bool, int, str]]:
    """Sort key in which conv2 comes before conv10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(False, int(p), "") if p[0] in "0123456789" else (True, 0, p) for p in parts]
