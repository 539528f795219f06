"""Memory layouts: the same array, lying in memory in another way.

Each layout is one that NumPy users produce without a thought: a transpose, a slice, a crop, a flip,
a broadcast, a view of a file. Gaps between the elements hold NaN (the largest number of an integer
dtype), so that reading past the view shows.

Whoever places an array may say where its buffer comes from (`conformance.calling.guards`).

Axes are those of an image (N, C, *S) or of a weight. A bias, which has one axis, lies as usual in
the layouts that are about several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Axes: TypeAlias = tuple[int, ...]
Empty: TypeAlias = Callable[[tuple[int, ...], Any, Literal["C", "F"]], Array]
"""Returns a new array, of any content, by its shape, dtype and order, as `numpy.empty` does."""

_OFFSET = 3
"""Elements before an array that starts inside a buffer: no multiple of a vector width."""
_IMAGE = 3
"""Axes of an image, or of a weight, at least."""
_STRAY = (1 << 20, 1, 0, 3, 1 << 20)
"""The strides of axes of size one, in elements, by axis: no address follows from them."""


def place(array: Array, layout: str, empty: Empty = np.empty) -> tuple[Array, Array]:
    """Return ``array`` in ``layout``, and the buffer that it is a view of, which ``empty`` makes.

    Values, shape and (but for byte order) dtype are those of ``array``; the layouts of `SPREAD`
    expect equal values along an axis, as `spread` makes them. "shared" takes several arrays
    (`place_all`).
    """
    return _PLACES[layout](array, empty)


def place_all(
    values: Sequence[Any], ways: Sequence[str], room: Callable[[int], Empty] = lambda _: np.empty
) -> list[tuple[Any, Array | None]]:
    """Return the arguments of a call, each in its layout, and its buffer, None for no array.

    ``room`` returns what makes the buffer of an argument, by its position. Those that are "shared"
    are views of one buffer: an array that is equal to the first elements of the largest one
    overlaps with it, others follow it without a gap.
    """
    placed: list[tuple[Any, Array | None]] = [
        place(value, way, room(position))
        if isinstance(value, np.ndarray) and way != "shared"
        else (value, None)
        for position, (value, way) in enumerate(zip(values, ways, strict=True))
    ]
    shared = {
        position: value.reshape(-1)
        for position, (value, way) in enumerate(zip(values, ways, strict=True))
        if isinstance(value, np.ndarray) and way == "shared"
    }
    if not shared:
        return placed
    largest = max(shared, key=lambda position: shared[position].size)
    whole, begins = shared[largest], {largest: 0}
    end = whole.size
    for position, flat in shared.items():
        inside = flat.tobytes() == whole[: flat.size].tobytes()
        begins[position] = 0 if inside else end
        end += 0 if inside else flat.size
    buffer = room(largest)((end,), whole.dtype, "C")
    for position, flat in shared.items():
        view = buffer[begins[position] : begins[position] + flat.size]
        view[...] = flat
        placed[position] = view.reshape(values[position].shape), buffer
    return placed


def spread(array: Array, layout: str = "broadcast") -> Array:
    """Return ``array`` with equal values along the axis that has stride 0 in ``layout``."""
    axis = SPREAD[layout]
    if array.size == 0 or array.ndim < (1 if axis < 0 else _IMAGE):
        return array
    return np.ascontiguousarray(np.broadcast_to(array.take([0], axis), array.shape))


def takes_effect(layout: str, shape: tuple[int, ...]) -> bool:
    """Whether an array of ``shape`` lies otherwise in ``layout`` than as usual.

    Where axes of size one alone have other strides, it lies as usual, but for "singletons". Of
    "shared" it is not asked: that depends on the other arrays.
    """
    if not math.prod(shape):
        return False
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if layout == "singletons":
        return len(long) < len(shape) > 1
    if layout in ORDERS:
        order = [axis for axis in ORDERS[layout](len(shape)) if axis in long]
        return len(shape) > 1 and order != long
    if layout in SPREAD:
        return (SPREAD[layout] < 0 or len(shape) >= _IMAGE) and shape[SPREAD[layout]] > 1
    if layout in FLIPS:
        return any(axis in long for axis in axes_of(FLIPS[layout], len(shape)))
    if layout in CROPS:  # what is cropped are the strides of the axes before
        cropped = axes_of(CROPS[layout], len(shape))
        return any(axis < max(cropped, default=0) for axis in long)
    if layout == "channels_last_cropped":
        return len(shape) >= _IMAGE and any(axis != 1 for axis in long)
    return bool(long) if layout == "strided" else layout != "contiguous"


def axes_of(axes: Axes | None, count: int) -> Axes:
    """Return those of ``axes`` that an array of so many axes has; None is all of them."""
    every = range(count)
    return tuple(every) if axes is None else tuple(sorted({every[a] for a in axes if a < count}))


def _copied(
    array: Array, empty: Empty, order: Literal["C", "F"] = "C", dtype: Any = None
) -> tuple[Array, Array]:
    copy = empty(array.shape, dtype or array.dtype, order)
    copy[...] = array
    return copy, copy


def _contiguous(array: Array, empty: Empty) -> tuple[Array, Array]:
    return _copied(array, empty)


def _poisoned(shape: tuple[int, ...], dtype: np.dtype[Any], empty: Empty) -> Array:
    buffer = empty(shape, dtype, "C")
    buffer.fill(np.iinfo(dtype).max if dtype.kind in "iu" else np.nan)
    return buffer


def _ordered(
    order: Callable[[int], Sequence[int]], array: Array, empty: Empty
) -> tuple[Array, Array]:
    """The axes lie in memory in another order."""
    axes = order(array.ndim) if array.ndim > 1 else (0,) * array.ndim
    buffer, _ = _copied(array.transpose(axes), empty)
    return buffer.transpose([axes.index(axis) for axis in range(len(axes))]), buffer


def _strided(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Every second element along every axis of a larger buffer."""
    buffer = _poisoned(tuple(2 * size + 1 for size in array.shape), array.dtype, empty)
    view = buffer[tuple(slice(1, 2 * size + 1, 2) for size in array.shape)]
    view[...] = array
    return view, buffer


