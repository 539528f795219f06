"""Tracing: which functions of PyTorch a model calls, and which of them are calls of operators.

Functions are seen where Python calls them. What is called elsewhere, as in a scripted module, is
seen where it is dispatched: its names and arguments are those of PyTorch's native functions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from conformance.signatures import LIKE_ONE, NOT_ONE

_ARGUMENTS = {
    "conv": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose": (
        *("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    "max_pool": (
        *("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    ),
    "avg_pool": (
        *("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
        "divisor_override",
    ),
}
_SPATIAL = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
_NAMED = re.compile(
    rf"(_?adaptive_)?({'|'.join(sorted(_ARGUMENTS, reverse=True))})([123])d(?:_with_indices)?"
)
_ADAPTIVE = ("input", "output_size", "return_indices")
_CONVOLUTION = (
    *("input", "weight", "bias", "stride", "padding", "dilation", "transposed"),
    *("output_padding", "groups"),
)
"""The arguments of the native function that all convolutions are."""
_NEUTRAL = {
    *("__get__", "size", "dim", "ndimension", "numel", "stride", "is_contiguous", "contiguous"),
    *(
        "_set_grad_enabled",
        "is_floating_point",
        "element_size",
        "storage_offset",
        "detach",
        "data_ptr",
        "__len__",
    ),
}
"""What looks at a tensor, or lays it out anew, and computes nothing."""


class _OnMeta(TorchFunctionMode):  # type: ignore[misc]
    """Makes tensors without numbers, on whatever device they are asked for."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = {k: v for k, v in (kwargs or {}).items() if k != "generator"}
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        if "device" in given:
            given["device"] = "meta"
        return func(*args, **given)


@contextlib.contextmanager
def on_meta() -> Iterator[None]:
    """Make tensors without numbers, and generators of a device that need not be here."""
    generator = torch.Generator
    torch.Generator = lambda device=None: generator()
    try:
        with torch.device("meta"), _OnMeta():
            yield
    finally:
        torch.Generator = generator


@dataclass(frozen=True, slots=True)
class Traced:
    """The one call that a module is made of."""

    operator: str
    dims: int
    fields: Mapping[str, Any]
    """Its parameters by the suite's names, kernel, channels and bias among them."""
    tensors: Mapping[str, Any]
    """Its x, w and bias."""


class Listener(Protocol):
    """What is told of the calls that a model makes."""

    def heard(self, call: Traced, perform: Callable[..., Any]) -> Any:
        """Return the result of a call; ``perform(change)`` makes it, with its tensors changed."""

    def other(self, name: str, why: str) -> None:
        """Take note of a convolution or a pool that is no call of an operator."""


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell of all calls of operators that are made until the end of the context.

    What is compiled runs as it is written.
    """
    eager = torch.compiler.set_stance("force_eager")
    with eager, _Dispatched(listener) as inner, _Functions(listener, inner):
        yield


class _Dispatched(TorchDispatchMode):  # type: ignore[misc]
    """Tells of what is dispatched, unless it is a part of a function of which is told."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener, self.silent, self.told = listener, False, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        name = func.overloadpacket.__name__
        if self.silent or not LIKE_ONE.search(name):
            return func(*args, **named)
        found: Traced | str | None = None
        if func.namespace == "aten":
            found = described(name, args, named)
        self.told += 1
        if isinstance(found, Traced):
            return self.listener.heard(found, _performing(func, args, named))
        whole = name if func.namespace == "aten" else f"{func.namespace}::{name}"
        self.listener.other(whole, found or NOT_ONE)
        return func(*args, **named)


class _Functions(TorchFunctionMode):  # type: ignore[misc]
    """Tells of functions that Python calls."""

    def __init__(self, listener: Listener, inner: _Dispatched) -> None:
        super().__init__()
        self.listener, self.inner = listener, inner

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        name = getattr(func, "__name__", str(func))
        native = isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket))
        found = None if native or self.inner.silent else described(name, args, named)
        if isinstance(found, Traced):
            self.inner.silent = True
            try:
                return self.listener.heard(_cast(found), _performing(func, args, named))
            finally:
                self.inner.silent = False
        before = self.inner.told
        result = func(*args, **named)
        if found is not None and self.inner.told == before:
            self.listener.other(name, found)
        return result


