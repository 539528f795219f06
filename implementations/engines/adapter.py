"""What adapters of engines share: arrays become tensors, the engine's operator, arrays again.

An adapter derives from `Engine`, or from `Differentiable` where its engine differentiates, and says
how that convolves and pools tensors of its own. What the arguments are is for the engine to judge:
they are handed on as they come. Computed here, and so refused where that cannot be, is only what an
engine has no parameter for: how far the windows of ``ceil_mode`` reach, and what is cut off a
result. Checked is what would otherwise become valid on the way to the engine: the shape and the
dtype of a bias that a second operator adds, which broadcasts; crops of less than nothing; and where
an adapter pads the input first, axes that are empty until then, and padding beyond half of a window
of a pool that sees no padding any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

from conformance import Unsupported
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_padding,
    like,
    window_reach,
)
from conformance.implementations._windows import lowest
from conformance.registration.registry import Implementation
from conformance.signatures import SIGNATURES

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
        """Return a tensor with the numbers of ``array``, which may lie anyhow in memory."""

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

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call what makes the result of tensors and parameters; here may be compiled first."""
        return function(*arguments)

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
        t, weight, added = self.tensor(x), self.tensor(w), self._optional(bias)
        y = self.run(self.convolve, t, weight, added, stride, padding, dilation, groups)
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
        t, weight, added = self.tensor(x), self.tensor(w), self._optional(bias)
        parameters = (stride, padding, output_padding, dilation, groups)
        return self.array(self.run(self.transposed, t, weight, added, *parameters), x)

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
        reach = self._reach(x.shape, kernel, stride, padding, dilation, ceil_mode)
        parameters = (kernel, stride, padding, reach, dilation, ceil_mode, lowest(x.dtype))
        return self.array(self.run(self.maximum, self.tensor(x), *parameters), x)

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
        reach = self._reach(x.shape, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
        parameters = (kernel, stride, padding, reach, ceil_mode, count_include_pad)
        return self.array(self.run(self.average, self.tensor(x), *parameters), x)

    def _optional(self, bias: Array | None) -> Tensor | None:
        return None if bias is None else self.tensor(bias)

    def _reach(
        self,
        shape: Shape,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Padding:
        """Return the padding that the windows of a pool read, to the last."""
        if not ceil_mode:
            return tuple(map(tuple, padding))  # type: ignore[arg-type]
        size = shape[1:-1] if self.channels_last else shape[2:]
        return window_reach(size, kernel, stride, padding, dilation, ceil_mode)[1]


class Differentiable(Engine):
    """An engine that differentiates its own operators."""

    operators = tuple(SIGNATURES)

    @abstractmethod
    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Return the gradient of sum(grad * forward(t, *arguments)) by t, at ``at``."""

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
        parameters = (self.tensor(w), None, stride, padding, dilation, groups)
        return self._gradient(grad, like(grad, input_shape), self.convolve, *parameters)

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
        parameters = (self.tensor(x), stride, padding, dilation, groups)
        return self._gradient(grad, like(grad, weight_shape), self._of_weight, *parameters)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate a convolution with kernels of one element, whose bias is that of any."""
        ones = (1,) * (grad.ndim - 2)
        if self.channels_last:
            n, *out, o = grad.shape
            x, w = like(grad, (n, *out, 1)), like(grad, (*ones, 1, o))
        else:
            n, o, *out = grad.shape
            x, w = like(grad, (n, 1, *out)), like(grad, (o, 1, *ones))
        parameters = (self.tensor(x), self.tensor(w), ones, ((0, 0),) * len(ones), ones, 1)
        return self._gradient(grad, like(grad, (o,)), self._of_bias, *parameters)

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
        reach = self._reach(x.shape, kernel, stride, padding, dilation, ceil_mode)
        parameters = (kernel, stride, padding, reach, dilation, ceil_mode, lowest(x.dtype))
        return self._gradient(grad, x, self.maximum, *parameters)

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
        x = like(grad, input_shape)
        reach = self._reach(x.shape, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
        parameters = (kernel, stride, padding, reach, ceil_mode, count_include_pad)
        return self._gradient(grad, x, self.average, *parameters)

    def _gradient(
        self, grad: Array, at: Array, forward: Callable[..., Tensor], *arguments: Any
    ) -> Array:
        by, given = self.tensor(at), self.tensor(grad)
        return self.array(self.gradient(forward, by, given, *arguments), grad)

    def _of_weight(self, w: Tensor, t: Tensor, *parameters: Any) -> Tensor:
        return self.convolve(t, w, None, *parameters)

    def _of_bias(self, bias: Tensor, t: Tensor, w: Tensor, *parameters: Any) -> Tensor:
        return self.convolve(t, w, bias, *parameters)


def any_padding(padding: Padding) -> bool:
    """Whether there is padding at all; what is no number counts as some, for others to refuse."""
    return any(end != 0 for pair in padding for end in pair)


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


def biased(y: Tensor, bias: Tensor | None, *, channels_last: bool = False) -> Tensor:
    """Return ``y`` and the bias, which a second operator of the engine adds.

    Raises ValueError where that would broadcast or promote the bias, and Unsupported where it
    rounds a second time: in the half formats.
    """
    if bias is None:
        return y
    channels = y.shape[-1 if channels_last else 1]
    if tuple(bias.shape) != (channels,):
        raise ValueError(f"bias: shape {tuple(bias.shape)}; must be ({channels},)")
    if bias.dtype != y.dtype:
        raise ValueError(f"bias: dtype {bias.dtype}; must be that of x, {y.dtype}")
    refuse_second_rounding(bias, y.itemsize)
    return y + (bias if channels_last else bias.reshape(-1, *(1,) * (y.ndim - 2)))


def check_padded(size: Shape, padding: Padding, kernel: Shape | None = None) -> None:
    """Check what an input of ``size`` that is padded first would hide; ``kernel`` is a pool's.

    Raises ValueError for padding below 0 or beyond half of the kernel, and for an empty axis.
    """
    check_padding(len(size), padding)
    if 0 in size:
        raise ValueError(f"x: an empty spatial axis: {tuple(size)}")
    if kernel and any(2 * max(p) > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding={padding!r}: more than half of kernel={kernel!r}")


def check_groups(groups: int, channels: int, per_group: int) -> None:
    """Check groups for an engine that counts them itself; ValueError where it would count others.

    The weight reads ``per_group`` of the input's ``channels``.
    """
    if groups < 1 or channels != per_group * groups:
        raise ValueError(
            f"groups={groups!r}: the weight reads {per_group} channels a group, which does not "
            f"suit {channels} channels of the input"
        )


def cropped(size: Shape, padding: Padding) -> tuple[slice, ...]:
    """Return what ``padding`` leaves of axes of ``size``; ValueError where nothing, or for less."""
    check_padding(len(size), padding)
    if any(before + after >= s for s, (before, after) in zip(size, padding, strict=True)):
        raise ValueError(f"padding={padding!r}: crops the whole output {tuple(size)}")
    return tuple(slice(b, s - a) for s, (b, a) in zip(size, padding, strict=True))


def refuse_second_rounding(bias: Tensor | None, itemsize: int) -> None:
    """Raise Unsupported where a second operator adds ``bias`` to a result that was rounded."""
    if bias is not None and itemsize == 2:
        raise Unsupported("a second operator adds the bias and rounds to the half format again")
