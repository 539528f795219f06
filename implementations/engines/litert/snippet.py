"""LiteRT's own calls as source text, for the scripts of reports.

As in ``model.py``, a line has a model's tensors and operator, another serializes and runs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.implementations.engines.litert import operation
from conformance.implementations.engines.litert.model import Constant
from conformance.implementations.engines.litert.operation import Operation
from conformance.implementations.engines.padding import any_padding
from conformance.implementations.engines.parameters import Conv, ConvTranspose, averaging, pooling
from conformance.registration.snippets import SnippetCall, plain


def snippet(resolver: str, call: SnippetCall) -> list[str]:
    """Return the lines that make ``call`` with the kernels of ``resolver``."""
    run = _operation(call)
    node, order, tensors = run.node, [], [_input(call, run)]
    for array in node.inputs:
        order.append(0 if array is None else len(tensors))
        tensors += [] if array is None else [_constant(call, array, len(tensors), node.operator)]
    fields = ", ".join(f"{name}={plain(value)}" for name, value in node.values)
    last = len(tensors)
    option = f"experimental_op_resolver_type=li.OpResolverType.{resolver}"
    code = f"s.BuiltinOperator.{node.operator}"
    return [
        "import flatbuffers; from ai_edge_litert import interpreter as li, "
        "schema_py_generated as s",
        f"t = [{', '.join(tensors)}]; g = s.SubGraphT([s.TensorT(v.shape, "
        "getattr(s.TensorType, v.dtype.name.upper()), i) for i, v in enumerate(t)] "
        f"+ [s.TensorT([])], [0], [{last}], [s.OperatorT(0, {order}, [{last}], "
        f"s.BuiltinOptions.{node.options}, s.{node.options}T({fields}))])",
        f"for _ in range({1 + (resolver == 'AUTO')}): b = flatbuffers.Builder(); "
        f"b.Finish(s.ModelT(3, [s.OperatorCodeT(min({code}, 127), None, 1, {code})], [g], None, "
        "[s.BufferT(), *(s.BufferT(np.frombuffer(v.tobytes(), np.uint8)) for v in t[1:])])"
        ".Pack(b), b'TFL3'); r = li.Interpreter(model_content=bytes(b.Output()), num_threads=1, "
        f"{option}); r.allocate_tensors(); "
        f"g.tensors[{last}].shape = r.get_output_details()[0]['shape']",
        f"r.set_tensor(0, t[0]); r.invoke(); got = r.get_tensor({last}){_crop(call)}",
    ]


def _operation(call: SnippetCall) -> Operation:
    match call.operator:
        case "conv":
            x, w, bias = call.arguments.values()
            return operation.convolution(x, w, bias, Conv(**call.parameters))
        case "conv_transpose":
            x, w, bias = call.arguments.values()
            return operation.transposed(x, w, bias, ConvTranspose(**call.parameters))
        case "max_pool":
            return operation.maximum(call.arguments["x"], pooling(call.parameters))
        case _:
            return operation.average(call.arguments["x"], averaging(call.parameters))


def _input(call: SnippetCall, run: Operation) -> str:
    """Return the model's input as source text."""
    text = _named(call, "x")
    if run.pads:
        pads = [(0, 0), *run.pads, (0, 0)]
        text = f"np.pad({text}, {pads}, constant_values={plain(run.fill)})"
    return f"{text}[:, None]" if call.dims == 1 else text


def _named(call: SnippetCall, name: str) -> str:
    """Return an array of the script in this machine's byte order."""
    swapped = call.memory[name] == "byteswapped"
    return f"{name}.astype(np.{call.arguments[name].dtype.name})" if swapped else name


def _constant(call: SnippetCall, array: Constant, position: int, operator: str) -> str:
    """Return one of the operator's constants as source text: a shape, the weight or the bias."""
    dtype, shape, data = array
    role = ("shape", "w", "bias")[position - (call.operator == "conv_transpose")]
    if role == "shape":
        return f"np.array({np.frombuffer(data, np.int32).tolist()}, np.int32)"
    if role == "bias" and call.arguments["bias"] is None:
        return f"np.zeros({shape[0]}, np.{dtype})"
    text = _named(call, role)
    if role == "bias":
        return text
    if operator == "DEPTHWISE_CONV_2D":
        return f"{text}.reshape({shape})"
    text += "[None]" * (call.dims == 1)
    if call.dims == 3:
        return text
    return f"np.moveaxis({text}, {-2 if call.operator == 'conv_transpose' else -1}, 0)"


def _crop(call: SnippetCall) -> str:
    """Return what selects the result: without the height, and cropped by the padding."""
    flat = "[:, 0]" if call.dims == 1 else ""
    padding: Any = call.parameters["padding"]
    if call.operator != "conv_transpose" or not any_padding(padding):
        return flat
    ends = (f"{before}:{-after or ''}" for before, after in padding)
    return f"{flat}[:, {', '.join(ends)}]"