def _cropped(axes: Axes | None, array: Array, empty: Empty) -> tuple[Array, Array]:
    """A block of a larger buffer, which has one element more at either end of some axes."""
    inside = axes_of(axes, array.ndim)
    margins = [int(axis in inside) for axis in range(array.ndim)]
    sizes = tuple(s + 2 * margin for s, margin in zip(array.shape, margins, strict=True))
    buffer = _poisoned(sizes, array.dtype, empty)
    view = buffer[tuple(slice(m, s - m) for s, m in zip(sizes, margins, strict=True))]
    view[...] = array
    return view, buffer


def _channels_last_cropped(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Channels-last, and a block of a larger buffer: red, green and blue of images with alpha."""
    if array.ndim < _IMAGE:
        return _copied(array, empty)
    view, buffer = _cropped(None, np.moveaxis(array, 1, -1), empty)
    return np.moveaxis(view, -1, 1), buffer


def _flipped(axes: Axes | None, array: Array, empty: Empty) -> tuple[Array, Array]:
    """Negative strides along some axes."""
    backward = axes_of(axes, array.ndim)
    flip = tuple(slice(None, None, -1 if a in backward else 1) for a in range(array.ndim))
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


def _expanded(array: Array, empty: Empty) -> tuple[Array, Array]:
    """As `_broadcast`, but writeable, as PyTorch's expand makes it: adapters then need no copy."""
    view, buffer = _broadcast(array, empty)
    return as_strided(buffer, view.shape, view.strides), buffer


def _singletons(array: Array, empty: Empty) -> tuple[Array, Array]:
    """Strides of no meaning along axes of size one; NumPy calls the array contiguous anyway."""
    copy, _ = _copied(array, empty)
    if array.ndim < 2:
        return copy, copy
    strides = [
        stray * copy.itemsize if size == 1 else stride
        for size, stride, stray in zip(copy.shape, copy.strides, _STRAY, strict=False)
    ]
    return as_strided(copy, copy.shape, strides), copy


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


def _byteswapped(array: Array, empty: Empty) -> tuple[Array, Array]:
    """The other byte order, as the dtype tells; a dtype without byte orders does not change."""
    if array.dtype.isbuiltin != 1 or array.dtype.itemsize == 1:  # bfloat16 is no dtype of NumPy's
        return _copied(array, empty)
    return _copied(array, empty, dtype=array.dtype.newbyteorder())


ORDERS: dict[str, Callable[[int], Sequence[int]]] = {
    "fortran": lambda axes: range(axes)[::-1],
    "channels_last": lambda axes: (0, *range(2, axes), 1),
    "exchanged": lambda axes: (1, 0, *range(2, axes)),
    "spatial_first": lambda axes: (*range(2, axes), 1, 0),
}
"""The axes in the order in which they lie in memory, the one with the largest stride first."""
CROPS: dict[str, Axes | None] = {
    "cropped": None,
    "cropped_channels": (1,),
    "cropped_rows": (2,),
    "cropped_columns": (-1,),
}
"""The axes along which an array is a part of its buffer."""
FLIPS: dict[str, Axes | None] = {"reversed": None, "flipped": (-1,), "flipped_channels": (1,)}
"""The axes along which strides are negative."""
SPREAD = {"broadcast": -1, "expanded_batch": 0, "expanded_channels": 1}
"""The axis that has stride 0 in any case, whatever other axes have equal slices."""
_PLACES: dict[str, Callable[[Array, Empty], tuple[Array, Array]]] = {
    "contiguous": _contiguous,
    **{layout: partial(_ordered, order) for layout, order in ORDERS.items()},
    "strided": _strided,
    **{layout: partial(_flipped, axes) for layout, axes in FLIPS.items()},
    "broadcast": _broadcast,
    "expanded_batch": _expanded,
    "expanded_channels": _expanded,
    "offset": _offset,
    "unaligned": _unaligned,
    "readonly": _readonly,
    "byteswapped": _byteswapped,
    **{layout: partial(_cropped, axes) for layout, axes in CROPS.items()},
    "channels_last_cropped": _channels_last_cropped,
    "singletons": _singletons,
    "shared": _contiguous,
}
