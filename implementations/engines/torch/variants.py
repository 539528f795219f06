"""PyTorch's operators by other code paths: the calls of ``eager.py``, made another way.

Its options, which go together unless it says otherwise (``torch[device=cuda:1,tf32=on]``):

- `device`: tensors are copied to another device, and results back. With a backend of somebody's own
  that is what its module has registered: ``torch[import=my_backend,device=mine]``.
- `channels_last`: images and weights are in the memory format channels_last, or
  channels_last_3d, before the call, which has other kernels, in oneDNN as well.
- `mkldnn=off`: PyTorch's own kernels, im2col and a matrix product, without oneDNN, and
  without NNPACK, which would be used for batches of 16 or more. Pools are its own in any case, and
  are left out.
- `compile`: `torch.compile` of the whole call, in a gradient with its backward pass. Pools
  become loops in C++; convolutions stay the library calls of `torch`, and are left out. Each new
  shape and parameter takes 0.5 to 4 s (a C++ compiler is needed), hence float32 alone.
- `tf32`, `cudnn`, `benchmark`: on an NVIDIA GPU, whose convolutions are in TF32 by default, and by
  cuDNN.
- `deterministic`: `torch.use_deterministic_algorithms`.
- `unfold`: the other implementation of ``unfold.py``, with no other option.

`torch[cuda]`, `torch[cuda-tf32=off]`, `torch[cuda-cudnn=off]` and `torch[mps]` are registered where
such a device is present.
"""

from __future__ import annotations

import itertools
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial, wraps
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from conformance.case import Case
from conformance.errors import RegistrationError
from conformance.implementations._arguments import Array
from conformance.implementations.engines.compiled import LRU
from conformance.implementations.engines.torch import snippet
from conformance.implementations.engines.torch.eager import Torch, pytorch
from conformance.implementations.engines.torch.unfold import Unfold, torch_unfold
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from torch import Tensor

Switch: TypeAlias = Callable[[], AbstractContextManager[Any]]


class Varied(Torch):
    """Calls with the options chosen."""

    def __init__(self, chosen: Chosen) -> None:
        self._device = "" if chosen["device"] == "cpu" else chosen["device"]
        self._last = chosen["channels_last"] == "on"
        self._backend = "" if chosen["compile"] == "off" else chosen["compile"]
        self._switches = list(_switches(chosen))
        self._compiled: LRU[Callable[..., Tensor]] = LRU()
        self._count = itertools.count()
        if self._backend:
            self.operators = tuple(operator for operator in SIGNATURES if "pool" in operator)

    def public(self, operator: str) -> Callable[..., Array]:
        """Return an operator that is called with the switches."""
        function = super().public(operator)
        if not self._switches:
            return function

        @wraps(function)
        def call(*arguments: Any, **parameters: Any) -> Array:
            with ExitStack() as stack:
                for switch in self._switches:
                    stack.enter_context(switch())
                return function(*arguments, **parameters)

        return call

    def tensor(self, array: Array) -> Tensor:
        """Return a tensor in the memory format, and on the device."""
        import torch

        tensor = super().tensor(array)
        if self._last and tensor.ndim > 3:
            last = torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d
            tensor = tensor.contiguous(memory_format=last)
        return tensor.to(self._device) if self._device else tensor

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return the memory of the tensor, copied from the device."""
        return super().array(tensor.cpu() if self._device else tensor, like)

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call ``function``, compiled for its shapes and parameters if that is chosen."""
        if not self._backend:
            return super().run(function, *arguments)
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
        compiled: Callable[..., Tensor] = torch.compile(
            copy, backend=self._backend, fullgraph=True, dynamic=False
        )
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


def _flags(backend: str, **values: bool) -> Switch:
    """Return a switch that sets flags of a module of `torch.backends`."""

    def switch() -> AbstractContextManager[Any]:
        import torch

        flags: AbstractContextManager[Any] = getattr(torch.backends, backend).flags(**values)
        return flags

    return switch


@contextmanager
def _deterministic() -> Iterator[None]:
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _switches(chosen: Chosen) -> Iterator[Switch]:
    if chosen["mkldnn"] == "off":
        yield _mkldnn_off
        yield _flags("nnpack", enabled=False)
    if chosen["deterministic"] == "on":
        yield _deterministic
    if any(chosen[name] for name in _CUDA):
        yield _flags(
            "cudnn",
            enabled=chosen["cudnn"] != "off",
            allow_tf32=chosen["tf32"] != "off",
            benchmark=chosen["benchmark"] == "on",
        )


def _has_format(case: Case) -> bool | str:
    return case.dims > 1 or "channels_last needs two spatial dimensions"


def _compiles(case: Case) -> bool | str:
    minutes = case.operator == "avg_pool_grad" and case.dims == 3
    return not minutes or "the taps of its windows are unrolled, which compiles for minutes"


def _supports(checks: tuple[Callable[[Case], bool | str], ...], case: Case) -> bool | str:
    return next((answer for check in checks if (answer := check(case)) is not True), True)


# --- options ------------------------------------------------------------------------------------

