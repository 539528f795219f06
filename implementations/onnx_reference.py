"""ONNX's own reference evaluator: the operators as `onnx.reference` defines them, in NumPy.

It runs the models of one node that ONNX Runtime runs (`implementations._onnx_open_model`), of Conv,
ConvTranspose, MaxPool and AveragePool, so that arrays and parameters map one to one:
channels-first, asymmetric padding, ceil_mode, count_include_pad. Nothing is padded, cropped or
checked here, and evaluators are kept for the parameters and the dtype of a call, up to
`MAX_EVALUATORS` of them.

The evaluator checks no types: it computes whatever NumPy computes. Claimed here is what the
operators are defined for, float16 to float64 and bfloat16, in MaxPool int8 and uint8 too. It has no
gradients, and its family is its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from conformance import implementation
from implementations import _onnx_open_model as models
from implementations._common import Array, Padding, Shape
from implementations._onnx_snippet import evaluator

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

MAX_EVALUATORS = 256
"""Evaluators that are kept."""

onnx_reference = implementation(
    "onnx-reference",
    package="onnx",
    extra="onnx",
    dtypes=("float32", "float64", "float16", "bfloat16", "int8", "uint8"),
    conventions={"nan": "ignore", "zero_channels": "empty_sum"},
    snippet=evaluator,
)


@onnx_reference
def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """Conv."""
    return _run("Conv", models.conv(stride, padding, dilation, groups), x, w, bias)


@onnx_reference
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Array:
    """ConvTranspose."""
    attributes = models.conv(stride, padding, dilation, groups, output_padding=output_padding)
    return _run("ConvTranspose", attributes, x, w, bias)


@onnx_reference
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """MaxPool."""
    return _run("MaxPool", models.pool(kernel, stride, padding, ceil_mode, dilations=dilation), x)


@onnx_reference
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """AveragePool."""
    include = int(count_include_pad)
    attributes = models.pool(kernel, stride, padding, ceil_mode, count_include_pad=include)
    return _run("AveragePool", attributes, x)


def _run(operator: str, attributes: models.Attributes, *arrays: Array | None) -> Array:
    inputs = models.feeds(*arrays)  # type: ignore[arg-type]
    ranks = tuple(array.ndim for array in inputs.values())
    evaluator = _evaluator(operator, str(inputs["x"].dtype), ranks, attributes)
    (result,) = evaluator.run(None, inputs)
    y: Array = result
    return y


@lru_cache(MAX_EVALUATORS)
def _evaluator(
    operator: str, dtype: str, ranks: Shape, attributes: models.Attributes
) -> ReferenceEvaluator:
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = models.model(operator, dtype, ranks, attributes)
    return ReferenceEvaluator(onnx.load_from_string(model))
