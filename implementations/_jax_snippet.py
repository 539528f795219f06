"""JAX's own call of a case as source text, for the scripts of reports (`conformance.snippets`).

Each function mirrors its namesake in ``jax_lax.py``.
"""

from __future__ import annotations

from conformance.snippets import Call, plain
from implementations._common import pool_size

_IMPORT = "import jax; from jax import lax; jax.config.update('jax_enable_x64', True)"


def snippet(call: Call) -> list[str] | None:
    """Return the lines that make a call with jax.lax, where that is one operator."""
    if call.operator == "conv":
        return [_IMPORT, f"got = {_back(call, _conv(call, _in(call, 'x'), _in(call, 'w')))}"]
    if call.operator == "max_pool":
        return [_IMPORT, f"got = {_back(call, _max_pool(call, _in(call, 'x')))}"]
    return _gradient(call)


def _gradient(call: Call) -> list[str] | None:
    """Return jax.vjp through the forward call, by ``t``."""
    zeros = f"lax.full({{}}, 0, '{call.dtype}')"
    if call.operator == "conv_input_grad":
        y, at = _conv(call, "t", _in(call, "w")), zeros.format(call.text("input_shape"))
    elif call.operator == "conv_weight_grad":
        y, at = _conv(call, _in(call, "x"), "t"), zeros.format(call.text("weight_shape"))
    elif call.operator == "max_pool_grad":
        y, at = _max_pool(call, "t"), _in(call, "x")
    else:
        return None
    made = f"_, back = jax.vjp(lambda t: {y}, {at})"
    gradient = f"back({_in(call, 'grad')})[0]"
    return [_IMPORT, made, f"got = {_back(call, gradient)}"]


def _conv(call: Call, t: str, w: str) -> str:
    keywords = f"rhs_dilation={call.text('dilation')}, feature_group_count={call.text('groups')}"
    y = f"lax.conv_general_dilated({t}, {w}, {call.text('stride')}, {call.text('padding')}, "
    bias = call.arguments.get("bias")
    added = "" if bias is None else f" + bias.reshape({(-1, *(1,) * call.dims)})"
    return f"{y}{keywords}){added}"


def _max_pool(call: Call, t: str) -> str:
    p, padding = call.parameters, call.parameters["padding"]
    if p["ceil_mode"]:
        names = ("kernel", "stride", "padding", "dilation", "ceil_mode")
        _, padding = pool_size(call.arguments["x"], *(p[name] for name in names))
    fill = (
        "-np.inf" if call.dtype.startswith(("float", "bfloat")) else f"np.iinfo('{call.dtype}').min"
    )
    ones = (1, 1)
    windows = ", ".join(plain((*ones, *p[name])) for name in ("kernel", "stride"))
    pads = plain(((0, 0), (0, 0), *padding))
    dilation = plain((*ones, *p["dilation"]))
    start = f"lax.full((), {fill}, '{call.dtype}')"
    return (
        f"lax.reduce_window({t}, {start}, lax.max, {windows}, {pads}, window_dilation={dilation})"
    )


def _in(call: Call, name: str) -> str:
    return f"jax.numpy.asarray({name}, '{call.dtype}')"


def _back(call: Call, tensor: str) -> str:
    """Return a result as NumPy's; bfloat16, which that has not, as float32."""
    return f"np.asarray({tensor}{'.astype(np.float32)' if call.dtype == 'bfloat16' else ''})"
