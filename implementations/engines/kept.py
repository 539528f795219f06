"""Compiled functions are kept for the calls that come again, a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MOST = 256
"""How many an engine keeps."""

_Compiled = TypeVar("_Compiled")


class Kept(Generic[_Compiled]):
    """The compiled functions that were called last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._compiled: OrderedDict[Hashable, _Compiled] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _Compiled]) -> _Compiled:
        """Return what was compiled for ``key``, or is now; the one called longest ago goes."""
        compiled = self._compiled.pop(key, None) or make()
        self._compiled[key] = compiled
        if len(self._compiled) > self._most:
            self._compiled.popitem(last=False)
        return compiled


class Forgetting:
    """Clears the caches of an engine that has no bound for them, after ``most`` new calls."""

    def __init__(self, most: int = MOST // 2) -> None:
        self._most = most
        self._seen: set[Hashable] = set()

    def __call__(self, call: Hashable, clear: Callable[[], None]) -> None:
        """Note a ``call`` by what the engine compiles for; ``clear`` first where it is too many."""
        if call not in self._seen and len(self._seen) >= self._most:
            self._seen.clear()
            clear()
        self._seen.add(call)
