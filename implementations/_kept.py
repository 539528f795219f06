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
