"""What JAX is known for: each entry was found by a run, and shrunk."""

from __future__ import annotations

from functools import partial

from conformance import KnownDifference

_known = partial(KnownDifference, versions="==0.10.2")
_EMPTY = "what has no elements is an array like any other, of size zero"

KNOWN = (
    _known(
        "RESULT-1",
        case="max_pool_grad2d:bfloat16:x=1,1,3,6:kernel=2,2:normal@1",
        where={"operator": "max_pool_grad", "dtype": ("float16", "bfloat16")},
        reason="gradients that belong to one element are added up in the half format itself",
    ),
    _known(
        "REJECT-5",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=padding-negative:integers@0",
        where={"invalid": ("padding-negative", "padding-negative-last", "padding-negative-both")},
        reason="negative padding crops, as lax documents it",
    ),
    _known(
        "REJECT-12",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-too-large:integers@0",
        where={
            "invalid": tuple(
                f"{name}{axes}"
                for name in (
                    "w-too-large",
                    "kernel-too-large",
                    "dilation-too-large",
                    "padding-crops-all",
                    "padding-crops-more",
                )
                for axes in ("", "-last", "-all")
            )
        },
        reason=_EMPTY,
    ),
    _known(
        "REJECT-14",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=dilation-too-short:integers@0",
        where={
            "invalid": ("stride-empty", "stride-too-short", "dilation-empty", "dilation-too-short")
        },
        reason="an empty tuple is taken for none given: a stride or a dilation of 1",
    ),
    _known(
        "REJECT-15",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=x-empty:integers@0",
        where={"invalid": ("x-empty", "x-empty-last", "w-without-outputs")},
        reason=_EMPTY,
    ),
    _known(
        "REJECT-18",
        case="conv1d:float32:x=1,1,1:w=1,1,1:invalid=dtype-bool:integers@0",
        where={"invalid": "dtype-bool"},
        reason="booleans are multiplied, added and compared",
    ),
)
