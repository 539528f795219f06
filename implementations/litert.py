"""LiteRT, formerly TensorFlow Lite: models of one operator, written in memory, channels-last.

The operators are CONV_2D, DEPTHWISE_CONV_2D where each group has one channel, CONV_3D,
TRANSPOSE_CONV, CONV_3D_TRANSPOSE, MAX_POOL_2D and AVERAGE_POOL_2D, in float32. One dimension is
computed as two with a height of 1, as TensorFlow's converter does; pools of three dimensions do not
exist. Weights are constants of the model: an interpreter is built for parameters and weights that
are new, and the last of them are kept, so that a repeated call only runs it. One thread.

Padding is "SAME" where that places the windows as the case does, and "VALID" otherwise, after
padding with zeros, or for max_pool with -inf, as far as the last window of ceil_mode reaches. The
transposed convolutions compute the whole output, and a slice crops it.

- conv: no groups in three dimensions. A missing bias is zeros, as TensorFlow's converter writes
  it: without, the optimized DEPTHWISE_CONV_2D ends the process.
- conv_transpose: no groups; dilation in three dimensions only; output_padding less than the stride.
- max_pool: no dilation. avg_pool: padding that does not count only with "SAME", and zeros that
  count only where no window reaches beyond them.

Three ways to run the same model, that differ in their kernels: `litert`, as it comes, hands the
operators that the library XNNPACK knows to it (family `xnnpack`); `litert[xnnpack=off]` has its
own optimized kernels, `litert[reference]` its reference kernels (family `litert`). The first two
flush subnormal numbers.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from implementations._common import Array, Padding, Shape, is_same, native, padded
from implementations._engine import Engine, Tensor, any_padding
from implementations._quiet import quiet
from implementations._tflite_model import Constant, Node, one_node

_SAME, _VALID = 0, 1
_RESOLVERS = {
    "litert": "AUTO",
    "litert[xnnpack=off]": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "litert[reference]": "BUILTIN_REF",
}


class Litert(Engine):
    """LiteRT's operators with the kernels of one resolver."""

    channels_last = True

    def __init__(self, resolver: str) -> None:
        self._resolver = resolver

    def tensor(self, array: Array) -> Tensor:
        """Return an array that LiteRT can read."""
        return np.array(array, native(array.dtype), order="C")

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return what `_run` made."""
        result: Array = tensor
        return result

    def convolve(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
        dims, o = len(stride), w.shape[-1]
        if dims == 3 and groups > 1:
            raise Unsupported("CONV_3D has no groups")
        extent = tuple(d * (k - 1) + 1 for k, d in zip(w.shape[:-2], dilation, strict=True))
        t, kind, out = _padded(t, extent, stride, padding, padding, 0)
        if dims == 1:
            w = w[None]
        options = _steps(stride, "stride") | _steps(dilation, "dilation", "Factor")
        options["padding"] = kind
        name = "Conv3D" if dims == 3 else "Conv2D"
        operator = "CONV_3D" if dims == 3 else "CONV_2D"
        if dims < 3 and groups > 1 and w.shape[-2] == 1:
            operator, name = "DEPTHWISE_CONV_2D", "DepthwiseConv2D"
            options["depthMultiplier"] = o // groups
            w = w.reshape(1, *w.shape[:2], o)  # (1, KH, KW, O)
        elif dims < 3:
            w = np.moveaxis(w, -1, 0)  # (O, KH, KW, C/groups)
        inputs = (None, w, _bias(bias, w, o))
        return self._run(operator, f"{name}Options", options, inputs, t, (len(t), *out, o))

    def transposed(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """TRANSPOSE_CONV or CONV_3D_TRANSPOSE."""
        dims, o = len(stride), w.shape[-2]
        if groups > 1:
            raise Unsupported("transposed convolutions have no groups")
        if dims < 3 and max(dilation) > 1:
            raise Unsupported("TRANSPOSE_CONV has no dilation")
        if any(extra >= step for extra, step in zip(output_padding, stride, strict=True)):
            raise Unsupported("no output_padding of stride or more")
        whole = tuple(
            (s - 1) * step + d * (k - 1) + 1 + extra
            for s, k, step, d, extra in zip(
                t.shape[1:-1], w.shape[:-2], stride, dilation, output_padding, strict=True
            )
        )
        kept = tuple(
            slice(before, size - after)
            for size, (before, after) in zip(whole, padding, strict=True)
        )
        options = _steps(stride, "stride") | {"padding": _VALID}
        if dims == 3:
            operator, name = "CONV_3D_TRANSPOSE", "Conv3D"
            options |= _steps(dilation, "dilation", "Factor")
        else:
            operator, name = "TRANSPOSE_CONV", "TransposeConv"
            w = np.moveaxis(w[None] if dims == 1 else w, -2, 0)  # (O, KH, KW, C)
        size = (1, *whole) if dims == 1 else whole
        shape = np.array([len(t), *size, o], np.int32)
        inputs = (shape, w, None, _bias(bias, w, o))
        return np.array(
            self._run(operator, f"{name}Options", options, inputs, t, (len(t), *whole, o))[:, *kept]
        )

    def maximum(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        dilation: Shape,
        ceil_mode: bool,
        fill: float,
    ) -> Tensor:
        """MAX_POOL_2D."""
        if max(dilation) > 1:
            raise Unsupported("pools have no dilation")
        return self._pool("MAX_POOL_2D", t, kernel, stride, padding, reach, fill)

    def average(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Tensor:
        """AVERAGE_POOL_2D."""
        counted = any_padding(padding) and count_include_pad
        if counted and reach != tuple(map(tuple, padding)):
            raise Unsupported("no windows that reach beyond padding that counts")
        if counted:
            t = padded(t, padding, 0, t.dtype, first=1)
            padding = reach = ((0, 0),) * len(kernel)
        fill = None if any_padding(reach) else 0
        return self._pool("AVERAGE_POOL_2D", t, kernel, stride, padding, reach, fill)

    def _pool(
        self,
        operator: str,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        fill: float | None,
    ) -> Tensor:
        if len(kernel) == 3:
            raise Unsupported("no pools of three dimensions")
        t, kind, out = _padded(t, kernel, stride, padding, reach, fill)
        options = _steps(stride, "stride") | {"padding": kind}
        options |= _steps(kernel, "filter", names=_POOLED)
        inputs = (None,)
        return self._run(operator, "Pool2DOptions", options, inputs, t, (len(t), *out, t.shape[-1]))

    def _run(
        self, operator: str, options: str, values: dict[str, int], arrays: Any, t: Tensor, y: Shape
    ) -> Array:
        """Run a model of one operator; of ``arrays``, its inputs, None stands for ``t``."""
        inputs = tuple(None if array is None else Constant.of(array) for array in arrays)
        node = Node(operator, options, tuple(values.items()), inputs)
        flat = t.ndim == 3
        if flat:
            t, y = t[:, None], (y[0], 1, *y[1:])
        interpreter = _interpreter(node, t.shape, y, self._resolver)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], t)
        interpreter.invoke()
        result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return np.array(result[:, 0]) if flat else result


@lru_cache(maxsize=128)
def _interpreter(node: Node, x: Shape, y: Shape, resolver: str) -> Any:
    """Return an interpreter of a model of ``node``, ready to be invoked."""
    module = _litert()
    interpreter = module.Interpreter(
        model_content=one_node(node, x, y),
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

        options = tuple(
            (_steps((1, 1), "stride") | _steps((1, 1), "filter", names=_POOLED)).items()
        )
        first = one_node(
            Node("MAX_POOL_2D", "Pool2DOptions", options, (None,)), *[(1, 1, 1, 1)] * 2
        )
        interpreter.Interpreter(model_content=first).allocate_tensors()
    return interpreter


def _bias(bias: Array | None, w: Array, channels: int) -> Array:
    return np.zeros(channels, w.dtype) if bias is None else bias


def _padded(
    t: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    reach: Padding,
    fill: float | None,
) -> tuple[Array, int, Shape]:
    """Return the input, its kind of padding and the output's size; the padding may be in the input.

    ``kernel`` is its extent, dilated. Without ``fill`` only "SAME" will do.
    """
    size = t.shape[1:-1]
    out = tuple(
        (s + before + after - k) // step + 1
        for s, k, step, (before, after) in zip(size, kernel, stride, reach, strict=True)
    )
    if any_padding(reach) and is_same(size, out, kernel, stride, padding):
        return t, _SAME, out
    if fill is None:
        raise Unsupported('only "SAME" leaves positions out of the divisor, with its windows')
    return padded(t, reach, fill, t.dtype, first=1), _VALID, out


_AXES = ("W", "H", "D")
_POOLED = ("Width", "Height")


def _steps(
    values: Shape, kind: str, suffix: str = "", names: tuple[str, ...] = _AXES
) -> dict[str, int]:
    """Return one field an axis, the last axis first; a height that there is not is 1."""
    padded_values = (1, *values) if len(values) == 1 else values
    return {
        f"{kind}{axis}{suffix}": int(value)
        for axis, value in zip(names, reversed(padded_values), strict=False)
    }


for _name, _resolver in _RESOLVERS.items():
    Litert(_resolver).register(
        implementation(
            _name,
            family="xnnpack" if _resolver == "AUTO" else "litert",
            package="ai-edge-litert",
            extra="litert",
            layout="NHWC",
            dtypes=("float32",),
            conventions={} if _resolver == "BUILTIN_REF" else {"subnormal": "flush"},
        )
    )
