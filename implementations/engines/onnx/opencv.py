"""OpenCV's module dnn: ONNX models of one node (``model.py``), read from memory, on the CPU.

Nothing is emulated, padded, cropped or checked here but a negative stride of Conv or a pool: OpenCV
5.0 refuses it too, but has written beyond its memory by then, so that some later call, of anything,
ends the process.

`cv2.dnn.readNetFromONNX` reads it with the default engine of OpenCV 5; its classic engine and its
new one gave the same bits in 1 to 3 dimensions, with and without `Net.enableWinograd`. Weights are
constants of the model; the last `MAX_NETS` networks are kept. float32 alone is claimed: other
dtypes are converted on the way. Its own kernels, with matrix products of MLAS: family `opencv`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from conformance import implementation
from conformance.implementations._arguments import Array
from conformance.implementations.engines.onnx import snippet
from conformance.implementations.engines.onnx.model import Node, register

MAX_NETS = 128
"""Networks that are kept."""


def _run(node: Node, inputs: dict[str, Array]) -> Array:
    """Run a network on a copy; its result is copied: the next call writes to the same memory."""
    strides = dict(node.attributes)["strides"]
    if node.operator != "conv_transpose" and any(isinstance(s, int) and s < 0 for s in strides):
        raise ValueError(f"stride={strides!r}: OpenCV refuses it, with its memory damaged")
    net = _net(node)
    net.setInput(np.array(inputs["x"], order="C"))
    result = net.forward()
    if result is None:
        raise RuntimeError(f"OpenCV: {node.operator} of x{inputs['x'].shape} returned nothing")
    return np.array(result)


@lru_cache(MAX_NETS)
def _net(node: Node) -> Any:
    import cv2

    return cv2.dnn.readNetFromONNX(np.frombuffer(node.model, np.uint8))


opencv = implementation(
    "opencv",
    package="opencv-python-headless",
    needs="onnx",
    extra="opencv",
    dtypes=("float32",),
    settings="cv2.dnn's default engine, Winograd as by default; weights are constants",
    snippet=snippet.opencv,
    conventions={"nan": "ignore", "pool_padding": "accept", "subnormal": "flush"},
    known="known_opencv.toml",
)
register(opencv, _run, constants=("w", "bias"), fixed=True)
