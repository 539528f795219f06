"""Other ways to the gradients."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.correct import unusual
from tests.correct.summation import in_sequence
from tests.defects import checks, kernels
from tests.defects import gradient_kernels as gradients

through_operators = unusual("gradients-through-operators", why="each is another operator's result")


@through_operators
def conv_input_grad(grad, w, input_shape, **call):
    """Transpose the convolution; output_padding brings back the rows that no window read."""
    gradients.conv_input_grad(grad[:0], w, (0, *input_shape[1:]), **call)  # checks the arguments
    if len(grad) != input_shape[0]:
        raise ValueError(f"grad: shape {grad.shape} does not suit input_shape={input_shape}")
    sizes = checks.transpose_sizes(
        grad.shape[2:],
        w.shape[2:],
        call["stride"],
        call["padding"],
        (0,) * (w.ndim - 2),
        call["dilation"],
    )
    rest = tuple(size - own for size, own in zip(input_shape[2:], sizes, strict=True))
    return kernels.conv_transpose(
        grad, w, None, **call, output_padding=rest, skip={"output_padding"}
    )


@through_operators
def conv_bias_grad(grad):
    wide = kernels.widened(grad.dtype)
    checks.gradient(grad, grad, grad.shape)
    flat = np.moveaxis(grad, 1, 0).reshape(grad.shape[1], -1).astype(wide)
    return in_sequence(flat[:, ::-1]).astype(kernels.plain(grad.dtype))


@through_operators
def conv_weight_grad(grad, x, weight_shape, **call):
    """Add up the gradients of the samples, last one first."""
    dw = gradients.conv_weight_grad(grad[:0], x[:0], weight_shape, **call)
    if len(grad) != len(x):
        raise ValueError(f"grad: shape {grad.shape} does not suit x{x.shape}")
    wide = kernels.widened(x.dtype)
    total = dw.astype(wide)
    for n in reversed(range(len(x))):
        one = slice(n, n + 1)
        left, right = grad[one].astype(wide), x[one].astype(wide)
        total = total + gradients.conv_weight_grad(left, right, weight_shape, **call)
    return total.astype(dw.dtype)


def _last(windows, real):
    return gradients.first_largest(windows[..., ::-1], real[..., ::-1])[..., ::-1]


def _small(case):
    return math.prod(case.x) < 100 or "100 input elements or more"


@unusual(
    "any-tied-maximum",
    why="the convention says so",
    conventions={"tie": "any"},
    supports=_small,
)
def max_pool_grad(grad, x, **call):
    return gradients.max_pool_grad(grad, x, **call, choose=_last)


@unusual("tied-maxima-share", why="the convention says so", conventions={"tie": "split"})
def max_pool_grad(grad, x, **call):
    def choose(windows, real):
        best = windows.max(axis=-1, keepdims=True, where=real, initial=-np.inf)
        tied = (windows == best) & real
        return tied / np.maximum(tied.sum(axis=-1, keepdims=True), 1).astype(windows.dtype)

    return gradients.max_pool_grad(grad, x, **call, choose=choose)


@unusual("average-gradient-window-by-window", why="the order of addition is free")
def avg_pool_grad(grad, input_shape, **call):
    def scatter(parts, tables, sizes):
        places = kernels.flat(tables, sizes)
        dx = np.zeros((*parts.shape[:2], int(np.prod(sizes)) + 1), parts.dtype)
        for p in reversed(range(places.shape[0])):
            np.add.at(dx, (slice(None), slice(None), places[p]), parts[:, :, p])
        return dx[..., :-1].reshape(*parts.shape[:2], *sizes)

    return gradients.avg_pool_grad(grad, input_shape, **call, scatter=scatter)
