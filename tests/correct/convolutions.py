"""Other algorithms for conv and conv_transpose; a normwise error bound is declared as one."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import importlib.util
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.correct import unusual
from tests.defects import checks, kernels


def padded(x, padding, fill=0):
    return np.pad(x, [(0, 0), (0, 0), *padding], constant_values=fill)


def _scipy(case):
    if importlib.util.find_spec("scipy") is None:
        return "SciPy is not installed"
    # Zeros between the taps would meet NaN and infinities that no tap reads.
    return max(case.dilation) == 1 or "dilation"


def _fft(x, w, bias, precision, call):
    """Correlate whole planes through Fourier transforms of a power of two on each axis."""
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    kernel, groups, dims = w.shape[2:], call["groups"], x.ndim - 2
    out = checks.sizes(x.shape[2:], kernel, call["stride"], call["padding"], call["dilation"])
    plane = padded(x.astype(precision), call["padding"])
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, call["dilation"], strict=True)]
    sizes = [1 << (s + r - 2).bit_length() for s, r in zip(plane.shape[2:], spans, strict=True)]
    spread = np.zeros((*w.shape[:2], *spans), precision)
    spread[(..., *(slice(None, None, d) for d in call["dilation"]))] = w
    axes = tuple(range(2, 2 + dims))
    left = np.fft.rfftn(plane, sizes, axes)
    right = np.conj(np.fft.rfftn(spread, sizes, axes))
    n, c, o = len(x), x.shape[1], len(w)
    product = np.einsum(
        "ngcp,gocp->ngop",
        left.reshape(n, groups, c // groups, -1),
        right.reshape(groups, o // groups, c // groups, -1),
    )
    y = np.fft.irfftn(product.reshape(n, o, *left.shape[2:]), sizes, axes)
    where = [slice(0, (p - 1) * s + 1, s) for p, s in zip(out, call["stride"], strict=True)]
    y = y[(..., *where)]
    if bias is not None:
        y = y + kernels.column(bias, precision, dims)
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(y.astype(x.dtype))


@unusual(
    "fourier-transforms",
    why="an error bound on the whole, as declared",
    error="normwise",
    amplification=430.0,
    supports=lambda case: case.x[0] > 0,
)
def conv(x, w, bias, **call):
    """Multiply spectra: error at most (21 t + 4) gamma(n, u) norms, with L = 2**t points.

    A transform of L points by radix 2 has a relative error of at most e = 7 t u in the 2-norm
    (Higham, *Accuracy and Stability of Numerical Algorithms*, theorem 24.2, with weights that are
    correctly rounded). By Parseval and Cauchy-Schwarz, ``|X|_1 |W|_1 <= L |x| |w|``: the errors of
    both spectra, and 3u for the complex product, move an output by at most (2e + 3u) |x| |w|. The
    inverse transform adds e |y|, and ``|y| <= sqrt(K) |w| |x|`` for K taps; adding C channels,
    C u. With n = C K terms and K >= 1 that is at most (21 t + 4) n u. Planes here have t <= 20.
    """
    return _fft(x, w, bias, np.float64, call)


@unusual(
    "fourier-transforms-in-the-dtype",
    why="the same bound, with the unit roundoff of float32",
    error="normwise",
    amplification=430.0,
    dtypes=("float32",),
    supports=lambda case: case.x[0] > 0,
)
def conv(x, w, bias, **call):
    return _fft(x, w, bias, np.float32, call)


def _f23(case):
    fits = case.w is not None and case.w[-1] == 3 and case.stride[-1] == case.dilation[-1] == 1
    return fits or "F(2, 3) needs 3 taps, stride 1 and dilation 1 along the last axis"


@unusual(
    "winograd-f-2-3",
    why="an error bound on the whole, as declared",
    error="normwise",
    amplification=10.0,
    supports=_f23,
)
def conv(x, w, bias, **call):
    """Compute pairs of outputs along the last axis from four inputs with four products (Winograd).

    y = A'((G w) * (B' x)), in Lavin and Gray, *Fast algorithms for convolutional neural networks*,
    2016. A product's factors, and the additions after it, round 6 times; m = C K/3 products are
    added, and a bias. The error is at most gamma(m + 7, u) times the sum of A'(|G||w| * |B'||x|).
    With ``|| |G| || < 1.52`` and ``|| |B'| || <= sqrt(6)`` that sum is at most 3.8 norms, and for
    n = 3m terms ``3.8 (m + 7) <= 10 n``.
    """
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    *rows, last = kernels.axes_of(
        x.shape[2:],
        w.shape[2:],
        call["stride"],
        call["padding"],
        call["dilation"],
        checks.sizes(x.shape[2:], w.shape[2:], call["stride"], call["padding"], call["dilation"]),
    )
    pairs = -(-last.out // 2)
    tiles = last._replace(kernel=4, stride=2, out=pairs)
    d = kernels.gather(x, [*kernels.all_taps(rows), kernels.taps(tiles)])  # (N, C, P, K' * 4)
    n, (o, per), groups = len(x), w.shape[:2], call["groups"]
    d = np.moveaxis(d.reshape(n, groups, per, d.shape[2], d.shape[3] // 4, 4), -1, 0)
    g = np.moveaxis(w.reshape(groups, o // groups, per, -1, 3), -1, 0)
    half = x.dtype.type(0.5)
    points = (
        (d[0] - d[2], g[0]),
        (d[1] + d[2], half * (g[0] + g[1] + g[2])),
        (d[2] - d[1], half * (g[0] - g[1] + g[2])),
        (d[1] - d[3], g[2]),
    )
    m = [np.einsum("ngcpk,gock->ngop", left, right) for left, right in points]
    y = np.stack([m[0] + m[1] + m[2], m[1] - m[2] - m[3]], axis=-1)
    sizes = [axis.out for axis in rows]
    y = y.reshape(n, o, *sizes, 2 * pairs)[..., : last.out]
    if bias is not None:
        y = y + kernels.column(bias, x.dtype, x.ndim - 2)
    return y.astype(kernels.plain(x.dtype))


@unusual("einsum-over-windows", why="one sum over a view of all windows")
def conv(x, w, bias, **call):
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    dims, groups = x.ndim - 2, call["groups"]
    spans = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], call["dilation"], strict=True)]
    axes = tuple(range(2, 2 + dims))
    windows = sliding_window_view(padded(x, call["padding"]), spans, axes)
    windows = windows[
        (
            ...,
            *(slice(None, None, s) for s in call["stride"]),
            *(slice(None, None, d) for d in call["dilation"]),
        )
    ]
    n, o, per = len(x), len(w), w.shape[1]
    split = windows.reshape(n, groups, per, *windows.shape[2:])
    out, taps = "xyz"[:dims], "ijk"[:dims]
    y = np.einsum(
        f"ngc{out}{taps},goc{taps}->ngo{out}", split, w.reshape(groups, o // groups, *w.shape[1:])
    )
    y = y.reshape(n, o, *windows.shape[2 : 2 + dims])
    y = y if bias is None else y + kernels.column(bias, x.dtype, dims)
    return y.astype(kernels.plain(x.dtype))


@unusual("shifted-and-added", why="one kernel position after the other, over whole planes")
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        flat = weight.reshape(*weight.shape[:2], -1)
        y = np.zeros((len(columns), len(weight), columns.shape[2]), columns.dtype)
        for k in range(columns.shape[3]):
            y = y + kernels.contract(columns[..., k : k + 1], flat[..., k : k + 1], groups)
        return y

    return kernels.conv(x, w, bias, **call, contract=contract)


@unusual("matrix-product", why="whatever order the linear algebra library adds in")
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        n, c, p, k = columns.shape
        o = len(weight)
        left = weight.reshape(groups, o // groups, c // groups * k)
        right = columns.reshape(n, groups, c // groups, p, k).swapaxes(3, 4)
        return (left @ right.reshape(n, groups, c // groups * k, p)).reshape(n, o, p)

    return kernels.conv(x, w, bias, **call, contract=contract)


@unusual(
    "flipped-scipy", why="a convolution with the kernel flipped is a correlation", supports=_scipy
)
def conv(x, w, bias, **call):
    from scipy import signal

    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    plane = padded(x, call["padding"])
    out = checks.sizes(x.shape[2:], w.shape[2:], call["stride"], call["padding"], call["dilation"])
    per, outer = w.shape[1], len(w) // call["groups"]
    flipped = w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]
    y = np.zeros((len(x), len(w), *out), kernels.plain(x.dtype))
    where = tuple(slice(None, None, s) for s in call["stride"])
    for n, o, c in itertools.product(range(len(x)), range(len(w)), range(per)):
        channel = plane[n, o // outer * per + c]
        y[n, o] += signal.convolve(channel, flipped[o, c], mode="valid", method="direct")[where]
    return y if bias is None else y + kernels.column(bias, y.dtype, len(out)).astype(y.dtype)


@unusual("one-thread-a-sample", why="samples are independent, and each has one order of summation")
def conv(x, w, bias, **call):
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    if len(x) < 2:
        return kernels.conv(x, w, bias, **call)
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda n: kernels.conv(x[n : n + 1], w, bias, **call), range(len(x)))
        return np.concatenate(list(parts))


@unusual("zero-stuffed", why="a transposed convolution is a convolution of x with zeros between")
def conv_transpose(x, w, bias, **call):
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    checks.conv_transpose(x, w, bias, *(call[k] for k in names))
    dims, groups = x.ndim - 2, call["groups"]
    sizes = [(s - 1) * step + 1 for s, step in zip(x.shape[2:], call["stride"], strict=True)]
    stuffed = np.zeros((*x.shape[:2], *sizes), x.dtype)
    stuffed[(..., *(slice(None, None, s) for s in call["stride"]))] = x
    spans = [d * (k - 1) for k, d in zip(w.shape[2:], call["dilation"], strict=True)]
    c, per = w.shape[:2]
    flipped = w[(..., *(slice(None, None, -1),) * dims)]
    split = flipped.reshape(groups, c // groups, per, *w.shape[2:]).swapaxes(1, 2)
    weight = split.reshape(groups * per, c // groups, *w.shape[2:])
    ends = [(span, span + r) for span, r in zip(spans, call["output_padding"], strict=True)]
    ones = (1,) * dims
    full = kernels.conv(
        stuffed, weight, bias, stride=ones, padding=ends, dilation=call["dilation"], groups=groups
    )
    kept = [
        slice(b, size - a) for (b, a), size in zip(call["padding"], full.shape[2:], strict=True)
    ]
    return full[(..., *kept)].copy()


@unusual("scattered", why="every input adds its own kernel, in the order of the inputs")
def conv_transpose(x, w, bias, **call):
    def scatter(parts, tables, sizes):
        places = kernels.flat(tables, sizes)
        y = np.zeros((*parts.shape[:2], math.prod(sizes) + 1), parts.dtype)
        np.add.at(y, (slice(None), slice(None), places), parts)
        return y[..., :-1].reshape(*parts.shape[:2], *sizes)

    return kernels.conv_transpose(x, w, bias, **call, scatter=scatter)
