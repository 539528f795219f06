"""PyTorch's own call of a case as source text; functions mirror those of ``eager.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from conformance.implementations._arguments import Padding, Shape, conv_transpose_size, window_reach
from conformance.implementations.engines.padding import (
    is_asymmetric,
    last_axis_first,
    symmetric_part,
)
from conformance.implementations.engines.snippets import Writers, checked_windows
from conformance.registration.snippets import SnippetCall, plain

_IMPORT = "import torch, torch.nn.functional as F"
_COPIED = (
    "reversed",
    "flipped",
    "flipped_channels",
    "broadcast",
    "unaligned",
    "readonly",
    "byteswapped",
)
"""The memory layouts that PyTorch does not take: the adapter copies such an array."""


def snippet(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with torch.nn.functional."""
    y = _WRITERS.forward(call)
    return _gradient(call) if y is None else [_IMPORT, f"got = {_back(call, y)}"]


def varied(chosen: Mapping[str, str], call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call with the options chosen (``variants.py``)."""
    on_device = chosen["device"] != "cpu"
    if chosen["compile"] != "off":
        plain_otherwise = chosen["channels_last"] == "off" and not on_device
        lines = compiled(call, chosen["compile"]) if plain_otherwise else None
    else:
        lines = snippet(call)
    conversion = ""
    if chosen["channels_last"] == "on":
        suffix = "_3d" if call.dims == 3 else ""
        conversion += f".contiguous(memory_format=torch.channels_last{suffix})"
    if on_device:
        conversion += f".to({chosen['device']!r})"
        lines = lines and [line.replace(".numpy()", ".cpu().numpy()") for line in lines]
    # A bias has one axis, and no memory format.
    images = [name for name in ("x", "w", "grad") if name in call.arguments]
    tensors = [_tensor(call, name) for name in images]
    if on_device and call.arguments.get("bias") is not None:
        bias = _tensor(call, "bias")
        lines = lines and [line.replace(bias, f"{bias}.to({chosen['device']!r})") for line in lines]
    if call.operator != "conv_bias_grad":
        tensors.append("requires_grad=True)")
    for tensor in tensors if lines and conversion else ():
        lines = [line.replace(tensor, tensor + conversion) for line in lines or ()]
    if lines and on_device:
        lines[0] += f"; torch.set_default_device({chosen['device']!r})"
    switches = [text for name, text in _SWITCHES.items() if name in chosen.items()]
    return lines and ["; ".join((lines[0], *switches)), *lines[1:]]


_SWITCHES = {
    ("mkldnn", "off"): "torch.backends.mkldnn.enabled = False",
    ("deterministic", "on"): "torch.use_deterministic_algorithms(True)",
    ("cudnn", "off"): "torch.backends.cudnn.enabled = False",
    ("tf32", "on"): "torch.backends.cudnn.allow_tf32 = True",
    ("tf32", "off"): "torch.backends.cudnn.allow_tf32 = False",
    ("benchmark", "on"): "torch.backends.cudnn.benchmark = True",
}


def compiled(call: SnippetCall, backend: str = "inductor") -> list[str] | None:
    """Return the lines that compile and call a pool; None for other operators."""
    lines = snippet(call)
    if lines is None or "pool" not in call.operator:
        return None
    y = getattr(_WRITERS, call.operator.removesuffix("_grad"))(call, "t", "", "")
    chosen = "" if backend == "inductor" else f"backend={backend!r}, "
    function = f"torch.compile(lambda t: {y}, {chosen}fullgraph=True, dynamic=False)"
    if not call.operator.endswith("_grad"):
        x = _tensor(call, "x")
        return [_IMPORT, f"got = {_back(call, f'{function}({x})')}"]
    return [line.replace(y, f"{function}(t)") for line in lines]


def unfolded(call: SnippetCall) -> list[str] | None:
    """Return the lines of a conv or a pool that call torch.nn.functional.unfold; else None."""
    if call.operator not in ("conv", "max_pool", "avg_pool") or call.invalid or call.dims > 2:
        return None
    p, x = call.parameters, call.arguments["x"]
    kernel = p["kernel"] if "kernel" in p else call.arguments["w"].shape[2:]
    dilation = p.get("dilation", (1,) * call.dims)
    sizes = (x.shape[2:], kernel, p["stride"], p["padding"], dilation, p.get("ceil_mode", False))
    out, reach = window_reach(*sizes)
    fill = "-torch.inf" if call.operator == "max_pool" else "0"
    pads = list(last_axis_first(reach))
    plane = [(1,) * (2 - call.dims) + tuple(v) for v in (kernel, dilation, p["stride"])]
    n, size = len(x), tuple(s + sum(pair) for s, pair in zip(x.shape[2:], reach, strict=True))
    shape = (*x.shape[:2], *(1,) * (2 - call.dims), *size)
    images = f"F.pad({_tensor(call, 'x')}, {pads}, value={fill}).reshape({shape})"
    window, spacing, steps = map(plain, plane)
    columns = f"columns = F.unfold({images}, {window}, {spacing}, 0, {steps})"
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


def _conv(call: SnippetCall, t: str, w: str, bias: str) -> str:
    padding = call.parameters["padding"]
    if is_asymmetric(padding):
        t = _pad(t, padding)
    keywords = _keywords(call, "stride", "dilation", "groups", padding=_ends(padding))
    return f"F.conv{call.dims}d({t}, {w}, {bias or None}, {keywords})"


def _conv_transpose(call: SnippetCall, t: str, w: str, bias: str) -> str:
    padding = call.parameters["padding"]
    crop = ""
    if is_asymmetric(padding):
        arguments = (call.arguments[name] for name in ("x", "w", "bias"))
        names = ("stride", "padding", "output_padding", "dilation", "groups")
        out = conv_transpose_size(*arguments, *(call.parameters[name] for name in names))
        starts = [before - min(before, after) for before, after in padding]
        crop = "".join(f", {s}:{s + o}" for s, o in zip(starts, out, strict=True))
        crop = f"[:, :{crop}]"
    keys = ("stride", "output_padding", "groups", "dilation")
    keywords = _keywords(call, *keys, padding=symmetric_part(padding))
    return f"F.conv_transpose{call.dims}d({t}, {w}, {bias or None}, {keywords}){crop}"


def _max_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    padding, names = call.parameters["padding"], ["stride", "dilation", "ceil_mode"]
    if is_asymmetric(padding):
        _, reach = checked_windows(call)
        integer = not call.dtype.startswith(("float", "bfloat"))
        fill = f"torch.iinfo(torch.{call.dtype}).min" if integer else "-torch.inf"
        t, names = _pad(t, reach, f", value={fill}"), names[:2]
    keywords = _keywords(call, *names, padding=_ends(padding))
    return f"F.max_pool{call.dims}d({t}, {call.text('kernel')}, {keywords})"


def _avg_pool(call: SnippetCall, t: str, _w: str, _bias: str) -> str:
    padding, crop = call.parameters["padding"], ""
    if is_asymmetric(padding):
        out, _ = checked_windows(call)
        t = _pad(t, padding)
        crop = f"[:, :, {', '.join(f':{o}' for o in out)}]"
    names = ("stride", "ceil_mode", "count_include_pad")
    keywords = _keywords(call, *names, padding=_ends(padding))
    return f"F.avg_pool{call.dims}d({t}, {call.text('kernel')}, {keywords}){crop}"


def _gradient(call: SnippetCall) -> list[str]:
    """Return autograd through the forward call, by a tensor ``t``."""
    dtype = f"dtype=torch.{call.dtype}"
    zeros = f"torch.zeros({{}}, {dtype}, requires_grad=True)"
    if call.operator == "conv_bias_grad":
        n, o, *out = call.arguments["grad"].shape
        shapes = (n, 1, *out), (o, 1, *(1,) * len(out))
        x, w = (f"torch.zeros({shape}, {dtype})" for shape in shapes)
        at, y = zeros.format((o,)), f"F.conv{call.dims}d({x}, {w}, t)"
    else:
        at, y = _WRITERS.gradient_at(call, zeros)
    if call.operator == "max_pool_grad":
        at += ".requires_grad_()"
    gradient = f"torch.autograd.grad({y}, t, {_tensor(call, 'grad')})[0]"
    return [_IMPORT, f"t = {at}", f"got = {_back(call, gradient)}"]


def _keywords(call: SnippetCall, *names: str, padding: Shape) -> str:
    """Return keyword arguments that are not PyTorch's defaults; ``padding`` is that of each end."""
    defaults: dict[str, Any] = {"groups": 1, "ceil_mode": False, "count_include_pad": True}
    defaults |= {"dilation": (1,) * call.dims, "output_padding": (0,) * call.dims}
    values: dict[str, Any] = {name: call.parameters[name] for name in names}
    values["padding"] = padding
    defaults["padding"] = (0,) * call.dims
    return ", ".join(
        f"{name}={plain(value)}"
        for name, value in values.items()
        if name not in defaults or value != defaults[name]
    )


def _tensor(call: SnippetCall, name: str) -> str:
    """Return an array of the script as a tensor of the case's dtype."""
    if call.dtype == "bfloat16":
        return f"torch.from_numpy({name}).bfloat16()"
    if call.memory[name] in _COPIED:
        return f"torch.from_numpy(np.array({name}, np.{call.dtype}, order='C'))"
    return f"torch.from_numpy({name})"


def _back(call: SnippetCall, tensor: str) -> str:
    return f"{tensor}.float().numpy()" if call.dtype == "bfloat16" else f"{tensor}.numpy()"


def _ends(padding: Padding) -> Shape:
    """Return the padding of each end; 0 where the ends differ, as the input is padded first."""
    return (0,) * len(padding) if is_asymmetric(padding) else tuple(before for before, _ in padding)


def _pad(t: str, padding: Padding, value: str = "") -> str:
    return f"F.pad({t}, {list(last_axis_first(padding))}{value})"


_WRITERS = Writers(_tensor, _conv, _conv_transpose, _max_pool, _avg_pool)
