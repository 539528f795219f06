"""Arrays of other libraries: how a kernel that takes tensors of PyTorch, JAX, ... is called.

Cases are NumPy arrays, and so are results that are judged. What a kernel is handed is made of them
next to it, before the clock starts, and what it returns becomes a NumPy array after the clock has
stopped. On the host both share memory wherever the library can: then guards, memory layouts and
changed inputs are seen as those of NumPy arrays are.

This module has what is known of a library without importing it, so that a case that its arrays
cannot express is not asked. Each library's own module has the conversion.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from conformance.arrays.library import Library

NUMPY = "numpy"

_BACKWARD = ("reversed", "flipped", "flipped_channels")
_STRIDED = {
    **dict.fromkeys(_BACKWARD, "negative strides"),
    "byteswapped": "byte order",
    "readonly": "read-only memory",
    "unaligned": "elements at odd addresses",
}
"""What arrays with strides, but without NumPy's freedom, do not have, by memory layout."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What arrays of a library are, as far as it matters to which cases are asked."""

    module: str
    """The module that is imported, and the distribution that has it."""
    noun: str
    """What one of them is called."""
    lacks: dict[str, str] = field(default_factory=dict)
    """What they have not, by the memory layout that needs it."""
    strides: bool = True
    """Whether they can lie in memory in different ways at all."""
    devices: bool = True
    """Whether a device can be chosen."""
    host: str = "cpu"
    """The device that is meant where none is declared."""
    differentiates: bool = True
    """Whether the library differentiates what is computed with it."""
    writeable: bool = False
    """Whether a kernel can write into them."""

    def unexpressed(self, memory: str) -> str | None:
        """Return why its arrays cannot lie in the memory layout of a case, None if they can."""
        layout = memory.partition("-")[0]
        if layout == "contiguous":
            return None
        if not self.strides:
            return f"a {self.noun} has no memory layouts"
        lacking = self.lacks.get(layout)
        return None if lacking is None else f"a {self.noun} has no {lacking}"


LIBRARIES = {
    "torch": Traits("torch", "torch.Tensor", _STRIDED, writeable=True),
    "jax": Traits("jax", "jax.Array", strides=False),
    "tensorflow": Traits("tensorflow", "tf.Tensor", strides=False),
    "mlx": Traits("mlx", "mlx.core.array", strides=False),
    "dlpack": Traits(
        *("", "DLPack tensor", _STRIDED), devices=False, differentiates=False, writeable=True
    ),
    "cupy": Traits(
        *("cupy", "cupy.ndarray", _STRIDED), host="cuda:0", differentiates=False, writeable=True
    ),
}
"""The libraries whose arrays kernels may take, besides NumPy."""


@cache
def library(name: str, device: str) -> Library:
    """Import a library, and return the conversion of its arrays on a device.

    Raises `ConformanceError` in one line where the library or the device is not there.
    """
    try:
        module = importlib.import_module(f"conformance.arrays.{name}")
    except Exception as problem:  # whatever the import of a library raises
        text = " ".join(str(problem).split())
        raise ConformanceError(f"arrays={name!r}: {type(problem).__name__}: {text}") from None
    made: Library = module.library(device)
    return made
