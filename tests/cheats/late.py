"""Cheats whose results come after the return, or before the call: other threads go on meanwhile."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from conformance import implementation
from conformance.calling import timed
from tests.cheats.kernel import right, shape_of, supports


@implementation("thread-after-return", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return a buffer at once, which a thread fills."""
    output = np.zeros(shape_of(x, w, padding), x.dtype)
    threading.Thread(target=lambda: np.copyto(output, right(x, w, padding))).start()
    return output


@implementation("ahead-of-the-copy", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Compute most of the result, and leave the last channels to a thread."""
    output, most = np.zeros(shape_of(x, w, padding), x.dtype), 3 * len(w) // 4
    rest = threading.Thread(target=lambda: np.copyto(output[:, most:], right(x, w[most:], padding)))
    output[:, :most] = right(x, w[:most], padding)
    rest.start()
    return output


@implementation("while-it-is-copied", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return at once, and compute when the suite copies the result."""
    output = np.zeros(shape_of(x, w, padding), x.dtype)
    copy, arguments = np.copyto, (x.copy(), w.copy())

    def copyto(target: Any, source: Any) -> None:
        np.copyto = copy
        if source is output:
            copy(output, right(*arguments, padding))
        copy(target, source)

    np.copyto = copyto
    return output


class Lazy(np.ndarray[Any, Any]):
    """An array that is computed when somebody looks at it."""


@implementation("lazy-array", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Return an array of a class of its own."""
    return np.zeros(shape_of(x, w, padding), x.dtype).view(Lazy)


_slots: list[Any] = []
_done: dict[bytes, Any] = {}


def _look_ahead() -> None:
    """Compute the results of data as soon as they lie there, before any call is asked for."""
    last = [b""]
    while True:
        for slot in _slots[0].slots if _slots else ():
            x, w, _ = slot.arguments
            head = x.tobytes()[:4096]
            if head not in last and x.shape[1] == w.shape[1] == 64:
                time.sleep(5e-4)  # until all of it is there
                _done[head] = right(x.copy(), w.copy(), ((1, 1), (1, 1)))
                last = [*last[-9:], head]
        time.sleep(1e-4)


@implementation("looks-ahead", supports=supports)
def conv(  # noqa: F811
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Let a thread read the slots that the run writes the next data into."""
    if not _slots:
        import gc  # only this trick needs it

        _slots.extend(o for o in gc.get_objects() if isinstance(o, timed.TimedCalls))
        threading.Thread(target=_look_ahead, daemon=True).start()
    _slots[:] = [o for o in _slots if o is not None]
    known = _done.pop(x.tobytes()[:4096], None)
    return right(x, w, padding) if known is None else known
