"""`Call` tells a chapter of the course how the windows of one call lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.implementations._arguments import Array, Padding, Shape


class Call(NamedTuple):
    """The sizes and parameters of a call: its windows, with one number a spatial axis.

    conv and the pools go from an image to one result a window. conv_transpose and the gradients go
    back, from ``out`` to ``size``: they return the image. This is no frozen dataclass, since making
    one would take three times as long, which is a percent or two of a small call.
    """

    size: Shape
    """S: the size of the image without its padding."""
    out: Shape
    """P: how many windows there are."""
    kernel: Shape
    """K: how many elements a window has."""
    stride: Shape
    """The distance from one window to the next."""
    padding: Padding
    """The padding before and after the image; for a pool it ends where the last window does."""
    dilation: Shape
    """The distance from one element of a window to the next."""
    groups: int
    """G: the number of groups; in a pool every channel is a group by itself."""
    first: int
    """The first spatial axis of an image: 2, or 1 with channels last."""

    @property
    def padded(self) -> Shape:
        """The size of the image with its padding."""
        return tuple([b + s + a for s, (b, a) in zip(self.size, self.padding, strict=True)])

    def inside(self) -> Array:
        """Return which positions of the padded image are not padding: (*padded), bool."""
        inside = np.zeros(self.padded, bool)
        axes = zip(self.size, self.padding, strict=True)
        inside[tuple([slice(before, before + s) for s, (before, _) in axes])] = True
        return inside

    def crop(self, image: Array) -> Array:
        """Return a view of ``image``, (N, C, *padded) or (N, *padded, C), without its padding."""
        slices = [slice(None)] * self.first
        for s, (before, _) in zip(self.size, self.padding, strict=True):
            slices.append(slice(before, before + s))
        return image[tuple(slices)]
