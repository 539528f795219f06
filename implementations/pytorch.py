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

pytorch = implementation("torch", package="torch", extra="torch", dtypes=DTYPES, snippet=snippet)


@pytorch
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
    """torch.nn.functional.conv1d, conv2d, conv3d."""
    _dims(x, w.ndim - 2, padding, stride=stride, dilation=dilation)
    if _differ(padding):
        conv_size(x, w, bias, stride, padding, dilation, groups)
    y = _conv(_tensor(x), _tensor(w), _optional(bias), stride, padding, dilation, groups)
    return _array(y, x)


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


@pytorch
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
    y = function(
        _tensor(x),
        _tensor(w),
        _optional(bias),
        stride,
        _shared(padding),
        output_padding,
        groups,
        dilation,
    )
    return _array(y[:, :, *rest], x)


@pytorch
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """torch.nn.functional.max_pool1d, max_pool2d, max_pool3d."""
    _dims(x, len(kernel), padding, kernel=kernel, stride=stride, dilation=dilation)
    reach = padding
    if ceil_mode or _differ(padding):
        _, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    fill = lowest(x.dtype)
    return _array(
        _max_pool(_tensor(x), kernel, stride, padding, reach, dilation, ceil_mode, fill), x
    )


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


@pytorch
def avg_pool(
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
    y = _avg_pool(_tensor(x), x, kernel, stride, padding, ceil_mode, count_include_pad)
    return _array(y, x)


def _avg_pool(
    t: Tensor,
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    import torch.nn.functional as F

    dims = len(kernel)
    function: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
    larger = dims == 3 and any(k > size for k, size in zip(kernel, x.shape[2:], strict=True))
    if larger or ceil_mode or _differ(padding):
        out, _ = pool_size(x, kernel, stride, padding, (1,) * dims, ceil_mode)
    if larger:
        raise Unsupported("avg_pool3d takes no kernel larger than the input without its padding")
    both = _shared(padding)
    kept: tuple[slice, ...] = ()
    if _differ(padding):
        if not count_include_pad:
            raise Unsupported("only symmetric padding can be left out of the divisor")
        t, both = F.pad(t, _flat(padding)), (0,) * dims
        kept = tuple(slice(o) for o in out)
    y: Tensor = function(t, kernel, stride, both, ceil_mode, count_include_pad)
    return y[:, :, *kept]


@pytorch
def conv_input_grad(
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
    weight = _tensor(w)
    return _gradient(grad, x, lambda t: _conv(t, weight, None, stride, padding, dilation, groups))


@pytorch
def conv_weight_grad(
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
    t = _tensor(x)
    return _gradient(
        grad, w, lambda weight: _conv(t, weight, None, stride, padding, dilation, groups)
    )


@pytorch
def conv_bias_grad(grad: Array) -> Array:
    """Autograd through a convolution with kernels of one element, whose bias is that of any."""
    check_grad(grad)
    n, o, *out = grad.shape
    ones = (1,) * len(out)
    x, w = _tensor(like(grad, (n, 1, *out))), _tensor(like(grad, (o, 1, *ones)))
    padding = ((0, 0),) * len(out)
    return _gradient(grad, like(grad, (o,)), lambda bias: _conv(x, w, bias, ones, padding, ones, 1))


@pytorch
def max_pool_grad(
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
    return _gradient(
        grad,
        x,
        lambda t: _max_pool(t, kernel, stride, padding, reach, dilation, ceil_mode, fill),
    )


@pytorch
def avg_pool_grad(
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
    return _gradient(
        grad,
        x,
        lambda t: _avg_pool(t, x, kernel, stride, padding, ceil_mode, count_include_pad),
    )


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


def _gradient(grad: Array, at: Array, forward: Callable[[Tensor], Tensor]) -> Array:
    """Return the gradient of sum(grad * forward(t)) by t, where t has the values of ``at``."""
    import torch

    with torch.enable_grad():
        t = _tensor(at).requires_grad_()
        (result,) = torch.autograd.grad(forward(t), t, _tensor(grad))
    return _array(result, grad)


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


def _optional(bias: Array | None) -> Tensor | None:
    return None if bias is None else _tensor(bias)


def _array(tensor: Tensor, x: Array) -> Array:
    """Return the tensor's memory as an array of the dtype of ``x``."""
    import torch

    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)  # NumPy has no bfloat16 of its own
    result: Array = tensor.numpy()
    return result.view(native(x.dtype))
