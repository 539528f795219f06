"""TensorFlow: tensors that nobody writes to, made on a device and copied back.

What one of them shares with another is nobody's concern, so results are copies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from conformance.arrays.library import Library, Placed, without_dtype
from conformance.calling.observing import Array
from conformance.errors import ConformanceError


def library(device: str) -> Library:
    """Return the conversion for a device; raise `ConformanceError` where that is not there."""
    kind, _, number = device.partition(":")
    there = [one.name for one in tf.config.list_logical_devices()]
    name = f"/device:{kind.upper()}:{number or 0}"
    if name not in there:
        raise ConformanceError(
            f"device={device!r}: TensorFlow {tf.__version__} has no such device here; there are "
            + ", ".join(one.removeprefix("/device:").lower() for one in there)
        )
    return TensorFlow(name)


class TensorFlow(Library):
    """Tensors of TensorFlow on one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.due = f"tf.Tensor on {device.removeprefix('/device:').lower()}"

    def hand(self, array: Array, buffer: Array) -> Any:
        """Return a tensor."""
        try:
            with tf.device(self.device):
                return tf.convert_to_tensor(np.ascontiguousarray(array).reshape(array.shape))
        except (TypeError, ValueError):
            raise without_dtype("TensorFlow", array.dtype) from None

    def around(self, placed: Placed) -> AbstractContextManager[Any]:
        """Return the context of the device."""
        context: AbstractContextManager[Any] = tf.device(self.device)
        return context

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Wait for what other devices than the host have begun."""
        if not self.device.startswith("/device:CPU"):
            tf.experimental.sync_devices()
        return output

    def zeros(self, shape: tuple[int, ...], like: Any) -> Any:
        """Return zeros like a tensor."""
        return tf.zeros(shape, like.dtype)

    def gradient(self, function: Callable[[Any], Any], at: Any, grad: Any) -> Any:
        """Call tf.GradientTape."""
        with tf.GradientTape() as tape:
            tape.watch(at)
            y = function(at)
        return tape.gradient(y, at, grad)

    def take(self, output: Any) -> Any:
        """Return a copy."""
        if isinstance(output, tf.Variable):
            output = output.value()
        if not (isinstance(output, tf.Tensor) and hasattr(output, "numpy")):
            return self.wrong(output)
        if not output.device.endswith(self.device):
            return self.wrong(output, f"tf.Tensor on {output.device}")
        return np.array(output.numpy())
