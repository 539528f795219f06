"""Standalone scripts: a failing case as a few lines that need only NumPy and the implementation."""

from __future__ import annotations

import inspect
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from conformance.calling import Array, Inputs, to_layout
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.dtypes import TRAITS
from conformance.judging import HISTORY_OF_RELATIONS, Prepared, Verdict
from conformance.large.judge import is_large
from conformance.registration import entry_points
from conformance.registration.implementation import Implementation
from conformance.registration.plugins import is_plugin
from conformance.registration.snippets import plain
from conformance.signatures import SIGNATURES

_LITERAL = 2000
"""Arrays of up to this many elements are written out."""


def script_of(implementation: Implementation, case: Case, failure: Verdict) -> str:
    """Return a script that shows a failure in ``case`` in the way in which it was first shown."""
    if failure.history == HISTORY_OF_RELATIONS:
        return relation_script(implementation, case, failure.requirement or "")
    if is_large(case):
        return large_script(implementation, case)
    return script(implementation, Prepared.of(case), history=bool(failure.history))


def script(implementation: Implementation, prepared: Prepared, *, history: bool = False) -> str:
    """Return a Python script that makes the prepared call and prints what is wrong.

    Arrays are written out in the implementation's layout. Arrays that are too large for that are
    made by the case's recipe, and then the script needs convformance as well. With ``history`` the
    script continues with other data of the same shapes, and then with the first data many times.
    """
    case = prepared.case
    inputs, parameters = prepared.inputs, case.parameters
    if case.invalid:
        inputs, parameters = invalid.apply(case, inputs, parameters)
    names = SIGNATURES[case.operator].arguments
    keywords = "".join(f", {name}={plain(value)}" for name, value in parameters.items())
    call = f"{case.operator}({', '.join(names)}{keywords})"
    lines = ["import numpy as np", *_imports(implementation, case.operator)]
    if package := TRAITS[case.dtype].package:
        lines.insert(1, f"import {package}")
    lines += ["", f"# {case.id}", *_arrays(implementation, prepared, inputs)]
    for name, way, value in zip(names, memory_ways(case), inputs, strict=True):
        if value is None:
            continue
        lines += [line.replace("x", name) if name != "x" else line for line in _PLACED[way]]
    if case.invalid:
        lines += [f"# invalid: {invalid.describe(case)}", f"got = {call}  # must raise"]
        return "\n".join((*lines, 'print("accepted:", got)')) + "\n"
    lines += [f"got = {call}", *_SHOW]
    if history:
        other = Prepared.of(case.replace(seed=case.seed + 1))
        lines += ["first = got.copy()", "", "# other data of the same shapes"]
        lines += [*_arrays(implementation, other, other.inputs), f"got = {call}", *_SHOW]
        lines += ["", "# the first data again and again"]
        lines += _arrays(implementation, prepared, inputs)
        lines += [
            "for number in range(3, 104):",
            f"    if not np.array_equal({call}, first, equal_nan=True):",
            '        print("call", number, "differs from the first")',
            "        break",
        ]
    return "\n".join(lines) + "\n"


def relation_script(implementation: Implementation, case: Case, requirement: str) -> str:
    """Return a Python script that computes both sides of a relation, and compares them."""
    lines = [
        "from conformance.case import Case",
        "from conformance.checks.relations import relate",
        *_loading(implementation),
        "",
        f"case = Case.parse({case.id!r})",
        f"for verdict in relate(get({implementation.name!r}), case, {requirement!r}):",
        "    print(verdict)\n",
    ]
    return "\n".join(lines)


def large_script(implementation: Implementation, case: Case) -> str:
    """Return a Python script that makes the call of a large case, and says what is wrong."""
    layout, signature = implementation.layout, SIGNATURES[case.operator]
    keywords = ", ".join(f"{name}={plain(value)}" for name, value in case.parameters.items())
    lines = [
        *_imports(implementation, case.operator),
        "from conformance.calling import from_layout, to_layout",
        "from conformance.case import Case",
        "from conformance.cases.data import make_inputs",
        "from conformance.large.projection import check",
        "",
        f"case = Case.parse({case.id!r})",
        "inputs = make_inputs(case)",
        f"arguments = to_layout(inputs, {layout!r}, {signature.roles!r})",
        f"got = {case.operator}(*arguments, {keywords})",
        f"print(check(case, inputs, from_layout(got, {layout!r}, {signature.result!r})))",
    ]
    return "\n".join(lines) + "\n"


def replay_command(implementation: Implementation, case: Case, way: str = "") -> str:
    """Return the command that judges ``case`` again; it loads a file that no entry point names.

    ``way`` is how it is judged if not by one call (`conformance.running.causes.way_of`). The case
    id is quoted even if a POSIX shell does not need it, so that other shells read it, too.
    """
    words = ["convformance", "replay", f"'{case.id}'", shlex.quote(implementation.name)]
    if way:
        words += ["--as", way]
    if implementation.module not in entry_points.modules():
        words += ["--plugin", shlex.quote(implementation.origin)]
    if implementation.place is not None and implementation.place.python != sys.executable:
        words += ["--python", shlex.quote(f"{implementation.name}={implementation.place.python}")]
    return " ".join(words)


