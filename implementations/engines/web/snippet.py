"""The calls of the programs beside this file as source text, in JavaScript."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from conformance.implementations._arguments import Padding
from conformance.implementations.engines.onnx.model import OPERATORS, Node, attributes
from conformance.implementations.engines.padding import any_padding, windows_dropped
from conformance.implementations.engines.parameters import pooling
from conformance.implementations.engines.snippets import Writers, spatial_size
from conformance.registration.snippets import SnippetCall


def onnxruntime(call: SnippetCall) -> list[str]:
    """Return the lines that make a call with ONNX Runtime Web; the model needs Python's onnx."""
    arrays = {name: array for name, array in call.arguments.items() if array is not None}
    inputs = tuple((n, a.dtype.name, (None,) * a.ndim) for n, a in arrays.items())
    node = Node(call.operator, attributes(call.parameters), inputs)
    shown = ", ".join(f"{name} = {json.dumps(value)}" for name, value in node.attributes)
    feeds = ", ".join(
        f'{name}: new ort.Tensor("{a.dtype.name}", {name}, {list(a.shape)})'
        for name, a in arrays.items()
    )
    return [
        'import * as ort from "onnxruntime-web/wasm";',
        "ort.env.wasm.numThreads = 1;",
        f"// {OPERATORS[call.operator]} <{shown}> ({', '.join(arrays)})",
        f'const model = Buffer.from("{base64.b64encode(node.model).decode()}", "base64");',
        'const provider = { executionProviders: ["wasm"] };',
        "const session = await ort.InferenceSession.create(model, provider);",
        f"const {{ y }} = await session.run({{ {feeds} }});",
        "const [got, shape] = [y.data, y.dims];",
    ]


def tfjs(call: SnippetCall) -> list[str]:
    """Return the lines that make a call with TensorFlow.js's backend in JavaScript."""
    y = _WRITERS.forward(call) or _gradient(call)
    return [
        'import * as tf from "@tensorflow/tfjs";',
        'await tf.setBackend("cpu");',
        f"const y = {y};",
        "const [got, shape] = [y.dataSync(), y.shape];",
    ]


def tfjs_wasm(call: SnippetCall) -> list[str]:
    """Return the lines that make a call with TensorFlow.js's backend on WebAssembly."""
    first, _, *rest = tfjs(call)
    backend = 'import "@tensorflow/tfjs-backend-wasm";'
    return [first, backend, 'await tf.setBackend("wasm");', *rest]


def _tensor(call: SnippetCall, name: str) -> str:
    array = call.arguments[name]
    return f'tf.tensor({name}, {list(array.shape)}, "{array.dtype.name}")'


def _listed(call: SnippetCall, name: str) -> str:
    return json.dumps(call.parameters[name])


def _around(padding: Padding) -> str:
    return json.dumps([[0, 0], *padding, [0, 0]])


def _pad(t: str, padding: Padding, fill: str = "0") -> str:
    return f"tf.pad({t}, {_around(padding)}, {fill})" if any_padding(padding) else t


def _biased(y: str, bias: str) -> str:
    return f"tf.add({y}, {bias})" if bias else y


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    p = call.parameters
    steps, dilation = _listed(call, "stride"), _listed(call, "dilation")
    if call.dims == 1:
        pads = json.dumps([[0, 0], [0, 0], *p["padding"], [0, 0]])
        y = f'tf.conv1d({t}, {w}, {p["stride"][0]}, {pads}, "NWC", {p["dilation"][0]})'
    elif call.dims == 3:
        t = _pad(t, p["padding"])
        y = f'tf.conv3d({t}, {w}, {steps}, "valid", "NDHWC", {dilation})'
    else:
        name = "conv2d"
        if p["groups"] != 1:
            name, sizes = "depthwiseConv2d", _weight_shape(call)
            w = f"tf.reshape({w}, {[*sizes[:2], p['groups'], sizes[3] // p['groups']]})"
        y = f'tf.{name}({t}, {w}, {steps}, {_around(p["padding"])}, "NHWC", {dilation})'
    return _biased(y, bias)


def _weight_shape(call: SnippetCall) -> Sequence[int]:
    w = call.arguments.get("w")
    shape: Sequence[int] = call.arguments["weight_shape"] if w is None else w.shape
    return shape


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    p, x, weight = call.parameters, call.arguments["x"], call.arguments["w"]
    axes = zip(x.shape[1:-1], weight.shape, p["stride"], p["output_padding"], strict=False)
    whole = [(n - 1) * step + k + extra for n, k, step, extra in axes]
    size = [n - sum(pair) for n, pair in zip(whole, p["padding"], strict=True)]
    batch, outputs, steps = len(x), weight.shape[-2], _listed(call, "stride")
    shape = [batch, *size, outputs]
    if call.dims == 2:
        pads = _around(p["padding"])
        return _biased(f"tf.conv2dTranspose({t}, {w}, {shape}, {steps}, {pads})", bias)
    y = f'tf.conv3dTranspose({t}, {w}, {[batch, *whole, outputs]}, {steps}, "valid")'
    if any_padding(p["padding"]):
        y = f"tf.slice({y}, {[0, *(pair[0] for pair in p['padding']), 0]}, {shape})"
    return _biased(y, bias)


def _windows(call: SnippetCall) -> tuple[Padding, str, str]:
    """Return the padding that a pool's windows read, and how TensorFlow.js is told of them."""
    p, size = pooling(call.parameters), spatial_size(call, channels_last=True)
    reach = p.windows(size)[1] if p.ceil_mode else p.padding
    dropped = p.ceil_mode and windows_dropped(size, p, reach)
    rounding = "ceil" if p.ceil_mode and not dropped else "floor"
    return reach, json.dumps(reach if dropped else p.padding), rounding


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    reach, pads, rounding = _windows(call)
    kernel, steps, dilation = (_listed(call, name) for name in ("kernel", "stride", "dilation"))
    if call.dims == 2 and max(call.parameters["dilation"]) == 1:
        return f'tf.maxPool({t}, {kernel}, {steps}, {_around(json.loads(pads))}, "{rounding}")'
    t = _pad(t, reach, "-Infinity")
    if call.dims == 3:
        return f'tf.maxPool3d({t}, {kernel}, {steps}, "valid")'
    return f'tf.pool({t}, {kernel}, "max", "valid", {dilation}, {steps})'


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    padding = call.parameters["padding"]
    _, pads, rounding = _windows(call)
    kernel, steps = _listed(call, "kernel"), _listed(call, "stride")
    name = "avgPool3d" if call.dims == 3 else "avgPool"
    if call.parameters["count_include_pad"] and any_padding(padding):
        return f'tf.{name}({_pad(t, padding)}, {kernel}, {steps}, "valid")'
    ends: Any = json.loads(pads)
    how = ends[0][0] if call.dims == 3 else _around(ends)
    return f'tf.{name}({t}, {kernel}, {steps}, {how}, "{rounding}")'


def _gradient(call: SnippetCall) -> str:
    """Return tf.grad of the forward call, by a tensor ``t``."""
    if call.operator == "conv_bias_grad":
        shape = list(call.arguments["grad"].shape)
        at, forward = f"tf.zeros({shape[-1:]})", f"tf.add(tf.zeros({shape}), t)"
    else:
        at, forward = _WRITERS.gradient_at(call, "tf.zeros(Array.of{})")
    return f"tf.grad((t) => {forward})({at}, {_tensor(call, 'grad')})"


_WRITERS = Writers(_tensor, _conv, _conv_transpose, _max_pool, _avg_pool)
