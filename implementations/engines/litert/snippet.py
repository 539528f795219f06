"""LiteRT's own calls as source text, for the scripts of reports.

A script writes a model of one operator with the classes of LiteRT's schema, as ``model.py`` does:
a line with its tensors and its operator, and one that serializes and runs it. Which operator that
is, with which options, and what is padded, ``operation.py`` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.implementations._arguments import Array, Padding
from conformance.implementations.engines.litert import operation
from conformance.implementations.engines.litert.operation import Operation
from conformance.implementations.engines.padding import any_padding
from conformance.implementations.engines.parameters import Conv, ConvTranspose, averaging, pooling
from conformance.implementations.engines.snippets import spatial_size
from conformance.registration.snippets import Call, plain


def snippet(resolver: str, call: Call) -> list[str]:
    """Return the lines that make ``call`` with the kernels of ``resolver``."""
    run = _operation(call)
    order, tensors = [], [_input(call, run.x)]
    for array in run.inputs:
        order.append(0 if array is None else len(tensors))
        tensors += [] if array is None else [_constant(call, array, len(tensors), run.operator)]
    fields = ", ".join(f"{name}={plain(value)}" for name, value in run.values.items())
    last = len(tensors)
    chosen = f"experimental_op_resolver_type=li.OpResolverType.{resolver}"
    code = f"s.BuiltinOperator.{run.operator}"
    return [
        "import flatbuffers; from ai_edge_litert import interpreter as li, "
        "schema_py_generated as s",
        f"t = [{', '.join(tensors)}]; g = s.SubGraphT([s.TensorT(v.shape, "
        "getattr(s.TensorType, v.dtype.name.upper()), i) for i, v in enumerate(t)] "
        f"+ [s.TensorT([])], [0], [{last}], [s.OperatorT(0, {order}, [{last}], "
        f"s.BuiltinOptions.{run.options}, s.{run.options}T({fields}))])",
        f"b = flatbuffers.Builder(); b.Finish(s.ModelT(3, [s.OperatorCodeT(min({code}, 127), None, "
        f"1, {code})], [g], None, [s.BufferT(), *(s.BufferT(np.frombuffer(v.tobytes(), np.uint8)) "
        "for v in t[1:])]).Pack(b), b'TFL3'); r = li.Interpreter(model_content=bytes(b.Output()), "
        f"num_threads=1, {chosen}); r.allocate_tensors(); r.set_tensor(0, t[0]); r.invoke(); "
        f"got = r.get_tensor({last}){_crop(call)}",
    ]


def _operation(call: Call) -> Operation:
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


def _input(call: Call, x: Array) -> str:
    """Return the model's input as source text: padded as ``x`` is, which the operator is given."""
    given: Array = call.arguments["x"]
    text = _named(call, "x")
    if given.shape != x.shape:
        fill = -np.inf if call.operator == "max_pool" else 0
        pads = [(0, 0), *_pads(call), (0, 0)]
        text = f"np.pad({text}, {pads}, constant_values={plain(fill)})"
    return f"{text}[:, None]" if call.dims == 1 else text


def _named(call: Call, name: str) -> str:
    """Return an array of the script in this machine's byte order."""
    swapped = call.memory[name] == "byteswapped"
    return f"{name}.astype(np.{call.arguments[name].dtype.name})" if swapped else name


def _pads(call: Call) -> Padding:
    if "kernel" not in call.parameters:
        padding: Padding = call.parameters["padding"]
        return padding
    return pooling(call.parameters).windows(spatial_size(call, channels_last=True))[1]


def _constant(call: Call, array: Array, position: int, operator: str) -> str:
    """Return one of the operator's constants as source text: a shape, the weight or the bias."""
    role = ("shape", "w", "bias")[position - (call.operator == "conv_transpose")]
    if role == "shape":
        return f"np.array({array.tolist()}, np.int32)"
    if role == "bias":
        none = call.arguments["bias"] is None
        return f"np.zeros({len(array)}, np.{array.dtype.name})" if none else _named(call, "bias")
    w = _named(call, "w")
    text = f"{w}[None]" if call.dims == 1 else w
    if operator == "DEPTHWISE_CONV_2D":
        return f"{w}.reshape({array.shape})"
    if call.dims == 3:
        return text
    return f"np.moveaxis({text}, {-2 if call.operator == 'conv_transpose' else -1}, 0)"


def _crop(call: Call) -> str:
    """Return what selects the result: without the height, and cropped by the padding."""
    flat = "[:, 0]" if call.dims == 1 else ""
    padding: Any = call.parameters["padding"]
    if call.operator != "conv_transpose" or not any_padding(padding):
        return flat
    ends = (f"{before}:{-after or ''}" for before, after in padding)
    return f"{flat}[:, {', '.join(ends)}]"
