"""Ctrl-C: a run ends within moments, and what has been judged so far is written down.

The terminal interrupts both the run and the processes of its pool. Each of these processes returns
its current block as far as it is judged; it ignores an interrupt outside of a block.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class FirstViolation(Exception):
    """A violation was found, and the user wants no more than one (`Plan.exitfirst`)."""


_PATIENCE = 1.0
"""Seconds that the processes of a pool have to return what they have judged."""


def start_pool_process() -> None:
    """Prepare a process of a pool: it prints to stderr, and is interruptible only inside a block.

    It and its workers end when the process that started it ends, however that happens.
    """
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt once if a process of a pool is interrupted inside the context."""
    if not _in_main_thread() or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Delay an interrupt until the end of the context, so that a block is written whole."""
    if not _in_main_thread():
        yield
        return
    interrupts = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt


def interrupt_pool(futures: Sequence[Future[Result]], take: Callable[[Result], None]) -> None:
    """Interrupt the processes of a pool, and take the results that they return."""
    for future in futures:
        future.cancel()
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(child.pid, signal.SIGINT)
    done, _ = wait([f for f in futures if not f.cancelled()], _PATIENCE)
    for future in done:
        if future.exception() is None:
            take(future.result())


def end_pool() -> None:
    """End the processes of a pool at once; the guardians end their workers."""
    for child in multiprocessing.active_children():
        child.kill()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
