"""What ONNX's reference evaluator is known to do differently, in the package onnx 1.23."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import (
    has_window_beyond_the_padding,
    has_window_of_padding_alone,
    invalid,
)

_VERSIONS = ">=1.23, <1.24"
_known = partial(KnownDifference, versions=_VERSIONS)


def _pads_a_plain_window(case: Case) -> bool:
    """Padding in max_pool without stride and dilation."""
    return (
        case.operator == "max_pool"
        and {*case.stride, *case.dilation} == {1}
        and any(map(any, case.padding))
    )


def _pools_padding_alone(case: Case) -> bool:
    """A window of max_pool that reads padding alone."""
    return case.operator == "max_pool" and has_window_of_padding_alone(case)


def _reaches_beyond(case: Case) -> bool:
    """Rounding up in avg_pool, where a window reaches beyond the padding."""
    return case.operator == "avg_pool" and has_window_beyond_the_padding(case)


_LEFT_OUT = "without stride and dilation, padding is left out, wholly or of the result's size"
_ALONE = "a window of padding alone gives NaN, 0, or an exception where NaN has no such number"
_GROUPS = "the weight is cut into groups by its output channels, and so is the bias"
_ZEROS = "a dilated weight is filled up with zeros, which are multiplied by NaN and infinity"
_UNCHECKED = "arguments are not checked: what NumPy makes of them is returned"

_VALID = [
    _known(
        "DECLARE-5",
        case=(
            "conv_transpose1d:float32:x=2,4,4:w=4,3,2:stride=3:padding=1/2:output_padding=1"
            ":dilation=2:groups=2:invalid=no-channels:integers@0"
        ),
        where={"operator": "conv_transpose", "invalid": "no-channels"},
        reason="no channels are an empty sum, but not in groups",
    ),
    *(
        _known(
            requirement,
            case=f"conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:{data}@1",
            where={"operator": "conv", "dilation": ">1", "data": data},
            reason=_ZEROS,
        )
        for requirement, data in (("SPECIAL-1", "nan"), ("SPECIAL-3", "inf"))
    ),
    _known(
        "RESULT-1",
        case="conv1d:float16:x=1,1,2:w=1,1,1:bias:normal@0",
        where={"operator": "conv", "dtype": "float16", "bias": True},
        reason="the sum is rounded to float16 before the bias is added",
    ),
    _known(
        "RESULT-1",
        case="conv_transpose1d:float16:x=1,1,3:w=1,1,2:normal@2",
        where={"operator": "conv_transpose", "dtype": "float16"},
        reason="sums are rounded to float16 at each step",
    ),
    _known(
        "DECLARE-1",
        case="conv_transpose1d:float32:x=1,2,1:w=2,2,1:groups=2:integers@0",
        where={"operator": "conv_transpose", "groups": ">1"},
        reason=_GROUPS,
    ),
    _known(
        "TRANSPOSE-6",
        case="conv_transpose1d:float32:x=1,2,1:w=2,1,1:bias:groups=2:integers@0",
        where={"operator": "conv_transpose", "groups": ">1", "bias": True},
        reason=_GROUPS,
    ),
    _known(
        "DECLARE-1",
        case="conv_transpose1d:float32:x=0,1,1:w=1,1,1:integers@0",
        where={"operator": "conv_transpose", "batch": 0},
        reason="the result of an empty batch is None, which the evaluator refuses",
    ),
    _known(
        "DECLARE-1",
        case="conv_transpose1d:float32:x=1,1,1:w=1,1,1:output_padding=1:dilation=2:integers@0",
        where={"operator": "conv_transpose", "output_padding": ">0", "dilation": ">1"},
        reason="an output_padding of stride or more is refused",
    ),
    _known(
        "MAXPOOL-3",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=0/1:integers@0",
        where=_pads_a_plain_window,
        reason=_LEFT_OUT,
    ),
    _known(
        "DECLARE-1",
        case="max_pool1d:float32:x=1,1,1:kernel=2:padding=1/0:integers@0",
        where=_pads_a_plain_window,
        reason=_LEFT_OUT,
    ),
    _known(
        "MAXPOOL-3",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where=_pools_padding_alone,
        reason=_ALONE,
    ),
    _known(
        "DECLARE-1",
        case="max_pool1d:int8:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where=_pools_padding_alone,
        reason=_ALONE,
    ),
    _known(
        "DECLARE-1",
        case="max_pool2d:int8:x=1,1,1,1:kernel=1,1:integers@0",
        where={"operator": "max_pool", "dims": 2, "dtype": ("int8", "uint8"), "stride": 1},
        reason="the input is padded with NaN, which integers have not",
    ),
    _known(
        "DECLARE-1",
        case="max_pool1d:float32:x=1,1,1:kernel=1:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="a window of NaN alone raises",
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,2:kernel=2:stride=2:nan@0",
        where={"operator": "max_pool", "data": "nan"},
        reason="with stride or dilation, a NaN that is first in its window is kept",
    ),
    _known(
        "AVGPOOL-6",
        case="avg_pool1d:float32:x=1,1,4:kernel=3:stride=3:ceil_mode:integers@0",
        where=_reaches_beyond,
        reason="half of what the last window lacks is put before the input: windows are moved",
    ),
    _known(
        "SPECIAL-1",
        case="avg_pool1d:float32:x=1,1,2:kernel=2:exclude_pad:nan@0",
        where={"operator": "avg_pool", "count_include_pad": False, "data": "nan"},
        reason="padding is NaN, and every NaN is left out",
    ),
    _known(
        "RESULT-1",
        case="avg_pool1d:bfloat16:x=1,1,3:kernel=3:normal@0",
        where={"operator": "avg_pool", "dtype": "bfloat16"},
        reason="sums are rounded to bfloat16 at each step",
    ),
]

_ROWS = (
    ("REJECT-3", "conv", "w=1,1,1:invalid=stride-negative", "stride-negative*"),
    ("REJECT-3", "conv_transpose", "w=1,1,1:invalid=stride-negative", "stride-negative*"),
    ("REJECT-3", "max_pool", "kernel=1:invalid=stride-negative", "stride-negative*"),
    ("REJECT-3", "avg_pool", "kernel=1:invalid=stride-negative", "stride-negative*"),
    (
        *("REJECT-4", "conv_transpose", "w=1,1,1:invalid=dilation-zero"),
        "dilation-zero* dilation-negative*",
    ),
    ("REJECT-4", "max_pool", "kernel=1:invalid=dilation-negative", "dilation-negative*"),
    ("REJECT-5", "conv_transpose", "w=1,1,1:invalid=padding-negative", "padding-negative*"),
    ("REJECT-5", "max_pool", "kernel=1:invalid=padding-negative", "padding-negative*"),
    (
        "REJECT-6",
        "max_pool",
        "kernel=1:stride=2:invalid=kernel-zero",
        "kernel-zero* kernel-negative*",
    ),
    ("REJECT-6", "avg_pool", "kernel=1:invalid=kernel-zero", "kernel-zero* kernel-negative*"),
    (
        *("REJECT-10", "conv", "w=1,1,1:bias:invalid=bias-row"),
        "bias-row bias-column bias-scalar bias-of-one",
    ),
    (
        *("REJECT-10", "conv_transpose", "w=1,1,1:bias:invalid=bias-column"),
        "bias-column bias-too-long",
    ),
    ("REJECT-12", "conv", "w=1,1,1:invalid=w-too-large", "w-too-large* dilation-too-large*"),
    (
        *("REJECT-12", "conv_transpose", "w=1,1,1:invalid=padding-crops-all"),
        "padding-crops-all padding-crops-all-last",
    ),
    (
        *("REJECT-12", "max_pool", "kernel=1:stride=2:invalid=kernel-too-large"),
        "kernel-too-large* dilation-too-large*",
    ),
    ("REJECT-12", "avg_pool", "kernel=1:invalid=kernel-too-large", "kernel-too-large*"),
    ("REJECT-13", "conv_transpose", "w=1,1,1:invalid=w-extra-axis", "w-extra-axis"),
    (
        *("REJECT-14", "conv", "w=1,1,1:invalid=stride-too-long"),
        "stride-too-long dilation-too-long dilation-too-short dilation-single padding-too-long",
    ),
    (
        *("REJECT-14", "conv_transpose", "w=1,1,1:invalid=stride-too-long"),
        "stride-too-long dilation-too-long output_padding-too-long",
    ),
    (
        *("REJECT-14", "max_pool", "kernel=1:invalid=stride-too-long"),
        "stride-too-long dilation-too-long padding-too-long",
    ),
    (
        *("REJECT-14", "avg_pool", "kernel=1:invalid=stride-too-long"),
        "stride-too-long kernel-too-long",
    ),
    ("REJECT-15", "conv", "w=1,1,1:invalid=w-empty", "w-empty* w-without-outputs x-empty*"),
    ("REJECT-15", "conv_transpose", "w=1,1,1:invalid=w-empty", "w-empty*"),
    ("REJECT-15", "max_pool", "kernel=1:stride=2:invalid=x-empty", "x-empty*"),
    ("REJECT-15", "avg_pool", "kernel=1:invalid=x-empty", "x-empty*"),
    (
        *("REJECT-18", "conv", "w=1,1,1:invalid=x-bool"),
        "dtype-bool dtype-object x-bool x-object w-bool w-object bias-bool bias-object",
    ),
    (
        *("REJECT-18", "conv_transpose", "w=1,1,1:invalid=x-bool"),
        "dtype-bool dtype-object x-bool x-object w-bool w-object bias-bool bias-object",
    ),
    (
        *("REJECT-18", "max_pool", "kernel=1:invalid=dtype-bool"),
        "dtype-bool dtype-object dtype-str",
    ),
    ("REJECT-18", "avg_pool", "kernel=1:invalid=dtype-bool", "dtype-bool dtype-object"),
    (
        *("REJECT-19", "max_pool", "kernel=1:stride=2:invalid=padding-beyond-half"),
        "padding-beyond-half*",
    ),
    ("REJECT-19", "avg_pool", "kernel=1:invalid=padding-beyond-half", "padding-beyond-half*"),
    *(
        (
            *("REJECT-20", operator, "w=1,1,1:invalid=w-wider"),
            "w-integer w-narrower w-wider bias-integer bias-narrower bias-wider",
        )
        for operator in ("conv", "conv_transpose")
    ),
)
"""Requirement, operator, the smallest case from its weight or window on, and the mistakes."""

_INVALID = [
    invalid(
        requirement,
        f"{operator}1d:float32:x=1,1,1:{rest}:integers@0",
        mistakes,
        _UNCHECKED,
        versions=_VERSIONS,
    )
    for requirement, operator, rest, mistakes in _ROWS
] + [
    invalid(
        "REJECT-5",
        "avg_pool1d:float32:x=1,1,2:kernel=2:stride=3:ceil_mode:invalid=padding-negative-both"
        ":integers@0",
        "padding-negative*",
        _UNCHECKED,
        versions=_VERSIONS,
    ),
    invalid(
        "REJECT-13",
        "max_pool2d:float32:x=1,1,1,1:kernel=1,1:stride=2,1:invalid=x-without-batch:integers@0",
        "x-without-batch",
        _UNCHECKED,
        versions=_VERSIONS,
    ),
]

KNOWN = [*_VALID, *_INVALID]
