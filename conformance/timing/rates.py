"""What the machine is able to do, measured: the rate of matrix products, and of copying memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

_SIZES = (256, 512, 1024)
"""The orders of the matrices: of small ones a product ends before other processes have a turn."""

_LEAST = 5
"""Repetitions, however long they take: others may have the processor in some of them."""


def matmul_gflops(dtype: str, size: int = 0, seconds: float = 0.2) -> float:
    """Return the rate of NumPy's product of two square matrices, in 10**9 operations a second.

    A product has 2 * size**3 operations. The fastest product within ``seconds`` decides, of several
    sizes where none is given.
    """
    sizes = (size,) if size else _SIZES
    rates = []
    for order in sizes:
        a = np.ones((order, order), dtype)
        rates.append(2e-9 * order**3 / _fastest(partial(np.matmul, a, a), seconds / len(sizes)))
    return max(rates)


def copy_bandwidth(nbytes: int, seconds: float = 0.02) -> float:
    """Return the bytes a second, read and written, of copying within ``nbytes`` of memory.

    The fastest copy within ``seconds`` decides. Memory that fits into a cache is copied there.
    """
    half = max(4096, nbytes // 2)
    source, target = np.ones(half, np.uint8), np.empty(half, np.uint8)
    return 2 * half / _fastest(partial(np.copyto, target, source), seconds)


def _fastest(work: Callable[[], object], seconds: float) -> float:
    fastest, until = np.inf, perf_counter() + seconds
    for number in itertools.count(1):
        started = perf_counter()
        work()
        ended = perf_counter()
        fastest = min(fastest, ended - started)
        if ended > until and number >= _LEAST:
            break
    return float(fastest)
