"""What PyTorch is known for, by its own kernels: each entry was found by a run, and shrunk."""

from __future__ import annotations

from conformance import KnownDifference
from conformance.case import Case
from conformance.implementations._known import has_axis_of_padding_alone

_VERSIONS = "==2.13"
_CONVOLUTIONS = ("conv", "conv_transpose", "conv_input_grad", "conv_weight_grad")
_POOLS = ("max_pool", "avg_pool", "max_pool_grad", "avg_pool_grad")
_HALF = ("float16", "bfloat16")
_BROADCASTS = "a tuple of one number stands for all axes, and an empty one for the default"
_CAST = "autograd converts the gradient that it is handed to the dtype of the result"
_SUMS = "contributions that overlap are added up in the half format itself"
_CUT = tuple(
    f"{name}-{kind}"
    for name in ("kernel", "stride", "padding", "output_padding", "dilation")
    for kind in ("too-short", "single", "empty")
)


def _pads_dilated_groups(case: Case) -> bool:
    """A dilated conv3d in groups, with a bias, in which no window of some axis reads the input."""
    dilated = case.groups > 1 and case.bias and max(case.dilation) > 1
    convolves = case.operator == "conv" and case.dims == 3
    return convolves and dilated and has_axis_of_padding_alone(case)


CONVOLUTIONS = (
    KnownDifference(
        "REJECT-14",
        case="conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=stride-too-short:integers@0",
        where={"operator": _CONVOLUTIONS, "invalid": _CUT},
        reason=_BROADCASTS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "REJECT-21",
        case="conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=no-channels:integers@0",
        where={"operator": "conv", "invalid": "no-channels"},
        reason="no input channels are taken, and the result has no output channels either",
        versions=_VERSIONS,
    ),
    KnownDifference(
        "RESULT-1",
        case="conv_transpose2d:float16:x=1,1,1,2:w=1,1,1,2:normal@93",
        where={"operator": "conv_transpose", "dtype": _HALF},
        reason=_SUMS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "RESULT-1",
        case="conv_input_grad2d:float16:x=1,1,3,2:w=1,1,2,1:normal@0",
        where={"operator": "conv_input_grad", "dtype": _HALF},
        reason=_SUMS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "RESULT-1",
        case="conv_weight_grad2d:float16:x=2,1,1,2:w=1,1,1,2:normal@1",
        where={"operator": "conv_weight_grad", "dtype": _HALF},
        reason=_SUMS,
        versions=_VERSIONS,
    ),
)
POOLS = (
    KnownDifference(
        "REJECT-14",
        case="max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0",
        where={"operator": _POOLS, "invalid": _CUT},
        reason=_BROADCASTS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "RESULT-1",
        case="max_pool_grad2d:bfloat16:x=1,1,3,6:kernel=2,2:normal@1",
        where={"operator": "max_pool_grad", "dtype": _HALF},
        reason=_SUMS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "RESULT-1",
        case="avg_pool_grad2d:float16:x=1,1,3,3:kernel=2,2:normal@1",
        where={"operator": "avg_pool_grad", "dtype": _HALF},
        reason=_SUMS,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "REJECT-18",
        case="max_pool_grad2d:float32:x=1,1,1,1:kernel=1,1:invalid=grad-bool:integers@0",
        where={"operator": "max_pool_grad", "invalid": "grad-bool"},
        reason=_CAST,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "REJECT-20",
        case="max_pool_grad2d:float32:x=1,1,1,1:kernel=1,1:invalid=x-wider:integers@0",
        where={
            "operator": "max_pool_grad",
            "invalid": ("x-wider", "x-narrower", "x-integer"),
        },
        reason=_CAST,
        versions=_VERSIONS,
    ),
    KnownDifference(
        "GRAD-14",
        case="max_pool_grad2d:float32:x=1,1,1,2:kernel=1,2:padding=0/0,1/0:inf@0",
        where={"operator": "max_pool_grad", "data": "inf", "padding": ">0"},
        reason="padding of -inf, where its own is alike at both ends, ties with elements of -inf",
        versions=_VERSIONS,
    ),
)
CHANNELS_LAST = (
    KnownDifference(
        "PROCESS-1",
        case="conv3d:float32:x=1,2,1,2,1:w=4,1,1,1,1:bias:stride=1,1,2:padding=0/0,0/0,1/1:"
        "dilation=1,1,2:groups=2:integers@0",
        where=_pads_dilated_groups,
        reason="reads an address that is none",
        versions=_VERSIONS,
        fatal=True,
    ),
    KnownDifference(
        "DECLARE-1",
        case="max_pool2d:int8:x=1,2,12,11:kernel=1,1:integers@0",
        where={"operator": "max_pool", "dtype": ("int8", "uint8")},
        reason="refuses images of more elements than the dtype can count",
        versions=_VERSIONS,
    ),
    KnownDifference(
        "GRAD-14",
        case="max_pool_grad3d:float32:x=1,2,2,1,2:kernel=1,1,2:inf@0",
        where={"operator": "max_pool_grad", "data": "inf"},
        reason="a window of -inf alone gives its gradient to an element that is not in it",
        versions=_VERSIONS,
    ),
)
WITHOUT_MKLDNN = tuple(
    KnownDifference(
        requirement,
        case=f"conv_transpose1d:float32:x=1,1,1:w=1,1,1:bias:invalid={kinds[0]}:integers@0",
        where={"operator": "conv_transpose", "invalid": kinds},
        reason="the bias may have any dtype, and is converted",
        versions=_VERSIONS,
    )
    for requirement, kinds in (
        ("REJECT-18", ("bias-bool",)),
        ("REJECT-20", ("bias-wider", "bias-narrower", "bias-integer")),
    )
)

COMPILED = (
    *(entry for entry in POOLS if entry.requirement != "RESULT-1"),
    KnownDifference(
        "GRAD-12",
        case="avg_pool_grad1d:float32:x=1,1,5:kernel=4:stride=2:padding=1/1:ceil_mode:integers@0",
        where={"operator": "avg_pool_grad", "ceil_mode": True},
        reason="the gradient of a window that reaches beyond the padding is divided by all of it",
        versions=_VERSIONS,
    ),
)
