"""Gradients of a registered forward function, by its library's own differentiation.

What is judged is what a user of the function gets from ``backward``: the function's own derivative
if it has one (an ``autograd.Function``, a ``custom_vjp``), or that of the operations it is made of.
Arrays whose values do not matter, such as the input of a convolution that is differentiated by its
input, are zeros.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from conformance.arrays import library
from conformance.arrays.parameters import OWN, expressed, keywords, shapes_of
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from conformance.arrays.library import Library

OF_FUNCTIONS, AUTOGRAD = "functions", "autograd"
"""Where gradients come from: functions that are registered for them, or differentiation."""

GRADIENTS: Mapping[str, tuple[str, ...]] = {
    "conv": ("conv_input_grad", "conv_weight_grad", "conv_bias_grad"),
    "max_pool": ("max_pool_grad",),
    "avg_pool": ("avg_pool_grad",),
}
"""The gradients that follow from each forward function."""


class Gradient:
    """The gradient of a forward function as an operator's function, over arrays of the library."""

    def __init__(
        self,
        operator: str,
        forward: Callable[..., Any],
        *,
        arrays: str,
        device: str,
        convention: str,
        layout: str,
    ) -> None:
        self.operator, self.forward = operator, forward
        self.arrays, self.device = arrays, device
        self.convention, self.channels_last = convention, layout == "NHWC"
        self.layout = layout
        self.__wrapped__ = forward
        self.__name__ = operator
        self.__signature__ = _signature(operator, forward)

    @property
    def library(self) -> Library:
        """The conversion of the library's arrays, which can differentiate."""
        return library(self.arrays, self.device)

    def __call__(self, grad: Any, *others: Any, **parameters: Any) -> Any:
        """Return the gradient by the argument that the operator is named for."""
        library, forward = self.library, self.forward
        if self.operator == "conv_bias_grad":
            x, w, o, ordinary = self._through_ones(grad)
            x, w = library.zeros(x, grad), library.zeros(w, grad)
            bias = library.zeros((o,), grad)
            return library.gradient(lambda b: forward(x, w, b, **ordinary), bias, grad)
        if self.operator == "conv_input_grad":
            w, shape = others
            at = library.zeros(shape, grad)
            return library.gradient(lambda x: forward(x, w, None, **parameters), at, grad)
        if self.operator == "conv_weight_grad":
            x, shape = others
            at = library.zeros(shape, grad)
            return library.gradient(lambda w: forward(x, w, None, **parameters), at, grad)
        (x,) = others  # an array, or a shape where the values do not matter
        at = library.zeros(x, grad) if isinstance(x, tuple) else x
        return library.gradient(lambda x: forward(x, **parameters), at, grad)

    def _through_ones(
        self, grad: Any
    ) -> tuple[tuple[int, ...], tuple[int, ...], int, Mapping[str, Any]]:
        """Return a convolution that ``grad`` may be that of: one channel, windows of one element.

        These are the shapes of its input and weight, its outputs, and its parameters.
        """
        shape = tuple(grad.shape)
        ones = (1,) * (len(shape) - 2)
        x: tuple[int, ...]
        w: tuple[int, ...]
        if self.channels_last:
            n, *out, o = shape
            x, w = (n, *out, 1), (*ones, 1, o)
        else:
            n, o, *out = shape
            x, w = (n, 1, *out), (o, 1, *ones)
        own = {"stride": ones, "padding": ((0, 0),) * len(ones), "dilation": ones, "groups": 1}
        if self.convention == OWN:
            return x, w, o, own
        names = keywords(self.forward, self.convention, "conv")
        shapes = shapes_of("conv", (x, w, None), self.layout)
        return x, w, o, expressed(self.convention, names, "conv", shapes, own, self.layout)


def _signature(operator: str, forward: Callable[..., Any]) -> inspect.Signature:
    """Return the gradient's arguments, followed by the parameters that ``forward`` takes."""
    kinds = inspect.Parameter
    arguments = [kinds(n, kinds.POSITIONAL_ONLY) for n in SIGNATURES[operator].arguments]
    return inspect.Signature([*arguments, *(_parameters(forward, operator))])


def _parameters(forward: Callable[..., Any], operator: str) -> Iterator[inspect.Parameter]:
    kinds = inspect.Parameter
    if not SIGNATURES[operator].parameters:
        return
    try:
        named = [*inspect.signature(forward).parameters.values()]
    except (TypeError, ValueError):  # compiled code without a signature
        yield kinds("parameters", kinds.VAR_KEYWORD)
        return
    of = next(name for name, gradients in GRADIENTS.items() if operator in gradients)
    arrays = len(SIGNATURES[of].arguments)
    for one in named:
        if one.kind is kinds.VAR_POSITIONAL:
            arrays = 0
        elif one.kind is kinds.VAR_KEYWORD:
            yield one
        elif arrays and one.kind is not kinds.KEYWORD_ONLY:
            arrays -= 1
        else:
            yield kinds(one.name, kinds.KEYWORD_ONLY)
