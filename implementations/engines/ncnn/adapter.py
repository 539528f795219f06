"""ncnn: its layers Convolution, Deconvolution and Pooling, each in a net of one layer.

A net is ncnn's own text format (`Net.load_param_mem`), and its weights (`Net.load_model_mem`). It
is built for parameters and weights that are new, and the last of them are kept. float32 alone. ncnn
has no batch: each sample runs by itself, in one thread. Its own kernels: family `ncnn`.

- conv, conv_transpose: Convolution1D, Convolution, Convolution3D, the same of Deconvolution, and
  for groups their DepthWise kind; stride, dilation, output_padding and both ends of the padding are
  parameters of the layer. The weight of Deconvolution is (O, C, *K) in each group.
- max_pool: Pooling1D, Pooling, Pooling3D with the padding mode "valid" and, with ceil_mode, the
  padding that the last window reads. No dilation.
- avg_pool: the same; with ceil_mode the padding mode is "full", which rounds up. It drops no window
  that starts beyond the input: where one would be, the case is declined.

Arguments are ncnn's to judge, but for what its formats do not say: that x has a batch, that weights
and bias are float32, how many numbers a bias has, and that parameters are whole numbers.

3x3 convolutions with stride 1 and more than 8 channels go through Winograd by default;
`ncnn[winograd=off]` is the same engine without. `ncnn[bf16=on]` stores weights, and what passes
between layers, in bfloat16, and sums in float32: so it is judged in bfloat16. Numbers go in and
come out as float32.

The bound of Winograd F(6x6, 3x3), the largest tile: Y = A'((G w G') o (B' x B))A. With g the
roundings on the path of a term, the error of an element is at most gamma(g, u) times
|A'|((|G||w||G'|) o (|B'||x||B|))|A| (Higham, section 3.5, for each product of matrices), which by
Cauchy and Schwarz is at most k^2 norm(x) norm(w), where k is the largest sum along a row r of A' of
|A'[r, i]| norm(G[i]) norm(B'[i]): 24.61 here, 19.51 for F(4x4, 3x3). Of C channels a term meets 12
roundings in B' (two passes, 6 elements a row), 8 in G (with those of its constants), 14 in A' (7
elements), one product and C - 1 additions: 34 + C, against n = 9C of the direct sum, so never more
than 35/9 of it. The amplification is 24.61^2 * 35/9 = 2356, and the norms are those of what a tile
of 6 x 6 outputs reads, or a smaller one.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from conformance import implementation
from conformance.dtypes import numpy_dtype
from conformance.implementations._arguments import Array, native
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.ncnn import layers, snippet
from conformance.implementations.engines.ncnn.layers import Layer
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

WINOGRAD_AMPLIFICATION, WINOGRAD_TILE = 2356.0, 6


class Ncnn(Adapter):
    """ncnn's layers, with or without Winograd, with numbers stored in bfloat16 or in float32."""

    def __init__(self, use_winograd: bool, store_bf16: bool) -> None:
        self._use_winograd, self._store_bf16 = use_winograd, store_bf16
        self._dtype = "bfloat16" if store_bf16 else "float32"

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Run Convolution or ConvolutionDepthWise."""
        return self._run(x, layers.convolution(w, bias, p), w, bias)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Run Deconvolution or DeconvolutionDepthWise."""
        w = layers.outputs_first(w, p.groups)
        return self._run(x, layers.deconvolution(w, bias, p), w, bias)

    def max_pool(self, x: Array, p: Pool) -> Array:
        """Run Pooling of type 0."""
        return self._run(x, layers.maximum(x.shape[2:], p))

    def avg_pool(self, x: Array, p: AvgPool) -> Array:
        """Run Pooling of type 1."""
        return self._run(x, layers.average(x.shape[2:], p))

    def _run(self, x: Array, layer: Layer, *arrays: Array | None) -> Array:
        """Run the layer on each sample; an empty batch has its shape from a sample of zeros."""
        import ncnn

        dims = layer.dims
        if x.ndim != dims + 2:
            raise ValueError(f"x: shape {x.shape}; must be (N, C, *S) with {dims} spatial axes")
        weights = b""
        if arrays:  # a weight begins with 0, which says that float32 follows
            weights = b"\0\0\0\0" + b"".join(self._float32(a).tobytes() for a in arrays)
        net = _net(layer.name, layer.values, weights, self._use_winograd, self._store_bf16)
        dtype = native(x.dtype)
        kept = np.dtype(np.float32) if dtype.name == self._dtype else dtype
        x = np.array(x, kept, order="C")
        results = []
        for sample in x if len(x) else np.zeros((1, *x.shape[1:]), x.dtype):
            extractor = net.create_extractor()
            extractor.input("x", ncnn.Mat(sample).clone())  # clone: ncnn may need it aligned
            status, y = extractor.extract("y")
            if status != 0:
                text = f"{layer.kind} {layer.parameters}"
                raise RuntimeError(f"ncnn: {text}: extract returned {status}")
            results.append(np.array(y))
        return np.stack(results)[: len(x)].astype(numpy_dtype(self._dtype), copy=False)

    def _float32(self, array: Array | None) -> Array:
        """Return ``array`` as the model stores it, without its dtype; None is an empty one."""
        if array is None:
            return np.empty(0, np.float32)
        if native(array.dtype).name != self._dtype:
            raise TypeError(f"{array.dtype} weights; a model's are {self._dtype}")
        return array.astype(np.float32, copy=False)


@lru_cache(maxsize=128)
def _net(layer: str, values: str, weights: bytes, use_winograd: bool, store_bf16: bool) -> Any:
    """Return a net of one layer from blob x to blob y."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_winograd_convolution = use_winograd
    net.opt.use_bf16_storage = store_bf16
    net.opt.num_threads = 1  # its own threads cost milliseconds a call
    text = f"7767517\n2 2\nInput input 0 1 x\n{layer} layer 1 1 x y {values}\n"
    if net.load_param_mem(text) != 0:
        raise ValueError(f"ncnn refuses to load: {layer} {values}")
    net.load_model_mem(weights)
    return net


OPTIONS = (
    Option("winograd", "Whether Winograd is used where it can be.", ("on", "off"), "on"),
    Option("bf16", "Whether numbers are stored in bfloat16.", ("on", "off"), "off", "on"),
)


def _made(chosen: Chosen) -> Variant:
    use_winograd, store_bf16 = chosen["winograd"] == "on", chosen["bf16"] == "on"
    declared: dict[str, Any] = {"snippet": partial(snippet.snippet, use_winograd, store_bf16)}
    if use_winograd:
        declared["settings"] = "one thread; Winograd where ncnn chooses it, as by default"
        declared |= {"error": "normwise", "amplification": WINOGRAD_AMPLIFICATION}
        declared["tile"] = WINOGRAD_TILE
    else:
        declared["settings"] = "one thread; without Winograd"
        declared |= {"error": "componentwise", "amplification": 1.0, "tile": None}
    if store_bf16:
        declared["settings"] += "; use_bf16_storage"
        declared["dtypes"] = ("bfloat16",)
    return Variant(Ncnn(use_winograd, store_bf16).register, declared)


_standard = _made({"winograd": "on", "bf16": "off"})
winograd = implementation(
    "ncnn",
    family="ncnn",
    package="ncnn",
    extra="ncnn",
    dtypes=("float32",),
    conventions={"pool_padding": "accept"},
    known="known.toml",
    **_standard.declared,
)
_standard.register(winograd)
_FIXED = {"ncnn[winograd=off]": {"winograd": "off"}}
(direct,) = in_use().offer(Offer(winograd, OPTIONS, _made, __name__, _FIXED))
