"""tinygrad's own call of a case as source text; functions mirror those of ``adapter.py``."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.implementations.engines.padding import last_axis_first
from conformance.implementations.engines.snippets import Writers, numpy_copy
from conformance.registration.snippets import SnippetCall, plain


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with tinygrad's device CPU."""
    return varied({"device": "CPU", "winograd": "off", "optimization": "on"}, call)


def varied(chosen: Mapping[str, str], call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with the options chosen."""
    settings = ["WINO=1"] if chosen["winograd"] == "on" else []
    settings += ["NOOPT=1"] if chosen["optimization"] == "off" else []
    lines = [f"from tinygrad import Tensor, dtypes{', Context' if settings else ''}"]
    if settings:
        lines[0] += f"; Context({', '.join(settings)}).__enter__()"
    y = _WRITERS.forward(call)
    if y is None:
        zeros = f"Tensor.zeros({{}}, dtype=dtypes.{call.dtype}, device='CPU').contiguous()"
        at, y = _WRITERS.gradient_at(call, zeros)
        lines.append(f"t = {at}.realize()")
        y = f"({y}).gradient(t, gradient={_array(call, 'grad')})[0]"
    cast = ".cast(dtypes.float32)" if call.dtype == "bfloat16" else ""
    lines.append(f"got = ({y}){cast}.numpy()")
    steps = (*call.parameters.get("stride", ()), *call.parameters.get("dilation", ()))
    if "WINO=1" in settings and {*steps} == {1} and call.operator in _CONVOLUTIONS:
        both = f"{call.text('stride')}, {call.text('dilation')}"
        lines = [line.replace(f", {both}, ", ", 1, 1, ") for line in lines]
    return [line.replace("device='CPU'", f"device={chosen['device']!r}") for line in lines]


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    values = _texts(call, "groups", "stride", "dilation", "padding")
    return f"{t}.conv2d({w}, {bias or None}, {values})"


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    values = _texts(call, "groups", "stride", "dilation", "padding", "output_padding")
    return f"{t}.conv_transpose2d({w}, {bias or None}, {values})"


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    return f"{t}.max_pool2d({_texts(call, 'kernel', 'stride', 'dilation', 'padding', 'ceil_mode')})"


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    values = _texts(call, "padding", "ceil_mode", "count_include_pad")
    return f"{t}.avg_pool2d({_texts(call, 'kernel', 'stride')}, 1, {values})"


def _texts(call: SnippetCall, *names: str) -> str:
    """Return parameters as source text, padding as tinygrad takes it."""
    pads = plain(last_axis_first(call.parameters["padding"]))
    return ", ".join(pads if name == "padding" else call.text(name) for name in names)


def _array(call: SnippetCall, name: str) -> str:
    tensor = f"Tensor({numpy_copy(call, name)}, device='CPU')"
    return f"{tensor}.cast(dtypes.bfloat16)" if call.dtype == "bfloat16" else tensor


_CONVOLUTIONS = ("conv", "conv_input_grad", "conv_weight_grad")
_WRITERS = Writers(_array, _conv, _conv_transpose, _max_pool, _avg_pool)
