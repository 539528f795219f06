"""How long a process had to wait for a core: that time says nothing about its call.

Linux counts it for each thread; where a system does not say it, none is known of.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def waits(pid: int) -> dict[str, float]:
    """Return the seconds for which each thread could have run, and had no core.

    They are the threads of a process and of all its descendants, by their folders in ``/proc``.
    """
    found: dict[str, float] = {}
    processes = [pid]
    for process in processes:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                found |= waits_of(process, int(thread))
                children = Path(f"/proc/{process}/task/{thread}/children").read_text()
                processes += map(int, children.split())
    return found


def waits_of(pid: int, thread: int) -> dict[str, float]:
    """Return the same of one thread of a process; of none that is gone."""
    folder = f"/proc/{pid}/task/{thread}"
    try:
        with open(f"{folder}/schedstat") as file:
            return {folder: 1e-9 * int(file.read().split()[1])}
    except (OSError, IndexError):
        return {}


def longest(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Return how long any one thread has waited in between, those that are new among them."""
    return max((seconds - before.get(name, 0.0) for name, seconds in now.items()), default=0.0)
