"""JAX's own operators, `jax.lax`: called eagerly, and compiled whole as `jax[jit]`.

Its options are `jit`, `platform` (``jax[platform=gpu]``: its first device takes the place of JAX's
default) and `precision`, by which JAX chooses formats of multiplication on accelerators.

- conv: `lax.conv_general_dilated` takes everything a case has, asymmetric padding included.
- conv_transpose: `lax.conv_transpose` with the kernel transposed; its padding is that of the
  dilated input, dilation * (K - 1) less than what is cropped. It has no groups.
- max_pool: `lax.reduce_window` with `lax.max` over windows padded with -inf.
- avg_pool: lax has none. As in Flax and Keras, the sum of `lax.reduce_window` with `lax.add` is
  divided by the size of the window, here by the divisor of the case.
- gradients: `jax.vjp` through these.

lax has no bias: a second operator adds it. In float16 and bfloat16 that, and the division of
avg_pool, would round a second time, so both are Unsupported there. Parameters are JAX's to judge,
but for padding and output_padding of conv_transpose, which it does not see.

Every call is made under `jax.enable_x64`, without which JAX turns float64 into float32 and int64
into int32. XLA (the family, which TensorFlow's jit_compile shares) compiles each new shape, which
takes 30 to 300 ms and 1 to 3 MiB; `jax.clear_caches` drops what is compiled after every 128 new
calls. Under jit XLA also optimizes across operators: a gradient, or a bias, is other code there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_grad,
    check_padding,
    native,
)
from conformance.implementations._windows import divisors
from conformance.implementations.engines.adapter import Differentiable, Operator
from conformance.implementations.engines.compiled import ClearAfter, check_groups_in_memory
from conformance.implementations.engines.jax import snippet
from conformance.implementations.engines.padding import add_bias
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from jax import Array as Tensor


class Jax(Differentiable):
    """The operators of jax.lax, each compiled by itself."""

    def __init__(self, chosen: Chosen | None = None) -> None:
        self._forget = ClearAfter()
        chosen = chosen or {}
        self._jit = chosen.get("jit") == "on"
        self._platform, self._precision = chosen.get("platform"), chosen.get("precision")

    def tensor(self, array: Array) -> Tensor:
        """Return an array of JAX."""
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True), self._options():
            return jnp.asarray(array.astype(native(array.dtype), copy=False))

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return an array of NumPy."""
        return np.asarray(tensor)

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call ``function``; first clear what is compiled once there are many new calls."""
        import jax

        call = function, *((a.shape, a.dtype) if isinstance(a, jax.Array) else a for a in arguments)
        self._forget(call, jax.clear_caches)
        with jax.enable_x64(True), self._options():
            if not self._jit:
                return function(*arguments)
            parts = enumerate(arguments)
            others = tuple(i for i, value in parts if not isinstance(value, jax.Array))
            return _jitted(function, others)(*arguments)

    @contextmanager
    def _options(self) -> Iterator[None]:
        """Let what is computed inside have the platform and the precision chosen."""
        import jax

        with ExitStack() as stack:
            if self._platform:
                stack.enter_context(jax.default_device(jax.devices(self._platform)[0]))
            if self._precision:
                stack.enter_context(jax.default_matmul_precision(self._precision))
            yield

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Call lax.conv_general_dilated and add the bias."""
        from jax import lax

        y = lax.conv_general_dilated(
            t, w, p.stride, p.padding, rhs_dilation=p.dilation, feature_group_count=p.groups
        )
        return add_bias(y, bias)

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Call lax.conv_transpose and add the bias."""
        from jax import lax

        if p.groups != 1:
            raise Unsupported("lax.conv_transpose has no groups")
        check_padding(t.ndim - 2, p.padding)
        steps = zip(p.output_padding, p.stride, p.dilation, strict=False)
        if any(not 0 <= extra < max(s, d) for extra, s, d in steps):
            raise ValueError(f"output_padding={p.output_padding!r}: below stride or dilation")
        ends = zip(w.shape[2:], p.padding, p.dilation, p.output_padding, strict=True)
        pads = [(d * (k - 1) - b, d * (k - 1) - a + extra) for k, (b, a), d, extra in ends]
        # transpose_kernel flips the kernel and exchanges its channel axes, so that they are named
        # here as those of the convolution which this is the transpose of: (O, I, *K).
        axes = "DHW"[5 - t.ndim :]
        numbers = (f"NC{axes}", f"OI{axes}", f"NC{axes}")
        y = lax.conv_transpose(t, w, p.stride, pads, p.dilation, numbers, transpose_kernel=True)
        return add_bias(y, bias)

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Call lax.reduce_window with lax.max."""
        from jax import lax

        return _reduced(t, fill, lax.max, p, reach)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Call lax.reduce_window with lax.add and divide."""
        from jax import lax

        if t.dtype.itemsize == 2:
            raise Unsupported("a second operator divides the sum and rounds to the half type again")
        sums, size = _reduced(t, 0, lax.add, p, reach), t.shape[2:]
        out, _ = p.windows(size)
        count = divisors(size, out, p.kernel, p.stride, p.padding, p.count_include_pad)
        return sums / count.astype(t.dtype)

    def conv_weight_grad(self, grad: Array, x: Array, weight_shape: Shape, p: Conv) -> Array:
        """Differentiate a convolution by its weight, if memory suffices for its groups."""
        check_groups_in_memory(x, p.groups)
        return super().conv_weight_grad(grad, x, weight_shape, p)

    def conv_bias_grad(self, grad: Array) -> Array:
        """Differentiate the addition of a bias to an array of any number of axes."""
        check_grad(grad)
        y = self.tensor(np.zeros(grad.shape, grad.dtype))
        return self._gradient(grad, np.zeros(grad.shape[1:2], grad.dtype), _with_bias, y)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Call jax.vjp."""
        return self.run(_vjp, at, grad, forward, *arguments)


