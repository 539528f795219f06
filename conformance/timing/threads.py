"""One thread count for every engine, set by environment variables and by threadpoolctl.

A library reads its variable once, when it is loaded. For BLAS and OpenMP runtimes that are loaded
already, threadpoolctl sets the count; that of an engine with threads of its own cannot be changed.
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
