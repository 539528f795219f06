"""Modules: classes with the constructor of torch.nn.Conv2d, keras.layers.MaxPool2D, ..., in a line.

::

    import conformance

    conformance.module("mine", MyConv2d)

What a class is and what it takes is found out when it is registered (`conformance.forms.classes`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from conformance.cases.only import Only
from conformance.errors import RegistrationError
from conformance.forms.classes import LayerClass
from conformance.forms.layers import Layer, Layers
from conformance.registration import registry
from conformance.registration.implementation import Implementation


def module(
    name: str,
    *classes: Any,
    operator: str | None = None,
    dims: int | None = None,
    names: Mapping[str, str] | None = None,
    **declared: Any,
) -> Implementation:
    """Register classes with the constructors of torch.nn's or keras.layers' under a name.

    The class of each operator and number of dimensions may be among them: Conv1d to 3d,
    ConvTranspose1d to 3d, MaxPool1d to 3d, AvgPool1d to 3d.

    ``operator`` and ``dims`` say what a class is that does not tell by itself. ``names`` maps
    "weight" and "bias" to its names for them, "conv.weight" for that of a part. What is
    ``declared`` besides is as for `implementation`. Raises `RegistrationError` for a class that
    takes other arguments, or could not be called.
    """
    frame = sys._getframe(1)
    where = f"{registry.origin_of(frame)}: module {name!r}"
    if not classes:
        raise RegistrationError(f'{where}: no class; conformance.module("mine", MyConv2d)')
    found: dict[str, dict[int, Layer]] = {}
    traits: dict[tuple[str, int], tuple[Only, bool]] = {}
    libraries = set()
    for one in classes:
        look = LayerClass(one, where, operator, dims, names or {}, "gradients" in declared)
        libraries.add(look.library)
        for layer, supported, numbers in look.layers():
            own = layer.recipe
            if own.dims in found.setdefault(own.operator, {}):
                raise RegistrationError(
                    f"{where}: two classes are {own.operator} in {own.dims} dimensions; "
                    f"register one of them under another name"
                )
            found[own.operator][own.dims] = layer
            traits[own.operator, own.dims] = supported, numbers
    if len(libraries) > 1:
        raise RegistrationError(
            f"{where}: classes of PyTorch and Keras; give each a name of its own"
        )
    (library,) = libraries
    form = _form(library, all(numbers for _, numbers in traits.values()))
    both = {"gradients": "autograd", **form, **declared}
    supports = _supports({key: one for key, (one, _) in traits.items()}, declared.get("supports"))
    made = registry.declare(frame, name, **{**both, "supports": supports})
    for each, layers in found.items():
        made.register(each, Layers(layers))
    return made


def _form(library: str, numbers: bool) -> dict[str, Any]:
    """Return the declarations of arrays and parameters that classes of a library have."""
    if library == "torch":
        return {"arrays": "torch", "parameters": "numbers" if numbers else "torch"}
    import keras

    backend = keras.backend.backend()
    return {"arrays": backend, "parameters": "tensorflow", "layout": "NHWC"}


def _supports(by_key: Mapping[tuple[str, int], Only], declared: Any) -> Any:
    """Return the ``supports=`` of several classes, and of what is declared besides."""
    if len(by_key) == 1 and declared is None:
        return next(iter(by_key.values()))
    return _Each(by_key, declared)


class _Each:
    """What each class takes, by operator and dimensions, and what is declared besides."""

    def __init__(self, by_key: Mapping[tuple[str, int], Only], declared: Any) -> None:
        self.by_key, self.declared = by_key, declared

    def _only(self, case: Any) -> Only | None:
        operator = re.sub("(_input|_weight|_bias)?_grad$", "", case.operator)
        return self.by_key.get((operator, case.dims))

    def __call__(self, case: Any) -> bool | str:
        only = self._only(case)
        if only is None:
            there = sorted(dims for _, dims in self.by_key)
            return f"only {' or '.join(map(str, dict.fromkeys(there)))} spatial dimensions"
        answer = only(case)
        return answer if self.declared is None or answer is not True else self.declared(case)

    def steer(self, case: Any) -> Any:
        """Return a case that its class takes, None if there is none."""
        only = self._only(case)
        return None if only is None else only.steer(case)
