"""MLX's own call of a case as source text (`conformance.registration.snippets`).

Each function mirrors its namesake in ``adapter.py``: the same operator, the same padding around it.
"""

from __future__ import annotations

import numpy as np

from conformance.implementations._arguments import Padding, Shape
from conformance.implementations._windows import lowest
from conformance.implementations.engines.padding import (
    any_padding,
    asymmetric_part,
    is_asymmetric,
    no_padding,
    symmetric_part,
)
from conformance.implementations.engines.snippets import (
    Writer,
    checked_windows,
    gradient_at,
    numpy_copy,
)
from conformance.registration.snippets import Call, plain


def snippet(call: Call) -> list[str] | None:
    """Return the lines that make a call with MLX on the CPU."""
    start = "import mlx.core as mx, mlx.nn as nn; mx.set_default_device(mx.cpu)"
    if call.operator not in _FORWARD:
        at, y = gradient_at(call, _FORWARD, _array, f"mx.zeros({{}}, dtype=mx.{call.dtype})")
        gradient = f"mx.vjp(lambda t: {y}, [{at}], [{_array(call, 'grad')}])[1][0]"
        return [start, f"got = {_back(call, gradient)}"]
    arrays = (_array(call, name) for name in ("x", "w", "bias"))
    return [start, f"got = {_back(call, _FORWARD[call.operator](call, *arrays))}"]


def _conv(call: Call, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    low, high = ([pair[end] for pair in p["padding"]] for end in (0, 1))
    weight = f"{w}.transpose({plain((dims + 1, *range(dims), dims))[1:-1]})"
    y = (
        f"mx.conv_general({t}, {weight}, {list(p['stride'])}, ({low}, {high}), "
        f"{list(p['dilation'])}, groups={p['groups']})"
    )
    return f"{y} + {bias}" if bias else y


def _conv_transpose(call: Call, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    if p["groups"] > 1:
        raise NotImplementedError("groups need more lines")
    both = symmetric_part(p["padding"])
    weight = f"{w}.transpose({plain((dims, *range(dims), dims + 1))[1:-1]})"
    values = (p["stride"], both, p["dilation"], p["output_padding"])
    y = f"mx.conv_transpose{dims}d({t}, {weight}, {', '.join(map(_axes, values))})"
    if is_asymmetric(p["padding"]):
        rest = asymmetric_part(p["padding"])
        y += f"[:, {', '.join(f'{low}:{-high or None}' for low, high in rest)}]"
    return f"{y} + {bias}" if bias else y


def _max_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    (_, reach), integer = checked_windows(call, channels_last=True), "int" in call.dtype
    if max(call.parameters["dilation"]) > 1:
        raise NotImplementedError("no dilation")
    if is_asymmetric(reach) or (any_padding(reach) and integer):
        fill = plain(lowest(np.dtype(call.dtype))) if integer else "-float('inf')"
        t, reach = _pad(call, t, reach, fill), no_padding(reach)
    return f"nn.MaxPool{call.dims}d({_pool(call, symmetric_part(reach))})({t})"


def _avg_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    padding = call.parameters["padding"]
    if any_padding(padding) and not call.parameters["count_include_pad"]:
        raise NotImplementedError("padding always counts")
    if checked_windows(call, channels_last=True)[1] != padding:
        raise NotImplementedError("no windows beyond the padding")
    if is_asymmetric(padding):
        t, padding = _pad(call, t, padding, "0"), no_padding(padding)
    return f"nn.AvgPool{call.dims}d({_pool(call, symmetric_part(padding))})({t})"


_FORWARD: dict[str, Writer] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}


def _pool(call: Call, both: Shape) -> str:
    return f"{call.text('kernel')}, {call.text('stride')}, {plain(both)}"


def _pad(call: Call, t: str, padding: Padding, fill: str) -> str:
    value = f"constant_values=mx.array({fill}, mx.{call.dtype})"
    return f"mx.pad({t}, {[(0, 0), *padding, (0, 0)]}, {value})"


def _axes(values: Shape) -> str:
    return plain(values[0] if len(values) == 1 else tuple(values))


def _array(call: Call, name: str) -> str:
    if call.arguments.get(name) is None:
        return ""
    return f"mx.array({numpy_copy(call, name)}, dtype=mx.{call.dtype})"


def _back(call: Call, y: str) -> str:
    return f"np.array(({y}).astype(mx.float32))" if call.dtype == "bfloat16" else f"np.array({y})"
