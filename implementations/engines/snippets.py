"""What the snippets of several engines share (`conformance.registration.snippets`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from conformance.implementations._arguments import Padding, Shape, pool_size
from conformance.implementations.engines.parameters import pooling
from conformance.registration.snippets import Call

Writer: TypeAlias = Callable[[Call, str, str, str], str]
"""Writes a forward call of an input, a weight and a bias, which are source text themselves.

A weight or a bias that there is not is empty.
"""


def gradient_at(
    call: Call, writers: Mapping[str, Writer], array: Callable[[Call, str], str], zeros: str
) -> tuple[str, str]:
    """Return where a gradient is taken, and the forward call of it, a tensor named ``t``.

    ``array`` writes an argument of the call as a tensor; ``zeros`` is source text that makes a
    tensor of zeros, with braces in the place of its shape. Raises NotImplementedError for that of a
    bias, which each engine takes of another function.
    """
    if call.operator == "conv_input_grad":
        at = zeros.format(call.text("input_shape"))
        return at, writers["conv"](call, "t", array(call, "w"), "")
    if call.operator == "conv_weight_grad":
        at = zeros.format(call.text("weight_shape"))
        return at, writers["conv"](call, array(call, "x"), "t", "")
    if call.operator == "max_pool_grad":
        return array(call, "x"), writers["max_pool"](call, "t", "", "")
    if call.operator == "avg_pool_grad":
        return zeros.format(call.text("input_shape")), writers["avg_pool"](call, "t", "", "")
    raise NotImplementedError("the gradient of a bias needs more lines")


def spatial_size(call: Call, *, channels_last: bool = False) -> Shape:
    """Return the size of what a pool reads, of which avg_pool_grad has the shape alone."""
    x = call.arguments.get("x")
    shape: Shape = call.arguments["input_shape"] if x is None else x.shape
    return shape[1:-1] if channels_last else shape[2:]


def checked_windows(call: Call, *, channels_last: bool = False) -> tuple[Shape, Padding]:
    """Return how many windows a pool has, and the padding that they read.

    Raises ValueError where the call is invalid.
    """
    p, x = pooling(call.parameters), call.arguments.get("x")
    if x is None:
        x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
    sizes = (p.kernel, p.stride, p.padding, p.dilation, p.ceil_mode)
    return pool_size(x, *sizes, channels_last=channels_last)


def numpy_copy(call: Call, name: str) -> str:
    """Return an array of the script as an adapter copies it; bfloat16 arrives as float32."""
    dtype = "float32" if call.dtype == "bfloat16" else call.dtype
    return f"np.array({name}, np.{dtype}, order='C')"
