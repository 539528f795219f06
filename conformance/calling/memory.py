"""Memory layouts: the same array, lying in memory in another way.

Each layout is one that NumPy users produce without a thought: a transpose, a slice, a flip, a
broadcast, a view of a file. Gaps between the elements hold NaN (the largest number of an integer
dtype), so that reading past the view shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_OFFSET = 3
"""Elements before an array that starts inside a buffer: no multiple of a vector width."""


def place(array: Array, layout: str) -> tuple[Array, Array]:
    """Return ``array`` in ``layout``, and the buffer that it is a view of.

    Values, shape and (but for byte order) dtype are those of ``array``; "broadcast" expects equal
    values along the last axis, as `spread` makes them.
    """
    return _PLACES[layout](array)


def spread(array: Array) -> Array:
    """Return ``array`` with each row filled with its first element, for "broadcast"."""
    if array.size == 0 or array.ndim == 0:
        return array
    return np.ascontiguousarray(np.broadcast_to(array[..., :1], array.shape))


def _contiguous(array: Array, order: Literal["C", "F"] = "C") -> tuple[Array, Array]:
    copy = np.array(array, order=order)
    return copy, copy


def _poisoned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu":
        return np.full(shape, np.iinfo(dtype).max, dtype)
    return np.full(shape, np.nan, dtype)


def _strided(array: Array) -> tuple[Array, Array]:
    """Every second element along every axis of a larger buffer."""
    buffer = _poisoned(tuple(2 * size + 1 for size in array.shape), array.dtype)
    view = buffer[tuple(slice(1, 2 * size + 1, 2) for size in array.shape)]
    view[...] = array
    return view, buffer


def _reversed(array: Array) -> tuple[Array, Array]:
    """Negative strides along every axis."""
    flip = (slice(None, None, -1),) * array.ndim
    buffer = np.array(array[flip], order="C")
    return buffer[flip], buffer


def _broadcast(array: Array) -> tuple[Array, Array]:
    """Stride 0 along every axis of equal slices: one element in memory stands for many."""
    buffer = np.array(array, order="C")
    for axis in range(array.ndim):
        first = buffer.take([0], axis) if array.size else buffer
        if np.array_equal(buffer, np.broadcast_to(first, buffer.shape), equal_nan=True):
            buffer = first
    return np.broadcast_to(buffer, array.shape), buffer


def _offset(array: Array) -> tuple[Array, Array]:
    """Contiguous, but beginning and ending inside a buffer."""
    buffer = _poisoned((array.size + 2 * _OFFSET,), array.dtype)
    view = buffer[_OFFSET : _OFFSET + array.size].reshape(array.shape)
    view[...] = array
    return view, buffer


def _unaligned(array: Array) -> tuple[Array, Array]:
    """Beginning at an odd address, as in a packed record or a file."""
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype) if array.size else buffer[:0].view(array.dtype)
    view = view.reshape(array.shape)
    view[...] = array
    return view, buffer


def _readonly(array: Array) -> tuple[Array, Array]:
    copy, _ = _contiguous(array)
    copy.flags.writeable = False
    return copy, copy


def _channels_last(array: Array) -> tuple[Array, Array]:
    """With the second axis last in memory: the channels of x, those of one output channel of w."""
    if array.ndim < 3:
        return _contiguous(array)
    buffer = np.array(np.moveaxis(array, 1, -1), order="C")
    return np.moveaxis(buffer, -1, 1), buffer


def _byteswapped(array: Array) -> tuple[Array, Array]:
    """The other byte order, as the dtype tells; a dtype without byte orders does not change."""
    if array.dtype.isbuiltin != 1 or array.dtype.itemsize == 1:  # bfloat16 is no dtype of NumPy's
        return _contiguous(array)
    copy = np.array(array, dtype=array.dtype.newbyteorder(), order="C")
    return copy, copy


_PLACES: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "contiguous": _contiguous,
    "fortran": partial(_contiguous, order="F"),
    "strided": _strided,
    "reversed": _reversed,
    "broadcast": _broadcast,
    "offset": _offset,
    "unaligned": _unaligned,
    "readonly": _readonly,
    "byteswapped": _byteswapped,
    "channels_last": _channels_last,
}
