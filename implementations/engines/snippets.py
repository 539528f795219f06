"""What the snippets of several engines share (`conformance.registration.snippets`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from conformance.implementations._arguments import Padding, Shape, pool_size
from conformance.implementations.engines.parameters import pooling
from conformance.registration.snippets import SnippetCall

Writer: TypeAlias = Callable[[SnippetCall, str, str, str], str]
"""Writes a forward call as source text; its input, weight and bias are source text as well.

A weight or a bias that the call does not have is empty.
"""


def gradient_at(
    call: SnippetCall,
    writers: Mapping[str, Writer],
    array: Callable[[SnippetCall, str], str],
    zeros: str,
) -> tuple[str, str]:
    """Return the tensor at which a gradient is taken, and the forward call of a tensor ``t``.

    ``array`` writes an argument of the call as a tensor; ``zeros`` is source text that makes a
    tensor of zeros, with braces in place of its shape. Raises NotImplementedError for
    conv_bias_grad, which each engine computes with another function.
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


def spatial_size(call: SnippetCall, *, channels_last: bool = False) -> Shape:
    """Return the spatial size of a pool's input; avg_pool_grad has its shape alone."""
    x = call.arguments.get("x")
    shape: Shape = call.arguments["input_shape"] if x is None else x.shape
    return shape[1:-1] if channels_last else shape[2:]


def checked_windows(call: SnippetCall, *, channels_last: bool = False) -> tuple[Shape, Padding]:
    """Return how many windows a pool has, and the padding that they read.

    Raises ValueError where the call is invalid.
    """
    p, x = pooling(call.parameters), call.arguments.get("x")
    if x is None:
        x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
    sizes = (p.kernel, p.stride, p.padding, p.dilation, p.ceil_mode)
    return pool_size(x, *sizes, channels_last=channels_last)


def numpy_copy(call: SnippetCall, name: str) -> str:
    """Return source text for an adapter's copy of an array; scripts have float32 for bfloat16."""
    dtype = "float32" if call.dtype == "bfloat16" else call.dtype
    return f"np.array({name}, np.{dtype}, order='C')"
