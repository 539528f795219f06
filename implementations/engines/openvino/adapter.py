"""OpenVINO, its CPU device: a model of one operator, of its newest set, compiled for a shape.

Arrays and parameters map one to one: channels-first, asymmetric padding (pads_begin, pads_end),
ceil_mode as rounding_type "ceil_torch", count_include_pad as exclude_pad. Which operator is called:

- conv: convolution, or group_convolution, whose weights have an axis more, then an addition of the
  bias, which rounds a second time in float16 and bfloat16: Unsupported.
- conv_transpose: convolution_backprop_data, or group_convolution_backprop_data, likewise.
- max_pool, avg_pool: max_pool (its first output), avg_pool.

Nothing is padded, cropped or checked here but what OpenVINO does not see: groups that do not divide
the weights, which are laid out by them, and the shape of the bias, which an addition would
broadcast. What OpenVINO itself refuses, an empty batch, is Unsupported.
Compiling takes 15 to 40 ms; models are kept, up to `MAX_MODELS` of them. There are no gradients.

As it stands, OpenVINO computes in bfloat16 on CPUs that have it. `openvino` is told float32
(INFERENCE_PRECISION_HINT); `openvino[bfloat16]` is what one gets without saying so, and declines
where the CPU has none. float64 and the wider integers are accepted, and computed in float32 or
int32: their cells say so. Weights are inputs of the model; `openvino[constant]` has them as
constants, as a trained model does, which are packed in advance, and compiles for every call. The
number of threads is that of OMP_NUM_THREADS, else one. Its kernels are its own and oneDNN's (the
family), which computes convolutions of PyTorch and TensorFlow as well: they are not two witnesses.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Shape, native
from conformance.implementations.engines.openvino import snippet
from conformance.implementations.engines.openvino.arguments import (
    attributes,
    function_name,
    grouped,
)

if TYPE_CHECKING:
    from openvino import CompiledModel, Node

MAX_MODELS = 256
"""Compiled models that are kept."""

Attributes: TypeAlias = tuple[tuple[str, Any], ...]
Run: TypeAlias = Callable[[str, list[Array], Attributes], Array]
"""Runs an operator, by OpenVINO's name, on the arrays that there are."""

_REFUSALS = ("Batch size is zero",)
"""What OpenVINO says where it refuses a valid case."""


def _register(name: str, run: Run, *operators: str, **declared: Any) -> None:
    """Register ``operators`` as ``name``, each as a model that ``run`` runs."""
    openvino = implementation(
        name,
        family="onednn",
        package="openvino",
        extra="openvino",
        dtypes=DTYPES,
        conventions={"nan": "ignore"},
        **declared,
    )
    for operator in operators:
        openvino.register(operator, partial(_call, operator, run))


def _call(
    operator: str,
    run: Run,
    x: Array,
    w: Array | None = None,
    bias: Array | None = None,
    **parameters: Any,
) -> Array:
    arrays = [x]
    if w is not None:
        arrays.append(grouped(w, parameters["groups"]))
    if w is not None and bias is not None:
        if bias.dtype.itemsize == 2:
            raise Unsupported(f"a second operator adds the bias and rounds to {bias.dtype} again")
        channels = len(w) if operator == "conv" else w.shape[1] * parameters["groups"]
        if bias.shape != (channels,):
            raise ValueError(f"bias: shape {bias.shape}; must be ({channels},), or it is broadcast")
        arrays.append(bias)
    given = [np.ascontiguousarray(array, native(array.dtype)) for array in arrays]
    several = w is not None and arrays[1].ndim > w.ndim
    return run(function_name(operator, several), given, tuple(attributes(parameters).items()))


# --- compiling and calling ----------------------------------------------------------------------


def _kept(
    function: str, given: list[Array], values: Attributes, precision: str | None = "f32"
) -> Array:
    """Run a compiled model that is kept for the shapes, the dtype and the attributes."""
    key = tuple((str(array.dtype), array.shape) for array in given)
    return _result(_compiled(function, key, values, precision), given)


