"""ONNX models of one node as source text, for the scripts of reports (`conformance.snippets`).

ONNX has a notation for models, so that one line of a script holds a whole one.
"""

from __future__ import annotations

from typing import Any

from conformance.snippets import Call, plain
from implementations import _onnx_open_model as models

_NODES = {
    "conv": "Conv",
    "conv_transpose": "ConvTranspose",
    "max_pool": "MaxPool",
    "avg_pool": "AveragePool",
}
_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "float16",
    "int8": "int8",
    "uint8": "uint8",
}


def runtime(call: Call) -> list[str] | None:
    """Return the lines that make a call with ONNX Runtime."""
    inputs = _inputs(call)
    return [
        "import onnx.parser, onnxruntime",
        f"model = onnx.parser.parse_model('{_model(call, inputs)}')",
        "got = onnxruntime.InferenceSession(model.SerializeToString())"
        f".run(None, {_fed(inputs)})[0]",
    ]


def runtime_constant(call: Call) -> list[str] | None:
    """Return the lines that make a call with ONNX Runtime, the weight a constant of the model."""
    inputs = [name for name in _inputs(call) if name != "w"]
    constant = "model.graph.initializer.append(onnx.numpy_helper.from_array(w, 'w'))"
    return [
        "import onnx.parser, onnx.numpy_helper, onnxruntime",
        f"model = onnx.parser.parse_model('{_model(call, inputs)}'); {constant}",
        "got = onnxruntime.InferenceSession(model.SerializeToString())"
        f".run(None, {_fed(inputs)})[0]",
    ]


def evaluator(call: Call) -> list[str] | None:
    """Return the lines that make a call with ONNX's reference evaluator."""
    inputs = _inputs(call)
    return [
        "import onnx.parser, onnx.reference",
        f"model = onnx.parser.parse_model('{_model(call, inputs)}')",
        f"got = onnx.reference.ReferenceEvaluator(model).run(None, {_fed(inputs)})[0]",
    ]


def _inputs(call: Call) -> list[str]:
    return [name for name, value in call.arguments.items() if value is not None]


def _fed(inputs: list[str]) -> str:
    return f"{{{', '.join(f'{name!r}: {name}' for name in inputs)}}}"


def _model(call: Call, inputs: list[str]) -> str:
    """Return the model in ONNX's notation, with an input for each of ``inputs``."""
    kind = _TYPES[call.dtype]
    typed = [
        f"{kind}[{', '.join(f'{name}{axis}' for axis in range(call.arguments[name].ndim))}] {name}"
        for name in inputs
    ]
    result = f"{kind}[{', '.join(f'y{axis}' for axis in range(call.dims + 2))}] y"
    attributes = ", ".join(f"{name} = {_written(value)}" for name, value in _attributes(call))
    header = f'<ir_version: {models.IR_VERSION}, opset_import: ["": {models.OPSET}]>'
    body = f"{_NODES[call.operator]} <{attributes}> ({', '.join(_inputs(call))})"
    return f"{header} g ({', '.join(typed)}) => ({result}) {{ y = {body} }}"


def _attributes(call: Call) -> models.Attributes:
    p = dict(call.parameters)
    if call.operator.startswith("conv"):
        names = ("stride", "padding", "dilation", "groups")
        further = {name: p[name] for name in ("output_padding",) if name in p}
        return models.conv(*(p[name] for name in names), **further)
    names = ("kernel", "stride", "padding", "ceil_mode")
    if call.operator == "max_pool":
        further = {"dilations": p["dilation"]}
    else:
        further = {"count_include_pad": int(p["count_include_pad"])}
    return models.pool(*(p[name] for name in names), **further)


def _written(value: Any) -> str:
    return f"[{', '.join(map(plain, value))}]" if isinstance(value, tuple) else plain(value)
