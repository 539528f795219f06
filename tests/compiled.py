"""C functions that touch memory as vector code does, for kernels that go wrong there and do not.

They are compiled once a test run. A worker finds the library through the environment.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
_VARIABLE = "CONVFORMANCE_TEST_LIBRARY"

SOURCE = r"""
#include <stddef.h>
#include <string.h>

/* Add the bytes from `first` to `last`, counted from the beginning of an array. */
unsigned load(const volatile unsigned char *array, ptrdiff_t first, ptrdiff_t last) {
    unsigned sum = 0;
    for (ptrdiff_t i = first; i < last; i++)
        sum += array[i];
    return sum;
}

/* Set them. */
void store(unsigned char *array, ptrdiff_t first, ptrdiff_t last, int value) {
    for (ptrdiff_t i = first; i < last; i++)
        ((volatile unsigned char *)array)[i] = (unsigned char)value;
}

/* Copy `size` bytes in whole vectors of `vector` bytes, and the rest byte by byte. */
void copy_masked(unsigned char *to, const unsigned char *from, ptrdiff_t size, ptrdiff_t vector) {
    ptrdiff_t i = 0;
    for (; i + vector <= size; i += vector)
        memcpy(to + i, from + i, vector);
    for (; i < size; i++)
        to[i] = from[i];
}

/* Copy them in whole vectors, the last of which reads past the end. */
void copy_whole(unsigned char *to, const unsigned char *from, ptrdiff_t size, ptrdiff_t vector) {
    for (ptrdiff_t i = 0; i < size; i += vector)
        memcpy(to + i, from + i, vector);
}
"""


def build() -> None:
    """Compile the functions, for this process and those that it starts."""
    if _VARIABLE not in os.environ:
        assert COMPILER is not None
        folder = Path(tempfile.mkdtemp(prefix="convformance-compiled-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "touch.c").write_text(SOURCE)
        library = folder / "touch.so"
        command = [COMPILER, "-O2", "-shared", "-fPIC", "-o", str(library), "touch.c"]
        subprocess.run(command, cwd=folder, check=True)
        os.environ[_VARIABLE] = str(library)


@cache
def _library() -> Any:
    build()
    return ctypes.CDLL(os.environ[_VARIABLE])


def _address(array: Any) -> ctypes.c_void_p | None:
    """Return where an array begins, None if it is none that C code could take as it is."""
    if not (isinstance(array, np.ndarray) and array.size and array.flags.c_contiguous):
        return None
    return ctypes.c_void_p(array.ctypes.data)


def load(array: Any, first: int, last: int) -> None:
    """Let C code read the elements from ``first`` to ``last``, counted from the beginning."""
    if (address := _address(array)) is not None:
        item = array.itemsize
        _library().load(address, ctypes.c_ssize_t(first * item), ctypes.c_ssize_t(last * item))


def store(array: Any, first: int, last: int, value: int) -> None:
    """Let C code set all bytes of the elements from ``first`` to ``last``."""
    if (address := _address(array)) is not None and array.flags.writeable:
        item = array.itemsize
        begin, end = ctypes.c_ssize_t(first * item), ctypes.c_ssize_t(last * item)
        _library().store(address, begin, end, value)


def copied(array: Any, *, vector: int, masked: bool) -> Any:
    """Return a copy that C code makes in vectors of so many bytes, into a padded scratch buffer."""
    address = _address(array)
    if address is None:
        return array
    scratch = np.zeros(array.nbytes + vector, np.uint8)
    size, width = ctypes.c_ssize_t(array.nbytes), ctypes.c_ssize_t(vector)
    copy = _library().copy_masked if masked else _library().copy_whole
    copy(ctypes.c_void_p(scratch.ctypes.data), address, size, width)
    return scratch[: array.nbytes].view(array.dtype).reshape(array.shape)
