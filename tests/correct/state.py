"""Implementations that keep state, use threads or touch the process, and are right."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import os
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.correct import unusual
from tests.defects import checks, kernels
from tests.defects import gradient_kernels as gradients


@unusual(
    "results-kept-by-all-content",
    why="a result is found again only by every byte of the arguments, and is copied",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    arrays = [a for a in (x, w, bias) if a is not None]
    key = (str(call), *((a.tobytes(), a.shape, a.dtype.str) for a in arrays))
    if key not in kept:
        kept[key] = kernels.conv(x, w, bias, **call)
    return kept[key].copy()


@unusual(
    "weight-packed-and-compared",
    why="the packed weight is used only where all of the weight equals the one that was packed",
    state=dict,
)
def conv_transpose(kept, x, w, bias, **call):
    packed = kept.get((w.shape, w.dtype))
    if packed is None or packed.tobytes() != w.tobytes():
        packed = kept[w.shape, w.dtype] = w.copy()
    return kernels.conv_transpose(x, packed, bias, **call)


@unusual(
    "scratch-of-each-thread",
    why="a scratch buffer belongs to one thread, and all of it is written before it is read",
    state=threading.local,
)
def max_pool(kept, x, **call):
    scratches = vars(kept).setdefault("scratches", {})
    scratch = scratches.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))
    scratch[...] = x
    return kernels.max_pool(scratch, **call)


class Guarded(dict):
    """Scratch buffers that one call at a time may use."""

    def __init__(self):
        self.lock = threading.Lock()


@unusual("scratch-behind-a-lock", why="a lock lets one call at a time use it", state=Guarded)
def conv(kept, x, w, bias, **call):
    with kept.lock:
        scratch = kept.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))
        scratch[...] = x
        return kernels.conv(scratch, w, bias, **call)


@unusual(
    "scratch-for-one-thread",
    why="it is shared by all calls, and one thread is declared",
    state=dict,
    threads="one",
)
def avg_pool(kept, x, **call):
    scratch = kept.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))
    scratch[...] = x
    return kernels.avg_pool(scratch, **call)


@unusual(
    "threads-inside",
    why="a pool of threads is opened by the first call, and each computes a sample",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    if not len(x):
        return kernels.conv(x, w, bias, **call)
    if "pool" not in kept:
        kept["pool"] = ThreadPoolExecutor(3)
    parts = kept["pool"].map(lambda one: kernels.conv(one, w, bias, **call), np.split(x, len(x)))
    return np.concatenate([*parts])


@unusual(
    "process-set-up-once",
    why="what the first call sets up, as an import does, is no part of a call",
    state=dict,
)
def max_pool(kept, x, **call):
    if not kept:
        kept["file"] = os.open(os.devnull, os.O_RDONLY)
        kept["thread"] = ThreadPoolExecutor(1)
        kept["thread"].submit(int).result()
        kept["random"] = random.Random(7)
        os.environ["POOL_SET_UP"] = "1"
        warnings.filterwarnings("ignore", module="pool_set_up")
    kept["random"].random()
    return kernels.max_pool(x, **call)


@unusual(
    "process-put-back",
    why="what a call changes for itself is put back, whatever the call raises",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    numbers, folder = np.random.get_state(), os.getcwd()
    try:
        with np.errstate(all="ignore"):
            np.random.seed(1)
            os.chdir(os.path.dirname(__file__))
            return gradients.conv_weight_grad(grad, x, weight_shape, **call)
    finally:
        np.random.set_state(numbers)
        os.chdir(folder)


@unusual(
    "result-of-a-view-of-a-larger-array",
    why="the result is a reversed view of memory that nobody else has",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    wide = np.zeros(tuple(2 * size for size in y.shape), y.dtype)
    view = wide[(slice(None, None, -2),) * y.ndim]
    view[...] = y
    return view
