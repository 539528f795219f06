"""ONNX models of one node as source text, each one line of ONNX's own notation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.implementations.engines.onnx.model import (
    OPERATORS,
    attributes,
    opset_and_ir_version,
)
from conformance.registration.snippets import SnippetCall, plain

_TYPES = {"float32": "float", "float64": "double", "bfloat16": "float"}
"""ONNX's name of a dtype, where it is another one; bfloat16 arrives as float32 (`SnippetCall`)."""
_FLOAT, _BFLOAT16 = 1, 16
"""ONNX's numbers of two dtypes."""


def runtime(call: SnippetCall, chosen: Mapping[str, str] | None = None) -> list[str] | None:
    """Return the lines that make a call with ONNX Runtime, with the options chosen."""
    chosen = chosen or {}
    constants = ("w",) if chosen.get("constant") == "on" else ()
    settings, lines = "", _model(call, constants, "onnxruntime")
    if (optimization := chosen.get("optimization", "all")) != "all":
        level = "ORT_DISABLE_ALL" if optimization == "off" else f"ORT_ENABLE_{optimization.upper()}"
        lines[-1] += (
            "; options = onnxruntime.SessionOptions(); options.graph_optimization_level = "
            f"onnxruntime.GraphOptimizationLevel.{level}"
        )
        settings = ", options"
    if (provider := chosen.get("provider", "CPU")) != "CPU":
        settings += f", providers=['{provider}ExecutionProvider']"
    session = f"onnxruntime.InferenceSession(model.SerializeToString(){settings})"
    return [*lines, f"got = {session}.run(None, {_feeds(call, constants)})[0]"]


def reference(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with ONNX's reference evaluator."""
    result = f"onnx.reference.ReferenceEvaluator(model).run(None, {_feeds(call, ())})[0]"
    return [*_model(call, (), "onnx.reference"), f"got = {result}"]


def opencv(call: SnippetCall, chosen: tuple[str, str] = ("auto", "on")) -> list[str] | None:
    """Return the lines that make a call with cv2.dnn, the weight and the bias in the model.

    ``chosen`` are the engine, and whether Winograd is used.
    """
    given = "np.frombuffer(model.SerializeToString(), np.uint8)"
    given += "" if chosen[0] == "auto" else f", cv2.dnn.ENGINE_{chosen[0].upper()}"
    read = f"net = cv2.dnn.readNetFromONNX({given})"
    if chosen[1] == "off":
        read += "; net.enableWinograd(False)"
    return [
        *_model(call, ("w", "bias"), "cv2", fixed=True),
        f"{read}; net.setInput({_copy('x')}); got = net.forward()",
    ]


def _model(
    call: SnippetCall, constants: tuple[str, ...], engine: str, *, fixed: bool = False
) -> list[str]:
    """Return the lines that import ONNX and the engine, and make the model in ONNX's notation."""
    names = [name for name, value in call.arguments.items() if value is not None]
    initializers = [name for name in names if name in constants]
    inputs = ", ".join(_tensor(call, name, fixed) for name in names if name not in initializers)
    result = f"{_TYPES.get(call.dtype, call.dtype)}[{_axes('y', call.arguments['x'].ndim)}] y"
    opset, ir_version = opset_and_ir_version(call.versions)
    header = f'<ir_version: {ir_version}, opset_import: ["": {opset}]>'
    graph = f"g ({inputs}) => ({result}) {{ {_nodes(call, names)} }}"
    line = f"model = onnx.parser.parse_model('{header} {graph}')"
    for name in initializers:
        array = f"onnx.numpy_helper.from_array({_copy(name)}, '{name}')"
        line += f"; model.graph.initializer.append({array})"
    helper = ", onnx.numpy_helper" if initializers else ""
    return [f"import onnx.parser{helper}, {engine}", line]


def _nodes(call: SnippetCall, names: list[str]) -> str:
    """Return the operator's node; in bfloat16 nodes around it convert from and to float32."""
    values = ", ".join(f"{name} = {_value(value)}" for name, value in attributes(call.parameters))
    node = f"{OPERATORS[call.operator]} <{values}>"
    if call.dtype != "bfloat16":
        return f"y = {node} ({', '.join(names)})"
    casts = " ".join(f"half_{name} = Cast <to = {_BFLOAT16}> ({name})" for name in names)
    halves = ", ".join(f"half_{name}" for name in names)
    return f"{casts} half_y = {node} ({halves}) y = Cast <to = {_FLOAT}> (half_y)"


def _tensor(call: SnippetCall, name: str, fixed: bool) -> str:
    array = call.arguments[name]
    axes = ", ".join(map(str, array.shape)) if fixed else _axes(name, array.ndim)
    return f"{_TYPES.get(array.dtype.name, array.dtype.name)}[{axes}] {name}"


def _axes(name: str, count: int) -> str:
    return ", ".join(f"{name}{axis}" for axis in range(count))


def _feeds(call: SnippetCall, constants: tuple[str, ...]) -> str:
    names = [n for n, value in call.arguments.items() if value is not None and n not in constants]
    return f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}"


def _copy(name: str) -> str:
    """Return an array of the script as engines in C++ can read it."""
    return f"np.array({name}, order='C')"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else plain(value)
