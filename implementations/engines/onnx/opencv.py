"""OpenCV's module dnn: ONNX models of one node (``model.py``), read from memory, on the CPU.

Nothing is emulated, padded, cropped or checked here but a negative stride of Conv or a pool: OpenCV
5.0 refuses it too, but has written beyond its memory by then, so that some later call, of anything,
ends the process.

`cv2.dnn.readNetFromONNX` reads it with the default engine of OpenCV 5; `opencv[engine=classic]` and
`opencv[engine=new]` choose one, which gave the same bits in 1 to 3 dimensions, with and without
`Net.enableWinograd` (`opencv[winograd=off]`). The new engine has no devices but the CPU. Weights
are constants of the model; the last `MAX_NETS` networks are kept. float32 alone is claimed: other
dtypes are converted on the way. Its own kernels, with matrix products of MLAS: family `opencv`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from conformance import implementation
from conformance.implementations._arguments import Array
from conformance.implementations.engines.onnx import snippet
from conformance.implementations.engines.onnx.model import Node, register
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

MAX_NETS = 128
"""Networks that are kept."""
_ENGINES = ("auto", "new", "classic")


def _run(chosen: tuple[str, str], node: Node, inputs: dict[str, Array]) -> Array:
    """Run a network on a copy; its result is copied: the next call writes to the same memory."""
    strides = dict(node.attributes)["strides"]
    if node.operator != "conv_transpose" and any(isinstance(s, int) and s < 0 for s in strides):
        raise ValueError(f"stride={strides!r}: OpenCV refuses it, with its memory damaged")
    net = _net(node, *chosen)
    net.setInput(np.array(inputs["x"], order="C"))
    result = net.forward()
    if result is None:
        raise RuntimeError(f"OpenCV: {node.operator} of x{inputs['x'].shape} returned nothing")
    return np.array(result)


@lru_cache(MAX_NETS)
def _net(node: Node, engine: str, winograd: str) -> Any:
    import cv2

    which = getattr(cv2.dnn, f"ENGINE_{engine.upper()}")
    net = cv2.dnn.readNetFromONNX(np.frombuffer(node.model, np.uint8), which)
    if winograd == "off":
        net.enableWinograd(False)
    return net


OPTIONS = (
    Option("engine", "The engine; auto is the new one, else the classic one.", _ENGINES, "auto"),
    Option("winograd", "Whether Winograd is used where it can be.", ("on", "off"), "on"),
)


def _made(chosen: Chosen) -> Variant:
    engine, winograd = chosen["engine"], chosen["winograd"]
    used = "Winograd as by default" if winograd == "on" else "no Winograd"
    declared = {
        "settings": f"cv2.dnn's engine {engine}, {used}; weights are constants",
        "snippet": partial(snippet.opencv, chosen=(engine, winograd)),
    }
    run = partial(_run, (engine, winograd))
    return Variant(partial(register, run=run, constants=("w", "bias"), fixed=True), declared)


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
register(opencv, partial(_run, ("auto", "on")), constants=("w", "bias"), fixed=True)
in_use().offer(Offer(opencv, OPTIONS, _made, __name__))
