"""Keras's own call of a case as source text, padded as in ``adapter.py``."""

from __future__ import annotations

from conformance.implementations._arguments import Padding
from conformance.implementations.engines.padding import any_padding
from conformance.implementations.engines.parameters import pooling
from conformance.implementations.engines.snippets import spatial_size
from conformance.registration.snippets import SnippetCall, plain

_IMPORT = "import os; os.environ['KERAS_BACKEND'] = '{}'; import keras"
_OF_JAX = ", jax; jax.config.update('jax_enable_x64', True)"


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with keras.ops on its NumPy backend."""
    return varied("numpy", call)


def varied(backend: str, call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with keras.ops on a backend."""
    p, x = call.parameters, _array(call, "x")
    strides = f"strides={call.text('stride')}"
    dilation = f"dilation_rate={call.text('dilation')}" if "dilation" in p else ""
    if call.operator == "conv":
        padded = _pad(x, p["padding"], "0")
        y = _call("conv", f"{padded}, {_array(call, 'w')}, {strides}, {dilation}")
    elif call.operator == "conv_transpose":
        steps = f"output_padding={call.text('output_padding')}, {dilation}"
        y = _call("conv_transpose", f"{x}, {_array(call, 'w')}, {strides}, {steps}")
        crop = ", ".join(f"{before}:{-after or None}" for before, after in p["padding"])
        y += f"[:, {crop}]" if any_padding(p["padding"]) else ""
    elif call.operator in ("max_pool", "avg_pool"):
        name, fill = "average_pool", "0"
        if call.operator == "max_pool":
            name, fill = "max_pool", "-np.inf"
        _, reach = pooling(p).windows(spatial_size(call, channels_last=True))
        y = _call(name, f"{_pad(x, reach, fill)}, {call.text('kernel')}, {strides}")
    else:
        return None
    bias = "" if call.arguments.get("bias") is None else f" + {_array(call, 'bias')}"
    if backend != "numpy":
        y = f"np.asarray(keras.ops.convert_to_numpy({y}))"
    first = _IMPORT.format(backend) + _OF_JAX * (backend in ("numpy", "jax"))
    return [first, f"got = ({y}{bias}){'.astype(np.float32)' * (call.dtype == 'bfloat16')}"]


def _call(name: str, arguments: str) -> str:
    return f"keras.ops.{name}({arguments}, padding='valid', data_format='channels_last')"


def _pad(x: str, padding: Padding, fill: str) -> str:
    if not any_padding(padding):
        return x
    pairs = plain(((0, 0), *map(tuple, padding), (0, 0)))
    return f"np.pad({x}, {pairs}, constant_values={fill})"


def _array(call: SnippetCall, name: str) -> str:
    return f"np.ascontiguousarray({name}, '{call.dtype}')"
