"""PyTorch's own operators, `torch.nn.functional`, called eagerly on the CPU.

Arrays are handed over without a copy, except where PyTorch cannot take them: read-only or unaligned
memory, negative strides, foreign byte order. bfloat16, which NumPy borrows from ml_dtypes, is
handed over as the int16 of the same bits.

PyTorch pads both ends of an axis alike. If the two ends of a case differ, the adapter pads first:
with zeros, which avg_pool then counts (without count_include_pad the case is Unsupported), or for
max_pool with -inf, as far as the last window of ceil_mode reaches. conv_transpose's result is
cropped by a slice, as is a window of avg_pool that starts in the padding after the input.

PyTorch judges the arguments, but where padding first would make empty axes and too much padding
valid. It accepts a tuple of one number, or of none, for all axes, and a ``grad`` of any dtype.

Measured with 2.13 on an x86 CPU: no integer max_pool in one dimension, no int32 convolution, no
float16 and bfloat16 avg_pool in three dimensions (for these PyTorch raises NotImplementedError),
and no avg_pool in three dimensions with a kernel that fits the padded input but not the input.
In the gradient of max_pool, the index of a window of padding alone lies outside of its plane: its
gradient is added to the next plane, or past the end of the array. Such cases are declined.
Convolutions in float32 run in oneDNN, as TensorFlow's do: the two are not two witnesses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Padding, Shape, native
from conformance.implementations.engines.adapter import Differentiable
from conformance.implementations.engines.padding import (
    asymmetric_part,
    check_padded,
    crop_slices,
    is_asymmetric,
    last_axis_first,
    no_padding,
    symmetric_part,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.implementations.engines.torch import snippet

if TYPE_CHECKING:
    from torch import Tensor


class Torch(Differentiable):
    """PyTorch's operators; a subclass calls them another way (``variants.py``).

    The operators are static methods, so that they can be compiled as functions.
    """

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor that shares the array's memory, or that of a copy where it cannot."""
        import torch

        flags = array.flags
        steps = (step >= 0 and step % array.itemsize == 0 for step in array.strides)
        if not (array.dtype.isnative and flags.aligned and flags.writeable and all(steps)):
            array = np.array(array, native(array.dtype), order="C")
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the tensor's memory."""
        import torch

        is_bfloat16 = tensor.dtype == torch.bfloat16  # NumPy has none
        result: Array = (tensor.view(torch.int16) if is_bfloat16 else tensor).numpy()
        return result.view(native(like.dtype)) if is_bfloat16 else result

    @staticmethod
    def convolve(t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """torch.nn.functional.conv1d, conv2d, conv3d."""
        import torch.nn.functional as F

        function: Any = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[t.ndim]
        padding = p.padding
        if is_asymmetric(padding):
            check_padded(t.shape[2:], padding)
            t, padding = _pad(t, padding, 0), no_padding(padding)
        y: Tensor = function(t, w, bias, p.stride, symmetric_part(padding), p.dilation, p.groups)
        return y

    @staticmethod
    def transposed(t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """torch.nn.functional.conv_transpose1d, conv_transpose2d, conv_transpose3d."""
        import torch.nn.functional as F

        functions = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
        function: Any = functions[t.ndim]
        ends = symmetric_part(p.padding)
        y: Tensor = function(t, w, bias, p.stride, ends, p.output_padding, p.groups, p.dilation)
        if not is_asymmetric(p.padding):
            return y
        return y[:, :, *crop_slices(y.shape[2:], asymmetric_part(p.padding))]

    @staticmethod
    def maximum(t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """torch.nn.functional.max_pool1d, max_pool2d, max_pool3d."""
        import torch.nn.functional as F

        function: Any = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}[t.ndim]
        padding, ceil_mode = p.padding, p.ceil_mode
        if is_asymmetric(padding):
            check_padded(t.shape[2:], padding, p.kernel)
            t, padding, ceil_mode = _pad(t, reach, fill), no_padding(padding), False
        y: Tensor = function(t, p.kernel, p.stride, symmetric_part(padding), p.dilation, ceil_mode)
        return y

    @staticmethod
    def average(t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """torch.nn.functional.avg_pool1d, avg_pool2d, avg_pool3d."""
        import torch.nn.functional as F

        function: Any = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}[t.ndim]
        if t.ndim == 5 and _only_padding_holds(t.shape[2:], p.kernel, p.padding):
            raise Unsupported("avg_pool3d takes no kernel larger than the input without padding")
        if not is_asymmetric(p.padding):
            ends, counts = symmetric_part(p.padding), p.count_include_pad
            y: Tensor = function(t, p.kernel, p.stride, ends, p.ceil_mode, counts)
            return y
        if not p.count_include_pad:
            raise Unsupported("only symmetric padding can be left out of the divisor")
        check_padded(t.shape[2:], p.padding, p.kernel)
        out, _ = p.windows(t.shape[2:])
        y = function(_pad(t, p.padding, 0), p.kernel, p.stride, 0, p.ceil_mode, True)
        return y[:, :, *map(slice, out)]

    def max_pool_grad(self, grad: Array, x: Array, p: Pool) -> Array:
        """Differentiate `maximum`, where each window sees an element of x."""
        if _has_window_of_padding_alone(x.shape[2:], p):
            raise Unsupported("the gradient of a window of padding alone is added outside of x")
        return super().max_pool_grad(grad, x, p)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """torch.autograd.grad."""
        import torch

        with torch.enable_grad():
            at.requires_grad_()
            y = self.run(forward, at, *arguments)
            (result,) = torch.autograd.grad(y, at, grad)
        return result


def _pad(t: Tensor, padding: Padding, fill: float) -> Tensor:
    import torch.nn.functional as F

    return F.pad(t, last_axis_first(padding), value=fill)


def _only_padding_holds(size: Shape, kernel: Shape, padding: Padding) -> bool:
    """Whether the kernel is larger than the input, but not than the padded one."""
    axes = list(zip(size, kernel, padding, strict=True))
    return any(k > s for s, k, _ in axes) and all(k <= s + sum(pair) for s, k, pair in axes)


def _has_window_of_padding_alone(size: Shape, p: Pool) -> bool:
    """Whether some window reads padding only, on some axis, and PyTorch pads (both ends alike).

    Possible with dilation alone: without it padding is at most half a kernel.
    """
    if not any(d > 1 for d in p.dilation) or is_asymmetric(p.padding):
        return False
    out, _ = p.windows(size)
    axes = zip(size, out, p.kernel, p.stride, p.padding, p.dilation, strict=True)
    return any(
        not any(0 <= number * step - before + i * d < s for i in range(k))
        for s, o, k, step, (before, _), d in axes
        for number in range(o)
    )


pytorch = implementation(
    "torch",
    package="torch",
    settings="oneDNN and NNPACK where PyTorch chooses them, as by default",
    extra="torch",
    dtypes=DTYPES,
    call_seconds=5e-4,
    snippet=snippet.snippet,
    known="known.toml",
)
Torch().register(pytorch)
