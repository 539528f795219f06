"""PyTorch's own call of a case as source text (`conformance.registration.snippets`).

Each function mirrors its namesake in ``eager.py``: the same operator, the same padding around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.implementations._arguments import (
    Padding,
    Shape,
    conv_transpose_size,
    pool_size,
    window_reach,
)
from conformance.registration.snippets import Call, plain

_IMPORT = "import torch, torch.nn.functional as F"
_HANDED_OVER = ("contiguous", "fortran", "strided", "offset")
"""The ways of lying in memory that PyTorch takes; of others the adapter makes a copy."""


def snippet(call: Call) -> list[str] | None:
    """Return the lines that make a call with torch.nn.functional."""
    if call.operator in _FORWARD:
        return [_IMPORT, f"got = {_back(call, _FORWARD[call.operator](call, _tensor(call, 'x')))}"]
    return _gradient(call)


def without_mkldnn(call: Call) -> list[str] | None:
    """Return the same lines, without oneDNN."""
    lines = snippet(call)
    return lines and [f"{lines[0]}; torch.backends.mkldnn.enabled = False", *lines[1:]]


def channels_last(call: Call) -> list[str] | None:
    """Return the same lines with images and weights in the memory format channels_last."""
    lines = snippet(call)
    suffix = "_3d" if call.dims == 3 else ""
    ordered = f".contiguous(memory_format=torch.channels_last{suffix})"
    tensors = [_tensor(call, name) for name in ("x", "w", "grad") if name in call.arguments]
    if call.operator != "conv_bias_grad":  # else it is the bias, of one axis
        tensors.append("requires_grad=True)")
    for tensor in tensors if lines else ():
        lines = [line.replace(tensor, tensor + ordered) for line in lines or ()]
    return lines


def compiled(call: Call) -> list[str] | None:
    """Return the same lines of a pool, which is compiled."""
    lines = snippet(call)
    if lines is None or "pool" not in call.operator:
        return None
    y = _FORWARD[call.operator.removesuffix("_grad")](call, "t")
    function = f"torch.compile(lambda t: {y}, fullgraph=True, dynamic=False)"
    if call.operator in _FORWARD:
        x = _tensor(call, "x")
        return [_IMPORT, f"got = {_back(call, f'{function}({x})')}"]
    return [line.replace(y, f"{function}(t)") for line in lines]


def unfolded(call: Call) -> list[str] | None:
    """Return the lines that make a call with torch.nn.functional.unfold, as `torch[unfold]` does.

    For conv and the pools, whose columns are windows.
    """
    if call.operator not in ("conv", "max_pool", "avg_pool") or call.invalid or call.dims > 2:
        return None
    p, x = call.parameters, call.arguments["x"]
    kernel = p["kernel"] if "kernel" in p else call.arguments["w"].shape[2:]
    dilation = p.get("dilation", (1,) * call.dims)
    sizes = (x.shape[2:], kernel, p["stride"], p["padding"], dilation, p.get("ceil_mode", False))
    out, reach = window_reach(*sizes)
    fill = "-torch.inf" if call.operator == "max_pool" else "0"
    pads = [end for pair in reversed(reach) for end in pair]
    plane = [(1,) * (2 - call.dims) + tuple(v) for v in (kernel, dilation, p["stride"])]
    n, size = len(x), tuple(s + sum(pair) for s, pair in zip(x.shape[2:], reach, strict=True))
    image = (*x.shape[:2], *(1,) * (2 - call.dims), *size)
    made = f"F.pad({_tensor(call, 'x')}, {pads}, value={fill}).reshape({image})"
    window, apart, steps = map(plain, plane)
    columns = f"columns = F.unfold({made}, {window}, {apart}, 0, {steps})"
    if call.operator == "conv":
        groups, o = p["groups"], len(call.arguments["w"])
        weight = f"{_tensor(call, 'w')}.reshape({groups}, {o // groups}, -1)"
        windows = f"columns.reshape({n}, {groups}, -1, columns.shape[-1])"
        y = f"({weight} @ {windows}).reshape({(n, o, *out)})"
        if call.arguments["bias"] is not None:
            y = f"({y} + {_tensor(call, 'bias')}.reshape({(-1, *(1,) * call.dims)}))"
    else:
        reduced = "amax(2)" if call.operator == "max_pool" else "mean(2)"
        y = f"columns.reshape({(*x.shape[:2], math.prod(kernel), *out)}).{reduced}"
    return [_IMPORT, columns, f"got = {_back(call, y)}"] if n else None


def _conv(call: Call, t: str, w: str = "", bias: str = "") -> str:
    padding = call.parameters["padding"]
    if _differ(padding):
        t = f"F.pad({t}, {_flat(padding)})"
    w = w or _tensor(call, "w")
    bias = bias or _tensor(call, "bias")
    names = ("stride", "dilation", "groups")
    return f"F.conv{call.dims}d({t}, {w}, {bias}, {_keywords(call, *names, both=_ends(padding))})"


def _conv_transpose(call: Call, t: str) -> str:
    padding = call.parameters["padding"]
    crop = ""
    if _differ(padding):
        arguments = (call.arguments[name] for name in ("x", "w", "bias"))
        names = ("stride", "padding", "output_padding", "dilation", "groups")
        out = conv_transpose_size(*arguments, *(call.parameters[name] for name in names))
        starts = [before - min(before, after) for before, after in padding]
        crop = "".join(f", {s}:{s + o}" for s, o in zip(starts, out, strict=True))
        crop = f"[:, :{crop}]"
    keys = ("stride", "output_padding", "groups", "dilation")
    both = tuple(min(pair) for pair in padding)
    keywords = _keywords(call, *keys, both=both)
    w, bias = _tensor(call, "w"), _tensor(call, "bias")
    return f"F.conv_transpose{call.dims}d({t}, {w}, {bias}, {keywords}){crop}"


def _max_pool(call: Call, t: str) -> str:
    padding, names = call.parameters["padding"], ["stride", "dilation", "ceil_mode"]
    if _differ(padding):
        parameters = (call.parameters[name] for name in ("kernel", "stride", "padding"))
        rest = (call.parameters[name] for name in ("dilation", "ceil_mode"))
        _, reach = pool_size(call.arguments["x"], *parameters, *rest)
        integer = not call.dtype.startswith(("float", "bfloat"))
        fill = f"torch.iinfo(torch.{call.dtype}).min" if integer else "-torch.inf"
        t, names = f"F.pad({t}, {_flat(reach)}, value={fill})", names[:2]
    keywords = _keywords(call, *names, both=_ends(padding))
    return f"F.max_pool{call.dims}d({t}, {call.text('kernel')}, {keywords})"


def _avg_pool(call: Call, t: str) -> str:
    padding, crop = call.parameters["padding"], ""
    if _differ(padding):
        kernel, ceil_mode = call.parameters["kernel"], call.parameters["ceil_mode"]
        x, stride = call.arguments.get("x"), call.parameters["stride"]
        if x is None:  # avg_pool_grad knows the shape alone, and the size needs no more
            x = np.broadcast_to(np.float32(0), call.arguments["input_shape"])
        out, _ = pool_size(x, kernel, stride, padding, (1,) * call.dims, ceil_mode)
        t = f"F.pad({t}, {_flat(padding)})"
        crop = f"[:, :, {', '.join(f':{o}' for o in out)}]"
    names = ("stride", "ceil_mode", "count_include_pad")
    keywords = _keywords(call, *names, both=_ends(padding))
    return f"F.avg_pool{call.dims}d({t}, {call.text('kernel')}, {keywords}){crop}"


def _gradient(call: Call) -> list[str]:
    """Return autograd through the forward call, by a tensor ``t``."""
    half = f", dtype={_dtype(call)}"
    zeros = "t = torch.zeros({shape}{half}, requires_grad=True)"
    if call.operator == "conv_input_grad":
        made = zeros.format(shape=call.text("input_shape"), half=half)
        y = _conv(call, "t", bias="None")
    elif call.operator == "conv_weight_grad":
        made = zeros.format(shape=call.text("weight_shape"), half=half)
        y = _conv(call, _tensor(call, "x"), w="t", bias="None")
    elif call.operator == "conv_bias_grad":
        n, o, *out = call.arguments["grad"].shape
        made = zeros.format(shape=(o,), half=half)
        shapes = (n, 1, *out), (o, 1, *(1,) * len(out))
        x, w = (f"torch.zeros({shape}{half})" for shape in shapes)
        y = f"F.conv{call.dims}d({x}, {w}, t)"
    elif call.operator == "max_pool_grad":
        made = f"t = {_tensor(call, 'x')}.requires_grad_()"
        y = _max_pool(call, "t")
    else:
        made = zeros.format(shape=call.text("input_shape"), half=half)
        y = _avg_pool(call, "t")
    gradient = f"torch.autograd.grad({y}, t, {_tensor(call, 'grad')})[0]"
    return [_IMPORT, made, f"got = {_back(call, gradient)}"]


_FORWARD: dict[str, Callable[[Call, str], str]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}


def _keywords(call: Call, *names: str, both: Shape) -> str:
    """Return keyword arguments that are not PyTorch's defaults, padding as ``both`` ends."""
    defaults: dict[str, Any] = {"groups": 1, "ceil_mode": False, "count_include_pad": True}
    defaults |= {"dilation": (1,) * call.dims, "output_padding": (0,) * call.dims}
    found: dict[str, Any] = {name: call.parameters[name] for name in names}
    found["padding"] = both
    defaults["padding"] = (0,) * call.dims
    return ", ".join(
        f"{name}={plain(value)}"
        for name, value in found.items()
        if name not in defaults or value != defaults[name]
    )


def _tensor(call: Call, name: str) -> str:
    """Return an array of the script as a tensor of the case's dtype."""
    if call.arguments[name] is None:
        return "None"
    if call.dtype == "bfloat16":
        return f"torch.from_numpy({name}).bfloat16()"
    if call.memory[name] in _HANDED_OVER:
        return f"torch.from_numpy({name})"
    return f"torch.from_numpy(np.array({name}, np.{call.dtype}, order='C'))"


def _back(call: Call, tensor: str) -> str:
    return f"{tensor}.float().numpy()" if call.dtype == "bfloat16" else f"{tensor}.numpy()"


def _dtype(call: Call) -> str:
    return f"torch.{call.dtype}"


def _differ(padding: Padding) -> bool:
    return any(before != after for before, after in padding)


def _ends(padding: Padding) -> Shape:
    """Return the padding of both ends where they are equal; else it was added before: none."""
    return (0,) * len(padding) if _differ(padding) else tuple(before for before, _ in padding)


def _flat(padding: Padding) -> list[int]:
    """Return ``padding`` as torch.nn.functional.pad takes it: the last axis first."""
    return [size for pair in reversed(padding) for size in pair]
