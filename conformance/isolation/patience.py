"""Patience with imports: one that takes long is told of, and one that does not end is ended."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

TOLD_AFTER = 5.0
"""Seconds after which an import that is still running is told of."""


@contextlib.contextmanager
def telling(what: str, seconds: float) -> Iterator[None]:
    """Say in a line on stderr that ``what`` is still running, if it takes more than a moment.

    ``seconds`` is when it will be ended.
    """

    def tell() -> None:
        text = f"convformance: {what} is still running after {TOLD_AFTER:g} s"
        print(f"{text}; it is ended after {seconds:g} s", file=stderr, flush=True)

    stderr = sys.stderr
    timer = threading.Timer(TOLD_AFTER, tell)
    timer.daemon = True
    if seconds > TOLD_AFTER:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def ending(what: str, seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` inside the context after so many seconds, where the system can do it.

    Only the main thread of a POSIX system can, and not while it is inside of compiled code.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{what} does not end: {seconds:g} s are over")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
