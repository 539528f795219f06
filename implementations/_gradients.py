"""What the gradients share: argument checks, and sizes that follow from the forward call.

A gradient is handed grad, of the shape of the forward result, the arrays that it needs, and the
shape of the one that it is the gradient of. What the forward call would not accept, its gradient
does not either: so the forward's own checks are used, on arrays of the shapes in question.
"""

from __future__ import annotations

import numpy as np

from conformance.implementations._common import (
    Array,
    Padding,
    Shape,
    conv_size,
    native,
    pool_size,
)


def conv_grad_size(
    grad: Array,
    x: Array,
    w: Array,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
    *,
    channels_last: bool = False,
) -> Shape:
    """Check a gradient of conv(x, w); return the output positions that no window reads, an axis.

    They are what is left of the padded input after the last window, fewer than the stride: the
    output_padding with which conv_transpose goes back from the shape of grad to that of x.
    """
    out = conv_size(x, w, None, stride, padding, dilation, groups, channels_last=channels_last)
    filters = w.shape[-1] if channels_last else w.shape[0]
    _check_grad(grad, x, (len(x), *out, filters) if channels_last else (len(x), filters, *out))
    size, kernel = (x.shape[1:-1], w.shape[:-2]) if channels_last else (x.shape[2:], w.shape[2:])
    return tuple(
        (s + before + after - d * (k - 1) - 1) % step
        for s, k, step, (before, after), d in zip(
            size, kernel, stride, padding, dilation, strict=True
        )
    )


def pool_grad_size(
    grad: Array,
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
    *,
    channels_last: bool = False,
) -> tuple[Shape, Padding]:
    """Check a gradient of a pool of x; return what `pool_size` returns of the forward call."""
    out, reach = pool_size(
        x, kernel, stride, padding, dilation, ceil_mode, channels_last=channels_last
    )
    n, c = len(x), x.shape[-1] if channels_last else x.shape[1]
    _check_grad(grad, x, (n, *out, c) if channels_last else (n, c, *out))
    return out, reach


def bias_grad(grad: Array, channel: int, dtype: np.dtype[np.generic]) -> Array:
    """Return the sum of grad over all axes but ``channel``, summed in ``dtype``."""
    check_grad(grad)
    axes = tuple(axis for axis in range(grad.ndim) if axis != channel % grad.ndim)
    sums: Array = grad.sum(axis=axes, dtype=dtype)
    return sums.astype(native(grad.dtype), copy=False)


def check_grad(grad: Array) -> None:
    """Check a grad that no other argument says the shape of."""
    if grad.ndim not in (3, 4, 5) or 0 in grad.shape[1:]:
        raise ValueError(f"grad: shape {grad.shape}; must be (N, O, *out), only the batch empty")
    if grad.dtype.kind not in "fiu" and grad.dtype.name != "bfloat16":
        raise TypeError(f"grad: dtype {grad.dtype}; must be a floating-point or an integer one")


def like(array: Array, shape: Shape) -> Array:
    """Return an array of zeros with the dtype of ``array``, which takes no memory, to be checked.

    Raises ValueError or TypeError for what is not a shape.
    """
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{shape!r}: a shape must be a tuple of whole numbers")
    return np.broadcast_to(np.zeros((), array.dtype), shape)


def _check_grad(grad: Array, x: Array, shape: Shape) -> None:
    if grad.shape != shape:
        raise ValueError(f"grad: shape {grad.shape}; must be that of the forward result, {shape}")
    if native(grad.dtype) != native(x.dtype):
        raise ValueError(f"grad: dtype {grad.dtype}; must be that of the other array, {x.dtype}")
