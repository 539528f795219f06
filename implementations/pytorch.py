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

PyTorch judges the values of the parameters. Checked here is only what it would take silently: an
input without batch or channels, a tuple of one number for all axes or of none, and a kernel larger
than the padded input where ceil_mode is on.

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
from conformance.registry import Implementation
from conformance.signatures import SIGNATURES
from implementations._common import (
    Array,
    Padding,
    Shape,
    check_padding,
    conv_size,
    conv_transpose_size,
    lowest,
    native,
    pool_size,
)
from implementations._gradients import check_grad, conv_grad_size, like, pool_grad_size
from implementations._torch_snippet import snippet

if TYPE_CHECKING:
    from torch import Tensor


class Torch:
    """PyTorch's operators; a subclass calls them another way (``pytorch_variants.py``)."""

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor with the numbers of ``array``."""
        return _tensor(array)

    def array(self, tensor: Tensor, x: Array) -> Array:
        """Return the tensor as an array of the dtype of ``x``."""
        return _array(tensor, x)

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call what makes the result of tensors and parameters."""
        return function(*arguments)

    def register(self, implementation: Implementation) -> None:
        """Register every operator under ``implementation``."""
        for operator in SIGNATURES:
            implementation.register(operator, getattr(self, operator))

    def conv(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """torch.nn.functional.conv1d, conv2d, conv3d."""
        _dims(x, w.ndim - 2, padding, stride=stride, dilation=dilation)
        if _differ(padding):
            conv_size(x, w, bias, stride, padding, dilation, groups)
        t, weight = self.tensor(x), self.tensor(w)
        y = self.run(_conv, t, weight, self._optional(bias), stride, padding, dilation, groups)
        return self.array(y, x)

    def conv_transpose(
        self,
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
        """torch.nn.functional.conv_transpose1d, conv_transpose2d, conv_transpose3d."""
        import torch.nn.functional as F

        dims = _dims(
            x, w.ndim - 2, padding, stride=stride, dilation=dilation, output_padding=output_padding
        )
        function: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
        rest: tuple[slice, ...] = ()
        if _differ(padding):
            out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
            starts = (before - min(before, after) for before, after in padding)
            rest = tuple(slice(start, start + o) for start, o in zip(starts, out, strict=True))
        y = self.run(
            function,
            self.tensor(x),
            self.tensor(w),
            self._optional(bias),
            stride,
            _shared(padding),
            output_padding,
            groups,
            dilation,
        )
        return self.array(y[:, :, *rest], x)

    def max_pool(
        self,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """torch.nn.functional.max_pool1d, max_pool2d, max_pool3d."""
        _dims(x, len(kernel), padding, kernel=kernel, stride=stride, dilation=dilation)
        reach = padding
        if ceil_mode or _differ(padding):
            _, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
        fill = lowest(x.dtype)
        t = self.tensor(x)
        y = self.run(_max_pool, t, kernel, stride, padding, reach, dilation, ceil_mode, fill)
        return self.array(y, x)

    def avg_pool(
        self,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """torch.nn.functional.avg_pool1d, avg_pool2d, avg_pool3d."""
        _dims(x, len(kernel), padding, kernel=kernel, stride=stride)
        sizes = _average_sizes(x, kernel, stride, padding, ceil_mode, count_include_pad)
        t = self.tensor(x)
        y = self.run(_avg_pool, t, kernel, stride, padding, sizes, ceil_mode, count_include_pad)
        return self.array(y, x)

    def conv_input_grad(
        self,
        grad: Array,
        w: Array,
        input_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Autograd through conv: what x is does not matter."""
        x = like(w, input_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups)
        parameters = (None, stride, padding, dilation, groups)
        return self._gradient(grad, x, _conv, self.tensor(w), *parameters)

    def conv_weight_grad(
        self,
        grad: Array,
        x: Array,
        weight_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Autograd through conv: what the weight is does not matter."""
        w = like(x, weight_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups)
        parameters = (stride, padding, dilation, groups)
        return self._gradient(grad, w, _conv_of_weight, self.tensor(x), *parameters)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Autograd through a convolution with kernels of one element, whose bias is that of any."""
        check_grad(grad)
        n, o, *out = grad.shape
        ones = (1,) * len(out)
        x, w = self.tensor(like(grad, (n, 1, *out))), self.tensor(like(grad, (o, 1, *ones)))
        parameters = (ones, ((0, 0),) * len(out), ones, 1)
        return self._gradient(grad, like(grad, (o,)), _conv_of_bias, x, w, *parameters)

    def max_pool_grad(
        self,
        grad: Array,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """Autograd through max_pool, where each window sees an element of x."""
        out, reach = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
        if not _differ(padding) and _blind(x.shape[2:], out, kernel, stride, padding, dilation):
            raise Unsupported("the gradient of a window of padding alone is added outside of x")
        fill = lowest(x.dtype)
        parameters = (kernel, stride, padding, reach, dilation, ceil_mode, fill)
        return self._gradient(grad, x, _max_pool, *parameters)

    def avg_pool_grad(
        self,
        grad: Array,
        input_shape: Shape,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """Autograd through avg_pool: what x is does not matter."""
        x = like(grad, input_shape)
        pool_grad_size(grad, x, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
        sizes = _average_sizes(x, kernel, stride, padding, ceil_mode, count_include_pad)
        parameters = (kernel, stride, padding, sizes, ceil_mode, count_include_pad)
        return self._gradient(grad, x, _avg_pool, *parameters)

    def _gradient(
        self, grad: Array, at: Array, forward: Callable[..., Tensor], *arguments: Any
    ) -> Array:
        """Return the gradient of sum(grad * forward(t, ...)) by t, at the values of ``at``."""
        import torch

        with torch.enable_grad():
            t = self.tensor(at).requires_grad_()
            y = self.run(forward, t, *arguments)
            (result,) = torch.autograd.grad(y, t, self.tensor(grad))
        return self.array(result, grad)

    def _optional(self, bias: Array | None) -> Tensor | None:
        return None if bias is None else self.tensor(bias)


def _conv(
    t: Tensor,
    w: Tensor,
    bias: Tensor | None,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Tensor:
    import torch.nn.functional as F

    function: Any = (F.conv1d, F.conv2d, F.conv3d)[t.ndim - 3]
    both = _shared(padding)
    if _differ(padding):
        t, both = F.pad(t, _flat(padding)), (0,) * len(both)
    y: Tensor = function(t, w, bias, stride, both, dilation, groups)
    return y


def _conv_of_weight(
    w: Tensor, t: Tensor, stride: Shape, padding: Padding, dilation: Shape, groups: int
) -> Tensor:
    return _conv(t, w, None, stride, padding, dilation, groups)


def _conv_of_bias(
    bias: Tensor,
    t: Tensor,
    w: Tensor,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Tensor:
    return _conv(t, w, bias, stride, padding, dilation, groups)


def _max_pool(
    t: Tensor,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    reach: Padding,
    dilation: Shape,
    ceil_mode: bool,
    fill: float,
) -> Tensor:
    import torch.nn.functional as F

    function: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[t.ndim - 3]
    both = _shared(padding)
    if _differ(padding):
        t, both, ceil_mode = F.pad(t, _flat(reach), value=fill), (0,) * len(both), False
    y: Tensor = function(t, kernel, stride, both, dilation, ceil_mode)
    return y


def _average_sizes(
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Shape | None:
    """Check avg_pool; return the output's spatial shape where padding is added around the call."""
    dims = len(kernel)
    larger = dims == 3 and any(k > size for k, size in zip(kernel, x.shape[2:], strict=True))
    if not (larger or ceil_mode or _differ(padding)):
        return None
    out, _ = pool_size(x, kernel, stride, padding, (1,) * dims, ceil_mode)
    if larger:
        raise Unsupported("avg_pool3d takes no kernel larger than the input without its padding")
    if _differ(padding) and not count_include_pad:
        raise Unsupported("only symmetric padding can be left out of the divisor")
    return out if _differ(padding) else None


def _avg_pool(
    t: Tensor,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    out: Shape | None,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    import torch.nn.functional as F

    function: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]
    both = _shared(padding)
    kept: tuple[slice, ...] = ()
    if out is not None:
        t, both = F.pad(t, _flat(padding)), (0,) * len(kernel)
        kept = tuple(slice(o) for o in out)
    y: Tensor = function(t, kernel, stride, both, ceil_mode, count_include_pad)
    return y[:, :, *kept]


def _blind(
    size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> bool:
    """Whether some window reads nothing but padding: on one axis, then it does on all."""
    return any(
        not any(0 <= p * step - before + i * d < s for i in range(k))
        for s, o, k, step, (before, _), d in zip(
            size, out, kernel, stride, padding, dilation, strict=True
        )
        for p in range(o)
    )


def _dims(x: Array, dims: int, padding: Padding, **parameters: Shape) -> int:
    """Return the number of spatial dimensions, having checked what PyTorch would broadcast."""
    if dims not in (1, 2, 3) or x.ndim != dims + 2:
        raise ValueError(f"x: shape {x.shape} does not suit a kernel of {dims} spatial axes")
    if x.shape[1] == 0:
        raise ValueError(f"x: shape {x.shape} has no channels")
    check_padding(dims, padding)
    for name, values in parameters.items():
        if not isinstance(values, (tuple, list)) or len(values) != dims:
            raise ValueError(f"{name}={values!r}: must be {dims} whole numbers, one a spatial axis")
    return dims


def _differ(padding: Padding) -> bool:
    return any(before != after for before, after in padding)


def _shared(padding: Padding) -> Shape:
    """Return how much of the padding both ends of each axis have."""
    return tuple(min(pair) for pair in padding)


def _flat(padding: Padding) -> list[int]:
    """Return ``padding`` as torch.nn.functional.pad takes it: the last axis first."""
    return [size for pair in reversed(padding) for size in pair]


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


def _array(tensor: Tensor, x: Array) -> Array:
    """Return the tensor's memory as an array of the dtype of ``x``."""
    import torch

    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)  # NumPy has no bfloat16 of its own
    result: Array = tensor.numpy()
    return result.view(native(x.dtype))


pytorch = implementation("torch", package="torch", extra="torch", dtypes=DTYPES, snippet=snippet)
Torch().register(pytorch)
