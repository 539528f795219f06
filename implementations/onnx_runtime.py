"""ONNX Runtime, its CPU execution provider: a model of one node, Conv, ConvTranspose or a pool.

Arrays and parameters map one to one (ONNX is channels-first, with asymmetric padding, ceil_mode and
count_include_pad): nothing is padded, cropped or checked here. A session is made for the parameters
and the dtype of a call and kept, for up to `MAX_SESSIONS` of them; it serves every shape. What the
session says that it has no kernel for is Unsupported: with 1.32 float64 in all but MaxPool; so is
an output_padding of stride or more, which ONNX has and the session refuses by name. There are no
gradients (they are in a build of their own, for training).

As it stands, ONNX Runtime rewrites graphs as far as it can, and uses a thread a core. Here it is
told how many by OMP_NUM_THREADS, else one, since each session has threads of its own. float16 is
converted to float32 and back by the graph's rewriting where there is no kernel for it.

Weights are an input of the model in `onnxruntime`. `onnxruntime[constant]` has them as constants,
as a trained model does: then weights are packed in advance and, where a channel count allows,
convolved in blocks of channels (NCHWc), which is other code. Its sessions are made for each call.
The kernels are the project's own (MLAS), whose family is named after it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import Unsupported, implementation
from implementations import _onnx_open_model as models
from implementations import _onnx_snippet
from implementations._common import Array, Padding, Shape

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_SESSIONS = 256
"""Sessions that are kept."""

onnxruntime = implementation(
    "onnxruntime",
    package="onnxruntime",
    extra="onnxruntime",
    dtypes=("float32", "float64", "float16", "int8", "uint8"),
    conventions={"nan": "ignore", "zero_channels": "empty_sum"},
    snippet=_onnx_snippet.runtime,
)
constant = implementation(
    "onnxruntime[constant]",
    family="onnxruntime",
    package="onnxruntime",
    extra="onnxruntime",
    dtypes=("float32", "float64", "float16"),
    conventions={"zero_channels": "empty_sum"},
    snippet=_onnx_snippet.runtime_constant,
)


@onnxruntime
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
    """Conv."""
    return _run("Conv", models.conv(stride, padding, dilation, groups), x, w, bias)


@onnxruntime
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
    """ConvTranspose."""
    attributes = models.conv(stride, padding, dilation, groups, output_padding=output_padding)
    return _run("ConvTranspose", attributes, x, w, bias)


@onnxruntime
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """MaxPool."""
    return _run("MaxPool", models.pool(kernel, stride, padding, ceil_mode, dilations=dilation), x)


@onnxruntime
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """AveragePool."""
    include = int(count_include_pad)
    attributes = models.pool(kernel, stride, padding, ceil_mode, count_include_pad=include)
    return _run("AveragePool", attributes, x)


def _conv_constant(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """Conv with weights that are constants of the model."""
    return _run_constant("Conv", models.conv(stride, padding, dilation, groups), x, w, bias)


def _conv_transpose_constant(
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
    """ConvTranspose with weights that are constants of the model."""
    attributes = models.conv(stride, padding, dilation, groups, output_padding=output_padding)
    return _run_constant("ConvTranspose", attributes, x, w, bias)


constant.register("conv", _conv_constant)
constant.register("conv_transpose", _conv_transpose_constant)


def _run(operator: str, attributes: models.Attributes, *arrays: Array | None) -> Array:
    """Run the model of one node on x, w and bias, or on x alone."""
    inputs = models.feeds(*arrays)  # type: ignore[arg-type]
    ranks = tuple(array.ndim for array in inputs.values())
    session = _session(operator, str(inputs["x"].dtype), ranks, attributes)
    return _result(session, inputs)


def _run_constant(
    operator: str, attributes: models.Attributes, x: Array, w: Array, bias: Array | None
) -> Array:
    inputs = models.feeds(x, w, bias)
    ranks = tuple(array.ndim for array in inputs.values())
    dtype, weight = str(inputs["x"].dtype), np.ascontiguousarray(inputs.pop("w"))
    return _result(_made(models.model(operator, dtype, ranks, attributes, weight)), inputs)


def _result(session: InferenceSession, inputs: dict[str, Array]) -> Array:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    try:
        (result,) = session.run(None, inputs)
    except InvalidArgument as problem:
        if "may be too large for stride" in str(problem):
            raise Unsupported("no output_padding of stride or more") from None
        raise
    y: Array = result
    return y


@lru_cache(MAX_SESSIONS)
def _session(
    operator: str, dtype: str, ranks: Shape, attributes: models.Attributes
) -> InferenceSession:
    return _made(models.model(operator, dtype, ranks, attributes))


def _made(model: bytes) -> InferenceSession:
    """Return a session, or raise Unsupported where it says that it has no kernel."""
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    options.log_severity_level = 4  # what goes wrong is an exception: nothing on the terminal
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except NoKernel as problem:
        raise Unsupported(str(problem).rpartition(" : ")[2].strip()) from None
