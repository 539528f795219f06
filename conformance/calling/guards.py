"""Guards: arrays that lie against pages without access, between bytes that nobody may change.

A read one element past the end of an array meets the next array, or nothing, and goes unnoticed:
until the array is the last one of a page. Here it always is, in one call, or the first one, in
another. What lies between an array and the other end of its pages is filled with canaries, whose
change after the call shows what was written there.

The pages are mapped once and used again: by ``mmap`` and ``mprotect``, as Linux and macOS have.
Pages that somebody still refers to, through an array that was handed over, are never used again.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from sys import getrefcount
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from conformance.calling.memory import Array, Empty

END, START = SIDES = ("end", "start")
"""The ends of an array that a page without access may lie against."""
MIDDLE, SHIFTED, NOWHERE = "middle", "shifted", "nowhere"
"""A page of canaries at both ends; the same, an element further; and memory without guards."""
Guard: TypeAlias = str | tuple[int, str, int]
"""Where the arrays of a call lie: all of them at one of the places above; or one alone, by its
position among the arguments, at one of the `SIDES`, so many bytes away from the page."""

PAGE = mmap.PAGESIZE
_NEAR = 64
"""Bytes of canaries on each side of an array in an ordinary call."""
_VECTOR = 16
"""Bytes that memory from the system's allocator is aligned to, on every system."""
_CANARY = b"\xfe\xff"
_NUMBER = int.from_bytes(_CANARY, sys.byteorder)
_FIRST = _CANARY, _CANARY[::-1]
"""The canaries from an even position on, and from an odd one."""
_KEPT = 16 << 20
"""Bytes of pages that are kept for later calls."""


class OutputOverrun(Exception):
    """A call wrote so many bytes before, and after, the memory that it was to write into."""

    def __init__(self, beyond: tuple[int, int], output: Array | None) -> None:
        super().__init__(f"wrote {beyond[0]} bytes before its result, and {beyond[1]} after it")
        self.beyond, self.output = beyond, output


@cache
def _mprotect() -> Callable[[int, int, int], int] | None:
    """Return the system's function of that name, None where it has none."""
    if os.name != "posix":
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).mprotect
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return lambda address, size, access: int(function(address, size, access))


@cache
def _memcmp() -> Callable[[int, int, int], int]:
    """Return the system's function of that name, called without giving up the interpreter."""
    function = ctypes.PyDLL(None).memcmp
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return function


class Pages:
    """Pages of memory between two that nobody may touch."""

    __slots__ = ("_unused", "address", "bytes", "content", "mapping", "size")

    def __init__(self, size: int) -> None:
        """Map ``size`` bytes, a multiple of a page; raise `OSError` where the system has none."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # a child that is forked gets its own
        self.size = size
        self.mapping = mmap.mmap(-1, size + 2 * PAGE, flags=flags)
        self.bytes: Array = np.frombuffer(self.mapping, np.uint8)
        protect, self.address = _mprotect(), self.bytes.ctypes.data
        self.content: int | None = None
        """Where the last result has ended that lay there, if all bytes around it are canaries."""
        for page in (self.address, self.address + PAGE + size):
            if protect is None or protect(page, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self._unused = self._references()

    def _references(self) -> int:
        return getrefcount(self.bytes)

    @property
    def free(self) -> bool:
        """Whether no array refers to them any more."""
        return self._references() == self._unused

    def fill(self) -> None:
        """Fill them with canaries."""
        self.bytes[PAGE : PAGE + self.size].view(np.uint16).fill(_NUMBER)

    def has_canaries(self, begin: int, end: int) -> bool:
        """Whether all bytes there are the canaries of their position; there are two at least."""
        at, first = self.address + begin, self.mapping[begin : begin + 2]
        return first == _FIRST[begin % 2] and not _memcmp()(at, at + 2, end - begin - 2)


class _Placed(NamedTuple):
    """An argument's array on its pages."""

    argument: int
    pages: Pages
    begin: int
    end: int
    before: bytes
    """The canaries before ``begin``."""
    after: bytes
    """The canaries from ``end`` on."""


