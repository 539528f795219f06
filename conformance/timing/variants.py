"""Variants of layers: other batch sizes and dtypes, and sweeps over one dimension."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.case import Case
from conformance.cases.validity import is_valid
from conformance.errors import ConformanceError, did_you_mean
from conformance.operators import OPERATORS
from conformance.spec.layers import Layer

_RANGE = re.compile(r"(\w+)=(?:(\d+)\.\.(\d+)|(\d+(?:,\d+)*))")
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Sweep:
    """A dimension of layers, and the values that it takes."""

    dimension: str
    values: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """Return the sweep that ``text`` asks for: channels=16..512, or kernel=1,3,5.

        From one number to another each is twice the one before, of a kernel two more. Raises
        `ConformanceError` for anything else.
        """
        found = _RANGE.fullmatch(text)
        if found is None:
            raise ConformanceError(
                f"sweep '{text}'; a dimension and its values: channels=16..512 or kernel=1,3,5"
            )
        dimension, first, last, listed = found.groups()
        if dimension not in _CHANGES:
            hint = did_you_mean(dimension, [*_CHANGES])
            raise ConformanceError(
                f"sweep '{text}': dimension '{dimension}' is unknown; {hint}choose "
                f"{', '.join(_CHANGES)}"
            )
        values = [*map(int, listed.split(","))] if listed else []
        if first is not None:
            value, end = int(first), int(last)
            while 0 < value <= min(end, _MOST):
                values.append(value)
                value = value + 2 if dimension == "kernel" else 2 * value
        if not values or not all(0 < value <= _MOST for value in values):
            raise ConformanceError(
                f"sweep '{text}'; values from 1 to {_MOST}, the first one the smallest"
            )
        return cls(dimension, tuple(dict.fromkeys(sorted(values))))

    def of(self, layer: Layer) -> Iterator[Layer]:
        """Yield the layer with each value; raise `ConformanceError` where it is not possible."""
        for value in self.values:
            case = _CHANGES[self.dimension](layer.case, value)
            name = f"{layer.name}, {self.dimension} {value}"
            if not is_valid(case) or 0 in OPERATORS[case.operator].output_shape(case):
                raise ConformanceError(
                    f"sweep {self.dimension}={value}: layer '{layer.name}' is no valid call then; "
                    f"choose other values"
                )
            yield Layer(name, case, base=layer.name, swept=self.dimension, value=value)


def varied(
    layers: Iterable[Layer], batches: Sequence[int], sweep: Sweep | None
) -> tuple[Layer, ...]:
    """Return the layers with each of these batch sizes, if any, and each value of a sweep."""
    chosen = list(layers)
    if batches:
        chosen = [
            replace(layer, name=f"{layer.name}, batch {size}", case=_batch(layer.case, size))
            for layer, size in itertools.product(chosen, batches)
        ]
    if sweep is not None:
        chosen = [variant for layer in chosen for variant in sweep.of(layer)]
    return tuple(chosen)


def _batch(case: Case, size: int) -> Case:
    return case.replace(x=(size, *case.x[1:]))


def _size(case: Case, size: int) -> Case:
    return case.replace(x=(*case.x[:2], *[size] * case.dims))


def _channels(case: Case, channels: int) -> Case:
    """Return a case with so many input and output channels; a depthwise one stays depthwise."""
    x = (case.x[0], channels, *case.x[2:])
    if case.w is None:
        return case.replace(x=x)
    depthwise = case.groups > 1 and case.groups == case.x[1]
    groups = channels if depthwise else case.groups
    if channels % groups:
        return case.replace(x=x)  # which is not valid, and said so
    inner = channels // groups
    return case.replace(x=x, w=(channels, inner, *case.w[2:]), groups=groups)


def _kernel(case: Case, size: int) -> Case:
    """Return a case with so large a kernel, padded by half of it where it was padded before."""
    padded = any(map(any, case.padding))
    half = tuple(d * (size - 1) for d in case.dilation)
    padding = tuple((h // 2, h - h // 2) if padded else (0, 0) for h in half)
    window = (size,) * case.dims
    if case.w is None:
        return case.replace(kernel=window, padding=padding)
    return case.replace(w=(*case.w[:2], *window), padding=padding)


_CHANGES: dict[str, Callable[[Case, int], Case]] = {
    "batch": _batch,
    "channels": _channels,
    "size": _size,
    "kernel": _kernel,
}
"""How a case gets another value of each dimension."""
