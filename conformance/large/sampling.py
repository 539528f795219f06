"""The exact result of a convolution at a few output positions, which names a wrong element.

Corners and edges, where padding and strides go wrong, are always among the positions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from conformance.calling import Array, Inputs
from conformance.case import Case, Shape
from conformance.judging import Accuracy, Prepared
from conformance.judging.comparing import differing, got_and_exact, worst_index
from conformance.operators.base import Reference

Positions = NDArray[np.intp]
"""(T, dims): one output position a row."""
Rows = range | NDArray[np.intp]
"""Output channels of a group, counted from its first."""


def corners_and_edges(out: Shape, rng: np.random.Generator, extra: int = 4) -> Positions:
    """Return the corners of an output, the middle of each face, and ``extra`` random positions."""
    corners = itertools.product(*((0, size - 1) for size in out))
    middle = tuple(size // 2 for size in out)
    faces = (
        (*middle[:axis], end, *middle[axis + 1 :])
        for axis, size in enumerate(out)
        for end in (0, size - 1)
    )
    anywhere = map(tuple, rng.integers(0, out, (extra, len(out))).tolist())
    return np.array(list(dict.fromkeys((*corners, *faces, *anywhere))), np.intp)


@dataclass(frozen=True, slots=True)
class Sample:
    """Exact results at some positions of some output channels of one group, all images."""

    channels: NDArray[np.intp]
    positions: Positions
    prepared: Prepared
    """The reference's arrays are (N, channels, positions, 1...): one spatial axis is enough."""

    @classmethod
    def of(cls, case: Case, inputs: Inputs, group: int, rows: Rows, positions: Positions) -> Sample:
        """Compute conv or conv_transpose exactly at ``positions`` for ``rows`` of one group.

        Products and sums must be exact in float64, as those of small integers are.
        """
        part, (x, w, bias) = _part(case, inputs, group, rows)
        taps = _taps(part, positions)  # (T, K) flat input positions, or -1
        (n, c), (t, k) = x.shape[:2], taps.shape
        flat = x.reshape(n, c, math.prod(x.shape[2:]))
        columns = flat.take(np.maximum(taps, 0), axis=2) * (taps >= 0)  # (N, C, T, K)
        columns = columns.transpose(0, 2, 1, 3).astype(np.float64, order="C").reshape(n, t, c * k)
        filters = w if case.operator == "conv" else w.swapaxes(0, 1)
        filters = filters.reshape(len(rows), c * k).astype(np.float64)  # (rows, C*K)
        exact = columns @ filters.T
        magnitude = np.abs(columns) @ np.abs(filters).T
        if bias is not None:
            exact, magnitude = exact + bias.astype(np.float64), magnitude + np.abs(bias)
        terms = np.count_nonzero(taps >= 0, axis=1) * c + part.bias
        ones = (1,) * (case.dims - 1)
        reference = Reference(
            exact=exact.swapaxes(1, 2).reshape(n, len(rows), t, *ones),
            magnitude=magnitude.swapaxes(1, 2).reshape(n, len(rows), t, *ones),
            terms=terms.reshape(t, *ones),
        )
        channels = group * _group_size(case) + np.asarray(rows, np.intp)
        return cls(channels, positions, Prepared(part, (x, w, bias), reference))

    def worst(self, output: Array, accuracy: Accuracy) -> tuple[str, Shape] | None:
        """Describe the worst sampled element of ``output`` (N, O, *out), and return its index, too.

        The result is None if no element exceeds its bound. A normwise bound is that of whole
        planes, of which that of a tile is a part.
        """
        exact = self.prepared.reference.exact
        accuracy = replace(accuracy, tile=None)
        allowed, bits = self.prepared.bound(accuracy)
        elements = output[:, self.channels[:, None], *self.positions.T]  # (N, channels, T)
        got = elements.astype(np.float64).reshape(exact.shape)
        with np.errstate(invalid="ignore"):
            off = np.abs(got - exact)
        wrong = off != 0 if bits else ~(off <= allowed)
        if not wrong.any():
            return None
        at = worst_index(wrong, off)
        image, row, position = at[:3]
        element = (image, int(self.channels[row]), *self.positions[position].tolist())
        exactly = "no difference (every order of summation is exact here)"
        limit = exactly if bits else f"+-{float(allowed[at]):.3g}"
        values = got_and_exact(self.prepared.case, got[at], exact[at])
        return differing(wrong, element, f"{values}, allowed: {limit}"), element


def _group_size(case: Case) -> int:
    """Return the output channels of one group."""
    assert case.w is not None
    return case.w[0] // case.groups if case.operator == "conv" else case.w[1]


def _part(case: Case, inputs: Inputs, group: int, rows: Rows) -> tuple[Case, Inputs]:
    """Return the convolution of ``rows`` of one group, with its inputs."""
    x, w, bias = inputs
    c = case.x[1] // case.groups
    x = x[:, group * c : (group + 1) * c]
    first = group * _group_size(case)
    channels = np.asarray(rows, np.intp)
    w = w[first + channels] if case.operator == "conv" else w[group * c : (group + 1) * c, channels]
    bias = None if bias is None else bias[first + channels]
    return case.replace(x=x.shape, w=w.shape, groups=1), (x, w, bias)


def _taps(case: Case, positions: Positions) -> NDArray[np.intp]:
    """Return the flat input position that each kernel position meets at each output position.

    conv reads p*stride - before + k*dilation; conv_transpose adds input i to the output position
    i*stride - before + k*dilation, so that p meets i only where that can be solved for i.
    """
    flat = np.zeros((len(positions), 1), np.intp)
    inside = np.ones((len(positions), 1), bool)
    for axis in range(case.dims):
        size, stride, before = case.x[2 + axis], case.stride[axis], case.padding[axis][0]
        p = positions[:, axis, None]
        shift = np.arange(case.window[axis]) * case.dilation[axis] - before
        if case.operator == "conv":
            index, meets = p * stride + shift, True
        else:
            index, remainder = np.divmod(p - shift, stride)
            meets = remainder == 0
        within = meets & (index >= 0) & (index < size)  # (T, kernel)
        flat = (flat[:, :, None] * size + index[:, None]).reshape(len(positions), -1)
        inside = (inside[:, :, None] & within[:, None]).reshape(len(positions), -1)
    return np.where(inside, flat, -1)
