"""C programs: a case as a call of a library, in a shell script that compiles and runs it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conformance.calling import Array
from conformance.calling.memory import place_all
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.dtypes import numpy_dtype
from conformance.errors import Unsupported
from conformance.forms.asking import check_types
from conformance.forms.header import DLPACK, PREFIX, parameters_of, prototype_of
from conformance.forms.library import dlpack_kind, packed_parameters
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES
from conformance.sizes import result_shape

_WRITTEN_OUT = 8_000
"""Bytes of arrays that are written out; a larger call is made by a script in Python."""
_INTEGERS = {1: "int8_t", 2: "int16_t", 4: "int32_t", 8: "int64_t"}


def c_program(implementation: Implementation, prepared: Prepared) -> str:
    """Return a shell script that compiles and runs a C program, which makes the prepared call.

    Raises `Unsupported` where the interface cannot express the call, or its arrays are large.
    """
    case = prepared.case
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    signature = SIGNATURES[case.operator]
    check_types(parameters, "the C interface")
    given = tuple(parameters.items())
    sizes = tuple(v.shape if isinstance(v, np.ndarray) else v for v in inputs)
    shape = result_shape(case.operator, sizes, given)
    arrays = {
        name: (view, buffer)
        for name, (view, buffer) in zip(
            signature.arguments, place_all(inputs, memory_ways(case)), strict=True
        )
        if name in signature.arrays
    }
    exact = np.empty(0) if case.invalid else prepared.reference.exact
    dtype = numpy_dtype(case.dtype)
    size = exact.nbytes + sum(b.nbytes for _, b in arrays.values() if b is not None)
    if size > _WRITTEN_OUT:
        raise Unsupported("the arrays are large")
    assert implementation.place is not None
    main: list[str] = []
    for name, (view, buffer) in arrays.items():
        if view is not None and buffer is not None:
            main += _array(name, view, buffer)
    result = np.empty(shape, inputs[0].dtype)
    main += _array("result", result, result)
    arguments = ["NULL" if view is None else f"&{name}" for name, (view, _) in arrays.items()]
    if given:
        numbers = np.frombuffer(packed_parameters(given), np.int64)
        main.append(f"int64_t parameters[] = {{{', '.join(map(str, numbers))}}};")
        arguments.append("(const void *)parameters")
    call = f"{PREFIX}{case.operator}({', '.join([*arguments, '&result', 'message'])})"
    main += [
        "char message[256] = {0};",
        f"int status = {call};",
        'printf("status %d %s\\n", status, message);',
    ]
    if case.invalid:
        due = invalid.describe(case).replace("\\", "/").replace('"', "'").replace("%", "%%")
        main.append(f'printf("due: not 0, since this is invalid: {due}\\n");'.replace("%", "%%", 0))
    else:
        with np.errstate(all="ignore"):
            exact = np.ascontiguousarray(exact).astype(dtype)
        main += _bytes("exact", exact)
        main += _printed("result", result.dtype, result.size)
        main += _printed("exact", exact.dtype, exact.size)
    library = Path(implementation.place.target[1])
    source = [
        f"/* {implementation.name}: {case.id} */",
        "#include <stdint.h>",
        "#include <stdio.h>",
        *DLPACK.splitlines(),
        *parameters_of(case.operator).splitlines(),
        *prototype_of(case.operator).splitlines(),
        "",
        "int main(void)",
        "{",
        *(f"    {line}" for line in main),
        "    return 0;",
        "}",
    ]
    at = shlex.quote(str(library))
    folder = shlex.quote(f"-Wl,-rpath,{library.parent}")
    return "\n".join(
        (
            "#!/bin/sh",
            "folder=$(mktemp -d)",
            "cat > \"$folder/case.c\" <<'END'",
            *source,
            "END",
            f'cc "$folder/case.c" {at} {folder} -o "$folder/case" && "$folder/case"',
            "",
        )
    )


def _array(name: str, view: Array, buffer: Array) -> list[str]:
    """Return the statements that make a DLTensor, by the strides of the view of a buffer."""
    code, item = dlpack_kind(view.dtype)
    strides = [stride // item for stride in view.strides]
    away = view.ctypes.data - buffer.ctypes.data if view.size else 0
    data = [f"static unsigned char {name}_data[{max(1, view.nbytes)}];"]
    if name != "result":
        data = _bytes(f"{name}_data", buffer)
    return [
        *data,
        f"int64_t {name}_shape[] = {{{_listed(view.shape)}}};",
        f"int64_t {name}_strides[] = {{{_listed(strides)}}};",
        f"DLTensor {name} = {{(char *){name}_data + {away}, {{kDLCPU, 0}}, {view.ndim}, "
        f"{{{code}, {8 * item}, 1}}, {name}_shape, {name}_strides, 0}};",
    ]


def _bytes(name: str, array: Array) -> list[str]:
    """Return the statement that makes the memory of an array, in numbers where C has them."""
    flat = np.frombuffer(array.tobytes(order="A"), array.dtype)
    kind = _kind(array.dtype)
    if kind is None or (array.dtype.kind == "f" and not np.isfinite(flat).all()) or not flat.size:
        text = ", ".join(map(str, flat.view(np.uint8))) or "0"
        return [f"static _Alignas(16) unsigned char {name}[] = {{{text}}};"]
    text = ", ".join(repr(value) for value in flat.tolist())
    return [f"static {kind} {name}[] = {{{text}}};"]


def _printed(name: str, dtype: np.dtype[np.generic], count: int) -> list[str]:
    """Return the statements that print the elements of the result, or of the exact one."""
    kind = _kind(dtype)
    data = "result_data" if name == "result" else "exact"
    one = f"((double)(({kind} *){data})[i])" if kind else f"((uint16_t *){data})[i]"
    form = "%.17g" if kind else "0x%04x"
    return [
        f'printf("{name}:");',
        f'for (int i = 0; i < {count}; i++) printf(" {form}", {one});',
        'printf("\\n");',
    ]


def _kind(dtype: np.dtype[np.generic]) -> str | None:
    """Return C's type of a dtype, None where it has none."""
    if dtype.kind in "iu":
        return "uint8_t" if dtype.kind == "u" else _INTEGERS[dtype.itemsize]
    return {4: "float", 8: "double"}.get(dtype.itemsize) if dtype.kind == "f" else None


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "0"
