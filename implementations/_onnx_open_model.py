"""ONNX models of one node with open shapes, which ONNX Runtime and ONNX's evaluator both run.

Parameters go into the attributes as they are: ONNX's ``pads`` are all of before, then all of after.
The inputs' shapes stay open, so that a model serves every case of a dtype with its parameters.
"""

from __future__ import annotations

from typing import Any

from implementations._common import Array, Padding, Shape, native

OPSET, IR_VERSION = 22, 10
"""The first set of operators with bfloat16, and with ceil_mode's windows in the padding dropped."""

Attributes = tuple[tuple[str, Any], ...]


def conv(
    stride: Shape, padding: Padding, dilation: Shape, groups: int, **further: Shape
) -> Attributes:
    """Return the attributes of Conv, and with ``output_padding`` of ConvTranspose."""
    return _attributes(
        strides=stride, pads=_pads(padding), dilations=dilation, group=groups, **further
    )


def pool(
    kernel: Shape, stride: Shape, padding: Padding, ceil_mode: bool, **further: Any
) -> Attributes:
    """Return the attributes of MaxPool, with ``dilations``, or AveragePool."""
    return _attributes(
        kernel_shape=kernel,
        strides=stride,
        pads=_pads(padding),
        ceil_mode=int(ceil_mode),
        **further,
    )


def model(
    operator: str, dtype: str, ranks: Shape, attributes: Attributes, weight: Array | None = None
) -> bytes:
    """Return a model of one node, with an input for each of ``ranks``: x, w, bias; its result is y.

    ``weight`` makes the second input a constant of the model. Raises what ONNX's helper raises for
    attributes that are no whole numbers.
    """
    from onnx import TensorProto, helper, numpy_helper

    kind = getattr(TensorProto, _KINDS[dtype])
    names = ("x", "w", "bias")[: len(ranks)]
    inputs = [
        helper.make_tensor_value_info(name, kind, [None] * rank)
        for name, rank in zip(names, ranks, strict=True)
        if weight is None or name != "w"
    ]
    constants = [] if weight is None else [numpy_helper.from_array(weight, "w")]
    node = helper.make_node(operator, names, ["y"], **dict(attributes))
    result = helper.make_tensor_value_info("y", kind, [None] * ranks[0])
    graph = helper.make_graph([node], operator, inputs, [result], constants)
    opset = helper.make_opsetid("", OPSET)
    built = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    serialized: bytes = built.SerializeToString()
    return serialized


def feeds(x: Array, w: Array | None = None, bias: Array | None = None) -> dict[str, Array]:
    """Return the inputs that there are, by name, in this machine's byte order."""
    named = {"x": x, "w": w, "bias": bias}
    return {
        name: array.astype(native(array.dtype), copy=False)
        for name, array in named.items()
        if array is not None
    }


_KINDS = {
    "float16": "FLOAT16",
    "bfloat16": "BFLOAT16",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "int8": "INT8",
    "uint8": "UINT8",
}


def _attributes(**values: Any) -> Attributes:
    """Return what makes a node; hashable, so that what is built of it can be cached.

    Raises TypeError for None, which ONNX's helper would leave out.
    """
    for name, value in values.items():
        if value is None:
            raise TypeError(f"{name}=None: must be a whole number, or one a spatial axis")
    return tuple((name, _fixed(value)) for name, value in values.items())


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _pads(padding: Padding) -> Shape:
    before, after = zip(*padding, strict=True) if padding else ((), ())
    return (*before, *after)
