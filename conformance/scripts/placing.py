"""Memory layouts as source text: the expression of a view that NumPy alone makes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from conformance.calling import Array
from conformance.calling.memory import CROPS, FLIPS, ORDERS, SPREAD, axes_of, place, place_all

_AS_STRIDED = "np.lib.stride_tricks.as_strided"


def view_text(text: str, array: Array, layout: str, fill: str = "0") -> str:
    """Return the expression that lays out ``text``, which is ``array`` in C order.

    It is ``text`` itself where the layout leaves such an array as it is. ``fill`` is what lies
    around a crop.
    """
    count = array.ndim
    if layout in ORDERS:
        order = [*ORDERS[layout](count)] if count > 1 else [*range(count)]
        if order == sorted(order):
            return text
        axes, back = (", ".join(map(str, a)) for a in (order, np.argsort(order).tolist()))
        return f"{text}.transpose({axes}).copy().transpose({back})"
    if layout in FLIPS:
        flips = _subscript("::-1", axes_of(FLIPS[layout], count), count)
        return f"{text}[{flips}].copy()[{flips}]" if flips else text
    if layout in CROPS:
        return _cropped(text, axes_of(CROPS[layout], count), count, fill)
    if layout == "channels_last_cropped" and count > 2:
        last = _cropped(f"np.moveaxis({text}, 1, -1).copy()", tuple(range(count)), count, fill)
        return f"np.moveaxis({last}, -1, 1)"
    if layout in SPREAD or layout == "singletons":
        view, buffer = place(array, layout)
        first = _subscript(
            ":1", tuple(np.flatnonzero(np.not_equal(buffer.shape, view.shape))), count
        )
        kept = f"{text}[{first}].copy()" if first else text
        if (view.shape, view.strides) == (buffer.shape, buffer.strides):
            return text
        return f"{_AS_STRIDED}({kept}, {view.shape}, {view.strides})"
    return text


def shared(arrays: Mapping[str, Array]) -> tuple[Array, dict[str, int]]:
    """Return the buffer that arrays share, and at which of its elements each of them begins."""
    placed = place_all([*arrays.values()], ["shared"] * len(arrays))
    buffer: Array = placed[0][1] if placed[0][1] is not None else np.empty(0)
    begins = [(view.ctypes.data - buffer.ctypes.data) // buffer.itemsize for view, _ in placed]
    return buffer, dict(zip(arrays, begins, strict=True))


def _cropped(text: str, axes: tuple[int, ...], count: int, fill: str) -> str:
    if not axes:
        return text
    pads = [(1, 1) if axis in axes else (0, 0) for axis in range(count)]
    inside = _subscript("1:-1", axes, count)
    return f"np.pad({text}, {pads}, constant_values={fill})[{inside}]"


def _subscript(part: str, axes: tuple[int, ...], count: int) -> str:
    """Return a subscript with ``part`` for some axes, and nothing if there are none."""
    if not axes:
        return ""
    return ", ".join(part if axis in axes else ":" for axis in range(count))
