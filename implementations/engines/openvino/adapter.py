"""OpenVINO, its CPU device: a model of one operator, of its newest set, compiled for a shape.

Arrays and parameters map one to one. The operators are convolution, convolution_backprop_data, the
same with group_ before, whose weights have an axis more, max_pool (its first output) and avg_pool.
An addition of the bias follows, which rounds a second time in float16 and bfloat16: Unsupported.
There are no gradients.

Checked here is what OpenVINO does not see: groups that do not divide the weights, which are laid
out by them, and the shape of the bias, which an addition would broadcast. What OpenVINO itself
refuses, an empty batch, is Unsupported. Compiling takes 15 to 40 ms; up to `MAX_MODELS` are kept.

As it stands, OpenVINO computes in bfloat16 on CPUs that have it. `openvino` is told float32
(INFERENCE_PRECISION_HINT); `openvino[bfloat16]` is what one gets without saying so, and declines
where the CPU has none. float64 and the wider integers are accepted, and computed in float32 or
int32: their cells say so. Weights are inputs of the model; `openvino[constant]` has them as
constants, as a trained model does, which are packed in advance, and compiles for every call. The
number of threads is that of OMP_NUM_THREADS, else one. Its kernels are its own and oneDNN's (the
family), which computes convolutions of PyTorch and TensorFlow as well: they are not two witnesses.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Shape, native
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.openvino import snippet
from conformance.implementations.engines.openvino.arguments import (
    attributes,
    function_name,
    grouped,
)

if TYPE_CHECKING:
    from openvino import CompiledModel

MAX_MODELS = 256
"""Compiled models that are kept."""

Attributes: TypeAlias = tuple[tuple[str, Any], ...]
Shapes: TypeAlias = tuple[tuple[str, Shape], ...]
"""The dtype and the shape of each array."""
Run: TypeAlias = Callable[[str, list[Array], Attributes], Array]
"""Runs an operator, by OpenVINO's name, on the arrays that are not None."""

REFUSAL = "Batch size is zero"
"""What OpenVINO says where it refuses a valid case."""


def _register(name: str, run: Run, *operators: str, **declared: Any) -> None:
    """Register ``operators`` as ``name``, each as a model that ``run`` runs."""
    openvino = implementation(
        name,
        family="onednn",
        package="openvino",
        extra="openvino",
        dtypes=DTYPES,
        threads="one",  # a compiled model has one request, which its calls share
        conventions={"nan": "ignore"},
        known="known.toml",
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
    inputs = [np.ascontiguousarray(array, native(array.dtype)) for array in arrays]
    is_grouped = w is not None and arrays[1].ndim > w.ndim
    return run(function_name(operator, is_grouped), inputs, tuple(attributes(parameters).items()))


# --- compiling and calling ----------------------------------------------------------------------


def _run_kept_model(
    function: str, inputs: list[Array], values: Attributes, precision: str | None = "f32"
) -> Array:
    """Run a compiled model that is kept for the shapes, the dtype and the attributes."""
    return _result(_compiled(function, _shapes(inputs), values, precision), inputs)


def _run_with_constant(function: str, inputs: list[Array], values: Attributes) -> Array:
    """Compile a model whose second input is a constant, and run it."""
    model = _compile(function, _shapes(inputs), values, "f32", weight=inputs[1])
    return _result(model, [inputs[0], *inputs[2:]])


def _run_at_own_precision(function: str, inputs: list[Array], values: Attributes) -> Array:
    """Run a model at the precision that OpenVINO chooses by itself, where that is bfloat16."""
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("this CPU has no bfloat16, so that OpenVINO computes in float32")
    return _run_kept_model(function, inputs, values, None)


def _shapes(inputs: list[Array]) -> Shapes:
    return tuple((str(array.dtype), array.shape) for array in inputs)


def _result(model: CompiledModel, inputs: list[Array]) -> Array:
    y: Array = model([_tensor(array) for array in inputs])[0]
    # NumPy has no bfloat16, and OpenVINO calls it float16.
    return y.view(inputs[0].dtype) if inputs[0].dtype.name == "bfloat16" else y


def _tensor(array: Array) -> Any:
    from openvino import Shape as Size
    from openvino import Tensor, Type

    if array.dtype.name == "bfloat16":
        return Tensor(array.view(np.int16), Size(array.shape), Type.bf16)
    return array


def _compile(
    function: str,
    shapes: Shapes,
    values: Attributes,
    precision: str | None,
    weight: Array | None = None,
) -> CompiledModel:
    """Return the compiled model of one operator on inputs of these dtypes and shapes.

    The second of them is the constant ``weight``, if there is one.
    """
    from openvino import Model, Type

    ops, op = _operators()
    nodes = [
        ops.parameter(list(shape), Type.bf16 if dtype == "bfloat16" else np.dtype(dtype))
        for dtype, shape in shapes
    ]
    inputs = list(nodes)
    if weight is not None:
        inputs.pop(1)
        nodes[1] = op.Constant(_tensor(weight))
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": int(os.environ.get("OMP_NUM_THREADS") or 1)}
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    keywords = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    try:
        y = getattr(ops, function)(*nodes[:2], **keywords)
        if nodes[2:]:
            shape = np.array((1, -1, *(1,) * (len(y.get_output_partial_shape(0)) - 2)))
            y = ops.add(y, ops.reshape(nodes[2], ops.constant(shape), special_zero=False))
        return _core().compile_model(Model([y.output(0)], inputs, "model"), "CPU", options)
    except RuntimeError as problem:
        if REFUSAL in str(problem):
            raise Unsupported(REFUSAL) from None
        raise


_compiled = lru_cache(MAX_MODELS)(_compile)


@lru_cache(1)
def _operators() -> tuple[Any, Any]:
    """Return the newest set of operators that there is, and the module of constants.

    Before 2025 both are in openvino.runtime. Raises Unsupported where there is no such set.
    """
    for module in ("openvino", "openvino.runtime"):
        for name in ("opset15", "opset14"):
            with contextlib.suppress(ImportError):
                operators = importlib.import_module(f"{module}.{name}")
                return operators, importlib.import_module(f"{module}.op")
    raise Unsupported("OpenVINO has no operator set 14, the first whose pools know ceil_torch")


@lru_cache(1)
def _core() -> Any:
    from openvino import Core

    return Core()


_register(
    "openvino",
    _run_kept_model,
    *Adapter.operators,
    settings="INFERENCE_PRECISION_HINT f32; weights are inputs",
    shape_seconds=0.02,
    snippet=snippet.snippet,
)
_register(
    "openvino[constant]",
    _run_with_constant,
    *("conv", "conv_transpose"),
    settings="INFERENCE_PRECISION_HINT f32; weights are constants",
    shape_seconds=0.03,
    snippet=snippet.constant,
)
_register(
    "openvino[bfloat16]",
    _run_at_own_precision,
    *Adapter.operators,
    multiply="bfloat16",
    accumulate="float32",
    settings="no INFERENCE_PRECISION_HINT, as by default: bfloat16 where the CPU has it",
    shape_seconds=0.02,
    snippet=snippet.as_it_stands,
)
