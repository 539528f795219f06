"""ONNX's own reference evaluator: the operators as `onnx.reference` defines them, in NumPy.

It runs the models of one node that ONNX Runtime runs (``model.py``). It checks no types, and
computes whatever NumPy computes. Claimed here is what the operators are defined for, float16 to
float64 and bfloat16, in MaxPool int8 and uint8 too. It has no gradients; its family is its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from conformance import implementation
from conformance.implementations._arguments import Array
from conformance.implementations.engines.onnx import snippet
from conformance.implementations.engines.onnx.model import Node, register

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

MAX_EVALUATORS = 256
"""Evaluators that are kept."""


def _run(node: Node, inputs: dict[str, Array]) -> Array:
    y: Array = _evaluator(node).run(None, inputs)[0]
    return y


@lru_cache(MAX_EVALUATORS)
def _evaluator(node: Node) -> ReferenceEvaluator:
    import onnx
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(onnx.load_from_string(node.model))


onnx_reference = implementation(
    "onnx-reference",
    package="onnx",
    extra="onnx",
    dtypes=("float32", "float64", "float16", "bfloat16", "int8", "uint8"),
    conventions={"nan": "ignore", "zero_channels": "empty_sum"},
    work_seconds=3e-7,
    snippet=snippet.reference,
    known="known_reference.toml",
)
register(onnx_reference, _run)
