"""LiteRT, formerly TensorFlow Lite: models of one operator, written in memory, channels-last.

The operators are CONV_2D, DEPTHWISE_CONV_2D where each group has one channel, CONV_3D,
TRANSPOSE_CONV, CONV_3D_TRANSPOSE, MAX_POOL_2D and AVERAGE_POOL_2D, in float32. One dimension is
computed as two with a height of 1, as TensorFlow's converter does; pools of three dimensions do not
exist. Weights are constants of the model: an interpreter is built for parameters and weights that
are new, and the last of them are kept, so that a repeated call only runs it. One thread.

Padding is "SAME" where that places the windows as the case does, and "VALID" otherwise, after
padding with zeros, or for max_pool with -inf, as far as the last window of ceil_mode reaches. The
transposed convolutions compute the whole output, and a slice crops it.

- conv: the number of groups is that of the input's channels in the weight's; none in three
  dimensions. A missing bias is zeros, as TensorFlow's converter writes it: without, the optimized
  DEPTHWISE_CONV_2D ends the process.
- conv_transpose: no groups; dilation in three dimensions only; output_padding less than the stride.
- max_pool: no dilation. avg_pool: padding that does not count only with "SAME", and zeros that
  count only where no window reaches beyond them. XNNPACK's pools of an empty batch read the size
  of their result from memory that was never written: some cannot be prepared, others give arrays
  of any shape. As that is another thing in each run, `litert` declines them.

Arguments are LiteRT's to judge, or its schema's, but what it has no parameter for and what is done
here: groups, padding, output_padding, and the dilation of all but convolutions.

Three ways to run the same model, that differ in their kernels: `litert`, as it comes, hands the
operators that the library XNNPACK knows to it (family `xnnpack`); `litert[xnnpack=off]` has its
own optimized kernels, `litert[reference]` its reference kernels (family `litert`). The first two
flush subnormal numbers.
"""

from __future__ import annotations

from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from conformance import implementation
from conformance.case import Case
from conformance.implementations._arguments import Array, Shape
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.compiled import quiet
from conformance.implementations.engines.litert import operation, snippet
from conformance.implementations.engines.litert.arguments import (
    FILTER,
    fields,
    plain,
    with_height,
    without_padding,
)
from conformance.implementations.engines.litert.model import Constant, Node, one_node
from conformance.implementations.engines.litert.operation import Operation
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool

_CONVENTIONS = {
    "AUTO": {"subnormal": "flush"},
    "BUILTIN_WITHOUT_DEFAULT_DELEGATES": {"nan": "ignore", "subnormal": "flush"},
    "BUILTIN_REF": {"nan": "ignore"},
}
_RESOLVERS = {
    "litert": "AUTO",
    "litert[xnnpack=off]": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "litert[reference]": "BUILTIN_REF",
}


class Litert(Adapter):
    """LiteRT's operators with the kernels of one resolver."""

    def __init__(self, resolver: str) -> None:
        self._resolver = resolver

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
        return self._run(operation.convolution(x, w, bias, p))

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """TRANSPOSE_CONV or CONV_3D_TRANSPOSE."""
        return self._run(operation.transposed(x, w, bias, p))

    def max_pool(self, x: Array, p: Pool) -> Array:
        """MAX_POOL_2D."""
        return self._run(operation.maximum(x, p))

    def avg_pool(self, x: Array, p: AvgPool) -> Array:
        """AVERAGE_POOL_2D."""
        return self._run(operation.average(x, p))

    def _run(self, call: Operation) -> Array:
        """Run a model of one operator."""
        inputs = tuple(None if a is None else Constant.of(plain(a)) for a in call.inputs)
        node = Node(call.operator, call.options, tuple(call.values.items()), inputs)
        x = plain(call.x)
        if call.dims == 1:
            x = with_height(x, 1)
        interpreter = _interpreter(node, x.shape, x.dtype.name, self._resolver)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return without_padding(np.array(result[:, 0]) if call.dims == 1 else result, call.crop)


@lru_cache(maxsize=128)
def _interpreter(node: Node, x: Shape, dtype: str, resolver: str) -> Any:
    """Return an interpreter of a model of ``node``, ready to be invoked."""
    module = _litert()
    interpreter = module.Interpreter(
        model_content=one_node(node, x, dtype),
        experimental_op_resolver_type=module.OpResolverType[resolver],
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


@cache
def _litert() -> Any:
    """Return LiteRT's interpreters, of which the first one tells that it uses XNNPACK."""
    with quiet():
        from ai_edge_litert import interpreter

        options = fields(2, (1, 1), "stride") | fields(2, (1, 1), "filter", names=FILTER)
        node = Node("MAX_POOL_2D", "Pool2DOptions", tuple(options.items()), (None,))
        first = one_node(node, (1, 1, 1, 1), "float32")
        interpreter.Interpreter(model_content=first).allocate_tensors()
    return interpreter


def _supports(resolver: str, case: Case) -> bool | str:
    """Decline pools that LiteRT has no operators for, and those whose result has no shape."""
    if case.kernel is not None and len(case.kernel) == 3:
        return "no pools of three dimensions"
    if resolver == "AUTO" and case.kernel is not None and not case.x[0]:
        return "XNNPACK leaves the shape of a pool of an empty batch unwritten"
    return True


for _name, _resolver in _RESOLVERS.items():
    Litert(_resolver).register(
        implementation(
            _name,
            family="xnnpack" if _resolver == "AUTO" else "litert",
            package="ai-edge-litert",
            extra="litert",
            layout="NHWC",
            dtypes=("float32",),
            conventions=_CONVENTIONS[_resolver],
            known="known.toml",
            settings=f"OpResolverType.{_resolver}, one thread, weights and bias as constants",
            snippet=partial(snippet.snippet, _resolver),
            supports=partial(_supports, _resolver),
        )
    )
