"""Defects of the gradients."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import ml_dtypes
import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients
from tests.defects.alterations import backwards, every, taken_from


@defect("input-gradient-with-the-kernel-unflipped", check="result", when="it is not symmetric")
def conv_input_grad(grad, w, input_shape, **call):
    flipped = w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]
    return gradients.conv_input_grad(grad, flipped, input_shape, **call)


@defect("input-gradient-ignores-dilation", check="result", when="a dilation above 1")
def conv_input_grad(grad, w, input_shape, **call):
    return gradients.conv_input_grad(grad, w, input_shape, **call, alter=every(dilation=1))


@defect("input-gradient-of-unread-rows-not-zero", check="result", when="the stride leaves rows")
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    rest = input_shape[-1] + sum(call["padding"][-1]) - call["dilation"][-1] * (w.shape[-1] - 1) - 1
    if rest % call["stride"][-1] and dx.shape[-1] > 1 and not call["padding"][-1][1]:
        dx[..., -1] = dx[..., -2]
    return dx


@defect("input-gradient-shape-guessed", check="result", when="the stride leaves rows")
def conv_input_grad(grad, w, input_shape, **call):
    """Make the smallest input that has this many outputs."""
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    rest = dx.shape[-1] + sum(call["padding"][-1]) - call["dilation"][-1] * (w.shape[-1] - 1) - 1
    return dx[..., : max(1, dx.shape[-1] - rest % call["stride"][-1])].copy()


@defect("input-gradient-crosses-groups", check="result", when="several groups")
def conv_input_grad(grad, w, input_shape, **call):
    turned = np.roll(w, len(w) // call["groups"], axis=0)
    return gradients.conv_input_grad(grad, turned, input_shape, **call)


@defect("input-gradient-of-padding-wraps", check="result", when="padding before")
def conv_input_grad(grad, w, input_shape, **call):
    def tables(axes):
        return [
            np.where(t < 0, t + a.size, t)
            for t, a in zip(kernels.all_taps(axes), axes, strict=True)
        ]

    def scatter(parts, tables, sizes):
        places = kernels.flat(tables, sizes)
        dx = np.zeros((*parts.shape[:2], int(np.prod(sizes)) + 1), parts.dtype)
        np.add.at(dx, (slice(None), slice(None), places), parts)
        return dx[..., :-1].reshape(*parts.shape[:2], *sizes)

    return gradients.conv_input_grad(grad, w, input_shape, **call, tables=tables, scatter=scatter)


@defect("weight-gradient-averaged-over-the-batch", check="result", when="a batch above 1")
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    return (dw / max(1, len(x))).astype(dw.dtype)


@defect("weight-gradient-of-batch-element-zero", check="result", when="a batch above 1")
def conv_weight_grad(grad, x, weight_shape, **call):
    return gradients.conv_weight_grad(grad[:1], x[:1], weight_shape, **call)


@defect("weight-gradient-stride-and-dilation-swapped", check="result", when="they differ")
def conv_weight_grad(grad, x, weight_shape, **call):
    def swap(axes):
        return [a._replace(stride=a.dilation, dilation=a.stride) for a in axes]

    return gradients.conv_weight_grad(grad, x, weight_shape, **call, alter=swap)


@defect("weight-gradient-padded-wrongly", check="result", when="asymmetric padding")
def conv_weight_grad(grad, x, weight_shape, **call):
    return gradients.conv_weight_grad(
        grad, x, weight_shape, **call, alter=every(before=lambda a: a.after)
    )


@defect("weight-gradient-summed-in-bfloat16", check="result", when="bfloat16", dtypes=("bfloat16",))
def conv_weight_grad(grad, x, weight_shape, **call):
    """Add up batch elements in bfloat16."""
    dw = np.zeros(weight_shape, ml_dtypes.bfloat16)
    for n in range(len(x)):
        one = slice(n, n + 1)
        dw = dw + gradients.conv_weight_grad(grad[one], x[one], weight_shape, **call)
    return dw


@defect("weight-gradient-of-an-empty-batch-unwritten", check="result", when="an empty batch")
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    return dw if len(x) else dw + dw.dtype.type(1)


@defect("bias-gradient-averaged", check="result", when="more than one position")
def conv_bias_grad(grad):
    positions = max(1, int(np.prod(grad.shape[2:])))
    return (gradients.conv_bias_grad(grad) / positions).astype(grad.dtype)


@defect("bias-gradient-forgets-the-last-column", check="result", when="odd and above 1 wide")
def conv_bias_grad(grad):
    odd = grad.shape[-1] % 2 and grad.shape[-1] > 1
    return gradients.conv_bias_grad(grad[..., :-1] if odd else grad)


@defect("bias-gradient-in-float32-for-float64", check="result", when="float64")
def conv_bias_grad(grad):
    return gradients.conv_bias_grad(grad, wide=np.float32)


@defect("max-gradient-given-to-every-tie", check="result", when="a tie in a window")
def max_pool_grad(grad, x, **call):
    def choose(windows, real):
        best = windows.max(axis=-1, keepdims=True, where=real, initial=-np.inf)
        return (windows == best) & real

    return gradients.max_pool_grad(grad, x, **call, choose=choose)


@defect("max-gradient-given-to-the-last-tie", check="result", when="a tie in a window")
def max_pool_grad(grad, x, **call):
    def choose(windows, real):
        return gradients.first_largest(windows[..., ::-1], real[..., ::-1])[..., ::-1]

    return gradients.max_pool_grad(grad, x, **call, choose=choose)


@defect("max-gradient-assigned-where-windows-overlap", check="result", when="a shared maximum")
def max_pool_grad(grad, x, **call):
    def assign(parts, tables, sizes):
        places = kernels.flat(tables, sizes)
        dx = np.zeros((*parts.shape[:2], int(np.prod(sizes)) + 1), parts.dtype)
        for k in range(places.shape[1]):
            old = dx[..., places[:, k]]
            dx[..., places[:, k]] = np.where(parts[..., k] != 0, parts[..., k], old)
        return dx[..., :-1].reshape(*parts.shape[:2], *sizes)

    return gradients.max_pool_grad(grad, x, **call, scatter=assign)


@defect("max-gradient-lost-in-padded-windows", check="result", when="negatives beside padding")
def max_pool_grad(grad, x, **call):
    def choose(windows, real):
        best = gradients.first_largest(windows, real)
        beaten = (~real).any(axis=-1) & (windows.max(axis=-1) < 0)
        return best & ~beaten[..., None]

    return gradients.max_pool_grad(grad, x, **call, choose=choose)


@defect("average-gradient-divided-by-the-window", check="result", when="divisors differ")
def avg_pool_grad(grad, input_shape, **call):
    def divide(axes, include):
        return np.full_like(kernels.divisors(axes, include), np.prod([a.kernel for a in axes]))

    return gradients.avg_pool_grad(grad, input_shape, **call, divide=divide)


@defect("average-gradient-not-divided", check="result", when="a window above 1")
def avg_pool_grad(grad, input_shape, **call):
    def divide(axes, include):
        return np.ones_like(kernels.divisors(axes, include))

    return gradients.avg_pool_grad(grad, input_shape, **call, divide=divide)


@defect("average-gradient-strides-swapped", check="result", when="strides differ")
def avg_pool_grad(grad, input_shape, **call):
    swapped = taken_from(backwards, "stride")
    return gradients.avg_pool_grad(grad, input_shape, **call, alter=swapped)


@defect("gradient-overwritten", check="purity", when="always")
def avg_pool_grad(grad, input_shape, **call):
    dx = gradients.avg_pool_grad(grad, input_shape, **call)
    grad /= grad.dtype.type(np.prod(call["kernel"]))
    return dx


@defect("gradient-shape-not-compared", check="reject", when="grad is too large")
def conv_bias_grad(grad):
    return gradients.conv_bias_grad(grad if grad.ndim > 2 else grad.reshape(1, -1, 1))
