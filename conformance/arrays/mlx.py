"""MLX: arrays that are computed when they are needed, which is before a call counts as done.

Numbers are copied in both directions. A call runs in a stream of its device; float64 exists on the
CPU alone. An array may be assigned to in place, so arguments are compared after the call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import mlx.core as mx
import numpy as np

from conformance.arrays.library import Library, Placed, without_dtype
from conformance.calling.observing import Array
from conformance.dtypes import numpy_dtype
from conformance.errors import ConformanceError


def library(device: str) -> Library:
    """Return the conversion for a device; raise `ConformanceError` where that is not there."""
    there = ["cpu", "gpu"] if mx.is_available(mx.gpu) else ["cpu"]
    if device not in there:
        raise ConformanceError(
            f"device={device!r}: MLX has no such device here; there are {', '.join(there)}"
        )
    return Mlx(getattr(mx, device))


class Mlx(Library):
    """Arrays of MLX, computed on one device."""

    due = "mlx.core.array"

    def __init__(self, device: Any) -> None:
        self.device = device

    def hand(self, array: Array, buffer: Array) -> Any:
        """Return an array with a copy of the numbers."""
        name = array.dtype.name
        if name == "bfloat16":
            return mx.array(np.array(array.view(np.uint16), order="C")).view(mx.bfloat16)
        dtype = getattr(mx, "bool_" if name == "bool" else name, None)
        if dtype is None or (name == "float64" and self.device != mx.cpu):
            raise without_dtype("MLX", array.dtype)
        return mx.array(np.array(array, order="C"), dtype=dtype)

    def around(self, placed: Placed) -> AbstractContextManager[Any]:
        """Return the context of a stream of the device."""
        context: AbstractContextManager[Any] = mx.stream(self.device)
        return context

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Compute the result."""
        if isinstance(output, mx.array):
            mx.eval(output)
        return output

    def zeros(self, shape: tuple[int, ...], like: Any) -> Any:
        """Return zeros like an array."""
        return mx.zeros(shape, like.dtype)

    def gradient(self, function: Callable[[Any], Any], at: Any, grad: Any) -> Any:
        """Call mlx.core.vjp."""
        _, (result,) = mx.vjp(function, [at], [grad])
        return result

    def take(self, output: Any) -> Any:
        """Return a copy."""
        if not isinstance(output, mx.array):
            return self.wrong(output)
        if output.dtype == mx.bfloat16:
            return np.array(output.view(mx.uint16)).view(numpy_dtype("bfloat16"))
        return np.array(output)

    def written_back(self, handed: Any, array: Array, buffer: Array) -> None:
        """Copy what the argument holds now."""
        now = self.take(handed)
        if now.dtype == array.dtype and array.flags.writeable:
            array[...] = now
