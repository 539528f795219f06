"""Models: which convolutions and pools one makes, as a suite, and the model on another kernel.

`trace` runs a model of PyTorch, of Keras, or an ONNX file, and collects its calls. `substituted`
runs one with the functions of an implementation in the place of its library's.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.models.collecting import Calls
from conformance.spec.suite import Suite


def trace(model: Any, *inputs: Any, **named: Any) -> Suite:
    """Return the calls of convolutions and pools that a model makes for these inputs, as a suite.

    The model is a `torch.nn.Module`, a model of Keras, a function over tensors, or an ONNX file:
    its path or its ModelProto. Its inputs are those that it is called with; an ONNX file needs none
    where its shapes are fixed, and then says nothing of what numbers there are.

    Each distinct call is one case, with how often it is made, by which layers, and the range of the
    numbers of each array. A convolution or a pool that is no call of an operator, such as a
    quantised one, is listed with the reason. Raises `ConformanceError` for what is no model, and
    for one that calls nothing of the kind.
    """
    name = _name(model)
    calls = Calls()
    if named and (isinstance(model, (str, os.PathLike)) or _is_proto(model)):
        raise ConformanceError(f"model {name}: takes no inputs by name; hand them over in order")
    _collector(model, name)(calls, model, inputs, named)
    if calls.is_empty:
        raise ConformanceError(f"model {name}: makes no call of a convolution or a pool")
    return calls.suite(name)


def _collector(model: Any, name: str) -> Callable[..., None]:
    """Return what collects the calls of a model of its library, which is imported here."""
    if isinstance(model, (str, os.PathLike)) or _is_proto(model):
        library = "onnx"
    elif _comes_from(model, "keras"):
        library = "keras"
    elif callable(model):
        library = "torch"
    else:
        raise ConformanceError(
            f"trace: {name} is no model; hand over a torch.nn.Module, a model of Keras, a function "
            f"over tensors, or an ONNX file"
        )
    try:
        module = importlib.import_module(f"conformance.models.{library}")
    except ModuleNotFoundError as problem:
        raise ConformanceError(f"model {name}: needs {problem.name}, which is not there") from None
    collect: Callable[..., None] = module.collect
    return collect


def _name(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return Path(model).stem
    if _is_proto(model):
        return str(model.graph.name) or "model"
    if _comes_from(model, "keras") and isinstance(getattr(model, "name", None), str):
        return str(model.name)
    own = getattr(model, "__name__", "")
    return own if own.isidentifier() else type(model).__name__


def _is_proto(model: Any) -> bool:
    return hasattr(model, "SerializeToString") and hasattr(model, "graph")


def _comes_from(model: Any, package: str) -> bool:
    """Whether a class that a model inherits is of a package."""
    return any(base.__module__.partition(".")[0] == package for base in inspect.getmro(type(model)))
