"""MLX's own call of a case as source text; functions mirror their namesakes in ``adapter.py``."""

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
from conformance.implementations.engines.snippets import Writers, checked_windows, numpy_copy
from conformance.registration.snippets import SnippetCall, plain


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with MLX on the CPU."""
    return varied("cpu", call)


def varied(device: str, call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with MLX on a device."""
    y = _WRITERS.forward(call)
    if y is None:
        at, y = _WRITERS.gradient_at(call, f"mx.zeros({{}}, dtype=mx.{call.dtype})")
        y = f"mx.vjp(lambda t: {y}, [{at}], [{_array(call, 'grad')}])[1][0]"
    back = f"({y}).astype(mx.float32)" if call.dtype == "bfloat16" else y
    return [
        f"import mlx.core as mx, mlx.nn as nn; mx.set_default_device(mx.{device})",
        f"got = np.array({back})",
    ]


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    low, high = ([pair[end] for pair in p["padding"]] for end in (0, 1))
    weight = f"{w}.transpose({plain((dims + 1, *range(dims), dims))[1:-1]})"
    y = (
        f"mx.conv_general({t}, {weight}, {list(p['stride'])}, ({low}, {high}), "
        f"{list(p['dilation'])}, groups={p['groups']})"
    )
    return f"{y} + {bias}" if bias else y


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    dims, p = call.dims, call.parameters
    if p["groups"] > 1:
        raise NotImplementedError("groups need more lines")
    both = symmetric_part(p["padding"])
    weight = f"{w}.transpose({plain((dims, *range(dims), dims + 1))[1:-1]})"
    values = (p["stride"], both, p["dilation"], p["output_padding"])
    y = f"mx.conv_transpose{dims}d({t}, {weight}, {', '.join(map(_axes, values))})"
    if is_asymmetric(p["padding"]):
        crop = asymmetric_part(p["padding"])
        y += f"[:, {', '.join(f'{low}:{-high or None}' for low, high in crop)}]"
    return f"{y} + {bias}" if bias else y


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    _, reach = checked_windows(call, channels_last=True)
    if max(call.parameters["dilation"]) > 1:
        raise NotImplementedError("no dilation")
    fill = plain(lowest(np.dtype(call.dtype))) if "int" in call.dtype else "-float('inf')"
    return _pool(call, "MaxPool", t, reach, fill)


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    padding = call.parameters["padding"]
    if any_padding(padding) and not call.parameters["count_include_pad"]:
        raise NotImplementedError("padding always counts")
    if checked_windows(call, channels_last=True)[1] != padding:
        raise NotImplementedError("no windows beyond the padding")
    return _pool(call, "AvgPool", t, padding, "0")


def _pool(call: SnippetCall, name: str, t: str, padding: Padding, fill: str) -> str:
    if is_asymmetric(padding):
        value = f"constant_values=mx.array({fill}, mx.{call.dtype})"
        t = f"mx.pad({t}, {[(0, 0), *padding, (0, 0)]}, {value})"
        padding = no_padding(padding)
    windows = f"{call.text('kernel')}, {call.text('stride')}, {plain(symmetric_part(padding))}"
    return f"nn.{name}{call.dims}d({windows})({t})"


def _axes(values: Shape) -> str:
    return plain(values[0] if len(values) == 1 else tuple(values))


def _array(call: SnippetCall, name: str) -> str:
    return f"mx.array({numpy_copy(call, name)}, dtype=mx.{call.dtype})"


_WRITERS = Writers(_array, _conv, _conv_transpose, _max_pool, _avg_pool)
