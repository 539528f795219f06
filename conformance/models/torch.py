"""The calls of a model of PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from conformance.arrays.torch import ON_HOST
from conformance.calling import Array
from conformance.case import Case
from conformance.forms.tracing import Traced, listening
from conformance.models.collecting import Calls, Listener
from conformance.signatures import SIGNATURES


def collect(
    calls: Calls, model: Callable[..., Any], inputs: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Call a model, and add the calls that it makes."""
    model = getattr(model, "_orig_mod", model)  # of what is compiled
    with torch.no_grad(), hearing(calls):
        model(*inputs, **named)


@contextlib.contextmanager
def hearing(calls: Listener) -> Iterator[None]:
    """Tell of the calls that are made until the end of the context."""
    with layers() as here, listening(_Hearing(calls, here)):
        yield


class Here:
    """Where in a model a call is made: the path of the module that makes it."""

    def __init__(self) -> None:
        self._stack: list[torch.nn.Module] = []
        self._names: dict[int, str] = {}

    def enter(self, module: torch.nn.Module) -> None:
        """Note that a module is called; the outermost one names its parts."""
        if not self._stack:
            self._names = {id(one): name for name, one in module.named_modules()}
        self._stack.append(module)

    def leave(self) -> None:
        """Note that the call of a module has ended."""
        if self._stack:
            self._stack.pop()

    def name(self, function: str) -> str:
        """Return the name of the layer that calls a function now.

        A module that has parts may call functions besides: these are named after what they are.
        """
        module = self._stack[-1] if self._stack else None
        if module is None:
            return function
        path = self._names.get(id(module), type(module).__name__)
        if path and next(module.children(), None) is None:
            return path
        return f"{path}.{function}" if path else function


@contextlib.contextmanager
def layers() -> Iterator[Here]:
    """Yield where the call is that is made while the context lasts."""
    here = Here()
    before = register_module_forward_pre_hook(lambda module, args: here.enter(module))
    after = register_module_forward_hook(
        lambda module, args, output: here.leave(), always_call=True
    )
    try:
        yield here
    finally:
        before.remove()
        after.remove()


class _Hearing:
    """Tells what it hears as cases, with the layers that they are of."""

    def __init__(self, calls: Listener, here: Here) -> None:
        self.calls, self.here = calls, here

    def heard(self, call: Traced, perform: Callable[..., Any]) -> Any:
        """Make the call, tell of it, and return what is to be its result."""
        output = perform()
        layer = self.here.name(call.operator)
        several = isinstance(output, (tuple, list))
        first = output[0] if several else output
        case = case_of(call)
        arrays = arrays_of(call, case)
        with torch.autocast(first.device.type, enabled=False):
            other = self.calls.add(layer, case, arrays, batched(as_array(first), case))
        if other is None:
            return output
        whole = np.ascontiguousarray(other)
        made = ON_HOST.hand(whole, whole).reshape(first.shape).to(first.device)
        return (made, *output[1:]) if several else made

    def other(self, name: str, why: str) -> None:
        """Tell of what is no call of an operator."""
        self.calls.other(self.here.name(name), name, why)


def case_of(call: Traced) -> Case:
    """Return the case that a call of a function is."""
    fields, x, w = call.fields, call.tensors["x"], call.tensors["w"]
    shape = tuple(x.shape)
    given: dict[str, Any] = {"x": shape if len(shape) == call.dims + 2 else (1, *shape)}
    if w is not None:
        given |= {"w": tuple(w.shape), "bias": call.tensors["bias"] is not None}
    for name in SIGNATURES[call.operator].parameters:
        value = fields[name]
        if name == "padding" and value == "same":
            totals = [d * (k - 1) for d, k in zip(fields["dilation"], w.shape[2:], strict=True)]
            value = tuple((total // 2, total - total // 2) for total in totals)
        elif name == "padding":
            value = tuple((size, size) for size in value)
        given[name] = value
    return Case(operator=call.operator, dtype=str(x.dtype).removeprefix("torch."), **given)


def arrays_of(call: Traced, case: Case) -> tuple[Array | None, ...]:
    """Return the arrays of a call, channels first with a batch, None for no bias."""
    names = SIGNATURES[call.operator].arrays
    given = [call.tensors[name] for name in names]
    first, *rest = [None if one is None else as_array(one) for one in given]
    return (batched(first, case), *rest)


def as_array(tensor: torch.Tensor) -> Array | None:
    """Return the numbers of a tensor, None where it has none that NumPy has."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_complex():
        return None
    taken = ON_HOST.take(tensor.detach().cpu().contiguous())
    return taken if hasattr(taken, "dtype") else None


def batched(array: Array | None, case: Case) -> Array | None:
    """Return an image with a batch."""
    return array[None] if array is not None and array.ndim == case.dims + 1 else array
