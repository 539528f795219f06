"""TensorFlow.js and ONNX Runtime Web in Node.js, as programs (docs/programs.md) on the CPU.

The adapters are the programs beside this file: ``tfjs.mjs`` on TensorFlow.js's backends ``cpu``, in
JavaScript, and ``wasm``, on WebAssembly, and ``ort.mjs``, ONNX Runtime's code for WebAssembly with
one thread. They hand every call to the engine in the same process. A trap of WebAssembly, which
JavaScript sees as an exception, ends the program: what its memory holds afterwards, nobody knows.

Measured with TensorFlow.js 4.22, all of it in float32, channels-last:

- conv: groups in two dimensions alone, where each has one channel (depthwiseConv2d), and no
  dilation together with a stride; in three dimensions the input is padded first, by tf.pad.
- conv_transpose: two and three dimensions, without groups and dilation; in three dimensions the
  whole output is computed, and cropped.
- pools: two and three dimensions; dilation in two, without a stride, and padded by tf.pad first.
- gradients are TensorFlow.js's own. The WASM backend lacks the kernels of some.

ONNX Runtime Web runs models of one node, which ``onnx.mjs`` makes; weights are inputs. It has the
operators of `onnxruntime`, whose code it is, built for another machine: the two are one witness.
"""

from __future__ import annotations

from pathlib import Path

from conformance import implementation, only
from conformance.forms.process import operator_of
from conformance.implementations.engines.web import snippet
from conformance.registration.implementation import Implementation
from conformance.registration.snippets import InJavaScript
from conformance.signatures import SIGNATURES

_FOLDER = Path(__file__).parent
_FORWARD = ("conv", "conv_transpose", "max_pool", "avg_pool")
_OF_PROGRAMS = only(memory="contiguous")  # no other layout crosses a pipe


def _register(one: Implementation, operators: tuple[str, ...], file: str, *words: str) -> None:
    for operator in operators:
        one.register(operator, operator_of(("node", str(_FOLDER / file), *words), operator))


tfjs = implementation(
    "tfjs",
    family="tensorflow.js",
    package="npm:@tensorflow/tfjs",
    settings="Node.js, backend cpu",
    layout="NHWC",
    dtypes="float32",
    threads="one",
    supports=_OF_PROGRAMS,
    conventions={"nan": "ignore"},
    snippet=InJavaScript(snippet.tfjs),
    known="known_tfjs.toml",
)
wasm = implementation(
    "tfjs[wasm]",
    family="tensorflow.js",
    package="npm:@tensorflow/tfjs",
    needs="npm:@tensorflow/tfjs-backend-wasm",
    settings="Node.js, backend wasm",
    layout="NHWC",
    dtypes="float32",
    threads="one",
    supports=_OF_PROGRAMS,
    snippet=InJavaScript(snippet.tfjs_wasm),
    known="known_tfjs.toml",
)
web = implementation(
    "onnxruntime-web",
    family="onnxruntime",
    package="npm:onnxruntime-web",
    settings="Node.js, provider wasm, one thread; weights are inputs",
    dtypes=("float32", "float64", "float16", "int8", "uint8"),
    threads="one",
    supports=_OF_PROGRAMS,
    conventions={"nan": "ignore"},
    snippet=InJavaScript(snippet.onnxruntime),
    known="known_runtime.toml",
)
_register(tfjs, tuple(SIGNATURES), "tfjs.mjs", "cpu")
_register(wasm, tuple(SIGNATURES), "tfjs.mjs", "wasm")
_register(web, _FORWARD, "ort.mjs")
