"""What adapters of engines share: arguments checked and arrays converted here, computed there.

An adapter derives from `Engine`, or from `Differentiable` where its engine differentiates, and says
how that convolves and pools tensors of its own. Arguments are checked here, before the engine sees
a call: many engines take nonsense silently.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

from conformance import Unsupported
from conformance.registry import Implementation
from conformance.signatures import SIGNATURES
from implementations._common import (
    Array,
    Padding,
    Shape,
    conv_size,
    conv_transpose_size,
    lowest,
    pool_size,
)
from implementations._gradients import check_grad, conv_grad_size, like, pool_grad_size

Tensor: TypeAlias = Any
"""A tensor of the engine."""


class Engine(ABC):
    """An engine's operators over its own tensors, from which those over NumPy arrays follow.

    Tensors lie as the arrays do: channels first, or with ``channels_last`` as
    ``layout="NHWC"`` hands them over.
    """

    channels_last = False
    operators: tuple[str, ...] = ("conv", "conv_transpose", "max_pool", "avg_pool")

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Return a tensor with a copy of ``array``, which may lie anyhow in memory."""

    @abstractmethod
    def array(self, tensor: Tensor, like: Array) -> Array:
        """Compute ``tensor``; return it as a new array, with the dtype of ``like``."""

    @abstractmethod
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
        """The engine's convolution."""

    @abstractmethod
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
        """The engine's transposed convolution."""

    @abstractmethod
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
        """The engine's max_pool; ``reach`` is the padding that the windows read, to the last."""

    @abstractmethod
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
        """The engine's avg_pool; ``reach`` is the padding that the windows read, to the last."""

    def register(self, implementation: Implementation) -> None:
        """Register every operator that it has under ``implementation``."""
        for operator in self.operators:
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
        """Call `convolve`."""
        last = self.channels_last
        conv_size(x, w, bias, stride, padding, dilation, groups, channels_last=last)
        t, weight = self.tensor(x), self.tensor(w)
        y = self.convolve(t, weight, self._optional(bias), stride, padding, dilation, groups)
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
        """Call `transposed`."""
        parameters = (stride, padding, output_padding, dilation, groups)
        conv_transpose_size(x, w, bias, *parameters, channels_last=self.channels_last)
        y = self.transposed(self.tensor(x), self.tensor(w), self._optional(bias), *parameters)
        return self.array(y, x)

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
        """Call `maximum`."""
        last = self.channels_last
        _, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=last)
        fill = lowest(x.dtype)
        t = self.tensor(x)
        y = self.maximum(t, kernel, stride, padding, reach, dilation, ceil_mode, fill)
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
        """Call `average`."""
        last, undilated = self.channels_last, (1,) * len(kernel)
        _, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode, channels_last=last)
        t = self.tensor(x)
        y = self.average(t, kernel, stride, padding, reach, ceil_mode, count_include_pad)
        return self.array(y, x)

    def _optional(self, bias: Array | None) -> Tensor | None:
        return None if bias is None else self.tensor(bias)


class Differentiable(Engine):
    """An engine that differentiates its own operators."""

    operators = tuple(SIGNATURES)

    @abstractmethod
    def gradient(self, forward: Callable[[Tensor], Tensor], at: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient of sum(grad * forward(t)) by t, at ``at``."""

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
        """Differentiate `convolve` by its input: what that is does not matter."""
        x, last = like(w, input_shape), self.channels_last
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=last)
        weight = self.tensor(w)
        return self._gradient(
            grad,
            x,
            lambda t: self.convolve(t, weight, None, stride, padding, dilation, groups),
        )

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
        """Differentiate `convolve` by its weight: what that is does not matter."""
        w, last = like(x, weight_shape), self.channels_last
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=last)
        t = self.tensor(x)
        return self._gradient(
            grad,
            w,
            lambda weight: self.convolve(t, weight, None, stride, padding, dilation, groups),
        )

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate a convolution with kernels of one element, whose bias is that of any."""
        check_grad(grad)
        dims = grad.ndim - 2
        ones, none = (1,) * dims, ((0, 0),) * dims
        if self.channels_last:
            n, *out, o = grad.shape
            x, w = like(grad, (n, *out, 1)), like(grad, (*ones, 1, o))
        else:
            n, o, *out = grad.shape
            x, w = like(grad, (n, 1, *out)), like(grad, (o, 1, *ones))
        t, weight = self.tensor(x), self.tensor(w)
        return self._gradient(
            grad,
            like(grad, (o,)),
            lambda bias: self.convolve(t, weight, bias, ones, none, ones, 1),
        )

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
        """Differentiate `maximum`."""
        last = self.channels_last
        _, reach = pool_grad_size(
            grad, x, kernel, stride, padding, dilation, ceil_mode, channels_last=last
        )
        fill = lowest(x.dtype)
        return self._gradient(
            grad,
            x,
            lambda t: self.maximum(t, kernel, stride, padding, reach, dilation, ceil_mode, fill),
        )

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
        """Differentiate `average`: what its input is does not matter."""
        x, undilated = like(grad, input_shape), (1,) * len(kernel)
        _, reach = pool_grad_size(
            grad, x, kernel, stride, padding, undilated, ceil_mode, channels_last=self.channels_last
        )
        return self._gradient(
            grad,
            x,
            lambda t: self.average(t, kernel, stride, padding, reach, ceil_mode, count_include_pad),
        )

    def _gradient(self, grad: Array, at: Array, forward: Callable[[Tensor], Tensor]) -> Array:
        return self.array(self.gradient(forward, self.tensor(at), self.tensor(grad)), grad)


def any_padding(padding: Padding) -> bool:
    """Whether there is padding at all."""
    return any(map(any, padding))


def differ(padding: Padding) -> bool:
    """Whether the two ends of some axis have different padding."""
    return any(before != after for before, after in padding)


def shared(padding: Padding) -> Shape:
    """Return how much of the padding both ends of each axis have."""
    return tuple(min(pair) for pair in padding)


def windows_dropped(
    size: Shape, kernel: Shape, stride: Shape, padding: Padding, reach: Padding
) -> bool:
    """Whether rounding up alone makes more windows than the padding that is read holds."""
    return any(
        -(-(s + sum(pair) - k) // step) > (s + sum(read) - k) // step
        for s, k, step, pair, read in zip(size, kernel, stride, padding, reach, strict=True)
    )


def refuse_second_rounding(bias: Tensor | None, itemsize: int) -> None:
    """Raise Unsupported where a second operator adds ``bias`` to a result that was rounded."""
    if bias is not None and itemsize == 2:
        raise Unsupported("a second operator adds the bias and rounds to the half format again")
