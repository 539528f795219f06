"""The calls of an ONNX file: its nodes, with the arrays that ONNX Runtime or ONNX computes.

Another kernel takes the place of nodes in ONNX's own evaluator (``onnx.reference``) alone: an
engine has no place for one.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx.reference.op_run import OpRun

from conformance.calling import Array
from conformance.case import Case, Padding, Shape
from conformance.errors import ConformanceError
from conformance.models.collecting import Calls, Listener, printable
from conformance.signatures import LIKE_ONE, NOT_ONE

_OPERATORS = {
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "MaxPool": "max_pool",
    "AveragePool": "avg_pool",
    "GlobalMaxPool": "max_pool",
    "GlobalAveragePool": "avg_pool",
}


def collect(calls: Calls, model: Any, inputs: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Run a file, or infer its shapes where there are no inputs, and add the calls of its nodes."""
    proto, name = _read(model)
    nodes = [node for node in proto.graph.node if _of_onnx(node) and node.op_type in _OPERATORS]
    values = _Values(proto, name)
    if inputs:
        wanted = [value for node in nodes for value in (*node.input, *node.output[:1]) if value]
        values.arrays |= _run(proto, name, inputs, [*dict.fromkeys(wanted)])
    for node in proto.graph.node:
        if any(node is one for one in nodes):
            _add(calls, node, values)
        elif LIKE_ONE.search(node.op_type.casefold()):
            calls.other(_layer(node), _function(node), NOT_ONE)
        for inner in _inner(node):
            if LIKE_ONE.search(inner.op_type.casefold()):
                calls.other(_layer(inner), _function(inner), f"inside of a node {node.op_type}")
    for function in proto.functions:
        for inner in function.node:
            if LIKE_ONE.search(inner.op_type.casefold()):
                why = f"inside of a function {function.name}"
                calls.other(_layer(inner), _function(inner), why)


@contextlib.contextmanager
def hearing(calls: Listener) -> Iterator[None]:
    """Tell of the nodes that ONNX's own evaluator computes until the end of the context."""
    run = OpRun.run

    @functools.wraps(run)
    def heard(self: Any, *inputs: Any, **named: Any) -> Any:
        outputs, node = run(self, *inputs, **named), self.onnx_node
        if not LIKE_ONE.search(node.op_type.casefold()):
            return outputs
        if not (_of_onnx(node) and node.op_type in _OPERATORS):
            calls.other(_layer(node), _function(node), NOT_ONE)
            return outputs
        if self.has_linked_attribute:
            calls.other(_layer(node), _function(node), "its attributes are those of a function")
            return outputs
        made = _add(calls, node, _Given(node, inputs, outputs))
        return outputs if made is None else (made, *outputs[1:])

    with mock.patch.object(OpRun, "run", heard):
        yield


def _of_onnx(node: Any) -> bool:
    return node.domain in ("", "ai.onnx")


def _function(node: Any) -> str:
    return node.op_type if _of_onnx(node) else f"{node.domain}::{node.op_type}"


def _layer(node: Any) -> str:
    return printable(node.name or (node.output[0] if node.output else node.op_type))


