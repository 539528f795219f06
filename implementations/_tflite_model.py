"""Models of LiteRT's format with one operator, written in memory with the format's own schema.

A model is a flatbuffer: a table of operators, of tensors and of buffers with the constants' bytes.
`ai_edge_litert.schema_py_generated` has a class for each table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from implementations._common import Array, Shape


@dataclass(frozen=True, slots=True)
class Constant:
    """An array that is stored in the model: float32, or int32 for a shape."""

    dtype: str
    shape: Shape
    data: bytes

    @classmethod
    def of(cls, array: Array) -> Constant:
        """Return ``array`` as a constant."""
        return cls(array.dtype.name, array.shape, array.tobytes())


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: its name in the schema, its options, and what it reads; hashable."""

    operator: str
    """Its name among ``BuiltinOperator``, such as CONV_2D."""
    options: str
    """The name of its options, such as Conv2DOptions."""
    values: tuple[tuple[str, int], ...]
    """The fields of the options."""
    inputs: tuple[Constant | None, ...]
    """Its inputs in order; None is the model's own input."""


def one_node(node: Node, x: Shape, y: Shape) -> bytes:
    """Return a serialized model of ``node``, in float32, from shape ``x`` to shape ``y``."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    code, empty = schema.OperatorCodeT(), schema.BufferT()
    code.builtinCode = getattr(schema.BuiltinOperator, node.operator)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # where readers before 2020 look
    code.version = 1
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, graph.tensors = [empty], []

    def tensor(name: str, shape: Shape, kind: int, buffer: int = 0) -> int:
        new = schema.TensorT()
        new.name, new.shape, new.type, new.buffer = name, list(shape), kind, buffer
        graph.tensors.append(new)
        return len(graph.tensors) - 1

    def stored(constant: Constant) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(constant.data, np.uint8)
        model.buffers.append(buffer)
        kind = schema.TensorType.INT32 if constant.dtype == "int32" else schema.TensorType.FLOAT32
        name = f"constant{len(graph.tensors)}"
        return tensor(name, constant.shape, kind, len(model.buffers) - 1)

    first = tensor("x", x, schema.TensorType.FLOAT32)
    operator.inputs = [first if one is None else stored(one) for one in node.inputs]
    last = tensor("y", y, schema.TensorType.FLOAT32)
    operator.outputs, operator.opcodeIndex = [last], 0
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, node.options)
    operator.builtinOptions = _options(schema, node)
    graph.inputs, graph.outputs, graph.operators = [first], [last], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _options(schema: Any, node: Node) -> Any:
    options = getattr(schema, f"{node.options}T")()
    for name, value in node.values:
        if not hasattr(options, name):
            raise AttributeError(f"{node.options} has no field {name}")
        setattr(options, name, value)
    return options
