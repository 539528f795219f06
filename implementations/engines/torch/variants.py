"""PyTorch's operators by other code paths: the calls of ``eager.py``, made another way.

- `torch[channels_last]`: images and weights are in the memory format channels_last, or
  channels_last_3d, before the call, which has other kernels, in oneDNN as well.
- `torch[mkldnn=off]`: PyTorch's own kernels, im2col and a matrix product, without oneDNN, and
  without NNPACK, which would be used for batches of 16 or more.
- `torch[compile]`: `torch.compile` of the whole call, in a gradient with its backward pass. Pools
  become loops in C++; convolutions stay the library calls of `torch`, and are left out. Each new
  shape and parameter takes 0.5 to 4 s (a C++ compiler is needed), hence float32 alone.
- `torch[cuda]`, `torch[cuda-tf32=off]`, `torch[cuda-cudnn=off]`: on an NVIDIA GPU, by default with
  convolutions in TF32, then in full float32, then without cuDNN.
- `torch[mps]`: on an Apple GPU.

The last four are registered where such a device is present.
"""

from __future__ import annotations

import itertools
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from conformance import Implementation, implementation
from conformance.case import Case
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations.engines.compiled import LRU
from conformance.implementations.engines.torch import snippet
from conformance.implementations.engines.torch.eager import Torch
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from torch import Tensor


class ChannelsLast(Torch):
    """Tensors in the memory format channels_last."""

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor whose channels are next to one another."""
        import torch

        tensor = super().tensor(array)
        if tensor.ndim < 4:
            return tensor
        last = torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d
        return tensor.contiguous(memory_format=last)


class Switched(Torch):
    """Calls made while some of PyTorch's switches are set."""

    def __init__(self, *switches: Callable[[], AbstractContextManager[Any]]) -> None:
        self._switches = switches

    def public(self, operator: str) -> Callable[..., Array]:
        """Return an operator that is called with the switches."""
        function = super().public(operator)

        @wraps(function)
        def call(*arguments: Any, **parameters: Any) -> Array:
            with ExitStack() as stack:
                for switch in self._switches:
                    stack.enter_context(switch())
                return function(*arguments, **parameters)

        return call


class OnDevice(Switched):
    """Calls made on another device, whose tensors are copied there and back."""

    def __init__(self, device: str, *switches: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__(*switches)
        self._device = device

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor on the device."""
        return super().tensor(array).to(self._device)

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the memory of the tensor, copied from the device."""
        return super().array(tensor.cpu(), like)


class Compiled(Torch):
    """Calls compiled for their shapes and parameters."""

    operators = tuple(operator for operator in SIGNATURES if "pool" in operator)

    def __init__(self) -> None:
        self._compiled: LRU[Callable[..., Tensor]] = LRU()
        self._count = itertools.count()

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call the compiled ``function``."""
        import torch

        key = (
            function,
            *(
                (a.shape, a.stride(), a.dtype, a.requires_grad)
                if isinstance(a, torch.Tensor)
                else a
                for a in arguments
            ),
        )
        compiled = self._compiled.get(key, lambda: self._compile(function))
        try:
            return compiled(*arguments)
        except torch._dynamo.exc.Unsupported:
            function(*arguments)  # raises the exception that the compiler hides
            raise

    def _compile(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Compile a copy, since all that is compiled of one code object shares a limit."""
        import torch
        import torch._inductor.config

        torch._inductor.config.compile_threads = 1  # in this process, which may be ended any time
        assert isinstance(function, FunctionType)  # a pool's; conv_transpose is a builtin
        code = function.__code__.replace(co_name=f"{function.__name__}_{next(self._count)}")
        copy = FunctionType(code, function.__globals__, closure=function.__closure__)
        compiled: Callable[..., Tensor] = torch.compile(copy, fullgraph=True, dynamic=False)
        return compiled


@contextmanager
def _mkldnn_off() -> Iterator[None]:
    from torch.backends import mkldnn

    before = mkldnn.enabled
    mkldnn.enabled = False  # mkldnn.flags() would warn that there is no TF32 here
    try:
        yield
    finally:
        mkldnn.enabled = before


def _flags(backend: str, **values: bool) -> Callable[[], AbstractContextManager[Any]]:
    """Return a switch that sets flags of a module of `torch.backends`."""

    def switch() -> AbstractContextManager[Any]:
        import torch

        flags: AbstractContextManager[Any] = getattr(torch.backends, backend).flags(**values)
        return flags

    return switch


def _has_format(case: Case) -> bool | str:
    return case.dims > 1 or "channels_last needs two spatial dimensions"


def _compiles(case: Case) -> bool | str:
    minutes = case.operator == "avg_pool_grad" and case.dims == 3
    return not minutes or "the taps of its windows are unrolled, which compiles for minutes"


def _nvidia() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or (
        sys.platform == "win32" and shutil.which("nvidia-smi") is not None
    )


def _variant(name: str, **declared: Any) -> Implementation:
    return implementation(name, package="torch", extra="torch", **{"dtypes": DTYPES} | declared)


_KNOWN = "known.toml"
ChannelsLast().register(
    _variant(
        "torch[channels_last]",
        settings="memory format channels_last or channels_last_3d",
        supports=_has_format,
        snippet=snippet.channels_last,
        known=_KNOWN,
    )
)
Switched(_mkldnn_off, _flags("nnpack", enabled=False)).register(
    _variant(
        "torch[mkldnn=off]",
        settings="torch.backends.mkldnn and nnpack off",
        snippet=snippet.without_mkldnn,
        known=_KNOWN,
    )
)
Compiled().register(
    _variant(
        "torch[compile]",
        settings="torch.compile, shapes and parameters constant",
        shape_seconds=2.0,
        dtypes=("float32",),
        supports=_compiles,
        snippet=snippet.compiled,
        known=_KNOWN,
    )
)
_THREE = ("float32", "float16", "bfloat16")
if _nvidia():
    _full = _flags("cudnn", enabled=True, allow_tf32=False)
    OnDevice("cuda").register(
        _variant("torch[cuda]", family="cudnn", dtypes=_THREE, multiply="tf32")
    )
    OnDevice("cuda", _full).register(_variant("torch[cuda-tf32=off]", family="cudnn"))
    OnDevice("cuda", _flags("cudnn", enabled=False)).register(_variant("torch[cuda-cudnn=off]"))
if sys.platform == "darwin" and platform.machine() == "arm64":
    OnDevice("mps").register(_variant("torch[mps]", family="mps", dtypes=_THREE))
