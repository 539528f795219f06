"""ncnn's own calls as source text: nets of the layers that the adapter runs (``layers.py``)."""

from __future__ import annotations

from typing import Any

from conformance.implementations.engines.ncnn import layers
from conformance.implementations.engines.ncnn.layers import Layer
from conformance.implementations.engines.parameters import Conv, ConvTranspose, averaging, pooling
from conformance.implementations.engines.snippets import spatial_size
from conformance.registration.snippets import SnippetCall


def snippet(use_winograd: bool, store_bf16: bool, call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with a net of one layer."""
    if not len(call.arguments["x"]):
        return None
    w, bias = (call.arguments.get(name) for name in ("w", "bias"))
    layer = _layer(call, w, bias)
    switch = "" if use_winograd else "; net.opt.use_winograd_convolution = False"
    switch += "; net.opt.use_bf16_storage = True" if store_bf16 else ""
    weights = "b''" if w is None else f"bytes(4) + {_weight(call)}.tobytes()"
    weights += "" if bias is None else f" + {_copy('bias')}.tobytes()"
    return [
        "import ncnn",
        f"net = ncnn.Net(){switch}; assert 0 == net.load_param_mem("
        f"'7767517\\n2 2\\nInput i 0 1 x\\n{layer.name} l 1 1 x y {layer.values}\\n')",
        f"net.load_model_mem({weights}); got = np.stack([(run := net.create_extractor(), run.input("
        f"'x', ncnn.Mat(v).clone()), np.array(run.extract('y')[1]))[2] for v in {_x(call)}])",
    ]


def _layer(call: SnippetCall, w: Any, bias: Any) -> Layer:
    match call.operator:
        case "conv":
            return layers.convolution(w, bias, Conv(**call.parameters))
        case "conv_transpose":
            p = ConvTranspose(**call.parameters)
            return layers.deconvolution(layers.outputs_first(w, p.groups), bias, p)
        case "max_pool":
            return layers.maximum(spatial_size(call), pooling(call.parameters))
        case _:
            return layers.average(spatial_size(call), averaging(call.parameters))


def _x(call: SnippetCall) -> str:
    """Return x as the adapter copies it: in its own dtype, which only an invalid call changes."""
    return _copy("x") if call.memory["x"] == "byteswapped" else "np.array(x, order='C')"


def _weight(call: SnippetCall) -> str:
    if call.operator == "conv":
        return _copy("w")
    groups, (c, o, *kernel) = call.parameters["groups"], call.arguments["w"].shape
    return f"{_copy('w')}.reshape({[groups, c // groups, o, *kernel]}).swapaxes(1, 2)"


def _copy(name: str) -> str:
    return f"np.array({name}, np.float32, order='C')"
