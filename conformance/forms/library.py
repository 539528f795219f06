"""C libraries: functions of the interface that `conformance.forms.header` writes, by ctypes.

The result is allocated here, between canaries, and filled with NaN: what the library writes around
it, and what it does not write, are both seen. Errors of loading name the symbol.
"""

from __future__ import annotations

import ctypes
import json
import marshal
import struct
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
        inputs = arguments[: self.arrays]
        sizes = tuple([v.shape if isinstance(v, np.ndarray) else v for v in arguments])
        form = self._form(sizes, tuple(parameters.items()))
        result = ToFill(self.arena, form.shape, inputs[0].dtype)
        room = ctypes.create_string_buffer(form.layout.size)
        at = ctypes.addressof(room)
        content: list[Any] = []
        present = iter(form.begins)
        places: list[int | None] = []
        for value in (*inputs, result.array):
            if value is None:
                places.append(None)
                continue
            begin = at + next(present)
            places.append(begin)
            code, item = dlpack_kind(value.dtype)
            data = result.address if value is result.array else value.ctypes.data
            ndim, numbers = value.ndim, begin + _TENSOR.size
            if data % item:
                raise Unsupported("the C interface has no unaligned arrays")
            content += (data, _CPU, 0, ndim, code, 8 * item, 1, numbers, numbers + 8 * ndim, 0)
            content += value.shape
            content += [stride // item for stride in value.strides]
        form.layout.pack_into(room, 0, *content, form.parameters, b"")
        message = at + form.message
        if form.parameters:
            places.insert(-1, message - len(form.parameters))
        status = self.function(*places, message)
        del value
        output = result.finished(written=status == 0)
        if output is not None:
            return output
        said = room.raw[form.message :].partition(b"\0")[0].decode(errors="replace")
        if status == UNSUPPORTED:
            raise Unsupported(one_line(said) or "no reason given")
        raise Rejected(one_line(said) or f"status {status}")

    def _form(self, sizes: tuple[Any, ...], parameters: tuple[tuple[str, Any], ...]) -> _Form:
        """Return the form of a call; raise `Unsupported` for what the interface cannot hold."""
        try:
            key = marshal.dumps((sizes, parameters), _EXACT)  # in which 1, 1.0 and True differ
        except ValueError:  # there is something else among them than numbers, and is refused
            key = b""
        form = self._forms.get(key) if key else None
        if form is None:
            check_types(dict(parameters), "the C interface")
            if len(sizes) > self.arrays:
                check_types({"such shape": sizes[-1]}, "the C interface")
            packed = packed_parameters(parameters) if parameters else b""
            shape = result_shape(self.operator, sizes, parameters)
            tensors = [*(size for size in sizes[: self.arrays] if size is not None), shape]
            form = _Form(shape, packed, *_room_of(tuple(map(len, tensors)), len(packed)))
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            self._forms[key] = form
        return form


class _Form(NamedTuple):
    """What calls have in common whose arguments have the same shapes and parameters."""

    shape: tuple[int, ...]
    """The result's."""
    parameters: bytes
    layout: struct.Struct
    begins: tuple[int, ...]
    message: int


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


_TENSOR = struct.Struct("@PiiiBBHPPQ")
"""A DLTensor; its shape and its strides follow it here."""


@lru_cache(maxsize=256)
def _room_of(ndims: tuple[int, ...], parameters: int) -> tuple[struct.Struct, tuple[int, ...], int]:
    """Return the memory of a call, where each tensor of so many axes begins, and the message.

    The bytes of the parameters lie before the message.
    """
    form, begins, end = "@", [], 0
    for ndim in ndims:
        begins.append(end)
        form += f"{_TENSOR.format[1:]}{2 * ndim}q"
        end += _TENSOR.size + 16 * ndim
    return struct.Struct(f"{form}{parameters}s{MESSAGE}s"), (*begins,), end + parameters


@lru_cache(maxsize=32)
def dlpack_kind(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return DLPack's code of a dtype, and its bytes; raise `Unsupported` where it has none."""
    code = _BFLOAT if dtype.name == "bfloat16" else _CODES.get(dtype.kind)
    if code is None or not dtype.isnative:
        raise Unsupported(f"the C interface has no arrays of {dtype}")
    return code, dtype.itemsize
