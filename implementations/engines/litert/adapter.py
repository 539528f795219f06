"""LiteRT, formerly TensorFlow Lite: models of one operator, written in memory, channels-last.

The operators are CONV_2D, DEPTHWISE_CONV_2D where each group has one channel, CONV_3D,
TRANSPOSE_CONV, CONV_3D_TRANSPOSE, MAX_POOL_2D and AVERAGE_POOL_2D, in float32. One dimension is
computed as two with a height of 1, as TensorFlow's converter does; pools of three dimensions do not
exist. Weights are constants of the model: an interpreter, of one thread, is built for parameters
and weights that are new, and the last of them are kept. Models have the shape of their result
written, which a first interpreter finds: XNNPACK is given no convolution without.

Padding is "SAME" where that places the windows as the case does, and "VALID" otherwise, after
padding with zeros, or for max_pool with -inf, as far as the last window of ceil_mode reaches. The
transposed convolutions compute the whole output, and a slice crops it.

- conv: no groups in three dimensions, no dilation above 32,767 in one or two. A missing bias is
  zeros, as TensorFlow's converter writes it: without, the optimized DEPTHWISE_CONV_2D ends the
  process.
- conv_transpose: no groups; dilation in three dimensions only; output_padding less than the stride.
- max_pool: no dilation. avg_pool: padding that does not count only with "SAME", and zeros that
  count only where no window reaches beyond them. XNNPACK's pools of an empty batch read the size of
  their result from memory that was never written: `litert` declines them.

Arguments are LiteRT's to judge, but groups, padding, output_padding, and all dilation but conv's.

The same model runs with three sets of kernels: `litert`, as it comes, hands the operators that the
library XNNPACK knows to it (family `xnnpack`); `litert[xnnpack=off]` has its own optimized kernels,
`litert[reference]` its reference kernels (family `litert`). The first two flush subnormal numbers.
"""

from __future__ import annotations

from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from conformance import implementation
from conformance.case import Case
from conformance.implementations._arguments import Array, Shape, native
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.compiled import quiet
from conformance.implementations.engines.litert import operation, snippet
from conformance.implementations.engines.litert.model import Node, one_node, plain
from conformance.implementations.engines.litert.operation import Operation, with_height
from conformance.implementations.engines.padding import any_padding, crop_slices
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

_RESOLVERS: dict[tuple[bool, bool], tuple[str, dict[str, str]]] = {
    (False, True): ("AUTO", {"subnormal": "flush"}),
    (False, False): (
        "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
        {"nan": "ignore", "subnormal": "flush"},
    ),
    (True, False): ("BUILTIN_REF", {"nan": "ignore"}),
}
"""The resolver and the conventions, by whether it is the reference, and whether XNNPACK is used."""


class Litert(Adapter):
    """LiteRT's operators with the kernels of one resolver."""

    def __init__(self, resolver: str) -> None:
        self._resolver = resolver

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Run CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
        return self._run(x, operation.convolution(x, w, bias, p))

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Run TRANSPOSE_CONV or CONV_3D_TRANSPOSE."""
        return self._run(x, operation.transposed(x, w, bias, p))

    def max_pool(self, x: Array, p: Pool) -> Array:
        """Run MAX_POOL_2D."""
        return self._run(x, operation.maximum(x, p))

    def avg_pool(self, x: Array, p: AvgPool) -> Array:
        """Run AVERAGE_POOL_2D."""
        return self._run(x, operation.average(x, p))

    def _run(self, x: Array, call: Operation) -> Array:
        """Run a model of one operator."""
        x = plain(padded(x, call.pads, call.fill, native(x.dtype), first=1))
        x = with_height(x, 1) if call.dims == 1 else x
        interpreter = _interpreter(call.node, x.shape, x.dtype.name, self._resolver)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        y: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        y = np.array(y[:, 0]) if call.dims == 1 else y
        if not any_padding(call.crop):
            return y
        return np.array(y[:, *crop_slices(y.shape[1:-1], call.crop)])


@lru_cache(maxsize=128)
def _interpreter(node: Node, x: Shape, dtype: str, resolver: str) -> Any:
    """Return an interpreter of a model of ``node``, ready to be invoked.

    A first one finds the shape of the result, which the model of the second has written.
    """
    y: Shape = ()
    for _ in range(1 + (resolver == "AUTO")):
        interpreter = _litert().Interpreter(
            model_content=one_node(node, x, dtype, y),
            experimental_op_resolver_type=_litert().OpResolverType[resolver],
            num_threads=1,
        )
        interpreter.allocate_tensors()
        y = tuple(map(int, interpreter.get_output_details()[0]["shape"]))
    return interpreter


@cache
def _litert() -> Any:
    """Return LiteRT's interpreters, after one whose output about XNNPACK is discarded."""
    with quiet():
        from ai_edge_litert import interpreter

        ones, none, shape = (1, 1), ((0, 0), (0, 0)), (1, 1, 1, 1)
        call = operation.maximum(np.zeros(shape), Pool(ones, ones, none, ones, False))
        first = one_node(call.node, shape, "float32")
        interpreter.Interpreter(model_content=first).allocate_tensors()
    return interpreter


def _supports(resolver: str, case: Case) -> bool | str:
    """Decline pools that LiteRT has no operators for, and those whose result has no shape."""
    if case.kernel is not None and len(case.kernel) == 3:
        return "no pools of three dimensions"
    if resolver == "AUTO" and case.kernel is not None and not case.x[0]:
        return "XNNPACK leaves the shape of a pool of an empty batch unwritten"
    return True


OPTIONS = (
    Option("xnnpack", "Whether operators go to XNNPACK where it has them.", ("on", "off"), "on"),
    Option("reference", "Whether the reference kernels run.", ("on", "off"), "off", "on"),
)


def _made(chosen: Chosen) -> Variant:
    xnnpack = chosen["xnnpack"] == "on" and chosen["reference"] == "off"
    resolver, conventions = _RESOLVERS[chosen["reference"] == "on", xnnpack]
    declared = {
        "family": "xnnpack" if xnnpack else "litert",
        "conventions": conventions,
        "settings": f"OpResolverType.{resolver}, one thread, weights and bias as constants",
        "snippet": partial(snippet.snippet, resolver),
        "supports": partial(_supports, resolver),
    }
    return Variant(Litert(resolver).register, declared)


_standard = _made({"xnnpack": "on", "reference": "off"})
litert = implementation(
    "litert",
    package="ai-edge-litert",
    needs="flatbuffers",
    extra="litert",
    layout="NHWC",
    dtypes=("float32",),
    threads="one",  # an Interpreter belongs to one thread
    known="known.toml",
    **_standard.declared,
)
_standard.register(litert)
_FIXED = {
    "litert[xnnpack=off]": {"xnnpack": "off"},
    "litert[reference]": {"reference": "on"},
}
in_use().offer(Offer(litert, OPTIONS, _made, __name__, _FIXED))
