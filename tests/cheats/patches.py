"""Cheats that replace what measures them: clocks, NumPy, and the suite's own functions."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import implementation
from conformance.calling import timed
from tests.cheats.kernel import right, supports

_clock = time.perf_counter


def patching(name: str, patch: Callable[[], None]) -> None:
    """Register a cheat that patches something in its first call."""
    done: list[bool] = []

    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        if not done:
            done.append(True)
            patch()
        return right(x, w, padding)

    implementation(name, supports=supports)(conv)


def _replace_clocks(clock: Callable[[], float]) -> None:
    for module in [*sys.modules.values()]:
        for name in ("perf_counter", "monotonic", "time"):
            if callable(vars(module).get(name)) and getattr(module, name, None) in _CLOCKS:
                setattr(module, name, clock)


_CLOCKS = (time.perf_counter, time.monotonic, time.time)
_begin = _clock()

patching("clock-stands-still", lambda: _replace_clocks(lambda: 0.0))
patching("clock-at-half-speed", lambda: _replace_clocks(lambda: _begin + (_clock() - _begin) / 2))


def _replace_call() -> None:
    def call(function: Any, arguments: Any, parameters: Any) -> Any:
        return 1e-4, function(*arguments, **parameters)

    timed._call = call


patching("suite-says-a-tenth", _replace_call)


def _claim_waiting() -> None:
    waited = iter(range(10**6, 10**9))
    timed.TimedCalls._waited = lambda self: float(next(waited))  # type: ignore[method-assign]


patching("claims-to-have-waited", _claim_waiting)


def _put_garbage_off() -> None:
    gc.collect = lambda *_: 0  # type: ignore[assignment]
    gc.disable()


patching("garbage-is-put-off", _put_garbage_off)


def _hide_sharing() -> None:
    np.may_share_memory = lambda *_: False  # type: ignore[assignment]
    np.array_equal = lambda *_, **__: True  # type: ignore[assignment]


patching("numpy-sees-nothing", _hide_sharing)


def _answer_nonsense() -> None:
    timed.TimedCalls.make = lambda *_: [timed.TimedCall(float("nan"))]  # type: ignore[method-assign]


patching("answers-nonsense", _answer_nonsense)


def _make_no_calls() -> None:
    timed.TimedCalls.make = lambda self, numbers: [  # type: ignore[method-assign]
        timed.TimedCall(1e-3) for _ in numbers
    ]


patching("makes-no-calls", _make_no_calls)
