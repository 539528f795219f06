"""What adapters of engines share: arrays become tensors, the engine's operator, arrays again.

`Adapter` has operators over NumPy arrays, `Engine` those of an engine with tensors of its own, and
`Differentiable` those of one that differentiates as well. All of them are written with the
parameters as one object, `conformance.implementations.engines.parameters`; `Adapter.public` is the
one place where an operator gets the signature that the suite calls.

What the arguments are is for the engine to judge: they are handed on as they come. Computed here,
and so refused where that cannot be, is only how far the windows of ``ceil_mode`` reach. What an
adapter checks beside is in `conformance.implementations.engines.padding`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

from conformance.implementations._arguments import Array, Padding, Shape, like
from conformance.implementations._windows import lowest
from conformance.implementations.engines.padding import Tensor
from conformance.implementations.engines.parameters import (
    AvgPool,
    Conv,
    ConvTranspose,
    Pool,
    undilated,
)
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES

Operator: TypeAlias = Callable[..., Array]

_PARAMETERS: dict[tuple[str, ...], Callable[..., Any]] = {
    SIGNATURES["conv"].parameters: Conv,
    SIGNATURES["conv_transpose"].parameters: ConvTranspose,
    SIGNATURES["max_pool"].parameters: Pool,
    SIGNATURES["avg_pool"].parameters: undilated,
}
"""What makes one object of an operator's parameters, by their names."""


class Adapter:
    """Operators over NumPy arrays, each a method with the operator's name.

    A method takes the arrays and shapes of the operator's signature (`conformance.signatures`),
    and then its parameters as one object: ``conv(x, w, bias, p)``, ``max_pool(x, p)``.
    """

    operators: tuple[str, ...] = ("conv", "conv_transpose", "max_pool", "avg_pool")
    """Those that it has."""

    def register(self, implementation: Implementation) -> None:
        """Register every operator that it has under ``implementation``."""
        for operator in self.operators:
            implementation.register(operator, self.public(operator))

    def public(self, operator: str) -> Operator:
        """Return an operator with the signature that the suite calls, its parameters by name."""
        method: Operator = getattr(self, operator)
        if not SIGNATURES[operator].parameters:
            return method
        as_one = _PARAMETERS[SIGNATURES[operator].parameters]

        def function(*arrays: Any, **parameters: Any) -> Array:
            return method(*arrays, as_one(**parameters))

        function.__name__ = operator
        return function


class Engine(Adapter, ABC):
    """An engine's operators over its own tensors, from which those over NumPy arrays follow.

    Tensors lie as the arrays do: channels first, or with ``channels_last`` as
    ``layout="NHWC"`` hands them over.
    """

    channels_last = False

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Return a tensor with the numbers of ``array``, which may lie anyhow in memory."""

    @abstractmethod
    def array(self, tensor: Tensor, like: Array) -> Array:
        """Compute ``tensor``; return it as a new array, with the dtype of ``like``."""

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """The engine's convolution, where ``operators`` has it; so are the next three."""
        raise NotImplementedError

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """The engine's transposed convolution."""
        raise NotImplementedError

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """The engine's max_pool; ``reach`` is the padding that the windows read, to the last.

        ``fill`` is what they read there: -inf, or the smallest value of an integer dtype.
        """
        raise NotImplementedError

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """The engine's avg_pool; ``reach`` is the padding that the windows read, to the last."""
        raise NotImplementedError

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call what makes the result of tensors and parameters; here may be compiled first."""
        return function(*arguments)

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Call `convolve`."""
        t, weight, added = self.tensor(x), self.tensor(w), self._optional(bias)
        return self.array(self.run(self.convolve, t, weight, added, p), x)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Call `transposed`."""
        t, weight, added = self.tensor(x), self.tensor(w), self._optional(bias)
        return self.array(self.run(self.transposed, t, weight, added, p), x)

    def max_pool(self, x: Array, p: Pool) -> Array:
        """Call `maximum`."""
        reach = self._reach(x.shape, p)
        return self.array(self.run(self.maximum, self.tensor(x), p, reach, lowest(x.dtype)), x)

    def avg_pool(self, x: Array, p: AvgPool) -> Array:
        """Call `average`."""
        reach = self._reach(x.shape, p)
        return self.array(self.run(self.average, self.tensor(x), p, reach), x)

    def _optional(self, bias: Array | None) -> Tensor | None:
        return None if bias is None else self.tensor(bias)

    def _reach(self, shape: Shape, p: Pool) -> Padding:
        """Return the padding that the windows of a pool read, to the last."""
        if not p.ceil_mode:
            return tuple(map(tuple, p.padding))  # type: ignore[arg-type]
        return p.windows(shape[1:-1] if self.channels_last else shape[2:])[1]


class Differentiable(Engine):
    """An engine that differentiates its own operators."""

    operators = tuple(SIGNATURES)

    @abstractmethod
    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Return the gradient of sum(grad * forward(t, *arguments)) by t, at ``at``."""

    def conv_input_grad(self, grad: Array, w: Array, input_shape: Shape, p: Conv) -> Array:
        """Differentiate `convolve` by its input: what that is does not matter."""
        weight = self.tensor(w)
        return self._gradient(grad, like(grad, input_shape), self.convolve, weight, None, p)

    def conv_weight_grad(self, grad: Array, x: Array, weight_shape: Shape, p: Conv) -> Array:
        """Differentiate `convolve` by its weight: what that is does not matter."""
        t = self.tensor(x)
        return self._gradient(grad, like(grad, weight_shape), self._of_weight, t, p)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate a convolution with kernels of one element, whose bias is that of any."""
        ones = (1,) * (grad.ndim - 2)
        if self.channels_last:
            n, *out, o = grad.shape
            x, w = like(grad, (n, *out, 1)), like(grad, (*ones, 1, o))
        else:
            n, o, *out = grad.shape
            x, w = like(grad, (n, 1, *out)), like(grad, (o, 1, *ones))
        p = Conv(ones, ((0, 0),) * len(ones), ones, 1)
        arguments = (self.tensor(x), self.tensor(w), p)
        return self._gradient(grad, like(grad, (o,)), self._of_bias, *arguments)

    def max_pool_grad(self, grad: Array, x: Array, p: Pool) -> Array:
        """Differentiate `maximum`."""
        reach = self._reach(x.shape, p)
        return self._gradient(grad, x, self.maximum, p, reach, lowest(x.dtype))

    def avg_pool_grad(self, grad: Array, input_shape: Shape, p: AvgPool) -> Array:
        """Differentiate `average`: what its input is does not matter."""
        x = like(grad, input_shape)
        return self._gradient(grad, x, self.average, p, self._reach(x.shape, p))

    def _gradient(
        self, grad: Array, at: Array, forward: Callable[..., Tensor], *arguments: Any
    ) -> Array:
        by, given = self.tensor(at), self.tensor(grad)
        return self.array(self.gradient(forward, by, given, *arguments), grad)

    def _of_weight(self, w: Tensor, t: Tensor, p: Conv) -> Tensor:
        return self.convolve(t, w, None, p)

    def _of_bias(self, bias: Tensor, t: Tensor, w: Tensor, p: Conv) -> Tensor:
        return self.convolve(t, w, bias, p)
