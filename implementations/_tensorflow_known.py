"""What TensorFlow is known for: each entry was found by a run, and shrunk."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference
from conformance.implementations._known import invalid

_VERSIONS = "==2.21"
_known = partial(KnownDifference, versions=_VERSIONS)
_invalid = partial(invalid, versions=_VERSIONS)
_HALF = ("float16", "bfloat16")
_SUMS = "sums are accumulated in the half format itself"
_LOWEST = "a maximum starts from the lowest finite number, not from -inf"
_FULL = ("float32", "float64", "float16")
_FRACTIONS = tuple(
    f"{name}-fraction{axis}" for name in ("stride", "dilation", "kernel") for axis in ("", "-last")
)
_ONE = ("stride-too-short", "stride-single", "dilation-too-short", "dilation-single")

EAGER = (
    _known(
        "RESULT-3",
        case="conv1d:float32:x=0,1,2:w=1,1,2:integers@0",
        where={"operator": "conv", "batch": 0, "dtype": ("float32", "bfloat16")},
        reason="with oneDNN, an empty batch comes back with the shape of the input",
    ),
    _known(
        "DECLARE-1",
        case="conv1d:float32:x=0,1,1:w=2,1,1:bias:integers@0",
        where={"operator": "conv", "batch": 0, "dtype": ("float32", "bfloat16"), "bias": True},
        reason="with oneDNN, an empty batch has the channels of the input, which no bias suits",
    ),
    _known(
        "RESULT-1",
        case="conv3d:float16:x=1,1,1,2,7:w=1,1,1,1,2:normal@0",
        where={"operator": "conv", "dims": 3, "dtype": "float16"},
        reason=_SUMS,
    ),
    _known(
        "RESULT-1",
        case="conv_transpose1d:float16:x=2,1,3:w=1,1,2:normal@2",
        where={"operator": "conv_transpose", "dtype": "float16"},
        reason=_SUMS,
    ),
    _known(
        "MAXPOOL-1",
        case="max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=3:integers@0",
        where={"operator": "max_pool", "dtype": _FULL, "dilation": ">1", "padding": ">0"},
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-11",
        case="max_pool1d:float64:x=1,1,1:kernel=1:inf@8",
        where={"operator": "max_pool", "dtype": _FULL, "data": "inf"},
        reason=_LOWEST,
    ),
    _known(
        "MAXPOOL-5",
        case="max_pool1d:float64:x=1,1,1:kernel=1:nan@0",
        where={"operator": "max_pool", "dtype": _FULL, "data": "nan"},
        reason=_LOWEST,
    ),
    _known(
        "RESULT-1",
        case="avg_pool1d:float16:x=1,1,4:kernel=3:normal@22",
        where={"operator": "avg_pool", "dtype": "float16"},
        reason=_SUMS,
    ),
    _known(
        "RESULT-1",
        case="conv_input_grad1d:float16:x=1,1,3:w=1,1,2:wide@0",
        where={"operator": "conv_input_grad", "dtype": "float16"},
        reason=_SUMS,
    ),
    _known(
        "RESULT-1",
        case="conv_input_grad2d:bfloat16:x=1,1,1,1:w=1,1,1,2:padding=0/0,1/2:normal@2",
        where={
            "operator": ("conv_input_grad", "conv_weight_grad"),
            "dims": 2,
            "dtype": "bfloat16",
            "padding": ">0",
        },
        reason="with padding given as numbers, " + _SUMS,
    ),
    _known(
        "RESULT-1",
        case="conv_weight_grad1d:float16:x=1,1,16:w=1,1,1:normal@1",
        where={"operator": "conv_weight_grad", "dtype": "float16"},
        reason=_SUMS,
    ),
    *(
        _known(
            requirement,
            case=f"conv_weight_grad3d:float64:x=1,1,1,1,2:w=1,1,1,1,2:{data}@9",
            where={
                "operator": "conv_weight_grad",
                "dims": 3,
                "dtype": ("float64", "float16"),
                "data": ("nan", "inf"),
            },
            reason="zeros around the gradient are multiplied with elements that it does not meet",
        )
        for requirement, data in (("SPECIAL-1", "nan"), ("SPECIAL-3", "inf"))
    ),
    _known(
        "RESULT-1",
        case="conv_bias_grad1d:bfloat16:x=1,1,4:normal@1",
        where={"operator": "conv_bias_grad", "dtype": "bfloat16"},
        reason=_SUMS,
    ),
    _known(
        "RESULT-1",
        case="max_pool_grad1d:bfloat16:x=1,1,6:kernel=3:normal@1",
        where={"operator": "max_pool_grad", "dtype": _HALF},
        reason=_SUMS,
    ),
    _known(
        "GRAD-14",
        case="max_pool_grad3d:float32:x=1,1,1,1,2:kernel=1,1,2:integers@0",
        where={"operator": "max_pool_grad", "dims": 3},
        reason="each of the tied maxima is given the whole gradient",
    ),
    *(
        _known(
            requirement,
            case=case,
            where={"operator": "max_pool_grad", "data": "inf", "padding": ">0"},
            reason="padding of -inf, for want of padding of its own, ties with elements of -inf",
        )
        for requirement, case in (
            ("GRAD-14", "max_pool_grad1d:float32:x=1,1,2:kernel=2:padding=1/0:inf@0"),
            ("SPECIAL-3", "max_pool_grad2d:float32:x=1,1,1,1:kernel=1,2:padding=0/0,1/0:inf@0"),
        )
    ),
    _known(
        "RESULT-1",
        case="avg_pool_grad1d:float16:x=1,1,3:kernel=3:integers@0",
        where={"operator": "avg_pool_grad", "dtype": _HALF},
        reason="gradients that overlap are divided and added up in the half format itself",
    ),
    _invalid(
        "REJECT-12",
        "conv1d:float64:x=1,1,1:w=1,1,1:invalid=w-too-large:integers@0",
        "w-too-large* dilation-too-large*",
        "without oneDNN, kernels larger than the input give an array of size zero",
        dtype="float64",
    ),
    _invalid(
        "REJECT-15",
        "conv1d:float64:x=1,1,1:w=1,1,1:invalid=w-without-outputs:integers@0",
        "w-without-outputs x-empty*",
        "without oneDNN, empty axes give an array of size zero",
        dtype="float64",
    ),
    _invalid(
        "REJECT-15",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=x-empty:integers@0",
        "w-without-outputs w-empty* x-empty*",
        "empty axes give an array of zeros, or of size zero",
    ),
    _invalid(
        "REJECT-7",
        "conv_transpose1d:float32:x=1,1,1:w=1,1,1:invalid=groups-negative:integers@0",
        "groups-negative",
        "an output of a negative number of channels aborts the process",
        fatal=True,
    ),
    _invalid(
        "REJECT-12",
        "max_pool_grad1d:float32:x=1,1,2:kernel=2:invalid=dilation-too-large:integers@0",
        "dilation-too-large*",
        "the gradient of a dilated window larger than the input divides by zero",
        fatal=True,
        dims=1,
    ),
    *(
        _invalid(
            "REJECT-12",
            f"{operator}{dims}d:float32:x={x}:kernel={kernel}:invalid=kernel-too-large-last:integers@0",
            "kernel-too-large-last kernel-too-large-all",
            "the gradient of a window larger than the input divides by zero",
            fatal=True,
            dims=dims,
            dtype=("float32", "bfloat16"),
        )
        for operator in ("max_pool_grad", "avg_pool_grad")
        for dims, x, kernel in ((2, "1,1,1,1", "1,1"), (3, "1,1,1,1,1", "1,1,1"))
    ),
    _invalid(
        "REJECT-13",
        "avg_pool_grad3d:float32:x=1,1,1,1,1:kernel=1,1,1:invalid=grad-without-batch:integers@0",
        "grad-without-batch",
        "the number of axes of the gradient is not checked, and aborts the process",
        fatal=True,
        dims=3,
        dtype=("float32", "bfloat16"),
    ),
    _invalid(
        "REJECT-13",
        "avg_pool_grad2d:float32:x=1,1,1,1:kernel=1,1:invalid=grad-extra-axis:integers@0",
        "grad-extra-axis",
        "the number of axes of the gradient is not checked",
        dims=(2, 3),
    ),
    _invalid(
        "REJECT-16",
        "avg_pool_grad2d:float32:x=1,1,1,1:kernel=1,1:invalid=grad-longer:integers@0",
        "grad-longer* grad-shorter* grad-one-position grad-more-channels grad-one-channel "
        "input-shape-size*",
        "the shape of the gradient is not checked: what it lacks is read from beyond it",
        dims=(2, 3),
    ),
    *(
        _known(
            "REJECT-14",
            case=f"{operator}2d:float32:x=1,1,1,1:{window}:invalid=stride-too-short:integers@0",
            where={"operator": operators, "invalid": _ONE},
            reason="a list of one number stands for all axes",
        )
        for operator, window, operators in (
            ("conv", "w=1,1,1,1", ("conv", "conv_input_grad", "conv_weight_grad")),
            ("max_pool", "kernel=1,1", ("max_pool", "avg_pool", "avg_pool_grad")),
        )
    ),
    _known(
        "REJECT-12",
        case="max_pool1d:float64:x=1,1,1:kernel=1:invalid=kernel-too-large:integers@0",
        where={
            "operator": ("max_pool", "avg_pool"),
            "invalid": ("kernel-too-large", "kernel-too-large-last", "kernel-too-large-all"),
        },
        reason="windows larger than the input give an array of size zero",
    ),
    _known(
        "REJECT-13",
        case="avg_pool_grad1d:float32:x=1,1,1:kernel=1:invalid=grad-extra-axis:integers@0",
        where={
            "operator": ("avg_pool_grad", "max_pool_grad"),
            "dims": 1,
            "invalid": "grad-extra-axis",
        },
        reason="pools of one dimension are pools of two, and so are their gradients",
    ),
    _known(
        "REJECT-13",
        case="conv_input_grad1d:float32:x=1,1,1:w=1,1,1:invalid=grad-extra-axis:integers@0",
        where={
            "operator": ("conv_input_grad", "conv_weight_grad"),
            "dims": 1,
            "invalid": "grad-extra-axis",
        },
        reason="convolutions of one dimension are those of two, and so are their gradients",
    ),
    _known(
        "REJECT-17",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-fraction:integers@0",
        where={"invalid": _FRACTIONS},
        reason="fractions are rounded down",
    ),
    _known(
        "DECLARE-5",
        case="conv1d:float32:x=2,4,4:w=6,4,3:bias:invalid=no-channels:integers@0",
        where={"operator": "conv", "invalid": "no-channels"},
        reason="no channels are an empty sum in pools and conv_transpose alone",
    ),
)

COMPILED = (
    _known(
        "RESULT-1",
        case="max_pool_grad2d:bfloat16:x=1,1,3,7:kernel=2,2:normal@0",
        where={"operator": "max_pool_grad", "dtype": _HALF},
        reason=_SUMS,
    ),
    _known(
        "DECLARE-1",
        case="conv3d:float32:x=1,1,1,1,2:w=1,1,1,1,2:dilation=1,2,1:integers@0",
        where={
            "operator": ("conv", "conv_input_grad", "conv_weight_grad"),
            "dims": 3,
            "dilation": ">1",
        },
        reason="the shape function of Conv3D exchanges the dilations of height and width",
    ),
    _known(
        "DECLARE-5",
        case="conv_transpose1d:float32:x=2,4,4:w=4,3,3:bias:invalid=no-channels:integers@0",
        where={"operator": ("conv_transpose", "max_pool", "avg_pool"), "invalid": "no-channels"},
        reason="no channels are an empty sum in conv_transpose and some pools, and refused by conv",
    ),
)
"""What it is known for compiled by XLA."""
