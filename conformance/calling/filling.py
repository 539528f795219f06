"""Results that the suite allocates and a call has to fill: between canaries, and filled with NaN.

What is written around one, and what is not written, are both seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.calling.guards import MIDDLE, Arena, Guards, OutputOverrun
from conformance.calling.memory import Array

ARENA = Arena()
"""The pages of the results that kernels in Python fill."""
_POISON = 0xFF
"""The byte that a result is filled with: NaN, or -1."""


class ToFill:
    """The result of one call, which it is to fill."""

    __slots__ = ("_guards", "array")

    def __init__(self, arena: Arena, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._guards = Guards(arena, MIDDLE)
        self.array: Array = self._guards.room(0)(shape, dtype, "C")
        if self.array.size and not dtype.hasobject:
            self.array.view(np.uint8).fill(_POISON)

    def finished(self, *, written: bool) -> Array | None:
        """Return a copy of what a call has ``written``, None for one that has failed.

        Raises `OutputOverrun` where it has written around the array, which is used no more.
        """
        output = self.array.copy() if written else None
        overrun = self._guards.overrun()
        del self.array
        self._guards.release()
        if overrun:
            raise OutputOverrun(overrun[0][1:], output)
        return output
