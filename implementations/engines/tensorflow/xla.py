"""TensorFlow's operators by other code paths: the calls of ``eager.py``, made another way.

Its options are `device` (``tensorflow[device=GPU:0]``), `onednn`, which TensorFlow has off on some
systems, and `tf32`, for GPUs; `function`: the calls in a `tf.function`, a graph that is rewritten
before it runs; and `xla`: in one that XLA compiles.

`tf.function(jit_compile=True)` surrounds the whole call, in a gradient with the backward pass. XLA
compiles it for each combination of shapes and parameters (10 to 60 ms), and the latest functions
are kept; about 0.2 MiB of each shape stay in the process even when it is dropped. On the CPU the
operators are Eigen's contractions and loops that LLVM compiled, in every dtype, dilated and grouped
too. The family is `xla`, which JAX uses as well: the two are not two witnesses.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from conformance.errors import RegistrationError
from conformance.implementations._arguments import Array, Shape
from conformance.implementations.engines.compiled import LRU, check_groups_in_memory
from conformance.implementations.engines.parameters import Conv
from conformance.implementations.engines.tensorflow import snippet
from conformance.implementations.engines.tensorflow.eager import TensorFlow, load, tensorflow
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

if TYPE_CHECKING:
    from tensorflow import Tensor


class Varied(TensorFlow):
    """Calls with the options chosen."""

    def __init__(self, chosen: Chosen) -> None:
        self._device, self._xla = chosen["device"], chosen["xla"] == "on"
        self._traced = self._xla or chosen["function"] == "on"
        self._compiled: LRU[Callable[..., Tensor]] = LRU()

    def public(self, operator: str) -> Callable[..., Array]:
        """Return an operator whose tensors are on the device."""
        function = super().public(operator)
        if not self._device:
            return function

        @wraps(function)
        def call(*arguments: Any, **parameters: Any) -> Array:
            with load().device(self._device):
                return function(*arguments, **parameters)

        return call

    def conv_weight_grad(self, grad: Array, x: Array, weight_shape: Shape, p: Conv) -> Array:
        """Differentiate a convolution by its weight, if memory suffices for XLA's groups."""
        if self._xla:
            check_groups_in_memory(x, p.groups)
        return super().conv_weight_grad(grad, x, weight_shape, p)

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call ``function``, traced for its shapes and parameters if that is chosen."""
        if not self._traced:
            return super().run(function, *arguments)
        import tensorflow as tf

        tensors = [argument for argument in arguments if tf.is_tensor(argument)]
        parts = tuple(tf.TensorSpec(a.shape, a.dtype) if tf.is_tensor(a) else a for a in arguments)
        compiled = self._compiled.get(
            (function, parts), lambda: _trace(function, parts, compiled=self._xla)
        )
        return compiled(*tensors)


def _trace(
    function: Callable[..., Tensor], parts: tuple[Any, ...], *, compiled: bool
) -> Callable[..., Tensor]:
    """Return ``function``, traced, as a function of tensors, each a TensorSpec in ``parts``.

    XLA makes it ``compiled``.
    """
    import tensorflow as tf

    def of_tensors(*tensors: Tensor) -> Tensor:
        following = iter(tensors)
        return function(
            *(next(following) if isinstance(part, tf.TensorSpec) else part for part in parts)
        )

    specs = [part for part in parts if isinstance(part, tf.TensorSpec)]
    traced = tf.function(of_tensors, jit_compile=compiled or None, autograph=False)
    concrete: Callable[..., Tensor] = traced.get_concrete_function(*specs)
    return concrete


_ON_OFF = ("on", "off")
OPTIONS = (
    Option(
        "device",
        "The device, by TensorFlow's name for it; without the option TensorFlow chooses.",
        ("CPU:0", "GPU:0"),
        pattern=r"[A-Z]\w*(:\d+)?",
    ),
    Option("xla", "Whether calls are compiled by XLA.", _ON_OFF, "off", "on"),
    Option("function", "Whether calls are graphs, of tf.function.", _ON_OFF, "off", "on"),
    Option("onednn", "Whether oneDNN is used; without the option as TensorFlow does.", _ON_OFF),
    Option("tf32", "Whether GPUs multiply in TF32; without the option they do.", _ON_OFF),
)


def _made(chosen: Chosen) -> Variant:
    on_gpu = chosen["device"].startswith("GPU")
    if chosen["tf32"] and not on_gpu:
        raise RegistrationError("tf32 needs a GPU: tensorflow[device=GPU:0,tf32=...]")
    if chosen["xla"] == chosen["function"] == "on":
        raise RegistrationError("xla and function are both on; xla compiles a tf.function")
    plain = {("xla", "off"), ("function", "off")}
    changed = {name for name, value in chosen.items() if value and (name, value) not in plain}
    said = {
        "device": f"tf.device {chosen['device']}",
        "onednn": f"TF_ENABLE_ONEDNN_OPTS {chosen['onednn']}",
        "tf32": f"tf.config.experimental.enable_tensor_float_32_execution {chosen['tf32']}",
        "xla": "tf.function(jit_compile=True)",
        "function": "tf.function",
    }
    declared: dict[str, Any] = {
        "settings": ", ".join(text for name, text in said.items() if name in changed),
        "snippet": partial(snippet.varied, dict(chosen)),
    }
    if "xla" in changed:
        conventions = {"nan": "ignore", "subnormal": "flush"}
        declared |= {"family": "xla", "shape_seconds": 0.05, "conventions": conventions}
    if "function" in changed:
        declared |= {"shape_seconds": 0.02}
    if on_gpu:
        declared |= {"family": "cudnn"} if "xla" not in changed else {}
        declared |= {"multiply": "tf32"} if chosen["tf32"] != "off" else {}
    asks = changed & {"device", "onednn", "tf32"}
    return Variant(
        Varied(chosen).register, declared, partial(_prepared, dict(chosen)) if asks else None
    )


def _prepared(chosen: Chosen) -> str | None:
    """Set what has to be set before TensorFlow is imported; return what is not there."""
    if chosen["onednn"]:
        if "tensorflow" in sys.modules:
            return "TensorFlow is imported already, and onednn is settled by that; use a worker"
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = str(int(chosen["onednn"] == "on"))
    tf = load()
    if chosen["tf32"]:
        tf.config.experimental.enable_tensor_float_32_execution(chosen["tf32"] == "on")
    names = [device.name.rpartition("device:")[2] for device in tf.config.list_logical_devices()]
    device = chosen["device"]
    if device and (device if ":" in device else f"{device}:0") not in names:
        return f"TensorFlow has no device '{device}' here; there are {', '.join(names)}"
    return None


_FIXED = {"tensorflow[xla]": {"xla": "on"}}
in_use().offer(Offer(tensorflow, OPTIONS, _made, __name__, _FIXED))
