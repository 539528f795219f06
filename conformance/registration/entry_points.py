"""Entry points: the modules by which installed distributions register their implementations."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from importlib.metadata import EntryPoint

GROUP = "conformance.implementations"


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of every distribution, looked up once: that takes milliseconds."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


def modules() -> frozenset[str]:
    """Return the names of the modules that entry points load."""
    return frozenset(entry.module for entry in installed())


def version_of(module: str) -> str:
    """Return the version of the distribution that registers ``module``, "" where none does.

    That is the one whose entry point loads the module, else another module of its package.
    """
    package = module.partition(".")[0]
    exact = (entry for entry in installed() if entry.module == module)
    near = (entry for entry in installed() if entry.module.partition(".")[0] == package)
    entry = next(exact, None) or next(near, None)
    return entry.dist.version if entry is not None and entry.dist is not None else ""
