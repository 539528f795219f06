"""Keras 3's operators, `keras.ops.conv`, `conv_transpose`, `max_pool` and `average_pool`.

They run on Keras's NumPy backend, the one that no other file here covers: its arrays are NumPy's,
its convolutions and pools those of `jax.lax`, called by Keras's own code for shapes, padding and
divisors. So the family is `xla`: agreement with JAX is not the word of two witnesses. Keras has one
backend a process, chosen when it is imported; where it has been imported with another one already,
every case is Unsupported.

Arrays are channels last, as they lie by default. Keras pads "valid" (nothing) or "same" (by its own
rule), never by a given amount, and has no ceil_mode. So this happens around the call:

- conv: the input is padded with zeros first. Groups follow from the shape of the kernel.
- conv_transpose: computes the whole result ("valid", with the case's output_padding), and a slice
  crops it. It has no groups.
- max_pool: the input is padded with -inf first, as far as the last window of ceil_mode reaches. It
  has no dilation.
- avg_pool: the input is padded with zeros first, which then count; where padding does not count, or
  a window of ceil_mode reaches beyond it, the case is Unsupported.

Keras takes no dilation together with a stride. It has no bias: it is added by a second operator,
which in float16 and bfloat16 would round a second time, and is Unsupported there. JAX would turn
float64 into float32: every call is made under `jax.enable_x64`. As sizes are computed here, so are
all parameters checked. The NumPy backend has no gradients.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import KnownDifference, Unsupported, implementation
from conformance.dtypes import FLOATS
from implementations._common import (
    Array,
    Padding,
    Shape,
    conv_size,
    conv_transpose_size,
    native,
    padded,
    pool_size,
)

if TYPE_CHECKING:
    from conformance.case import Case

BACKEND = "numpy"


def _supports(case: Case) -> bool | str:
    if importlib.util.find_spec("jax") is None:
        return "Keras's NumPy backend needs JAX: pip install 'convformance[keras]'"
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
    extra="keras",
    layout="NHWC",
    dtypes=FLOATS,
    conventions={"subnormal": "flush"},
    supports=_supports,
    known=[
        KnownDifference(
            "RESULT-4",
            case="conv_transpose1d:float64:x=1,1,1:w=1,1,1:integers@0",
            where={"operator": "conv_transpose", "dtype": "float64"},
            reason="convert_to_tensor makes float32 of float64 arrays, whatever floatx is",
            versions="<=3.15.1",
        )
    ],
)


@keras
def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """keras.ops.conv of the padded input."""
    conv_size(x, w, bias, stride, padding, dilation, groups, channels_last=True)
    wide = padded(x, padding, 0, native(x.dtype), first=1)
    return _run("conv", wide, w, bias=bias, strides=stride, dilation_rate=dilation)


@keras
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Array:
    """keras.ops.conv_transpose, cropped."""
    out = conv_transpose_size(
        x, w, bias, stride, padding, output_padding, dilation, groups, channels_last=True
    )
    kept = [slice(before, before + o) for (before, _), o in zip(padding, out, strict=True)]
    return _run(
        "conv_transpose",
        *(x, w),
        bias=bias,
        crop=kept,
        strides=stride,
        output_padding=output_padding,
        dilation_rate=dilation,
    )


@keras
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """keras.ops.max_pool of the padded input."""
    _, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=True)
    wide = padded(x, reach, -np.inf, native(x.dtype), first=1)
    return _run("max_pool", wide, pool_size=kernel, strides=stride)


@keras
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """keras.ops.average_pool of the padded input."""
    undilated = (1,) * len(kernel)
    _, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode, channels_last=True)
    if any(map(any, padding)) and not count_include_pad:
        raise Unsupported("padding by a given amount counts")
    if reach != tuple(map(tuple, padding)):
        raise Unsupported("no windows that reach beyond the padding")
    wide = padded(x, padding, 0, native(x.dtype), first=1)
    return _run("average_pool", wide, pool_size=kernel, strides=stride)


def _run(
    operator: str,
    *arrays: Array,
    bias: Array | None = None,
    crop: list[slice] | None = None,
    **parameters: Any,
) -> Array:
    """Call an operator of keras.ops, without padding, and return its result as a new array."""
    import jax

    if bias is not None and bias.dtype.itemsize == 2:
        raise Unsupported(f"a second operator adds the bias and rounds to {bias.dtype} again")
    function = getattr(_keras().ops, operator)
    plain = [np.ascontiguousarray(array, native(array.dtype)) for array in arrays]
    with jax.enable_x64(True):
        y: Array = function(*plain, padding="valid", data_format="channels_last", **parameters)
    if crop is not None:
        y = y[:, *crop]
    return y if bias is None else y + bias.astype(y.dtype, copy=False)


def _keras() -> Any:
    """Return Keras on its NumPy backend."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = BACKEND
    import keras

    if keras.backend.backend() != BACKEND:
        raise Unsupported(f"this process has Keras on its {keras.backend.backend()} backend")
    return keras
