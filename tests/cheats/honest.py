"""Honest implementations that keep something, warm up, or use what was granted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from conformance import implementation
from tests.cheats.kernel import columns, right, shape_of, supports


@implementation("plain", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep nothing."""
    return right(x, w, padding)


_plans: dict[Any, Any] = {}


@implementation("plan-for-each-signature", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep the indices of the windows of each shape."""
    key = x.shape, w.shape, padding
    if key not in _plans:
        padded = [size + sum(pad) for size, pad in zip(x.shape[2:], padding, strict=True)]
        at = np.arange(x.shape[1] * padded[0] * padded[1]).reshape(1, x.shape[1], *padded)
        _plans[key] = columns(at, w, ((0, 0), (0, 0)))
    padded = np.pad(x[0], ((0, 0), *padding)).ravel()
    product = w.reshape(len(w), -1) @ padded[_plans[key]]
    return product.reshape(shape_of(x, w, padding))


_buffers: dict[Any, Any] = {}


@implementation("buffer-kept", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep the memory of the matrix of windows."""
    found = columns(x, w, padding)
    buffer = _buffers.setdefault(found.shape, np.empty_like(found))
    buffer[...] = found
    return (w.reshape(len(w), -1) @ buffer).reshape(shape_of(x, w, padding))


_transforms: dict[Any, Any] = {}


@implementation("weights-transformed-once", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep the transposed weights, as long as they are equal in every byte."""
    key = w.tobytes()
    if key not in _transforms:
        _transforms.clear()
        _transforms[key] = np.ascontiguousarray(w.reshape(len(w), -1).T)
    return (_transforms[key].T @ columns(x, w, padding)).reshape(shape_of(x, w, padding))


_pools: list[Any] = []


@implementation("the-thread-that-is-granted", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Let one thread of its own compute, and wait for it."""
    if not _pools:
        _pools.append(ThreadPoolExecutor(1))
    return _pools[0].submit(right, x, w, padding).result()


_compiled: set[Any] = set()


@implementation("compiles-at-first", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Take long for the first call of a shape."""
    if x.shape not in _compiled:
        _compiled.add(x.shape)
        time.sleep(0.02)
    return right(x, w, padding)


@implementation("transposed-result", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return a view whose channels lie last in memory."""
    product = columns(x, w, padding).T @ w.reshape(len(w), -1).T
    return np.ascontiguousarray(product).T.reshape(shape_of(x, w, padding))


class Node:
    """A node of a graph that refers to its end."""

    def __init__(self) -> None:
        self.end = self


@implementation("leaves-small-cycles", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Build a graph of a few objects in each call."""
    nodes = [Node() for _ in range(5)]
    return right(x, w, padding) if nodes else None


@implementation("by-blocks", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Compute block by block of the channels into one result."""
    found, output = columns(x, w, padding), np.empty(shape_of(x, w, padding), x.dtype)
    flat = output.reshape(len(w), -1)
    for at in range(0, len(w), 16):
        np.matmul(w[at : at + 16].reshape(-1, len(found)), found, out=flat[at : at + 16])
    return output
