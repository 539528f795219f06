"""Models of LiteRT's format with one operator, written with its `schema_py_generated`.

A model is a flatbuffer: a table of operators, of tensors and of buffers with the constants' bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from conformance.implementations._arguments import Array, Shape, native

Constant: TypeAlias = tuple[str, Shape, bytes]
"""The dtype, the shape and the contents of an array that is stored in the model."""


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


def one_node(node: Node, x: Shape, dtype: str, y: Shape = ()) -> bytes:
    """Return a serialized model of ``node``, from shape ``x`` to ``y``.

    Without ``y`` the engine finds the shape; XNNPACK is given only what has it written.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tensors: list[Any] = []
    buffers = [schema.BufferT()]  # the first buffer is that of what is computed
    for array in node.inputs:
        kind, shape, data = array or (dtype, x, None)
        buffer, name = 0 if data is None else len(buffers), f"{len(tensors)}"
        tensors.append(schema.TensorT(list(shape), _kind(schema, kind), buffer, name))
        if data is not None:
            buffers.append(schema.BufferT(data=np.frombuffer(data, np.uint8)))
    last = len(tensors)
    tensors.append(schema.TensorT(shape=list(y), type=_kind(schema, dtype), name="y"))
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


def plain(array: Array) -> Array:
    """Return ``array`` as LiteRT can read it."""
    return np.array(array, native(array.dtype), order="C")


def constant(array: Array) -> Constant:
    """Return ``array`` as a constant."""
    array = plain(array)
    return array.dtype.name, array.shape, array.tobytes()


def _kind(schema: Any, dtype: str) -> int:
    """Return the number of a dtype in the schema."""
    kind: int | None = getattr(schema.TensorType, dtype.upper(), None)
    if kind is None:
        raise TypeError(f"dtype {dtype}: no tensor of a model has it")
    return kind
