"""What MNN 3.6 is known to do differently: `MNN.expr` checks few of its arguments."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import invalid

_VERSIONS = ">=3.6, <3.7"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)


def _is_grouped(case: Case, operator: str) -> bool:
    depthwise = case.w is not None and case.w[1] == 1 and case.w[0] == case.groups
    return case.operator == operator and case.groups > 1 and not depthwise and not case.invalid


def _conv_in_groups(case: Case) -> bool:
    """Conv with groups, but for one filter and one channel each."""
    return _is_grouped(case, "conv")


def _transpose_in_groups(case: Case) -> bool:
    """Conv_transpose with groups, but for one filter and one channel each."""
    return _is_grouped(case, "conv_transpose")


def _crops_beyond_the_kernel(case: Case) -> bool:
    """Conv_transpose with more padding at both ends of an axis than dilation * kernel."""
    return case.operator == "conv_transpose" and any(
        min(pair) > d * k
        for pair, d, k in zip(case.padding, case.dilation, case.window, strict=True)
    )


_CLAMPED = "results are cut to the largest finite number: NaN and infinity become that"
_START = "the maximum starts from -2**24: nothing below is found"
_UNCHECKED = "the argument is not checked"
_LENGTH = "a bias of another length is read beyond its end, or not to it"
_CHANNELS = "channels are not compared: an array is read beyond its end, or not to it"
_DIVIDED = "the process ends with SIGFPE"
_UNREAD = "not every entry of a list is checked: one that is no number ends the process"

_VALID = [
    _known(
        "CONV-6",
        case="conv1d:float32:x=1,2,1:w=4,1,1:groups=2:integers@0",
        where=_conv_in_groups,
        reason="groups are used for depthwise convolutions alone; otherwise the weight is read as "
        "that of one group, beyond its end, which may end the process",
        fatal=True,
    ),
    _known(
        "TRANSPOSE-6",
        case="conv_transpose1d:float32:x=1,2,1:w=2,2,1:groups=2:integers@0",
        where=_transpose_in_groups,
        reason="groups are used for depthwise convolutions alone; otherwise the result has the "
        "channels of one group",
    ),
    _known(
        "PROCESS-1",
        case="conv_transpose1d:float32:x=1,1,5:w=1,1,1:padding=2/2:integers@0",
        where=_crops_beyond_the_kernel,
        reason="padding that crops more than a dilated kernel ends the process with SIGSEGV",
        fatal=True,
    ),
    *(
        _known(
            requirement,
            case=f"{operator}1d:float32:x=1,1,1:w=1,1,1:{data}@0",
            where={"operator": operator, "data": data},
            reason=_CLAMPED,
        )
        for operator in ("conv", "conv_transpose")
        for requirement, data in {"SPECIAL-1": "nan", "SPECIAL-3": "inf"}.items()
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,2:kernel=2:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="whether a NaN is kept depends on its place in the window",
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=1:inf@1",
        where={"operator": "max_pool", "data": "inf"},
        reason=_START,
    ),
    _known(
        "SPECIAL-2",
        case="max_pool1d:float32:x=1,1,1:kernel=1:huge@2",
        where={"operator": "max_pool", "data": "huge"},
        reason=_START,
    ),
    _known(
        "DECLARE-1",
        case="max_pool1d:float32:x=0,1,1:kernel=1:integers@0",
        where={"batch": 0},
        reason="the result of an empty batch cannot be read: Var.read raises",
    ),
]

_INVALID = [
    _invalid(
        "REJECT-3",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0",
        "stride-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-4",
        "conv2d:float32:x=1,4,3,3:w=1,4,3,3:invalid=dilation-zero:integers@0",
        "dilation-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-4",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=dilation-negative:integers@0",
        "dilation-negative*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-5",
        "conv1d:float32:x=1,1,3:w=1,1,1:invalid=padding-negative-both:integers@0",
        "padding-negative-both",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-7",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=groups-zero:integers@0",
        "groups-zero groups-negative",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-8",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=groups-indivisible:integers@0",
        "groups-indivisible groups-not-dividing-x groups-not-dividing-w",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-9",
        "conv1d:float32:x=1,2,1:w=1,2,1:invalid=w-one-channel:integers@0",
        "w-more-channels w-fewer-channels w-half-channels w-one-channel x-one-channel "
        "groups-not-of-w",
        _CHANNELS,
    ),
    _invalid(
        "REJECT-10",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-of-one bias-too-short bias-too-long bias-column bias-row bias-scalar",
        _LENGTH,
    ),
    _invalid(
        "REJECT-12",
        "conv1d:float32:x=1,1,1:w=1,1,1:stride=2:invalid=w-too-large:integers@0",
        "dilation-too-large* w-too-large*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-13",
        "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=w-extra-axis:integers@0",
        "x-without-batch w-extra-axis",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-14",
        "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=dilation-too-long:integers@0",
        "dilation-too-long",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-14",
        "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=dilation-empty:integers@0",
        "dilation-empty",
        "an empty list ends the process with SIGSEGV",
        fatal=True,
    ),
    _invalid(
        "REJECT-17",
        "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=stride-fraction:integers@0",
        "stride-fraction stride-nan stride-infinity stride-string stride-none dilation-fraction "
        "dilation-fraction-last dilation-nan dilation-nan-last dilation-infinity "
        "dilation-infinity-last dilation-string dilation-string-last dilation-none "
        "dilation-none-last",
        _UNREAD,
        fatal=True,
    ),
    _invalid(
        "REJECT-17",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=groups-fraction:integers@0",
        "groups-fraction groups-string",
        "whatever groups is, it is taken",
    ),
    _invalid(
        "REJECT-3",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0",
        "stride-zero*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-4",
        "conv_transpose1d:float32:x=1,4,4:w=4,3,3:invalid=dilation-zero:integers@0",
        "dilation-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-4",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=dilation-negative:integers@0",
        "dilation-negative*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-5",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative-both:integers@0",
        "padding-negative-both",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-7",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=groups-zero:integers@0",
        "groups-zero groups-negative",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-8",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=groups-indivisible:integers@0",
        "groups-indivisible",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-9",
        "conv_transpose1d:float32:x=1,2,1:w=2,1,1:invalid=w-one-channel:integers@0",
        "w-more-channels w-fewer-channels w-half-channels w-one-channel x-one-channel",
        _CHANNELS,
    ),
    _invalid(
        "REJECT-10",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-of-one bias-too-short bias-too-long bias-column bias-row bias-scalar",
        _LENGTH,
    ),
    _invalid(
        "REJECT-13",
        "conv_transpose2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=w-extra-axis:integers@0",
        "w-extra-axis",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-14",
        "conv_transpose2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=dilation-too-long:integers@0",
        "dilation-too-short dilation-too-long",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-14",
        "conv_transpose2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=dilation-empty:integers@0",
        "dilation-empty",
        "an empty list ends the process with SIGSEGV",
        fatal=True,
    ),
    _invalid(
        "REJECT-17",
        "conv_transpose2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=stride-fraction:integers@0",
        "stride-fraction stride-nan stride-infinity stride-string stride-none dilation-fraction "
        "dilation-fraction-last dilation-nan dilation-nan-last dilation-infinity "
        "dilation-infinity-last dilation-string dilation-string-last dilation-none "
        "dilation-none-last padding-nan",
        _UNREAD,
        fatal=True,
    ),
    _invalid(
        "REJECT-17",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:bias:invalid=groups-fraction:integers@0",
        "groups-fraction",
        "whatever groups is, it is taken",
    ),
    _invalid(
        "REJECT-5",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-negative-both:integers@0",
        "padding-negative-both",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-6",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-zero:integers@0",
        "kernel-zero* kernel-negative*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-12",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-13",
        "max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=x-extra-axis:integers@0",
        "x-without-batch x-extra-axis",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-19",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
        "padding-beyond-half*",
        "the maximum of a window of padding alone is -2**24",
    ),
    _invalid(
        "REJECT-17",
        "max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-fraction:integers@0",
        "stride-fraction stride-nan stride-infinity stride-string stride-none kernel-fraction "
        "kernel-nan kernel-infinity kernel-string kernel-none",
        _UNREAD,
        fatal=True,
    ),
    _invalid(
        "REJECT-5",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-negative-both:integers@0",
        "padding-negative-both",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-6",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-zero:integers@0",
        "kernel-zero* kernel-negative*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-12",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-13",
        "avg_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=x-extra-axis:integers@0",
        "x-without-batch x-extra-axis",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-17",
        "avg_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-fraction:integers@0",
        "stride-fraction stride-nan stride-infinity stride-string stride-none kernel-fraction "
        "kernel-nan kernel-infinity kernel-string kernel-none",
        _UNREAD,
        fatal=True,
    ),
]

KNOWN = [*_VALID, *_INVALID]
