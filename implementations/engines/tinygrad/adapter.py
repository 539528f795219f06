"""tinygrad's `Tensor.conv2d`, `conv_transpose2d`, `max_pool2d` and `avg_pool2d`, on its CPU device.

All four work in one, two and three dimensions in spite of their names, channels first, with
padding of its own for each end of an axis: nothing has to be emulated. tinygrad is lazy and has no
convolution kernel: each call becomes movements, products and sums, fused into C that clang compiles
(Debian's package clang; version 14 has no bfloat16) the first time that these shapes and parameters
are seen; tinygrad caches the kernels itself. Family `tinygrad`.

- Defaults that matter: Winograd is off (`WINO=0`), and sums of half formats are accumulated in
  float32, the products in the half format itself.
- avg_pool counts what `count_include_pad` says; `ceil_mode` is PyTorch's.
- gradients: `Tensor.gradient`, which differentiates the graph.

Arguments are tinygrad's to judge, which has assertions alone for that. An empty batch and integers
are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from subprocess import CalledProcessError
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Padding, Shape, native
from conformance.implementations.engines.adapter import Differentiable, Tensor
from conformance.implementations.engines.tinygrad import snippet

tinygrad = implementation(
    "tinygrad",
    family="tinygrad",
    package="tinygrad",
    settings="device CPU; no Winograd, as by default",
    shape_seconds=0.4,
    extra="tinygrad",
    dtypes=DTYPES,
    snippet=snippet.tinygrad,
    conventions={
        "pool_padding": "accept",
        "zero_channels": "empty_sum",
        "mixed_dtypes": "promote",
        "tie": "split",
    },
    known="known.toml",
)


class Tinygrad(Differentiable):
    """tinygrad's operators on its device CPU."""

    def tensor(self, array: Array) -> Tensor:
        """Copy; bfloat16, which NumPy borrows from ml_dtypes, crosses as the same bits."""
        from tinygrad import Tensor, dtypes

        array = np.array(array, native(array.dtype), order="C")
        if array.dtype.name == "bfloat16":
            if not _compiles_bfloat16():
                raise Unsupported("this clang does not compile bfloat16 for this target")
            return Tensor(array.view(np.uint16), device="CPU").bitcast(dtypes.bfloat16).realize()
        return Tensor(array, device="CPU").realize()

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Compute and copy."""
        from tinygrad import dtypes

        dtype = native(like.dtype)
        if tensor.dtype == dtypes.bfloat16:
            return np.array(tensor.contiguous().bitcast(dtypes.uint16).numpy()).view(dtype)
        return np.array(tensor.numpy())

    def convolve(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """Tensor.conv2d."""
        return t.conv2d(w, bias, groups, tuple(stride), tuple(dilation), _flat(padding))

    def transposed(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """Tensor.conv_transpose2d."""
        return t.conv_transpose2d(
            w,
            bias,
            groups,
            tuple(stride),
            tuple(dilation),
            _flat(padding),
            tuple(output_padding),
        )

    def maximum(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        dilation: Shape,
        ceil_mode: bool,
        fill: float,
    ) -> Tensor:
        """Tensor.max_pool2d."""
        return t.max_pool2d(
            tuple(kernel), tuple(stride), tuple(dilation), _flat(padding), ceil_mode=ceil_mode
        )

    def average(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Tensor:
        """Tensor.avg_pool2d."""
        return t.avg_pool2d(
            tuple(kernel),
            tuple(stride),
            padding=_flat(padding),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
        )

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Tensor.gradient."""
        (result,) = forward(at, *arguments).gradient(at, gradient=grad)
        return result


@lru_cache(1)
def _compiles_bfloat16() -> bool:
    """Whether the compiler knows bfloat16 on this machine: asking takes longer than a call."""
    from tinygrad import Tensor, dtypes

    try:
        Tensor(np.zeros(1, np.uint16), device="CPU").bitcast(dtypes.bfloat16).realize()
    except CalledProcessError:
        return False
    return True


def _flat(padding: Padding) -> Any:
    """Return ``padding`` as tinygrad takes it: both ends of the last axis first."""
    return tuple(size for before, after in reversed(padding) for size in (before, after))


Tinygrad().register(tinygrad)
