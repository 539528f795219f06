"""What OpenVINO 2026.4 is known to do differently, told to compute in float32."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import (
    has_window_beyond_the_padding,
    has_window_of_padding_alone,
    invalid,
)

_VERSIONS = ">=2026.4, <2026.5"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)


def _pools_padding_alone(case: Case) -> bool:
    """A window of max_pool that reads padding alone."""
    return case.operator == "max_pool" and has_window_of_padding_alone(case)


def _reaches_beyond(case: Case) -> bool:
    """Rounding up in avg_pool, where there is padding that counts, and a window reaches beyond."""
    return (
        case.operator == "avg_pool"
        and case.count_include_pad
        and any(map(any, case.padding))
        and has_window_beyond_the_padding(case)
    )


def _extends_a_kernel_of_one(case: Case) -> bool:
    """A kernel of 1 in conv_transpose, padding before, output_padding a stride beyond after."""
    axes = zip(case.window, case.stride, case.padding, case.output_padding, strict=True)
    return case.operator == "conv_transpose" and any(
        kernel == 1 and before > 0 and extra - after >= step
        for kernel, step, (before, after), extra in axes
    )


_SINGLE = "the CPU device computes float64 in float32"
_WHOLE = "the CPU device computes these integers in int32 or float32"
_UNWRITTEN = "nothing is added up: the result is memory that was never written"
_BEYOND = "it is accepted, unless a window of padding alone would be divided by 0"
_DEFAULT = "an empty list is taken for the default"

_CONVOLUTIONS = [
    *(
        _known(
            "RESULT-1",
            case=f"{operator}1d:float64:x=1,1,1:w=1,1,1:normal@0",
            where={"operator": operator, "dtype": "float64"},
            reason=_SINGLE,
        )
        for operator in ("conv", "conv_transpose")
    ),
    _known(
        "TRANSPOSE-9",
        case="conv_transpose1d:float32:x=1,1,1:w=1,1,1:padding=1/0:output_padding=1:dilation=2"
        ":integers@0",
        where=_extends_a_kernel_of_one,
        reason="what output_padding adds holds elements that padding has cropped",
    ),
    _known(
        "SPECIAL-7",
        case="conv1d:float64:x=2,1,9:w=5,1,3:subnormal@0",
        where={"dtype": "float64", "data": "subnormal"},
        reason=_SINGLE,
    ),
    _known(
        "INTEGER-1",
        case="conv1d:int32:x=1,1,1:w=1,1,1:integers@2",
        where={"operator": "conv", "dtype": ("int32", "int64")},
        reason=_WHOLE,
    ),
    _known(
        "REPEAT-3",
        case="conv1d:int32:x=1,1,1:w=1,1,1:integers@0",
        where={"operator": "conv", "dtype": ("int32", "int64")},
        reason=_WHOLE,
    ),
]

_POOLS = [
    _known(
        "MAXPOOL-4",
        case="max_pool1d:float64:x=1,1,1:kernel=1:normal@0",
        where={"operator": "max_pool", "dtype": "float64"},
        reason=_SINGLE,
    ),
    _known(
        "INTEGER-2",
        case="max_pool1d:int32:x=1,2,1:kernel=1:integers@0",
        where={"operator": "max_pool", "dtype": ("int32", "int64")},
        reason=_WHOLE,
    ),
    _known(
        "RESULT-1",
        case="avg_pool1d:float64:x=1,1,1:kernel=1:normal@0",
        where={"operator": "avg_pool", "dtype": "float64"},
        reason=_SINGLE,
    ),
    _known(
        "MAXPOOL-3",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where=_pools_padding_alone,
        reason="a window of padding alone gives the lowest finite number, in int16 zero",
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float32:x=1,1,1:kernel=1:nan@0",
        where={"operator": "max_pool", "dtype": "float32", "data": "nan"},
        reason="a window of NaN alone gives the lowest finite number",
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float32:x=1,1,1:kernel=1:inf@1",
        where={"operator": "max_pool", "dtype": ("float32", "float64"), "data": "inf"},
        reason="a window of -inf gives the lowest finite number",
    ),
    _known(
        "AVGPOOL-6",
        case="avg_pool1d:float32:x=1,1,2:kernel=3:stride=2:padding=1/1:ceil_mode:integers@0",
        where=_reaches_beyond,
        reason="what is beyond the padding counts in the divisor, where any axis has padding",
    ),
]

_INVALID = [
    _invalid(
        "REJECT-5",
        "conv1d:float32:x=1,1,1:w=1,1,1:padding=1/0:invalid=padding-negative-last:integers@0",
        "padding-negative-last",
        "negative padding after the input crops it",
    ),
    _invalid(
        "REJECT-5",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative-last:integers@0",
        "padding-negative-last",
        "negative padding after the input makes the result larger",
    ),
    _invalid(
        "REJECT-5",
        "max_pool1d:float32:x=1,1,2:kernel=2:padding=1/0:invalid=padding-negative-last:integers@0",
        "padding-negative-last",
        "negative padding after the input crops it",
    ),
    _invalid(
        "REJECT-11",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=output_padding-negative:integers@0",
        "output_padding-negative* output_padding-too-large*",
        "the argument is not checked",
    ),
    _invalid(
        "REJECT-12",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=padding-crops-all:integers@0",
        "padding-crops-all padding-crops-all-last",
        "the result has no elements",
    ),
    *(
        _invalid("REJECT-14", case, mistakes, _DEFAULT)
        for case, mistakes in {
            "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-too-short:integers@0": "stride-empty "
            "stride-too-short dilation-empty dilation-too-short padding-empty padding-too-short",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=stride-too-short:integers@0": "stride"
            "-empty stride-too-short dilation-empty dilation-too-short padding-empty "
            "padding-too-short output_padding-empty output_padding-too-short",
            "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-too-short:integers@0": "padding-"
            "empty padding-too-short",
            "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-too-short:integers@0": "padding-"
            "empty padding-too-short",
        }.items()
    ),
    _invalid(
        "REJECT-14",
        "max_pool1d:float32:x=1,1,1:kernel=1:invalid=dilation-too-short:integers@0",
        "dilation-empty dilation-too-short",
        "no dilation is read beyond its end, which may end the process with SIGSEGV",
    ),
    _invalid(
        "REJECT-15",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-empty:integers@0",
        "x-empty w-empty* w-without-outputs",
        _UNWRITTEN,
    ),
    _invalid(
        "REJECT-15",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=x-empty:integers@0",
        "x-empty*",
        _UNWRITTEN,
    ),
    _invalid(
        "REJECT-15",
        "max_pool1d:float32:x=1,1,1:kernel=2:padding=1/1:invalid=x-empty:integers@0",
        "x-empty",
        _UNWRITTEN,
    ),
    _invalid(
        "REJECT-15",
        "avg_pool1d:float32:x=1,1,1:kernel=2:padding=1/1:invalid=x-empty:integers@0",
        "x-empty",
        _UNWRITTEN,
    ),
    *(
        _invalid("REJECT-18", case, "dtype-bool", "booleans are pooled as numbers")
        for case in (
            "max_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-bool:integers@0",
            "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=dtype-bool:integers@0",
        )
    ),
    *(
        _invalid("REJECT-19", case, "padding-beyond-half*", _BEYOND)
        for case in (
            "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
            "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
        )
    ),
    _invalid(
        "REJECT-21",
        "conv1d:float32:x=1,1,1:w=1,1,1:invalid=no-channels:integers@0",
        "no-channels",
        _UNWRITTEN,
    ),
]

KNOWN = [*_CONVOLUTIONS, *_POOLS, *_INVALID]
OF_CONVOLUTIONS = [entry for entry in KNOWN if entry.case.startswith("conv")]
