"""ONNX Runtime: a model of one node (``model.py``), by default on its CPU execution provider.

Its options are `provider` (``onnxruntime[provider=XNNPACK]``), `optimization` and `constant`. No
session falls back: what another provider has no kernel for is not computed by the CPU's.

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
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from conformance import Unsupported, implementation
from conformance.implementations._arguments import Array
from conformance.implementations.engines.onnx import snippet
from conformance.implementations.engines.onnx.model import Node, register
from conformance.registration.implementation import Implementation
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_SESSIONS = 256
"""Sessions that are kept."""


def _run(provider: str, optimization: str, node: Node, inputs: dict[str, Array]) -> Array:
    """Run a session that is kept for the node, or one of its own where the weight is constant."""
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    make = _new_session if node.constants else _session
    try:
        y: Array = make(provider, optimization, node).run(None, inputs)[0]
    except InvalidArgument as problem:
        if "may be too large for stride" in str(problem):
            raise Unsupported("no output_padding of stride or more") from None
        raise
    return y


def _new_session(provider: str, optimization: str, node: Node) -> InferenceSession:
    """Return a session, or raise Unsupported where it says that it has no kernel."""
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    options.log_severity_level = 4  # what goes wrong is an exception: nothing on the terminal
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, f"ORT_{_LEVELS[optimization]}"
    )
    if provider != CPU:
        options.add_session_config_entry(_NO_FALLBACK, "1")
    try:
        return ort.InferenceSession(node.model, options, providers=[f"{provider}ExecutionProvider"])
    except NoKernel as problem:
        raise Unsupported(str(problem).rpartition(" : ")[2].strip()) from None
    except Fail as problem:
        if provider != CPU and "fallback to CPU EP" in str(problem):
            raise Unsupported(f"{provider} leaves it to the CPU provider") from None
        raise


_session = lru_cache(MAX_SESSIONS)(_new_session)

CPU = "CPU"
_NO_FALLBACK = "session.disable_cpu_ep_fallback"
_LEVELS = {
    "all": "ENABLE_ALL",
    "extended": "ENABLE_EXTENDED",
    "basic": "ENABLE_BASIC",
    "off": "DISABLE_ALL",
}
OPTIONS = (
    Option(
        "provider",
        "The execution provider; a case that it leaves to the CPU's is declined.",
        ("CPU", "CUDA", "CoreML", "OpenVINO", "XNNPACK"),
        CPU,
        pattern=r"[A-Za-z]\w*",
    ),
    Option("optimization", "How far graphs are rewritten.", tuple(_LEVELS), "all"),
    Option("constant", "Whether weights are constants of the model.", ("on", "off"), "off", "on"),
)


def _made(chosen: Chosen) -> Variant:
    provider, optimization = chosen["provider"], chosen["optimization"]
    constants = ("w",) if chosen["constant"] == "on" else ()
    rewriting = {"all": "all rewriting of graphs as by default", "off": "no rewriting of graphs"}
    said = rewriting.get(optimization, f"graphs rewritten: {optimization}")
    weights = "weights are constants" if constants else "weights are inputs"
    declared: dict[str, Any] = {
        "settings": f"{provider} provider, {said}; {weights}",
        "snippet": partial(snippet.runtime, chosen=dict(chosen)),
    }
    if constants:
        dtypes = ("float32", "float64", "float16")
        declared |= {"dtypes": dtypes, "conventions": {"zero_channels": "empty_sum"}}
    if provider != CPU:
        declared["family"] = provider.lower()

    def registered(implementation: Implementation) -> None:
        operators = ("conv", "conv_transpose") if constants else ()
        run = partial(_run, provider, optimization)
        register(implementation, run, *operators, constants=constants)

    ready = partial(_missing, provider) if provider != CPU else None
    return Variant(registered, declared, ready)


def _missing(provider: str) -> str | None:
    import onnxruntime as ort

    there = [name.removesuffix("ExecutionProvider") for name in ort.get_available_providers()]
    if provider in there:
        return None
    return f"ONNX Runtime has no provider '{provider}' here; there are {', '.join(there)}"


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
register(onnxruntime, partial(_run, CPU, "all"))
_FIXED = {"onnxruntime[constant]": {"constant": "on"}}
in_use().offer(Offer(onnxruntime, OPTIONS, _made, __name__, _FIXED))
