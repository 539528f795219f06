"""The state of the process, which a call must leave as it found it.

A call that turns floating-point errors into exceptions, seeds a random generator or changes the
current folder returns the right array, and harms whoever computes next. Each part of the state is
read before and after calls. What is only set up when it is first used is no fault: so a part that
changed is put back, and the same call must change it again, twice. What is counted and cannot be
put back, such as open files, must grow with every further call.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

_AGAIN = 2
"""How often a call must change a part again, after that was put back."""
_ROUNDS, _CALLS = 4, 12
"""A number grows with every call if it is larger after each round of so many further calls. They
are more calls than a pool of threads has threads, which starts them one by one."""
_SETTLING = 0.3
"""Seconds that threads are given to end, and their files to be closed, before they are accused."""


class Part(NamedTuple):
    """A part of the state."""

    name: str
    shown_by: str
    """An expression that shows it, for scripts."""
    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None = None
    """Makes it what ``read`` returned before; None for a number that can only be read."""
    lasting: bool = False
    """Whether calls may need it as some earlier call has set it up."""


def _float_arithmetic() -> tuple[float, ...]:
    """Return what rounding to nearest, and subnormal numbers, decide.

    The latter are scaled up: where they are taken for zeros, so they are by a comparison.
    """
    subnormal = _SMALLEST_NORMAL * _HALF * _SCALE, _SMALLEST * _SCALE
    return _ONE / _THREE, (_ONE + _ONE) / _THREE, *subnormal


_ONE, _HALF, _THREE, _SCALE = 1.0, 0.5, 3.0, 2.0**200
_SMALLEST_NORMAL, _SMALLEST = sys.float_info.min, 5e-324


def _default_arithmetic(_: Any) -> None:
    library = ctypes.CDLL(None)
    if sys.platform == "darwin":
        default: Any = ctypes.byref(ctypes.c_char.in_dll(library, "_FE_DFL_ENV"))
    else:
        default = ctypes.c_void_p(-1)  # FE_DFL_ENV of glibc and musl
    library.fesetenv(default)


def _put_back_filters(filters: Any) -> None:
    warnings.simplefilter("ignore")  # tells the module that its list is another one
    warnings.filters[:] = filters  # type: ignore[index]  # documented as a list


_ENVIRONMENT: dict[Any, Any] = vars(os.environ)["_data"]
"""The environment as the system gave it: to decode it takes long."""


def _environment() -> dict[Any, Any]:
    return dict(_ENVIRONMENT)


def _put_back_environment(before: dict[Any, Any]) -> None:
    now = _environment()
    for key in now.keys() - before.keys():
        del os.environ[os.fsdecode(key)]
    for key, value in before.items():
        if now.get(key) != value:
            os.environ[os.fsdecode(key)] = os.fsdecode(value)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _numpy_random() -> Any:
    state = np.random.get_state()
    if isinstance(state, dict):  # of another generator, which somebody has put there
        return repr(state)
    name, keys, *rest = state
    return (name, keys.tobytes(), *rest)


def _put_back_numpy_random(state: Any) -> None:
    name, keys, *rest = state
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in _SIGNALS]


_SIGNALS = sorted(signal.valid_signals())


def _put_back_handlers(handlers: list[Any]) -> None:
    for number, now, before in zip(_SIGNALS, _handlers(), handlers, strict=True):
        if now is not before and before is not None:
            signal.signal(number, before)


def _collecting() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold()


def _put_back_collecting(state: tuple[Any, ...]) -> None:
    collecting, thresholds = state
    (gc.enable if collecting else gc.disable)()
    gc.set_threshold(*thresholds)


def _interpreter() -> tuple[Any, ...]:
    limits = sys.getrecursionlimit(), sys.getswitchinterval()
    return (*limits, [*sys.path], sys.excepthook)


def _put_back_interpreter(state: tuple[Any, ...]) -> None:
    depth, interval, path, sys.excepthook = state
    sys.setrecursionlimit(depth)
    sys.setswitchinterval(interval)
    sys.path[:] = path


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr


def _put_back_streams(streams: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = streams


def _logging() -> tuple[Any, ...]:
    return logging.root.level, [*logging.root.handlers], logging.root.manager.disable


def _put_back_logging(state: tuple[Any, ...]) -> None:
    logging.root.level, logging.root.handlers[:], logging.root.manager.disable = state


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def _entries(folder: str) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0


def _threads() -> int:
    return _entries("/proc/self/task") or threading.active_count()


QUICK = (
    Part(
        "NumPy's error state",
        "np.geterr()",
        np.geterr,
        lambda state: np.seterr(**state),
    ),
    Part(
        "the rounding mode or the subnormal numbers of the CPU",
        "[1.0 / n for n in (3.0, 1.5)], [x * 1e200 for x in (1e-310,)]",
        _float_arithmetic,
        _default_arithmetic,
    ),
    Part(
        "the filters of warnings",
        "warnings.filters",
        lambda: [*warnings.filters],
        _put_back_filters,
    ),
    Part(
        "the environment variables",
        "dict(os.environ)",
        _environment,
        _put_back_environment,
    ),
    Part("the current folder", "os.getcwd()", _folder, os.chdir),
)
"""What is looked at after every call: all of it takes a few microseconds."""

SLOW = (
    Part("NumPy's error callback", "np.geterrcall()", np.geterrcall, np.seterrcall),
    Part(
        "NumPy's print options",
        "np.get_printoptions()",
        np.get_printoptions,
        lambda options: np.set_printoptions(**options),
    ),
    Part("the state of random", "hash(random.getstate())", random.getstate, random.setstate),
    Part(
        "the state of np.random",
        "np.random.get_state()[1][:3], np.random.get_state()[2]",
        _numpy_random,
        _put_back_numpy_random,
    ),
    Part(
        "the locale",
        "locale.setlocale(locale.LC_ALL)",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
    Part(
        "the signal handlers",
        "[signal.getsignal(n) for n in signal.valid_signals()]",
        _handlers,
        _put_back_handlers,
        lasting=True,
    ),
    Part(
        "garbage collection",
        "gc.isenabled(), gc.get_threshold()",
        _collecting,
        _put_back_collecting,
    ),
    Part(
        "the limits or the path of the interpreter",
        "sys.getrecursionlimit(), sys.getswitchinterval(), sys.path",
        _interpreter,
        _put_back_interpreter,
        lasting=True,
    ),
    Part("the streams of sys", "(sys.stdin, sys.stdout, sys.stderr)", _streams, _put_back_streams),
    Part(
        "the root logger",
        "logging.root.level, logging.root.handlers",
        _logging,
        _put_back_logging,
        lasting=True,
    ),
    Part("the mask of new files", "os.umask(0o22)", _umask, os.umask),
    *(
        (
            Part(
                "the CPUs that the process may use",
                "os.sched_getaffinity(0)",
                lambda: os.sched_getaffinity(0),
                lambda cpus: os.sched_setaffinity(0, cpus),
                lasting=True,
            ),
        )
        if hasattr(os, "sched_getaffinity")
        else ()
    ),
    Part("the number of open files", "len(os.listdir('/dev/fd'))", lambda: _entries("/dev/fd")),
    Part("the number of threads", "threading.active_count()", _threads),
)
"""What is looked at before and after some series of calls."""


def part(name: str) -> Part | None:
    """Return the part of this name, None if there is none."""
    return next((part for part in (*QUICK, *SLOW) if part.name == name), None)


def read(parts: Sequence[Part]) -> list[Any]:
    """Return what the parts are now."""
    return [part.read() for part in parts]


def quiet() -> np.errstate:
    """Return a context in which NumPy says nothing of special values, handed over on purpose.

    It is none of the states that a call is likely to set: one that is left ignored is noticed.
    """
    return np.errstate(all="call", call=_ignored)


def _ignored(error: str, flag: int) -> None:
    """Do nothing about a floating-point error."""


def look() -> None:
    """Note what the quick parts are before calls are made; between these nobody changes them."""
    with quiet():
        _quick[:] = read(QUICK)


def look_at_all() -> None:
    """Note what all parts are before the first call of an implementation in this process."""
    look()
    _slow[:] = read(SLOW)


def left_quickly(again: Callable[[], object]) -> tuple[str, ...]:
    """Return the names of the quick parts that a call has changed since the last `look` or call.

    It is made ``again`` only if it has changed any.
    """
    if not _quick:
        return ()
    errors, arithmetic, filters, environment, folder = _quick
    if (  # written out: every call passes here
        np.geterr() == errors
        and _float_arithmetic() == arithmetic
        and warnings.filters == filters
        and environment == _ENVIRONMENT
        and _folder() == folder
    ):
        return ()
    names = left(QUICK, _quick, again)
    _quick[:] = read(QUICK)
    return names


def slow_changes(counts: Sequence[Any]) -> list[tuple[Part, Any]]:
    """Return the slow parts that have changed since they were last looked at, and what they were.

    Numbers that can only be read are compared with the given ``counts`` of them.
    """
    now = read(SLOW)
    before = [*(_slow or now)[: -len(counts)], *counts]
    _slow[:] = now
    return [(SLOW[i], old) for i, old in enumerate(before) if old != now[i]]


def counts() -> list[Any]:
    """Return the numbers that can only be read, with which `SLOW` ends."""
    return [part.read() for part in SLOW if part.put_back is None]


_quick: list[Any] = []
"""What the quick parts were when they were last looked at, in `quiet`."""
_slow: list[Any] = []
"""What the slow parts were when they were last looked at."""


def put_back(parts: Sequence[Part], values: Sequence[Any]) -> None:
    """Make the parts what they were, as far as that is possible."""
    for part, value in zip(parts, values, strict=True):
        _is_put_back(part, value)


def left(parts: Sequence[Part], before: list[Any], again: Callable[[], object]) -> tuple[str, ...]:
    """Return the names of the parts that a call has changed, and changes whenever it is made.

    ``before`` is what they were before the call, and ``again`` makes it again. Parts that it
    changes every time are put back; those that it changed once stay as they are.
    """
    after = read(parts)
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    if not changed:
        return ()
    still = [i for i in changed if _is_put_back(parts[i], before[i])]
    for _ in range(_AGAIN if still else 0):
        again()
        still = [i for i in still if parts[i].read() != before[i]]
        put_back([parts[i] for i in changed], [before[i] for i in changed])
    once = [i for i in changed if i not in still]
    put_back([parts[i] for i in once], [after[i] for i in once])
    grown = [
        i
        for i in changed
        if parts[i].put_back is None and after[i] > before[i] and _grows(parts[i], again)
    ]
    return tuple(parts[i].name for i in sorted((*still, *grown)))


def _is_put_back(part: Part, value: Any) -> bool:
    """Make a part what it was, and return whether it is."""
    if part.put_back is None:
        return False
    with contextlib.suppress(Exception):  # whatever a broken state raises
        if part.read() != value:
            part.put_back(value)
        return bool(part.read() == value)
    return False


def _grows(part: Part, again: Callable[[], object]) -> bool:
    """Whether a number grows with every few calls."""
    first = part.read()
    for _ in range(_ROUNDS):
        begun = part.read()
        for _ in range(_CALLS):
            again()
        gc.collect()
        if part.read() <= begun:
            return False
    time.sleep(_SETTLING)
    return bool(part.read() >= first + _ROUNDS)
