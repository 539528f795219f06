"""OpenCV's module dnn: ONNX models of one node, read from memory and run on the CPU.

The node is Conv, ConvTranspose, MaxPool or AveragePool, whose attributes are the suite's parameters
(padding of both ends, dilation, groups, output_padding, ceil_mode, count_include_pad), so nothing
is emulated. `cv2.dnn.readNetFromONNX` reads it with the default engine of OpenCV 5; its classic
engine and its new one gave the same bits in 1 to 3 dimensions, with and without
`Net.enableWinograd`. Weights are constants of the model, as in any model that OpenCV runs: a
network is built for parameters and weights that are new, and the last of them are kept, so that a
repeated call only runs it. float32 alone is claimed: other dtypes are converted on the way. Its own
kernels, with matrix products of the library MLAS: family `opencv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import implementation
from implementations import _inference_snippets
from implementations._common import (
    Array,
    Padding,
    Shape,
    conv_size,
    conv_transpose_size,
    native,
    pool_size,
)
from implementations._onnx_model import conv_attributes, one_node, pool_attributes

opencv = implementation(
    "opencv",
    family="opencv",
    package="opencv-python-headless",
    extra="opencv",
    dtypes=("float32",),
    snippet=_inference_snippets.opencv,
    conventions={"subnormal": "flush"},
)


@opencv
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
    """ONNX's Conv."""
    out = conv_size(x, w, bias, stride, padding, dilation, groups)
    attributes = conv_attributes(w.shape[2:], stride, padding, dilation, groups)
    return _run("Conv", x, (len(x), len(w), *out), attributes, {"w": w, "bias": bias})


@opencv
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
    """ONNX's ConvTranspose."""
    out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
    attributes = conv_attributes(w.shape[2:], stride, padding, dilation, groups)
    attributes["output_padding"] = [*output_padding]
    shape = (len(x), w.shape[1] * groups, *out)
    return _run("ConvTranspose", x, shape, attributes, {"w": w, "bias": bias})


@opencv
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """ONNX's MaxPool."""
    out, _ = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    attributes = pool_attributes(kernel, stride, padding, ceil_mode, dilations=[*dilation])
    return _run("MaxPool", x, (*x.shape[:2], *out), attributes, {})


@opencv
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """ONNX's AveragePool."""
    out, _ = pool_size(x, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    attributes = pool_attributes(
        kernel, stride, padding, ceil_mode, count_include_pad=int(count_include_pad)
    )
    return _run("AveragePool", x, (*x.shape[:2], *out), attributes, {})


def _run(
    operator: str,
    x: Array,
    out: Shape,
    attributes: Mapping[str, Any],
    constants: Mapping[str, Array | None],
) -> Array:
    x = np.array(x, native(x.dtype), order="C")
    stored = {
        name: None if array is None else np.array(array, native(array.dtype), order="C")
        for name, array in constants.items()
    }
    net = _net(one_node(operator, x, out, attributes, stored))
    net.setInput(x)
    result = net.forward()
    if result is None:
        raise RuntimeError(f"OpenCV: {operator} of x{x.shape} returned nothing")
    return np.array(result)


@lru_cache(maxsize=128)
def _net(model: bytes) -> Any:
    import cv2

    return cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
