"""Kernels for a GPU without one: what lets them run in the interpreters of their languages.

Triton and Numba look at the environment when they are imported; Pallas has an argument of each
call. So it is said before anything of them is imported: in the environment, which workers inherit,
and by a hook that is there when Pallas is imported.
"""

from __future__ import annotations

import functools
import importlib.abc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_SWITCH = "CONFORMANCE_INTERPRET"
_VARIABLES = {_SWITCH: "1", "TRITON_INTERPRET": "1", "NUMBA_ENABLE_CUDASIM": "1"}
_PALLAS = "jax.experimental.pallas"

NAMES = {
    "triton": "Triton's interpreter",
    _PALLAS: "Pallas's interpret mode",
    "numba.cuda": "Numba's CUDA simulator",
}
"""The interpreters, by the module whose kernels they run."""
SHAPE_SECONDS, WORK_SECONDS = 0.02, 2e-6
"""What calls in an interpreter are reckoned at, for a call of a new shape and for each
multiply-accumulate, where nothing is declared."""


def switch(on: bool) -> None:
    """Let kernels that are loaded from now on run in interpreters, or no longer."""
    if on:
        os.environ.update(_VARIABLES)
        install()
    elif is_on():
        for name in _VARIABLES:
            os.environ.pop(name, None)


def is_on() -> bool:
    """Whether kernels run in interpreters."""
    return _SWITCH in os.environ


def install() -> None:
    """Let Pallas interpret its calls, once it is imported, if that is switched on."""
    if not is_on() or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if _PALLAS in sys.modules:
        _interpret(sys.modules[_PALLAS])
    else:
        sys.meta_path.insert(0, _Finder())


def declared(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an implementation declares, where its kernels run in interpreters."""
    names = [name for module, name in NAMES.items() if module in sys.modules]
    where = f"in {' and '.join(names) or 'interpreters of kernels'}"
    return {
        "settings": ", ".join(filter(None, (where, values["settings"]))),
        "shape_seconds": values["shape_seconds"] or SHAPE_SECONDS,
        "work_seconds": values["work_seconds"] or WORK_SECONDS,
    }


def _interpret(module: ModuleType) -> None:
    call = vars(module)["pallas_call"]

    @functools.wraps(call)
    def interpreted(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **options | {"interpret": True})

    vars(module)["pallas_call"] = interpreted


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Pallas as ever, and changes it once it is executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _PALLAS else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _interpret(module)
