"""Defects of rejection: invalid calls that are answered with an array, and what they leave behind.

Each takes an invalid call for a valid one that its author may have meant.
"""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


def least(value):
    """Return a function that raises every entry of a tuple to ``value``."""
    return lambda values: tuple(max(v, value) for v in values)


def _fit(values, dims):
    """Return ``values`` with ``dims`` entries: cut, or the last one repeated."""
    return (*values, *values[-1:] * dims)[:dims]


@defect("stride-zero-taken-for-one", check="reject", when="stride 0")
def conv(x, w, bias, **call):
    return kernels.conv(
        x, w, bias, **call | {"stride": tuple(1 if s == 0 else s for s in call["stride"])}
    )


@defect("negative-stride-taken-for-positive", check="reject", when="a stride below 0")
def max_pool(x, **call):
    return kernels.max_pool(x, **call | {"stride": tuple(map(abs, call["stride"]))})


@defect("last-stride-not-checked", check="reject", when="the last stride is below 1")
def avg_pool(x, **call):
    *others, last = call["stride"]
    return kernels.avg_pool(x, **call | {"stride": (*others, max(last, 1) if others else last)})


@defect("transposed-stride-zero-accepted", check="reject", when="stride 0")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call | {"stride": least(1)(call["stride"])})


@defect("dilation-zero-accepted", check="reject", when="dilation 0")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, skip={"dilation"})


@defect("dilation-zero-taken-for-one", check="reject", when="dilation 0 or below")
def max_pool(x, **call):
    return kernels.max_pool(x, **call | {"dilation": least(1)(call["dilation"])})


@defect("groups-zero-taken-for-one", check="reject", when="groups 0")
def conv(x, w, bias, **call):
    return kernels.conv(
        x, w, bias, **call | {"groups": 1 if call["groups"] == 0 else call["groups"]}
    )


@defect("negative-groups-accepted", check="reject", when="groups below 0")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call | {"groups": abs(call["groups"])})


@defect("groups-that-do-not-divide-accepted", check="reject", when="a remainder of output channels")
def conv(x, w, bias, **call):
    """Leave the output channels of the last, incomplete group out of any group: they are 0."""
    groups = call["groups"]
    whole = len(w) - len(w) % groups if groups > 0 else len(w)
    if whole == len(w) or whole == 0:
        return kernels.conv(x, w, bias, **call)
    y = kernels.conv(x, w[:whole], None if bias is None else bias[:whole], **call)
    return np.concatenate([y, np.zeros_like(y[:, : len(w) - whole])], axis=1)


@defect("surplus-weight-channels-ignored", check="reject", when="w has more channels than x")
def conv(x, w, bias, **call):
    groups = max(1, call["groups"])
    return kernels.conv(x, w[:, : max(1, x.shape[1] // groups)], bias, **call)


@defect("surplus-input-channels-ignored", check="reject", when="x has more channels than w")
def conv(x, w, bias, **call):
    return kernels.conv(x[:, : w.shape[1] * max(1, call["groups"])], w, bias, **call)


@defect("transposed-channels-not-compared", check="reject", when="w has more channels than x")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w[: x.shape[1]], bias, **call)


@defect("missing-batch-axis-added", check="reject", when="x without its batch axis")
def max_pool(x, **call):
    if x.ndim == len(call["kernel"]) + 1:
        return kernels.max_pool(x[None], **call)[0]
    return kernels.max_pool(x, **call)


@defect("missing-weight-axis-added", check="reject", when="w without its last axis")
def conv(x, w, bias, **call):
    return kernels.conv(x, w[..., None] if w.ndim == x.ndim - 1 else w, bias, **call)


@defect("kernel-larger-than-input-gives-nothing", check="reject", when="no window fits")
def conv(x, w, bias, **call):
    try:
        return kernels.conv(x, w, bias, **call)
    except ValueError as problem:
        if "(output)" not in str(problem):
            raise
        return np.zeros((len(x), len(w), *(0,) * (x.ndim - 2)), x.dtype)


@defect("window-cut-to-the-input", check="reject", when="the window is larger than the input")
def avg_pool(x, **call):
    pads = call["padding"]
    try:
        room = [s + sum(pair) for s, pair in zip(x.shape[2:], pads, strict=True)]
        cut = tuple(r if r < k < 99 else k for k, r in zip(call["kernel"], room, strict=True))
    except (TypeError, ValueError):
        return kernels.avg_pool(x, **call)
    return kernels.avg_pool(x, **call | {"kernel": cut})


@defect("crop-of-everything-gives-nothing", check="reject", when="padding crops everything")
def conv_transpose(x, w, bias, **call):
    try:
        return kernels.conv_transpose(x, w, bias, **call)
    except ValueError as problem:
        if "(output)" not in str(problem):
            raise
        return np.zeros((len(x), w.shape[1] * call["groups"], *(0,) * (x.ndim - 2)), x.dtype)


@defect("negative-padding-crops", check="reject", when="padding below 0")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, skip={"padding"})


@defect("negative-padding-taken-for-zero", check="reject", when="padding below 0")
def avg_pool(x, **call):
    pads = tuple(tuple(max(p, 0) for p in pair) for pair in call["padding"])
    return kernels.avg_pool(x, **call | {"padding": pads})


@defect("padding-beyond-half-accepted", check="reject", when="padding beyond half of the window")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, skip={"half"})


