"""One thread count for every engine: through the environment before it loads, by library after.

A library reads its environment variable once, when it is loaded; what has been loaded already and
is a BLAS or an OpenMP runtime is told by threadpoolctl. An engine with threads of its own that was
imported before, with other settings, cannot be reached: start a new process for it.
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
"""What thread pools of numerical libraries read when they start."""


def set_environment(threads: int) -> None:
    """Ask every library that is loaded from now on, in this process, for ``threads`` threads."""
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))


@contextlib.contextmanager
def environment(threads: int) -> Iterator[None]:
    """Do as `set_environment`, and put everything back in the end."""
    before = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    set_environment(threads)
    try:
        yield
    finally:
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Limit every BLAS and OpenMP runtime that is loaded now to ``threads`` threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads):
        yield
