"""Layers: classes of torch.nn and keras.layers, called as the function of an operator.

A layer is constructed for the parameters of a call, gets the call's weight and bias in the place of
its own, and is called with x, as its users do. It is kept for further calls that have the same
parameters, in the same thread, so that what it keeps itself is seen.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from typing import Any

from conformance.errors import Unsupported
from conformance.registration.recipes import Recipe
from conformance.signatures import SIGNATURES

_MOST_KEPT = 64
"""Layers that a thread keeps."""
CHANNELS_LAST = (("data_format", "channels_last"),)
"""What layers of Keras are constructed with, whatever its configuration says."""
_NAMES = {
    "torch": {
        "conv": "Conv{}d",
        "conv_transpose": "ConvTranspose{}d",
        "max_pool": "MaxPool{}d",
        "avg_pool": "AvgPool{}d",
    },
    "keras": {
        "conv": "Conv{}D",
        "conv_transpose": "Conv{}DTranspose",
        "max_pool": "MaxPooling{}D",
        "avg_pool": "AveragePooling{}D",
    },
}
"""The classes of the libraries, by operator, for a number of dimensions."""


class Layer(ABC):
    """The layer of one operator and number of dimensions, as a function."""

    def __init__(self, construct: Callable[..., Any], recipe: Recipe) -> None:
        self.construct, self.recipe = construct, recipe
        self._kept = threading.local()

    whose = ""
    """What ``own`` is called."""

    @property
    @abstractmethod
    def own(self) -> Layer:
        """The layer that this one takes the place of: the library's own."""

    @abstractmethod
    def built(self, given: Mapping[str, Any], like: Any) -> Any:
        """Return a layer that is constructed with ``given``, of the dtype and device of ``like``.

        ``like`` is None for a layer that is never called.
        """

    @abstractmethod
    def call(self, layer: Any, x: Any, w: Any, bias: Any) -> Any:
        """Return what a layer returns that has this weight and bias."""

    @abstractmethod
    def channels_first(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a weight, (A, B, *K)."""

    def __call__(self, x: Any, w: Any = None, bias: Any = None, **parameters: Any) -> Any:
        """Construct the layer of a call, unless it is there, and call it."""
        weight = None if w is None else self.channels_first(tuple(w.shape))
        fields = self.recipe.fields(weight, bias is not None, parameters)
        if bias is not None and (tuple(bias.shape) != (fields["out_channels"],)):
            raise Unsupported("a layer makes its own bias, of as many elements as it has outputs")
        if bias is not None and bias.dtype != w.dtype:
            raise Unsupported("a layer makes its own bias, of the dtype of its weight")
        layer = self._layer(self.recipe.values(fields), x if w is None else w)
        return self.checked(self.call(layer, x, w, bias), x, parameters)

    def checked(self, output: Any, x: Any, parameters: Mapping[str, Any]) -> Any:
        """Return the output of a call, unless nothing is due for it."""
        return output

    def _layer(self, given: Mapping[str, Any], like: Any) -> Any:
        kept = self._kept.__dict__.setdefault("layers", {})
        key = (str(like.dtype), *given.items())
        layer = kept.get(key)
        if layer is None:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            layer = kept[key] = self.built(given, like)
        return layer


class TorchLayer(Layer):
    """A torch.nn.Module."""

    whose = "PyTorch's own layer"

    @property
    def own(self) -> TorchLayer:
        """The class of torch.nn."""
        import torch

        construct = getattr(
            torch.nn, _NAMES["torch"][self.recipe.operator].format(self.recipe.dims)
        )
        return TorchLayer(construct, replace(self.recipe, weight="weight", bias="bias"))

    def channels_first(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape."""
        return shape

    def built(self, given: Mapping[str, Any], like: Any) -> Any:
        """Construct it, without a trace in the state of PyTorch's random numbers."""
        import torch

        with torch.random.fork_rng(devices=[]):
            layer = self.construct(**given)
        if like is not None and isinstance(layer, torch.nn.Module) and like.is_floating_point():
            layer.to(like.device, like.dtype)
        return layer

    def call(self, layer: Any, x: Any, w: Any, bias: Any) -> Any:
        """Put the parameters into it, for this call alone where they are differentiated."""
        return self.called(layer, {self.recipe.weight: w, self.recipe.bias: bias}, x)

    def checked(self, output: Any, x: Any, parameters: Mapping[str, Any]) -> Any:
        """Raise `Unsupported` for a derivative that is not the layer's affair."""
        recipe = self.recipe
        if x.requires_grad and recipe.operator == "max_pool" and not recipe.needs_derivative:
            axes = zip(*(_axes(parameters.get(n, d), x) for n, d in _WINDOW.items()), strict=True)
            if any(map(_reads_padding_alone, x.shape[2:], output.shape[2:], axes)):
                raise Unsupported("PyTorch's own derivative writes beside memory there")
        return output

    def called(self, layer: Any, named: Mapping[str, Any], x: Any) -> Any:
        """Call a module with parameters by their names, None where there is none."""
        import torch

        named = {name: value for name, value in named.items() if value is not None}
        differentiated = any(value.requires_grad for value in (x, *named.values()))
        with nullcontext() if differentiated else torch.no_grad():
            if any(value.requires_grad for value in named.values()):
                output = torch.func.functional_call(layer, named, (x,))
            else:
                for name, value in named.items():
                    _put(layer, name, value)
                output = layer(x)
        tracked = isinstance(output, torch.Tensor) and output.requires_grad
        if differentiated and not (tracked or self.recipe.needs_derivative):
            raise Unsupported("what it returns has no derivative")
        return output


_WINDOW = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}


