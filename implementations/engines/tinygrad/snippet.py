"""MLX's and tinygrad's own calls as source text, for the scripts of reports.

Each mirrors ``mlx.py`` and ``tinygrad_lazy.py``: the same operator, the same padding around it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.implementations._arguments import Padding, Shape, pool_size
from conformance.implementations._windows import lowest
from conformance.implementations.engines.adapter import any_padding, differ, shared
from conformance.registration.snippets import Call, plain

_Writer = Callable[[Call, str, str, str], str]
"""Writes a forward call of an input, a weight and a bias that are source text themselves."""


def mlx(call: Call) -> list[str] | None:
    """Return the lines that make a call with MLX on the CPU."""
    start = "import mlx.core as mx, mlx.nn as nn; mx.set_default_device(mx.cpu)"
    if call.operator not in _MLX:
        made, y = _at(call, _MLX, _mlx_array, f"mx.zeros({{}}, dtype=mx.{call.dtype})")
        gradient = f"mx.vjp(lambda t: {y}, [{made}], [{_mlx_array(call, 'grad')}])[1][0]"
        return [start, f"got = {_mlx_back(call, gradient)}"]
    arrays = (_mlx_array(call, name) for name in ("x", "w", "bias"))
    return [start, f"got = {_mlx_back(call, _MLX[call.operator](call, *arrays))}"]


def tinygrad(call: Call) -> list[str] | None:
    """Return the lines that make a call with tinygrad's device CPU."""
    start = "from tinygrad import Tensor, dtypes"
    if call.operator not in _TINYGRAD:
        zeros = f"Tensor.zeros({{}}, dtype=dtypes.{call.dtype}, device='CPU').contiguous()"
        made, y = _at(call, _TINYGRAD, _tinygrad_array, zeros)
        grad = _tinygrad_array(call, "grad")
        gradient = f"({y}).gradient(t, gradient={grad})[0]"
        return [start, f"t = {made}.realize()", f"got = {_tinygrad_back(call, gradient)}"]
    arrays = (_tinygrad_array(call, name) for name in ("x", "w", "bias"))
    return [start, f"got = {_tinygrad_back(call, _TINYGRAD[call.operator](call, *arrays))}"]


def _at(
    call: Call, writers: dict[str, _Writer], array: Callable[[Call, str], str], zeros: str
) -> tuple[str, str]:
    """Return where a gradient is taken, and the forward call of it, a tensor named ``t``."""
    if call.operator == "conv_input_grad":
        made = zeros.format(call.text("input_shape"))
        return made, writers["conv"](call, "t", array(call, "w"), "")
    if call.operator == "conv_weight_grad":
        made = zeros.format(call.text("weight_shape"))
        return made, writers["conv"](call, array(call, "x"), "t", "")
    if call.operator == "max_pool_grad":
        return array(call, "x"), writers["max_pool"](call, "t", "", "")
    if call.operator == "avg_pool_grad":
        return zeros.format(call.text("input_shape")), writers["avg_pool"](call, "t", "", "")
    raise NotImplementedError("the gradient of a bias needs more lines")


def _numpy(call: Call, name: str) -> str:
    """Return an array of the script as the adapters copy it."""
    dtype = "float32" if call.dtype == "bfloat16" else call.dtype
    return f"np.array({name}, np.{dtype}, order='C')"


def _mlx_array(call: Call, name: str) -> str:
    if call.arguments.get(name) is None:
        return ""
    return f"mx.array({_numpy(call, name)}, dtype=mx.{call.dtype})"


def _mlx_back(call: Call, y: str) -> str:
    return f"np.array(({y}).astype(mx.float32))" if call.dtype == "bfloat16" else f"np.array({y})"


