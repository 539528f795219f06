"""JAX's own call of a case as source text (`conformance.registration.snippets`).

Each function mirrors its namesake in ``jax_lax.py``, and writes an expression of the script's
arrays, which are JAX's by then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.implementations._arguments import window_reach
from conformance.implementations._windows import divisors
from conformance.registration.snippets import Call, plain

_IMPORT = "import jax; from jax import lax; jax.config.update('jax_enable_x64', True)"
_ARRAYS = ("grad", "x", "w", "bias")


def snippet(call: Call) -> list[str]:
    """Return the lines that make a call with jax.lax."""
    return _lines(call, _expression(call))


def compiled(call: Call) -> list[str]:
    """Return the lines that make the same call, compiled whole."""
    names = ", ".join(_arrays(call))
    return _lines(call, f"jax.jit(lambda {names}: {_expression(call)})({names})")


def _lines(call: Call, y: str) -> list[str]:
    names = ", ".join(_arrays(call))
    made = f"{names}, = (jax.numpy.asarray(a, '{call.dtype}') for a in ({names},))"
    back = ".astype(np.float32)" if call.dtype == "bfloat16" else ""  # which NumPy has not
    return [_IMPORT, made, f"got = np.asarray({y}{back})"]


def _arrays(call: Call) -> list[str]:
    return [name for name in _ARRAYS if isinstance(call.arguments.get(name), np.ndarray)]


def _expression(call: Call) -> str:
    """Return the call as an expression of its arrays: of a gradient, jax.vjp of the forward one."""
    zeros = f"lax.full({{}}, 0, '{call.dtype}')"
    match call.operator:
        case "conv":
            return _conv(call, "x", "w")
        case "conv_transpose":
            return _conv_transpose(call)
        case "max_pool":
            return _max_pool(call, "x")
        case "avg_pool":
            return _avg_pool(call, "x", call.arguments["x"].shape[2:])
        case "conv_input_grad":
            y, at = _conv(call, "t", "w"), zeros.format(call.text("input_shape"))
        case "conv_weight_grad":
            y, at = _conv(call, "x", "t"), zeros.format(call.text("weight_shape"))
        case "conv_bias_grad":
            y = f"0 * grad + t.reshape({(-1, *(1,) * call.dims)})"
            at = zeros.format(plain(call.arguments["grad"].shape[1:2]))
        case "max_pool_grad":
            y, at = _max_pool(call, "t"), "x"
        case _:
            shape = call.arguments["input_shape"]
            y, at = _avg_pool(call, "t", shape[2:]), zeros.format(plain(shape))
    return f"jax.vjp(lambda t: {y}, {at})[1](grad)[0]"


def _conv(call: Call, t: str, w: str) -> str:
    keywords = f"rhs_dilation={call.text('dilation')}, feature_group_count={call.text('groups')}"
    y = f"lax.conv_general_dilated({t}, {w}, {call.text('stride')}, {call.text('padding')}, "
    return f"{y}{keywords}){_bias(call)}"


def _conv_transpose(call: Call) -> str:
    p, axes = call.parameters, "DHW"[3 - call.dims :]
    ends = zip(call.arguments["w"].shape[2:], p["padding"], p["dilation"], strict=True)
    full = [(d * (k - 1) - before, d * (k - 1) - after) for k, (before, after), d in ends]
    pads = [(low, high + r) for (low, high), r in zip(full, p["output_padding"], strict=True)]
    numbers = (f"NC{axes}", f"OI{axes}", f"NC{axes}")
    return (
        f"lax.conv_transpose(x, w, {call.text('stride')}, {pads}, {call.text('dilation')}, "
        f"{numbers}, True){_bias(call)}"
    )


def _bias(call: Call) -> str:
    if call.arguments.get("bias") is None:
        return ""
    return f" + bias.reshape({(-1, *(1,) * call.dims)})"


def _max_pool(call: Call, t: str) -> str:
    p, padding = call.parameters, call.parameters["padding"]
    if p["ceil_mode"]:
        names = ("kernel", "stride", "padding", "dilation", "ceil_mode")
        _, padding = window_reach(call.arguments["x"].shape[2:], *(p[name] for name in names))
    floating = call.dtype.startswith(("float", "bfloat"))
    fill = "-np.inf" if floating else f"np.iinfo('{call.dtype}').min"
    dilation = plain((1, 1, *p["dilation"]))
    return f"{_windows(call, t, fill, 'max', padding)}, window_dilation={dilation})"


def _avg_pool(call: Call, t: str, size: tuple[int, ...]) -> str:
    p = call.parameters
    kernel, stride, padding = p["kernel"], p["stride"], p["padding"]
    out, reach = window_reach(size, kernel, stride, padding, (1,) * call.dims, p["ceil_mode"])
    count = divisors(size, out, kernel, stride, padding, p["count_include_pad"]).tolist()
    return f"{_windows(call, t, '0', 'add', reach)}) / np.array({count}, '{call.dtype}')"


def _windows(call: Call, t: str, start: str, operation: str, padding: Any) -> str:
    windows = ", ".join(plain((1, 1, *call.parameters[name])) for name in ("kernel", "stride"))
    pads = plain(((0, 0), (0, 0), *padding))
    first = f"np.array({start}, '{call.dtype}')"
    return f"lax.reduce_window({t}, {first}, lax.{operation}, {windows}, {pads}"
