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

    def __init__(self, case: Case, entropy: int) -> None:
        """Begin a stream of data of ``case``: whoever knows ``entropy`` could draw it as well."""
        self.case = case
        self._rng = np.random.default_rng(entropy)
        long = case.replace(data="digits")
        self._recipes = [case.data]
        if case.operator in ("conv", "conv_transpose") and is_projected(long):
            self._recipes.append("digits")

    def draw(self) -> Data:
        """Return new data."""
        long = self._rng.integers(_LONG) == 0
        recipe, seed = self._recipes[-1 if long else 0], int(self._rng.integers(_SEEDS))
        return Data(self.case.replace(data=recipe, seed=seed))
