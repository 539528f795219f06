"""A pool in JAX Pallas: each program takes a block of planes, one an image and channel.

``pallas-pool-floor`` is the same kernel with a fault: the number of its blocks is rounded down, so
that the planes of the last block that is not full are never written.

    convformance run --interpret --plugin pallas_pool.py     # without a GPU or a TPU
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from conformance import Unsupported, implementation

BLOCK = 4


def kernel(x_ref, y_ref, *, kernel, stride, dilation):
    x, (_, rows, columns) = x_ref[...], y_ref.shape
    best = None
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            start = (a * dilation[0], b * dilation[1])
            end = [at + (n - 1) * s + 1 for at, n, s in zip(start, (rows, columns), stride)]
            piece = jax.lax.slice(x, (0, *start), (BLOCK, *end), (1, *stride))
            best = piece if best is None else jnp.maximum(best, piece)
    y_ref[...] = best


def out_size(size, kernel, stride, padding, dilation, ceil_mode):
    before, after = padding
    room = size + before + after - dilation * (kernel - 1) - 1
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= size + before else out


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4, 5, 6))
def pool(x, window, stride, padding, dilation, ceil_mode, floored):
    n, c, *size = x.shape
    axes = list(zip(size, window, stride, padding, dilation))
    out = [out_size(*axis, ceil_mode) for axis in axes]
    ends = [
        max(0, (o - 1) * s + d * (k - 1) + 1 - size - before)
        for o, (size, k, s, (before, _), d) in zip(out, axes)
    ]
    pads = [(0, 0), *((before, end) for (before, _), end in zip(padding, ends))]
    planes = jnp.pad(x.reshape(n * c, *size), pads, constant_values=-jnp.inf)
    if not n * c:
        return jnp.zeros((n, c, *out), x.dtype)
    blocks = n * c // BLOCK if floored else pl.cdiv(n * c, BLOCK)  # the fault
    y = pl.pallas_call(
        functools.partial(kernel, kernel=window, stride=stride, dilation=dilation),
        jax.ShapeDtypeStruct((n * c, *out), x.dtype),
        grid=(blocks,),
        in_specs=[pl.BlockSpec((BLOCK, *planes.shape[1:]), lambda i: (i, 0, 0))],
        out_specs=pl.BlockSpec((BLOCK, *out), lambda i: (i, 0, 0)),
    )(planes)
    return y.reshape(n, c, *out)


form = {"arrays": "jax", "dtypes": "float32", "arguments": "unchecked"}


@implementation("pallas-pool", **form, conventions={"subnormal": "flush"})  # XLA's, on the CPU
def max_pool(x, *, kernel, stride, padding, dilation, ceil_mode, floored=False):
    if x.ndim != 4:
        raise Unsupported("two spatial dimensions")
    return pool(x, kernel, stride, padding, dilation, ceil_mode, floored)


implementation("pallas-pool-floor", **form, conventions={"subnormal": "flush"}).register(
    "max_pool", functools.partial(max_pool, floored=True)
)
