"""Keras 3's operators, `keras.ops.conv`, `conv_transpose`, `max_pool` and `average_pool`.

They run on Keras's NumPy backend, whose convolutions and pools are those of `jax.lax`, called by
Keras's own code for shapes, padding and divisors. So the family is `xla`: Keras and JAX are not two
witnesses. Keras has one backend a process, chosen when it is imported; where that is another one
already, every case is Unsupported.

Arrays are channels last. Keras pads "valid" (nothing) or "same" (by its own rule), never by a given
amount, and has no ceil_mode. So inputs are padded first, and a slice crops what conv_transpose
computes; avg_pool counts that padding, so that other cases are Unsupported.

Keras has no groups in conv_transpose, no dilation in max_pool, and none together with a stride. It
has no bias: a second operator adds it, which would round a second time in float16 and bfloat16, and
is Unsupported there. Every call is made under `jax.enable_x64`, without which JAX turns float64
into float32. Keras judges the arguments, but for padding, groups (of conv, they follow from the
kernel's shape), and the dilation of max_pool. The NumPy backend has no gradients.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import FLOATS
from conformance.implementations._arguments import Array, Padding, check_axes, native
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import Engine
from conformance.implementations.engines.compiled import ClearAfter
from conformance.implementations.engines.keras import snippet
from conformance.implementations.engines.padding import (
    Tensor,
    add_bias,
    any_padding,
    check_groups,
    check_padded,
    crop_slices,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool

if TYPE_CHECKING:
    from conformance.case import Case

BACKEND = "numpy"


def _supports(case: Case) -> bool | str:
    if importlib.util.find_spec("jax") is None:
        return "Keras's NumPy backend needs JAX: pip install jax"
    if case.operator == "conv_transpose" and case.groups > 1:
        return "keras.ops.conv_transpose has no groups"
    if case.operator == "max_pool" and max(case.dilation) > 1:
        return "keras.ops.max_pool has no dilation"
    if case.operator in ("conv", "conv_transpose") and max(case.stride) > 1 < max(case.dilation):
        return "no dilation together with a stride"
    return True


keras = implementation(
    "keras",
    family="xla",
    package="keras",
    settings="Keras's NumPy backend, whose operators are jax.lax's; jax.enable_x64",
    extra="keras",
    layout="NHWC",
    dtypes=FLOATS,
    call_seconds=1e-3,
    shape_seconds=0.02,
    conventions={"subnormal": "flush", "zero_channels": "empty_sum"},
    supports=_supports,
    snippet=snippet.snippet,
    known="known.toml",
)


class Keras(Engine):
    """Operators of keras.ops; tensors are NumPy arrays."""

    channels_last = True

    def tensor(self, array: Array) -> Tensor:
        """Return ``array`` in C order and this machine's byte order."""
        return np.asarray(array, native(array.dtype), order="C")

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return a copy."""
        return np.array(tensor)

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Pad the input and call keras.ops.conv."""
        check_groups(p.groups, t.shape[-1], w.shape[-2])
        check_padded(t.shape[1:-1], p.padding)
        t = padded(t, p.padding, 0, t.dtype, first=1)
        y = _run("conv", t, w, strides=p.stride, dilation_rate=p.dilation)
        return add_bias(y, bias, channels_last=True)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Call keras.ops.conv_transpose and crop."""
        check_groups(p.groups, w.shape[-1], w.shape[-1])
        parameters = {"output_padding": p.output_padding, "dilation_rate": p.dilation}
        y = _run("conv_transpose", t, w, strides=p.stride, **parameters)
        y = y[:, *crop_slices(y.shape[1:-1], p.padding)]
        if bias is not None and bias.dtype == t.dtype:  # y may have another dtype
            bias = bias.astype(y.dtype)
        return add_bias(y, bias, channels_last=True)

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Pad the input and call keras.ops.max_pool."""
        check_axes(t.ndim - 2, dilation=p.dilation)
        if max(p.dilation) > 1:
            raise Unsupported("keras.ops.max_pool has no dilation")
        check_padded(t.shape[1:-1], p.padding, p.kernel)
        t = padded(t, reach, fill, t.dtype, first=1)
        return _run("max_pool", t, pool_size=p.kernel, strides=p.stride)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Pad the input and call keras.ops.average_pool."""
        check_padded(t.shape[1:-1], p.padding, p.kernel)
        if any_padding(p.padding) and not p.count_include_pad:
            raise Unsupported("padding by a given amount counts")
        if reach != tuple(map(tuple, p.padding)):
            raise Unsupported("no windows that reach beyond the padding")
        t = padded(t, reach, 0, t.dtype, first=1)
        return _run("average_pool", t, pool_size=p.kernel, strides=p.stride)


_forget = ClearAfter()


def _run(operator: str, *arrays: Array, **parameters: Any) -> Array:
    """Call an operator of keras.ops, without padding."""
    import jax

    function = getattr(_keras().ops, operator)
    shapes = tuple((array.shape, array.dtype) for array in arrays)
    _forget((operator, shapes, tuple(parameters.items())), jax.clear_caches)
    with jax.enable_x64(True):
        y: Array = function(*arrays, padding="valid", data_format="channels_last", **parameters)
    return y


def _keras() -> Any:
    """Return Keras on its NumPy backend."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = BACKEND
    import keras

    if keras.backend.backend() != BACKEND:
        raise Unsupported(f"this process has Keras on its {keras.backend.backend()} backend")
    return keras


Keras().register(keras)
