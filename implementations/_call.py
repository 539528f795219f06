"""How the windows of one call lie: what a chapter of the course is told beside its arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from conformance.implementations._arguments import Array, Padding, Shape


class Call(NamedTuple):
    """How the windows of one call lie: sizes and parameters, one number a spatial axis.

    conv and the pools go from an image to one result a window. conv_transpose and the gradients go
    back, from ``out`` to ``size``: the image is then what they return. A frozen dataclass would
    take three times as long to make, which is a percent or two of a small call.
    """

    size: Shape
    """S: the image without its padding."""
    out: Shape
    """P: how many windows there are."""
    kernel: Shape
    """K: the elements of a window."""
    stride: Shape
    """From one window to the next."""
    padding: Padding
    """Before and after the image. For a pool it reaches to where the last window ends."""
    dilation: Shape
    """From one element of a window to the next."""
    groups: int
    """G; every channel is a group by itself in a pool."""
    first: int
    """The first spatial axis of an image: 2, or 1 with channels last."""

    @property
    def padded(self) -> Shape:
        """The image with its padding."""
        return tuple([b + s + a for s, (b, a) in zip(self.size, self.padding, strict=True)])

    def inside(self) -> Array:
        """Return which positions of the padded image are not padding: (*padded), bool."""
        inside = np.zeros(self.padded, bool)
        axes = zip(self.size, self.padding, strict=True)
        inside[tuple([slice(before, before + s) for s, (before, _) in axes])] = True
        return inside

    def crop(self, image: Array) -> Array:
        """Return a view of ``image``, (N, C, *padded) or (N, *padded, C), without its padding."""
        kept = [slice(None)] * self.first
        for s, (before, _) in zip(self.size, self.padding, strict=True):
            kept.append(slice(before, before + s))
        return image[tuple(kept)]
