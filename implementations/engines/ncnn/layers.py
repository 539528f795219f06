"""The layer of ncnn that computes a call, with its parameters by key, for adapter and scripts.

Raises ValueError or TypeError where a bias has other numbers, or a parameter is not whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

from conformance import Unsupported
from conformance.implementations._arguments import Array, Padding, Shape, check_axes
from conformance.implementations.engines.padding import windows_dropped
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool

_DIMS = {1: "1D", 2: "", 3: "3D"}

# The keys of a layer's parameters, for the axes width, height, depth: the last spatial axis first.
_KERNEL, _DILATION, _STRIDE = (1, 11, 21), (2, 12, 22), (3, 13, 23)
_BEFORE, _AFTER, _OUTPUT = (4, 14, 24), (15, 16, 17), (18, 19, 20)
_POOL_STRIDE, _POOL_BEFORE, _POOL_AFTER = (2, 12, 22), (3, 13, 23), (14, 15, 16)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of ``dims`` spatial dimensions."""

    kind: str
    dims: int
    parameters: dict[int, int]

    @property
    def name(self) -> str:
        """ncnn's name of the layer."""
        return self.kind + _DIMS[self.dims]

    @property
    def values(self) -> str:
        """The parameters as ncnn's text format has them."""
        return " ".join(f"{key}={value}" for key, value in self.parameters.items())


def convolution(w: Array, bias: Array | None, p: Conv) -> Layer:
    """Return Convolution or ConvolutionDepthWise; ``w`` is (O, C/groups, *K)."""
    kind = "Convolution" if p.groups == 1 else "ConvolutionDepthWise"
    return Layer(kind, len(p.stride), _weighted(w, bias, p))


def deconvolution(w: Array, bias: Array | None, p: ConvTranspose) -> Layer:
    """Return Deconvolution or DeconvolutionDepthWise; ``w`` is that of `outputs_first`."""
    kind, dims = "Deconvolution" if p.groups == 1 else "DeconvolutionDepthWise", len(p.stride)
    output = _axes(_OUTPUT, p.output_padding, dims)
    return Layer(kind, dims, _weighted(w, bias, p) | output)


def outputs_first(w: Array, groups: int) -> Array:
    """Return a weight (C, O/groups, *K) of conv_transpose as (O, C/groups, *K)."""
    c, o, *kernel = w.shape
    w = w.reshape(groups, c // groups, o, *kernel).swapaxes(1, 2)  # (groups, o, c, *kernel)
    return w.reshape(groups * o, c // groups, *kernel)


def maximum(size: Shape, p: Pool) -> Layer:
    """Return Pooling of type 0 of an input whose spatial axes are ``size``."""
    check_axes(len(p.kernel), dilation=p.dilation)
    if max(p.dilation) > 1:
        raise Unsupported("pooling has no dilation")
    return _pool(0, p, p.windows(size)[1] if p.ceil_mode else p.padding, False, True)


def average(size: Shape, p: AvgPool) -> Layer:
    """Return Pooling of type 1 of an input whose spatial axes are ``size``."""
    if p.ceil_mode and windows_dropped(size, p, p.windows(size)[1]):
        raise Unsupported("the padding mode that rounds up drops no window")
    return _pool(1, p, p.padding, p.ceil_mode, p.count_include_pad)


def _pool(kind: int, p: Pool, padding: Padding, full: bool, count_include_pad: bool) -> Layer:
    dims = len(p.kernel)
    parameters = {0: kind, 5: 0 if full else 1, 6: int(count_include_pad)}
    parameters |= _axes(_KERNEL, p.kernel, dims) | _axes(_POOL_STRIDE, p.stride, dims)
    return Layer("Pooling", dims, parameters | _pads(_POOL_BEFORE, _POOL_AFTER, padding, dims))


def _weighted(w: Array, bias: Array | None, p: Conv) -> dict[int, int]:
    """Return the parameters that Convolution and Deconvolution share; w and bias have no shape."""
    dims = len(p.stride)
    if bias is not None and bias.shape != w.shape[:1]:
        raise ValueError(f"bias: shape {bias.shape}; must be {w.shape[:1]}")
    parameters = {0: len(w), 5: int(bias is not None), 6: w.size}
    parameters |= _axes(_KERNEL, w.shape[2:], dims)
    parameters |= _axes(_DILATION, p.dilation, dims) | _axes(_STRIDE, p.stride, dims)
    parameters |= _pads(_BEFORE, _AFTER, p.padding, dims)
    return parameters if p.groups == 1 else parameters | {7: index(p.groups)}


def _axes(keys: Shape, values: Shape, dims: int) -> dict[int, int]:
    """Return the parameters of one kind: the last spatial axis has the first key."""
    return dict(zip(keys[:dims], map(index, reversed(values)), strict=True))


def _pads(before: Shape, after: Shape, padding: Padding, dims: int) -> dict[int, int]:
    ends = [*zip(*((first, last) for first, last in padding), strict=True)] or [(), ()]
    return _axes(before, ends[0], dims) | _axes(after, ends[1], dims)
