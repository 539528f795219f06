"""TensorFlow's own operators, called eagerly on the CPU, channels last.

TensorFlow pads "VALID" (nothing) or "SAME" (as much as its own rule says); only conv2d pads by a
given amount. It has no ceil_mode. So tf.pad pads the inputs of other operators first, for max_pool
with -inf as far as the last window of ceil_mode reaches, and a slice crops conv_transpose's whole
output. Where avg_pool's padding does not count, or a window of ceil_mode reaches beyond it, only
"SAME" divides rightly: it is called where it places the windows as the case does, and everything
else is Unsupported.

TensorFlow judges the parameters, except for padding and groups, which it does not get: groups
follow from the shape of the weight. An error that matches `_GAPS` means that TensorFlow lacks the
case, and becomes Unsupported. Measured with 2.21 on an x86 CPU:

- conv: no groups in three dimensions; there dilation in float32 and bfloat16 only.
- conv_transpose: groups and dilation in float32 and bfloat16 only, groups not in three dimensions;
  no output_padding of stride or more.
- both: no bias in float16 and bfloat16, where tf.nn.bias_add would round a second time.
- pools: no dilation together with a stride; in three dimensions no float64, float16 or integers.

What only float32 and bfloat16 have is computed by oneDNN, which computes PyTorch's convolutions as
well: the two are not two witnesses.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    check_grad,
    check_padding,
    like,
    native,
)
from conformance.implementations.engines.adapter import Differentiable
from conformance.implementations.engines.compiled import quiet
from conformance.implementations.engines.padding import (
    any_padding,
    check_groups,
    check_padded,
    crop_slices,
    is_same,
    refuse_second_rounding,
    windows_that_fit,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.implementations.engines.tensorflow import snippet

if TYPE_CHECKING:
    from tensorflow import Tensor

_GAPS = re.compile(
    r"not supported on CPU|do(es)? not yet support [\w ]+|currently only supports [\w ]+"
    r"|Value for attr 'T' of \w+ is not in the list|Could not find device for node"
    r"|has DataType \w+ not in list of allowed values"
)
"""The messages of TensorFlow where it has no kernel for a valid call."""


class TensorFlow(Differentiable):
    """TensorFlow's operators; a subclass calls them another way (``xla.py``)."""

    channels_last = True

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor with a copy of ``array``."""
        tf = load()

        return tf.convert_to_tensor(np.asarray(array, native(array.dtype), order="C"))

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the tensor as a new array."""
        result: Array = tensor.numpy()
        return np.array(result) if result.base is not None else result

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """tf.nn.conv1d, conv2d or conv3d, then tf.nn.bias_add."""
        tf = load()

        dims, padding = t.ndim - 2, p.padding
        check_padding(dims, padding)
        check_groups(p.groups, t.shape[-1], w.shape[-2])
        if dims == 3 and p.groups > 1:
            raise Unsupported("conv3d has no groups")
        refuse_second_rounding(bias, t.dtype.size)
        function = {1: tf.nn.conv1d, 2: tf.nn.conv2d, 3: tf.nn.conv3d}[dims]
        pads: Any = "VALID"
        if dims == 2 and any_padding(padding):
            pads = [(0, 0), *padding, (0, 0)]
        elif any_padding(padding):
            check_padded(t.shape[1:-1], padding)
            t = _pad(t, padding, 0)  # (N, *S + padding, C)
        y = _call(function, t, w, _steps(p.stride), pads, dilations=_steps(p.dilation))
        return y if bias is None else tf.nn.bias_add(y, bias)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """tf.nn.conv1d_transpose, conv2d_transpose or conv3d_transpose, then tf.nn.bias_add."""
        tf = load()

        dims = t.ndim - 2
        check_padding(dims, p.padding)
        if p.groups < 1:
            raise ValueError(f"groups={p.groups!r}; must be 1 or more")
        if dims == 3 and p.groups > 1:
            raise Unsupported("conv3d_transpose has no groups")
        ends = zip(p.output_padding, p.stride, p.dilation, strict=True)
        if any(s <= r < max(s, d) for r, s, d in ends):
            raise Unsupported("no output_padding of stride or more")
        refuse_second_rounding(bias, t.dtype.size)
        sizes = t.shape[1:-1], w.shape[:-2]
        axes = zip(*sizes, p.stride, p.dilation, p.output_padding, strict=True)
        whole = tuple((s - 1) * step + d * (k - 1) + extra + 1 for s, k, step, d, extra in axes)
        functions = {1: tf.nn.conv1d_transpose, 2: tf.nn.conv2d_transpose}
        y = _call(
            functions.get(dims, tf.nn.conv3d_transpose),
            *(t, w, (t.shape[0], *whole, w.shape[-2] * p.groups), _steps(p.stride), "VALID"),
            dilations=_steps(p.dilation),
        )
        y = y[:, *crop_slices(whole, p.padding)] if any_padding(p.padding) else y
        return y if bias is None else tf.nn.bias_add(y, bias)

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """tf.nn.max_pool1d, max_pool2d or max_pool3d; with dilation tf.nn.pool."""
        tf = load()

        check_axes(t.ndim - 2, dilation=p.dilation)
        check_padded(t.shape[1:-1], p.padding, p.kernel)
        if any_padding(reach):
            t = _pad(t, reach, fill)  # (N, *S + reach, C)
        if max(p.dilation) == 1:
            function = {1: tf.nn.max_pool1d, 2: tf.nn.max_pool2d, 3: tf.nn.max_pool3d}[t.ndim - 2]
            return _call(function, t, p.kernel, p.stride, "VALID")
        if max(p.stride) > 1:
            raise Unsupported("no dilation together with a stride")
        steps = {"strides": p.stride, "dilations": p.dilation}
        return _call(tf.nn.pool, t, p.kernel, "MAX", padding="VALID", **steps)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """tf.nn.avg_pool1d, avg_pool2d or avg_pool3d."""
        tf = load()

        padding, kernel, stride = p.padding, p.kernel, p.stride
        check_padded(t.shape[1:-1], padding, kernel)
        function = {1: tf.nn.avg_pool1d, 2: tf.nn.avg_pool2d, 3: tf.nn.avg_pool3d}[t.ndim - 2]
        pads = "VALID"
        if any_padding(padding) and p.count_include_pad:
            if reach != tuple(map(tuple, padding)):
                raise Unsupported("no windows that reach beyond padding that counts")
            t = _pad(t, padding, 0)  # (N, *S + padding, C)
        elif any_padding(reach):
            size = tuple(t.shape[1:-1])
            out = windows_that_fit(size, kernel, stride, reach)
            if not is_same(size, out, kernel, stride, padding):
                raise Unsupported('only "SAME" has a divisor without padding, and its own windows')
            pads = "SAME"
        return _call(function, t, kernel, stride, pads)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate tf.nn.bias_add, which takes arrays of any number of axes."""
        check_grad(grad)
        t = self.tensor(like(grad, grad.shape))
        return self._gradient(grad, like(grad, grad.shape[-1:]), _add_bias, t)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """tf.GradientTape."""
        return self.run(_differentiated, at, grad, forward, *arguments)


def _add_bias(bias: Tensor, t: Tensor) -> Tensor:
    tf = load()

    return tf.nn.bias_add(t, bias)


def _pad(t: Tensor, padding: Padding, fill: float) -> Tensor:
    tf = load()

    return tf.pad(t, [(0, 0), *padding, (0, 0)], constant_values=tf.constant(fill, t.dtype))


def _steps(values: Shape) -> list[int]:
    """Return strides or dilations as TensorFlow takes them: in three dimensions with N and C."""
    return [1, *values, 1] if len(values) == 3 else list(values)


def load() -> Any:
    """Return TensorFlow, imported without the lines about CPU and GPU that it prints first."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet():
            import tensorflow
    import tensorflow

    return tensorflow


