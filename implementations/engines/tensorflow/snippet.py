"""TensorFlow's own call of a case as source text; functions mirror those of ``eager.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from conformance.implementations._arguments import Padding, Shape
from conformance.implementations.engines.padding import any_padding
from conformance.implementations.engines.parameters import pooling
from conformance.implementations.engines.snippets import Writers, spatial_size
from conformance.registration.snippets import SnippetCall, plain

_IMPORT = "import tensorflow as tf"
_TENSOR = re.compile(r"tf\.constant\((?:(\w+)|np\.ascontiguousarray\((\w+), [\w.]+\)), tf\.\w+\)")
"""Matches a tensor that is made of an array of the script."""


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with tf.nn."""
    y = _WRITERS.forward(call)
    return _gradient(call) if y is None else [_IMPORT, f"got = {_back(call, y)}"]


def varied(chosen: Mapping[str, str], call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with the options chosen (``xla.py``)."""
    traced = "on" in (chosen["xla"], chosen["function"])
    lines = compiled(call, by_xla=chosen["xla"] == "on") if traced else snippet(call)
    if lines and chosen["device"]:
        lines[0] += f"; device = tf.device({chosen['device']!r}); device.__enter__()"
    if lines and chosen["tf32"]:
        setting = f"enable_tensor_float_32_execution({chosen['tf32'] == 'on'})"
        lines[0] += f"; tf.config.experimental.{setting}"
    if lines and chosen["onednn"]:
        value = str(int(chosen["onednn"] == "on"))
        lines[0] = f"import os; os.environ['TF_ENABLE_ONEDNN_OPTS'] = {value!r}; {lines[0]}"
    return lines


def compiled(call: SnippetCall, *, by_xla: bool) -> list[str] | None:
    """Return the lines of `snippet` in a tf.function, compiled ``by_xla``; None for a gradient."""
    lines = snippet(call)
    last = re.fullmatch(r"got = (.*?)\.numpy\(\)(.*)", lines[-1]) if lines else None
    if lines is None or last is None or call.operator.endswith("_grad"):
        return None
    # Tensors are arguments: the compiler would take captured ones for constants, and fold them.
    tensors = {tensor[1] or tensor[2]: tensor[0] for tensor in _TENSOR.finditer(last[1])}
    y = _TENSOR.sub(lambda tensor: tensor[1] or tensor[2], last[1])
    jit = ", jit_compile=True" if by_xla else ""
    function = f"tf.function(lambda {', '.join(tensors)}: {y}{jit})"
    return [*lines[:-1], f"got = {function}({', '.join(tensors.values())}).numpy(){last[2]}"]


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    padding, pads = call.parameters["padding"], "'VALID'"
    if any_padding(padding) and call.dims == 2:
        pads = plain(((0, 0), *padding, (0, 0)))
    elif any_padding(padding):
        t = _pad(call, t, padding, "0")
    stride, dilation = (_steps(call.parameters[name]) for name in ("stride", "dilation"))
    dilations = f", dilations={dilation}" if max(dilation) > 1 else ""
    return _with_bias(f"tf.nn.conv{call.dims}d({t}, {w}, {stride}, {pads}{dilations})", bias)


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    padding, weight, x = call.parameters["padding"], call.arguments["w"], call.arguments["x"]
    sizes = x.shape[1:-1], weight.shape[:-2]
    names = ("stride", "dilation", "output_padding")
    axes = zip(*sizes, *(call.parameters[name] for name in names), strict=True)
    whole = [(s - 1) * step + d * (k - 1) + extra + 1 for s, k, step, d, extra in axes]
    shape = (len(x), *whole, weight.shape[-2] * call.parameters["groups"])
    stride, dilation = (_steps(call.parameters[name]) for name in ("stride", "dilation"))
    dilations = f", dilations={dilation}" if max(dilation) > 1 else ""
    crop = ", ".join(f"{b}:{s - a}" for s, (b, a) in zip(whole, padding, strict=True))
    crop = f"[:, {crop}]" if any_padding(padding) else ""
    arguments = f"{t}, {w}, {shape}, {stride}, 'VALID'{dilations}"
    return _with_bias(f"tf.nn.conv{call.dims}d_transpose({arguments}){crop}", bias)


def _with_bias(y: str, bias: str) -> str:
    return f"tf.nn.bias_add({y}, {bias})" if bias else y


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    stride, dilation = call.parameters["stride"], call.parameters["dilation"]
    reach = _reach(call)
    if any_padding(reach):
        integer = not call.dtype.startswith(("float", "bfloat"))
        t = _pad(call, t, reach, f"tf.{call.dtype}.min" if integer else "-np.inf")
    kernel = call.text("kernel")
    if max(dilation) > 1:
        return f"tf.nn.pool({t}, {kernel}, 'MAX', padding='VALID', dilations={plain(dilation)})"
    return f"tf.nn.max_pool{call.dims}d({t}, {kernel}, {plain(stride)}, 'VALID')"


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    padding, pads = call.parameters["padding"], "'VALID'"
    reach = _reach(call)
    if any_padding(padding) and call.parameters["count_include_pad"]:
        t = _pad(call, t, padding, "0")
    elif any_padding(reach):
        pads = "'SAME'"
    arguments = f"{t}, {call.text('kernel')}, {call.text('stride')}, {pads}"
    return f"tf.nn.avg_pool{call.dims}d({arguments})"


def _gradient(call: SnippetCall) -> list[str]:
    """Return a gradient tape around the forward call, by a tensor ``t``."""
    zeros = f"tf.zeros({{}}, tf.{call.dtype})"
    if call.operator == "conv_bias_grad":
        shape = call.arguments["grad"].shape
        at, y = zeros.format(shape[-1:]), _with_bias(zeros.format(shape), "t")
    else:
        at, y = _WRITERS.gradient_at(call, zeros)
    gradient = f"tape.gradient(y, t, {_tensor(call, 'grad')})"
    return [
        _IMPORT,
        f"with tf.GradientTape() as tape: t = {at}; tape.watch(t); y = {y}",
        f"got = {_back(call, gradient)}",
    ]


def _reach(call: SnippetCall) -> Padding:
    """Return the padding that the windows of a pool read."""
    if not call.parameters["ceil_mode"]:
        return tuple(call.parameters["padding"])
    return pooling(call.parameters).windows(spatial_size(call, channels_last=True))[1]


def _pad(call: SnippetCall, t: str, padding: Padding, fill: str) -> str:
    pairs = plain(((0, 0), *padding, (0, 0)))
    value = "" if fill == "0" else f", constant_values=tf.constant({fill}, tf.{call.dtype})"
    return f"tf.pad({t}, {pairs}{value})"


def _tensor(call: SnippetCall, name: str) -> str:
    """Return an array of the script as a tensor of the case's dtype."""
    array = name
    if call.memory[name] != "contiguous":
        array = f"np.ascontiguousarray({name}, np.{call.dtype})"
    return f"tf.constant({array}, tf.{call.dtype})"


def _back(call: SnippetCall, tensor: str) -> str:
    if call.dtype == "bfloat16":
        return f"tf.cast({tensor}, tf.float32).numpy()"
    return f"{tensor}.numpy()"


def _steps(values: Shape) -> list[int]:
    """Return strides or dilations as TensorFlow takes them: in three dimensions with N and C."""
    return [1, *values, 1] if len(values) == 3 else list(values)


_WRITERS = Writers(_tensor, _conv, _conv_transpose, _max_pool, _avg_pool)
