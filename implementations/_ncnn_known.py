"""What ncnn 1.0.20261020 is known to do differently: its layers trust what they are given."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import has_window_beyond_the_padding, invalid

_VERSIONS = "==1.0.20261020"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)


def _counts_what_rounding_adds(case: Case) -> bool:
    """Rounding up in avg_pool, where padding counts and a window reaches beyond it."""
    return (
        case.operator == "avg_pool"
        and case.count_include_pad
        and has_window_beyond_the_padding(case)
    )


def _pads_infinities(case: Case) -> bool:
    """Infinities in max_pool, beside padding or where rounding up adds some."""
    padded = any(map(any, case.padding)) or has_window_beyond_the_padding(case)
    return case.operator == "max_pool" and case.data == "inf" and padded


_NEGATIVE = "the argument is not checked, and may end the process"
_ROUNDED = (
    "the size of the output is rounded towards zero: memory beyond the input is read, which may "
    "end the process"
)
_CHANNELS = "channels are not compared: an array is read beyond its end, or not to it"
_BYTES = "x is read as float32, beyond its end, which may end the process"
_POINTERS = "an array of no numbers ends the process with SIGSEGV"

_VALID = [
    _known(
        "AVGPOOL-6",
        case="avg_pool1d:float32:x=1,1,3:kernel=2:stride=2:ceil_mode:integers@0",
        where=_counts_what_rounding_adds,
        reason="positions that rounding up adds beyond the padding count in the divisor",
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,2:kernel=2:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="whether a NaN is kept depends on its place in the window",
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:inf@1",
        where=_pads_infinities,
        reason="padding is the lowest finite number, which is more than -inf",
    ),
]

_INVALID = [
    _invalid(
        "REJECT-5",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative:integers@0",
        "padding-negative*",
        _NEGATIVE,
        fatal=True,
    ),
    _invalid(
        "REJECT-8",
        "conv1d:float32:x=1,1,1:w=2,1,1:invalid=groups-indivisible:integers@0",
        "groups-indivisible groups-not-dividing-x",
        _CHANNELS,
    ),
    _invalid(
        "REJECT-9",
        "conv1d:float32:x=1,2,1:w=1,2,1:invalid=w-one-channel:integers@0",
        "w-more-channels w-fewer-channels w-half-channels w-one-channel x-one-channel "
        "groups-not-of-w",
        _CHANNELS,
    ),
    _invalid(
        "REJECT-12",
        "conv1d:float32:x=1,1,1:w=1,1,1:stride=2:invalid=w-too-large:integers@0",
        "dilation-too-large* w-too-large*",
        _ROUNDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=x-bool:integers@0",
        "x-bool",
        _BYTES,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=x-str:integers@0",
        "x-object x-str",
        _POINTERS,
        fatal=True,
    ),
    _invalid(
        "REJECT-5",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative:integers@0",
        "padding-negative*",
        _NEGATIVE,
        fatal=True,
    ),
    _invalid(
        "REJECT-9",
        "conv_transpose1d:float32:x=1,2,1:w=2,1,1:invalid=w-one-channel:integers@0",
        "w-more-channels w-fewer-channels w-half-channels w-one-channel x-one-channel",
        _CHANNELS,
    ),
    _invalid(
        "REJECT-11",
        "conv_transpose1d:float32:x=1,1,2:w=1,1,1:invalid=output_padding-negative:integers@0",
        "output_padding-negative*",
        _NEGATIVE,
        fatal=True,
    ),
    _invalid(
        "REJECT-11",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=output_padding-too-large:integers@0",
        "output_padding-too-large*",
        "the argument is not checked",
    ),
    _invalid(
        "REJECT-15",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=x-empty:integers@0",
        "x-empty x-empty-last",
        "an empty axis ends the process with SIGFPE",
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=x-bool:integers@0",
        "x-bool",
        _BYTES,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=x-str:integers@0",
        "x-object x-str",
        _POINTERS,
        fatal=True,
    ),
    _invalid(
        "REJECT-5",
        "max_pool1d:float32:x=1,1,2:kernel=1:invalid=padding-negative:integers@0",
        "padding-negative*",
        _NEGATIVE,
        fatal=True,
    ),
    _invalid(
        "REJECT-12",
        "max_pool1d:float32:x=1,1,1:kernel=1:stride=2:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _ROUNDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-bool:integers@0",
        "dtype-bool",
        _BYTES,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-str:integers@0",
        "dtype-object dtype-str",
        _POINTERS,
        fatal=True,
    ),
    _invalid(
        "REJECT-19",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
        "padding-beyond-half*",
        "the maximum of a window of padding alone is the lowest finite number",
    ),
    _invalid(
        "REJECT-5",
        "avg_pool1d:float32:x=1,1,2:kernel=1:invalid=padding-negative:integers@0",
        "padding-negative*",
        _NEGATIVE,
        fatal=True,
    ),
    _invalid(
        "REJECT-12",
        "avg_pool1d:float32:x=1,1,1:kernel=1:stride=2:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _ROUNDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-bool:integers@0",
        "dtype-bool",
        _BYTES,
        fatal=True,
    ),
    _invalid(
        "REJECT-18",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-str:integers@0",
        "dtype-object dtype-str",
        _POINTERS,
        fatal=True,
    ),
]

KNOWN = [*_VALID, *_INVALID]
