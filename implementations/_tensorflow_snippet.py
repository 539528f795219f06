"""TensorFlow's own call of a case as source text, for reports' scripts (`conformance.snippets`).

Each function mirrors its namesake in ``tensorflow_eager.py``: the same operator, the same padding
around it. Arrays are channels-last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.snippets import Call, plain
from implementations._common import Padding, Shape, conv_transpose_size, pool_size

_IMPORT = "import tensorflow as tf"


def snippet(call: Call) -> list[str] | None:
    """Return the lines that make a call with tf.nn."""
    if call.operator in _FORWARD:
        t = _FORWARD[call.operator](call, _tensor(call, "x"))
        if call.arguments.get("bias") is not None:
            t = f"tf.nn.bias_add({t}, {_tensor(call, 'bias')})"
        return [_IMPORT, f"got = {_back(call, t)}"]
    return _gradient(call)


def _conv(call: Call, t: str, w: str = "") -> str:
    padding, pads = call.parameters["padding"], "'VALID'"
    if _any(padding) and call.dims == 2:
        pads = plain(((0, 0), *padding, (0, 0)))
    elif _any(padding):
        t = _pad(call, t, padding, "0")
    w = w or _tensor(call, "w")
    stride, dilation = (_steps(call.parameters[name]) for name in ("stride", "dilation"))
    dilations = f", dilations={dilation}" if max(dilation) > 1 else ""
    return f"tf.nn.conv{call.dims}d({t}, {w}, {stride}, {pads}{dilations})"


def _conv_transpose(call: Call, t: str) -> str:
    padding, w = call.parameters["padding"], call.arguments["w"]
    x = call.arguments["x"]
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    parameters = (call.parameters[name] for name in names)
    out = conv_transpose_size(x, w, call.arguments["bias"], *parameters, channels_last=True)
    whole = (b + o + a for o, (b, a) in zip(out, padding, strict=True))
    shape = (len(x), *whole, w.shape[-2] * call.parameters["groups"])
    stride, dilation = (_steps(call.parameters[name]) for name in ("stride", "dilation"))
    dilations = f", dilations={dilation}" if max(dilation) > 1 else ""
    crop = ", ".join(f"{b}:{b + o}" for o, (b, _) in zip(out, padding, strict=True))
    crop = f"[:, {crop}]" if _any(padding) else ""
    arguments = f"{t}, {_tensor(call, 'w')}, {shape}, {stride}, 'VALID'{dilations}"
    return f"tf.nn.conv{call.dims}d_transpose({arguments}){crop}"


def _max_pool(call: Call, t: str) -> str:
    stride, dilation = call.parameters["stride"], call.parameters["dilation"]
    _, reach = _pool(call, dilation)
    if _any(reach):
        integer = not call.dtype.startswith(("float", "bfloat"))
        t = _pad(call, t, reach, f"tf.{call.dtype}.min" if integer else "-np.inf")
    kernel = call.text("kernel")
    if max(dilation) > 1:
        return f"tf.nn.pool({t}, {kernel}, 'MAX', padding='VALID', dilations={plain(dilation)})"
    return f"tf.nn.max_pool{call.dims}d({t}, {kernel}, {plain(stride)}, 'VALID')"


def _avg_pool(call: Call, t: str) -> str:
    padding, pads = call.parameters["padding"], "'VALID'"
    _, reach = _pool(call, (1,) * call.dims)
    if _any(padding) and call.parameters["count_include_pad"]:
        t = _pad(call, t, padding, "0")
    elif _any(reach):
        pads = "'SAME'"
    arguments = f"{t}, {call.text('kernel')}, {call.text('stride')}, {pads}"
    return f"tf.nn.avg_pool{call.dims}d({arguments})"


def _gradient(call: Call) -> list[str]:
    """Return a gradient tape around the forward call, by a tensor ``t``."""
    zeros = "tf.zeros({shape}, tf." + call.dtype + ")"
    if call.operator == "conv_input_grad":
        made, y = zeros.format(shape=call.text("input_shape")), _conv(call, "t")
    elif call.operator == "conv_weight_grad":
        made = zeros.format(shape=call.text("weight_shape"))
        y = _conv(call, _tensor(call, "x"), w="t")
    elif call.operator == "conv_bias_grad":
        grad = call.arguments["grad"]
        made = zeros.format(shape=grad.shape[-1:])
        y = f"tf.nn.bias_add({zeros.format(shape=grad.shape)}, t)"
    elif call.operator == "max_pool_grad":
        made, y = _tensor(call, "x"), _max_pool(call, "t")
    else:
        made, y = zeros.format(shape=call.text("input_shape")), _avg_pool(call, "t")
    gradient = f"tape.gradient(y, t, {_tensor(call, 'grad')})"
    return [
        _IMPORT,
        f"with tf.GradientTape() as tape: t = {made}; tape.watch(t); y = {y}",
        f"got = {_back(call, gradient)}",
    ]


_FORWARD: dict[str, Callable[[Call, str], str]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}


def _pool(call: Call, dilation: Shape) -> tuple[Shape, Padding]:
    """Return the output size of a pool, and the padding that its windows read."""
    names = ("kernel", "stride", "padding")
    kernel, stride, padding = (call.parameters[name] for name in names)
    x = call.arguments.get("x")
    if x is None:  # avg_pool_grad knows the shape alone, and the size needs no more
        x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
    ceil_mode = call.parameters["ceil_mode"]
    return pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=True)


def _pad(call: Call, t: str, padding: Padding, fill: str) -> str:
    pairs = plain(((0, 0), *padding, (0, 0)))
    value = "" if fill == "0" else f", constant_values=tf.constant({fill}, tf.{call.dtype})"
    return f"tf.pad({t}, {pairs}{value})"


def _tensor(call: Call, name: str) -> str:
    """Return an array of the script as a tensor of the case's dtype."""
    array = name
    if call.memory[name] != "contiguous":
        array = f"np.ascontiguousarray({name}, np.{call.dtype})"
    return f"tf.constant({array}, tf.{call.dtype})"


def _back(call: Call, tensor: str) -> str:
    if call.dtype == "bfloat16":
        return f"tf.cast({tensor}, tf.float32).numpy()"
    return f"{tensor}.numpy()"


def _steps(values: Shape) -> list[int]:
    """Return strides or dilations as TensorFlow takes them: in three dimensions with N and C."""
    return [1, *values, 1] if len(values) == 3 else list(values)


def _any(padding: Padding) -> bool:
    return any(map(any, padding))
