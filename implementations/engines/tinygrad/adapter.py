"""tinygrad's `Tensor.conv2d`, `conv_transpose2d`, `max_pool2d` and `avg_pool2d`, on its CPU device.

In spite of their names all four work in one, two and three dimensions, channels first, with padding
for each end of an axis: nothing is emulated. tinygrad is lazy and has no convolution kernel: a call
becomes movements, products and sums, fused into C that clang compiles (Debian's version 14 has no
bfloat16) for shapes and parameters that are new; it caches the kernels itself. Family `tinygrad`.

`tinygrad[device=CUDA]` computes on another device, `tinygrad[optimization=off]` with the loops as
they are written (`NOOPT=1`). Winograd is off (`WINO=0`) but in `tinygrad[winograd=on]`, whose bound
is that of ncnn for F(4, 3) along each of three axes: 19.51^3 * 52/27 = 14303.

Sums of half formats are accumulated in float32, the products in the half format itself. Arguments
are tinygrad's to judge, which has assertions alone for that; it accepts an empty batch and
integers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from subprocess import CalledProcessError
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Padding, native
from conformance.implementations.engines.adapter import Differentiable
from conformance.implementations.engines.padding import Tensor, last_axis_first
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool
from conformance.implementations.engines.tinygrad import snippet
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

tinygrad = implementation(
    "tinygrad",
    family="tinygrad",
    package="tinygrad",
    settings="device CPU; no Winograd, as by default",
    call_seconds=0.012,
    shape_seconds=0.3,
    extra="tinygrad",
    dtypes=DTYPES,
    threads="one",  # its cache on disk, and its contexts, belong to the thread that made them
    snippet=snippet.snippet,
    conventions={
        "pool_padding": "accept",
        "zero_channels": "empty_sum",
        "mixed_dtypes": "promote",
        "tie": "split",
    },
    known="known.toml",
)


WINOGRAD_AMPLIFICATION, WINOGRAD_TILE = 14303.0, 4


class Tinygrad(Differentiable):
    """tinygrad's operators on a device."""

    def __init__(self, chosen: Chosen | None = None) -> None:
        chosen = chosen or {"device": "CPU", "winograd": "off", "optimization": "on"}
        self._device, self._winograd = chosen["device"], chosen["winograd"] == "on"
        self._values = {"WINO": int(self._winograd)}
        if chosen["optimization"] == "off":
            self._values["NOOPT"] = 1

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call ``function``, and compute what it returns, as the options say."""
        from tinygrad.helpers import Context

        with Context(**self._values):
            return function(*arguments).realize()

    def tensor(self, array: Array) -> Tensor:
        """Copy; bfloat16, which NumPy has from ml_dtypes, is handed over as the same bits."""
        from tinygrad import Tensor, dtypes

        array = np.array(array, native(array.dtype), order="C")
        if array.dtype.name == "bfloat16":
            if not _compiles_bfloat16():
                raise Unsupported("this clang does not compile bfloat16 for this target")
            return (
                Tensor(array.view(np.uint16), device=self._device)
                .bitcast(dtypes.bfloat16)
                .realize()
            )
        return Tensor(array, device=self._device).realize()

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Compute and copy."""
        from tinygrad import dtypes

        dtype = native(like.dtype)
        if tensor.dtype == dtypes.bfloat16:
            return np.array(tensor.contiguous().bitcast(dtypes.uint16).numpy()).view(dtype)
        return np.array(tensor.numpy())

    def convolve(self, t: Tensor, w: Tensor, bias: Tensor | None, p: Conv) -> Tensor:
        """Call Tensor.conv2d."""
        steps: tuple[Any, Any] = tuple(p.stride), tuple(p.dilation)
        if self._winograd and {*p.stride, *p.dilation} == {1}:
            steps = 1, 1  # as numbers: tinygrad looks for these
        return t.conv2d(w, bias, p.groups, *steps, last_axis_first(p.padding))

    def transposed(self, t: Tensor, w: Tensor, bias: Tensor | None, p: ConvTranspose) -> Tensor:
        """Call Tensor.conv_transpose2d."""
        steps, pads = (tuple(p.stride), tuple(p.dilation)), last_axis_first(p.padding)
        return t.conv_transpose2d(w, bias, p.groups, *steps, pads, tuple(p.output_padding))

    def maximum(self, t: Tensor, p: Pool, reach: Padding, fill: float) -> Tensor:
        """Call Tensor.max_pool2d."""
        windows = tuple(p.kernel), tuple(p.stride), tuple(p.dilation)
        return t.max_pool2d(*windows, last_axis_first(p.padding), p.ceil_mode)

    def average(self, t: Tensor, p: AvgPool, reach: Padding) -> Tensor:
        """Call Tensor.avg_pool2d."""
        windows = tuple(p.kernel), tuple(p.stride), tuple(p.dilation)
        ends = last_axis_first(p.padding)
        return t.avg_pool2d(*windows, ends, p.ceil_mode, p.count_include_pad)

    def gradient(
        self, forward: Callable[..., Tensor], at: Tensor, grad: Tensor, *arguments: Any
    ) -> Tensor:
        """Call Tensor.gradient."""
        (result,) = forward(at, *arguments).gradient(at, gradient=grad)
        return result


@lru_cache(1)
def _compiles_bfloat16() -> bool:
    """Whether clang compiles bfloat16 on this machine; asked once, as that takes its time."""
    from tinygrad import Tensor, dtypes

    try:
        Tensor(np.zeros(1, np.uint16), device="CPU").bitcast(dtypes.bfloat16).realize()
    except CalledProcessError:
        return False
    return True


OPTIONS = (
    Option(
        "device",
        "The device, by tinygrad's name for it.",
        ("CPU", "CL", "CUDA", "METAL", "AMD", "NV", "PYTHON"),
        "CPU",
        pattern=r"[A-Z]+(:[\w,.]+)?",
    ),
    Option(
        "winograd", "Whether kernels of size 3 go through Winograd.", ("on", "off"), "off", "on"
    ),
    Option(
        "optimization", "Whether loops are tiled, unrolled and vectorized.", ("on", "off"), "on"
    ),
)


def _made(chosen: Chosen) -> Variant:
    device, winograd = chosen["device"], chosen["winograd"] == "on"
    said = [f"device {device}", "Winograd" if winograd else "no Winograd"]
    said += ["NOOPT=1"] if chosen["optimization"] == "off" else []
    declared: dict[str, Any] = {
        "settings": ", ".join(said),
        "snippet": partial(snippet.varied, dict(chosen)),
    }
    if winograd:  # its constants are rounded to the dtype, and so coarsely to half formats
        declared |= {"error": "normwise", "amplification": WINOGRAD_AMPLIFICATION}
        declared |= {"tile": WINOGRAD_TILE, "dtypes": ("float32", "float64")}
    return Variant(Tinygrad(chosen).register, declared, partial(_missing, device))


def _missing(device: str) -> str | None:
    from tinygrad import Device

    try:
        Device[device]
    except Exception as problem:  # whatever looking for a device raises
        reason = " ".join(str(problem).split())
        return f"tinygrad has no device '{device}' here ({reason}); there are CPU and PYTHON"
    return None


Tinygrad().register(tinygrad)
in_use().offer(Offer(tinygrad, OPTIONS, _made, __name__))
