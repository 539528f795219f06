"""What adapters share: arrays become tensors, the engine computes, tensors become arrays.

`Adapter` is for engines that compute with NumPy arrays, `Engine` for those that have tensors of
their own, and `Differentiable` for those that differentiate as well. `Adapter.public` alone gives
an operator the signature that the suite calls.

The engine judges the arguments, which are handed on as they come. One thing is computed here, and
raises where it cannot be computed: how far the windows of ``ceil_mode`` reach.
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
"""The function that makes one object of an operator's parameters, by the parameters' names."""


class Adapter:
    """Operators over NumPy arrays, each a method with the operator's name.

    A method takes the operator's arrays and shapes (`conformance.signatures`), then its parameters
    as one object (``parameters.py``): ``conv(x, w, bias, p)``, ``max_pool(x, p)``.
    """

    operators: tuple[str, ...] = ("conv", "conv_transpose", "max_pool", "avg_pool")
    """The operators that the adapter has."""

    def register(self, implementation: Implementation) -> None:
        """Register each of ``operators`` under ``implementation``."""
        for operator in self.operators:
            implementation.register(operator, self.public(operator))

    def public(self, operator: str) -> Operator:
        """Return an operator as the suite calls it, with its parameters by name."""
        method: Operator = getattr(self, operator)
        if not SIGNATURES[operator].parameters:
            return method
        gather = _PARAMETERS[SIGNATURES[operator].parameters]

        def function(*arrays: Any, **parameters: Any) -> Array:
            return method(*arrays, gather(**parameters))

        function.__name__ = operator
        return function


class Engine(Adapter, ABC):
    """An engine's operators over its own tensors; the operators over NumPy arrays follow from them.

    Tensors have the axes of the arrays: channels first, or last with ``channels_last``.
    """

    channels_last = False

    @abstractmethod
    def tensor(self, array: Array) -> Tensor:
        """Return a tensor with the numbers of ``array``, whatever their order in memory."""

    @abstractmethod
    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return ``tensor``, once it is computed, as a new array with the dtype of ``like``."""

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Return the engine's convolution. An adapter defines this if ``operators`` has conv."""
        raise NotImplementedError

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Return the engine's transposed convolution."""
        raise NotImplementedError

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Return the engine's max_pool; ``reach`` is the padding that all windows read together.

        ``fill`` is the value of padding: -inf, or the smallest value of an integer dtype.
        """
        raise NotImplementedError

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Return the engine's avg_pool; ``reach`` is the padding that all windows read together."""
        raise NotImplementedError

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call ``function``, which computes a tensor. An engine that compiles does so here."""
        return function(*arguments)

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Call `convolve`."""
        t, weight, addend = self.tensor(x), self.tensor(w), self._optional(bias)
        return self.array(self.run(self.convolve, t, weight, addend, p), x)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Call `transposed`."""
        t, weight, addend = self.tensor(x), self.tensor(w), self._optional(bias)
        return self.array(self.run(self.transposed, t, weight, addend, p), x)

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
        """Return the padding that all windows of a pool read together."""
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
        """Differentiate `convolve` by its input, whose values do not matter."""
        weight = self.tensor(w)
        return self._gradient(grad, like(grad, input_shape), self.convolve, weight, None, p)

    def conv_weight_grad(self, grad: Array, x: Array, weight_shape: Shape, p: Conv) -> Array:
        """Differentiate `convolve` by its weight, whose values do not matter."""
        t = self.tensor(x)
        return self._gradient(grad, like(grad, weight_shape), self._of_weight, t, p)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate a convolution with kernels of one element: any has the same gradient."""
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
        """Differentiate `average` by its input, whose values do not matter."""
        x = like(grad, input_shape)
        return self._gradient(grad, x, self.average, p, self._reach(x.shape, p))

    def _gradient(
        self, grad: Array, at: Array, forward: Callable[..., Tensor], *arguments: Any
    ) -> Array:
        point, upstream = self.tensor(at), self.tensor(grad)
        return self.array(self.gradient(forward, point, upstream, *arguments), grad)

    def _of_weight(self, w: Tensor, t: Tensor, p: Conv) -> Tensor:
        return self.convolve(t, w, None, p)

    def _of_bias(self, bias: Tensor, t: Tensor, w: Tensor, p: Conv) -> Tensor:
        return self.convolve(t, w, bias, p)
