"""What LiteRT 2.3 is known to do differently, by the kernels that compute.

Its own kernels cut results to the largest finite number although the models ask for no activation;
XNNPACK's do not, but leave some calls to those: three dimensions, strides larger than a window.
"""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import invalid

_VERSIONS = ">=2.3, <2.4"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)
_CLAMPED = "results are cut to the largest finite number: infinities, and some NaN, become that"
_DROPPED = "results are cut from below with a maximum, which drops NaN: -inf remains"
_UNCHECKED = "the argument is not checked"
_EMPTY = "an array with an empty axis is returned"
_TYPES = "the dtype of the weight is not checked: its bytes are read as float32"


def _skips_positions(case: Case) -> bool:
    """Infinities in max_pool with a stride larger than the window on some axis."""
    skips = any(step > k for k, step in zip(case.window, case.stride, strict=True))
    return case.operator == "max_pool" and case.data == "inf" and skips


_ALL = [
    _known(
        "SPECIAL-3",
        case="conv1d:float32:x=1,1,1:w=1,1,1:inf@1",
        where={"operator": "conv", "data": "inf"},
        reason=_CLAMPED,
    ),
    _known(
        "SPECIAL-3",
        case="conv_transpose1d:float32:x=1,1,1:w=1,1,1:inf@1",
        where={"operator": "conv_transpose", "data": "inf"},
        reason=_CLAMPED,
    ),
    _invalid(
        "REJECT-10",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-column bias-row",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-10",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-column bias-row",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-12",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-too-large:integers@0",
        "dilation-too-large* w-too-large*",
        _EMPTY,
    ),
    _invalid(
        "REJECT-18",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=w-bool:integers@0",
        "w-bool",
        _TYPES,
        dims=(1, 2),
    ),
    _invalid(
        "REJECT-20",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=w-wider:integers@0",
        "w-wider w-narrower w-integer",
        _TYPES,
        dims=(1, 2),
    ),
    _invalid(
        "REJECT-6",
        "max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=kernel-zero:integers@0",
        "kernel-zero* kernel-negative*",
        _UNCHECKED,
        dims=2,
    ),
    _invalid(
        "REJECT-12",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-6",
        "avg_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=kernel-zero:integers@0",
        "kernel-zero* kernel-negative*",
        _UNCHECKED,
        dims=2,
    ),
    _invalid(
        "REJECT-12",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _UNCHECKED,
    ),
]

_OPTIMIZED = [
    _known(
        "SPECIAL-1",
        case="conv3d:float32:x=1,1,1,1,1:w=1,1,1,1,1:nan@0",
        where={"operator": "conv", "dims": 3, "data": "nan"},
        reason=_CLAMPED,
    ),
]

_XNNPACK = [
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,2:kernel=2:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="whether a NaN is kept depends on its place in the window",
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=1:stride=2:inf@0",
        where=_skips_positions,
        reason=_CLAMPED,
    ),
    _known(
        "SPECIAL-1",
        case="avg_pool1d:float32:x=1,1,2:kernel=2:nan@0",
        where={"operator": "avg_pool", "data": "nan"},
        reason=_DROPPED,
    ),
    _known(
        "SPECIAL-3",
        case="avg_pool1d:float32:x=1,1,2:kernel=2:inf@2",
        where={"operator": "avg_pool", "data": "inf"},
        reason=_DROPPED,
    ),
    _invalid(
        "REJECT-13",
        "max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=x-extra-axis:integers@0",
        "x-extra-axis",
        _UNCHECKED,
    ),
]

_OWN = [
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,1:kernel=1:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="the maximum of NaN alone is the lowest finite number",
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=1:inf@0",
        where={"operator": "max_pool", "data": "inf"},
        reason=_CLAMPED,
    ),
    _known(
        "SPECIAL-3",
        case="avg_pool1d:float32:x=1,1,1:kernel=1:inf@0",
        where={"operator": "avg_pool", "data": "inf"},
        reason=_CLAMPED,
    ),
    _invalid(
        "REJECT-15",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=x-empty:integers@0",
        "x-empty x-empty-last",
        _EMPTY,
    ),
    _invalid(
        "REJECT-21",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=no-channels:integers@0",
        "no-channels",
        "an array without channels is returned; convolutions refuse them",
    ),
    _invalid(
        "REJECT-15",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=x-empty:integers@0",
        "x-empty x-empty-last",
        _EMPTY,
    ),
    _invalid(
        "REJECT-21",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=no-channels:integers@0",
        "no-channels",
        "an array without channels is returned; convolutions refuse them",
    ),
]

KNOWN = {
    "AUTO": [*_ALL, *_OPTIMIZED, *_XNNPACK],
    "BUILTIN_WITHOUT_DEFAULT_DELEGATES": [*_ALL, *_OPTIMIZED, *_OWN],
    "BUILTIN_REF": [*_ALL, *_OWN],
}
"""The differences of each resolver of operators."""
