"""ncnn: its layers Convolution, Deconvolution and Pooling, each in a net of one layer.

The net is written as ncnn's own text format, `Net.load_param_mem`, and its weights follow as
`Net.load_model_mem`. ncnn holds the weights in the net: one is built for parameters and weights
that are new, and the last of them are kept, so that a repeated call only runs it. float32 alone.
ncnn has no batch: each sample runs by itself. Its own kernels: family `ncnn`.

- conv: Convolution1D, Convolution, Convolution3D, and their ConvolutionDepthWise kind for groups;
  stride, dilation and both ends of the padding are parameters of the layer.
- conv_transpose: the same of Deconvolution; padding crops each end, output_padding is a parameter.
  The weight is (O, C, *K) in each group, so its first two axes change places.
- max_pool: Pooling1D, Pooling, Pooling3D with the padding mode "valid" and, with ceil_mode, the
  padding that the last window reads. No dilation.
- avg_pool: the same; with ceil_mode the padding mode is "full", which rounds up. It drops no window
  that starts beyond the input: where one would be, the case is declined.

Arguments are ncnn's to judge, but for what its formats do not say: that x has a batch, that weights
and bias are float32, how many numbers a bias has, and that parameters are whole numbers.

Defaults that matter: 3x3 convolutions with stride 1 and more than 8 channels go through Winograd.
`ncnn[winograd=off]` is the same engine without. The options for half formats are on, and change
nothing on x86: the results are those of float32. Nets are given one
thread.

The bound of Winograd F(6x6, 3x3), the largest tile: Y = A'((G w G') o (B' x B))A. With g the
roundings on the path of a term, the error of an element is at most gamma(g, u) times
|A'|((|G||w||G'|) o (|B'||x||B|))|A| (Higham, section 3.5, for each product of matrices), which by
Cauchy and Schwarz is at most k^2 norm(x) norm(w), where k is the largest sum along a row r of A' of
|A'[r, i]| norm(G[i]) norm(B'[i]): 24.61 here, 19.51 for F(4x4, 3x3). Of C channels a term meets 12
roundings in B' (two passes, 6 elements a row), 8 in G (with those of its constants), 14 in A' (7
elements), one product and C - 1 additions: 34 + C, against n = 9C of the direct sum, so never more
than 35/9 of it. The amplification is 24.61^2 * 35/9 = 2356.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    native,
    window_reach,
)
from conformance.implementations.engines.adapter import windows_dropped
from conformance.implementations.engines.ncnn import snippet
from conformance.registration.registry import Implementation

WINOGRAD_AMPLIFICATION = 2356.0

winograd = implementation(
    "ncnn",
    family="ncnn",
    package="ncnn",
    extra="ncnn",
    dtypes=("float32",),
    error="normwise",
    amplification=WINOGRAD_AMPLIFICATION,
    conventions={"pool_padding": "accept"},
    known="known.toml",
    snippet=snippet.winograd,
    settings="one thread; Winograd where ncnn chooses it, as by default",
)
direct = implementation(
    "ncnn[winograd=off]",
    family="ncnn",
    package="ncnn",
    extra="ncnn",
    dtypes=("float32",),
    conventions={"pool_padding": "accept"},
    known="known.toml",
    snippet=snippet.direct,
    settings="one thread; without Winograd",
)

_DIMS = {1: "1D", 2: "", 3: "3D"}

# The keys of a layer's parameters, for the axes width, height, depth: the last spatial axis first.
_KERNEL, _DILATION, _STRIDE = (1, 11, 21), (2, 12, 22), (3, 13, 23)
_BEFORE, _AFTER, _OUTPUT = (4, 14, 24), (15, 16, 17), (18, 19, 20)
_POOL_STRIDE, _POOL_BEFORE, _POOL_AFTER = (2, 12, 22), (3, 13, 23), (14, 15, 16)


class Ncnn:
    """ncnn's layers, with or without Winograd."""

    def __init__(self, use_winograd: bool) -> None:
        self._use_winograd = use_winograd

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
        """Convolution or ConvolutionDepthWise."""
        layer = "Convolution" if groups == 1 else "ConvolutionDepthWise"
        parameters = _weighted(len(stride), w, bias, stride, padding, dilation, groups)
        return self._run(x, len(stride), layer, parameters, w, bias)

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
        """Deconvolution or DeconvolutionDepthWise."""
        layer = "Deconvolution" if groups == 1 else "DeconvolutionDepthWise"
        c, o, *kernel = w.shape
        w = w.reshape(groups, c // groups, o, *kernel).swapaxes(1, 2)  # (groups, o, c, *kernel)
        w = w.reshape(groups * o, c // groups, *kernel)
        parameters = _weighted(len(stride), w, bias, stride, padding, dilation, groups)
        parameters |= _axes(_OUTPUT, output_padding, len(stride))
        return self._run(x, len(stride), layer, parameters, w, bias)

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
        """Pooling of type 0."""
        check_axes(len(kernel), dilation=dilation)
        if max(dilation) > 1:
            raise Unsupported("pooling has no dilation")
        if ceil_mode:
            _, padding = window_reach(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
        return self._pool(x, 0, kernel, stride, padding, False, True)

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
        """Pooling of type 1."""
        if ceil_mode:
            size, ones = x.shape[2:], (1,) * len(kernel)
            _, reach = window_reach(size, kernel, stride, padding, ones, ceil_mode)
            if windows_dropped(size, kernel, stride, padding, reach):
                raise Unsupported("the padding mode that rounds up drops no window")
        return self._pool(x, 1, kernel, stride, padding, ceil_mode, count_include_pad)

    def _pool(
        self,
        x: Array,
        kind: int,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        full: bool,
        count_include_pad: bool,
    ) -> Array:
        dims = len(kernel)
        parameters = {0: kind, 5: 0 if full else 1, 6: int(count_include_pad)}
        parameters |= _axes(_KERNEL, kernel, dims) | _axes(_POOL_STRIDE, stride, dims)
        parameters |= _pads(_POOL_BEFORE, _POOL_AFTER, padding, dims)
        return self._run(x, dims, "Pooling", parameters)

    def _run(
        self,
        x: Array,
        dims: int,
        layer: str,
        parameters: dict[int, int],
        *arrays: Array | None,
    ) -> Array:
        """Return the samples' results; of an empty batch, none of a sample of zeros."""
        import ncnn

        if x.ndim != dims + 2:
            raise ValueError(f"x: shape {x.shape}; must be (N, C, *S) with {dims} spatial axes")
        weights = b""
        if arrays:  # a weight begins with 0, which says that float32 follows
            weights = b"\0\0\0\0" + b"".join(a.tobytes() for a in map(_float32, arrays))
        net = _net(layer + _DIMS[dims], tuple(parameters.items()), weights, self._use_winograd)
        x = np.array(x, native(x.dtype), order="C")
        results = []
        for sample in x if len(x) else np.zeros((1, *x.shape[1:]), x.dtype):
            extractor = net.create_extractor()
            extractor.input("x", ncnn.Mat(sample).clone())  # clone: a sample ncnn may align
            status, y = extractor.extract("y")
            if status != 0:
                raise RuntimeError(f"ncnn: {layer} {parameters}: extract returned {status}")
            results.append(np.array(y))
        return np.stack(results)[: len(x)]


@lru_cache(maxsize=128)
def _net(
    layer: str, parameters: tuple[tuple[int, int], ...], weights: bytes, use_winograd: bool
) -> Any:
    """Return a net of one layer from blob x to blob y."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_winograd_convolution = use_winograd
    net.opt.num_threads = 1  # its own threads cost milliseconds a call
    values = " ".join(f"{key}={value}" for key, value in parameters)
    text = f"7767517\n2 2\nInput input 0 1 x\n{layer} layer 1 1 x y {values}\n"
    if net.load_param_mem(text) != 0:
        raise ValueError(f"ncnn refuses to load: {layer} {values}")
    net.load_model_mem(weights)
    return net


def _weighted(
    dims: int,
    w: Array,
    bias: Array | None,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> dict[int, int]:
    """Return what Convolution and Deconvolution have in common; w and bias go without a shape."""
    if bias is not None and bias.shape != w.shape[:1]:
        raise ValueError(f"bias: shape {bias.shape}; must be {w.shape[:1]}")
    parameters = {0: len(w), 5: int(bias is not None), 6: w.size}
    parameters |= _axes(_KERNEL, w.shape[2:], dims)
    parameters |= _axes(_DILATION, dilation, dims) | _axes(_STRIDE, stride, dims)
    parameters |= _pads(_BEFORE, _AFTER, padding, dims)
    return parameters if groups == 1 else parameters | {7: index(groups)}


def _axes(keys: Sequence[int], values: Sequence[int], dims: int) -> dict[int, int]:
    """Return the parameters of one kind: the last spatial axis has the first key."""
    return dict(zip(keys[:dims], map(index, reversed(values)), strict=True))


def _pads(
    before: Sequence[int], after: Sequence[int], padding: Padding, dims: int
) -> dict[int, int]:
    ends = list(zip(*((first, last) for first, last in padding), strict=True)) or [(), ()]
    return _axes(before, ends[0], dims) | _axes(after, ends[1], dims)


def _float32(array: Array | None) -> Array:
    """Return ``array``, or none, as the model has it: numbers without a word on their dtype."""
    if array is None:
        return np.empty(0, np.float32)
    if native(array.dtype) != np.float32:
        raise TypeError(f"{array.dtype} weights; a model's are float32")
    return array.astype(np.float32, copy=False)


class _Recorder(Ncnn):
    """Says which layer it would run, instead of running it."""

    def _run(
        self,
        x: Array,
        dims: int,
        layer: str,
        parameters: dict[int, int],
        *arrays: Array | None,
    ) -> Any:
        return layer + _DIMS[dims], parameters


def layer_of(operator: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
    """Return the layer that computes a call, and its parameters by key."""
    return getattr(_Recorder(use_winograd=True), operator)(*arguments, **parameters)


Ncnn(use_winograd=True).register(winograd)
Ncnn(use_winograd=False).register(direct)