_SHOW = (
    'print("got", got, "exact", exact, sep="\\n")',
    "with np.errstate(all='ignore'):",
    '    print("differs by", np.max(np.abs(np.asarray(got, np.float64) - exact), initial=0))',
)

_PLACED: dict[str, tuple[str, ...]] = {
    "contiguous": (),
    "fortran": ("x = np.asfortranarray(x)",),
    "strided": (
        "buffer = np.zeros([2 * size + 1 for size in x.shape], x.dtype)",
        "view = buffer[tuple(slice(1, 2 * size + 1, 2) for size in x.shape)]",
        "view[...] = x; x = view",
    ),
    "reversed": ("flip = (slice(None, None, -1),) * x.ndim", "x = np.array(x[flip])[flip]"),
    "broadcast": ("from conformance.calling.memory import place", 'x, _ = place(x, "broadcast")'),
    "offset": (
        "view = np.zeros(x.size + 6, x.dtype)[3 : 3 + x.size].reshape(x.shape)",
        "view[...] = x; x = view",
    ),
    "unaligned": (
        "view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)",
        "view[...] = x; x = view",
    ),
    "readonly": ("x.flags.writeable = False",),
    "byteswapped": ("x = x.astype(x.dtype.newbyteorder())",),
}
"""The lines that put x into each memory layout (`conformance.calling.memory`)."""


def _arrays(implementation: Implementation, prepared: Prepared, inputs: Inputs) -> list[str]:
    """Return the lines that make the arguments and the exact result."""
    case, layout = prepared.case, implementation.layout
    signature = SIGNATURES[case.operator]
    arguments = to_layout(inputs, layout, signature.roles)
    exact = prepared.reference.exact
    if not case.invalid:
        (exact,) = to_layout((exact,), layout, (signature.result,))
    if all(np.size(value) <= _LITERAL for value in (*arguments, exact) if value is not None):
        lines = [
            f"{name} = {_literal(value)}"
            for name, value in zip(signature.arguments, arguments, strict=True)
        ]
        return lines if case.invalid else [*lines, f"exact = {_literal(exact)}"]
    return [
        "from conformance.calling import to_layout",
        "from conformance.case import Case",
        "from conformance.judging import Prepared",
        f"prepared = Prepared.of(Case.parse({case.id!r}))",
        f"{', '.join(signature.arguments)}{',' * (len(signature.arguments) == 1)} = "
        f"to_layout(prepared.inputs, {layout!r}, {signature.roles!r})",
        f"exact, = to_layout((prepared.reference.exact,), {layout!r}, ({signature.result!r},))",
    ]


def _imports(implementation: Implementation, operator: str) -> list[str]:
    function = inspect.unwrap(implementation.functions[operator])
    name = getattr(function, "__name__", operator)
    alias = "" if name == operator else f" as {operator}"
    module = getattr(function, "__module__", "") or ""
    place, file = implementation.place, Path(implementation.origin)
    in_worker = place is not None and place.target[0] == "file" and module == implementation.module
    if in_worker or is_plugin(module):
        if module == file.stem:
            path = f"sys.path.insert(0, {str(file.parent)!r})"
            return ["import sys", path, f"from {module} import {name}{alias}"]
        return [
            "import runpy",
            f"{operator} = runpy.run_path({str(file)!r})[{name!r}]",
        ]
    loaded = sys.modules.get(module)
    if loaded is not None and not hasattr(
        loaded, name
    ):  # a method, which its module has no name for
        getting = f"{operator} = get({implementation.name!r}).functions[{operator!r}]"
        return [*_loading(implementation), getting]
    return [f"from {module} import {name}{alias}"]


def _loading(implementation: Implementation) -> list[str]:
    """Return the lines that import ``get``, and make it find an implementation by its name."""
    getting = "from conformance.registration.registry import get"
    if implementation.module in entry_points.modules():
        return [getting]
    plugins = "from conformance.registration.plugins import load_plugin"
    return [plugins, getting, f"load_plugin({implementation.origin!r})"]


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return plain(value)
    target = dtype_text(value)
    if value.size == 0:
        return f"np.empty({value.shape}, {target})"
    return f"np.array({numbers(value)}, {target})"


def dtype_text(value: Array) -> str:
    """Return the dtype of an array as source text; only dtypes of numbers have a NumPy name."""
    name = value.dtype.name
    if name in TRAITS:
        return f"{TRAITS[name].package or 'np'}.{name}"
    if value.dtype.kind in "fiu":
        return f"np.{name}"
    return {"O": "object", "b": "bool"}.get(value.dtype.kind, repr(value.dtype.str))


def numbers(value: Array) -> str:
    """Return an array, or a single number, as source text."""
    if value.dtype.kind in "iubOUS":
        return repr(value.tolist())
    text = repr(value.astype(np.float64).tolist())
    text = text.replace("inf", "np.inf").replace("nan", "np.nan")
    return text.replace(".0,", ",").replace(".0]", "]")
