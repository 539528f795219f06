"""TensorFlow's own operators, called eagerly on the CPU, channels last.

TensorFlow pads "VALID" (nothing) or "SAME" (as much as its own rule says); by a given amount only
in conv2d. It has no ceil_mode. So this happens around the call:

- conv: in two dimensions TensorFlow pads; in one and three tf.pad does so first, with zeros.
- conv_transpose: TensorFlow computes the whole output ("VALID") and a slice crops it.
- max_pool: tf.pad first, with -inf, as far as the last window of ceil_mode reaches.
- avg_pool: tf.pad first, with zeros, which then count. Where padding does not count, or a window of
  ceil_mode reaches beyond it, only "SAME" divides rightly: it is called where it places the
  windows as the case does, and everything else is Unsupported.

All parameters are checked here first, because output shape and padding are computed here. What is
wrong after that is a gap of TensorFlow's, and Unsupported, if it is on the list of `_GAPS`; any
other error is left to speak for itself. Measured with 2.21 on an x86 CPU:

- conv: no groups in three dimensions; there dilation in float32 and bfloat16 only.
- conv_transpose: groups and dilation in float32 and bfloat16 only, groups not in three dimensions;
  no output_padding of stride or more.
- both: no bias in float16 and bfloat16, where tf.nn.bias_add would round a second time.
- pools: no dilation together with a stride; in three dimensions no float64, float16 or integers.

What float32 and bfloat16 have in advance is computed by oneDNN, which computes PyTorch's
convolutions as well: agreement of the two is not the word of two witnesses.
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
from conformance.registry import Implementation
from conformance.signatures import SIGNATURES
from implementations._common import (
    Array,
    Padding,
    Shape,
    conv_size,
    conv_transpose_size,
    is_same,
    lowest,
    native,
    pool_size,
)
from implementations._gradients import check_grad, conv_grad_size, like, pool_grad_size
from implementations._tensorflow_snippet import snippet

if TYPE_CHECKING:
    from tensorflow import Tensor

_GAPS = re.compile(
    r"not supported on CPU|do(es)? not yet support [\w ]+|currently only supports [\w ]+"
    r"|Value for attr 'T' of \w+ is not in the list|Could not find device for node"
)
"""What TensorFlow says where it has no kernel for a valid call."""


class TensorFlow:
    """TensorFlow's operators; a subclass calls them another way (``tensorflow_xla.py``)."""

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call what makes the result of tensors and parameters."""
        return function(*arguments)

    def register(self, implementation: Implementation) -> None:
        """Register every operator under ``implementation``."""
        for operator in SIGNATURES:
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
        """tf.nn.conv1d, conv2d or conv3d, then tf.nn.bias_add."""
        conv_size(x, w, bias, stride, padding, dilation, groups, channels_last=True)
        parameters = (_bias(bias), stride, padding, dilation, groups)
        return _array(self.run(_conv, _tensor(x), _tensor(w), *parameters))  # (N, *out, O)

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
        """tf.nn.conv1d_transpose, conv2d_transpose or conv3d_transpose, then tf.nn.bias_add."""
        out = conv_transpose_size(
            x, w, bias, stride, padding, output_padding, dilation, groups, channels_last=True
        )
        dims = len(stride)
        if dims == 3 and groups > 1:
            raise Unsupported("conv3d_transpose has no groups")
        if any(extra >= step for extra, step in zip(output_padding, stride, strict=True)):
            raise Unsupported("no output_padding of stride or more")
        uncropped = (b + o + a for o, (b, a) in zip(out, padding, strict=True))
        shape = (len(x), *uncropped, w.shape[-2] * groups)  # (N, *out + padding, O)
        kept = tuple(slice(b, b + o) for o, (b, _) in zip(out, padding, strict=True))
        parameters = (_bias(bias), shape, stride, dilation)
        y = self.run(_conv_transpose, _tensor(x), _tensor(w), *parameters)
        return np.array(_array(y)[:, *kept])  # (N, *out, O)

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
        """tf.nn.max_pool1d, max_pool2d or max_pool3d; with dilation tf.nn.pool."""
        _, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=True)
        parameters = (kernel, stride, reach, dilation, lowest(x.dtype))
        return _array(self.run(_max_pool, _tensor(x), *parameters))

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
        """tf.nn.avg_pool1d, avg_pool2d or avg_pool3d."""
        undilated = (1,) * len(kernel)
        sizes = pool_size(x, kernel, stride, padding, undilated, ceil_mode, channels_last=True)
        parameters = (kernel, stride, padding, sizes, count_include_pad)
        return _array(self.run(_avg_pool, _tensor(x), *parameters))

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
        """GradientTape through conv: what x is does not matter."""
        x = like(w, input_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=True)
        parameters = (None, stride, padding, dilation, groups)
        return self._gradient(grad, x, _conv, _tensor(w), *parameters)

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
        """GradientTape through conv: what the weight is does not matter."""
        w = like(x, weight_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=True)
        parameters = (stride, padding, dilation, groups)
        return self._gradient(grad, w, _conv_of_weight, _tensor(x), *parameters)

    def conv_bias_grad(self, grad: Array) -> Array:
        """GradientTape through tf.nn.bias_add."""
        check_grad(grad)
        t = _tensor(like(grad, grad.shape))
        return self._gradient(grad, like(grad, grad.shape[-1:]), _bias_added, t)

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
        """GradientTape through max_pool."""
        _, reach = pool_grad_size(
            grad, x, kernel, stride, padding, dilation, ceil_mode, channels_last=True
        )
        parameters = (kernel, stride, reach, dilation, lowest(x.dtype))
        return self._gradient(grad, x, _max_pool, *parameters)

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
        """GradientTape through avg_pool: what x is does not matter."""
        x, undilated = like(grad, input_shape), (1,) * len(kernel)
        sizes = pool_grad_size(
            grad, x, kernel, stride, padding, undilated, ceil_mode, channels_last=True
        )
        parameters = (kernel, stride, padding, sizes, count_include_pad)
        return self._gradient(grad, x, _avg_pool, *parameters)

    def _gradient(
        self, grad: Array, at: Array, forward: Callable[..., Tensor], *arguments: Any
    ) -> Array:
        """Return the gradient of sum(grad * forward(t, ...)) by t, at the values of ``at``."""
        return _array(self.run(_differentiated, _tensor(at), _tensor(grad), forward, *arguments))


def _conv(
    t: Tensor,
    w: Tensor,
    bias: Tensor | None,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Tensor:
    tf = _tensorflow()

    dims = len(stride)
    if dims == 3 and groups > 1:
        raise Unsupported("conv3d has no groups")
    function = (tf.nn.conv1d, tf.nn.conv2d, tf.nn.conv3d)[dims - 1]
    pads: Any = "VALID"
    if dims == 2 and _any(padding):
        pads = [(0, 0), *padding, (0, 0)]
    elif _any(padding):
        t = _pad(t, padding, 0)  # (N, *S + padding, C)
    y = _call(function, t, w, _steps(stride), pads, dilations=_steps(dilation))
    return y if bias is None else _bias_added(bias, y)


def _conv_of_weight(
    w: Tensor, t: Tensor, stride: Shape, padding: Padding, dilation: Shape, groups: int
) -> Tensor:
    return _conv(t, w, None, stride, padding, dilation, groups)


def _bias_added(bias: Tensor, t: Tensor) -> Tensor:
    tf = _tensorflow()

    return tf.nn.bias_add(t, bias)


def _conv_transpose(
    t: Tensor, w: Tensor, bias: Tensor | None, shape: Shape, stride: Shape, dilation: Shape
) -> Tensor:
    tf = _tensorflow()

    functions = (tf.nn.conv1d_transpose, tf.nn.conv2d_transpose, tf.nn.conv3d_transpose)
    y = _call(
        functions[len(stride) - 1],
        t,
        w,
        shape,
        _steps(stride),
        "VALID",
        dilations=_steps(dilation),
    )
    return y if bias is None else _bias_added(bias, y)


def _max_pool(
    t: Tensor, kernel: Shape, stride: Shape, reach: Padding, dilation: Shape, fill: float
) -> Tensor:
    tf = _tensorflow()

    if _any(reach):
        t = _pad(t, reach, fill)  # (N, *S + reach, C)
    if max(dilation) == 1:
        function = (tf.nn.max_pool1d, tf.nn.max_pool2d, tf.nn.max_pool3d)[len(kernel) - 1]
        return _call(function, t, kernel, stride, "VALID")
    if max(stride) > 1:
        raise Unsupported("no dilation together with a stride")
    return _call(tf.nn.pool, t, kernel, "MAX", padding="VALID", dilations=dilation)


def _avg_pool(
    t: Tensor,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    sizes: tuple[Shape, Padding],
    count_include_pad: bool,
) -> Tensor:
    tf = _tensorflow()

    out, reach = sizes
    function = (tf.nn.avg_pool1d, tf.nn.avg_pool2d, tf.nn.avg_pool3d)[len(kernel) - 1]
    pads = "VALID"
    if _any(padding) and count_include_pad:
        if reach != tuple(map(tuple, padding)):
            raise Unsupported("no windows that reach beyond padding that counts")
        t = _pad(t, padding, 0)  # (N, *S + padding, C)
    elif _any(reach):
        if not is_same(tuple(t.shape[1:-1]), out, kernel, stride, padding):
            raise Unsupported('only "SAME" leaves positions out of the divisor, with its windows')
        pads = "SAME"
    return _call(function, t, kernel, stride, pads)


def _any(padding: Padding) -> bool:
    return any(map(any, padding))


def _pad(t: Tensor, padding: Padding, fill: float) -> Tensor:
    tf = _tensorflow()

    return tf.pad(t, [(0, 0), *padding, (0, 0)], constant_values=tf.constant(fill, t.dtype))


def _steps(values: Shape) -> list[int]:
    """Return strides or dilations as TensorFlow takes them: in three dimensions with N and C."""
    return [1, *values, 1] if len(values) == 3 else list(values)


def _tensorflow() -> Any:
    """Return TensorFlow, imported without the lines about CPU and GPU that it begins with.

    They come from C++, so stderr itself is turned away while the import lasts; what goes wrong is
    an exception all the same.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            import tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
    import tensorflow

    return tensorflow


