"""Layers to time, chosen by name from the suite of network layers or written as case ids."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.case import Case
from conformance.cases.limits import check_window
from conformance.cases.validity import is_valid, parse_valid
from conformance.dtypes import FLOATS
from conformance.errors import ConformanceError, did_you_mean
from conformance.operators import OPERATORS
from conformance.spec import NETWORKS, Spec

SUITE = NETWORKS

TIMED = ("conv", "conv_transpose", "max_pool", "avg_pool")
"""The operators that can be timed: those whose large outputs can be verified."""

DEFAULT = (
    "resnet50/res4b_branch2b",
    "mobilenet_v2/block17.project",
    "mobilenet_v1/conv5_1.dw",
    "wav2vec2/fe6",
    "dcgan/G4",
    "unet3d_mlperf/bottleneck_up",
    "resnet50/max_pool1",
    "inception_v3/aux_avg_pool",
)
"""Small layers of each kind: 3x3, 1x1, depthwise, 1-D, transposed in 2-D and 3-D, both pools."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A case, and the name under which it is timed."""

    name: str
    case: Case
    base: str = ""
    """The layer of which it is a variant, in a sweep."""
    swept: str = ""
    """The dimension that differs, and its value here."""
    value: int = 0


def known(spec: Spec) -> tuple[Layer, ...]:
    """Return every layer that has a name: first those of the user's own suites, then networks'.

    Where two have one name, the later one is called by that of its suite as well: ``mine/conv1``.
    """
    return tuple(_named(spec, (*spec.own, SUITE)).values())


def _named(spec: Spec, suites: Iterable[str]) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    for suite in dict.fromkeys(suites):
        for entry in spec.suite(suite).cases:
            if entry.case.x[0] and entry.case.operator in TIMED:
                name = f"{suite}/{entry.name}" if entry.name in layers else entry.name
                layers[name] = Layer(name, entry.case)
    return layers


def choose(names: Iterable[str] | None, spec: Spec, *, dtype: str, seed: int) -> tuple[Layer, ...]:
    """Return the layers that ``names`` lists: names, globs such as resnet50/*, or case ids.

    They get whole-number data from ``seed``, and ``dtype`` unless a case id has another. None is
    the layers of the user's own suites, or a handful of small ones where there are none. Raises
    `ConformanceError` for a name that matches no layer.
    """
    patterns = (*_named(spec, spec.own),) or DEFAULT if names is None else tuple(names)
    named = any(":" not in pattern for pattern in patterns)
    layers = {layer.name: layer for layer in known(spec)} if named else {}
    chosen: dict[str, Layer] = {}
    for pattern in patterns:
        if ":" in pattern:
            case = parse_valid(pattern)
            if case.operator not in TIMED or case.dtype not in FLOATS or case.invalid:
                raise ConformanceError(
                    f"case {pattern}: only valid calls of {', '.join(TIMED)} in a floating-point "
                    f"dtype are timed"
                )
            check_window(case)
            case = case.replace(data="integers", seed=seed, memory="contiguous")
            matches = [Layer(case.id, case)]
        else:
            matches = [
                Layer(name, layers[name].case.replace(dtype=dtype, data="integers", seed=seed))
                for name in fnmatch.filter(layers, pattern)
            ]
        if not matches:
            raise ConformanceError(_no_layer(pattern, tuple(layers)))
        chosen |= {layer.name: layer for layer in matches}
    if not chosen:
        raise ConformanceError("no layer is chosen; see `convformance time --list-layers`")
    return tuple(chosen.values())


def _no_layer(pattern: str, names: tuple[str, ...]) -> str:
    inside = [name for name in names if pattern.strip("*/") in name][:3]
    hint = did_you_mean(pattern, names, ", ".join(inside), most=3)
    return f"layer '{pattern}' is unknown; {hint}`convformance time --list-layers` lists them"


def smaller(case: Case, share: float) -> Case:
    """Return ``case`` with about ``share`` of its output positions (of one image), at least one.

    Channels and window are unchanged, so the cost of a call is nearly proportional to the share.
    """
    factor = share ** (1 / case.dims)
    full = OPERATORS[case.operator].output_shape(case)[2:]
    targets = [max(1, round(size * factor)) for size in full]
    size = list(case.x[2:])
    for axis, target in enumerate(targets):
        low, high = 1, size[axis]
        while low < high:  # the output grows with the input
            middle = (low + high) // 2
            size[axis] = middle
            if _outputs(case, size, axis) >= target:
                high = middle
            else:
                low = middle + 1
        size[axis] = low
    cut = case.replace(x=(min(case.x[0], 1), case.x[1], *size))
    return cut if is_valid(cut) else case  # padding may crop all of a small output


def _outputs(case: Case, size: list[int], axis: int) -> int:
    shape = OPERATORS[case.operator].output_shape(case.replace(x=(*case.x[:2], *size)))
    return shape[2 + axis]
