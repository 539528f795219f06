"""Standalone scripts: a failing case as a few lines that need NumPy and the implementation only."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from conformance.calling import Array, to_layout
from conformance.judging import Prepared
from conformance.registry import Implementation
from conformance.signatures import SIGNATURES

_LITERAL = 2000
"""Arrays of up to this many elements are written out."""


def script(one: Implementation, prepared: Prepared) -> str:
    """Return a Python script that calls ``one`` on the prepared case and prints the difference.

    Arrays are written out, in the implementation's layout; those too large for that are made by
    the case's recipe, for which the script needs convformance as well.
    """
    case = prepared.case
    signature = SIGNATURES[case.operator]
    names = signature.arguments
    inputs = to_layout(prepared.inputs, one.layout, signature.roles)
    exact = to_layout((prepared.reference.exact,), one.layout, (signature.result,))[0]
    lines = ["import numpy as np", *_imports(one, case.operator)]
    if case.dtype == "bfloat16":
        lines.insert(1, "import ml_dtypes")
    lines += ["", f"# {case.id}"]
    if all(np.size(value) <= _LITERAL for value in (*inputs, exact) if value is not None):
        for name, value in zip(names, inputs, strict=True):
            lines.append(f"{name} = {_literal(value, case.dtype)}")
        lines.append(f"exact = {_literal(exact, exact.dtype.name)}")
    else:
        lines += [
            "from conformance.calling import to_layout",
            "from conformance.case import Case",
            "from conformance.judging import Prepared",
            f"prepared = Prepared.of(Case.parse({case.id!r}))",
            f"{', '.join(names)}{',' * (len(names) == 1)} = "
            f"to_layout(prepared.inputs, {one.layout!r}, {signature.roles!r})",
            f"exact, = to_layout((prepared.reference.exact,), {one.layout!r}, "
            f"({signature.result!r},))",
        ]
    keywords = "".join(f", {name}={value!r}" for name, value in case.parameters.items())
    lines += [
        f"got = {case.operator}({', '.join(names)}{keywords})",
        'print("got", got, "exact", exact, sep="\\n")',
        'print("largest difference:", np.max(np.abs(np.asarray(got, np.float64) - exact)))'
        if prepared.reference.exact.size
        else 'print("shape:", np.shape(got), "due:", exact.shape)',
    ]
    return "\n".join(lines) + "\n"


def _imports(one: Implementation, operator: str) -> list[str]:
    function = inspect.unwrap(one.functions[operator])
    name = getattr(function, "__name__", operator)
    alias = "" if name == operator else f" as {operator}"
    module = getattr(function, "__module__", "") or ""
    if module.startswith("convformance_plugin_"):
        return [
            "import runpy",
            f"{operator} = runpy.run_path({str(Path(one.origin))!r})[{name!r}]",
        ]
    return [f"from {module} import {name}{alias}"]


def _literal(value: Any, dtype: str) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    target = "ml_dtypes.bfloat16" if dtype == "bfloat16" else f"np.{dtype}"
    if value.size == 0:
        return f"np.empty({value.shape}, {target})"
    return f"np.array({_numbers(value)}, {target})"


def _numbers(value: Array) -> str:
    whole = value.dtype.kind in "iu"
    text = repr(value.tolist() if whole else value.astype(np.float64).tolist())
    return (
        text.replace("inf", "np.inf")
        .replace("nan", "np.nan")
        .replace(".0,", ",")
        .replace(".0]", "]")
    )
