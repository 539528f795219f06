"""Entry points: the modules by which installed distributions register their implementations."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, EntryPoint

GROUP = "conformance.implementations"


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of every distribution, looked up once: that takes milliseconds."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


def modules() -> frozenset[str]:
    """Return the names of the modules that entry points load."""
    return frozenset(entry.module for entry in installed())


def version_of(module: str) -> str:
    """Return the version of the distribution that registers ``module``, "" where none does."""
    distribution = _distribution_of(module)
    return "" if distribution is None else distribution.version


def requirements(module: str, extra: str | None) -> dict[str, str]:
    """Return what ``extra`` of the distribution that registers ``module`` installs on this system.

    It is what to tell pip, without versions, by name in small letters: ``{"mlx": "mlx[cpu]"}``.
    """
    return {found[1].lower(): found[1] + found[2] for found in _lines_of(module, extra)}


def oldest(module: str, extra: str | None) -> dict[str, str]:
    """Return the oldest release of each package that ``extra`` allows, by name in small letters."""
    lines = _lines_of(module, extra)
    return {found[1].lower(): found[3] for found in lines if found[3] is not None}


def _lines_of(module: str, extra: str | None) -> Iterator[re.Match[str]]:
    distribution = _distribution_of(module)
    for line in (distribution.requires if distribution is not None and extra else None) or ():
        requirement, _, marker = line.partition(";")
        conditions = dict(_CONDITION.findall(marker))
        here = conditions.get("sys_platform", sys.platform) == sys.platform
        found = _REQUIREMENT.match(requirement)
        if found and here and conditions.get("extra") == extra:
            yield found


def _distribution_of(module: str) -> Distribution | None:
    """Return the one whose entry point loads the module, else another module of its package."""
    package = module.partition(".")[0]
    exact = (entry for entry in installed() if entry.module == module)
    near = (entry for entry in installed() if entry.module.partition(".")[0] == package)
    entry = next(exact, None) or next(near, None)
    return None if entry is None else entry.dist


_REQUIREMENT = re.compile(r"([\w.-]+)((?:\[[^]]*])?)(?:\s*\(?>=\s*([\d.]+))?")
_CONDITION = re.compile(r"(extra|sys_platform) == [\"']([^\"']+)[\"']")
