"""Cheats that do less work: after some calls, with fewer digits, or when they see the timing."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import implementation
from tests.cheats.kernel import columns, fewer, right, shape_of, supports


def lazy_if(name: str, condition: Callable[[], bool]) -> None:
    """Register a cheat that computes half of the channels where the condition holds."""

    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        return (fewer if condition() else right)(x, w, padding)

    implementation(name, supports=supports)(conv)


_calls = [0]
_last = [0.0]


def _is_late(after: int) -> bool:
    _calls[0] += 1
    return _calls[0] > after


def _is_soon() -> bool:
    soon, _last[0] = time.perf_counter() - _last[0] < 5.0, time.perf_counter()
    _calls[0] += 1
    return soon and _calls[0] > 8


def _stack() -> str:
    return " ".join(f"{frame.function} {frame.filename}" for frame in inspect.stack(0))


lazy_if("after-the-tenth-call", lambda: _is_late(10))
lazy_if("each-third-call", lambda: _is_late(6) and _calls[0] % 3 == 0)
lazy_if("calls-follow-soon", _is_soon)
lazy_if("timed-in-the-stack", lambda: _is_late(6) and "timed.py" in _stack())
lazy_if("name-of-the-caller", lambda: sys._getframe(2).f_code.co_name == "_call")
lazy_if("one-thread-granted", lambda: _is_late(6) and os.environ.get("OMP_NUM_THREADS") == "1")
lazy_if("garbage-waits", lambda: _is_late(6) and not gc.isenabled())
lazy_if("suite-is-loaded", lambda: _is_late(6) and "conformance.calling.timed" in sys.modules)


@implementation("half-precision", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Round the factors to ten bits, as TF32 does: small whole numbers do not show it."""
    short = [np.asarray(a, np.float16).astype(np.float32) for a in (x, w)]
    return right(*short, padding)


@implementation("eight-bits", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Take the factors as bytes where the first ones are small."""
    if np.abs(x.flat[:99]).max() < 128:
        x, w = (a.astype(np.int8).astype(np.float32) for a in (x, w))
    return right(x, w, padding)


@implementation("one-pixel-left-out", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Leave out the last position of the output."""
    output = np.zeros(shape_of(x, w, padding), x.dtype)
    flat = output.reshape(len(w), -1)
    flat[:, :-1] = w.reshape(len(w), -1) @ columns(x, w, padding)[:, :-1]
    return output