def _axes(value: Any, x: Any) -> Any:
    return value if isinstance(value, tuple) else (value,) * (x.ndim - 2)


def _reads_padding_alone(size: int, outputs: int, window: tuple[int, int, int, int]) -> bool:
    """Whether a window of an axis has no element of the input, as PyTorch's dilated ones may."""
    kernel, stride, padding, dilation = window
    begins = range(-padding, outputs * stride - padding, stride)
    return not all(
        any(0 <= begin + dilation * tap < size for tap in range(kernel)) for begin in begins
    )


def _put(layer: Any, name: str, value: Any) -> None:
    """Let a tensor be a parameter of a module, by whose version caches can tell the change."""
    import torch

    path, _, last = name.rpartition(".")
    owner = reduce(getattr, path.split(".") if path else (), layer)
    value = value.contiguous()  # as modules make their own
    if isinstance(inspect.getattr_static(type(owner), last, None), property):
        setattr(owner, last, value)
        return
    own = getattr(owner, last)
    if not isinstance(own, torch.Tensor):
        setattr(owner, last, value)
        return
    if own.shape != value.shape:
        shape, due = tuple(own.shape), tuple(value.shape)
        raise TypeError(f"{type(layer).__name__}.{name} has the shape {shape}, where {due} is due")
    own.data = value
    torch.autograd.graph.increment_version(own)


class KerasLayer(Layer):
    """A keras.layers.Layer, channels last."""

    whose = "Keras's own layer"

    @property
    def own(self) -> KerasLayer:
        """The class of keras.layers."""
        import keras

        recipe = replace(self.recipe, weight="kernel", bias="bias", fixed=CHANNELS_LAST)
        name = _NAMES["keras"][recipe.operator].format(recipe.dims)
        return KerasLayer(getattr(keras.layers, name), recipe)

    def channels_first(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (A, B, *K) of (*K, B, A)."""
        return (shape[-1], shape[-2], *shape[:-2])

    def built(self, given: Mapping[str, Any], like: Any) -> Any:
        """Construct it with its dtype."""
        dtype = {}
        if like is not None:
            import keras

            dtype = {"dtype": keras.backend.standardize_dtype(like.dtype)}
        return self.construct(**given, **dtype)

    def call(self, layer: Any, x: Any, w: Any, bias: Any) -> Any:
        """Call it with these variables, which may be differentiated."""
        if not layer.built:
            layer.build(tuple(x.shape))
        if w is None:
            return layer(x)
        if x.dtype != w.dtype:
            raise Unsupported("a layer of Keras casts what it is called with to its dtype")
        values = {id(_variable(layer, self.recipe.weight)): w}
        if bias is not None:
            values[id(_variable(layer, self.recipe.bias))] = bias
        variables = [values.get(id(one), one) for one in layer.trainable_variables]
        output, _ = layer.stateless_call(variables, layer.non_trainable_variables, x)
        return output


def _variable(layer: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), layer)


class Layers:
    """The layers of an operator, one a number of dimensions, as one function."""

    def __init__(self, layers: Mapping[int, Layer]) -> None:
        self.layers = layers
        first = next(iter(layers.values()))
        signature, kinds = SIGNATURES[first.recipe.operator], inspect.Parameter
        self.__signature__ = inspect.Signature(
            [
                *(kinds(name, kinds.POSITIONAL_ONLY) for name in signature.arguments),
                *(kinds(name, kinds.KEYWORD_ONLY) for name in signature.parameters),
            ]
        )
        construct: Any = first.construct
        self.whose = first.whose
        self.made_of = construct
        self.__name__ = first.recipe.name
        self.__module__ = construct.__module__
        self.__wrapped__ = getattr(construct, "forward", None) or getattr(construct, "call", None)

    @property
    def own(self) -> Layers:
        """The layers that these take the place of."""
        return Layers({dims: layer.own for dims, layer in self.layers.items()})

    @property
    def recipes(self) -> dict[int, Recipe]:
        """How they are constructed."""
        return {dims: layer.recipe for dims, layer in self.layers.items()}

    def __call__(self, x: Any, *parameters: Any, **named: Any) -> Any:
        """Call the layer of as many dimensions as the weight has, or x."""
        sized = parameters[0] if parameters else x
        layer = self.layers.get(len(sized.shape) - 2) or next(iter(self.layers.values()))
        return layer(x, *parameters, **named)
