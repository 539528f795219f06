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

from conformance import Unsupported, implementation
from conformance.case import Case
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    check_padding,
    native,
)
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import any_padding
from conformance.implementations.engines.litert.arguments import (
    FILTER,
    VALID,
    bias_or_zeros,
    check_groups,
    extent,
    fields,
    plain,
    pool_reach,
    with_height,
    with_padding,
    without_padding,
)
from conformance.implementations.engines.litert.model import Constant, Node, one_node
from conformance.implementations.engines.litert.snippet import written
from conformance.implementations.engines.quiet import quiet
from conformance.registration.registry import Implementation
from conformance.registration.snippets import Call

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


class Litert:
    """LiteRT's operators with the kernels of one resolver."""

    def __init__(self, resolver: str) -> None:
        self._resolver = resolver

    def register(self, implementation: Implementation) -> None:
        """Register every operator that it has under ``implementation``."""
        for operator in ("conv", "conv_transpose", "max_pool", "avg_pool"):
            implementation.register(operator, getattr(self, operator))

    def conv(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
        dims, o = len(stride), w.shape[-1]
        check_groups(x, w, groups)
        if dims == 3 and groups > 1:
            raise Unsupported("CONV_3D has no groups")
        check_padding(dims, padding)
        x, kind = with_padding(x, extent(w.shape[:-2], dilation), stride, padding, padding, 0)
        options = fields(dims, stride, "stride") | fields(dims, dilation, "dilation", "Factor")
        options["padding"] = kind
        name = "Conv3D" if dims == 3 else "Conv2D"
        operator = "CONV_3D" if dims == 3 else "CONV_2D"
        if dims == 1:
            w = with_height(w, 0)
        if dims < 3 and groups > 1 and w.shape[-2] == 1:
            operator, name = "DEPTHWISE_CONV_2D", "DepthwiseConv2D"
            options["depthMultiplier"] = o // groups
            w = w.reshape(1, *w.shape[:2], o)  # (1, KH, KW, O)
        elif dims < 3:
            w = np.moveaxis(w, -1, 0)  # (O, KH, KW, C/groups)
        return self._run(
            operator, f"{name}Options", options, (None, w, bias_or_zeros(bias, w, o)), x, dims
        )

    def conv_transpose(
        self,
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
        """TRANSPOSE_CONV or CONV_3D_TRANSPOSE."""
        dims, o = len(stride), w.shape[-2]
        check_axes(1, groups=(groups,))
        check_axes(dims, least=0, output_padding=output_padding)
        check_padding(dims, padding)
        if groups > 1:
            raise Unsupported("transposed convolutions have no groups")
        if any(extra >= step for extra, step in zip(output_padding, stride, strict=True)):
            raise Unsupported("no output_padding of stride or more")
        options = fields(dims, stride, "stride") | {"padding": VALID}
        if dims == 3:
            operator, name = "CONV_3D_TRANSPOSE", "Conv3D"
            options |= fields(dims, dilation, "dilation", "Factor")
        else:
            operator, name = "TRANSPOSE_CONV", "TransposeConv"
            check_axes(dims, dilation=dilation)
            if max(dilation) > 1:
                raise Unsupported("TRANSPOSE_CONV has no dilation")
        whole = tuple(
            (s - 1) * step + k + extra
            for s, k, step, extra in zip(
                x.shape[1:-1], extent(w.shape[:-2], dilation), stride, output_padding, strict=True
            )
        )
        if dims == 1:
            w, whole = with_height(w, 0), (1, *whole)
        if dims < 3:
            w = np.moveaxis(w, -2, 0)  # (O, KH, KW, C)
        shape = np.array([len(x), *whole, o], np.int32)
        inputs = (shape, w, None, bias_or_zeros(bias, w, o))
        return self._run(operator, f"{name}Options", options, inputs, x, dims, padding)

    def max_pool(
        self,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """MAX_POOL_2D."""
        check_axes(len(kernel), dilation=dilation)
        if max(dilation) > 1:
            raise Unsupported("pools have no dilation")
        reach = pool_reach(x, kernel, stride, padding, ceil_mode)
        return self._pool("MAX_POOL_2D", x, kernel, stride, padding, reach, -np.inf)

    def avg_pool(
        self,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """AVERAGE_POOL_2D."""
        reach = pool_reach(x, kernel, stride, padding, ceil_mode)
        counted = any_padding(padding) and count_include_pad
        if counted and reach != padding:
            raise Unsupported("no windows that reach beyond padding that counts")
        if counted:
            x = padded(x, padding, 0, native(x.dtype), first=1)
            padding = reach = ((0, 0),) * len(kernel)
        return self._pool("AVERAGE_POOL_2D", x, kernel, stride, padding, reach, None)

    def _pool(
        self,
        operator: str,
        x: Array,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        fill: float | None,
    ) -> Array:
        dims = len(kernel)
        x, kind = with_padding(x, kernel, stride, padding, reach, fill)
        options = fields(dims, stride, "stride") | {"padding": kind}
        options |= fields(dims, kernel, "filter", names=FILTER)
        return self._run(operator, "Pool2DOptions", options, (None,), x, dims)

    def _run(
        self,
        operator: str,
        options: str,
        values: dict[str, int],
        arrays: tuple[Array | None, ...],
        x: Array,
        dims: int,
        crop: Padding = (),
    ) -> Array:
        """Run a model of one operator; of ``arrays``, its inputs, None stands for ``x``."""
        inputs = tuple(None if a is None else Constant.of(plain(a)) for a in arrays)
        node = Node(operator, options, tuple(values.items()), inputs)
        x = plain(x)
        if dims == 1:
            x = with_height(x, 1)
        interpreter = _interpreter(node, x.shape, x.dtype.name, self._resolver)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return without_padding(np.array(result[:, 0]) if dims == 1 else result, crop)


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


class _Recorder(Litert):
    """Says which model it would run, instead of running it."""

    def _run(
        self,
        operator: str,
        options: str,
        values: dict[str, int],
        arrays: tuple[Array | None, ...],
        x: Array,
        dims: int,
        crop: Padding = (),
    ) -> Any:
        return operator, options, values, arrays, x


def _write(resolver: str, call: Call) -> list[str]:
    """Return the lines that make ``call``."""
    recorder = getattr(_Recorder(resolver), call.operator)
    return written(call, recorder(*call.arguments.values(), **call.parameters), resolver)


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
            snippet=partial(_write, _resolver),
            supports=partial(_supports, _resolver),
        )
    )