_ON_OFF = ("on", "off")
_CUDA = ("tf32", "cudnn", "benchmark")
OPTIONS = (
    Option(
        "device",
        "The device of the tensors, by PyTorch's name for it.",
        ("cpu", "cuda", "cuda:1", "mps", "xpu"),
        default="cpu",
        pattern=r"[a-z]\w*(:\d+)?",
    ),
    Option("tf32", "Whether cuDNN convolves in TF32; without the option it does.", _ON_OFF),
    Option("cudnn", "Whether cuDNN convolves; without the option it does.", _ON_OFF),
    Option("benchmark", "Whether cuDNN tries its algorithms, and takes the fastest.", _ON_OFF),
    Option("deterministic", "Whether PyTorch keeps to deterministic algorithms.", _ON_OFF, "off"),
    Option("mkldnn", "Whether oneDNN and NNPACK are used where they can be.", _ON_OFF, "on"),
    Option("channels_last", "Whether tensors lie with channels last.", _ON_OFF, "off", "on"),
    Option(
        "compile",
        "The backend of torch.compile that compiles pools.",
        ("off", "inductor", "aot_eager", "eager"),
        default="off",
        bare="inductor",
        pattern=r"[a-z]\w*",
    ),
    Option("unfold", "Whether PyTorch unfolds images and multiplies.", _ON_OFF, "off", "on"),
)
_FIXED: dict[str, Chosen] = {
    "torch[channels_last]": {"channels_last": "on"},
    "torch[mkldnn=off]": {"mkldnn": "off"},
    "torch[compile]": {"compile": "inductor"},
    "torch[unfold]": {"unfold": "on"},
    "torch[cuda]": {"device": "cuda"},
    "torch[cuda-tf32=off]": {"device": "cuda", "tf32": "off"},
    "torch[cuda-cudnn=off]": {"device": "cuda", "cudnn": "off"},
    "torch[mps]": {"device": "mps"},
}


def _made(chosen: Chosen) -> Variant:
    """Return a variant; raise `RegistrationError` for options that do not go together."""
    device = chosen["device"].partition(":")[0]
    changed = {name for name, default in _DEFAULTS.items() if chosen[name] != default}
    if "unfold" in changed:
        if len(changed) > 1:
            raise RegistrationError("unfold goes with no other option")
        same = ("dtypes", "supports", "conventions", "settings", "snippet")
        return Variant(Unfold().register, {name: getattr(torch_unfold, name) for name in same})
    for name in _CUDA:
        if chosen[name] and device != "cuda":
            raise RegistrationError(
                f"{name} needs a GPU of NVIDIA's: torch[device=cuda,{name}=...]"
            )
    checks = []
    if "channels_last" in changed:
        checks.append(_has_format)
    if "compile" in changed:
        checks.append(_compiles)
    declared: dict[str, Any] = {
        "settings": ", ".join(
            _SETTINGS[name].format(chosen[name]) for name in _SETTINGS if name in changed
        ),
        "supports": partial(_supports, tuple(checks)) if checks else None,
        "snippet": partial(snippet.varied, dict(chosen)),
    }
    if not changed - {"deterministic"}:
        declared["settings"] = ", ".join(filter(None, (pytorch.settings, declared["settings"])))
    cudnn = device == "cuda" and chosen["cudnn"] != "off"
    if device != "cpu":
        declared["family"] = {"cuda": "cudnn" if cudnn else "torch"}.get(device, device)
    if "compile" in changed:
        declared |= {"dtypes": ("float32",), "shape_seconds": 2.0}
    elif device == "mps" or (cudnn and chosen["tf32"] != "off"):
        declared["dtypes"] = ("float32", "float16", "bfloat16")
    if cudnn and chosen["tf32"] != "off":
        declared["multiply"] = "tf32"
    ready = None
    if chosen["device"] != "cpu" or chosen["compile"] not in ("off", "inductor"):
        ready = partial(_missing, chosen["device"], chosen["compile"])
    changes = tuple(SIGNATURES)
    if changed == {"mkldnn"}:  # pools are PyTorch's own in any case
        changes = tuple(operator for operator in SIGNATURES if "pool" not in operator)
    return Variant(Varied(chosen).register, declared, ready, changes)


_DEFAULTS = {option.name: option.default for option in OPTIONS}
_SETTINGS = {
    "device": "device {}",
    "tf32": "torch.backends.cudnn.allow_tf32 {}",
    "cudnn": "torch.backends.cudnn {}",
    "benchmark": "torch.backends.cudnn.benchmark {}",
    "deterministic": "torch.use_deterministic_algorithms {}",
    "mkldnn": "torch.backends.mkldnn and nnpack {}",
    "channels_last": "memory format channels_last or channels_last_3d",
    "compile": "torch.compile by {}, shapes and parameters constant",
}
"""How a report puts an option that is not at its default."""


def _missing(device: str, backend: str) -> str | None:
    """Return what is not there of a device, or of a backend of torch.compile; None if all is."""
    import torch

    if device != "cpu":
        try:
            torch.ones(1).to(device).cpu()
        except Exception as problem:  # PyTorch raises many kinds
            reason = str(problem).partition("\n")[0].rstrip(".")
            return f"no device '{device}' here: {reason}; there are {', '.join(_devices())}"
    if backend != "off" and backend not in (known := torch._dynamo.list_backends(exclude_tags=())):
        return f"torch.compile has no backend '{backend}' here; there are {', '.join(known)}"
    return None


def _devices() -> list[str]:
    import torch

    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    if accelerator is None:
        return ["cpu"]
    count = torch.accelerator.device_count()
    return ["cpu", *(f"{accelerator.type}:{number}" for number in range(count))]


def _nvidia() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or (
        sys.platform == "win32" and shutil.which("nvidia-smi") is not None
    )


def _listed() -> list[str]:
    """Return the fixed variants that are registered here; ``unfold.py`` registers its own."""
    here = {"cpu"}
    if _nvidia():
        here.add("cuda")
    if sys.platform == "darwin" and platform.machine() == "arm64":
        here.add("mps")
    chosen = {name: chosen for name, chosen in _FIXED.items() if "unfold" not in chosen}
    return [name for name, options in chosen.items() if options.get("device", "cpu") in here]


in_use().offer(Offer(pytorch, OPTIONS, _made, __name__, _FIXED), _listed())
