"""PyTorch's `torch.nn.functional.unfold` and `fold` around a matrix product: im2col in PyTorch.

`unfold` copies every window of an image into a column, `fold` adds columns back into an image: the
building blocks that PyTorch documents for operators of one's own. A convolution is a product of
weights and columns, a transposed one a product whose columns are folded, a pool a reduction of
columns. Both take images of two spatial dimensions: one dimension is a height of 1, three are
declined. The matrix product is that of the library behind `torch.matmul` (MKL on x86), none of
oneDNN's convolutions: family `torch`.

- conv, conv_transpose: all parameters; the input is padded with zeros first where the two ends
  differ, and for conv_transpose the whole result is folded and a slice crops it. float32 and
  float64: `unfold` has no integers, and a half format would be rounded before the bias is added.
- max_pool, avg_pool: the input is padded first, with -inf as far as the last window of ceil_mode
  reaches, or with zeros, which count. No padding that does not count.
- gradients: autograd through all of it. `torch.amax` splits a gradient among equal maxima.

PyTorch sees images, columns and matrices, never a convolution: the arguments are checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.case import Case
from conformance.implementations._arguments import Array, Padding, Shape, native
from conformance.implementations._checks import checked
from conformance.implementations.engines.adapter import (
    Differentiable,
    Tensor,
    any_padding,
    biased,
    cropped,
)
from conformance.implementations.engines.torch.snippet import unfolded
from conformance.registration.registry import Implementation


def _supports(case: Case) -> bool | str:
    return case.dims < 3 or "unfold takes images of two spatial dimensions"


torch_unfold = implementation(
    "torch[unfold]",
    package="torch",
    extra="torch",
    supports=_supports,
    conventions={"tie": "split"},
    snippet=unfolded,
)


class Unfold(Differentiable):
    """Convolutions and pools of unfolded images."""

    def register(self, implementation: Implementation) -> None:
        """Register every operator, with its arguments checked."""
        for operator in self.operators:
            implementation.register(operator, checked(getattr(self, operator)))

    def tensor(self, array: Array) -> Tensor:
        """Return a copy as a tensor."""
        import torch

        return torch.from_numpy(np.array(array, native(array.dtype), order="C"))

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the tensor's memory."""
        result: Array = tensor.detach().numpy()
        return result

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
        """Weights (groups, O/groups, C/groups*K) times columns (N, groups, C/groups*K, P)."""
        t = _pad(t, padding, 0)
        columns, out = _unfolded(t, w.shape[2:], stride, dilation)  # (N, C*K, P), P = prod(out)
        n, rows, places = columns.shape
        columns = columns.reshape(n, groups, rows // groups, places)
        weight = w.reshape(groups, len(w) // groups, rows // groups)
        return biased((weight @ columns).reshape(n, len(w), *out), bias)

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
        """Weights (groups, O/groups*K, C/groups) times pixels (N, groups, C/groups, P), folded."""
        import torch.nn.functional as F

        n, c, *size = t.shape
        kernel, o = w.shape[2:], w.shape[1] * groups
        pixels = t.reshape(n, groups, c // groups, int(np.prod(size)))
        weight = w.reshape(groups, c // groups, -1).transpose(1, 2)
        columns = (weight @ pixels).reshape(
            n, groups * weight.shape[1], pixels.shape[-1]
        )  # (N, O*K, P)
        whole = tuple(
            (s - 1) * step + d * (k - 1) + 1
            for s, k, step, d in zip(size, kernel, stride, dilation, strict=True)
        )
        images = F.fold(
            columns, _plane(whole), _plane(kernel), dilation=_plane(dilation), stride=_plane(stride)
        )
        longer = tuple((0, extra) for extra in output_padding)
        y = _pad(images.reshape(n, o, *whole), longer, 0)
        return biased(y[:, :, *cropped(y.shape[2:], padding)], bias)

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
        """The maximum of each column."""
        return _windows(_pad(t, reach, fill), kernel, stride, dilation).amax(2)

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
        """The mean of each column."""
        if any_padding(padding) and not count_include_pad:
            raise Unsupported("padding always counts")
        if reach != tuple(map(tuple, padding)):
            raise Unsupported("no windows that reach beyond the padding")
        return _windows(_pad(t, padding, 0), kernel, stride, (1,) * len(kernel)).mean(2)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """torch.autograd.grad."""
        import torch

        with torch.enable_grad():
            at = at.requires_grad_()
            (result,) = torch.autograd.grad(forward(at, *arguments), at, grad)
        return result


def _windows(t: Tensor, kernel: Shape, stride: Shape, dilation: Shape) -> Tensor:
    """Return (N, C, K, *out): the elements of each window beside one another."""
    columns, out = _unfolded(t, kernel, stride, dilation)
    return columns.reshape(*t.shape[:2], int(np.prod(kernel)), *out)


def _unfolded(t: Tensor, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Tensor, Shape]:
    """Return the columns (N, C*K, P) and the size of the output that has P positions."""
    import torch.nn.functional as F

    out = tuple(
        (s - d * (k - 1) - 1) // step + 1
        for s, k, step, d in zip(t.shape[2:], kernel, stride, dilation, strict=True)
    )
    images = t.reshape(*t.shape[:2], *_plane(t.shape[2:]))
    columns = F.unfold(images, _plane(kernel), dilation=_plane(dilation), stride=_plane(stride))
    return columns, out


def _pad(t: Tensor, padding: Padding, fill: float) -> Tensor:
    """Pad the spatial axes."""
    import torch.nn.functional as F

    if not any_padding(padding):
        return t
    return F.pad(t, [size for pair in reversed(padding) for size in pair], value=fill)


def _plane(values: Any) -> Shape:
    """Return a parameter of two spatial dimensions, the first of which may be new: 1."""
    return (1,) * (2 - len(values)) + tuple(values)


Unfold().register(torch_unfold)
