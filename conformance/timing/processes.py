"""What the system says of a process and of all that it has started, which these cannot change.

Where the system does not say it, as other than Linux does not, it is None.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from conformance.calling import starving

KNOWN = sys.platform == "linux"
"""Whether the system says what is asked here."""


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time of all threads of a process, with a resolution of nanoseconds."""
    if not KNOWN:
        return None
    try:
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of another process
    except OSError:  # it has ended
        return None


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:
        for listed in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, listed.read_text().split())
    return found


def cores(thread: int) -> set[int]:
    """Return the cores that a thread may use; none where the system does not say."""
    try:
        return os.sched_getaffinity(thread)
    except (AttributeError, OSError):
        return set()


def all_cores(pid: int) -> set[int]:
    """Return the cores that any thread of a process or its descendants may use."""
    found: set[int] = set()
    for process in family(pid):
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                found |= cores(int(thread))
    return found


def waited(pid: int) -> float:
    """Return the seconds for which a process' first thread could have run, and had no processor."""
    return sum(starving.waits_of(pid, pid).values())


def resident(pid: int) -> int | None:
    """Return the bytes of memory that a process holds, and begin to look for its peak."""
    try:
        with open(f"/proc/{pid}/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return None
    return _status(pid, "VmRSS")


def peak(pid: int) -> int | None:
    """Return the most bytes of memory that a process has held since `resident` was asked."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None


class Spent:
    """The processor time of a process and its descendants, those between two looks at it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._before: dict[int, float] = {}
        self.begun = False

    def begin(self) -> None:
        """Note what each process has used so far."""
        self.begun = True
        self._before = self._now([*self._before] or family(self.pid))

    def end(self) -> float | None:
        """Return the seconds used since `begin`, by processes that were started since as well."""
        self.begun = False
        if not KNOWN:
            return None
        soon = self._now(self._before)  # before all else: threads that spin go on
        later = self._now(set(family(self.pid)) - set(self._before))
        used = sum(now - self._before[pid] for pid, now in soon.items())
        self._before |= later
        return used + sum(later.values())

    @staticmethod
    def _now(pids: Iterable[int]) -> dict[int, float]:
        return {pid: used for pid in pids if (used := cpu_seconds(pid)) is not None}


def load() -> float | None:
    """Return how many processes want to run, of the last minute's mean; None if it is not known."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
