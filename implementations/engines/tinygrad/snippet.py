"""tinygrad's own call of a case as source text (`conformance.registration.snippets`).

Each function mirrors its namesake in ``adapter.py``.
"""

from __future__ import annotations

from conformance.implementations.engines.padding import last_axis_first
from conformance.implementations.engines.snippets import Writer, gradient_at, numpy_copy
from conformance.registration.snippets import Call, plain


def snippet(call: Call) -> list[str] | None:
    """Return the lines that make a call with tinygrad's device CPU."""
    start = "from tinygrad import Tensor, dtypes"
    if call.operator not in _FORWARD:
        zeros = f"Tensor.zeros({{}}, dtype=dtypes.{call.dtype}, device='CPU').contiguous()"
        at, y = gradient_at(call, _FORWARD, _array, zeros)
        gradient = f"({y}).gradient(t, gradient={_array(call, 'grad')})[0]"
        return [start, f"t = {at}.realize()", f"got = {_back(call, gradient)}"]
    arrays = (_array(call, name) for name in ("x", "w", "bias"))
    return [start, f"got = {_back(call, _FORWARD[call.operator](call, *arrays))}"]


def _conv(call: Call, t: str, w: str, bias: str) -> str:
    values = _texts(call, "groups", "stride", "dilation")
    return f"{t}.conv2d({w}, {bias or None}, {values}, {_pads(call)})"


def _conv_transpose(call: Call, t: str, w: str, bias: str) -> str:
    values = _texts(call, "groups", "stride", "dilation")
    arguments = f"{w}, {bias or None}, {values}, {_pads(call)}, {call.text('output_padding')}"
    return f"{t}.conv_transpose2d({arguments})"


def _max_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    values = _texts(call, "kernel", "stride", "dilation")
    return f"{t}.max_pool2d({values}, {_pads(call)}, {call.text('ceil_mode')})"


def _avg_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    values, rest = _texts(call, "kernel", "stride"), _texts(call, "ceil_mode", "count_include_pad")
    return f"{t}.avg_pool2d({values}, 1, {_pads(call)}, {rest})"


_FORWARD: dict[str, Writer] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}


def _texts(call: Call, *names: str) -> str:
    return ", ".join(map(call.text, names))


def _pads(call: Call) -> str:
    return plain(last_axis_first(call.parameters["padding"]))


def _array(call: Call, name: str) -> str:
    if call.arguments.get(name) is None:
        return ""
    tensor = f"Tensor({numpy_copy(call, name)}, device='CPU')"
    return f"{tensor}.cast(dtypes.bfloat16)" if call.dtype == "bfloat16" else tensor


def _back(call: Call, y: str) -> str:
    return f"({y}).cast(dtypes.float32).numpy()" if call.dtype == "bfloat16" else f"({y}).numpy()"