def _constant(function: str, given: list[Array], values: Attributes) -> Array:
    """Compile a model whose second input is a constant, and run it."""
    shapes = tuple((str(array.dtype), array.shape) for array in given)
    model = _made(function, shapes, values, "f32", weight=given[1])
    return _result(model, [given[0], *given[2:]])


def _as_it_stands(function: str, given: list[Array], values: Attributes) -> Array:
    """Run a model at the precision that OpenVINO chooses by itself, where that is bfloat16."""
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("this CPU has no bfloat16, so that OpenVINO computes in float32")
    return _kept(function, given, values, None)


def _result(model: CompiledModel, inputs: list[Array]) -> Array:
    y: Array = model([_tensor(array) for array in inputs])[0]
    if inputs[0].dtype.name == "bfloat16":  # which NumPy has not, and OpenVINO calls float16
        return y.view(inputs[0].dtype)
    return y


def _tensor(array: Array) -> Any:
    from openvino import Shape as Size
    from openvino import Tensor, Type

    if array.dtype.name == "bfloat16":
        return Tensor(array.view(np.int16), Size(array.shape), Type.bf16)
    return array


@lru_cache(MAX_MODELS)
def _compiled(
    function: str,
    shapes: tuple[tuple[str, Shape], ...],
    values: Attributes,
    precision: str | None,
) -> CompiledModel:
    return _made(function, shapes, values, precision)


def _made(
    function: str,
    shapes: tuple[tuple[str, Shape], ...],
    values: Attributes,
    precision: str | None,
    weight: Array | None = None,
) -> CompiledModel:
    """Return the compiled model of one operator on inputs of these dtypes and shapes."""
    import openvino.opset15 as ops
    from openvino import Model, Type, op

    nodes = [
        ops.parameter(list(shape), Type.bf16 if dtype == "bfloat16" else np.dtype(dtype))
        for dtype, shape in shapes
    ]
    inputs = list(nodes)
    if weight is not None:
        inputs.pop(1)
        nodes[1] = op.Constant(_tensor(weight)) if _is_bfloat16(weight) else ops.constant(weight)
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": int(os.environ.get("OMP_NUM_THREADS") or 1)}
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    named = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    try:
        y = getattr(ops, function)(*nodes[:2], **named)
        model = Model([_biased(y, *nodes[2:]).output(0)], inputs, "model")
        return _core().compile_model(model, "CPU", options)
    except RuntimeError as problem:
        for refusal in _REFUSALS:
            if refusal in str(problem):
                raise Unsupported(refusal) from None
        raise


def _biased(y: Node, *bias: Node) -> Node:
    import openvino.opset15 as ops

    if not bias:
        return y
    shape = (1, -1, *(1,) * (len(y.get_output_partial_shape(0)) - 2))
    return ops.add(y, ops.reshape(bias[0], ops.constant(np.array(shape)), special_zero=False))


def _is_bfloat16(array: Array) -> bool:
    return bool(array.dtype.name == "bfloat16")


@lru_cache(1)
def _core() -> Any:
    from openvino import Core

    return Core()


_ALL = ("conv", "conv_transpose", "max_pool", "avg_pool")
_register(
    "openvino",
    _kept,
    *_ALL,
    settings="INFERENCE_PRECISION_HINT f32; weights are inputs",
    shape_seconds=0.02,
    snippet=snippet.snippet,
    known="known.toml",
)
_register(
    "openvino[constant]",
    _constant,
    *("conv", "conv_transpose"),
    settings="INFERENCE_PRECISION_HINT f32; weights are constants",
    shape_seconds=0.03,
    snippet=snippet.constant,
    known="known.toml",
)
_register(
    "openvino[bfloat16]",
    _as_it_stands,
    *_ALL,
    multiply="bfloat16",
    accumulate="float32",
    settings="no INFERENCE_PRECISION_HINT, as by default: bfloat16 where the CPU has it",
    shape_seconds=0.02,
    snippet=snippet.as_it_stands,
    known="known.toml",
)
