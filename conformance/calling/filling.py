"""Results that the suite allocates and a call has to fill: between canaries, and filled with NaN.

What is written around one, and what is not written, are both seen. The canaries are compared where
they lie, and are those of the next result as well, so that a call on a small one stays quick.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformance.calling.guards import PAGE, Arena, OutputOverrun, Pages, canaries_at, reach
from conformance.calling.memory import Array

_POISON = b"\xff"
"""The byte that a result is filled with: NaN, or -1."""
_BEGIN = 2 * PAGE
"""Where a result begins: behind a page without access, and one of canaries."""


class ToFill:
    """The result of one call, which it is to fill."""

    __slots__ = ("_arena", "_end", "_pages", "address", "array")

    def __init__(self, arena: Arena, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Allocate it on pages of an ``arena`` that is for results alone."""
        size = dtype.itemsize * math.prod(shape)
        pages = None if dtype.hasobject or not size else _taken(arena, size)
        self._arena, self._pages = arena, pages
        self._end = end = _BEGIN + size
        if pages is None:
            self.array: Array = np.empty(shape, dtype)
            if self.array.size and not dtype.hasobject:
                self.array.view(np.uint8).fill(_POISON[0])
            self.address = self.array.ctypes.data
            return
        if pages.content is None:
            pages.fill()
        elif end < pages.content:
            pages.mapping[end : pages.content] = canaries_at(end, pages.content - end)
        pages.content = None
        pages.mapping[_BEGIN:end] = _POISON * size
        self.address = pages.address + _BEGIN
        self.array = np.ndarray(shape, dtype, pages.bytes, _BEGIN)

    def finished(self, *, written: bool) -> Array | None:
        """Return a copy of what a call has ``written``, None for one that has failed.

        Raises `OutputOverrun` where it has written around the array, which is used no more.
        """
        output = self.array.copy() if written else None
        del self.array
        pages, self._pages = self._pages, None
        if pages is None:
            return output
        end, last = self._end, PAGE + pages.size
        if pages.has_canaries(PAGE, _BEGIN) and pages.has_canaries(end, last):
            pages.content = end
            self._arena.give_back(pages)
            return output
        before = pages.mapping[PAGE:_BEGIN], canaries_at(PAGE, PAGE)
        after = pages.mapping[end:last], canaries_at(end, last - end)
        self._arena.give_back(pages)
        raise OutputOverrun(reach(before, after), output)


def _taken(arena: Arena, size: int) -> Pages | None:
    """Return pages for so many bytes, with one of canaries at both ends; None if there are none."""
    try:
        return arena.take((-(-size // PAGE) + 2) * PAGE)
    except (OSError, ValueError):  # a system that allows no more mappings
        return None
