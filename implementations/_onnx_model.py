"""ONNX models of one node, made in memory: what engines that read ONNX are handed.

The attributes of ONNX's Conv, ConvTranspose, MaxPool and AveragePool are the suite's parameters
under other names; padding is one list, the beginnings of all axes and then their ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from implementations._common import Array, Padding, Shape

OPSET = 17
"""The version of ONNX's operators: AveragePool has no dilations here, all else is as today."""


def conv_attributes(
    kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, groups: int
) -> dict[str, Any]:
    """Return the attributes of Conv; those of ConvTranspose lack ``output_padding`` only."""
    return {
        "kernel_shape": [*kernel],
        "strides": [*stride],
        "pads": _pads(padding),
        "dilations": [*dilation],
        "group": int(groups),
    }


def pool_attributes(
    kernel: Shape, stride: Shape, padding: Padding, ceil_mode: bool, **others: Any
) -> dict[str, Any]:
    """Return the attributes of MaxPool and AveragePool, with those that only one of them has."""
    return {
        "kernel_shape": [*kernel],
        "strides": [*stride],
        "pads": _pads(padding),
        "ceil_mode": int(ceil_mode),
        **others,
    }


def one_node(
    operator: str,
    x: Array,
    out: Shape,
    attributes: Mapping[str, Any],
    constants: Mapping[str, Array | None],
) -> bytes:
    """Return a serialized model of ``operator`` from input "x" to output "y", of shape ``out``.

    ``constants`` are stored in the model as its further inputs; those that are None are left out.
    """
    stored = tuple(
        (name, array.dtype.name, array.shape, array.tobytes())
        for name, array in constants.items()
        if array is not None
    )
    frozen = tuple((name, _frozen(value)) for name, value in attributes.items())
    return _one_node(operator, x.dtype.name, x.shape, tuple(out), frozen, stored)


@lru_cache(maxsize=128)
def _one_node(
    operator: str,
    dtype: str,
    shape: Shape,
    out: Shape,
    attributes: tuple[tuple[str, Any], ...],
    constants: tuple[tuple[str, str, Shape, bytes], ...],
) -> bytes:
    from onnx import helper, numpy_helper

    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    names = ["x", *(name for name, *_ in constants)]
    parameters = {
        name: list(value) if isinstance(value, tuple) else value for name, value in attributes
    }
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **parameters)],
        "one_node",
        [helper.make_tensor_value_info("x", element, list(shape))],
        [helper.make_tensor_value_info("y", element, list(out))],
        [
            numpy_helper.from_array(np.frombuffer(data, kind).reshape(size), name)
            for name, kind, size, data in constants
        ],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


def _pads(padding: Padding) -> list[int]:
    return [int(pair[end]) for end in (0, 1) for pair in padding]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
