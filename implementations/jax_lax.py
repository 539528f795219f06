"""JAX's own operators, `jax.lax`, on the CPU: called eagerly, and compiled whole as `jax[jit]`.

One call makes one result: this file only translates. Which operator is called:

- conv: `lax.conv_general_dilated` takes everything a case has, asymmetric padding included.
- conv_transpose: `lax.conv_transpose` with the kernel transposed; its padding is that of the
  dilated input, dilation * (K - 1) less than what is cropped. It has no groups.
- max_pool: `lax.reduce_window` with `lax.max` over windows padded with -inf, as far as the last
  window of ceil_mode reaches.
- avg_pool: lax has none. Its users (Flax, Keras) divide the sum of `lax.reduce_window` with
  `lax.add` by the size of the window, and so does this file, by the divisor of the case.
- gradients: `jax.vjp` through these.

lax has no bias: it is added by a second operator. In float16 and bfloat16 that, and the division of
avg_pool, would round again what is rounded already, so that both are Unsupported there. Parameters
are JAX's to judge; sizes are computed here, and so checked, for ceil_mode, avg_pool, conv_transpose
and the gradients alone, and the shape of a bias, which addition would broadcast.

JAX turns float64 into float32 and int64 into int32 unless told not to: every call is made under
`jax.enable_x64`. The rest is as JAX begins: on the CPU it computes in the dtype it is given. XLA
(the family, which TensorFlow's jit_compile shares) compiles each new shape, which takes 40 to 300
ms: tables of a short run compare few cases. Called eagerly each operator is compiled by itself;
under jit XLA also optimizes across them, so that a gradient or a convolution with its bias is other
code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from implementations._common import (
    Array,
    Padding,
    Shape,
    conv_transpose_size,
    divisors,
    lowest,
    native,
    pool_size,
)
from implementations._gradients import check_grad, conv_grad_size, like, pool_grad_size
from implementations._jax_snippet import snippet

if TYPE_CHECKING:
    from jax import Array as Tensor

MAX_COMPILED = 256
"""Compiled functions that `jax[jit]` keeps."""


def _register(name: str, run: Callable[..., Array]) -> None:
    """Register every operator as ``name``, with ``run(function, *arrays, **static)`` to call it."""
    lax = implementation(
        name,
        family="xla",
        package="jax",
        extra="jax",
        dtypes=DTYPES,
        conventions={"subnormal": "flush", "zero_channels": "empty_sum"},
        snippet=snippet if run is _eagerly else None,
    )

    @lax
    def conv(
        x: Array,
        w: Array,
        bias: Array | None,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """lax.conv_general_dilated, and the bias added."""
        arrays = _with_bias(x, w, bias, w.shape[:1])
        return run(_conv, *arrays, stride=stride, padding=padding, dilation=dilation, groups=groups)

    @lax
    def conv_transpose(
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
        """lax.conv_transpose, and the bias added."""
        conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
        if groups > 1:
            raise Unsupported("lax.conv_transpose has no groups")
        pads = tuple(
            (d * (k - 1) - before, d * (k - 1) - after + extra)
            for k, (before, after), d, extra in zip(
                w.shape[2:], padding, dilation, output_padding, strict=True
            )
        )
        arrays = _with_bias(x, w, bias, w.shape[1:2])
        return run(_conv_transpose, *arrays, stride=stride, padding=pads, dilation=dilation)

    @lax
    def max_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """lax.reduce_window with lax.max."""
        if ceil_mode:
            _, padding = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
        return run(_max_pool, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation)

    @lax
    def avg_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """lax.reduce_window with lax.add, divided."""
        out, reach = pool_size(x, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
        _not_twice(x, "divides the sum")
        count = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)
        by = count.astype(native(x.dtype))
        return run(_avg_pool, x, by, kernel=kernel, stride=stride, padding=reach)

    @lax
    def conv_input_grad(
        grad: Array,
        w: Array,
        input_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """jax.vjp through conv: what x is does not matter."""
        x = like(w, input_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups)
        static = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return run(_vjp, grad, x, w, forward=_conv, **static)

    @lax
    def conv_weight_grad(
        grad: Array,
        x: Array,
        weight_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """jax.vjp through conv: what the weight is does not matter."""
        w = like(x, weight_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups)
        static = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return run(_vjp, grad, w, x, forward=_conv_of_weight, **static)

    @lax
    def conv_bias_grad(grad: Array) -> Array:
        """jax.vjp through the addition of a bias."""
        check_grad(grad)
        _not_twice(grad, "adds the bias")
        return run(_vjp, grad, like(grad, grad.shape[1:2]), like(grad, grad.shape), forward=_biased)

    @lax
    def max_pool_grad(
        grad: Array,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """jax.vjp through max_pool."""
        _, reach = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
        static = {"kernel": kernel, "stride": stride, "padding": reach, "dilation": dilation}
        return run(_vjp, grad, x, forward=_max_pool, **static)

    @lax
    def avg_pool_grad(
        grad: Array,
        input_shape: Shape,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """jax.vjp through avg_pool: what x is does not matter."""
        x, undilated = like(grad, input_shape), (1,) * len(kernel)
        out, reach = pool_grad_size(grad, x, kernel, stride, padding, undilated, ceil_mode)
        _not_twice(grad, "divides the sum")
        count = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)
        by = count.astype(native(x.dtype))
        static = {"kernel": kernel, "stride": stride, "padding": reach}
        return run(_vjp, grad, x, by, forward=_avg_pool, **static)


# --- the operators, of tensors ------------------------------------------------------------------


def _conv(
    t: Tensor,
    w: Tensor,
    *bias: Tensor,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Tensor:
    from jax import lax

    y = lax.conv_general_dilated(
        t, w, stride, padding, rhs_dilation=dilation, feature_group_count=groups
    )
    return _biased(bias[0], y) if bias else y


def _conv_of_weight(w: Tensor, t: Tensor, **static: Any) -> Tensor:
    return _conv(t, w, **static)


def _conv_transpose(
    t: Tensor, w: Tensor, *bias: Tensor, stride: Shape, padding: Padding, dilation: Shape
) -> Tensor:
    from jax import lax

    # transpose_kernel flips the kernel and exchanges its channel axes, so that they are named here
    # as those of the convolution which this is the transpose of: (O, I, *K).
    axes = "DHW"[5 - t.ndim :]
    y = lax.conv_transpose(
        t,
        w,
        stride,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=(f"NC{axes}", f"OI{axes}", f"NC{axes}"),
        transpose_kernel=True,
    )
    return _biased(bias[0], y) if bias else y


def _max_pool(
    t: Tensor, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> Tensor:
    from jax import lax

    start = np.array(lowest(t.dtype), t.dtype)
    pads = ((0, 0), (0, 0), *padding)
    return lax.reduce_window(
        t,
        start,
        lax.max,
        (1, 1, *kernel),
        (1, 1, *stride),
        pads,
        window_dilation=(1, 1, *dilation),
    )


def _avg_pool(
    t: Tensor, divisor: Tensor, *, kernel: Shape, stride: Shape, padding: Padding
) -> Tensor:
    from jax import lax

    start = np.zeros((), t.dtype)
    pads = ((0, 0), (0, 0), *padding)
    return lax.reduce_window(t, start, lax.add, (1, 1, *kernel), (1, 1, *stride), pads) / divisor


def _biased(bias: Tensor, y: Tensor) -> Tensor:
    return y + bias.reshape(1, -1, *(1,) * (y.ndim - 2))


def _vjp(
    grad: Tensor, at: Tensor, *others: Tensor, forward: Callable[..., Tensor], **static: Any
) -> Tensor:
    """Return the gradient of sum(grad * forward(t, *others)) by t at ``at``."""
    import jax

    _, back = jax.vjp(lambda t: forward(t, *others, **static), at)
    (result,) = back(grad)
    return result


# --- calling them -------------------------------------------------------------------------------


def _eagerly(function: Callable[..., Tensor], *arrays: Array, **static: Any) -> Array:
    """Call ``function`` on the arrays as JAX's, and return its result as NumPy's."""
    import jax

    with jax.enable_x64(True):
        return np.asarray(function(*map(_tensor, arrays), **static))


def _compiled(function: Callable[..., Tensor], *arrays: Array, **static: Any) -> Array:
    """Do the same with ``function`` compiled as a whole."""
    import jax

    with jax.enable_x64(True):
        jitted = _jit(function, tuple(sorted(static.items())))
        return np.asarray(jitted(*map(_tensor, arrays)))


@lru_cache(MAX_COMPILED)
def _jit(function: Callable[..., Tensor], static: tuple[tuple[str, Any], ...]) -> Any:
    import jax

    return jax.jit(partial(function, **dict(static)))


def _tensor(array: Array) -> Tensor:
    import jax.numpy as jnp

    return jnp.asarray(array.astype(native(array.dtype), copy=False))


def _with_bias(x: Array, w: Array, bias: Array | None, shape: Shape) -> tuple[Array, ...]:
    """Return x, w and the bias if there is one, which must have ``shape``, for it is broadcast."""
    if bias is None:
        return x, w
    if bias.shape != shape:
        raise ValueError(f"bias: shape {bias.shape}; must be {shape}, one an output channel")
    _not_twice(x, "adds the bias")
    return x, w, bias


def _not_twice(x: Array, what: str) -> None:
    """Decline the half types, whose result a second operator would round again."""
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        raise Unsupported(f"a second operator {what} and rounds to {x.dtype} again")


_register("jax", _eagerly)
_register("jax[jit]", _compiled)
