"""What ONNX Runtime 1.32 is known to do differently."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import has_window_of_padding_alone, invalid

_VERSIONS = ">=1.32, <1.33"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)


def _pools_padding_alone(case: Case) -> bool:
    """A window of max_pool that reads padding alone."""
    return case.operator == "max_pool" and has_window_of_padding_alone(case)


_LOWEST = "the maximum starts at the lowest finite number"
_NOTHING = "an empty axis is taken for positions that nothing is added to"

_POOLS = [
    _known(
        "MAXPOOL-3",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where=_pools_padding_alone,
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=1:inf@1",
        where={"operator": "max_pool", "data": "inf"},
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,1:kernel=1:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="a NaN is kept or ignored by its place in the window, the rank and the dtype; alone "
        "it gives the lowest finite number",
    ),
    _invalid(
        "REJECT-12",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large* dilation-too-large*",
        "the result has no elements",
    ),
    _invalid(
        "REJECT-12",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        "the result has no elements",
    ),
    *(
        _invalid("REJECT-19", case, "padding-beyond-half*", "padding below the window is accepted")
        for case in (
            "max_pool1d:float32:x=1,1,3:kernel=3:invalid=padding-beyond-half:integers@0",
            "avg_pool1d:float32:x=1,1,3:kernel=3:invalid=padding-beyond-half:integers@0",
        )
    ),
]

_CONVOLUTIONS = [
    _invalid(
        "REJECT-15",
        "conv1d:float32:x=1,1,1:w=1,1,1:padding=1/0:invalid=x-empty:integers@0",
        "x-empty* w-without-outputs",
        _NOTHING,
    ),
    _invalid(
        "REJECT-15",
        "conv_transpose3d:float32:x=1,1,1,1,1:w=1,1,2,1,1:invalid=x-empty:integers@0",
        "x-empty",
        "an empty axis that is not the last of three ends the process with SIGSEGV",
        fatal=True,
        dims=3,
    ),
    _invalid(
        "REJECT-15",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,2:invalid=x-empty:integers@0",
        "x-empty* w-without-outputs",
        _NOTHING,
    ),
]

_OF_INPUTS = [
    _invalid(
        "REJECT-15",
        "conv1d:float32:x=2,4,4:w=6,4,3:invalid=w-empty:integers@0",
        "w-empty*",
        "a weight with an empty kernel ends the process with SIGFPE, or the call never ends",
        fatal=True,
    ),
    _invalid(
        "REJECT-5",
        "conv1d:float32:x=1,1,2:w=1,1,1:invalid=padding-negative:integers@0",
        "padding-negative*",
        "negative padding crops the input",
    ),
    _invalid(
        "REJECT-5",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative:integers@0",
        "padding-negative*",
        "negative padding makes the result larger",
    ),
    _invalid(
        "REJECT-14",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=padding-too-long:integers@0",
        "padding-too-long",
        "padding beyond that of the spatial axes is not looked at",
    ),
    *(
        _invalid("REJECT-21", case, "no-channels", "Conv and ConvTranspose give the empty sum")
        for case in (
            "conv1d:float32:x=1,1,1:w=1,1,1:invalid=no-channels:integers@0",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=no-channels:integers@0",
        )
    ),
]
"""Differences where the weight is an input of the model: where it is a constant, the shapes that
are inferred from it are refused."""

OF_CONSTANTS = _CONVOLUTIONS
KNOWN = [*_POOLS, *_CONVOLUTIONS, *_OF_INPUTS]
