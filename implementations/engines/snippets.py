"""What the snippets of several engines share (`conformance.registration.snippets`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from conformance.implementations._arguments import Padding, Shape, pool_size
from conformance.implementations.engines.parameters import pooling
from conformance.registration.snippets import SnippetCall

Writer: TypeAlias = Callable[[SnippetCall, str, str, str], str]
"""Writes a forward call as source text; its input, weight and bias are source text as well.

A weight or a bias that the call does not have is empty.
"""


@dataclass(frozen=True, slots=True)
class Writers:
    """How an engine's forward calls are written, and an array of the script as its tensor."""

    array: Callable[[SnippetCall, str], str]
    conv: Writer
    conv_transpose: Writer
    max_pool: Writer
    avg_pool: Writer

    def forward(self, call: SnippetCall) -> str | None:
        """Return a forward call of the script's arrays; None for a gradient."""
        if call.operator.endswith("_grad"):
            return None
        names = ("x", "w", "bias")
        arrays = ("" if call.arguments.get(n) is None else self.array(call, n) for n in names)
        text: str = getattr(self, call.operator)(call, *arrays)
        return text

    def gradient_at(self, call: SnippetCall, zeros: str) -> tuple[str, str]:
        """Return the tensor at which a gradient is taken, and the forward call of a tensor ``t``.

        ``zeros`` is source text that makes a tensor of zeros, with braces in place of its shape.
        Raises NotImplementedError for conv_bias_grad, for which engines have other functions.
        """
        if call.operator == "conv_input_grad":
            at = zeros.format(call.text("input_shape"))
            return at, self.conv(call, "t", self.array(call, "w"), "")
        if call.operator == "conv_weight_grad":
            at = zeros.format(call.text("weight_shape"))
            return at, self.conv(call, self.array(call, "x"), "t", "")
        if call.operator == "max_pool_grad":
            return self.array(call, "x"), self.max_pool(call, "t", "", "")
        if call.operator == "avg_pool_grad":
            return zeros.format(call.text("input_shape")), self.avg_pool(call, "t", "", "")
        raise NotImplementedError("the gradient of a bias needs more lines")


def spatial_size(call: SnippetCall, *, channels_last: bool = False) -> Shape:
    """Return the spatial size of a pool's input; avg_pool_grad has its shape alone."""
    x = call.arguments.get("x")
    shape: Shape = call.arguments["input_shape"] if x is None else x.shape
    return shape[1:-1] if channels_last else shape[2:]


def checked_windows(call: SnippetCall, *, channels_last: bool = False) -> tuple[Shape, Padding]:
    """Return the windows of a pool, and the padding that they read; raise ValueError if invalid."""
    p, x = pooling(call.parameters), call.arguments.get("x")
    if x is None:
        x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
    sizes = (p.kernel, p.stride, p.padding, p.dilation, p.ceil_mode)
    return pool_size(x, *sizes, channels_last=channels_last)


def numpy_copy(call: SnippetCall, name: str) -> str:
    """Return source text for an adapter's copy of an array; scripts have float32 for bfloat16."""
    dtype = "float32" if call.dtype == "bfloat16" else call.dtype
    return f"np.array({name}, np.{dtype}, order='C')"
