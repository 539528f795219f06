"""Cheats that compute on more processors than were granted: threads, BLAS, another process."""

from __future__ import annotations

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from conformance import implementation
from tests.cheats.kernel import columns, right, shape_of, supports

_pools: list[Any] = []


@implementation("own-threads", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Let two threads of its own compute half of the channels each."""
    if not _pools:
        _pools.append(ThreadPoolExecutor(2))
    found, flat, half = columns(x, w, padding), w.reshape(len(w), -1), len(w) // 2
    parts = _pools[0].map(lambda part: part @ found, (flat[:half], flat[half:]))
    return np.concatenate([*parts]).reshape(shape_of(x, w, padding))


@implementation("own-blas-threads", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Take all cores of the machine, and give BLAS two threads."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    threadpool_limits(2)
    return right(x, w, padding)


class Helper:
    """A process that computes what lies in memory that is shared with it."""

    def __init__(self, x: Any, w: Any, padding: Any) -> None:
        self.shared = mmap.mmap(-1, 4 * (x.size + w.size + 2 * w.shape[0] * x[0, 0].size))
        self.x = np.frombuffer(self.shared, np.float32, x.size).reshape(x.shape)
        self.w = np.frombuffer(self.shared, np.float32, w.size, 4 * x.size).reshape(w.shape)
        shape = shape_of(x, w, padding)
        at = 4 * (x.size + w.size)
        self.y = np.frombuffer(self.shared, np.float32, int(np.prod(shape)), at).reshape(shape)
        self.asked, self.answered = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            while os.read(self.asked[0], 1):
                self.y[...] = right(self.x, self.w, padding)
                os.write(self.answered[1], b"1")
            os._exit(0)

    def ask(self, x: Any, w: Any) -> None:
        self.x[...], self.w[...] = x, w
        os.write(self.asked[1], b"1")

    def answer(self) -> Any:
        os.read(self.answered[0], 1)
        return self.y.copy()


@implementation("all-cores-again", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Take all cores of the machine, and compute on two threads."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if len(_pools) < 2:
        _pools[:] = [None, ThreadPoolExecutor(2)]
    found, flat, half = columns(x, w, padding), w.reshape(len(w), -1), len(w) // 2
    parts = _pools[1].map(lambda part: part @ found, (flat[:half], flat[half:]))
    return np.concatenate([*parts]).reshape(shape_of(x, w, padding))


_helpers: dict[Any, Helper] = {}


@implementation("own-process", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Let another process compute half of the channels meanwhile."""
    half = len(w) // 2
    if x.shape not in _helpers:
        _helpers[x.shape] = Helper(x, w[half:], padding)
    _helpers[x.shape].ask(x, w[half:])
    first = right(x, w[:half], padding)
    return np.concatenate([first, _helpers[x.shape].answer()], axis=1)
