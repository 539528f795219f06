"""Kernels that do one hostile thing where the stride is above 1, and are right everywhere else."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import implementation
from conformance.implementations.im2col import conv as right


def segfault() -> None:
    ctypes.string_at(0)


def hang_in_c() -> None:
    """Sleep in C with the GIL held and every signal blocked that can be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(1000)


def loop() -> None:
    while True:
        pass


def deadlock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def memory_hog() -> None:
    held = []
    while True:
        held.append(np.ones(1 << 22))


def megabyte() -> None:
    sys.stdout.write("x" * (1 << 20))


def print_in_c() -> None:
    ctypes.CDLL(None).puts(b"from C")


def complain() -> None:
    print("stray", file=sys.stderr)


printed = []


def print_once() -> None:
    if not printed:
        printed.append(True)
        print("welcome to this engine")


def print_for_ever() -> None:
    while True:
        os.write(2, b"x" * (1 << 16))


def close_pipe() -> None:
    os.closerange(3, 1024)


def write_into_pipe() -> None:
    for number in range(3, 1024):
        try:
            os.write(number, b"debug output of a kernel that guesses descriptors\n")
        except OSError:
            continue


def fork() -> None:
    """Fork, and let the child come back as well."""
    os.fork()


def leave_a_child() -> None:
    """Leave a child of a session of its own behind, and crash."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    os.abort()


def kill_parent_group() -> None:
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
    time.sleep(1000)


def interrupt() -> None:
    raise KeyboardInterrupt


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("never pickled")


RESULTS: dict[str, Callable[[], Any]] = {
    "unpicklable": Unpicklable,
    "lambda": lambda: lambda: None,
    "enormous": lambda: np.broadcast_to(np.zeros((), np.float32), (1 << 40,)),
    "of-objects": lambda: np.array([Unpicklable()]),
    "structured": lambda: np.zeros(2, [("a", np.float32)]),
}
"""What is returned instead of the result."""

ACTS: dict[str, Callable[[], None]] = {
    "segfaults": segfault,
    "aborts": os.abort,
    "exits": lambda: os._exit(3),
    "hangs-in-c": hang_in_c,
    "loops": loop,
    "deadlocks": deadlock,
    "hogs-memory": memory_hog,
    "prints-a-megabyte": megabyte,
    "prints-in-c": print_in_c,
    "complains": complain,
    "prints-once": print_once,
    "prints-for-ever": print_for_ever,
    "closes-its-pipe": close_pipe,
    "writes-into-its-pipe": write_into_pipe,
    "forks": fork,
    "leaves-a-child": leave_a_child,
    "kills-its-parents-group": kill_parent_group,
    "raises-keyboard-interrupt": interrupt,
    "naps": lambda: time.sleep(0.7),
}
"""What is done before the result is returned."""


def _register(name: str, act: Callable[[], Any], *, instead: bool) -> None:
    @implementation(name)
    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        if max(stride) > 1:
            done = act()
            if instead:
                return done
        return right(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


for name, act in ACTS.items():
    _register(name, act, instead=False)
for name, result in RESULTS.items():
    _register(f"returns-{name}", result, instead=True)
