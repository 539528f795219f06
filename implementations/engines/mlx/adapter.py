"""MLX on the CPU: `mlx.core.conv_general`, `mlx.core.conv_transposeNd` and the pools of `mlx.nn`.

MLX is lazy: a call builds a graph of arrays, which is computed before the result is returned.
Arrays are channels-last; the weight of a convolution is (O, *K, C/groups), a transposed view of the
suite's (*K, C/groups, O). Its kernels are its own: family `mlx`.

- conv, conv_transpose: no groups in three dimensions. A second operator adds the bias, as in
  `mlx.nn.Conv2d`: in half formats that would round a second time and is Unsupported. The padding
  of conv_transpose crops both ends alike, a slice the rest; its documented limit to one group is
  not enforced, and groups work.
- max_pool, avg_pool: they pad both ends alike, integers with -inf too, which is cast. Otherwise, or
  where `ceil_mode` reaches further, `mlx.core.pad` pads first. No dilation, no padding out of the
  divisor.
- gradients: `mlx.core.vjp`. The gradient of a maximum is split among equal elements (`tie`).

float64 exists on the CPU alone, and some convolutions decline it. Every call runs in a stream of
the CPU, or of the GPU as `mlx[device=gpu]`; the default device stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Padding, Shape, check_axes, native
from conformance.implementations.engines.adapter import Differentiable
from conformance.implementations.engines.mlx import snippet
from conformance.implementations.engines.padding import (
    Tensor,
    add_bias,
    any_padding,
    asymmetric_part,
    check_padded,
    crop_slices,
    is_asymmetric,
    no_padding,
    symmetric_part,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

mlx = implementation(
    "mlx",
    family="mlx",
    package="mlx",
    settings="a stream of the CPU",
    extra="mlx",
    layout="NHWC",
    dtypes=DTYPES,
    snippet=snippet.snippet,
    conventions={"tie": "split"},
    known="known.toml",
)


class Mlx(Differentiable):
    """MLX's operators, computed on a device."""

    channels_last = True

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def _stream(self) -> Any:
        """Return a context whose arrays are computed on the device."""
        import mlx.core as mx

        return mx.stream(getattr(mx, self._device))

    def tensor(self, array: Array) -> Tensor:
        """Copy; bfloat16, which NumPy has from ml_dtypes, is handed over as the same bits."""
        import mlx.core as mx

        array = np.array(array, native(array.dtype), order="C")  # without negative strides
        if array.dtype.name == "bfloat16":
            return mx.array(array.view(np.uint16)).view(mx.bfloat16)
        return mx.array(array, dtype=getattr(mx, array.dtype.name))

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Compute and copy."""
        import mlx.core as mx

        try:
            mx.eval(tensor)
        except ValueError as problem:
            if "unsupported data type" in str(problem):
                raise Unsupported(str(problem)) from None
            raise
        dtype = native(like.dtype)
        if tensor.dtype == mx.bfloat16:
            return np.array(tensor.view(mx.uint16)).view(dtype)
        return np.array(tensor)

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Call mlx.core.conv_general and add the bias."""
        import mlx.core as mx

        dims = t.ndim - 2
        if not mx.issubdtype(t.dtype, mx.floating):
            raise Unsupported("convolutions of floating-point dtypes only")
        if dims == 3 and p.groups > 1:
            raise Unsupported("groups in one and two dimensions only")
        low, high = map(list, zip(*p.padding, strict=True))
        weight = w.transpose(dims + 1, *range(dims), dims)  # (O, *K, C/groups)
        with self._stream():
            y = mx.conv_general(
                t,
                weight,
                stride=list(p.stride),
                padding=(low, high),
                kernel_dilation=list(p.dilation),
                groups=p.groups,
            )
            return add_bias(y, bias, channels_last=True)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Call mlx.core.conv_transposeNd, crop and add the bias."""
        import mlx.core as mx

        dims, groups = t.ndim - 2, p.groups
        if dims == 3 and groups > 1:
            raise Unsupported("groups in one and two dimensions only")
        function = (mx.conv_transpose1d, mx.conv_transpose2d, mx.conv_transpose3d)[dims - 1]
        if groups < 1:
            raise ValueError(f"groups={groups}: must be 1 or more, to take the weight apart")
        # (*K, O/groups, C), whose last axis counts groups first, as (O, *K, C/groups)
        *kernel, o, c = w.shape
        weight = w.reshape(*kernel, o, groups, c // groups)
        weight = weight.transpose(dims + 1, dims, *range(dims), dims + 2)
        weight = weight.reshape(groups * o, *kernel, c // groups)
        with self._stream():
            y = function(
                t,
                weight,
                stride=_axes(p.stride),
                padding=_axes(symmetric_part(p.padding)),
                dilation=_axes(p.dilation),
                output_padding=_axes(p.output_padding),
                groups=groups,
            )
            if is_asymmetric(p.padding):
                y = y[:, *crop_slices(y.shape[1:-1], asymmetric_part(p.padding))]
            return add_bias(y, bias, channels_last=True)

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Call mlx.nn.MaxPool1d, MaxPool2d or MaxPool3d."""
        check_axes(t.ndim - 2, dilation=p.dilation)
        if max(p.dilation) > 1:
            raise Unsupported("pools have no dilation")
        with self._stream():
            return _pooled("MaxPool", t, p, reach, fill)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Call mlx.nn.AvgPool1d, AvgPool2d or AvgPool3d."""
        if any_padding(p.padding) and not p.count_include_pad:
            raise Unsupported("padding always counts")
        if reach != tuple(map(tuple, p.padding)):
            raise Unsupported("no windows that reach beyond the padding")
        with self._stream():
            return _pooled("AvgPool", t, p, p.padding, 0)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Call mlx.core.vjp."""
        import mlx.core as mx

        with self._stream():
            _, (result,) = mx.vjp(lambda t: forward(t, *arguments), [at], [grad])
        return result


def _pooled(name: str, t: Tensor, p: Pool, padding: Padding, fill: float) -> Tensor:
    """Call a pool of mlx.nn; pad first where it cannot pad itself."""
    import mlx.core as mx
    import mlx.nn as nn

    pool = getattr(nn, f"{name}{(1, 2, 3)[t.ndim - 3]}d")
    if is_asymmetric(padding):
        check_padded(t.shape[1:-1], p.padding)
        pads, value = [(0, 0), *padding, (0, 0)], mx.array(fill, t.dtype)
        t, padding = mx.pad(t, pads, constant_values=value), no_padding(padding)
    return pool(p.kernel, p.stride, symmetric_part(padding))(t)


def _axes(values: Shape) -> Any:
    """Return a parameter as MLX takes it: a number in one dimension, else a tuple."""
    return values[0] if len(values) == 1 else tuple(values)


OPTIONS = (Option("device", "The device, by MLX's name for it.", ("cpu", "gpu"), "cpu"),)


def _made(chosen: Chosen) -> Variant:
    device = chosen["device"]
    declared = {
        "settings": f"a stream of the {device.upper()}",
        "snippet": partial(snippet.varied, device),
    }
    return Variant(Mlx(device).register, declared, partial(_missing, device))


def _missing(device: str) -> str | None:
    import mlx.core as mx

    if mx.is_available(getattr(mx, device)):
        return None
    return f"MLX has no device '{device}' here; there is cpu"


Mlx().register(mlx)
in_use().offer(Offer(mlx, OPTIONS, _made, __name__))
