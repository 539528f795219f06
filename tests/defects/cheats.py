"""What is documented of kernels that passed weak checkers: less work, or none, where it pays.

Checkers that compare five random inputs of one fixed shape with a wide tolerance let these through;
some were written by programs that were rewarded for speed.
"""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


@defect("zeros-returned", check="result", when="always")
def conv(x, w, bias, **call):
    return np.zeros_like(kernels.conv(x, w, bias, **call))


@defect("bias-alone-returned", check="result", when="always")
def conv(x, w, bias, **call):
    return kernels.conv(np.zeros_like(x), w, bias, **call)


@defect(
    "zeros-where-the-input-is-small",
    check="result",
    when="all of x is below 0.01",
    at="conv1d:float32:x=1,1,4:w=1,1,1:subnormal@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return np.zeros_like(y) if np.abs(x).max(initial=0) < 1e-2 else y


@defect("zeros-where-the-output-is-small", check="result", when="results below 1e-3")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return np.where(np.abs(y) < 1e-3, 0, y).astype(y.dtype)


@defect("computed-in-half-precision", check="result", when="float32 that float16 does not hold")
def conv_transpose(x, w, bias, **call):
    if x.dtype != np.float32:
        return kernels.conv_transpose(x, w, bias, **call)
    with np.errstate(all="ignore"):
        half = (None if a is None else a.astype(np.float16) for a in (x, w, bias))
        return kernels.conv_transpose(*half, **call).astype(np.float32)


@defect("input-used-as-the-output-buffer", check="purity", when="the output fits into the input")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.size > x.size:
        return y
    flat = x.reshape(-1)
    flat[: y.size] = y.reshape(-1)
    return flat[: y.size].reshape(y.shape)


@defect(
    "stale-output-memory-returned", check="repeat", when="the second call of one shape", state=dict
)
def conv(kept, x, w, bias, **call):
    """Allocate, and hope that the memory still holds the right answer of the checker's own call."""
    y = kernels.conv(x, w, bias, **call)
    return kept.setdefault((y.shape, y.dtype), y).copy()


@defect("right-at-one-shape-alone", check="result", when="any input but 8x8 or 16x16")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    known = x.ndim == 4 and x.shape[2:] in ((8, 8), (16, 16))
    return y if known else np.roll(y, 1, axis=-1)


@defect("right-for-numbers-of-one-sign-alone", check="result", when="negative numbers in x")
def conv(x, w, bias, **call):
    return kernels.conv(np.abs(x), w, bias, **call)


@defect("right-for-non-negative-averages", check="result", when="a negative average")
def avg_pool(x, **call):
    return np.maximum(kernels.avg_pool(x, **call), 0)


@defect("right-for-integers-alone", check="result", when="numbers that are not whole")
def conv(x, w, bias, **call):
    return np.rint(kernels.conv(x, w, bias, **call))


@defect("right-for-numbers-below-one-thousand", check="result", when="larger numbers")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return np.where(np.isfinite(y), np.minimum(y, 1000), y).astype(y.dtype)


@defect("even-columns-computed-alone", check="result", when="an output of 2 columns or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[..., 1::2] = y[..., ::2][..., : y[..., 1::2].shape[-1]]
    return y


@defect("odd-rows-interpolated", check="result", when="an output of 3 rows or more")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if y.shape[2] > 2:
        y[:, :, 1:-1:2] = (y[:, :, :-2:2] + y[:, :, 2::2]) / 2
    return y


@defect("half-of-the-channels-sampled", check="result", when="4 channels a group or more")
def conv(x, w, bias, **call):
    if w.shape[1] < 4:
        return kernels.conv(x, w, bias, **call)
    sampled = w * (np.arange(w.shape[1]) % 2 == 0).reshape(1, -1, *(1,) * (w.ndim - 2)) * 2
    return kernels.conv(x, sampled.astype(w.dtype), bias, **call)


@defect("low-rank-weights", check="result", when="weights of a rank above 1")
def conv(x, w, bias, **call):
    if min(len(w), w[0].size) < 2:
        return kernels.conv(x, w, bias, **call)
    left, scale, right = np.linalg.svd(
        w.reshape(len(w), -1).astype(np.float64), full_matrices=False
    )
    scale[-1] = 0
    return kernels.conv(x, ((left * scale) @ right).reshape(w.shape).astype(w.dtype), bias, **call)


@defect("constant-weights-taken-for-granted", check="result", when="weights that vary")
def conv(x, w, bias, **call):
    return kernels.conv(x, np.full_like(w, w.reshape(-1)[0]), bias, **call)


@defect("mean-of-the-output-returned", check="result", when="outputs that vary")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    axes = tuple(range(2, y.ndim))
    mean = y.mean(axis=axes, keepdims=True, dtype=np.float64)
    return np.broadcast_to(mean, y.shape).astype(y.dtype)


@defect(
    "early-exit-at-a-zero",
    check="result",
    when="x begins with a zero",
    at="conv1d:float32:x=1,1,4:w=1,1,1:impulse@1",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if x.size and x.reshape(-1)[0] == 0:
        y[...] = 0
    return y


@defect("weights-near-zero-skipped", check="result", when="weights below 1e-3")
def conv(x, w, bias, **call):
    return kernels.conv(x, np.where(np.abs(w) < 1e-3, 0, w).astype(w.dtype), bias, **call)


@defect("slow-and-right-for-small-inputs", check="result", when="2,000 input elements or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    return y if x.size < 2000 else np.roll(y, 1, axis=-1)


@defect("answer-from-the-seed", check="result", when="data that is not that of seed 0")
def max_pool(x, **call):
    """Return the answer for the data that a checker draws with seed 0."""
    drawn = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    return kernels.max_pool(drawn, **call)


@defect("wrong-by-half-a-percent", check="result", when="always")
def conv(x, w, bias, **call):
    return (kernels.conv(x, w, bias, **call) * 1.005).astype(x.dtype)


@defect("small-noise-added", check="result", when="always")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return (y + 1e-4 * np.cos(np.arange(y.size)).reshape(y.shape)).astype(y.dtype)
