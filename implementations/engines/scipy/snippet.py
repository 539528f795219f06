"""SciPy's own calls of a case as source text (`conformance.registration.snippets`).

They mirror ``adapter.py``: one call an image and output channel, and the channels added up.
"""

from __future__ import annotations

from conformance.registration.snippets import Call, plain

_CORRELATE = "signal.correlate({image}, {kernel}, 'valid', 'direct')[0]"
_FFT_VALID = "signal.fftconvolve({image}, {flipped}, 'valid', axes={axes}).sum(0)"
_DIRECT = "sum(signal.convolve(*p, 'full', 'direct') for p in zip({image}, {kernels}))"
_FFT_FULL = "signal.fftconvolve({image}, {kernels}, 'full', axes={axes}).sum(0)"


def direct(call: Call) -> list[str] | None:
    """Return the lines that make a call of `scipy`."""
    return _lines(call, _CORRELATE, _DIRECT)


def fourier(call: Call) -> list[str] | None:
    """Return the lines that make a call of `scipy[fft]`."""
    return _lines(call, _FFT_VALID, _FFT_FULL)


def _lines(call: Call, conv: str, transposed: str) -> list[str] | None:
    if call.invalid:
        return None  # the adapter judges, and SciPy sees arrays alone
    p, w = call.parameters, call.arguments["w"]
    n, groups = len(call.arguments["x"]), p["groups"]
    outputs = len(w) if call.operator == "conv" else w.shape[1] * groups
    filters, channels = outputs // groups, call.arguments["x"].shape[1] // groups
    first = f"o // {filters} * {channels}"
    image = f"x[b, {first} : {first} + {channels}]"
    kernels = f"w[{first} : {first} + {channels}, o % {filters}]"
    axes = plain(tuple(range(1, call.dims + 1)))
    flipped = f"np.flip(w[o], {axes})"
    made = "from scipy import signal"
    if call.operator == "conv":
        pads = plain(((0, 0), (0, 0), *p["padding"]))
        value = conv.format(
            image=image.replace("x", "wide", 1), kernel="w[o]", flipped=flipped, axes=axes
        )
        lines = [made, f"wide = np.pad(x, {pads})"]
        crop = ""
    else:
        value = transposed.format(image=image, kernels=kernels, axes=axes)
        lines = [made]
        crop = ", ".join(f"{before}:{-after or None}" for before, after in p["padding"])
        crop = f"[:, :, {crop}]"
    bias = ""
    if call.arguments.get("bias") is not None:
        bias = f" + bias.reshape({(-1, *(1,) * call.dims)})"
    y = f"np.array([[{value} for o in range({outputs})] for b in range({n})])"
    return [*lines, f"got = {y}{crop}{bias}"] if n else None
