"""Defects of padding, cropping and output sizes."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects.alterations import backwards, every, last, taken_from


@defect("before-and-after-swapped", check="result", when="padding is asymmetric")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(before=lambda a: a.after))


@defect("rows-padded-like-columns", check="result", when="axes are padded differently before")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=taken_from(backwards, "before"))


@defect("padding-split-evenly", check="result", when="padding is asymmetric by 2 or more")
def conv(x, w, bias, **call):
    half = every(before=lambda a: (a.before + a.after + 1) // 2)
    return kernels.conv(x, w, bias, **call, alter=half)


@defect("padding-ignored-with-stride", check="result", when="stride above 1 and padding before")
def conv(x, w, bias, **call):
    none = every(before=lambda a: a.before if a.stride == 1 else 0)
    return kernels.conv(x, w, bias, **call, alter=none)


@defect("padding-before-the-last-axis-ignored", check="result", when="the last axis is padded")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=last(before=0))


@defect("padding-cut-to-the-kernel", check="result", when="padding is larger than the kernel")
def conv(x, w, bias, **call):
    cut = every(before=lambda a: min(a.before, a.dilation * (a.kernel - 1)))
    return kernels.conv(x, w, bias, **call, alter=cut)


@defect("padded-with-minus-one", check="result", when="there is padding")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, fill=-1)


def _at_the_edge(axes):
    return [np.clip(kernels.taps(a), 0, a.size - 1) for a in axes]


@defect("padded-with-the-edge", check="result", when="there is padding")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, tables=_at_the_edge)


@defect("padded-by-wrapping-around", check="result", when="there is padding")
def conv(x, w, bias, **call):
    def around(axes):
        return [kernels.taps(a) % a.size for a in axes]

    return kernels.conv(x, w, bias, **call, tables=around)


@defect("negative-index-reads-the-end", check="result", when="there is padding before")
def conv(x, w, bias, **call):
    def tables(axes):
        found = [(kernels.taps(a), a.size) for a in axes]
        return [np.where((t < 0) & (t >= -size), t + size, t) for t, size in found]

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect("padding-spills-into-the-next-row", check="result", when="2-D or more, padded at the end")
def conv(x, w, bias, **call):
    def tables(axes):
        *rows, columns = kernels.all_taps(axes)
        size = axes[-1].size
        if not rows or axes[-2].size < 2:
            return [*rows, columns]
        return [*rows, np.where(columns == size, 0, columns)]

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect("max-padded-with-zero", check="result", when="padding meets a window of negative numbers")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, fill=0)


@defect("max-padded-with-the-smallest-finite", check="result", when="a window is padding alone")
def max_pool(x, **call):
    smallest = np.finfo(x.dtype).min if x.dtype.kind == "f" else None
    return kernels.max_pool(x, **call, fill=smallest)


@defect(
    "max-padded-with-minus-1000", check="result", when="a padded window is below -1000, or empty"
)
def max_pool(x, **call):
    return kernels.max_pool(x, **call, fill=-1000)


@defect("max-pool-padding-swapped", check="result", when="padding is asymmetric")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, alter=every(before=lambda a: a.after))


@defect("average-padded-with-the-edge", check="result", when="there is padding")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, tables=_at_the_edge)


@defect("average-padding-before-ignored", check="result", when="there is padding before the end")
def avg_pool(x, **call):
    def divide(axes, include):
        back = [a._replace(before=b) for a, (b, _) in zip(axes, call["padding"], strict=True)]
        return kernels.divisors(back, include)

    return kernels.avg_pool(x, **call, alter=every(before=0), divide=divide)


def _volume(axes):
    return np.prod([a.kernel for a in axes])


@defect("divisor-always-the-window", check="result", when="padding or ceil_mode cut a window")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, divide=lambda axes, include: np.array(_volume(axes)))


@defect("count-include-pad-ignored", check="result", when="count_include_pad with padding")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, divide=lambda axes, _: kernels.divisors(axes, False))


@defect("count-include-pad-inverted", check="result", when="there is padding")
def avg_pool(x, **call):
    return kernels.avg_pool(
        x, **call, divide=lambda axes, include: kernels.divisors(axes, not include)
    )


@defect("divisor-of-the-corner-everywhere", check="result", when="divisors differ")
def avg_pool(x, **call):
    return kernels.avg_pool(
        x, **call, divide=lambda axes, include: kernels.divisors(axes, include)[:1]
    )


@defect("divisor-one-short-in-the-corner", check="result", when="padding counts, in the corner")
def avg_pool(x, **call):
    def divide(axes, include):
        count = kernels.divisors(axes, include)
        if include and axes[0].before and count[0] > 1:
            count[0] -= 1
        return count

    return kernels.avg_pool(x, **call, divide=divide)


@defect("divisor-counts-beyond-the-padding", check="result", when="ceil_mode adds a cut window")
def avg_pool(x, **call):
    def divide(axes, include):
        return np.array(_volume(axes)) if include else kernels.divisors(axes, False)

    return kernels.avg_pool(x, **call, divide=divide)


@defect("divisor-forgets-the-padding-after", check="result", when="padding after counts")
def avg_pool(x, **call):
    def divide(axes, include):
        return kernels.divisors([a._replace(after=0) for a in axes], include)

    return kernels.avg_pool(x, **call, divide=divide)


@defect("floor-where-ceil-is-due", check="result", when="ceil_mode adds a window")
def max_pool(x, **call):
    return kernels.max_pool(x, **call | {"ceil_mode": False})


@defect("ceil-where-floor-is-due", check="result", when="the last window is incomplete")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call | {"ceil_mode": True})


@defect("ceil-mode-window-not-dropped", check="result", when="it would start in the padding after")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if not call["ceil_mode"]:
        return y
    pads = [(0, 0), (0, 0)]
    for s, k, step, (b, a), d, out in zip(
        x.shape[2:],
        call["kernel"],
        call["stride"],
        call["padding"],
        call["dilation"],
        y.shape[2:],
        strict=True,
    ):
        pads.append((0, -(-(s + b + a - d * (k - 1) - 1) // step) + 1 - out))
    return np.pad(y, pads, constant_values=-np.inf)


@defect("ceil-mode-on-the-first-axis-alone", check="result", when="ceil_mode adds to the last axis")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.ndim == 3:
        return y
    floor = kernels.max_pool(x, **call | {"ceil_mode": False})
    return y[..., : floor.shape[-1]].copy()


@defect(
    "ceil-mode-window-reads-one-row-less", check="result", when="ceil_mode cuts the last window"
)
def avg_pool(x, **call):
    def tables(axes):
        found = kernels.all_taps(axes)
        for table, axis in zip(found, axes, strict=True):
            if call["ceil_mode"] and table[-1, -1] >= axis.size + axis.after:
                table[-1, table[-1] == axis.size - 1] = -1
        return found

    return kernels.avg_pool(x, **call, tables=tables)


@defect("crop-swapped", check="result", when="padding is asymmetric")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, alter=every(before=lambda a: a.after))


@defect("crop-left-out", check="result", when="there is padding")
def conv_transpose(x, w, bias, **call):
    none = tuple((0, 0) for _ in call["padding"])
    return kernels.conv_transpose(x, w, bias, **call | {"padding": none})


@defect("crop-from-the-end-alone", check="result", when="there is padding before")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, alter=every(before=0))


@defect("crop-cut-to-the-kernel", check="result", when="padding is larger than the kernel")
def conv_transpose(x, w, bias, **call):
    cut = every(before=lambda a: min(a.before, a.dilation * (a.kernel - 1)))
    return kernels.conv_transpose(x, w, bias, **call, alter=cut)


def _extra(x, w, call):
    """Yield (axis, output_padding) where it is not 0."""
    return [(2 + axis, r) for axis, r in enumerate(call["output_padding"]) if r]


@defect("output-padding-at-the-front", check="result", when="there is output_padding")
def conv_transpose(x, w, bias, **call):
    shift = {2 + axis: r for axis, r in enumerate(call["output_padding"])}

    def alter(axes):
        return [a._replace(before=a.before - shift[2 + i]) for i, a in enumerate(axes)]

    return kernels.conv_transpose(x, w, bias, **call, alter=alter)


@defect("output-padding-appended-as-zeros", check="result", when="a tap or the bias reaches there")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    for axis, r in _extra(x, w, call):
        y.swapaxes(0, axis)[-r:] = 0
    return y


@defect("output-padding-without-bias", check="result", when="output_padding and bias")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    bare = kernels.conv_transpose(x, w, None, **call)
    for axis, r in _extra(x, w, call):
        y.swapaxes(0, axis)[-r:] = bare.swapaxes(0, axis)[-r:]
    return y


@defect("output-padding-repeats-the-edge", check="result", when="there is output_padding")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    for axis, r in _extra(x, w, call):
        if y.shape[axis] > r:
            y.swapaxes(0, axis)[-r:] = y.swapaxes(0, axis)[-r - 1]
    return y