def _call(function: Callable[..., Tensor], *arguments: Any, **parameters: Any) -> Tensor:
    """Call ``function``; raise Unsupported where TensorFlow says that it has no kernel for it."""
    tf = load()

    try:
        return function(*arguments, **parameters)
    except (tf.errors.OpError, TypeError) as problem:
        gap = _GAPS.search(str(problem))
        if gap is None:
            raise
        name = function.__name__.removesuffix("_v2")
        raise Unsupported(f"{name} in {arguments[0].dtype.name}: {gap[0]}") from None


def _differentiated(
    t: Tensor, grad: Tensor, forward: Callable[..., Tensor], *arguments: Any
) -> Tensor:
    tf = load()

    with tf.GradientTape() as tape:
        tape.watch(t)
        y = forward(t, *arguments)
    return _call(tape.gradient, y, t, output_gradients=grad)


tensorflow = implementation(
    "tensorflow",
    package="tensorflow",
    settings="oneDNN where TensorFlow chooses it, as by default on x86",
    extra="tensorflow",
    layout="NHWC",
    dtypes=DTYPES,
    call_seconds=2e-3,
    conventions={"nan": "ignore", "subnormal": "flush", "zero_channels": "empty_sum"},
    snippet=snippet.snippet,
    known="known.toml",
)
TensorFlow().register(tensorflow)
