"""MNN's own calls as source text, which mirror ``adapter.py``, for the scripts of reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.implementations._arguments import Padding
from conformance.implementations.engines.mnn.geometry import windows
from conformance.implementations.engines.padding import (
    any_padding,
    asymmetric_part,
    is_asymmetric,
    symmetric_part,
)
from conformance.implementations.engines.parameters import pooling
from conformance.registration.snippets import SnippetCall, plain


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with MNN.expr."""
    parts = _pool(call) if call.operator.endswith("pool") else _convolution(call)
    if parts is None:
        return None
    x, y, crop = parts
    return [
        "import MNN.expr as F",
        "C = lambda a: F.const(np.array(a, a.dtype.newbyteorder('='), order='C'), "
        "list(a.shape), F.NCHW)",
        f"c4 = F.convert(C({x}), F.NC4HW4); got = np.array(F.convert({y}, F.NCHW).read()){crop}",
    ]


def _convolution(call: SnippetCall) -> tuple[str, str, str] | None:
    p, (x, w, bias) = call.parameters, call.arguments.values()
    flat, conv, padding = x.ndim == w.ndim == 3, call.operator == "conv", p["padding"]
    if any(p.get("output_padding", ())):
        return None
    pads = padding if conv and is_asymmetric(padding) else ()
    both = (0,) * len(padding) if pads else symmetric_part(padding)
    o = len(w) if conv else w.shape[1] * max(p["groups"], 1)
    values = (_axes(p["stride"], flat, 1), _axes(both, flat, 0), _axes(p["dilation"], flat, 1))
    y = (
        f"F.conv2d{'' if conv else '_transpose'}(c4, C({_array('w', flat)}), "
        f"C({'bias' if bias is not None else f'np.zeros({o}, np.{w.dtype.name})'}), "
        f"{', '.join(values)}, {plain(p['groups'])}, F.CAFFE)"
    )
    crop = ""
    if not conv and is_asymmetric(padding):
        ends = (f"{before}:{-after or ''}" for before, after in asymmetric_part(padding))
        crop = f"[:, :, {', '.join(ends)}]"
    return _array("x", flat, pads), y, "[:, :, 0]" * flat + crop


def _pool(call: SnippetCall) -> tuple[str, str, str] | None:
    p, x = call.parameters, call.arguments["x"]
    flat = x.ndim == 3 and len(p["kernel"]) == 1
    dilation, fill = p.get("dilation", (1,)), "-np.inf" if call.operator == "max_pool" else "0"
    if any(d != 1 for d in dilation) or (
        any_padding(p["padding"]) and not p.get("count_include_pad", True)
    ):
        return None
    around, caffe = windows(x.shape[2:], pooling(p))
    if call.operator == "avg_pool" and caffe is None and around != p["padding"]:
        return None
    mode = "F.VALID" if caffe is None else f"F.CAFFE, {_axes(symmetric_part(caffe), flat, 0)}"
    steps = f"{_axes(p['kernel'], flat, 1)}, {_axes(p['stride'], flat, 1)}"
    y = f"F.{call.operator}(c4, {steps}, {mode})"
    return _array("x", flat, around, fill), y, "[:, :, 0]" * flat


def _array(name: str, flat: bool, pads: Padding = (), fill: str = "0") -> str:
    """Return an array as source text, padded, and ``flat`` with a height of 1."""
    if any_padding(pads):
        name = f"np.pad({name}, {[(0, 0), (0, 0), *pads]}, constant_values={fill})"
    return f"{name}[:, :, None]" if flat else name


def _axes(values: Sequence[Any], flat: bool, missing: int) -> str:
    """Return a parameter as a list, from the last axis to the first."""
    return f"[{', '.join(map(plain, [*reversed(values), *[missing] * flat]))}]"
