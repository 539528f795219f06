"""CuPy: arrays on a CUDA device. Buffers are copied there, and back after a call.

Written without a GPU at hand.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import cupy

from conformance.arrays.library import Library, Placed, without_dtype
from conformance.calling.observing import Array
from conformance.errors import ConformanceError


def library(device: str) -> Library:
    """Return the conversion for a device; raise `ConformanceError` where that is not there."""
    kind, _, number = device.partition(":")
    number = number or "0"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    if kind != "cuda" or not number.isdigit() or not count > int(number):
        there = ", ".join(f"cuda:{i}" for i in range(count)) or "none"
        raise ConformanceError(f"device={device!r}: CuPy sees no such device; there are {there}")
    return Cupy(int(number))


class Cupy(Library):
    """Arrays of CuPy on one device."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.due = f"cupy.ndarray on cuda:{number}"

    def hand(self, array: Array, buffer: Array) -> Any:
        """Return a view of a copy of the buffer."""
        with cupy.cuda.Device(self.number):
            try:
                flat = cupy.asarray(buffer.reshape(-1, order="A"))
            except (TypeError, ValueError):
                raise without_dtype("CuPy", array.dtype) from None
            begin = array.ctypes.data - buffer.ctypes.data if array.size else 0
            return cupy.ndarray(array.shape, array.dtype, flat.data + begin, array.strides)

    def around(self, placed: Placed) -> AbstractContextManager[Any]:
        """Return the context of the device."""
        context: AbstractContextManager[Any] = cupy.cuda.Device(self.number)
        return context

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Wait for all streams; what another one still computes is not there for a reader yet."""
        early = output.copy() if watched and isinstance(output, cupy.ndarray) else None
        cupy.cuda.Device(self.number).synchronize()
        if early is None or early.tobytes() == output.tobytes():
            return output
        return self.wrong(output, "cupy.ndarray that another stream was still writing to")

    def take(self, output: Any) -> Any:
        """Return a copy on the host."""
        if not isinstance(output, cupy.ndarray):
            return self.wrong(output)
        if output.device.id != self.number:
            return self.wrong(output, f"cupy.ndarray on cuda:{output.device.id}")
        return cupy.asnumpy(output)

    def written_back(self, handed: Any, array: Array, buffer: Array) -> None:
        """Copy what the elements hold now."""
        if array.flags.writeable:
            array[...] = cupy.asnumpy(handed)

    def shares(self, output: Any, handed: Any) -> bool:
        """Whether both lie in one allocation."""
        is_array = isinstance(output, cupy.ndarray)
        return is_array and output.data.mem.ptr == handed.data.mem.ptr
