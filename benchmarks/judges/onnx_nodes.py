"""ONNX's node test cases of Conv, ConvTranspose, MaxPool and AveragePool.

ONNX backends are tested with these cases. Each has the inputs and expected outputs of one node,
which are compared within the test case's own tolerances (rtol 1e-3, atol 1e-7). Automatic padding
becomes pairs. Cases without a counterpart here (dilation of AveragePool, pooling padding beyond
half of the window) are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.judges import Sample
from conformance.calling import Array
from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.operators import OPERATORS
from conformance.sizes import span

_NAMES = {
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "MaxPool": "max_pool",
    "AveragePool": "avg_pool",
}
RTOL, ATOL = 1e-3, 1e-7
"""The tolerances of all of these test cases, which ONNX's runner takes."""


def samples() -> list[Sample]:
    """Return every test case of these nodes that is a valid call here."""
    from onnx.backend.test.case import node
    from onnx.helper import get_attribute_value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings are about other operators' test cases
        tests = node.collect_testcases(None)
    calls: list[Sample] = []
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in _NAMES:
            attributes = {a.name: get_attribute_value(a) for a in nodes[0].attribute}
            for inputs, outputs in test.data_sets:
                calls += _read(_NAMES[nodes[0].op_type], attributes, inputs, outputs[0])
    return calls


def _read(
    operator: str, attributes: dict[str, Any], inputs: Any, expected: Array
) -> Iterator[Sample]:
    x = inputs[0]
    dims = x.ndim - 2
    weighted = operator.startswith("conv")
    dilation = tuple(attributes.get("dilations", (1,) * dims))
    if operator == "avg_pool" and max(dilation) > 1:
        return
    w = inputs[1] if weighted else None
    bias = inputs[2] if len(inputs) > 2 else None
    kernel = tuple(w.shape[2:]) if w is not None else tuple(attributes["kernel_shape"])
    case = Case(
        operator=operator,
        x=x.shape,
        w=None if w is None else w.shape,
        bias=bias is not None,
        kernel=None if weighted else kernel,
        stride=tuple(attributes.get("strides", (1,) * dims)),
        output_padding=tuple(attributes.get("output_padding", (0,) * dims)),
        dilation=dilation,
        groups=attributes.get("group", 1),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
        count_include_pad=bool(attributes.get("count_include_pad", operator != "avg_pool")),
        dtype=x.dtype.name,
    )
    case = case.replace(padding=_padding(case, attributes, expected.shape[2:]))
    if is_valid(case) and OPERATORS[operator].output_shape(case) == expected.shape:
        given = (x, w, bias) if weighted else (x,)
        yield Sample(case, given, expected)


def _padding(case: Case, attributes: dict[str, Any], out: Any) -> Any:
    """Return the pairs that a node's pads, automatic padding or output shape stand for."""
    if "pads" in attributes:
        pads = attributes["pads"]
        return tuple(zip(pads[: case.dims], pads[case.dims :], strict=True))
    pairs = []
    for axis, size in enumerate(out):
        reach = span(case.window[axis], case.dilation[axis])
        if case.operator == "conv_transpose":
            full = (case.x[2 + axis] - 1) * case.stride[axis] + reach + case.output_padding[axis]
            total = full - size
        elif b"SAME" in attributes.get("auto_pad", b""):
            total = max(0, (size - 1) * case.stride[axis] + reach - case.x[2 + axis])
        else:
            total = 0
        small = total // 2
        lower = attributes.get("auto_pad") == b"SAME_LOWER"
        pairs.append((total - small, small) if lower else (small, total - small))
    return tuple(pairs)


def compare(got: Array, expected: Array) -> bool:
    """Compare shape, dtype and values as ONNX's runner does."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    return bool(np.allclose(got, expected, rtol=RTOL, atol=ATOL, equal_nan=True))
