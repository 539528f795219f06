"""Tools for engines that compile: they keep compiled functions, clear caches, silence output.

What XLA has no memory for is declined here, since JAX and TensorFlow both compile with it.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from conformance import Unsupported
from conformance.implementations._arguments import Array

MOST = 256
"""How many compiled functions an engine keeps."""

MOST_BYTES = 2**30
"""What XLA may need for one gradient."""

_Compiled = TypeVar("_Compiled")


class LRU(Generic[_Compiled]):
    """The compiled functions that were called most recently."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._compiled: OrderedDict[Hashable, _Compiled] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _Compiled]) -> _Compiled:
        """Return the function for ``key``, made if need be; drop the least recently called one."""
        compiled = self._compiled.pop(key, None) or make()
        self._compiled[key] = compiled
        if len(self._compiled) > self._most:
            self._compiled.popitem(last=False)
        return compiled


class ClearAfter:
    """Clears the caches of an engine that has no bound for them, after ``most`` new calls."""

    def __init__(self, most: int = MOST // 2) -> None:
        self._most = most
        self._calls: set[Hashable] = set()

    def __call__(self, call: Hashable, clear: Callable[[], None]) -> None:
        """Record a ``call`` by its compilation key; if there are too many, call ``clear`` first."""
        if call not in self._calls and len(self._calls) >= self._most:
            self._calls.clear()
            clear()
        self._calls.add(call)


def check_groups_in_memory(x: Array, groups: Any) -> None:
    """Raise Unsupported for the gradient by a weight of so many groups that it fills the memory.

    On a CPU, XLA computes it for each group with the channels of all groups, and then selects.
    """
    if isinstance(groups, int) and groups > 1 and groups * x.nbytes > MOST_BYTES:
        raise Unsupported("XLA needs the memory of the input once for each of many groups")


@contextmanager
def quiet() -> Iterator[None]:
    """Discard stdout and stderr inside the block, those of C++ included.

    This hides the messages that engines print when they are first loaded; errors are still raised.
    """
    copies = [os.dup(number) for number in (1, 2)]
    sink = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(sink, number)
    try:
        yield
    finally:
        for number, copy in zip((1, 2), copies, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(sink)
