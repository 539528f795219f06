"""Frames: how plain values and arrays cross the pipes of a worker (PROTOCOL.md, "Frames").

A frame is a header of plain values (None, bool, int, float, str, bytes, tuples, lists and dicts of
these) and the bytes of the arrays that the header names. Nothing that is read can run code or
name a class: what a broken kernel leaves in a pipe is refused, not believed.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from conformance.calling.observing import Array, NotAnArray, Observation
from conformance.dtypes import dtype_from
from conformance.errors import ConformanceError

MAGIC = b"cvf1"
_HEAD = struct.Struct("<4sIQ")
"""Magic, bytes of the header, bytes of the arrays."""
_PICKLE = 5
_ALIGNMENT = 16


class WireError(ConformanceError):
    """What came through a pipe is no frame."""


class _PlainOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise WireError(f"a frame names {module}.{name}, which is no plain value")


class Frame:
    """A frame to be sent: arrays are put into it one by one, each array once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._placed: dict[int, tuple[Array, tuple[Any, ...]]] = {}

    def put(self, value: Any) -> tuple[Any, ...]:
        """Return the header's item for ``value``: a plain value itself, an array's position."""
        if not isinstance(value, np.ndarray):
            return ("plain", value)
        if value.dtype.hasobject:
            return ("objects", value.shape, value.ravel().tolist())
        placed = self._placed.get(id(value))
        if placed is None:
            data = value.tobytes()
            placed = (value, ("array", _code(value.dtype), value.shape, self._size))
            self._placed[id(value)] = placed  # keeps the array, so that its id stays its own
            gap = -len(data) % _ALIGNMENT
            self._parts += (data, bytes(gap)) if gap else (data,)
            self._size += len(data) + gap
        return placed[1]

    def put_all(self, values: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
        """Return the header's item for each of ``values``."""
        return tuple(map(self.put, values))

    def put_output(self, output: Any, most: int) -> tuple[Any, ...]:
        """Return the header's item for a call's output; above ``most`` bytes only its shape."""
        if output is None or isinstance(output, bool | int | float | str):
            return ("plain", output if not isinstance(output, str) else output[:200])
        if isinstance(output, NotAnArray):
            return ("foreign", output.kind[:200], output.due)
        if type(output) is not np.ndarray:
            return ("foreign", f"{type(output).__module__}.{type(output).__qualname__}")
        if output.dtype.hasobject:
            return ("shape", "|O", output.shape)
        if output.dtype.kind == "V" and output.dtype.isbuiltin != 2:
            return ("foreign", f"numpy.ndarray of dtype {output.dtype}"[:200])
        if output.nbytes > most:
            return ("shape", _code(output.dtype), output.shape)
        return self.put(output)

    def packed(self, *header: Any) -> bytes:
        """Return the frame's bytes."""
        text = pickle.dumps(header, _PICKLE)
        return b"".join((_HEAD.pack(MAGIC, len(text), self._size), text, *self._parts))


class Inbox:
    """Splits the bytes of a pipe into frames: each is a header and the bytes of its arrays."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def frames(self) -> list[tuple[tuple[Any, ...], bytearray]]:
        """Return the frames that are complete, once; raise `WireError` for anything else."""
        complete = []
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            magic, header, arrays = _HEAD.unpack_from(self._buffer, at)
            if magic != MAGIC:
                raise WireError(f"a frame begins with {bytes(magic)!r} where {MAGIC!r} is due")
            begin = at + _HEAD.size + header
            if len(self._buffer) < begin + arrays:
                break
            plain = _plain(self._buffer[at + _HEAD.size : begin])
            at = begin + arrays
            complete.append((plain, self._buffer[begin:at]))
        del self._buffer[:at]
        return complete


def _plain(header: bytearray) -> tuple[Any, ...]:
    try:
        plain = _PlainOnly(io.BytesIO(header)).load()
    except WireError:
        raise
    except Exception as problem:  # whatever unpickling noise raises
        raise WireError(f"a frame that cannot be read ({problem})") from None
    if not isinstance(plain, tuple) or not plain:
        raise WireError("a frame without a name")
    return plain


def observed(frame: Frame, observation: Observation, most: int) -> tuple[Any, ...]:
    """Return the header's item for an observation; `Frame.put_output` writes its output."""
    output = frame.put_output(observation.output, most)
    return (
        output,
        observation.unsupported,
        observation.raised,
        observation.changed,
        observation.shared,
        observation.overrun,
        observation.seconds,
        observation.error,
        observation.where,
        observation.left,
        observation.likewise,
    )


def take_observed(
    plain: tuple[Any, ...], payload: bytearray, printed: str | None = None
) -> Observation:
    """Return the observation that `observed` has written."""
    output, unsupported, raised, changed, shared, overrun, *rest = plain
    seconds, error, where, left, likewise = rest
    return Observation(
        take(output, payload),
        unsupported,
        raised,
        changed,
        shared,
        overrun,
        printed=printed,
        seconds=seconds,
        error=error,
        where=where,
        left=left,
        likewise=likewise,
    )


def take(item: tuple[Any, ...], payload: bytearray) -> Any:
    """Return the value that ``item``, made by `Frame.put` or `put_output`, stands for.

    An array is a view of ``payload``. If only its shape was sent, it is filled with zeros and takes
    the memory of one element.
    """
    kind = item[0]
    if kind == "plain":
        return item[1]
    if kind == "array":
        _, code, shape, offset = item
        dtype, count = _dtype(code), math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        return np.frombuffer(payload, dtype, count, offset).reshape(shape)
    if kind == "objects":
        array = np.empty(len(item[2]), object)
        array[:] = item[2]
        return array.reshape(item[1])
    if kind == "foreign":
        return NotAnArray(*item[1:])
    if kind == "shape":
        try:
            dtype = _dtype(item[1])
        except (TypeError, ValueError, ConformanceError):
            return NotAnArray(f"numpy.ndarray of dtype {item[1]}")
        return np.broadcast_to(np.zeros((), dtype), item[2])
    raise WireError(f"a frame with a value of the kind {kind!r}")


def _code(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype that `_dtype` reads: a byte order where NumPy knows one."""
    return dtype.name if dtype.isbuiltin == 2 else dtype.str


def _dtype(code: str) -> np.dtype[Any]:
    return dtype_from(code)
