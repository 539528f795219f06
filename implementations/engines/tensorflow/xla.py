"""TensorFlow's operators compiled by XLA: the calls of ``eager.py`` in a `tf.function`.

`tf.function(jit_compile=True)` surrounds the whole call, in a gradient with the backward pass. XLA
compiles it for each combination of shapes and parameters (10 to 60 ms), and the latest functions
are kept; about 0.2 MiB of each shape stay in the process even when it is dropped. On the CPU the
operators are Eigen's contractions and loops that LLVM compiled, in every dtype, dilated and grouped
too. The family is `xla`, which JAX uses as well: the two are not two witnesses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations.engines.compiled import LRU
from conformance.implementations.engines.tensorflow import snippet
from conformance.implementations.engines.tensorflow.eager import TensorFlow

if TYPE_CHECKING:
    from tensorflow import Tensor


tensorflow = implementation(
    "tensorflow[xla]",
    family="xla",
    package="tensorflow",
    settings="tf.function(jit_compile=True)",
    shape_seconds=0.05,
    extra="tensorflow",
    layout="NHWC",
    dtypes=DTYPES,
    snippet=snippet.compiled,
    known="known.toml",
    conventions={"nan": "ignore", "subnormal": "flush"},
)


class Xla(TensorFlow):
    """Calls compiled for their shapes and parameters."""

    def __init__(self) -> None:
        self._compiled: LRU[Callable[..., Tensor]] = LRU()

    def run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Call the compiled ``function``."""
        import tensorflow as tf

        tensors = [argument for argument in arguments if tf.is_tensor(argument)]
        parts = tuple(tf.TensorSpec(a.shape, a.dtype) if tf.is_tensor(a) else a for a in arguments)
        compiled = self._compiled.get((function, parts), lambda: _compile(function, parts))
        return compiled(*tensors)


def _compile(function: Callable[..., Tensor], parts: tuple[Any, ...]) -> Callable[..., Tensor]:
    """Return ``function``, traced, as a function of tensors, each a TensorSpec in ``parts``."""
    import tensorflow as tf

    def of_tensors(*tensors: Tensor) -> Tensor:
        following = iter(tensors)
        return function(
            *(next(following) if isinstance(part, tf.TensorSpec) else part for part in parts)
        )

    specs = [part for part in parts if isinstance(part, tf.TensorSpec)]
    traced = tf.function(of_tensors, jit_compile=True, autograph=False)
    compiled: Callable[..., Tensor] = traced.get_concrete_function(*specs)
    return compiled


Xla().register(tensorflow)
