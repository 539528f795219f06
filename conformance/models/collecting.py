"""Collecting the calls of a model: equal ones are counted, and each is checked to be read right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from conformance.calling import Array
from conformance.case import Case, Measured
from conformance.cases.validity import validate
from conformance.dtypes import FLOATS
from conformance.errors import CaseError
from conformance.operators import OPERATORS, work
from conformance.signatures import SIGNATURES
from conformance.spec.suite import Other, Suite, SuiteCase

_CHECKED_WORK = 1 << 26
"""The most multiply-accumulates of the one channel of a call that is checked."""
_NEAR = 2.0**-5
"""An output that is farther from the exact one than this share of sum |x||w| is of another call."""


@dataclass(slots=True)
class Numbers:
    """What the numbers of an argument are, in all calls of a case."""

    least: float = np.inf
    most: float = -np.inf
    squares: float = 0.0
    count: int = 0
    finite: bool = True

    def add(self, array: Array) -> None:
        """Add the numbers of an array."""
        numbers = array.astype(np.float64).reshape(-1)
        fine = np.isfinite(numbers)
        if not fine.all():
            self.finite, numbers = False, numbers[fine]
        if numbers.size:
            self.least = min(self.least, float(numbers.min()))
            self.most = max(self.most, float(numbers.max()))
            scale = max(abs(self.least), abs(self.most)) or 1.0  # squares may be out of range
            self.squares += scale * float(np.sum((numbers / scale) * numbers))
            self.count += numbers.size

    def measured(self) -> Measured | None:
        """Return them to four digits; None where there is no number."""
        if not self.count:
            return None
        root = float(np.sqrt(self.squares / self.count))
        least, most, root = (float(f"{n:.4g}") for n in (self.least, self.most, root))
        return least, most, root


@dataclass(slots=True)
class _Collected:
    """A case, and who makes it how often."""

    name: str
    arrays: dict[str, Numbers] = field(default_factory=dict)
    layers: dict[str, None] = field(default_factory=dict)
    count: int = 0


class Listener(Protocol):
    """What is told of the calls of a model."""

    def add(
        self, layer: str, case: Case, arrays: Sequence[Array | None], output: Array | None
    ) -> Array | None:
        """Take a call, and return what is to be its result; None where that is its ``output``.

        Arrays and output are channels first; what is not known of them is None.
        """

    def other(self, layer: str, name: str, why: str) -> None:
        """Take what is no call of an operator, with the reason."""


class Calls:
    """The calls of a model, in the order in which they are first made."""

    def __init__(self) -> None:
        self._cases: dict[Case, _Collected] = {}
        self._others: dict[tuple[str, str], _Collected] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was collected."""
        return not (self._cases or self._others)

    def add(
        self, layer: str, case: Case, arrays: Sequence[Array | None], output: Array | None
    ) -> None:
        """Add a call; it is no call of an operator where the case does not describe it."""
        why = unlike(case, arrays, output)
        if why:
            self.other(layer, f"{case.operator}{case.dims}d", why)
            return
        if case not in self._cases:
            self._cases[case] = _Collected(self._free(layer))
        found = self._cases[case]
        found.count += 1
        found.layers[layer] = None
        for name, array in zip(SIGNATURES[case.operator].arrays, arrays, strict=True):
            if array is not None:
                found.arrays.setdefault(name, Numbers()).add(array)

    def other(self, layer: str, name: str, why: str) -> None:
        """Add what is no call of an operator."""
        found = self._others.setdefault((name, why), _Collected(name))
        found.count += 1
        found.layers[layer] = None

    def suite(self, name: str) -> Suite:
        """Return what was collected."""
        others = tuple(
            Other(one.name, printable(why), one.count, tuple(one.layers))
            for (_, why), one in self._others.items()
        )
        return Suite(printable(name), tuple(map(self._entry, self._cases)), others)

    def _entry(self, case: Case) -> SuiteCase:
        found = self._cases[case]
        given = [name for name in SIGNATURES[case.operator].arrays if name != "bias" or case.bias]
        measured = [found.arrays.get(name, Numbers()).measured() for name in given]
        ranges = tuple(one for one in measured if one is not None)
        if len(ranges) < len(given) or case.dtype not in FLOATS:
            ranges = ()
        special = [name for name, one in found.arrays.items() if not one.finite]
        why = f"not all numbers of {' and '.join(special)} are finite" if special else ""
        return SuiteCase(
            found.name, case, why, case.dtype, ranges, tuple(found.layers), found.count
        )

    def _free(self, layer: str) -> str:
        taken = {found.name for found in self._cases.values()}
        names = (layer if number == 1 else f"{layer} #{number}" for number in range(1, 10**6))
        return next(name for name in names if name not in taken)


def printable(text: str) -> str:
    """Return a text that is one printable line."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in line) or "?"


def unlike(case: Case, arrays: Sequence[Array | None], output: Array | None) -> str:
    """Return why a case is not the call that was made; empty if it is."""
    if case.dtype not in SIGNATURES[case.operator].dtypes:
        return f"{case.operator} is not defined for {case.dtype}"
    try:
        validate(case)
    except CaseError as problem:
        return str(problem).partition(": ")[2]
    if output is None:
        return ""
    due = OPERATORS[case.operator].output_shape(case)
    if output.shape != due:
        return f"its output has the shape {output.shape}, where that of the operator has {due}"
    if not case.x[0] or any(array is None for array in arrays[: 1 + (case.w is not None)]):
        return ""
    part, inputs = _first_channel(case, arrays)
    if work(part) > _CHECKED_WORK or not all(np.isfinite(a).all() for a in inputs if a is not None):
        return ""
    reference = OPERATORS[case.operator].reference(part, inputs)
    got = output[:1, :1].astype(np.float64)
    exact = np.asarray(reference.exact, np.float64)
    allowed = 0.0 if reference.magnitude is None else _NEAR * np.asarray(reference.magnitude)
    if np.all(np.abs(got - exact) <= allowed + np.finfo(np.float32).tiny):
        return ""
    return "its output is not that of the operator"


def _first_channel(
    case: Case, arrays: Sequence[Array | None]
) -> tuple[Case, tuple[Array | None, ...]]:
    """Return the part of a call that makes the first channel of the output of one sample."""
    x = arrays[0]
    assert x is not None
    if case.w is None:
        return case.replace(x=(1, 1, *case.x[2:])), (x[:1, :1],)
    w, bias = arrays[1], arrays[2]
    assert w is not None
    inner = case.x[1] // case.groups
    w = w[:inner, :1] if case.operator == "conv_transpose" else w[:1]
    part = case.replace(x=(1, inner, *case.x[2:]), w=w.shape, groups=1)
    return part, (x[:1, :inner], w, None if bias is None else bias[:1])