@defect(
    "average-padding-beyond-half-accepted", check="reject", when="padding beyond half, undeclared"
)
def avg_pool(x, **call):
    with np.errstate(all="ignore"):
        return kernels.avg_pool(x, **call, skip={"half"})


@defect("output-padding-not-checked", check="reject", when="not below stride and dilation")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, skip={"output_padding"})


@defect("window-of-zero-taken-for-one", check="reject", when="a window of 0")
def max_pool(x, **call):
    return kernels.max_pool(x, **call | {"kernel": least(1)(call["kernel"])})


@defect("surplus-strides-ignored", check="reject", when="more strides than spatial axes")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call | {"stride": call["stride"][: x.ndim - 2]})


@defect("missing-dilations-repeated", check="reject", when="fewer dilations than spatial axes")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call | {"dilation": _fit(call["dilation"], x.ndim - 2)})


@defect("missing-padding-taken-for-zero", check="reject", when="fewer pairs than spatial axes")
def max_pool(x, **call):
    missing = x.ndim - 2 - len(call["padding"])
    return kernels.max_pool(x, **call | {"padding": (*call["padding"], *((0, 0),) * missing)})


@defect("single-padding-used-for-both-ends", check="reject", when="one number where a pair is due")
def avg_pool(x, **call):
    pads = tuple(pair * 2 if len(pair) == 1 else pair for pair in call["padding"])
    return kernels.avg_pool(x, **call | {"padding": pads})


@defect("bias-of-one-broadcast", check="reject", when="a bias of length 1")
def conv(x, w, bias, **call):
    if bias is not None and bias.shape == (1,):
        bias = np.repeat(bias, len(w))
    return kernels.conv(x, w, bias, **call)


@defect("bias-too-long-cut", check="reject", when="a bias that is too long")
def conv_transpose(x, w, bias, **call):
    if bias is not None:
        bias = bias[: w.shape[1] * max(1, call["groups"])]
    return kernels.conv_transpose(x, w, bias, **call)


@defect("mixed-dtypes-promoted-unasked", check="reject", when="w of another dtype than x")
def conv(x, w, bias, **call):
    common = np.result_type(x, w, x if bias is None else bias)
    arrays = (None if a is None else a.astype(common) for a in (x, w, bias))
    return kernels.conv(*arrays, **call)


@defect("weights-cast-to-the-input", check="reject", when="w of another dtype than x")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w.astype(x.dtype), bias, **call)


@defect("fractions-truncated", check="reject", when="a stride of 1.5")
def conv(x, w, bias, **call):
    whole = tuple(int(s) for s in call["stride"])
    return kernels.conv(x, w, bias, **call | {"stride": whole})


@defect("fractions-of-padding-truncated", check="reject", when="padding of 0.5")
def max_pool(x, **call):
    whole = tuple(tuple(int(p) for p in pair) for pair in call["padding"])
    return kernels.max_pool(x, **call | {"padding": whole})


@defect("strings-read-as-numbers", check="reject", when="a dilation of '1'")
def conv(x, w, bias, **call):
    read = tuple(int(d) if isinstance(d, str) else d for d in call["dilation"])
    return kernels.conv(x, w, bias, **call | {"dilation": read})


@defect("nan-taken-for-one", check="reject", when="a window of NaN")
def avg_pool(x, **call):
    kernel = tuple(1 if k != k else k for k in call["kernel"])
    return kernels.avg_pool(x, **call | {"kernel": kernel})


@defect("none-taken-for-the-default", check="reject", when="a stride of None")
def avg_pool(x, **call):
    stride = tuple(1 if s is None else s for s in call["stride"])
    return kernels.avg_pool(x, **call | {"stride": stride})


@defect("booleans-of-arrays-converted", check="reject", when="x of booleans")
def max_pool(x, **call):
    return kernels.max_pool(x.astype(np.float32) if x.dtype.kind == "b" else x, **call)


@defect("objects-converted", check="reject", when="w of objects")
def conv(x, w, bias, **call):
    return kernels.conv(x, w.astype(x.dtype) if w.dtype.kind == "O" else w, bias, **call)


@defect("zero-channels-accepted", check="reject", when="x without channels")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, skip={"empty"} if x.shape[1] == 0 else ())


@defect("input-changed-before-rejection", check="reject", when="a rejected call, padded")
def conv(x, w, bias, **call):
    try:
        return kernels.conv(x, w, bias, **call)
    except (TypeError, ValueError):
        x[...] = 0
        raise


@defect("invalid-call-returns-none", check="reject", when="an invalid call")
def avg_pool(x, **call):
    """Return nothing, as a C function does whose error code nobody reads."""
    try:
        return kernels.avg_pool(x, **call)
    except (TypeError, ValueError, IndexError):
        return None