@lru_cache
def _jitted(function: Callable[..., Tensor], others: tuple[int, ...]) -> Any:
    """Return ``function`` compiled; ``others`` are the positions of what is no tensor."""
    import jax

    return jax.jit(function, static_argnums=others)


def _reduced(t: Tensor, start: float, operation: Operator, p: Pool, reach: Padding) -> Tensor:
    """Reduce each window of ``t`` by ``operation``, one of lax's, that begins with ``start``."""
    from jax import lax

    windows = ((1, 1, *p.kernel), (1, 1, *p.stride), ((0, 0), (0, 0), *reach))
    first = np.array(start, t.dtype)
    return lax.reduce_window(t, first, operation, *windows, window_dilation=(1, 1, *p.dilation))


def _with_bias(bias: Tensor, y: Tensor) -> Tensor:
    return add_bias(y, bias)


def _vjp(at: Tensor, grad: Tensor, forward: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Return the gradient of sum(grad * forward(t, *arguments)) by t at ``at``."""
    import jax

    _, back = jax.vjp(lambda t: forward(t, *arguments), at)
    (result,) = back(grad)
    return result


OPTIONS = (
    Option("jit", "Whether calls are compiled whole.", ("on", "off"), "off", "on"),
    Option(
        "platform",
        "The platform whose first device computes; without the option JAX chooses.",
        ("cpu", "gpu", "cuda", "rocm", "tpu"),
        pattern=r"[a-z]\w*",
    ),
    Option(
        "precision",
        "The precision of multiplication on accelerators: jax.default_matmul_precision.",
        ("default", "high", "highest"),
    ),
)
_MULTIPLIES = {
    "gpu": {"": "tf32", "default": "tf32", "high": "tf32"},
    "tpu": {"": "bfloat16", "default": "bfloat16"},
}
"""The format that numbers are multiplied in by a platform at a precision (`jax.lax.Precision`)."""


_OF_SEVERAL = [operator for operator in SIGNATURES if operator != "max_pool"]
"""What consists of several operators of lax, which jit compiles together."""


def _made(chosen: Chosen) -> Variant:
    platform, precision = chosen["platform"], chosen["precision"]
    gpu = platform in ("gpu", "cuda", "rocm")
    multiplies = _MULTIPLIES.get("gpu" if gpu else platform, {})
    said = [f"jax.default_device {platform}"] if platform else []
    said += [f"jax.default_matmul_precision {precision}"] if precision else []
    return Variant(
        Jax(chosen).register,
        {
            "settings": ", ".join((jax.settings, *said)),
            "shape_seconds": 0.085 if chosen["jit"] == "on" else jax.shape_seconds,
            "multiply": multiplies.get(precision),
            "snippet": partial(snippet.varied, dict(chosen)),
        },
        partial(_missing, platform) if platform else None,
        changes=tuple(SIGNATURES if platform or precision else _OF_SEVERAL),
    )


def _missing(platform: str) -> str | None:
    import jax

    try:
        jax.devices(platform)
    except RuntimeError:
        there = dict.fromkeys(device.platform for device in jax.devices())
        return f"JAX has no platform '{platform}' here; there are {', '.join(there)}"
    return None


jax = implementation(
    "jax",
    family="xla",
    package="jax",
    extra="jax",
    dtypes=DTYPES,
    conventions={"subnormal": "flush", "zero_channels": "empty_sum", "pool_padding": "accept"},
    known="known.toml",
    settings="jax.enable_x64: left alone, JAX makes float32 of float64, int32 of int64",
    snippet=snippet.snippet,
    call_seconds=2e-3,
    shape_seconds=0.15,
)
Jax().register(jax)
in_use().offer(Offer(jax, OPTIONS, _made, __name__, {"jax[jit]": {"jit": "on"}}))
