"""Memory layouts: the same array, lying in memory in another way.

Each layout is one that NumPy users produce without a thought: a transpose, a slice, a flip, a
broadcast, a view of a file. Gaps between the elements hold NaN (the largest number of an integer
dtype), so that reading past the view shows. Whoever places an array may say where its buffer comes
from (`conformance.calling.guards`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Empty: TypeAlias = Callable[[tuple[int, ...], Any, Literal["C", "F"]], Array]
"""Returns a new array, of any content, by its shape, dtype and order, as `numpy.empty` does."""

_OFFSET = 3
"""Elements before an array that starts inside a buffer: no multiple of a vector width."""


def place(array: Array, layout: str, empty: Empty = np.empty) -> tuple[Array, Array]:
    """Return ``array`` in ``layout``, and the buffer that it is a view of, which ``empty`` makes.

    Values, shape and (but for byte order) dtype are those of ``array``; "broadcast" expects equal
    values along the last axis, as `spread` makes them.
    """
    return _PLACES[layout](array, empty)


def spread(array: Array) -> Array:
    """Return ``array`` with each row filled with its first element, for "broadcast"."""
    if array.size == 0 or array.ndim == 0:
        return array
    return np.ascontiguousarray(np.broadcast_to(array[..., :1], array.shape))


def _copied(
    array: Array, empty: Empty, order: Literal["C", "F"] = "C", dtype: Any = None
) -> tuple[Array, Array]:
    copy = empty(array.shape, dtype or array.dtype, order)
    copy[...] = array
    return copy, copy


def _contiguous(array: Array, empty: Empty) -> tuple[Array, Array]:
    return _copied(array, empty)


def _fortran(array: Array, empty: Empty) -> tuple[Array, Array]:
    return _copied(array, empty, "F")


def _poisoned(shape: tuple[int, ...], dtype: np.dtype[Any], empty: Empty) -> Array:
    buffer = empty(shape, dtype, "C")
    buffer.fill(np.iinfo(dtype).max if dtype.kind in "iu" else np.nan)
    return buffer


def _strided(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Every second element along every axis of a larger buffer."""
    buffer = _poisoned(tuple(2 * size + 1 for size in array.shape), array.dtype, empty)
    view = buffer[tuple(slice(1, 2 * size + 1, 2) for size in array.shape)]
    view[...] = array
    return view, buffer


def _reversed(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Negative strides along every axis."""
    flip = (slice(None, None, -1),) * array.ndim
    buffer, _ = _copied(array[flip], empty)
    return buffer[flip], buffer


def _broadcast(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Stride 0 along every axis of equal slices: one element in memory stands for many."""
    one = array
    for axis in range(array.ndim):
        first = one.take([0], axis) if array.size else one
        if np.array_equal(one, np.broadcast_to(first, one.shape), equal_nan=True):
            one = first
    buffer, _ = _copied(one, empty)
    return np.broadcast_to(buffer, array.shape), buffer


def _offset(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Contiguous, but beginning and ending inside a buffer."""
    buffer = _poisoned((array.size + 2 * _OFFSET,), array.dtype, empty)
    view = buffer[_OFFSET : _OFFSET + array.size].reshape(array.shape)
    view[...] = array
    return view, buffer


def _unaligned(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Beginning at an odd address, as in a packed record or a file."""
    buffer = empty((array.nbytes + 2,), np.uint8, "C")  # even, so that it may end anywhere
    buffer.fill(0)
    view = buffer[1:-1].view(array.dtype) if array.size else buffer[:0].view(array.dtype)
    view = view.reshape(array.shape)
    view[...] = array
    return view, buffer


def _readonly(array: Array, empty: Empty) -> tuple[Array, Array]:
    copy, _ = _copied(array, empty)
    copy.flags.writeable = False
    return copy, copy


def _channels_last(array: Array, empty: Empty) -> tuple[Array, Array]:
    """With the second axis last in memory: the channels of x, those of one output channel of w."""
    if array.ndim < 3:
        return _copied(array, empty)
    buffer, _ = _copied(np.moveaxis(array, 1, -1), empty)
    return np.moveaxis(buffer, -1, 1), buffer


def _byteswapped(array: Array, empty: Empty) -> tuple[Array, Array]:
    """The other byte order, as the dtype tells; a dtype without byte orders does not change."""
    if array.dtype.isbuiltin != 1 or array.dtype.itemsize == 1:  # bfloat16 is no dtype of NumPy's
        return _copied(array, empty)
    return _copied(array, empty, dtype=array.dtype.newbyteorder())


_PLACES: dict[str, Callable[[Array, Empty], tuple[Array, Array]]] = {
    "contiguous": _contiguous,
    "fortran": _fortran,
    "strided": _strided,
    "reversed": _reversed,
    "broadcast": _broadcast,
    "offset": _offset,
    "unaligned": _unaligned,
    "readonly": _readonly,
    "byteswapped": _byteswapped,
    "channels_last": _channels_last,
}