def _mlx_conv(call: Call, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    low, high = ([pair[end] for pair in p["padding"]] for end in (0, 1))
    weight = f"{w}.transpose({plain((dims + 1, *range(dims), dims))[1:-1]})"
    y = (
        f"mx.conv_general({t}, {weight}, {list(p['stride'])}, ({low}, {high}), "
        f"{list(p['dilation'])}, groups={p['groups']})"
    )
    return f"{y} + {bias}" if bias else y


def _mlx_transposed(call: Call, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    if p["groups"] > 1:
        raise NotImplementedError("groups need more lines")
    both = shared(p["padding"])
    weight = f"{w}.transpose({plain((dims, *range(dims), dims + 1))[1:-1]})"
    values = (p["stride"], both, p["dilation"], p["output_padding"])
    y = f"mx.conv_transpose{dims}d({t}, {weight}, {', '.join(map(_mlx_axes, values))})"
    if differ(p["padding"]):
        rest = ((b - s, s - a) for (b, a), s in zip(p["padding"], both, strict=True))
        y += f"[:, {', '.join(f'{low}:{high or None}' for low, high in rest)}]"
    return f"{y} + {bias}" if bias else y


def _mlx_axes(values: Shape) -> str:
    return plain(values[0] if len(values) == 1 else tuple(values))


def _mlx_max_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    reach, integer = _reach(call, channels_last=True), "int" in call.dtype
    if max(call.parameters["dilation"]) > 1:
        raise NotImplementedError("no dilation")
    if differ(reach) or (any_padding(reach) and integer):
        fill = plain(lowest(np.dtype(call.dtype))) if integer else "-float('inf')"
        t, reach = _mlx_pad(call, t, reach, fill), ((0, 0),) * call.dims
    return f"nn.MaxPool{call.dims}d({_mlx_pool(call, shared(reach))})({t})"


def _mlx_avg_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    padding = call.parameters["padding"]
    if any_padding(padding) and not call.parameters["count_include_pad"]:
        raise NotImplementedError("padding always counts")
    if _reach(call, channels_last=True) != padding:
        raise NotImplementedError("no windows beyond the padding")
    if differ(padding):
        t, padding = _mlx_pad(call, t, padding, "0"), ((0, 0),) * call.dims
    return f"nn.AvgPool{call.dims}d({_mlx_pool(call, shared(padding))})({t})"


def _mlx_pad(call: Call, t: str, padding: Padding, fill: str) -> str:
    value = f"constant_values=mx.array({fill}, mx.{call.dtype})"
    return f"mx.pad({t}, {[(0, 0), *padding, (0, 0)]}, {value})"


def _mlx_pool(call: Call, both: Shape) -> str:
    return f"{call.text('kernel')}, {call.text('stride')}, {plain(both)}"


def _tinygrad_array(call: Call, name: str) -> str:
    if call.arguments.get(name) is None:
        return ""
    made = f"Tensor({_numpy(call, name)}, device='CPU')"
    return f"{made}.cast(dtypes.bfloat16)" if call.dtype == "bfloat16" else made


def _tinygrad_back(call: Call, y: str) -> str:
    return f"({y}).cast(dtypes.float32).numpy()" if call.dtype == "bfloat16" else f"({y}).numpy()"


def _tinygrad_conv(call: Call, t: str, w: str, bias: str) -> str:
    values = (call.parameters[name] for name in ("groups", "stride", "dilation"))
    return f"{t}.conv2d({w}, {bias or None}, {', '.join(map(plain, values))}, {_flat(call)})"


def _tinygrad_transposed(call: Call, t: str, w: str, bias: str) -> str:
    values = ", ".join(call.text(name) for name in ("groups", "stride", "dilation"))
    arguments = f"{w}, {bias or None}, {values}, {_flat(call)}, {call.text('output_padding')}"
    return f"{t}.conv_transpose2d({arguments})"


def _tinygrad_max_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    values = ", ".join(call.text(name) for name in ("kernel", "stride", "dilation"))
    return f"{t}.max_pool2d({values}, {_flat(call)}, {call.text('ceil_mode')})"


def _tinygrad_avg_pool(call: Call, t: str, _w: str, _bias: str) -> str:
    values = ", ".join(call.text(name) for name in ("kernel", "stride"))
    rest = f"{call.text('ceil_mode')}, {call.text('count_include_pad')}"
    return f"{t}.avg_pool2d({values}, 1, {_flat(call)}, {rest})"


def _flat(call: Call) -> str:
    return plain(tuple(size for pair in reversed(call.parameters["padding"]) for size in pair))


def _reach(call: Call, *, channels_last: bool) -> Padding:
    """Return the padding that the windows of a pool read, to the last."""
    p = call.parameters
    x = call.arguments.get("x")
    if x is None:  # the gradient of an average knows the shape alone, and needs no more
        x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
    dilation = p.get("dilation", (1,) * call.dims)
    sizes = (p["kernel"], p["stride"], p["padding"], dilation, p["ceil_mode"])
    return pool_size(x, *sizes, channels_last=channels_last)[1]


_MLX: dict[str, _Writer] = {
    "conv": _mlx_conv,
    "conv_transpose": _mlx_transposed,
    "max_pool": _mlx_max_pool,
    "avg_pool": _mlx_avg_pool,
}
_TINYGRAD: dict[str, _Writer] = {
    "conv": _tinygrad_conv,
    "conv_transpose": _tinygrad_transposed,
    "max_pool": _tinygrad_max_pool,
    "avg_pool": _tinygrad_avg_pool,
}
