"""OpenVINO, its CPU device: a model of one operator, of its newest set, compiled for a shape.

Arrays and parameters map one to one: channels-first, asymmetric padding (pads_begin, pads_end),
ceil_mode as rounding_type "ceil_torch", count_include_pad as exclude_pad. Which operator is called:

- conv: convolution, or group_convolution, whose weights have an axis more, then an addition of the
  bias, which rounds a second time in float16 and bfloat16: Unsupported.
- conv_transpose: convolution_backprop_data, or group_convolution_backprop_data, likewise.
- max_pool, avg_pool: max_pool (its first output), avg_pool.

Nothing is padded, cropped or checked here but what says how the weights are laid out: groups that
do not divide the channels. What OpenVINO itself refuses, an empty batch, is Unsupported.
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
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import KnownDifference, Unsupported, implementation
from conformance.dtypes import DTYPES
from implementations._common import Array, Padding, Shape, native
from implementations._openvino_snippet import constant, snippet

if TYPE_CHECKING:
    from openvino import CompiledModel, Node

MAX_MODELS = 256
"""Compiled models that are kept."""

Attributes = tuple[tuple[str, Any], ...]

_REFUSALS = ("Batch size is zero",)
"""What OpenVINO says where it refuses a valid case."""


def _register(name: str, run: Callable[..., Array], *operators: str, **declared: Any) -> None:
    """Register ``operators``, or all, as ``name``; ``run(build, arrays, attributes)`` runs them."""
    openvino = implementation(
        name,
        family="onednn",
        package="openvino",
        extra="openvino",
        dtypes=DTYPES,
        conventions={"nan": "ignore", "pool_padding": "accept"},
        **declared,
    )

    def conv(
        x: Array,
        w: Array,
        bias: Array | None,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Convolution or group_convolution."""
        _not_twice(bias)
        attributes = _attributes(stride, padding, dilations=dilation)
        return run(_conv, (x, _grouped(w, groups), bias), attributes)

    def conv_transpose(
        x: Array,
        w: Array,
        bias: Array | None,
        *,
        stride: Shape,
        padding: Padding,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Convolution_backprop_data or group_convolution_backprop_data."""
        _not_twice(bias)
        attributes = _attributes(stride, padding, dilations=dilation, output_padding=output_padding)
        return run(_conv_transpose, (x, _grouped(w, groups), bias), attributes)

    def max_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """max_pool, whose second output, the indices, is not asked for."""
        rounding = _rounding(ceil_mode)
        attributes = _attributes(
            stride, padding, dilations=dilation, kernel_shape=kernel, rounding_type=rounding
        )
        return run(_max_pool, (x,), attributes)

    def avg_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """avg_pool."""
        attributes = _attributes(
            stride,
            padding,
            kernel_shape=kernel,
            rounding_type=_rounding(ceil_mode),
            exclude_pad=not count_include_pad,
        )
        return run(_avg_pool, (x,), attributes)

    for function in (conv, conv_transpose, max_pool, avg_pool):
        if not operators or function.__name__ in operators:
            openvino(function)


# --- models -------------------------------------------------------------------------------------


def _conv(x: Node, w: Node, *bias: Node, **attributes: Any) -> Node:
    import openvino.opset15 as ops

    grouped = len(w.shape) > len(x.shape)
    y = (ops.group_convolution if grouped else ops.convolution)(x, w, **attributes)
    return _biased(y, *bias)


def _conv_transpose(x: Node, w: Node, *bias: Node, **attributes: Any) -> Node:
    import openvino.opset15 as ops

    grouped = len(w.shape) > len(x.shape)
    function = ops.group_convolution_backprop_data if grouped else ops.convolution_backprop_data
    return _biased(function(x, w, **attributes), *bias)


def _max_pool(x: Node, **attributes: Any) -> Node:
    import openvino.opset15 as ops

    return ops.max_pool(x, **attributes)


def _avg_pool(x: Node, **attributes: Any) -> Node:
    import openvino.opset15 as ops

    return ops.avg_pool(x, **attributes)


def _biased(y: Node, *bias: Node) -> Node:
    import openvino.opset15 as ops

    if not bias:
        return y
    shape = (1, -1, *(1,) * (len(y.get_output_partial_shape(0)) - 2))
    return ops.add(y, ops.reshape(bias[0], ops.constant(np.array(shape)), special_zero=False))


def _not_twice(bias: Array | None) -> None:
    """Decline a bias in the half types, which is added to what is rounded already."""
    if bias is not None and bias.dtype.itemsize == 2:
        raise Unsupported(f"a second operator adds the bias and rounds to {bias.dtype} again")


def _attributes(stride: Shape, padding: Padding, **further: Any) -> Attributes:
    """Return what every operator takes, and more; hashable, as what a compiled model is kept by."""
    before, after = zip(*padding, strict=True) if padding else ((), ())
    named = {"strides": stride, "pads_begin": before, "pads_end": after, **further}
    return tuple((name, _fixed(value)) for name, value in named.items())


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _rounding(ceil_mode: bool) -> str:
    return "ceil_torch" if ceil_mode else "floor"


def _grouped(w: Array, groups: int) -> Array:
    """Return ``w`` with its first axis divided into groups, where there are several."""
    if groups == 1:
        return w
    if groups < 1 or len(w) % groups:
        raise ValueError(f"groups={groups!r}: must divide the first axis of w{w.shape}")
    return w.reshape(groups, len(w) // groups, *w.shape[1:])


# --- compiling and calling ----------------------------------------------------------------------


def _kept(
    build: Callable[..., Node],
    arrays: tuple[Array | None, ...],
    attributes: Attributes,
    precision: str | None = "f32",
) -> Array:
    """Run a compiled model that is kept for the shapes, the dtype and the attributes."""
    given = _native(arrays)
    key = tuple((str(array.dtype), array.shape) for array in given)
    return _result(_compiled(build, key, attributes, precision), given)


def _constant(
    build: Callable[..., Node], arrays: tuple[Array | None, ...], attributes: Attributes
) -> Array:
    """Compile a model whose second input is a constant, and run it."""
    given = _native(arrays)
    shapes = tuple((str(array.dtype), array.shape) for array in given)
    model = _made(build, shapes, attributes, "f32", weight=given[1])
    return _result(model, [given[0], *given[2:]])


def _as_it_stands(
    build: Callable[..., Node], arrays: tuple[Array | None, ...], attributes: Attributes
) -> Array:
    """Run a model at the precision that OpenVINO chooses by itself, where that is bfloat16."""
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("this CPU has no bfloat16, so that OpenVINO computes in float32")
    return _kept(build, arrays, attributes, None)


def _native(arrays: tuple[Array | None, ...]) -> list[Array]:
    return [
        np.ascontiguousarray(array, native(array.dtype)) for array in arrays if array is not None
    ]


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
    build: Callable[..., Node],
    shapes: tuple[tuple[str, Shape], ...],
    attributes: Attributes,
    precision: str | None,
) -> CompiledModel:
    return _made(build, shapes, attributes, precision)


def _made(
    build: Callable[..., Node],
    shapes: tuple[tuple[str, Shape], ...],
    attributes: Attributes,
    precision: str | None,
    weight: Array | None = None,
) -> CompiledModel:
    """Return the compiled model of ``build`` on inputs of these dtypes and shapes."""
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
    try:
        named = {name: _listed(value) for name, value in attributes}
        return _core().compile_model(
            Model([build(*nodes, **named).output(0)], inputs, "model"), "CPU", options
        )
    except RuntimeError as problem:
        for refusal in _REFUSALS:
            if refusal in str(problem):
                raise Unsupported(refusal) from None
        raise


def _is_bfloat16(array: Array) -> bool:
    return bool(array.dtype.name == "bfloat16")


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@lru_cache(1)
def _core() -> Any:
    from openvino import Core

    return Core()


_SINGLE = "the CPU device computes float64 in float32"
_WHOLE = "the CPU device computes these integers in int32 or float32"
_CONVOLUTIONS = [
    KnownDifference(
        "RESULT-1",
        case="conv1d:float64:x=1,1,1:w=1,1,1:normal@0",
        where={"operator": "conv", "dtype": "float64"},
        reason=_SINGLE,
    ),
    KnownDifference(
        "RESULT-1",
        case="conv_transpose1d:float64:x=1,1,1:w=1,1,1:normal@0",
        where={"operator": "conv_transpose", "dtype": "float64"},
        reason=_SINGLE,
    ),
    KnownDifference(
        "INTEGER-1",
        case="conv1d:int32:x=1,1,1:w=1,1,1:integers@2",
        where={"operator": "conv", "dtype": ("int32", "int64")},
        reason=_WHOLE,
    ),
]
_POOLS = [
    KnownDifference(
        "MAXPOOL-4",
        case="max_pool1d:float64:x=1,1,1:kernel=1:normal@0",
        where={"operator": "max_pool", "dtype": "float64"},
        reason=_SINGLE,
    ),
    KnownDifference(
        "INTEGER-2",
        case="max_pool1d:int32:x=1,2,1:kernel=1:integers@0",
        where={"operator": "max_pool", "dtype": ("int32", "int64")},
        reason=_WHOLE,
    ),
    KnownDifference(
        "RESULT-1",
        case="avg_pool1d:float64:x=1,1,1:kernel=1:normal@0",
        where={"operator": "avg_pool", "dtype": "float64"},
        reason=_SINGLE,
    ),
]

_register("openvino", _kept, snippet=snippet, known=[*_CONVOLUTIONS, *_POOLS])
_register(
    "openvino[constant]",
    _constant,
    *("conv", "conv_transpose"),
    snippet=constant,
    known=_CONVOLUTIONS,
)
_register("openvino[bfloat16]", _as_it_stands, multiply="bfloat16", accumulate="float32")
