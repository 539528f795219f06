"""Defects that show for one combination of parameters alone, and the fast paths that make them."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects.alterations import every, last


def _above(values):
    return max(values) > 1


def _padded(call):
    return any(map(any, call["padding"]))


@defect("wrong-with-stride-dilation-and-groups", check="result", when="all three are above 1")
def conv(x, w, bias, **call):
    all_three = _above(call["stride"]) and _above(call["dilation"]) and call["groups"] > 1
    return kernels.conv(x, w, bias, **call, alter=every(before=0) if all_three else every())


@defect("wrong-with-stride-and-dilation", check="result", when="both are above 1 on one axis")
def conv(x, w, bias, **call):
    def first_tap(axis):
        return axis.before - (axis.stride > 1 and axis.dilation > 1)

    return kernels.conv(x, w, bias, **call, alter=every(before=first_tap))


@defect("dilation-ignored-in-depthwise", check="result", when="depthwise with dilation")
def conv(x, w, bias, **call):
    depthwise = call["groups"] == x.shape[1] > 1
    return kernels.conv(x, w, bias, **call, alter=every(dilation=1) if depthwise else every())


@defect("depthwise-path-taken-for-its-multiplier", check="result", when="multiplier above 1")
def conv(x, w, bias, **call):
    if call["groups"] == x.shape[1] and len(w) > x.shape[1]:
        w = np.resize(w[: x.shape[1]], w.shape)
    return kernels.conv(x, w, bias, **call)


@defect("pointwise-path-ignores-stride", check="result", when="a 1x1 kernel with stride")
def conv(x, w, bias, **call):
    pointwise = not _above(w.shape[2:])
    return kernels.conv(x, w, bias, **call, alter=every(stride=1) if pointwise else every())


@defect("pointwise-path-ignores-padding", check="result", when="a 1x1 kernel with padding before")
def conv(x, w, bias, **call):
    pointwise = not _above(w.shape[2:])
    return kernels.conv(x, w, bias, **call, alter=every(before=0) if pointwise else every())


@defect("pointwise-path-ignores-groups", check="result", when="a 1x1 kernel with groups")
def conv(x, w, bias, **call):
    if not _above(w.shape[2:]) and call["groups"] > 1:
        order = np.arange(x.shape[1]).reshape(call["groups"], -1)[::-1].reshape(-1)
        x = x[:, order]
    return kernels.conv(x, w, bias, **call)


@defect("even-kernel-centred-one-off", check="result", when="an even kernel with padding")
def conv(x, w, bias, **call):
    shift = every(before=lambda a: a.before - (a.kernel % 2 == 0 and a.before > 0))
    return kernels.conv(x, w, bias, **call, alter=shift)


@defect("whole-input-path-ignores-padding", check="result", when="a kernel as large as the input")
def conv(x, w, bias, **call):
    whole = x.shape[2:] == w.shape[2:]
    return kernels.conv(x, w, bias, **call, alter=every(before=0) if whole else every())


@defect("kernel-larger-than-input-cut", check="result", when="a kernel larger than the input")
def conv(x, w, bias, **call):
    cut = tuple(slice(0, s) for s in x.shape[2:])
    small = np.zeros_like(w)
    small[(..., *cut)] = w[(..., *cut)]
    return kernels.conv(x, small, bias, **call)


@defect("gaps-between-windows-closed", check="result", when="the stride is above the kernel")
def conv(x, w, bias, **call):
    closed = every(stride=lambda a: min(a.stride, a.dilation * (a.kernel - 1) + 1))
    return kernels.conv(x, w, bias, **call, alter=closed)


@defect("asymmetric-padding-wrong-with-stride", check="result", when="asymmetric, and strided")
def conv(x, w, bias, **call):
    half = every(before=lambda a: (a.before + a.after) // 2 if a.stride > 1 else a.before)
    return kernels.conv(x, w, bias, **call, alter=half)


@defect("one-dimension-ignores-dilation", check="result", when="1-D with dilation")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(dilation=1) if x.ndim == 3 else every())


@defect("three-dimensions-ignore-groups", check="result", when="3-D with groups")
def conv(x, w, bias, **call):
    if x.ndim == 5 and call["groups"] > 1:
        x = np.roll(x, x.shape[1] // call["groups"], axis=1)
    return kernels.conv(x, w, bias, **call)


@defect(
    "bias-dropped-with-dilation-in-a-batch", check="result", when="bias, dilation, batch above 1"
)
def conv(x, w, bias, **call):
    dropped = _above(call["dilation"]) and len(x) > 1
    return kernels.conv(x, w, None if dropped else bias, **call)


@defect("unpadded-path-taken-with-padding-after", check="result", when="padding after alone")
def conv(x, w, bias, **call):
    if _padded(call) and not any(before for before, _ in call["padding"]):
        return kernels.conv(x, w, bias, **call, tables=_at_the_end)
    return kernels.conv(x, w, bias, **call)


def _at_the_end(axes):
    return [np.minimum(kernels.taps(a), a.size - 1) for a in axes]


@defect("stride-of-three-taken-for-two", check="result", when="the last stride is 3")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, alter=last(stride=lambda a: min(a.stride, 2)))


@defect("max-pool-ceil-mode-ignores-dilation", check="result", when="ceil_mode with dilation")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, alter=every(dilation=1) if call["ceil_mode"] else every())


@defect("max-pool-padding-ignored-with-dilation", check="result", when="padding with dilation")
def max_pool(x, **call):
    none = every(before=lambda a: a.before if a.dilation == 1 else 0)
    return kernels.max_pool(x, **call, alter=none)


@defect("divisor-wrong-with-ceil-mode-and-exclusion", check="result", when="both, in a cut window")
def avg_pool(x, **call):
    def divide(axes, include):
        return kernels.divisors(axes, include or call["ceil_mode"])

    return kernels.avg_pool(x, **call, divide=divide)


@defect(
    "divisor-squared-in-three-dimensions", check="result", when="3-D, the window's depth is odd"
)
def avg_pool(x, **call):
    def divide(axes, include):
        count = kernels.divisors(axes, include)
        return count // axes[0].kernel * axes[1].kernel if len(axes) == 3 else count

    return kernels.avg_pool(x, **call, divide=divide)


@defect("average-of-two-by-two-by-shifting", check="result", when="a 2x2 window that is cut")
def avg_pool(x, **call):
    def divide(axes, include):
        small = [a.kernel for a in axes] == [2, 2]
        return np.array(4) if small else kernels.divisors(axes, include)

    return kernels.avg_pool(x, **call, divide=divide)


@defect("output-padding-ignored-with-dilation", check="result", when="output_padding with dilation")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    for axis, r in enumerate(call["output_padding"], 2):
        if r and call["dilation"][axis - 2] > 1:
            y.swapaxes(0, axis)[-r:] = 0
    return y


@defect("transposed-groups-wrong-with-bias", check="result", when="groups and bias")
def conv_transpose(x, w, bias, **call):
    if bias is not None and call["groups"] > 1:
        bias = np.resize(bias[: w.shape[1]], bias.shape)
    return kernels.conv_transpose(x, w, bias, **call)


@defect("transposed-stride-one-path-ignores-crop", check="result", when="stride 1, padding before")
def conv_transpose(x, w, bias, **call):
    plain = not _above(call["stride"])
    return kernels.conv_transpose(x, w, bias, **call, alter=every(before=0) if plain else every())


@defect("transposed-depthwise-path-wrong", check="result", when="depthwise, multiplier above 1")
def conv_transpose(x, w, bias, **call):
    if call["groups"] == len(w) and w.shape[1] > 1:
        w = w[:, ::-1]
    return kernels.conv_transpose(x, w, bias, **call)
