"""Lines of a script that hand a kernel arrays of its library, and read the result as NumPy's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.arrays import NUMPY
from conformance.arrays.parameters import OWN, expressed
from conformance.case import Case
from conformance.errors import Unsupported
from conformance.registration.implementation import Implementation, names_of
from conformance.registration.recipes import Recipe
from conformance.registration.snippets import plain


@dataclass(frozen=True, slots=True)
class _Text:
    """How a library's arrays are made, ``{x}``, and read, ``{y}``, as source text."""

    imports: str
    hand: str
    take: str
    hand_bfloat16: str = ""
    """If not ``hand``: NumPy has no bfloat16 that the library would know."""
    take_bfloat16: str = ""
    on_device: str = ""
    """What moves an array to ``{device}``."""
    wide: str = ""
    """What calls on 64-bit numbers need."""


_TEXTS = {
    NUMPY: _Text("", "{x}", "{y}"),
    "torch": _Text(
        "import torch",
        "torch.from_numpy({x})",
        "{y}.detach().cpu().numpy()",
        "torch.from_numpy({x}.view(np.int16)).view(torch.bfloat16)",
        "{y}.detach().cpu().float().numpy()",
        ".to({device!r})",
    ),
    "jax": _Text(
        "import jax",
        "jax.numpy.asarray({x})",
        "np.asarray({y})",
        wide="jax.config.update('jax_enable_x64', True)",
    ),
    "tensorflow": _Text("import tensorflow as tf", "tf.convert_to_tensor({x})", "{y}.numpy()"),
    "mlx": _Text(
        "import mlx.core as mx",
        "mx.array({x}, getattr(mx, {x}.dtype.name))",
        "np.array({y})",
        "mx.array({x}.view(np.uint16)).view(mx.bfloat16)",
        "np.array({y}.astype(mx.float32))",
    ),
    "dlpack": _Text(
        "from conformance.arrays.dlpack import DLPack",
        "DLPack().hand({x}, {x})",
        "DLPack().take({y})",
    ),
    "cupy": _Text("import cupy", "cupy.asarray({x})", "cupy.asnumpy({y})"),
}


def recipe_of(implementation: Implementation, case: Case) -> Recipe | None:
    """Return how the layer of a case is constructed, None where the kernel is a function.

    A script cannot name each class: one that a function has made, it cannot.
    """
    recipe = implementation.recipes.get(case.operator, {}).get(case.dims)
    if recipe is None or recipe.file:
        return recipe
    function = implementation.functions[case.operator]
    remote = implementation.place is not None
    _, name = ("", function.__name__) if remote else names_of(case.operator, function)
    return recipe if name else None


@dataclass(frozen=True, slots=True)
class Conversion:
    """The form of an implementation's arrays in the scripts that show cases of one dtype."""

    implementation: Implementation
    dtype: str

    @property
    def _text(self) -> _Text:
        return _TEXTS[self.implementation.arrays]

    def keywords(self, case: Case, parameters: Mapping[str, Any]) -> str:
        """Return the parameters of a call as text that follows its arguments.

        What the implementation's convention cannot express stays as it is.
        """
        own = self.implementation
        if recipe_of(own, case) is not None:  # its parameters are those of a constructor
            return ""
        if own.parameters != OWN:
            with suppress(Unsupported):
                names, shapes = own.keywords[case.operator], (case.x, case.w or ())
                parameters = expressed(
                    own.parameters, names, case.operator, shapes, parameters, own.layout
                )
        return "".join(f", {name}={plain(value)}" for name, value in parameters.items())

    def imports(self) -> list[str]:
        """Return the lines that import the library."""
        wide = self._text.wide if self.dtype.endswith("64") else ""
        return [line for line in (self._text.imports, wide) if line]

    def handed(self, name: str) -> str:
        """Return the expression of a NumPy array as an array of the library."""
        text, device = self._text, self.implementation.device
        hand = (self.dtype == "bfloat16" and text.hand_bfloat16) or text.hand
        moved = text.on_device.format(device=device) if device != "cpu" else ""
        return hand.format(x=name) + moved

    def taken(self, call: str) -> str:
        """Return the expression of what a call returns as a NumPy array."""
        text = self._text
        take = (self.dtype == "bfloat16" and text.take_bfloat16) or text.take
        return take.format(y=call)

    def lines(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return the lines that make arrays of the library of the arguments that are arrays."""
        if self.implementation.arrays == NUMPY:
            return []
        arrays: Iterable[str] = (n for n, v in arguments.items() if isinstance(v, np.ndarray))
        return [f"{name} = {self.handed(name)}" for name in arrays]
