"""The calls of a model of Keras, on any of its backends.

Layers, and functions of keras.ops, call those of the backend for arrays; these are watched.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras.src import backend

from conformance.calling import Array
from conformance.case import Case, Padding, Shape
from conformance.models.collecting import Calls, Listener

_WATCHED = ("conv", "depthwise_conv", "conv_transpose", "max_pool", "average_pool")
_ADAPTIVE = ("adaptive_max_pool", "adaptive_average_pool")
_NO_NUMBERS = "it is called in a graph, before there are numbers"
_GLOBAL = re.compile(r"Global(Max|Average)Pooling([123])D")


def collect(calls: Calls, model: Any, inputs: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Call a model, and add the calls that it makes."""
    with watching(calls):
        model(*inputs, **named)


BACKEND = backend.backend()
"""The name of the backend."""


def watching(calls: Listener) -> contextlib.AbstractContextManager[None]:
    """Tell of the calls that are made until the end of the context."""
    return _Watch(calls).on()


class _Watch:
    def __init__(self, calls: Listener) -> None:
        self.calls = calls
        self.stack: list[Any] = []
        self.inside = False

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Watch the layers and the backend's functions."""
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            enter(mock.patch.object(keras.layers.Layer, "__call__", self._layer()))
            for name in (*_WATCHED, *_ADAPTIVE):
                if hasattr(backend.nn, name):
                    enter(mock.patch.object(backend.nn, name, self._function(name)))
            enter(mock.patch.object(backend.nn, "separable_conv", _separable))
            yield

    def name(self, function: str) -> str:
        """Return the layer that calls a function now, by its names within the model."""
        inner = [one.name for one in self.stack]
        if isinstance(self.stack[0] if self.stack else None, keras.Model):
            del inner[0]
        return ".".join(inner) or function

    def _layer(self) -> Callable[..., Any]:
        watch, call = self, keras.layers.Layer.__call__

        @functools.wraps(call)
        def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
            watch.stack.append(layer)
            try:
                output = call(layer, *args, **kwargs)
                pool = _GLOBAL.fullmatch(type(layer).__name__)
                if pool is not None and args:
                    return watch.whole(pool[1], layer, args[0], output)
                return output
            finally:
                watch.stack.pop()

        return called

    def whole(self, kind: str, layer: Any, inputs: Any, output: Any) -> Any:
        """Tell of a pool of all positions, which layers compute by other functions."""
        last = layer.data_format == "channels_last"
        operator = "max_pool" if kind == "Max" else "avg_pool"
        x, y = _array(inputs), _array(output)
        if x is None or y is None:
            self.calls.other(self.name(operator), operator, _NO_NUMBERS)
            return output
        x = _first(x, last)
        y = y.reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        kernel = x.shape[2:]
        case = Case(operator=operator, x=x.shape, kernel=kernel, stride=kernel, dtype=x.dtype.name)
        other = self.calls.add(self.name(operator), case, (x,), y)
        if other is None:
            return output
        whole = np.moveaxis(other, 1, -1) if last else other
        return backend.convert_to_tensor(whole.reshape(tuple(output.shape)))

    def _function(self, name: str) -> Callable[..., Any]:
        original = getattr(backend.nn, name)
        signature = inspect.signature(original)

        @functools.wraps(original)
        def called(*args: Any, **kwargs: Any) -> Any:
            if self.inside:
                return original(*args, **kwargs)
            self.inside = True
            try:
                output = original(*args, **kwargs)
            finally:
                self.inside = False
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            other = self.add(name, bound.arguments, output)
            if other is None:
                return output
            if self.is_last(bound.arguments):
                other = np.moveaxis(other, 1, -1)
            return backend.convert_to_tensor(np.ascontiguousarray(other))

        return called

    def is_last(self, given: Mapping[str, Any]) -> bool:
        """Whether the arrays of a call have their channels last."""
        return bool(backend.standardize_data_format(given["data_format"]) == "channels_last")

    def add(self, name: str, given: Mapping[str, Any], output: Any) -> Array | None:
        """Tell of a call of a function of the backend, and return its result, if it is another."""
        x, y = _array(given["inputs"]), _array(output)
        w = _array(given["kernel"]) if "kernel" in given else None
        if x is None or y is None or (w is None and "kernel" in given):
            self.calls.other(self.name(name), name, _NO_NUMBERS)
            return None
        last = self.is_last(given)
        x, y = _first(x, last), _first(y, last)
        if name in _ADAPTIVE:
            size, out = x.shape[2:], y.shape[2:]
            if any(n % m for n, m in zip(size, out, strict=True)):
                self.calls.other(self.name(name), name, "windows of several sizes")
                return None
            kernel = tuple(n // m for n, m in zip(size, out, strict=True))
            operator = "max_pool" if "max" in name else "avg_pool"
            case = Case(operator=operator, x=x.shape, kernel=kernel, stride=kernel)
            return self._take(case, (x,), y)
        dims = x.ndim - 2
        stride = _axes(given["strides"], dims)
        if name.endswith("pool"):
            kernel = _axes(given["pool_size"], dims)
            stride = kernel if given["strides"] is None else stride
            padding = _padding(given["padding"], x.shape[2:], kernel, stride, (1,) * dims)
            operator = "max_pool" if name == "max_pool" else "avg_pool"
            case = Case(operator=operator, x=x.shape, kernel=kernel, stride=stride, padding=padding)
            return self._take(case.replace(count_include_pad=operator == "max_pool"), (x,), y)
        dilation = _axes(given["dilation_rate"], dims)
        assert w is not None
        # (*K, I, O) becomes (O, I, *K), and of a transposed one (*K, O, I) becomes (I, O, *K).
        w = np.moveaxis(w, (-1, -2), (0, 1))
        fields: dict[str, Any] = {"x": x.shape, "stride": stride, "dilation": dilation}
        if name == "depthwise_conv":  # (M, C, *K) becomes (C * M, 1, *K)
            w = w.swapaxes(0, 1).reshape(-1, 1, *w.shape[2:])
        if name == "conv_transpose":
            fields |= _cropped(given["padding"], x.shape[2:], y.shape[2:], w.shape[2:], fields)
            case = Case(operator="conv_transpose", w=w.shape, **fields)
        else:
            padding = _padding(given["padding"], x.shape[2:], w.shape[2:], stride, dilation)
            groups = max(1, x.shape[1] // w.shape[1])
            case = Case(operator="conv", w=w.shape, groups=groups, padding=padding, **fields)
        return self._take(case, (x, w, None), y)

    def _take(self, case: Case, arrays: Sequence[Array | None], output: Array) -> Array | None:
        x = arrays[0]
        assert x is not None
        case = case.replace(dtype=x.dtype.name)
        return self.calls.add(self.name(case.operator), case, arrays, output)


def _separable(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Make the two convolutions that a separable one is; some backends have one function for it."""
    inner = backend.nn.depthwise_conv(
        inputs, depthwise_kernel, strides, padding, data_format, dilation_rate
    )
    return backend.nn.conv(inner, pointwise_kernel, 1, "valid", data_format)


def _array(tensor: Any) -> Array | None:
    """Return the numbers of a tensor; None of one that has none yet."""
    try:
        with warnings.catch_warnings():  # of variables that NumPy has to copy
            warnings.simplefilter("ignore")
            return np.asarray(backend.convert_to_numpy(tensor))
    except Exception:  # whatever a backend raises for a tensor of a graph
        return None


def _first(array: Array, last: bool) -> Array:
    return np.moveaxis(array, -1, 1) if last else array


def _axes(value: Any, dims: int) -> Shape:
    return tuple(map(int, value)) if isinstance(value, (tuple, list)) else (int(value or 1),) * dims


def _padding(word: str, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Padding:
    """Return the padding before and after each axis, of which "same" has the larger one after."""
    if word.lower() != "same":
        return ((0, 0),) * len(size)
    pairs = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def _cropped(
    word: str, size: Shape, out: Shape, kernel: Shape, fields: Mapping[str, Shape]
) -> dict[str, Any]:
    """Return what a transposed convolution crops, or adds, to have an output of its size."""
    padding, added = [], []
    for n, m, k, s, d in zip(size, out, kernel, fields["stride"], fields["dilation"], strict=True):
        total = (n - 1) * s + d * (k - 1) + 1 - m
        before = max(0, total) // 2 if word.lower() == "same" else 0
        padding.append((before, max(0, total) - before))
        added.append(max(0, -total))
    return {"padding": tuple(padding), "output_padding": tuple(added)}