def _inner(node: Any) -> Iterator[Any]:
    """Yield the nodes of the graphs that a node has."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield inner
                yield from _inner(inner)


def _read(model: Any) -> tuple[Any, str]:
    """Return a ModelProto, and what to call it; raise `ConformanceError` where it is none."""
    name = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "the ModelProto"
    try:
        proto = onnx.load(model) if isinstance(model, (str, os.PathLike)) else model
        return onnx.shape_inference.infer_shapes(proto, data_prop=True), name
    except FileNotFoundError:
        raise ConformanceError(f"model {name}: no such file; name an ONNX file") from None
    except Exception as problem:  # whatever a decoder raises
        text = printable(f"{type(problem).__name__}: {problem}")
        raise ConformanceError(f"model {name}: is no ONNX file that can be read: {text}") from None


def _run(proto: Any, name: str, inputs: Sequence[Any], wanted: Sequence[str]) -> dict[str, Array]:
    """Return the arrays of the values that are ``wanted``, for these inputs."""
    given = {one.name for one in proto.graph.initializer}
    names = [one.name for one in proto.graph.input if one.name not in given]
    if len(inputs) != len(names):
        raise ConformanceError(
            f"model {name}: {len(inputs)} inputs; it takes {len(names)}: {', '.join(names)}"
        )
    feeds = {own: np.asarray(value) for own, value in zip(names, inputs, strict=True)}
    there = {one.name for one in (*proto.graph.input, *proto.graph.initializer)}
    computed = [own for own in wanted if own not in there]
    try:
        arrays = _computed(proto, feeds, computed)
    except Exception as problem:  # whatever an engine raises
        text = printable(f"{type(problem).__name__}: {problem}")
        raise ConformanceError(f"model {name}: cannot be run on these inputs: {text}") from None
    return feeds | dict(zip(computed, arrays, strict=True))


def _computed(proto: Any, feeds: Mapping[str, Any], wanted: Sequence[str]) -> Any:
    """Return what ONNX Runtime computes or, where it is not installed, ONNX's own evaluator."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(proto).run(list(wanted), dict(feeds))
    watched = onnx.ModelProto()
    watched.CopyFrom(proto)
    there = {one.name for one in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted if n not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(list(wanted), dict(feeds)) if wanted else []


class _Values:
    """Shapes, dtypes and, where they are known, arrays of the values of a graph."""

    def __init__(self, proto: Any, name: str) -> None:
        graph = proto.graph
        self.name = name
        self.arrays: dict[str, Array] = {
            one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer
        }
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.arrays[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        listed = (*graph.input, *graph.value_info, *graph.output)
        self.types = {one.name: one.type.tensor_type for one in listed}

    def shape(self, value: str) -> Shape:
        """Return the shape of a value; raise `ConformanceError` where it depends on the inputs."""
        if value in self.arrays:
            return tuple(self.arrays[value].shape)
        kind = self.types.get(value)
        sizes: list[Any] = ["?"]
        if kind is not None:
            sizes = [one.dim_value or one.dim_param or "?" for one in kind.shape.dim]
        if not all(isinstance(size, int) for size in sizes):
            raise ConformanceError(
                f"model {self.name}: the shape of {value} is ({', '.join(map(str, sizes))}); hand "
                f"over the inputs as well: conformance.trace(file, x)"
            )
        return tuple(sizes)

    def dtype(self, value: str) -> str:
        """Return the dtype of a value."""
        if value in self.arrays:
            return str(self.arrays[value].dtype.name)
        return str(onnx.helper.tensor_dtype_to_np_dtype(self.types[value].elem_type).name)


@dataclass(frozen=True, slots=True)
class _Window:
    """What the attributes of a node say of its windows."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Padding


class _Given:
    """The same of a node that has been computed."""

    def __init__(self, node: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.name = "of onnx.reference"
        names = (*node.input, *node.output)
        values = zip(names, (*inputs, *outputs), strict=False)
        self.arrays = {name: np.asarray(value) for name, value in values if value is not None}

    def shape(self, value: str) -> Shape:
        """Return the shape of a value."""
        return tuple(self.arrays[value].shape)

    def dtype(self, value: str) -> str:
        """Return the dtype of a value."""
        return str(self.arrays[value].dtype.name)


def _add(calls: Listener, node: Any, values: _Values | _Given) -> Array | None:
    """Tell of the call that a node is, and return what is to be its result, None for its own."""
    operator = _OPERATORS[node.op_type]
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    names = [*node.input, "", ""][: 3 if "conv" in operator else 1]
    x = values.shape(names[0])
    if len(x) - 2 not in (1, 2, 3):
        calls.other(_layer(node), node.op_type, f"{len(x) - 2} spatial axes")
        return None
    w = values.shape(names[1]) if "conv" in operator else None
    out = values.shape(node.output[0])
    window = _window(node, attributes, x[2:], w, out[2:])
    fields: dict[str, Any] = {"x": x, "stride": window.stride, "padding": window.padding}
    if w is not None:
        fields |= {"w": w, "bias": bool(names[2]), "groups": attributes.get("group", 1)}
        fields["dilation"] = window.dilation
    else:
        fields |= {"kernel": window.kernel, "ceil_mode": bool(attributes.get("ceil_mode", 0))}
    if operator == "conv_transpose":
        fields |= _cropped(attributes, window, x[2:], out[2:])
    if operator == "max_pool":
        fields["dilation"] = window.dilation
    elif operator == "avg_pool":
        if set(window.dilation) != {1}:
            calls.other(_layer(node), node.op_type, "dilations")
            return None
        included = bool(attributes.get("count_include_pad", 0))
        fields["count_include_pad"] = included or node.op_type.startswith("Global")
    case = Case(operator=operator, dtype=values.dtype(names[0]), **fields)
    arrays = [values.arrays.get(name) if name else None for name in names]
    return calls.add(_layer(node), case, arrays, values.arrays.get(node.output[0]))


def _window(
    node: Any, attributes: Mapping[str, Any], size: Shape, w: Shape | None, out: Shape
) -> _Window:
    dims = len(size)
    if node.op_type.startswith("Global"):
        return _Window(size, size, (1,) * dims, ((0, 0),) * dims)
    kernel = w[2:] if w is not None else tuple(attributes["kernel_shape"])
    stride = tuple(attributes.get("strides", (1,) * dims))
    dilation = tuple(attributes.get("dilations", (1,) * dims))
    pads = tuple(attributes.get("pads", (0,) * 2 * dims))
    padding = tuple(zip(pads[:dims], pads[dims:], strict=True))
    same = attributes.get("auto_pad", b"NOTSET")
    if same in (b"SAME_UPPER", b"SAME_LOWER") and node.op_type != "ConvTranspose":
        pairs = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            pairs.append(_halves(total, larger_first=same == b"SAME_LOWER"))
        padding = tuple(pairs)
    return _Window(kernel, stride, dilation, padding)


def _halves(total: int, *, larger_first: bool) -> tuple[int, int]:
    half = total - total // 2 if larger_first else total // 2
    return half, total - half


def _cropped(
    attributes: Mapping[str, Any], window: _Window, size: Shape, out: Shape
) -> dict[str, Any]:
    """Return what a transposed convolution crops and adds; its output says so under auto_pad."""
    added = tuple(attributes.get("output_padding", (0,) * len(size)))
    same = attributes.get("auto_pad", b"NOTSET")
    if same in (b"NOTSET", b"VALID") and "output_shape" not in attributes:
        return {"output_padding": added}
    padding, grown = [], []
    axes = zip(size, out, window.kernel, window.stride, window.dilation, added, strict=True)
    for n, m, k, s, d, more in axes:
        total = (n - 1) * s + more + d * (k - 1) + 1 - m
        padding.append(_halves(max(0, total), larger_first=same != b"SAME_UPPER"))
        grown.append(more + max(0, -total))
    return {"padding": tuple(padding), "output_padding": tuple(grown)}
