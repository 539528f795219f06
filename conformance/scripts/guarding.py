"""Lines of a script that put arrays against pages without access, where a call reaches beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conformance.calling import Inputs

_FUNCTION = '''
import ctypes, mmap

def guarded(array, at_end):
    """Return a copy that ends, or begins, at a page of memory that nobody may touch."""
    page, room = mmap.PAGESIZE, {room}
    size = -(-(array.nbytes + room) // page) * page
    buffer = np.frombuffer(mmap.mmap(-1, size + 2 * page), np.uint8)
    for begin in (0, page + size):
        ctypes.CDLL(None).mprotect(ctypes.c_void_p(buffer.ctypes.data + begin), page, 0)
    begin = page + (size - array.nbytes - room if at_end else 0)
    copy = np.ndarray(array.shape, array.dtype, buffer, begin)
    copy[...] = array
    return copy
'''


def guarded_call(
    operator: str,
    names: Sequence[str],
    keywords: str,
    inputs: Inputs,
    reads_beyond: int,
    handed: Callable[[str], str],
) -> list[str]:
    """Return the lines that make a call with its arrays at one end of their pages, then the other.

    ``keywords`` are its parameters as source text; so many bytes past an end may be read;
    ``handed`` is the expression of an array in the form that the implementation takes.
    """
    step = max((v.itemsize for v in inputs if isinstance(v, np.ndarray)), default=1)
    arguments = ", ".join(
        handed(f"guarded({name}, at_end)") if isinstance(value, np.ndarray) and value.size else name
        for name, value in zip(names, inputs, strict=True)
    )
    function = _FUNCTION.format(room=-(-reads_beyond // step) * step)
    return [
        *function.splitlines(),
        "",
        "for at_end in (True, False):  # to reach beyond an array ends the process",
        f"    got = {operator}({arguments}{keywords})",
    ]