def _call(function: Callable[..., Tensor], *arguments: Any, **parameters: Any) -> Tensor:
    """Call ``function``; raise Unsupported where TensorFlow says that it has no kernel for it."""
    tf = _tensorflow()

    try:
        return function(*arguments, **parameters)
    except tf.errors.OpError as problem:
        gap = _GAPS.search(str(problem))
        if gap is None:
            raise
        name = function.__name__.removesuffix("_v2")
        raise Unsupported(f"{name} in {arguments[0].dtype.name}: {gap[0]}") from None


def _tensor(array: Array) -> Tensor:
    """Return a tensor with a copy of ``array``, which may lie anyhow in memory."""
    tf = _tensorflow()

    return tf.convert_to_tensor(np.ascontiguousarray(array, native(array.dtype)))


def _differentiated(
    t: Tensor, grad: Tensor, forward: Callable[..., Tensor], *arguments: Any
) -> Tensor:
    tf = _tensorflow()

    with tf.GradientTape() as tape:
        tape.watch(t)
        y = forward(t, *arguments)
    return _call(tape.gradient, y, t, output_gradients=grad)


def _bias(bias: Array | None) -> Tensor | None:
    if bias is not None and bias.dtype.itemsize == 2:
        raise Unsupported(f"a second operator adds the bias and rounds to {bias.dtype} again")
    return None if bias is None else _tensor(bias)


def _array(t: Tensor) -> Array:
    """Return ``t`` as a new array."""
    result: Array = t.numpy()
    return result


tensorflow = implementation(
    "tensorflow",
    package="tensorflow",
    extra="tensorflow",
    layout="NHWC",
    dtypes=DTYPES,
    conventions={"nan": "ignore", "subnormal": "flush"},
    snippet=snippet,
)
TensorFlow().register(tensorflow)
