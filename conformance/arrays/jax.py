"""JAX: arrays that nobody writes to, made on a device and copied back.

What one of them shares with another is nobody's concern, so results are copies. Calls on 64-bit
numbers are made under `jax.enable_x64`, without which JAX has none; others are made as users make
them. XLA keeps what it compiles, some MiB a shape: after many shapes it is told to forget them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np

from conformance.arrays.library import Library, Placed, without_dtype
from conformance.calling.observing import Array
from conformance.errors import ConformanceError

_SHAPES = 256
"""Calls of new shapes after which what is compiled is dropped."""


def library(device: str) -> Library:
    """Return the conversion for a device; raise `ConformanceError` where that is not there."""
    platform, _, number = device.partition(":")
    try:
        return Jax(jax.devices(platform)[int(number or 0)])
    except (RuntimeError, ValueError, IndexError):
        there = ", ".join(f"{one.platform}:{one.id}" for one in jax.devices())
        raise ConformanceError(
            f"device={device!r}: JAX {jax.__version__} has no such device here; there are {there}"
        ) from None


class Jax(Library):
    """Arrays of JAX on one device."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.due = f"jax.Array on {device.platform}:{device.id}"
        self._called: set[tuple[Any, ...]] = set()

    def hand(self, array: Array, buffer: Array) -> Any:
        """Return an array of JAX, which may share the memory."""
        if array.dtype.kind in "OUSM":
            raise without_dtype("JAX", array.dtype)
        with jax.enable_x64(True):
            return jax.device_put(array, self.device)

    def around(self, placed: Placed) -> AbstractContextManager[Any]:
        """Return `jax.enable_x64`, if a number has 64 bits."""
        arrays = [value for value, buffer in placed if buffer is not None]
        call = tuple((a.shape, a.dtype) for a in arrays)
        if call not in self._called:
            if len(self._called) >= _SHAPES:
                self._called.clear()
                jax.clear_caches()
            self._called.add(call)
        wide = any(array.dtype.itemsize == 8 for array in arrays)
        context: AbstractContextManager[Any] = jax.enable_x64(True) if wide else nullcontext()
        return context

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Wait for the result."""
        return output.block_until_ready() if isinstance(output, jax.Array) else output

    def zeros(self, shape: tuple[int, ...], like: Any) -> Any:
        """Return zeros like an array."""
        return jax.numpy.zeros(shape, like.dtype, device=self.device)

    def gradient(self, function: Callable[[Any], Any], at: Any, grad: Any) -> Any:
        """Call jax.vjp."""
        _, backward = jax.vjp(function, at)
        return backward(grad)[0]

    def take(self, output: Any) -> Any:
        """Return a copy."""
        if not isinstance(output, jax.Array):
            return self.wrong(output)
        if output.devices() != {self.device}:
            names = " and ".join(f"{one.platform}:{one.id}" for one in output.devices())
            return self.wrong(output, f"jax.Array on {names}")
        return np.array(output)
