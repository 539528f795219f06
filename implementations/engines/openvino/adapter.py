"""OpenVINO: a model of one operator, of its newest set, compiled for a shape, and for its CPU.

Its options are `precision` (``openvino[precision=f16]``), `device` and `constant`. A precision that
the device does not compute in is declined.

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
from dataclasses import dataclass
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
from conformance.registration.implementation import Implementation
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

if TYPE_CHECKING:
    from openvino import CompiledModel

MAX_MODELS = 256
"""Compiled models that are kept."""

Attributes: TypeAlias = tuple[tuple[str, Any], ...]
Shapes: TypeAlias = tuple[tuple[str, Shape], ...]
"""The dtype and the shape of each array."""
CPU = "CPU"


@dataclass(frozen=True, slots=True)
class How:
    """How a model is compiled: the options chosen."""

    device: str = CPU
    precision: str = "f32"
    """The INFERENCE_PRECISION_HINT, or "auto" for none."""
    constant: bool = False


REFUSAL = "Batch size is zero"
"""What OpenVINO says where it refuses a valid case."""


def _call(
    operator: str,
    how: How,
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
    function, values = function_name(operator, is_grouped), tuple(attributes(parameters).items())
    if how.constant and w is not None:
        model = _compile(function, _shapes(inputs), values, how, weight=inputs.pop(1))
    else:
        model = _compiled(function, _shapes(inputs), values, how)
    return _result(model, inputs)


# --- compiling and calling ----------------------------------------------------------------------


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
    how: How,
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
    options: dict[str, Any] = {}
    if how.device == CPU:
        options["INFERENCE_NUM_THREADS"] = int(os.environ.get("OMP_NUM_THREADS") or 1)
    if how.precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = how.precision
    _check_precision(how)
    keywords = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    try:
        y = getattr(ops, function)(*nodes[:2], **keywords)
        if nodes[2:]:
            shape = np.array((1, -1, *(1,) * (len(y.get_output_partial_shape(0)) - 2)))
            y = ops.add(y, ops.reshape(nodes[2], ops.constant(shape), special_zero=False))
        return _core().compile_model(Model([y.output(0)], inputs, "model"), how.device, options)
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


def _check_precision(how: How) -> None:
    """Raise Unsupported where a device computes in another format than the one that is meant."""
    if how.precision == "f32":
        return
    needed = {"auto": "BF16", "bf16": "BF16", "f16": "FP16"}[how.precision]
    if needed not in _core().get_property(how.device, "OPTIMIZATION_CAPABILITIES"):
        what = {"BF16": "bfloat16", "FP16": "float16"}[needed]
        raise Unsupported(f"this {how.device} has no {what}, so that OpenVINO computes in float32")


OPTIONS = (
    Option(
        "precision",
        "The INFERENCE_PRECISION_HINT; auto gives none.",
        ("f32", "f16", "bf16", "auto"),
        "f32",
    ),
    Option(
        "device", "The device.", ("CPU", "GPU", "GPU.1", "NPU"), CPU, pattern=r"[A-Z]\w*(\.\d+)?"
    ),
    Option("constant", "Whether weights are constants of the model.", ("on", "off"), "off", "on"),
)


def _made(chosen: Chosen) -> Variant:
    how = How(chosen["device"], chosen["precision"], chosen["constant"] == "on")
    auto = "no INFERENCE_PRECISION_HINT, as by default: bfloat16 where the CPU has it"
    hint = auto if how.precision == "auto" else f"INFERENCE_PRECISION_HINT {how.precision}"
    weights = f"weights are {'constants' if how.constant else 'inputs'}"
    device = "" if how.device == CPU else f"device {how.device}"
    formats = {"bf16": "bfloat16", "auto": "bfloat16", "f16": "float16"}
    declared: dict[str, Any] = {
        "settings": "; ".join(filter(None, (device, hint, weights))),
        # A model that holds its weights is compiled for every call.
        "call_seconds": 0.02 if how.constant else openvino.call_seconds,
        "multiply": formats.get(how.precision),
        "accumulate": "float32" if how.precision in formats else None,
        "snippet": partial(snippet.varied, dict(chosen)),
    }
    if how.device != CPU:
        declared["family"] = f"openvino-{how.device.partition('.')[0].lower()}"
    ready = partial(_missing, how.device) if how.device != CPU else None
    # A CPU computes pools in the dtype of the model, whatever the hint.
    changes = ("conv", "conv_transpose") if how.device == CPU else Adapter.operators
    return Variant(partial(_register, how), declared, ready, changes)


def _register(how: How, implementation: Implementation) -> None:
    for operator in Adapter.operators:
        implementation.register(operator, partial(_call, operator, how))


def _missing(device: str) -> str | None:
    there = _core().available_devices
    if device in there or f"{device}.0" in there:
        return None
    return f"OpenVINO has no device '{device}' here; there are {', '.join(there)}"


openvino = implementation(
    "openvino",
    family="onednn",
    package="openvino",
    extra="openvino",
    dtypes=DTYPES,
    threads="one",  # a compiled model has one request, which its calls share
    conventions={"nan": "ignore"},
    known="known.toml",
    settings="INFERENCE_PRECISION_HINT f32; weights are inputs",
    call_seconds=5e-4,
    shape_seconds=0.015,
    snippet=snippet.snippet,
)
_register(How(), openvino)
_FIXED = {
    "openvino[constant]": {"constant": "on"},
    "openvino[bfloat16]": {"precision": "auto"},
}
in_use().offer(Offer(openvino, OPTIONS, _made, __name__, _FIXED))
