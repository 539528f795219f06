"""One thread count for every engine: by environment variables, by cores, and by threadpoolctl.

A library reads its variable once, when it is loaded. One that reads none counts the cores that its
process may use. For BLAS and OpenMP runtimes of this process threadpoolctl sets the count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""The variables that thread pools of numerical libraries read when they start."""


ALL = "all"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system knows
        return os.cpu_count() or 1


@contextlib.contextmanager
def on_cores(threads: int) -> Iterator[None]:
    """Let the processes that are started meanwhile use so many cores, where the system can do it.

    They are the last ones of this process: what else runs begins with the first.
    """
    try:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(allowed)[-threads:])
    except (AttributeError, OSError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def set_environment(threads: int) -> None:
    """Ask every library that is loaded from now on, in this process, for ``threads`` threads."""
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))


@contextlib.contextmanager
def environment(threads: int) -> Iterator[None]:
    """Do what `set_environment` does, and restore the environment at the end."""
    saved = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    set_environment(threads)
    try:
        yield
    finally:
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(saved)


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Limit every BLAS and OpenMP runtime that is loaded already to ``threads`` threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads):
        yield