def _performing(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Callable[..., Any]:
    def perform(change: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Any:
        if change is None:
            return func(*args, **named)

        def changed(value: Any) -> Any:
            return change(value) if isinstance(value, torch.Tensor) else value

        return func(*map(changed, args), **{name: changed(v) for name, v in named.items()})

    return perform


def _cast(call: Traced) -> Traced:
    """Return a call of a function as it is computed under autocast, which has another dtype."""
    x = call.tensors["x"]
    if not torch.is_autocast_enabled(x.device.type) or "conv" not in call.operator:
        return call
    dtype = torch.get_autocast_dtype(x.device.type)
    cast = {
        name: one.to(dtype) if isinstance(one, torch.Tensor) and one.dtype == torch.float32 else one
        for name, one in call.tensors.items()
    }
    return replace(call, tensors=cast)


class _Recorder(TorchFunctionMode):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        if name not in _NEUTRAL:
            self.calls.append((name, tuple(args), kwargs or {}))
        return func(*args, **kwargs or {})


def trace(call: Callable[[], Any]) -> tuple[Traced | None, str]:
    """Return the one operator that a call is made of, else None, and what it is made of in words.

    Raises what the call raises, unless an operator was called before.
    """
    recorder = _Recorder()
    try:
        with torch.no_grad(), recorder:
            call()
    except Exception:  # whatever is raised: inputs need not fit
        if not recorder.calls or not _NAMED.fullmatch(recorder.calls[-1][0]):
            raise
    names = [name for name, _, _ in recorder.calls]
    listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    found = described(*recorder.calls[0]) if len(names) == 1 else None
    if isinstance(found, Traced) and not names[0].startswith("adaptive"):
        return found, listed
    return None, listed or "nothing that PyTorch computes"


def described(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Traced | str | None:
    """Return the call of an operator that a call of a function is.

    It is the reason why it is none, where the name says that it could be one, and else None.
    """
    if name in ("convolution", "_convolution"):
        given = dict(zip(_CONVOLUTION, args, strict=False)) | dict(kwargs)
        operator, dims = "conv", given["weight"].ndim - 2
        if given.pop("transposed", False):
            operator = "conv_transpose"
        return _of_operator(operator, dims, given)
    named = _NAMED.fullmatch(name)
    if named is None:
        return NOT_ONE if LIKE_ONE.search(name) else None
    operator, dims = named[2], int(named[3])
    if named[1]:
        given = dict(zip(_ADAPTIVE, args, strict=False)) | dict(kwargs)
        return _adaptive(operator, dims, *(given.get(name) for name in _ADAPTIVE))
    given = dict(zip(_ARGUMENTS[operator], args, strict=False)) | dict(kwargs)
    if given.pop("return_indices", False):
        return "return_indices"
    if given.pop("divisor_override", None) is not None:
        return "divisor_override"
    return _of_operator(operator, dims, given)


def _adaptive(
    operator: str, dims: int, x: Any, output_size: Any, return_indices: Any
) -> Traced | str:
    """Return the pool with windows of one size that a pool of a given output is, if it is one."""
    size = tuple(x.shape[-dims:])
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    out = [n if given is None else given for n, given in zip(size, wanted, strict=True)]
    if return_indices or any(not given or n % given for n, given in zip(size, out, strict=True)):
        return "return_indices" if return_indices else "windows of several sizes"
    kernel = tuple(n // given for n, given in zip(size, out, strict=True))
    return _of_operator(operator, dims, {"input": x, "kernel_size": kernel})


def _of_operator(operator: str, dims: int, given: Mapping[str, Any]) -> Traced:
    x, w, bias = given.get("input"), given.get("weight"), given.get("bias")
    kernel = tuple(w.shape[2:]) if w is not None else _axes(given["kernel_size"], dims)
    fields: dict[str, Any] = {"kernel": kernel}
    for field in _ARGUMENTS[operator][1:]:
        if field in ("weight", "bias", "kernel_size", "return_indices", "divisor_override"):
            continue
        value = given.get(field)
        if field == "stride" and value in (None, [], ()) and w is None:
            value = kernel
        if field in _SPATIAL:
            value = _axes(_SPATIAL[field] if value is None else value, dims)
        else:
            value = (
                {"groups": 1, "count_include_pad": True}.get(field, False)
                if (value is None)
                else value
            )
        fields[field] = value
    if isinstance(fields["padding"], str):
        fields["padding"] = _resolved(fields)
    if w is not None:
        own, other, groups = w.shape[0], w.shape[1], fields["groups"]
        transposed = operator == "conv_transpose"
        fields["in_channels"] = own if transposed else other * groups
        fields["out_channels"] = other * groups if transposed else own
        fields["bias"] = bias is not None
    return Traced(operator, dims, fields, {"x": x, "w": w, "bias": bias})


def _axes(value: Any, dims: int) -> Any:
    if isinstance(value, str):
        return value
    entries = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return entries * dims if len(entries) == 1 else entries


def _resolved(fields: Mapping[str, Any]) -> Any:
    """Return the padding that a word stands for, one number an axis; or the word."""
    if fields["padding"] == "valid":
        return (0,) * len(fields["kernel"])
    totals = [d * (k - 1) for d, k in zip(fields["dilation"], fields["kernel"], strict=True)]
    return "same" if any(t % 2 for t in totals) else tuple(t // 2 for t in totals)
