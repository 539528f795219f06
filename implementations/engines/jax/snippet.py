"""JAX's own call of a case as source text, on arrays that an earlier line of it has converted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from conformance.implementations._arguments import Padding
from conformance.implementations._windows import divisors
from conformance.implementations.engines.parameters import pooling
from conformance.implementations.engines.snippets import Writers, spatial_size
from conformance.registration.snippets import SnippetCall, plain

_IMPORT = "import jax; from jax import lax; jax.config.update('jax_enable_x64', True)"
_ARRAYS = ("grad", "x", "w", "bias")


def snippet(call: SnippetCall) -> list[str]:
    """Return the lines that make a call with jax.lax."""
    return _lines(call, _expression(call))


def varied(chosen: Mapping[str, str], call: SnippetCall) -> list[str]:
    """Return the lines that make a call with the options chosen, compiled whole if they say so."""
    names, y = ", ".join(_arrays(call)), _expression(call)
    lines = _lines(call, f"jax.jit(lambda {names}: {y})({names})" if chosen["jit"] == "on" else y)
    update = "; jax.config.update({!r}, {})"
    if chosen["platform"]:
        device = f"jax.devices({chosen['platform']!r})[0]"
        lines[0] += update.format("jax_default_device", device)
    if chosen["precision"]:
        lines[0] += update.format("jax_default_matmul_precision", repr(chosen["precision"]))
    return lines


def _lines(call: SnippetCall, y: str) -> list[str]:
    names = ", ".join(_arrays(call))
    tensors = f"{names}, = (jax.numpy.asarray(a, '{call.dtype}') for a in ({names},))"
    back = ".astype(np.float32)" if call.dtype == "bfloat16" else ""  # which NumPy has not
    return [_IMPORT, tensors, f"got = np.asarray({y}{back})"]


def _arrays(call: SnippetCall) -> list[str]:
    return [name for name in _ARRAYS if isinstance(call.arguments.get(name), np.ndarray)]


def _expression(call: SnippetCall) -> str:
    """Return the call as an expression of its arrays; a gradient is jax.vjp of the forward call."""
    if (y := _WRITERS.forward(call)) is not None:
        return y
    zeros = f"lax.full({{}}, 0, '{call.dtype}')"
    if call.operator == "conv_bias_grad":
        at = zeros.format(plain(call.arguments["grad"].shape[1:2]))
        y = f"0 * grad{_bias_term(call, 't')}"
    else:
        at, y = _WRITERS.gradient_at(call, zeros)
    return f"jax.vjp(lambda t: {y}, {at})[1](grad)[0]"


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    arguments = f"{t}, {w}, {call.text('stride')}, {call.text('padding')}"
    keywords = f"rhs_dilation={call.text('dilation')}, feature_group_count={call.text('groups')}"
    return f"lax.conv_general_dilated({arguments}, {keywords}){_bias_term(call, bias)}"


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    p, axes = call.parameters, "DHW"[3 - call.dims :]
    sizes = call.arguments["w"].shape[2:], p["padding"], p["dilation"], p["output_padding"]
    ends = zip(*sizes, strict=True)
    pads = [(d * (k - 1) - b, d * (k - 1) - a + extra) for k, (b, a), d, extra in ends]
    numbers = (f"NC{axes}", f"OI{axes}", f"NC{axes}")
    return (
        f"lax.conv_transpose({t}, {w}, {call.text('stride')}, {pads}, {call.text('dilation')}, "
        f"{numbers}, True){_bias_term(call, bias)}"
    )


def _bias_term(call: SnippetCall, bias: str) -> str:
    return f" + {bias}.reshape({(-1, *(1,) * call.dims)})" if bias else ""


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    p = pooling(call.parameters)
    reach = p.windows(spatial_size(call))[1] if p.ceil_mode else p.padding
    floating = call.dtype.startswith(("float", "bfloat"))
    fill = "-np.inf" if floating else f"np.iinfo('{call.dtype}').min"
    dilation = plain((1, 1, *p.dilation))
    return f"{_windows(call, t, fill, 'max', reach)}, window_dilation={dilation})"


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    p, size = pooling(call.parameters), spatial_size(call)
    out, reach = p.windows(size)
    counted = call.parameters["count_include_pad"]
    count = divisors(size, out, p.kernel, p.stride, p.padding, counted).tolist()
    return f"{_windows(call, t, '0', 'add', reach)}) / np.array({count}, '{call.dtype}')"


def _windows(call: SnippetCall, t: str, start: str, operation: str, padding: Padding) -> str:
    windows = ", ".join(plain((1, 1, *call.parameters[name])) for name in ("kernel", "stride"))
    pads = plain(((0, 0), (0, 0), *padding))
    first = f"np.array({start}, '{call.dtype}')"
    return f"lax.reduce_window({t}, {first}, lax.{operation}, {windows}, {pads}"


_WRITERS = Writers(lambda call, name: name, _conv, _conv_transpose, _max_pool, _avg_pool)
