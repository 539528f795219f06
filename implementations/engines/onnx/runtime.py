"""ONNX Runtime, its CPU execution provider: a model of one node (``model.py``).

A session is made for the parameters and the dtype of a call and serves every shape; up to
`MAX_SESSIONS` are kept. What the session says that it has no kernel for is Unsupported: with 1.32
float64 in all but MaxPool; so is an output_padding of stride or more, which ONNX has and the
session refuses by name. There are no gradients (they are in a build of their own, for training).

As it stands, ONNX Runtime rewrites graphs as far as it can, and uses a thread a core; here as many
as OMP_NUM_THREADS says, else one. float16 is converted to float32 and back by the graph's rewriting
where there is no kernel for it.

Weights are an input of the model in `onnxruntime`. `onnxruntime[constant]` has them as constants,
as a trained model does: then weights are packed in advance and, where a channel count allows,
convolved in blocks of channels (NCHWc), which is other code. Its sessions are made for each call.
The kernels are the project's own (MLAS), whose family is named after it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from conformance import Unsupported, implementation
from conformance.implementations._arguments import Array
from conformance.implementations.engines.onnx import snippet
from conformance.implementations.engines.onnx.model import Node, register

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_SESSIONS = 256
"""Sessions that are kept."""


def _run(node: Node, inputs: dict[str, Array]) -> Array:
    """Run a session that is kept for the node, or one of its own where the weight is constant."""
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    session = _new_session(node) if node.constants else _session(node)
    try:
        y: Array = session.run(None, inputs)[0]
    except InvalidArgument as problem:
        if "may be too large for stride" in str(problem):
            raise Unsupported("no output_padding of stride or more") from None
        raise
    return y


def _new_session(node: Node) -> InferenceSession:
    """Return a session, or raise Unsupported where it says that it has no kernel."""
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    options.log_severity_level = 4  # what goes wrong is an exception: nothing on the terminal
    try:
        return ort.InferenceSession(node.model, options, providers=["CPUExecutionProvider"])
    except NoKernel as problem:
        raise Unsupported(str(problem).rpartition(" : ")[2].strip()) from None


_session = lru_cache(MAX_SESSIONS)(_new_session)

onnxruntime = implementation(
    "onnxruntime",
    package="onnxruntime",
    needs="onnx",
    extra="onnxruntime",
    dtypes=("float32", "float64", "float16", "int8", "uint8"),
    settings="CPU provider, all rewriting of graphs as by default; weights are inputs",
    conventions={"nan": "ignore"},
    known="known_runtime.toml",
    snippet=snippet.runtime,
)
constant = implementation(
    "onnxruntime[constant]",
    family="onnxruntime",
    package="onnxruntime",
    needs="onnx",
    extra="onnxruntime",
    dtypes=("float32", "float64", "float16"),
    settings="CPU provider, all rewriting of graphs as by default; weights are constants",
    conventions={"zero_channels": "empty_sum"},
    known="known_runtime.toml",
    snippet=snippet.runtime_constant,
)
register(onnxruntime, _run)
register(constant, _run, "conv", "conv_transpose", constants=("w",))
