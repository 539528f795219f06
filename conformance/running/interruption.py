"""Ctrl-C: a run ends within moments, and what has been judged so far is written down.

The terminal interrupts the run and the processes of its pool alike. Each of those gives back the
block that it is at, as far as it is judged; outside of a block it takes no notice.
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

_PATIENCE = 1.0
"""Seconds that the processes of a pool have to give back what they have judged."""


def start_pool_process() -> None:
    """Begin a process of a pool: what it prints goes to stderr, and interrupts wait for a block.

    It ends with the process that started it, by whatever death, and its workers with it.
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
    """Raise KeyboardInterrupt in a process of a pool, once, if it is interrupted inside."""
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
    """Hold an interrupt back until what is inside is done: a block is written whole."""
    if not _in_main_thread():
        yield
        return
    held = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def interrupt_pool(futures: Sequence[Future[Result]], take: Callable[[Result], None]) -> None:
    """Interrupt the processes of a pool, and take what they have."""
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
    """End the processes of a pool, whatever they are at; the guardians end their workers."""
    for child in multiprocessing.active_children():
        child.kill()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
