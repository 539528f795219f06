"""What MLX is known for on the CPU: each entry was found by a run, and shrunk."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.case import Case

_known = partial(KnownDifference, versions="==0.32.4")
_HALF = ("float16", "bfloat16")
_EMPTY = "an empty batch cannot be reshaped, or scattered, to the shape that is due"
_CROPS = "padding beyond the windows at the ends is not cropped from the result but refused, or not"
_SINGLE = "convolutions of float64 are computed in float32"
_CAST = "the gradient that is handed over is converted to the dtype of the result"
_HALVES = "elements are added up, and the sum divided, in the half format itself"

KNOWN = (
    _known(
        "RESULT-1",
        case="conv1d:float64:x=1,1,1:w=1,1,1:normal@0",
        where={"operator": "conv", "dtype": "float64"},
        reason=_SINGLE,
    ),
    _known(
        "RESULT-1",
        case="conv_transpose1d:float64:x=1,1,1:w=1,1,1:normal@0",
        where={"operator": "conv_transpose", "dtype": "float64"},
        reason=_SINGLE,
    ),
    _known(
        "RESULT-1",
        case="conv_input_grad1d:float64:x=1,1,1:w=1,1,1:normal@0",
        where={"operator": ("conv_input_grad", "conv_weight_grad"), "dtype": "float64"},
        reason=_SINGLE,
    ),
    _known(
        "RESULT-1",
        case="conv_bias_grad1d:float32:x=0,8,6:integers@0",
        where={"operator": "conv_bias_grad", "batch": 0, "dtype": ("float32", "float64")},
        reason="the first sum of nothing in a process is memory that was never written; later ones "
        "may take half a minute",
        fatal=True,
    ),
    *(
        _known(
            requirement,
            case=case,
            where={
                "operator": ("conv", "conv_transpose", "conv_input_grad", "conv_weight_grad"),
                "dtype": "float64",
                "data": "subnormal",
            },
            reason=_SINGLE + ", where the smallest numbers of float64 are zero",
        )
        for requirement, case in (
            ("DECLARE-5", "conv1d:float64:x=2,1,9:w=5,1,3:subnormal@0"),
            ("SPECIAL-7", "conv1d:float64:x=1,1,1:w=1,1,1:subnormal@0"),
        )
    ),
    *(
        _known(
            requirement,
            case=case,
            where={"operator": "conv_transpose", "padding": ">0"},
            reason=_CROPS,
        )
        for requirement, case in (
            (
                "DECLARE-1",
                "conv_transpose1d:float32:x=1,1,3:w=1,1,1:stride=2:padding=2/2:integers@0",
            ),
            (
                "RESULT-3",
                "conv_transpose2d:float32:x=1,1,3,1:w=1,1,1,1:stride=2,1:padding=1/1,0/0:integers@0",
            ),
            (
                "TRANSPOSE-1",
                "conv_transpose3d:float32:x=1,1,1,4,1:w=1,1,1,3,1:stride=1,2,1"
                ":padding=0/0,3/3,0/0:integers@0",
            ),
        )
    ),
    _known(
        "DECLARE-1",
        case="conv_weight_grad2d:float32:x=0,1,1,1:w=1,1,1,1:integers@0",
        where={"operator": ("conv_weight_grad", "conv_input_grad"), "batch": 0},
        reason=_EMPTY,
    ),
    _known(
        "PROCESS-1",
        case="conv_weight_grad1d:float32:x=0,2,1:w=2,1,1:groups=2:integers@0",
        where={"operator": "conv_weight_grad", "batch": 0},
        reason="the gradient of a convolution divides by the size of an empty batch",
    ),
    _known(
        "DECLARE-1",
        case="max_pool_grad1d:float32:x=0,1,2:kernel=2:integers@0",
        where={"operator": ("max_pool_grad", "avg_pool_grad"), "batch": 0},
        reason=_EMPTY,
    ),
    _known(
        "RESULT-1",
        case="avg_pool1d:float16:x=1,1,8:kernel=3:integers@31",
        where={"operator": "avg_pool", "dtype": _HALF},
        reason=_HALVES,
    ),
    _known(
        "RESULT-1",
        case="avg_pool_grad1d:float16:x=1,1,3:kernel=3:integers@0",
        where={"operator": "avg_pool_grad", "dtype": _HALF},
        reason=_HALVES,
    ),
    _known(
        "RESULT-1",
        case="max_pool_grad1d:float16:x=1,1,8:kernel=3:integers@0",
        where={"operator": "max_pool_grad", "dtype": _HALF},
        reason="gradients that belong to one element are added up in the half format itself",
    ),
    _known(
        "REJECT-11",
        case="conv_transpose3d:float32:x=1,1,1,1,1:w=1,1,1,1,1:invalid=output_padding-too-large:integers@0",
        where={
            "operator": "conv_transpose",
            "invalid": tuple(
                f"output_padding-{kind}{axes}"
                for kind in ("negative", "too-large")
                for axes in ("", "-last", "-all")
            ),
        },
        reason="any output_padding makes the result longer, or shorter",
    ),
    _known(
        "REJECT-12",
        case="max_pool1d:float32:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        where={
            "operator": ("max_pool", "avg_pool"),
            "invalid": ("kernel-too-large", "kernel-too-large-last", "kernel-too-large-all"),
        },
        reason="an input that is shorter by one than the window has no windows, and no error",
    ),
    _known(
        "REJECT-14",
        case="conv_transpose3d:float32:x=1,1,1,1,1:w=1,1,1,1,1:invalid=stride-single:integers@0",
        where={
            "operator": ("conv_transpose", "conv_input_grad", "conv_weight_grad", "conv"),
            "invalid": (
                "stride-single",
                "dilation-single",
                "padding-single",
                "output_padding-single",
                "stride-empty",
                "dilation-empty",
                "stride-too-short",
                "dilation-too-short",
                "padding-too-short",
                "output_padding-too-short",
            ),
        },
        reason="a tuple of one number stands for all axes, and an empty one for ones",
    ),
    _known(
        "REJECT-7",
        case="conv1d:float64:x=1,1,1:w=1,1,1:invalid=groups-zero:integers@0",
        where={
            "operator": ("conv", "conv_input_grad", "conv_weight_grad"),
            "invalid": "groups-zero",
        },
        reason="channels are divided by the number of groups, whatever it is",
        fatal=True,
    ),
    _known(
        "REJECT-15",
        case="max_pool1d:float64:x=1,1,1:kernel=1:invalid=x-empty:integers@0",
        where={"operator": ("max_pool", "avg_pool"), "invalid": ("x-empty", "x-empty-last")},
        reason="an axis without elements has no windows, and no error",
    ),
    *(
        _known(
            "REJECT-20",
            case=case,
            where={
                "operator": operators,
                "invalid": tuple(
                    f"{name}-{kind}"
                    for name in ("x", "w")
                    for kind in ("wider", "narrower", "integer")
                ),
            },
            reason=reason,
        )
        for operators, reason, case in (
            (
                ("max_pool_grad", "conv_input_grad", "conv_weight_grad"),
                _CAST,
                "max_pool_grad2d:float32:x=1,1,1,1:kernel=1,1:invalid=x-wider:integers@0",
            ),
            (
                ("conv", "conv_transpose"),
                "dtypes are promoted to a common one, in most calls",
                "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=w-narrower:integers@0",
            ),
        )
    ),
    _known(
        "REJECT-21",
        case="max_pool2d:float32:x=2,5,5,6:kernel=3,2:stride=2,1:invalid=no-channels:integers@0",
        where={"operator": ("max_pool", "avg_pool"), "invalid": "no-channels"},
        reason="pools take no channels for an empty sum; convolutions refuse them",
    ),
    *(
        _known(
            "REJECT-21",
            case=case,
            where={"operator": Case.parse(case).operator, "invalid": "no-channels"},
            reason="a convolution of no channels divides by their number",
            fatal=True,
        )
        for case in (
            "conv2d:float64:x=1,1,1,1:w=1,1,1,1:invalid=no-channels:integers@0",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=no-channels:integers@0",
        )
    ),
    *(
        _known(
            "REJECT-15",
            case=case,
            where={
                "operator": Case.parse(case).operator,
                "invalid": ("w-empty", "w-empty-last", "w-without-outputs"),
            },
            reason="the BLAS refuses a matrix without rows or columns, and ends the process",
            fatal=True,
        )
        for case in (
            "conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-without-outputs:integers@0",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=w-empty:integers@0",
        )
    ),
    _known(
        "REJECT-15",
        case="conv_transpose1d:float32:x=1,1,1:w=1,1,2:invalid=x-empty:integers@0",
        where={"operator": "conv_transpose", "invalid": ("x-empty", "x-empty-last")},
        reason="an axis without elements counts as one whose elements are zero",
    ),
    *(
        _known(
            "REJECT-19",
            case=case,
            where={
                "operator": (Case.parse(case).operator, f"{Case.parse(case).operator}_grad"),
                "invalid": tuple(f"padding-beyond-half{axes}" for axes in ("", "-last", "-both")),
            },
            reason="padding beyond half of a window is accepted, in most calls",
        )
        for case in (
            "max_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
            "avg_pool1d:float32:x=1,1,1:kernel=1:invalid=padding-beyond-half:integers@0",
        )
    ),
    _known(
        "REJECT-5",
        case="conv1d:float32:x=1,1,2:w=1,1,1:invalid=padding-negative:integers@0",
        where={
            "operator": "conv",
            "invalid": ("padding-negative", "padding-negative-last", "padding-negative-both"),
        },
        reason="negative padding crops",
    ),
    _known(
        "REJECT-5",
        case="conv_transpose3d:float32:x=1,1,1,1,1:w=1,1,1,1,1:invalid=padding-negative-both:integers@0",
        where={
            "operator": "conv_transpose",
            "invalid": ("padding-negative", "padding-negative-last", "padding-negative-both"),
        },
        reason="negative padding makes the result longer",
    ),
)
