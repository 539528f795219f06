"""PyTorch's own operators, `torch.nn.functional`, called eagerly on the CPU.

One call makes one result: this file only translates. Arrays are handed over without a copy, except
where PyTorch cannot take them: read-only or unaligned memory, negative strides, foreign byte order.
bfloat16, which NumPy borrows from ml_dtypes, crosses over as the int16 of the same bits.

PyTorch pads both ends of an axis alike. Where a case does not, this happens around the call:

- conv: the input is padded with zeros first.
- conv_transpose: padding crops, so the call crops what both ends share and a slice the rest.
- max_pool: the input is padded with -inf first, as far as the last window of ceil_mode reaches.
- avg_pool: the input is padded with zeros first, which then count. A window of ceil_mode that
  starts in the padding after the input would no longer be dropped by PyTorch; a slice drops it.
  Without count_include_pad the case is Unsupported.

The arguments are PyTorch's to judge, except where the input is padded first, which would make
empty axes and too much padding valid. PyTorch takes more than the suite's operators do: a tuple of
one number, or of none, for all axes, and in a gradient a ``grad`` of any dtype.

Measured with 2.13 on an x86 CPU: no integer max_pool in one dimension, no int32 convolution, no
float16 and bfloat16 avg_pool in three dimensions (for these PyTorch raises NotImplementedError),
and no avg_pool in three dimensions with a kernel that fits the padded input but not the input.
In the gradient of max_pool, the index of a window of padding alone lies outside of its plane: its
gradient is added to the next plane, or past the end of the array, so that such cases are declined.
Convolutions in float32 run in oneDNN, as TensorFlow's do: agreement of the two is not the word of
two witnesses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Padding, Shape, native, window_reach
from conformance.implementations.engines.adapter import (
    Differentiable,
    check_padded,
    cropped,
    differ,
    shared,
)
from conformance.implementations.engines.torch.snippet import snippet

if TYPE_CHECKING:
    from torch import Tensor


class Torch(Differentiable):
    """PyTorch's operators; a subclass calls them another way (``pytorch_variants.py``).

    They need no instance: to compile one is to compile a function.
    """

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor that shares the array's memory, or that of a copy where it cannot."""
        return _tensor(array)

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the tensor's memory."""
        import torch

        half = tensor.dtype == torch.bfloat16  # which NumPy has not
        result: Array = (tensor.view(torch.int16) if half else tensor).numpy()
        return result.view(native(like.dtype)) if half else result

    @staticmethod
    def convolve(
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """torch.nn.functional.conv1d, conv2d, conv3d."""
        import torch.nn.functional as F

        function: Any = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[t.ndim]
        if differ(padding):
            check_padded(t.shape[2:], padding)
            t, padding = _pad(t, padding, 0), ((0, 0),) * len(padding)
        y: Tensor = function(t, w, bias, stride, shared(padding), dilation, groups)
        return y

    @staticmethod
    def transposed(
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """torch.nn.functional.conv_transpose1d, conv_transpose2d, conv_transpose3d."""
        import torch.nn.functional as F

        functions = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
        function: Any = functions[t.ndim]
        both = shared(padding)
        y: Tensor = function(t, w, bias, stride, both, output_padding, groups, dilation)
        if not differ(padding):
            return y
        rest = tuple((b - s, a - s) for (b, a), s in zip(padding, both, strict=True))
        return y[:, :, *cropped(y.shape[2:], rest)]

    @staticmethod
    def maximum(
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        dilation: Shape,
        ceil_mode: bool,
        fill: float,
    ) -> Tensor:
        """torch.nn.functional.max_pool1d, max_pool2d, max_pool3d."""
        import torch.nn.functional as F

        function: Any = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}[t.ndim]
        if differ(padding):
            check_padded(t.shape[2:], padding, kernel)
            t, padding, ceil_mode = _pad(t, reach, fill), ((0, 0),) * len(padding), False
        y: Tensor = function(t, kernel, stride, shared(padding), dilation, ceil_mode)
        return y

    @staticmethod
    def average(
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Tensor:
        """torch.nn.functional.avg_pool1d, avg_pool2d, avg_pool3d."""
        import torch.nn.functional as F

        function: Any = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}[t.ndim]
        if t.ndim == 5 and _only_padding_holds(t.shape[2:], kernel, padding):
            raise Unsupported("avg_pool3d takes no kernel larger than the input without padding")
        if not differ(padding):
            y: Tensor = function(t, kernel, stride, shared(padding), ceil_mode, count_include_pad)
            return y
        if not count_include_pad:
            raise Unsupported("only symmetric padding can be left out of the divisor")
        check_padded(t.shape[2:], padding, kernel)
        ones = (1,) * len(kernel)
        out, _ = window_reach(t.shape[2:], kernel, stride, padding, ones, ceil_mode)
        y = function(_pad(t, padding, 0), kernel, stride, 0, ceil_mode, count_include_pad)
        return y[:, :, *map(slice, out)]

    def max_pool_grad(self, grad: Array, x: Array, **parameters: Any) -> Array:
        """Differentiate `maximum`, where each window sees an element of x."""
        if _blind(x.shape[2:], **parameters):
            raise Unsupported("the gradient of a window of padding alone is added outside of x")
        return super().max_pool_grad(grad, x, **parameters)

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

    return F.pad(t, [size for pair in reversed(padding) for size in pair], value=fill)


def _only_padding_holds(size: Shape, kernel: Shape, padding: Padding) -> bool:
    """Whether the kernel is larger than the input, but not than the padded one."""
    axes = list(zip(size, kernel, padding, strict=True))
    return any(k > s for s, k, _ in axes) and all(k <= s + sum(pair) for s, k, pair in axes)


def _blind(
    size: Shape,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
) -> bool:
    """Whether PyTorch pads, and some window reads nothing else: on one axis, then it does on all.

    Without dilation none does, as no padding is larger than half of the kernel.
    """
    if not any(d > 1 for d in dilation) or differ(padding):
        return False
    out, _ = window_reach(size, kernel, stride, padding, dilation, ceil_mode)
    return any(
        not any(0 <= p * step - before + i * d < s for i in range(k))
        for s, o, k, step, (before, _), d in zip(
            size, out, kernel, stride, padding, dilation, strict=True
        )
        for p in range(o)
    )


def _tensor(array: Array) -> Tensor:
    """Return a tensor that shares the memory of ``array``, or of a copy where it cannot."""
    import torch

    flags = array.flags
    steps = (step >= 0 and step % array.itemsize == 0 for step in array.strides)
    if not (array.dtype.isnative and flags.aligned and flags.writeable and all(steps)):
        array = np.array(array, native(array.dtype), order="C")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


pytorch = implementation(
    "torch",
    package="torch",
    settings="oneDNN and NNPACK where PyTorch chooses them, as by default",
    extra="torch",
    dtypes=DTYPES,
    snippet=snippet,
    known="known.toml",
)
Torch().register(pytorch)
