"""DLPack alone: objects with the methods ``__dlpack__`` and ``__dlpack_device__``, and no others.

A kernel takes them with ``from_dlpack`` of whatever library it is written for, and returns any
array that has these methods. The memory is that of NumPy arrays. NumPy has no bfloat16 of its own:
it is exchanged as int16 with the code of its type changed in the structure that DLPack describes.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from conformance.arrays.library import Library, without_dtype
from conformance.calling.observing import Array
from conformance.dtypes import numpy_dtype

_HOST = (1, 0)
"""DLPack's number of the host, and that of its only memory."""
_TYPE_CODE = 20
"""Where a DLTensor has the code of its type: behind a pointer, a device and the number of axes."""
_INTEGER, _BFLOAT = 0, 4

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def library(device: str) -> Library:
    """Return the conversion; the device is the host."""
    return DLPack()


class Tensor:
    """An array as DLPack alone shows it."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the host."""
        return _HOST

    def __dlpack__(self, **_: Any) -> Any:
        """Return the capsule of the array."""
        if self._array.dtype.name != "bfloat16":
            return self._array.__dlpack__()
        capsule = self._array.view(np.int16).__dlpack__()
        _type_code(capsule).value = _BFLOAT
        return capsule


class _AsIntegers:
    """The capsule of bfloat16 numbers, as one of int16."""

    def __init__(self, capsule: Any) -> None:
        _type_code(capsule).value = _INTEGER
        self._capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _HOST

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule


class DLPack(Library):
    """Objects that are known by DLPack's methods."""

    due = "array with __dlpack__, on the host"

    def hand(self, array: Array, buffer: Array) -> Tensor:
        """Return an object that shows the memory of the array."""
        if array.dtype.kind not in "fiuV" or array.dtype.hasobject:
            raise without_dtype("DLPack", array.dtype)
        if not array.flags.writeable:  # a broadcast, or the result of an earlier call
            writeable = buffer.flags.writeable
            array = as_strided(buffer, array.shape, array.strides) if writeable else array.copy()
        return Tensor(array)

    def shape(self, handed: Tensor) -> tuple[int, ...]:
        """Return the shape."""
        return handed._array.shape

    def take(self, output: Any) -> Any:
        """Return the memory of an array."""
        device = getattr(output, "__dlpack_device__", None)
        if device is None:
            return self.wrong(output)
        kind, _ = device()
        if kind != _HOST[0]:
            return self.wrong(output, f"{type(output).__name__} on DLPack's device {int(kind)}")
        capsule = output.__dlpack__()
        if _type_code(capsule).value == _BFLOAT:
            return np.from_dlpack(_AsIntegers(capsule)).view(numpy_dtype("bfloat16"))
        return np.from_dlpack(output)


def _type_code(capsule: Any) -> ctypes.c_uint8:
    return ctypes.c_uint8.from_address(_pointer(capsule, b"dltensor") + _TYPE_CODE)
