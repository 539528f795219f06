"""What OpenCV 5.0 is known to do differently: `cv2.dnn` checks few of a node's arguments."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import (
    has_window_beyond_the_input,
    has_window_beyond_the_padding,
    has_window_of_padding_alone,
    invalid,
)

_VERSIONS = ">=5.0, <5.1"


def _is_depthwise(case: Case) -> bool:
    return case.w is not None and case.groups == case.x[1] == case.w[0]


def _pads_a_kernel_of_one(case: Case) -> bool:
    """Conv with padding, a kernel of 1 and stride 1, not depthwise."""
    return (
        case.operator == "conv"
        and {*case.window, *case.stride} == {1}
        and any(map(any, case.padding))
        and not _is_depthwise(case)
    )


def _has_nine_taps(case: Case) -> bool:
    """Conv in 1-D with a kernel of 9, not dilated, not depthwise."""
    plain = case.operator == "conv" and (case.window, case.dilation) == ((9,), (1,))
    return plain and not _is_depthwise(case)


def _adds_a_window(case: Case) -> bool:
    """Rounding up, where a window would start beyond the input."""
    return case.operator.endswith("pool") and has_window_beyond_the_input(case)


def _reaches_beyond(case: Case) -> bool:
    """Rounding up in avg_pool, where padding counts and a window reaches beyond it."""
    return (
        case.operator == "avg_pool"
        and case.count_include_pad
        and has_window_beyond_the_padding(case)
    )


def _pools_padding_alone(case: Case) -> bool:
    """A window of max_pool that reads padding alone."""
    return case.operator == "max_pool" and has_window_of_padding_alone(case)


def _pools_infinities_at_an_edge(case: Case) -> bool:
    """Infinities in max_pool, where windows reach beyond the input."""
    beyond = any(map(any, case.padding)) or has_window_beyond_the_padding(case)
    return (case.operator, case.data) == ("max_pool", "inf") and beyond


_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)
_UNWRITTEN = "padding is ignored, and the rest of the result is memory that was never written"
_DIVIDED = "the process ends with SIGFPE"
_EMPTY = "Net.forward returns nothing for an empty batch"
_LOWEST = "padding is the lowest finite number"
_CLAMPED = "results are cut to the largest finite number: NaN and infinity become that"
_SPREAD = "a NaN or an infinity in one group reaches the channels of another"
_UNCHECKED = "the argument is not checked"

_VALID = [
    _known(
        "CONV-3",
        case="conv1d:float32:x=1,1,1:w=2,1,1:padding=1/0:integers@0",
        where=_pads_a_kernel_of_one,
        reason=_UNWRITTEN,
        unsteady=True,
    ),
    _known(
        "CONV-1",
        case="conv1d:float32:x=1,1,9:w=2,1,9:integers@0",
        where=_has_nine_taps,
        reason="the kernel is taken for one of 3 x 3: three of its taps are read",
    ),
    _known(
        "SPECIAL-1",
        case="conv1d:float32:x=1,1,1:w=1,1,1:nan@0",
        where={"operator": "conv", "data": "nan"},
        reason=_CLAMPED,
    ),
    _known(
        "SPECIAL-3",
        case="conv1d:float32:x=1,1,1:w=1,1,1:inf@0",
        where={"operator": "conv", "data": "inf"},
        reason=_CLAMPED,
    ),
    _known(
        "PROCESS-1",
        case="conv3d:float32:x=0,1,2,3,3:w=2,1,1,1,1:integers@0",
        where={"operator": "conv", "batch": 0},
        reason="an empty batch ends the process with SIGFPE; for some shapes nothing is returned",
        fatal=True,
    ),
    *(
        _known("DECLARE-1", case=case, where={"operator": operator, "batch": 0}, reason=_EMPTY)
        for operator, case in {
            "conv_transpose": "conv_transpose1d:float32:x=0,1,1:w=1,1,1:integers@0",
            "max_pool": "max_pool1d:float32:x=0,1,1:kernel=1:integers@0",
            "avg_pool": "avg_pool1d:float32:x=0,1,1:kernel=1:integers@0",
        }.items()
    ),
    _known(
        "SPECIAL-1",
        case="conv_transpose1d:float32:x=1,2,1:w=2,1,1:groups=2:nan@0",
        where={"operator": "conv_transpose", "groups": ">1", "data": "nan"},
        reason=_SPREAD,
    ),
    _known(
        "SPECIAL-3",
        case="conv_transpose1d:float32:x=1,2,1:w=2,1,1:groups=2:inf@0",
        where={"operator": "conv_transpose", "groups": ">1", "data": "inf"},
        reason=_SPREAD,
    ),
    _known(
        "MAXPOOL-3",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where=_pools_padding_alone,
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:inf@1",
        where=_pools_infinities_at_an_edge,
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,2:kernel=2:nan@1",
        where={"operator": "max_pool", "data": "nan"},
        reason="a NaN is kept where it is the last element of the window, and ignored before",
    ),
    _known(
        "RESULT-3",
        case="max_pool1d:float32:x=1,1,2:kernel=1:stride=2:ceil_mode:integers@0",
        where=_adds_a_window,
        reason="a window that starts beyond the input is kept; its average is 0 / 0",
    ),
    _known(
        "AVGPOOL-6",
        case="avg_pool1d:float32:x=1,1,3:kernel=2:stride=2:ceil_mode:integers@0",
        where=_reaches_beyond,
        reason="what is beyond the padding counts in the divisor",
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
        "REJECT-3",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0",
        "stride-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-3",
        "conv_transpose3d:float32:x=1,1,1,1,1:w=1,1,1,1,1:invalid=stride-negative-last:integers@0",
        "stride-negative*",
        "the argument is not checked; some shapes end the process with SIGSEGV",
        fatal=True,
    ),
    _invalid(
        "REJECT-3",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=stride-zero:integers@0",
        "stride-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-3",
        "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=stride-zero:integers@0",
        "stride-zero*",
        _DIVIDED,
        fatal=True,
    ),
    _invalid(
        "REJECT-4",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=dilation-zero:integers@0",
        "dilation-zero* dilation-negative*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-5",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative:integers@0",
        "padding-negative*",
        "negative padding makes the result larger",
    ),
    _invalid(
        "REJECT-8",
        "conv1d:float32:x=1,1,1:w=2,1,1:invalid=groups-indivisible:integers@0",
        "groups-indivisible groups-not-dividing-x",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-9",
        "conv1d:float32:x=1,2,1:w=1,2,1:invalid=w-one-channel:integers@0",
        "groups-not-of-w w-fewer-channels w-half-channels w-more-channels w-one-channel "
        "x-one-channel",
        "channels of input and weight are not compared: one of them is read beyond its end",
    ),
    _invalid(
        "REJECT-9",
        "conv_transpose1d:float32:x=1,2,1:w=2,1,1:invalid=w-one-channel:integers@0",
        "w-fewer-channels w-half-channels w-more-channels w-one-channel x-one-channel",
        "channels of input and weight are not compared: one of them is read beyond its end",
    ),
    _invalid(
        "REJECT-10",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-row bias-column",
        "the number of the bias's elements is checked, not its shape",
    ),
    _invalid(
        "REJECT-10",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-row:integers@0",
        "bias-row bias-column bias-scalar bias-of-one bias-too-long bias-too-short",
        "the shape of the bias is not checked: it is read beyond its end",
    ),
    _invalid(
        "REJECT-11",
        "conv_transpose1d:float32:x=1,1,2:w=1,1,1:invalid=output_padding-negative:integers@0",
        "output_padding-negative* output_padding-too-large*",
        _UNCHECKED,
    ),
    _invalid(
        "REJECT-12",
        "conv1d:float32:x=1,1,1:w=2,1,1:invalid=w-too-large:integers@0",
        "w-too-large* dilation-too-large*",
        "a kernel beyond the padded input ends the process with SIGFPE or SIGSEGV, or gives a "
        "result, since a negative size is rounded towards zero",
    ),
    _invalid(
        "REJECT-12",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-crops-more:integers@0",
        "padding-crops-more padding-crops-more-last",
        "the size of the result is negative, and the process ends with SIGSEGV",
        fatal=True,
    ),
    _invalid(
        "REJECT-12",
        "max_pool1d:float32:x=1,1,1:kernel=1:stride=2:invalid=kernel-too-large:integers@0",
        "kernel-too-large* dilation-too-large*",
        "a negative size is rounded towards zero: there is one window",
    ),
    _invalid(
        "REJECT-12",
        "avg_pool1d:float32:x=1,1,1:kernel=1:stride=2:invalid=kernel-too-large:integers@0",
        "kernel-too-large*",
        "a negative size is rounded towards zero: there is one window",
    ),
    *(
        _invalid(
            "REJECT-15",
            case,
            "x-empty x-empty-last",
            "what is computed of nothing is returned; in conv it is memory never written, and "
            "some shapes end the process",
        )
        for case in (
            "conv1d:float32:x=2,2,4:w=3,2,2:padding=1/2:invalid=x-empty:integers@0",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,2:invalid=x-empty:integers@0",
            "max_pool1d:float32:x=2,1,5:kernel=2:padding=1/1:invalid=x-empty:integers@0",
            "avg_pool1d:float32:x=2,5,5:kernel=2:padding=1/1:invalid=x-empty:integers@0",
        )
    ),
    _invalid(
        "REJECT-19",
        "max_pool1d:float32:x=1,1,3:kernel=1:invalid=padding-beyond-half:integers@0",
        "padding-beyond-half*",
        "padding is the lowest finite number, and windows that start beyond the input are kept",
    ),
    *(
        _invalid("REJECT-17", case, "groups-string", "groups that are no number are taken for 1")
        for case in (
            "conv1d:float32:x=1,1,1:w=1,1,1:invalid=groups-string:integers@0",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=groups-string:integers@0",
        )
    ),
    _invalid(
        "REJECT-18",
        "conv1d:float32:x=1,1,1:w=1,1,1:bias:invalid=bias-str:integers@0",
        "bias-str bias-bool",
        "the dtype of the bias is not checked",
    ),
    _invalid(
        "REJECT-18",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=w-bool:integers@0",
        "bias-str bias-bool w-bool",
        "the dtypes of weight and bias are not checked",
    ),
    _invalid(
        "REJECT-20",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-narrower:integers@0",
        "bias-integer bias-narrower bias-wider w-narrower",
        "dtypes are mixed without a word: the bytes of one are read as another",
    ),
    _invalid(
        "REJECT-20",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=w-wider:integers@0",
        "bias-integer bias-narrower bias-wider w-integer w-narrower w-wider",
        "dtypes are mixed without a word: the bytes of one are read as another",
    ),
]

KNOWN = [*_VALID, *_INVALID]
