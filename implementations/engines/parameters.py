"""The parameters of a call as one object, which adapters call ``p``; the engine judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.implementations._arguments import Padding, Shape, window_reach


@dataclass(frozen=True, slots=True)
class Conv:
    """Parameters of conv and its gradients; tuples have one entry a spatial axis."""

    stride: Shape
    padding: Padding
    dilation: Shape
    groups: int


@dataclass(frozen=True, slots=True)
class ConvTranspose(Conv):
    """Parameters of conv_transpose."""

    output_padding: Shape


@dataclass(frozen=True, slots=True)
class Pool:
    """Parameters of max_pool and its gradient; tuples have one entry a spatial axis."""

    kernel: Shape
    stride: Shape
    padding: Padding
    dilation: Shape
    ceil_mode: bool

    def windows(self, size: Shape) -> tuple[Shape, Padding]:
        """Return how many windows an input of ``size`` has, and the padding that they read.

        Both have one entry a spatial axis. The padding is that of the call, or more after the input
        where a window of ``ceil_mode`` reaches further. Raises Python's own exceptions.
        """
        return window_reach(
            size, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode
        )


@dataclass(frozen=True, slots=True)
class AvgPool(Pool):
    """Parameters of avg_pool and its gradient, whose ``dilation`` is 1 on every axis."""

    count_include_pad: bool


def undilated(*, kernel: Shape, **parameters: Any) -> AvgPool:
    """Return the parameters of avg_pool, which has no dilation, as one object."""
    return AvgPool(kernel, dilation=(1,) * len(kernel), **parameters)


def averaging(parameters: Mapping[str, Any]) -> AvgPool:
    """Return the parameters of avg_pool, by name, as one object."""
    return undilated(**parameters)


def pooling(parameters: Mapping[str, Any]) -> Pool:
    """Return the parameters of either pool, by name, as one object."""
    return Pool(**parameters) if "dilation" in parameters else averaging(parameters)
