"""Models of LiteRT's format with one operator, written in memory with the format's own schema.

A model is a flatbuffer: a table of operators, of tensors and of buffers with the constants' bytes.
`ai_edge_litert.schema_py_generated` has a class for each table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.implementations._arguments import Array, Shape


@dataclass(frozen=True, slots=True)
class Constant:
    """An array that is stored in the model."""

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


def one_node(node: Node, x: Shape, dtype: str) -> bytes:
    """Return a serialized model of ``node``, from shape ``x`` to a shape that the engine finds."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tensors: list[Any] = []
    buffers = [schema.BufferT()]  # the first buffer is that of what is computed
    for each in node.inputs:
        stored = each is not None
        tensors.append(
            schema.TensorT(
                shape=list(each.shape if each is not None else x),
                type=_kind(schema, each.dtype if each is not None else dtype),
                buffer=len(buffers) if stored else 0,
                name=f"{len(tensors)}",
            )
        )
        if each is not None:
            buffers.append(schema.BufferT(data=np.frombuffer(each.data, np.uint8)))
    last = len(tensors)
    tensors.append(schema.TensorT(shape=[], type=_kind(schema, dtype), name="y"))
    operator = schema.OperatorT(
        inputs=list(range(last)),
        outputs=[last],
        builtinOptionsType=getattr(schema.BuiltinOptions, node.options),
        builtinOptions=getattr(schema, f"{node.options}T")(**dict(node.values)),
    )
    first = [node.inputs.index(None)]
    graph = schema.SubGraphT(tensors, inputs=first, outputs=[last], operators=[operator])
    code = getattr(schema.BuiltinOperator, node.operator)
    model = schema.ModelT(
        version=3,
        # readers before 2020 look at the first code
        operatorCodes=[schema.OperatorCodeT(min(code, 127), version=1, builtinCode=code)],
        subgraphs=[graph],
        buffers=buffers,
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _kind(schema: Any, dtype: str) -> int:
    """Return the number of a dtype in the schema."""
    kind: int | None = getattr(schema.TensorType, dtype.upper(), None)
    if kind is None:
        raise TypeError(f"dtype {dtype}: no tensor of a model has it")
    return kind
