"""C libraries: functions of the interface that `conformance.forms.header` writes, by ctypes.

The result is allocated here, between canaries, and filled with NaN: what the library writes around
it, and what it does not write, are both seen. Errors of loading name the symbol.
"""

from __future__ import annotations

import ctypes
import json
import marshal
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conformance.calling.filling import ToFill
from conformance.calling.gcov import Counters
from conformance.calling.guards import Arena
from conformance.calling.memory import Array
from conformance.calling.observing import one_line
from conformance.errors import PluginError, Unsupported
from conformance.forms.asking import Rejected, check_types, check_version
from conformance.forms.declaring import implementation_of, operators_in
from conformance.forms.header import MESSAGE, MOST_DIMS, PREFIX, UNSUPPORTED, VERSION
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES
from conformance.sizes import result_shape

_DECLARES = f"{PREFIX}declares"
_CPU = 1
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""DLPack's code of a dtype, by NumPy's kind."""
_BFLOAT = 4
_EXACT = 2
"""The version of `marshal` in which equal content is equal bytes."""
_MOST_FORMS = 1024


def load(path: str) -> Implementation:
    """Return the implementation that consists of the functions of a shared library.

    Raises `PluginError` where it cannot be loaded, or has none of them.
    """
    where, file = f"library {path}", Path(path)
    if not file.is_file():
        raise PluginError(f"{where}: no such file; name a shared library, such as ./libmyconv.so")
    try:
        library = ctypes.CDLL(str(file.resolve()))
    except OSError as problem:
        raise PluginError(f"{where}: cannot be loaded: {one_line(problem)}") from None
    declared = _declared(library, where)
    check_version(declared, VERSION, where, "the interface")
    if declared.get("layout", "NCHW") != "NCHW":
        raise PluginError(f"{where}: it declares a layout; its arrays are channels-first")
    known = [operator for operator in SIGNATURES if hasattr(library, PREFIX + operator)]
    listed = operators_in(declared, where) if "operators" in declared else known
    for operator in listed:
        if operator not in known:
            raise PluginError(
                f"{where}: it declares {operator}, and exports no {PREFIX}{operator}; in C++ "
                f'functions are exported by that name inside of extern "C"'
            )
    if not listed:
        names = ", ".join(PREFIX + operator for operator in SIGNATURES)
        raise PluginError(
            f'{where}: exports none of {names}; in C++ they stand inside of extern "C"'
        )
    arena, counters = Arena(), Counters.of(library)
    functions = {o: _Operator(o, getattr(library, PREFIX + o), arena, counters) for o in listed}
    return implementation_of(declared, functions, file.resolve(), where)


def _declared(library: ctypes.CDLL, where: str) -> dict[str, Any]:
    try:
        text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, _DECLARES)))
    except ValueError:  # it declares nothing
        return {}
    try:
        declared = json.loads(text)
    except ValueError as problem:
        declared = problem
    if not isinstance(declared, dict):
        raise PluginError(
            f"{where}: {_DECLARES} is {one_line(text.decode(errors='replace'))!a}, and has to be "
            f'a JSON object in text, such as {{"dtypes": ["float32"]}}'
        )
    return declared


class _Operator:
    """A function of a library, as one of Python."""

    def __init__(
        self, operator: str, function: Any, arena: Arena, counters: Counters | None
    ) -> None:
        signature = SIGNATURES[operator]
        self.counters = counters
        self.operator, self.function, self.arena = operator, function, arena
        self.arrays = len(signature.arrays)
        self.has_parameters = bool(signature.parameters)
        self._forms: dict[bytes, _Form] = {}
        function.restype = ctypes.c_int
        function.argtypes = [ctypes.c_void_p] * (self.arrays + self.has_parameters + 2)

    def __call__(self, *arguments: Any, **parameters: Any) -> Array:
        """Make a call; return its result, or raise what the library has returned."""
        form = self._form(arguments, parameters)
        inputs = [value for value in arguments[: self.arrays] if value is not None]
        places = [value.ctypes.data for value in inputs]
        for place, value in zip(places, inputs, strict=True):
            if place % value.itemsize:
                raise Unsupported("the C interface has no unaligned arrays")
        result = ToFill(self.arena, form.shape, inputs[0].dtype)
        try:
            room = form.rooms.pop()
        except IndexError:  # none was made yet, or calls of other threads have them
            room = form.room()
        room.memory.raw = room.content
        for pointer, place in zip(room.pointers, (*places, result.address), strict=True):
            pointer.value = place
        status = self.function(*room.arguments)
        output = result.finished(written=status == 0)
        said = b"" if output is not None else room.memory.raw[-MESSAGE:].partition(b"\0")[0]
        form.rooms.append(room)
        if output is not None:
            return output
        reason = one_line(said.decode(errors="replace"))
        if status == UNSUPPORTED:
            raise Unsupported(reason or "no reason given")
        raise Rejected(reason or f"status {status}")

    def _form(self, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> _Form:
        """Return the form of a call; raise `Unsupported` for what the interface cannot hold."""
        described = [
            (v.shape, v.strides, v.dtype.num, v.dtype.byteorder) if isinstance(v, np.ndarray) else v
            for v in arguments
        ]
        named = (*parameters.items(),)
        try:
            key = marshal.dumps((described, named), _EXACT)  # in which 1, 1.0 and True differ
        except ValueError:  # there is something else among them than numbers, and is refused
            key = b""
        form = self._forms.get(key) if key else None
        if form is None:
            check_types(parameters, "the C interface")
            if len(arguments) > self.arrays:
                check_types({"such shape": arguments[-1]}, "the C interface")
            packed = packed_parameters(named) if named else None
            sizes = tuple(v.shape if isinstance(v, np.ndarray) else v for v in arguments)
            result = np.empty(result_shape(self.operator, sizes, named), arguments[0].dtype)
            form = _Form(result.shape, (*arguments[: self.arrays], result), packed)
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            self._forms[key] = form
        return form


class _Form:
    """What calls have in common whose arguments differ in their numbers alone."""

    __slots__ = ("_packed", "_tensors", "rooms", "shape")

    def __init__(
        self, shape: tuple[int, ...], arrays: Sequence[Array | None], packed: bytes | None
    ) -> None:
        """Describe calls with ``arrays``, of which the last one is a result of this ``shape``."""
        self.shape, self._packed = shape, packed
        self._tensors = [
            v if v is None else _Tensor(*dlpack_kind(v.dtype), v.shape, v.strides) for v in arrays
        ]
        self.rooms: list[_Room] = []
        """Those that no call uses now."""

    def room(self) -> _Room:
        """Return new memory for a call."""
        return _Room(self._tensors, self._packed)


class _Room:
    """The memory of a call: its tensors, its parameters, and at last its message."""

    __slots__ = ("arguments", "content", "memory", "pointers")

    def __init__(self, tensors: Sequence[_Tensor | None], packed: bytes | None) -> None:
        size = sum(_HEAD.size + 16 * len(tensor.shape) for tensor in tensors if tensor)
        self.memory = ctypes.create_string_buffer(size + len(packed or b"") + MESSAGE)
        at = ctypes.addressof(self.memory)
        self.content, self.arguments = b"", list[int | None]()
        """What it holds before a call, and the arguments of the call."""
        self.pointers: list[ctypes.c_void_p] = []
        """Where each tensor has the address of its elements."""
        for tensor in tensors:
            begin = at + len(self.content)
            self.arguments.append(None if tensor is None else begin)
            if tensor is not None:
                self.pointers.append(ctypes.c_void_p.from_address(begin))
                self.content += tensor.at(begin)
        if packed is not None:
            self.arguments.insert(-1, at + len(self.content))
            self.content += packed
        self.arguments.append(at + len(self.content))
        self.content += bytes(MESSAGE)


class _Tensor(NamedTuple):
    """A tensor, but for where its elements lie."""

    code: int
    item: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def at(self, begin: int) -> bytes:
        """Return its DLTensor at an address, which its shape and its strides follow."""
        ndim, numbers = len(self.shape), begin + _HEAD.size
        bits, ends = 8 * self.item, (numbers, numbers + 8 * ndim)
        strides = [stride // self.item for stride in self.strides]
        head = _HEAD.pack(0, _CPU, 0, ndim, self.code, bits, 1, *ends, 0)
        return head + struct.pack(f"@{2 * ndim}q", *self.shape, *strides)


_HEAD = struct.Struct("@PiiiBBHPPQ")
"""A DLTensor."""


@lru_cache(maxsize=1024)
def packed_parameters(parameters: tuple[tuple[str, Any], ...]) -> bytes:
    """Return the struct of parameters; raise `Unsupported` for what it cannot hold."""
    lists = [value for _, value in parameters if isinstance(value, tuple)]
    dims = len(lists[0])
    if not 1 <= dims <= MOST_DIMS or any(len(value) != dims for value in lists):
        raise Unsupported("the C interface has as many entries of each parameter as there are axes")
    numbers = [dims]
    for name, value in parameters:
        if not isinstance(value, tuple):
            numbers.append(int(value))
            continue
        default = int(name in ("stride", "dilation", "kernel"))
        if name == "padding":
            if any(type(pair) is not tuple or len(pair) != 2 for pair in value):
                raise Unsupported("the C interface has a pair of paddings an axis")
            numbers += [end for pair in value for end in pair]
            numbers += [0] * (2 * (MOST_DIMS - dims))
        else:
            numbers += [*value, *[default] * (MOST_DIMS - dims)]
    return struct.pack(f"@{len(numbers)}q", *numbers)


@lru_cache(maxsize=32)
def dlpack_kind(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return DLPack's code of a dtype, and its bytes; raise `Unsupported` where it has none."""
    code = _BFLOAT if dtype.name == "bfloat16" else _CODES.get(dtype.kind)
    if code is None or not dtype.isnative:
        raise Unsupported(f"the C interface has no arrays of {dtype}")
    return code, dtype.itemsize