class Arena:
    """The pages of a process that its calls share, one call after the other."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Pages]] = {}
        self._size = 0

    def take(self, size: int) -> Pages:
        """Return pages of ``size`` bytes; raise `OSError` where the system has none."""
        kept = self._kept.get(size)
        while kept:
            pages = kept.pop()
            self._size -= size
            if pages.free:
                return pages
        return Pages(size)

    def give_back(self, pages: Pages) -> None:
        """Keep pages for a later call, if there are not too many."""
        if self._size + pages.size <= _KEPT:
            self._size += pages.size
            self._kept.setdefault(pages.size, []).append(pages)


class Guards:
    """The guards around the arrays of one call."""

    def __init__(self, arena: Arena, guard: Guard, reads_beyond: int = 0) -> None:
        """Let arrays lie where ``guard`` says; so many bytes past their end may be read."""
        self.arena, self.guard, self.reads_beyond = arena, guard, reads_beyond
        self._placed: list[_Placed] = []
        self.misaligned = False
        """Whether an array's address is none that the system's allocator would have returned."""

    def room(self, argument: int) -> Empty:
        """Return what makes the buffer of an argument, by its position."""
        if self.guard == NOWHERE or (isinstance(self.guard, tuple) and self.guard[0] != argument):
            return np.empty
        return partial(self._empty, argument)

    def _empty(
        self, argument: int, shape: tuple[int, ...], dtype: Any, order: Literal["C", "F"]
    ) -> Array:
        dtype = np.dtype(dtype)
        item = dtype.itemsize
        size = item * math.prod(shape)
        if not size or dtype.hasobject:
            return np.empty(shape, dtype, order)
        where, away = self.guard, 0
        if isinstance(where, tuple):
            _, where, away = where
        wide = where in (MIDDLE, SHIFTED)
        spare = -(-self.reads_beyond // item) * item
        needed = size + spare + (2 * PAGE + item if wide else away)
        try:
            pages = self.arena.take(-(-needed // PAGE) * PAGE)
        except (OSError, ValueError):  # a system that allows no more mappings
            return np.empty(shape, dtype, order)
        last = PAGE + pages.size
        if where == END:
            begin = last - size - spare - away
        else:
            begin = PAGE + (PAGE + item * (where == SHIFTED) if wide else away)
        end, most = begin + size, PAGE if wide else _NEAR
        before, after = _canaries(min(most, begin - PAGE)), _canaries(min(most, last - end))
        pages.mapping[begin - len(before) : begin] = before
        pages.mapping[end : end + len(after)] = after
        self._placed.append(_Placed(argument, pages, begin, end, before, after))
        if begin % _VECTOR:
            self.misaligned = True
        return np.ndarray(shape, dtype, pages.bytes, begin, None, order)

    def overrun(self) -> tuple[tuple[int, int, int], ...]:
        """Return the arguments around which something was written.

        Each comes with how many bytes before its array, and past its end, the farthest of it lies.
        """
        found = []
        for argument, pages, begin, end, before, after in self._placed:
            there = pages.mapping[begin - len(before) : begin]
            beyond = pages.mapping[end : end + len(after)]
            if there != before or beyond != after:
                found.append((argument, *reach((there, before), (beyond, after))))
        return tuple(found)

    def release(self) -> None:
        """Give the pages back; those of arrays that are still in use are not used again."""
        for one in self._placed:
            self.arena.give_back(one.pages)
        self._placed = []


@cache
def _canaries(size: int) -> bytes:
    """Return so many bytes of canaries: NaN in each format that has one."""
    return (_CANARY * size)[:size]


def reach(before: tuple[bytes, bytes], after: tuple[bytes, bytes]) -> tuple[int, int]:
    """Return how far from an array the farthest changed canary before it, and after it, lies.

    Each side is what is there, and what is due.
    """
    first, last = _changed(*before), _changed(*after)
    far = int(last[-1]) + 1 if last.size else 0
    return len(before[0]) - int(first[0]) if first.size else 0, far


def canaries_at(position: int, size: int) -> bytes:
    """Return so many bytes of canaries, at most some pages, that begin at a position."""
    odd = position % 2
    return _PAGES_OF_THEM[odd : size + odd]


_PAGES_OF_THEM = _canaries(3 * PAGE)


def _changed(band: bytes, due: bytes) -> Array:
    """Return the positions of canaries that are none any more."""
    return np.flatnonzero(np.frombuffer(band, np.uint8) != np.frombuffer(due, np.uint8))
