"""The guardian: a small process between the run and a worker, which leaves nothing behind.

It is the worker's parent. It tells the run how the worker ended. When the run or the worker has
ended, for whatever reason, it ends every process that the worker has started. It has a session of
its own: the terminal's signals do not reach it, and a kernel that kills its parent's group does not
reach the run.

Needs the standard library only, and is loaded by file path, before anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import select
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

_PDEATHSIG, _SUBREAPER = 1, 36
"""PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER (Linux, prctl(2))."""
_UNBUFFERED = 2
"""_IONBF of setvbuf."""
_ROUNDS = 100
"""The number of rounds that look for descendants: each ends the children of those before."""


def guard(control: int, status: int, others: Sequence[int]) -> None:
    """Split in two: return in the worker, and never in its guardian.

    ``control`` is a pipe whose other end only the run has: when it closes, the run is gone. One
    line, ``exit 3`` or ``signal 11``, is written to ``status``. ``others`` belong to the worker.
    """
    _prctl(_SUBREAPER, 1)  # orphans of the worker become children of the guardian
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    guardian = os.getpid()
    worker = os.fork()
    if worker:
        for number in others:
            os.close(number)
        with contextlib.suppress(OSError):
            os.setpgid(worker, worker)
        _watch(worker, control, status, awake)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (control, status, awake, wake):
        os.close(number)
    _become_worker(guardian, others)


def _become_worker(guardian: int, inherited: Sequence[int]) -> None:
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:
        os._exit(1)
    for number in inherited:
        os.set_inheritable(number, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, the system ends this process and no other
    faulthandler.enable(2, all_threads=False)
    faulthandler.register(signal.SIGUSR1, 2, all_threads=False)
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        library = ctypes.CDLL(None)
        library.setvbuf(ctypes.c_void_p.in_dll(library, name), None, _UNBUFFERED, 0)


def _watch(worker: int, control: int, status: int, awake: int) -> NoReturn:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(awake, select.POLLIN)
    while True:
        ready = [number for number, _ in poll.poll()]
        if awake in ready:
            os.read(awake, 4096)
            ending = _collect(worker)
            if ending is not None:
                with contextlib.suppress(OSError):  # nobody reads it any more
                    os.write(status, f"{ending}\n".encode())
                break
        if control in ready:
            break
    _sweep(worker)
    os._exit(0)


def _collect(worker: int) -> str | None:
    """Collect children that have ended; return how the worker ended, if it is one of them."""
    ending = None
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            pid, code = child
            if pid == worker:
                by = os.WTERMSIG(code) if os.WIFSIGNALED(code) else None
                ending = f"exit {os.WEXITSTATUS(code)}" if by is None else f"signal {by}"
    return ending


def _sweep(worker: int) -> None:
    """End the worker's group, and all processes that descend from the worker."""
    with contextlib.suppress(OSError):
        os.killpg(worker, signal.SIGKILL)
    for _ in range(_ROUNDS):
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # not on every system
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
