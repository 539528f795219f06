"""SciPy's own calls as source text, as in ``adapter.py``: one an image and output channel."""

from __future__ import annotations

from conformance.registration.snippets import SnippetCall, plain

_CORRELATE = "signal.correlate({image}, w[o], 'valid', 'direct')[0]"
_FFT_VALID = "signal.fftconvolve({image}, np.flip(w[o], {axes}), 'valid', axes={axes}).sum(0)"
_DIRECT = "sum(signal.convolve(*p, 'full', 'direct') for p in zip({image}, {kernels}))"
_FFT_FULL = "signal.fftconvolve({image}, {kernels}, 'full', axes={axes}).sum(0)"


def direct(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call of `scipy`."""
    return _lines(call, _CORRELATE, _DIRECT)


def fourier(call: SnippetCall) -> list[str] | None:
    """Return the lines that make a call of `scipy[fft]`."""
    return _lines(call, _FFT_VALID, _FFT_FULL)


def _lines(call: SnippetCall, conv: str, transposed: str) -> list[str] | None:
    n = len(call.arguments["x"])
    if call.invalid or not n:
        return None  # of an invalid call the adapter judges, and SciPy sees arrays alone
    p, w = call.parameters, call.arguments["w"]
    outputs = len(w) if call.operator == "conv" else w.shape[1] * p["groups"]
    filters, channels = outputs // p["groups"], call.arguments["x"].shape[1] // p["groups"]
    first = f"o // {filters} * {channels}"
    group, axes = f"{first} : {first} + {channels}", plain(tuple(range(1, call.dims + 1)))
    lines, crop = ["from scipy import signal"], ""
    if call.operator == "conv":
        lines.append(f"wide = np.pad(x, {plain(((0, 0), (0, 0), *p['padding']))})")
        value = conv.format(image=f"wide[b, {group}]", axes=axes)
    else:
        kernels = f"w[{group}, o % {filters}]"
        value = transposed.format(image=f"x[b, {group}]", kernels=kernels, axes=axes)
        crop = ", ".join(f"{before}:{-after or None}" for before, after in p["padding"])
        crop = f"[:, :, {crop}]"
    none = call.arguments.get("bias") is None
    bias = "" if none else f" + bias.reshape({(-1, *(1,) * call.dims)})"
    y = f"np.array([[{value} for o in range({outputs})] for b in range({n})])"
    return [*lines, f"got = {y}{crop}{bias}"]
