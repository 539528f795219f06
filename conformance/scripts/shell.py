"""Shell scripts: a case as the bytes that a program reads, and what it answers in numbers."""

from __future__ import annotations

import shlex
import sys

import numpy as np

from conformance.calling import Inputs, to_layout
from conformance.case import Case
from conformance.cases import invalid
from conformance.dtypes import TRAITS, numpy_dtype
from conformance.forms.process import GREETING, request
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES

_WRITTEN_OUT = 16_000
"""Bytes of a call that are written out. Those of a larger one the suite has to make."""
_FORMATS = {"f": "f", "i": "d", "u": "u"}
"""How od prints numbers, by NumPy's kind of a dtype."""


def shell_script(implementation: Implementation, prepared: Prepared) -> str:
    """Return a shell script that makes the call of a program, and prints its answer.

    Raises `Unsupported` where the protocol cannot express the call.
    """
    case, layout = prepared.case, implementation.layout
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    assert implementation.place is not None
    program = shlex.join(shlex.split(implementation.place.target[1]))
    data = _call(case.operator, inputs, parameters, layout)
    if len(data) <= _WRITTEN_OUT:
        feed = f"printf '{_escaped(data)}'"
    else:
        made = f"from conformance.scripts.shell import feed; feed({case.id!r}, {layout!r})"
        feed = f"{shlex.quote(sys.executable)} -c {shlex.quote(made)}"
    lines = [
        "#!/bin/sh",
        f"# {implementation.name}: {case.id}",
        "answer=$(mktemp)",
        f'{feed} | {program} > "$answer"',
        'head -n 2 "$answer"  # to the greeting, and to the call',
    ]
    if case.invalid:
        due = f"due: rejected, since this is invalid: {invalid.describe(case)}"
        return "\n".join((*lines, f"echo {shlex.quote(due)}")) + "\n"
    (exact,) = to_layout((prepared.reference.exact,), layout, (SIGNATURES[case.operator].result,))
    dtype = numpy_dtype(case.dtype)
    with np.errstate(all="ignore"):
        exact = np.ascontiguousarray(exact).astype(dtype)
    known = TRAITS[case.dtype].package is None and case.dtype != "float16"
    form = f"{_FORMATS[dtype.kind]}{dtype.itemsize}" if known else f"x{dtype.itemsize}"
    lines += [f'tail -n +3 "$answer" | od -A n -v -t {form}']
    if exact.nbytes <= _WRITTEN_OUT:
        lines += ["echo exact:", f"printf '{_escaped(exact.tobytes())}' | od -A n -v -t {form}"]
    return "\n".join(lines) + "\n"


def feed(case_id: str, layout: str) -> None:
    """Write the greeting and the call of a case to stdout, for a program to read."""
    prepared = Prepared.of(Case.parse(case_id))
    case = prepared.case
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    sys.stdout.buffer.write(_call(case.operator, inputs, parameters, layout))


def _call(operator: str, inputs: Inputs, parameters: dict[str, object], layout: str) -> bytes:
    arguments = to_layout(inputs, layout, SIGNATURES[operator].roles)
    return GREETING + request(operator, arguments, parameters)


def _escaped(data: bytes) -> str:
    """Return bytes as a format of printf, which stands between single quotes in a shell."""
    plain = {*range(0x20, 0x7F)} - {*b"\\%'"}
    text = "".join(chr(b) if b in plain else f"\\{b:03o}" for b in data)
    return text.replace("\\012", "\\n")
