"""Tracing: which functions of PyTorch a module calls, and which operator that is, if it is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

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
_NAMED = re.compile(rf"({'|'.join(sorted(_ARGUMENTS, reverse=True))})([123])d")
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


@dataclass(frozen=True, slots=True)
class Traced:
    """The one call that a module is made of."""

    operator: str
    dims: int
    fields: Mapping[str, Any]
    """Its parameters by the suite's names, kernel, channels and bias among them."""
    tensors: Mapping[str, Any]
    """Its x, w and bias."""


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
    found = _described(*recorder.calls[0]) if len(names) == 1 else None
    return found, listed or "nothing that PyTorch computes"


def _described(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Traced | None:
    named = _NAMED.fullmatch(name)
    if named is None:
        return None
    operator, dims = named[1], int(named[2])
    given = dict(zip(_ARGUMENTS[operator], args, strict=False)) | dict(kwargs)
    if given.pop("return_indices", False) or given.pop("divisor_override", None) is not None:
        return None
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
