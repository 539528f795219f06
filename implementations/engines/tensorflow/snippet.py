"""TensorFlow's own call of a case as source text (`conformance.registration.snippets`).

Each function mirrors its namesake in ``eager.py``: the same operator, the same padding
around it. Arrays are channels-last.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.implementations._arguments import Padding, Shape, window_reach
from conformance.registration.snippets import Call, plain

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
    sizes = x.shape[1:-1], w.shape[:-2]
    names = ("stride", "dilation", "output_padding")
    axes = zip(*sizes, *(call.parameters[name] for name in names), strict=True)
    whole = [(s - 1) * step + d * (k - 1) + extra + 1 for s, k, step, d, extra in axes]
    shape = (len(x), *whole, w.shape[-2] * call.parameters["groups"])
    stride, dilation = (_steps(call.parameters[name]) for name in ("stride", "dilation"))
    dilations = f", dilations={dilation}" if max(dilation) > 1 else ""
    crop = ", ".join(f"{b}:{s - a}" for s, (b, a) in zip(whole, padding, strict=True))
    crop = f"[:, {crop}]" if _any(padding) else ""
    arguments = f"{t}, {_tensor(call, 'w')}, {shape}, {stride}, 'VALID'{dilations}"
    return f"tf.nn.conv{call.dims}d_transpose({arguments}){crop}"


def _max_pool(call: Call, t: str) -> str:
    stride, dilation = call.parameters["stride"], call.parameters["dilation"]
    reach = _reach(call, dilation)
    if _any(reach):
        integer = not call.dtype.startswith(("float", "bfloat"))
        t = _pad(call, t, reach, f"tf.{call.dtype}.min" if integer else "-np.inf")
    kernel = call.text("kernel")
    if max(dilation) > 1:
        return f"tf.nn.pool({t}, {kernel}, 'MAX', padding='VALID', dilations={plain(dilation)})"
    return f"tf.nn.max_pool{call.dims}d({t}, {kernel}, {plain(stride)}, 'VALID')"


def _avg_pool(call: Call, t: str) -> str:
    padding, pads = call.parameters["padding"], "'VALID'"
    reach = _reach(call, (1,) * call.dims)
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


def _reach(call: Call, dilation: Shape) -> Padding:
    """Return the padding that the windows of a pool read."""
    kernel, stride, padding = (call.parameters[name] for name in ("kernel", "stride", "padding"))
    if not call.parameters["ceil_mode"]:
        return tuple(padding)
    x = call.arguments.get("x")
    shape = call.arguments["input_shape"] if x is None else x.shape
    return window_reach(shape[1:-1], kernel, stride, padding, dilation, ceil_mode=True)[1]


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
