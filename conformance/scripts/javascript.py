"""Engine scripts in JavaScript: a case in a few lines that need only Node.js and the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from conformance.calling import Array, to_layout
from conformance.cases import invalid
from conformance.judging import Prepared
from conformance.registration import npm
from conformance.registration.implementation import Implementation
from conformance.registration.snippets import SnippetCall
from conformance.signatures import SIGNATURES

_ARRAYS = {
    "float32": "Float32Array",
    "float64": "Float64Array",
    "float16": "Uint16Array",  # the bits of each number
    "int8": "Int8Array",
    "int32": "Int32Array",
    "uint8": "Uint8Array",
}
_WRITTEN_OUT = 400
"""The size up to which an array is written out."""


def javascript(
    implementation: Implementation, prepared: Prepared, call: SnippetCall, snippet: Sequence[str]
) -> str:
    """Return the script that a snippet's lines are a part of, "" where its arrays are too large.

    Arrays are typed ones, of the names of the arguments; the snippet's lines make ``got``, a typed
    array, and ``shape`` of them. To run it, the engine's packages have to be installed beside it.
    """
    case = prepared.case
    arrays = {name: a for name, a in call.arguments.items() if isinstance(a, np.ndarray)}
    if any(a.size > _WRITTEN_OUT or a.dtype.name not in _ARRAYS for a in arrays.values()):
        return ""
    package = (implementation.package or implementation.name).removeprefix(npm.PREFIX)
    lines = [
        f"// {package} {implementation.version}: {case.id}",
        *(line for line in snippet if line.startswith("import ")),
        *(f"const {name} = {typed(array)};" for name, array in arrays.items()),
        *(line for line in snippet if not line.startswith("import ")),
    ]
    if case.invalid:
        due = json.dumps(f"where an exception is due: {invalid.describe(case)}")
        return "\n".join((*lines, f'console.log("returned", got, {due});', ""))
    role = SIGNATURES[case.operator].result
    (exact,) = to_layout((prepared.reference.exact,), implementation.layout, (role,))
    if exact.size > _WRITTEN_OUT:
        return ""
    due = typed(exact.astype(case.dtype) if case.dtype == "float16" else exact)
    lines.append(f'console.log("got", shape, got, "exact", {list(exact.shape)}, {due});')
    return "\n".join((*lines, ""))


def typed(array: Array) -> str:
    """Return an array as the expression of a typed one, in C order."""
    bits = array.view(np.uint16) if array.dtype == np.float16 else array
    text = ", ".join(map(_number, bits.reshape(-1).tolist()))
    return f"new {_ARRAYS[array.dtype.name]}([{text}])"


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    return repr(value).removesuffix(".0").replace("inf", "Infinity")
