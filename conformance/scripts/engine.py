"""Engine scripts: a case in at most ten lines that need only NumPy and the engine.

The implementation writes the call (`conformance.registration.snippets`), this module the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conformance.calling import Array, to_layout
from conformance.calling.memory import place
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.dtypes import TRAITS
from conformance.errors import ConformanceError
from conformance.judging import Prepared, Verdict
from conformance.large.judge import is_large
from conformance.registration.implementation import Implementation
from conformance.registration.snippets import InJavaScript, SnippetCall
from conformance.scripts.javascript import javascript
from conformance.scripts.placing import shared, view_text
from conformance.scripts.standalone import dtype_text, numbers
from conformance.signatures import SIGNATURES

MOST_LINES = 10
_WRITTEN_OUT = 400
"""The size up to which an array is written out. A larger one must have equal elements, or few
that are not zero."""
_FEW = 6
_PRINTED = 64
"""The size up to which a result is printed in full. Of a larger one the worst element is."""

_PACKAGED = [name for name, traits in TRAITS.items() if traits.package]
"""The dtypes that NumPy does not have: an engine makes them of float32."""

_PLACED = {
    "contiguous": "{array}",
    "fortran": "np.asfortranarray({array})",
    "strided": "np.kron({array}, np.ones({twos}, {dtype}))[{halves}]",
    "reversed": "np.flip(np.flip({array}).copy())",
    "broadcast": "np.broadcast_to({array}, {shape})",
    "offset": "np.pad(np.ravel({array}), 3)[3:-3].reshape({shape})",
    "unaligned": "np.frombuffer(bytearray(1) + {array}.tobytes(), {dtype}, offset=1)"
    ".reshape({shape})",
    "readonly": "np.broadcast_to({array}, {shape})",
    "byteswapped": "{array}.astype(np.dtype({dtype}).newbyteorder())",
}
"""An array as an expression in the memory layouts that `view_text` does not write."""


def engine_script_of(
    implementation: Implementation, case: Case, failure: Verdict, verdict: Verdict
) -> str:
    """Return a script that shows ``verdict`` in ``case``, to which a ``failure`` was shrunk.

    It is empty if the failure needs several calls, and if `engine_script` is empty.
    """
    if failure.history or failure.requirement == "PROCESS-6" or is_large(case):
        return ""
    return engine_script(implementation, Prepared.of(case), verdict)


def engine_script(
    implementation: Implementation, prepared: Prepared, verdict: Verdict | None = None
) -> str:
    """Return a script of at most ten lines that makes the prepared call with the engine alone.

    Of a large result it prints the worst element, by the ``verdict``. It is empty if the
    implementation has no snippet for the call, or its arrays are too large.
    """
    if implementation.snippet is None:
        return ""
    case = prepared.case
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    signature = SIGNATURES[case.operator]
    arrays = to_layout(inputs, implementation.layout, signature.roles)
    arguments = dict(zip(signature.arguments, arrays, strict=True))
    memory = dict(zip(signature.arguments, memory_ways(case), strict=True))
    call = SnippetCall(
        case.operator,
        case.dims,
        case.dtype,
        arguments,
        parameters,
        memory,
        versions=implementation.packages,
        invalid=case.invalid,
    )
    try:
        snippet = implementation.snippet(call)
        if not snippet:
            return ""
        if isinstance(implementation.snippet, InJavaScript):
            return javascript(implementation, prepared, call, snippet)
        assignments = (
            _sharing(arguments)
            if "shared" in memory.values()
            else [_assignment(name, value, memory[name]) for name, value in arguments.items()]
        )
        result = _result(implementation, prepared, verdict)
    except ConformanceError:
        raise
    except Exception:  # an invalid call may have anything in it, and a snippet may decline
        return ""
    lines = [line for text in snippet for line in text.splitlines()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    calls = [line for line in lines if line not in imports]
    script = [
        "import numpy as np",
        *imports,
        f"# {implementation.package or implementation.name} {implementation.version}"
        f"{_where(implementation)}: {case.id}",
        *(line for line in assignments if line),
        *calls,
        *result,
    ]
    if len(script) > MOST_LINES or None in assignments:
        return ""
    return "\n".join(script) + "\n"


def _where(implementation: Implementation) -> str:
    """Return the interpreter that it runs in, if that is another one."""
    there = implementation.place
    return "" if there is None or there.python == sys.executable else f" in {there.python}"


def _assignment(name: str, value: Any, way: str) -> str | None:
    """Return the line that makes one argument. It is empty for a shape, None for a large array."""
    if not isinstance(value, np.ndarray):
        return "" if isinstance(value, tuple) else f"{name} = {value!r}"
    if value.dtype.name in _PACKAGED:
        if way != "contiguous":
            return None
        value = value.astype(np.float32)
    shape = value.shape
    if way == "broadcast":
        value = place(value, way)[1]
    array, statements = _expression(name, value)
    if array is None or (statements and way != "contiguous"):
        return None
    expression = view_text(array, value, way)
    if way in _PLACED:
        expression = _PLACED[way].format(
            array=array,
            shape=shape,
            dtype=dtype_text(value),
            twos=(2,) * value.ndim,
            halves=", ".join(["::2"] * value.ndim),
        )
    return f"{name} = {expression}{statements}"


def _sharing(arguments: Mapping[str, Any]) -> list[str | None]:
    """Return the lines that make the arguments, arrays as parts of one buffer."""
    arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    buffer, begins = shared(arrays)
    lines = [_assignment("buffer", buffer, "shared")]  # none of a dtype that NumPy does not have
    for name, value in arguments.items():
        if name in arrays:
            part = f"buffer[{begins[name]}:{begins[name] + value.size}]"
            lines.append(f"{name} = {part}.reshape({value.shape})")
        else:
            lines.append(_assignment(name, value, "contiguous"))
    return lines


def _expression(name: str, value: Array) -> tuple[str | None, str]:
    """Return an array as an expression, None if too large, and statements that complete it."""
    dtype, flat = dtype_text(value), value.reshape(-1)
    if value.size == 0:
        return f"np.empty({value.shape}, {dtype})", ""
    if value.dtype.kind not in "fiu":
        return (f"np.array({value.tolist()!r}, {dtype})", "") if value.size < _FEW else (None, "")
    if value.size > _FEW and flat.tobytes() == flat[:1].tobytes() * flat.size:
        return f"np.full({value.shape}, {numbers(flat[0])}, {dtype})", ""
    signed = value if value.dtype.kind == "u" else np.copysign(1, value) * (value == 0)
    indices = [tuple(index) for index in np.argwhere((value != 0) | (signed < 0))]
    if value.size > 4 * _FEW and len(indices) <= _FEW:
        elements = [(", ".join(map(str, index)), numbers(value[index])) for index in indices]
        statements = "".join(f"; {name}[{index}] = {number}" for index, number in elements)
        return f"np.zeros({value.shape}, {dtype})", statements
    if value.size > _WRITTEN_OUT:
        return None, ""
    return f"np.array({numbers(value)}, {dtype})", ""


def _result(
    implementation: Implementation, prepared: Prepared, verdict: Verdict | None
) -> Sequence[str]:
    """Return the lines that print the result beside the exact one, or beside what is due."""
    case = prepared.case
    if case.invalid:
        due = invalid.describe(case).replace('"', "'").replace("\\", "/")
        return [f'print("returned", got, "where an exception is due: {due}")']
    role = SIGNATURES[case.operator].result
    (exact,) = to_layout((prepared.reference.exact,), implementation.layout, (role,))
    if exact.size <= _PRINTED:
        text = f"np.array({numbers(exact)})" if exact.size else f"np.empty({exact.shape})"
        if verdict is not None and verdict.requirement == "RESULT-4":
            return [f"exact = {text}", f'print("got", got.dtype, "where {case.dtype} is due")']
        return [f"exact = {text}", 'print("got", got, "exact", exact)']
    at = None if verdict is None else verdict.at
    if at is None:
        return [f"exact = np.empty({exact.shape})", 'print("shape", got.shape, "due", exact.shape)']
    worst = np.zeros(prepared.reference.exact.shape, bool)
    worst[at] = True
    (index,) = np.argwhere(to_layout((worst,), implementation.layout, (role,))[0]).tolist()
    subscript = ", ".join(map(str, index))
    return [
        f"got, exact = got[{subscript}], {numbers(prepared.reference.exact[at])}",
        f'print("at [{subscript}]: got", got, "exact", exact)',
    ]
