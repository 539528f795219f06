"""Helpers of the benchmarks: interleaved rounds, medians with quartiles, and Markdown tables."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from hypothesis import HealthCheck, Phase, settings
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from conformance.timing import threads

Work = Callable[[int], float]
"""A function that takes the number of the round, does the work, and returns a value to compare."""


def interleaved(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Do every work once a round, in random order; return what each returned, round by round."""
    results: dict[str, list[float]] = {name: [] for name in works}
    order = random.Random(0)
    for number in range(rounds):
        for name in order.sample(list(works), len(works)):
            results[name].append(works[name](number))
    return results


def seconds_of(command: Sequence[str], *, expect: int = 0, **environment: str) -> float:
    """Run a command without showing its output; return its wall time in seconds.

    Raises RuntimeError, with what it printed, where its exit status is not ``expect``.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    seconds = time.perf_counter() - started
    if done.returncode != expect:
        raise RuntimeError(f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return seconds


def summary(values: Sequence[float], digits: int) -> str:
    """Return the median, and the quartiles that it lies between: ``3.1 (2.9 to 3.4)``."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Return the ratio of each round, in which a slowdown of both cancels."""
    return [value / base for value, base in zip(values, baseline, strict=True)]


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table with numbers aligned to the right."""
    align = ["left", *["right"] * (len(header) - 1)]
    table = tabulate(rows, header, tablefmt="github", colalign=align, disable_numparse=True)
    print(f"\n### {title}\n\n{table}\n", flush=True)


def drawing(examples: int) -> settings:
    """Return the settings of a Hypothesis test that draws so many examples, and does no more."""
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def show_progress(text: str) -> None:
    """Show ``text`` on a terminal, in place of the text that was shown before."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def use_one_core() -> None:
    """Confine this process to one thread on one core; call it before a backend is imported."""
    threads.set_environment(1)
    threadpool_limits(1)  # the libraries that NumPy has loaded already
    with contextlib.suppress(AttributeError, OSError):  # not every system can do it
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
