"""Comparing a pool's output with the exact one, which costs about as much as the call.

It is computed in full, in blocks of channels, which bound the memory of the table of windows.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from conformance.calling import Array, Inputs, Observation
from conformance.case import Case
from conformance.judging import Accuracy, Prepared, Problem, judge_observation
from conformance.operators import OPERATORS

_WINDOWS = 1 << 22
"""Window elements that are gathered at once."""


@dataclass(frozen=True, slots=True)
class PooledReference:
    """The exact output of one pool, in blocks of one image and some channels."""

    case: Case
    blocks: tuple[tuple[int, slice, Prepared], ...]

    @classmethod
    def of(cls, case: Case, inputs: Inputs) -> PooledReference:
        """Compute the exact result of ``case``, a max_pool or avg_pool, for ``inputs``."""
        operator = OPERATORS[case.operator]
        (x,) = inputs
        images, channels = case.x[:2]
        windows = math.prod(operator.output_shape(case)[2:]) * math.prod(case.window)
        step = max(1, _WINDOWS // windows)
        blocks = []
        for image, first in itertools.product(range(images), range(0, channels, step)):
            some = slice(first, min(first + step, channels))
            part = case.replace(x=(1, some.stop - first, *case.x[2:]))
            arrays = (x[image : image + 1, some],)
            blocks.append((image, some, Prepared(part, arrays, operator.reference(part, arrays))))
        return cls(case, tuple(blocks))

    def check(self, output: Array, accuracy: Accuracy) -> Problem | None:
        """Say what is wrong with ``output`` (N, C, *out), None if nothing is."""
        for image, some, prepared in self.blocks:
            observation = Observation(output=output[image : image + 1, some])
            verdict, _ = judge_observation("", accuracy, prepared, observation)
            if verdict.failed:
                whole = self.case.x[:2] == prepared.case.x[:2]
                where = f"in image {image}, channels {some.start} to {some.stop - 1}: "
                text = verdict.message if whole else where + verdict.message
                at = verdict.at and (image, some.start + verdict.at[1], *verdict.at[2:])
                return Problem(verdict.requirement or "RESULT-1", text, at)
        return None
