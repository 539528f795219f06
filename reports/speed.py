"""Which timings of two runs differ in speed, by a rule that noise does not meet.

A timing has changed if both hold: the medians differ by a factor of at least `FACTOR`, and a rank
test (`conformance.reports.ranks`) of the seconds of all calls says that such a difference is chance
in less than one in a hundred comparisons like this one, of all its timings together. On another
processor, or with other numbers of cores or threads, no speed is compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.reports.order import natural
from conformance.reports.ranks import chance
from conformance.reports.text import plural
from conformance.runfile.tables import Timing

FACTOR = 1.5
"""What a speed must change by, at least, if nothing else is asked for."""
CHANCE = 0.01
"""How likely a comparison may be to call a speed changed that is not."""
_LEAST_CALLS = 5
"""With fewer calls the medians say little."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The time of one layer on both sides."""

    implementation: str
    layer: str
    old: float
    """The median, in seconds."""
    new: float
    chance: float
    """How likely equal speeds differ as much in rank."""

    @property
    def factor(self) -> float:
        """The new time over the old one: 2 is twice as slow."""
        return self.new / self.old


@dataclass(frozen=True, slots=True)
class Speeds:
    """The timings that changed."""

    slower: tuple[Speed, ...] = ()
    faster: tuple[Speed, ...] = ()
    compared: int = 0
    """How many timings both have, with the seconds of their calls."""
    factor: float = FACTOR
    note: str = ""
    """Why speeds are not compared, or nothing."""

    @property
    def rule(self) -> str:
        """What was asked of a timing that is called slower or faster."""
        return (
            f"A speed counts as changed if the medians differ by a factor of {self.factor:g} or "
            f"more, and a rank test (Mann-Whitney) calls that chance in less than {CHANCE:.0%} of "
            f"comparisons, of {plural(self.compared, 'timing')} together."
        )


def speeds(old: Report, new: Report, pairs: Sequence[tuple[str, str]], factor: float) -> Speeds:
    """Return the timings that changed, those that changed most first."""
    if not old.timings or not new.timings:
        return Speeds(factor=factor)
    if (differs := _elsewhere(old, new)) is not None:
        return Speeds(factor=factor, note=f"speeds are not compared: {differs} differs")
    timed = list(_both(old, new, pairs))
    if not timed:
        text = "speeds are not compared: no timing has enough calls in both, one by one"
        return Speeds(factor=factor, note=text)
    likely = [
        Speed(before.implementation, before.layer, before.median, now.median, chance(a, b))
        for before, now, a, b in timed
        if before.median and now.median
    ]
    changed = [s for s in likely if s.chance < CHANCE / len(timed)]
    changed.sort(key=lambda s: (-abs(math.log(s.factor)), natural(s.layer)))
    return Speeds(
        slower=tuple(s for s in changed if s.factor >= factor),
        faster=tuple(s for s in changed if 1 / s.factor >= factor),
        compared=len(timed),
        factor=factor,
    )


def _elsewhere(old: Report, new: Report) -> str | None:
    """Return what differs of the machines so that times cannot be compared, or None."""
    machines = [r.facts.get("machine") for r in (old, new)]
    parts = [m if isinstance(m, dict) else {} for m in machines]
    for name in ("cpu", "cores"):
        if parts[0].get(name) != parts[1].get(name):
            return f"the machine's {name}"
    if old.facts.get("threads") != new.facts.get("threads"):
        return "the number of threads"
    return None


def _both(
    old: Report, new: Report, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[Timing, Timing, list[float], list[float]]]:
    """Yield the timings that both have, the new one under its name, with the seconds of calls."""
    before = {(t.implementation, t.layer): t for t in old.timings}
    for old_name, name in pairs:
        for timing in new.timings:
            other = before.get((old_name, timing.layer))
            if timing.implementation != name or other is None:
                continue
            if (other.case, other.threads) != (timing.case, timing.threads):
                continue
            if not (other.is_believed and timing.is_believed):
                continue
            samples = _seconds(other), _seconds(timing)
            if min(map(len, samples)) >= _LEAST_CALLS:
                yield other, timing, *samples


def _seconds(timing: Timing) -> list[float]:
    """Return the seconds of each call; none for a file without them."""
    try:
        found = [float(value) for value in json.loads(timing.samples or "[]")]
    except (ValueError, TypeError):
        return []
    return [value for value in found if 0 < value < math.inf]
