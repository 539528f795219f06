"""Data of its own for every timed call, which nobody can foresee, and the check of its output."""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.judging import Accuracy, Problem
from conformance.large.projection import Projection, Verifier, is_projected, verifier

_LONG = 4
"""One in so many calls has numbers that fill the significand: fewer digits do not do there."""
_SEEDS = 2**48


class Data:
    """The data of one call."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.inputs: Inputs = make_inputs(case)

    def problem(self, output: Array, accuracy: Accuracy) -> Problem | None:
        """Return what is wrong with any element of an output, None if nothing is."""
        return self._verifier.check(output, accuracy)

    @cached_property
    def _verifier(self) -> Verifier:
        for seed in itertools.count(self.case.seed):
            found = verifier(self.case, self.inputs, seed)
            # Coefficients that cancel would not see the same error in every channel.
            if not isinstance(found, Projection) or found.r.sum(axis=-1).all():
                break
        return found


class Source:
    """Draws the data of one call after the other."""

    def __init__(self, case: Case, *entropy: int) -> None:
        """Begin a stream of data of ``case``: whoever knows ``entropy`` could draw it as well."""
        self.case = case
        self._rng = np.random.default_rng(entropy)
        long = case.replace(data="digits")
        self._has_long = case.operator in ("conv", "conv_transpose") and is_projected(long)
        self._drawn, self._position = 0, 0

    def draw(self) -> Data:
        """Return new data: one in every four has long numbers, in x and in w by turns."""
        if self._drawn % _LONG == 0:
            self._position = int(self._rng.integers(_LONG))
        block, position = divmod(self._drawn, _LONG)
        self._drawn += 1
        seed = int(self._rng.integers(_SEEDS))
        if self._has_long and position == self._position:
            return Data(self.case.replace(data="digits", seed=seed // 2 * 2 + block % 2))
        return Data(self.case.replace(seed=seed))
