"""Keras 3's operators, `keras.ops.conv`, `conv_transpose`, `max_pool` and `average_pool`.

They run on Keras's NumPy backend, whose convolutions and pools are those of `jax.lax`, called by
Keras's own code for shapes, padding and divisors. So the family is `xla`: Keras and JAX are not two
witnesses. `keras[backend=torch]` and others run on another one. Keras has one backend a process,
chosen when it is imported; where that is another one already, every case is Unsupported.

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
from functools import partial
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
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

if TYPE_CHECKING:
    from conformance.case import Case

BACKENDS = {"numpy": "jax", "jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}
"""Keras's backends, with the module that convolves."""


def _supports(case: Case) -> bool | str:
    if importlib.util.find_spec("jax") is None:
        return "Keras's NumPy backend needs JAX: pip install jax"
    return _supports_alike(case)


def _supports_alike(case: Case) -> bool | str:
    """Return what Keras says of a case whatever the backend is."""
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
    """Operators of keras.ops on one of its backends; tensors are NumPy arrays."""

    channels_last = True

    def __init__(self, backend: str = "numpy") -> None:
        self._run = partial(_run, backend)

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
        y = self._run("conv", t, w, strides=p.stride, dilation_rate=p.dilation)
        return add_bias(y, bias, channels_last=True)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Call keras.ops.conv_transpose and crop."""
        check_groups(p.groups, w.shape[-1], w.shape[-1])
        parameters = {"output_padding": p.output_padding, "dilation_rate": p.dilation}
        y = self._run("conv_transpose", t, w, strides=p.stride, **parameters)
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
        return self._run("max_pool", t, pool_size=p.kernel, strides=p.stride)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Pad the input and call keras.ops.average_pool."""
        check_padded(t.shape[1:-1], p.padding, p.kernel)
        if any_padding(p.padding) and not p.count_include_pad:
            raise Unsupported("padding by a given amount counts")
        if reach != tuple(map(tuple, p.padding)):
            raise Unsupported("no windows that reach beyond the padding")
        t = padded(t, reach, 0, t.dtype, first=1)
        return self._run("average_pool", t, pool_size=p.kernel, strides=p.stride)


_forget = ClearAfter()


def _run(backend: str, operator: str, *arrays: Array, **parameters: Any) -> Array:
    """Call an operator of keras.ops on a backend, without padding."""
    ops = _keras(backend).ops
    call = partial(
        getattr(ops, operator), padding="valid", data_format="channels_last", **parameters
    )
    if BACKENDS[backend] != "jax":
        return np.asarray(ops.convert_to_numpy(call(*arrays)))
    import jax

    shapes = tuple((array.shape, array.dtype) for array in arrays)
    _forget((operator, shapes, tuple(parameters.items())), jax.clear_caches)
    with jax.enable_x64(True):
        y = call(*arrays)
        return np.asarray(ops.convert_to_numpy(y)) if backend == "jax" else y


def _keras(backend: str) -> Any:
    """Return Keras on a backend."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    import keras

    if keras.backend.backend() != backend:
        raise Unsupported(f"this process has Keras on its {keras.backend.backend()} backend")
    return keras


OPTIONS = (
    Option("backend", "The backend that computes; a process has one.", tuple(BACKENDS), "numpy"),
)


def _made(chosen: Chosen) -> Variant:
    backend = chosen["backend"]
    needed = BACKENDS[backend]
    declared: dict[str, Any] = {
        "settings": f"Keras's backend {backend}",
        "snippet": partial(snippet.varied, backend),
    }
    if needed != "jax":
        declared |= {"family": needed, "conventions": {}, "shape_seconds": None}
        declared |= {"call_seconds": 2e-3, "supports": _supports_alike}
    return Variant(Keras(backend).register, declared, partial(_missing, backend))


def _missing(backend: str) -> str | None:
    needed = BACKENDS[backend]
    if importlib.util.find_spec(needed) is None:
        return f"Keras's backend {backend} needs {needed}: pip install {needed}"
    try:
        _keras(backend)
    except Unsupported as problem:
        return f"{problem} already; use a worker"
    return None


Keras().register(keras)
in_use().offer(Offer(keras, OPTIONS, _made, __name__))
