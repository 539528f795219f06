"""Cases with their inputs and references, made once and judged many times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import EVERY, Case
from conformance.cases.data import make_inputs
from conformance.cases.limits import check_windows
from conformance.judging.bound import Accuracy, bound
from conformance.operators import OPERATORS, nonfinite
from conformance.operators.base import Reference


class Prepared:
    """A case with its inputs and its reference, which is judged many times.

    Either of them may be made anew whenever it is asked for, so that many cases take little memory.
    """

    __slots__ = ("_bounds", "_inputs", "_reference", "_squares", "case")

    def __init__(
        self,
        case: Case,
        inputs: Inputs | Callable[[], Inputs],
        reference: Reference | Callable[[], Reference],
    ) -> None:
        self.case, self._inputs, self._reference = case, inputs, reference
        self._bounds: dict[Accuracy, tuple[Array, bool]] = {}
        self._squares: Array | None = None

    @classmethod
    def of(cls, case: Case) -> Prepared:
        """Make the inputs and the reference of a valid case; `CaseError` if it is too large."""
        check_windows(case)
        with np.errstate(all="ignore"):  # an implementation may have turned warnings into errors
            inputs = make_inputs(case)
            if case.invalid:
                return cls(case, inputs, Reference(np.empty(0)))
            return cls(case, inputs, reference_of(case, inputs))

    @property
    def inputs(self) -> Inputs:
        """The positional arguments: arrays, None for no bias, shapes."""
        return self._inputs() if callable(self._inputs) else self._inputs

    @property
    def reference(self) -> Reference:
        """The exact result, and what its error bound is made of."""
        return self._reference() if callable(self._reference) else self._reference

    @property
    def squares(self) -> Array:
        """The sum of the squares of the products of each element, in the result's shape."""
        if self._squares is None:
            self._squares = OPERATORS[self.case.operator].squares(self.case, self.inputs)
        return self._squares

    @property
    def elements(self) -> int:
        """The number of elements of the result."""
        return self.reference.exact.size

    @property
    def nonzero(self) -> bool:
        """Whether an element of the exact result is not zero."""
        return bool(np.any(self.reference.exact))

    def ready(self) -> Prepared:
        """Return this with its arrays made, for as long as it is judged."""
        return self

    def replace(self, **changes: Any) -> Prepared:
        """Return this with another ``case`` or ``reference``."""
        parts = {"case": self.case, "inputs": self._inputs, "reference": self._reference}
        return Prepared(**{**parts, **changes})

    def bound(self, accuracy: Accuracy) -> tuple[Array, bool]:
        """Return the allowed error, in the result's shape, and whether bits must be equal."""
        if accuracy not in self._bounds:
            self._bounds[accuracy] = bound(self.case, self.inputs, self.reference, accuracy)
        return self._bounds[accuracy]


class Late(Prepared):
    """A valid case, not an empty one, whose arrays are made when it is judged, and not kept."""

    __slots__ = ()

    def __init__(self, case: Case) -> None:
        super().__init__(
            case, lambda: make_inputs(case), lambda: reference_of(case, make_inputs(case))
        )

    @property
    def elements(self) -> int:
        return math.prod(OPERATORS[self.case.operator].output_shape(self.case))

    @property
    def nonzero(self) -> bool:
        return True  # of so many results some are

    def ready(self) -> Prepared:
        return Prepared.of(self.case)


def reference_of(case: Case, inputs: Inputs) -> Reference:
    """Return the reference of a valid case for the given arguments."""
    operator = OPERATORS[case.operator]
    if case.data in ("nan", "inf", EVERY):
        return nonfinite.reference(operator, case, inputs)
    return operator.reference(case, inputs)
