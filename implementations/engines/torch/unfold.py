"""Convolutions by `torch.nn.functional.unfold`, `fold` and a matrix product: im2col in PyTorch.

`unfold` copies every window of an image into a column, `fold` adds columns back into an image. A
convolution is a product of weights and columns; a transposed one is a product whose columns are
folded; a pool reduces columns. Both take images of two spatial dimensions: a case of one gets a
height of 1, and three are declined. `torch.matmul` computes the product (by MKL on x86), without
oneDNN's convolutions: the family is `torch`.

- conv, conv_transpose: float32 and float64: `unfold` has no integers, and a half format would be
  rounded before the bias is added.
- max_pool, avg_pool: the input is padded first; zeros count. No padding that does not count.
- gradients: autograd through all of it. `torch.amax` splits a gradient among equal maxima.

PyTorch sees images, columns and matrices, but no convolution: the arguments are checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.case import Case
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_grad,
    conv_grad_size,
    conv_size,
    conv_transpose_size,
    like,
    native,
    pool_grad_size,
    pool_size,
)
from conformance.implementations.engines.adapter import Differentiable
from conformance.implementations.engines.padding import (
    Tensor,
    add_bias,
    any_padding,
    crop_slices,
    last_axis_first,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.implementations.engines.torch import snippet


def _supports(case: Case) -> bool | str:
    return case.dims < 3 or "unfold takes images of two spatial dimensions"


torch_unfold = implementation(
    "torch[unfold]",
    package="torch",
    extra="torch",
    supports=_supports,
    conventions={"tie": "split"},
    snippet=snippet.unfolded,
)


class Unfold(Differentiable):
    """Convolutions and pools of unfolded images."""

    def public(self, operator: str) -> Callable[..., Array]:
        """Return an operator that checks its arguments."""
        function, check = super().public(operator), _CHECKS[operator]

        @wraps(function)
        def call(*arguments: Any, **parameters: Any) -> Array:
            check(*arguments, **parameters)
            return function(*arguments, **parameters)

        return call

    def tensor(self, array: Array) -> Tensor:
        """Return a copy as a tensor."""
        import torch

        return torch.from_numpy(np.array(array, native(array.dtype), order="C"))

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the tensor's memory."""
        result: Array = tensor.detach().numpy()
        return result

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Multiply weights (groups, O/groups, C/groups*K) by columns (N, groups, C/groups*K, P)."""
        t, groups = _pad(t, p.padding, 0), p.groups
        columns, out = _unfolded(t, w.shape[2:], p.stride, p.dilation)  # (N, C*K, P), P = prod(out)
        n, rows, positions = columns.shape
        columns = columns.reshape(n, groups, rows // groups, positions)
        weight = w.reshape(groups, len(w) // groups, rows // groups)
        return add_bias((weight @ columns).reshape(n, len(w), *out), bias)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Fold weights (groups, O/groups*K, C/groups) times pixels (N, groups, C/groups, P)."""
        import torch.nn.functional as F

        n, c, *size = t.shape
        groups, kernel, o = p.groups, w.shape[2:], w.shape[1] * p.groups
        positions = math.prod(size)
        pixels = t.reshape(n, groups, c // groups, positions)
        weight = w.reshape(groups, c // groups, -1).transpose(1, 2)
        columns = (weight @ pixels).reshape(n, groups * weight.shape[1], positions)  # (N, O*K, P)
        axes = zip(size, kernel, p.stride, p.dilation, strict=True)
        whole = tuple((s - 1) * step + d * (k - 1) + 1 for s, k, step, d in axes)
        spacing, steps = _plane(p.dilation), _plane(p.stride)
        images = F.fold(columns, _plane(whole), _plane(kernel), dilation=spacing, stride=steps)
        longer = tuple((0, extra) for extra in p.output_padding)
        y = _pad(images.reshape(n, o, *whole), longer, 0)
        return add_bias(y[:, :, *crop_slices(y.shape[2:], p.padding)], bias)

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Return the maximum of each column."""
        return _windows(_pad(t, reach, fill), p).amax(2)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Return the mean of each column."""
        if any_padding(p.padding) and not p.count_include_pad:
            raise Unsupported("padding always counts")
        if reach != tuple(map(tuple, p.padding)):
            raise Unsupported("no windows that reach beyond the padding")
        return _windows(_pad(t, p.padding, 0), p).mean(2)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """torch.autograd.grad."""
        import torch

        with torch.enable_grad():
            at = at.requires_grad_()
            (result,) = torch.autograd.grad(forward(at, *arguments), at, grad)
        return result


def _windows(t: Tensor, p: Pool) -> Tensor:
    """Return (N, C, K, *out): the elements of each window of the padded ``t``, side by side."""
    columns, out = _unfolded(t, p.kernel, p.stride, p.dilation)
    return columns.reshape(*t.shape[:2], math.prod(p.kernel), *out)


def _unfolded(t: Tensor, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Tensor, Shape]:
    """Return the columns (N, C*K, P) and the size of the output that has P positions."""
    import torch.nn.functional as F

    axes = zip(t.shape[2:], kernel, stride, dilation, strict=True)
    out = tuple((s - d * (k - 1) - 1) // step + 1 for s, k, step, d in axes)
    images = t.reshape(*t.shape[:2], *_plane(t.shape[2:]))
    columns = F.unfold(images, _plane(kernel), dilation=_plane(dilation), stride=_plane(stride))
    return columns, out


def _pad(t: Tensor, padding: Padding, fill: float) -> Tensor:
    """Pad the spatial axes."""
    import torch.nn.functional as F

    if not any_padding(padding):
        return t
    return F.pad(t, last_axis_first(padding), value=fill)


def _plane(values: Any) -> Shape:
    """Return a parameter for two spatial dimensions: with one dimension, 1 is put before it."""
    return (1,) * (2 - len(values)) + tuple(values)


def _check_avg_pool(x: Array, *, kernel: Shape, count_include_pad: bool, **p: Any) -> None:
    pool_size(x, kernel, dilation=(1,) * len(kernel), **p)


def _check_avg_pool_grad(
    grad: Array, shape: Shape, *, kernel: Shape, count_include_pad: bool, **p: Any
) -> None:
    pool_grad_size(grad, like(grad, shape), kernel=kernel, dilation=(1,) * len(kernel), **p)


_CHECKS: dict[str, Callable[..., Any]] = {
    "conv": conv_size,
    "conv_transpose": conv_transpose_size,
    "max_pool": pool_size,
    "avg_pool": _check_avg_pool,
    "conv_input_grad": lambda grad, w, shape, **p: conv_grad_size(grad, like(w, shape), w, **p),
    "conv_weight_grad": lambda grad, x, shape, **p: conv_grad_size(grad, x, like(x, shape), **p),
    "conv_bias_grad": check_grad,
    "max_pool_grad": pool_grad_size,
    "avg_pool_grad": _check_avg_pool_grad,
}
"""The check of each operator, channels first, which raises for an invalid call."""

Unfold().register(torch_unfold)
