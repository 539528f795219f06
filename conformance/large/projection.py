"""Checking every element of a large output without the full reference.

A convolution is linear in its weight. Within one group, for any coefficients r,

    sum_o r[o] * y[n, o, p]  =  conv(x, sum_o r[o] * w[o])[n, p]  +  sum_o r[o] * bias[o]

The right side is a convolution with a single output channel, 1/O of the work; the left side reads
every element of the output once. On whole numbers, small ones or long ones that meet few others
(``digits``), both are exact (`conformance.large.contraction`), so they are compared for equality.
Matrix products are verified so by Freivalds (*Probabilistic machines can use less running time*,
IFIP Congress 1977).

Every r[o] is drawn independently and uniformly from the eight integers -4 to -1 and 1 to 4, and
the implementation does not know it. Let e = y - exact be the error of its output. Then

- an element that is no whole number, or too large for a result, is found by looking at it;
- one wrong element is **always** found: the sums differ by r[o] * e[o], which is not zero;
- a set of wrong elements is missed with probability at most **1/8**: take a position where some
  are wrong, and one of its wrong channels o. Whatever the other coefficients are, the sums agree
  there for at most one of the eight values of r[o], the one with r[o] * e[o] = -(the rest). With
  k projections, each with coefficients of its own, it is at most 1/8**k.

The sums of right outputs are exact. Where an output holds a wrong number so large that its sum
rounds, let E be the largest error at that position: in a tile of 64 channels, with sums of right
elements up to 2**23, rounding takes E >= 2**15, and is at most 64 * 2**-24 * (2**23 + 256 * E),
less than 2**-8 * E. The eight values of r[o] * E lie E apart, so that again at most one of them
lets the sums agree.

Making the right side reads x and w once; it serves any number of outputs for the same inputs. An
output costs one pass: measured, 0.5 to 1 ns an element, a few per cent of a large convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from conformance.calling import Array, Inputs
from conformance.case import Case, Shape
from conformance.cases.data import READABLE
from conformance.dtypes import FLOATS, FORMATS
from conformance.errors import ConformanceError
from conformance.judging import Accuracy, Problem
from conformance.judging.comparing import wrong_shape_or_dtype
from conformance.large.contraction import convolve, in_blas_dtype, project, project_weight
from conformance.large.pooled import PooledReference
from conformance.large.sampling import Sample, corners_and_edges
from conformance.operators import OPERATORS

COEFFICIENTS = np.array([-4, -3, -2, -1, 1, 2, 3, 4], np.float32)
"""What each r[o] is drawn from."""

_NAMED = 16
"""Positions with wrong sums that are computed exactly in order to name a wrong element."""
_SAMPLED = 4
"""Output channels that are always compared at corners, edges and random positions."""


_PROJECTED, _POOLED = ("conv", "conv_transpose"), ("max_pool", "avg_pool")
VERIFIED = (*_PROJECTED, *_POOLED)
"""The operators whose large outputs can be verified without a full reference."""


def is_projected(case: Case) -> bool:
    """Whether outputs of a floating-point convolution can be verified: float64 holds all sums."""
    short = FORMATS[case.dtype].digits <= FORMATS["float32"].digits
    return case.data in ("integers", "impulse") or (case.data == "digits" and short)


class Verifier(Protocol):
    """A check of the outputs of one case for given inputs; it is made once and used often."""

    def check(self, output: Array, accuracy: Accuracy) -> Problem | None:
        """Return what is wrong with an output of the right shape and dtype, or None."""


def check(
    case: Case, inputs: Inputs, output: object, seed: int = 0, accuracy: Accuracy | None = None
) -> str | None:
    """Say what is wrong with ``output``, the result of ``case`` for ``inputs``, or return None.

    ``inputs`` are those of `make_inputs` for data that `is_projected`; ``output`` is
    channels-first, in any memory layout; ``seed`` draws the coefficients. If ``accuracy`` (default:
    sums in the dtype, in float32 for half types) makes every order of summation exact, the elements
    must equal the exact ones. Otherwise the sums of the rounded output only show where the judge's
    bound has to look. Raises `ConformanceError` for other data.
    """
    problem = array_problem(case, output)
    if problem is None:
        assert isinstance(output, np.ndarray)
        problem = verifier(case, inputs, seed).check(output, accuracy or Accuracy())
    return None if problem is None else problem.message


def verifier(case: Case, inputs: Inputs, seed: int = 0) -> Verifier:
    """Return the verifier of outputs for ``inputs``; raise `ConformanceError` if it has none."""
    if case.operator in _PROJECTED:
        return Projection.of(case, inputs, seed)
    if case.operator in _POOLED:
        return PooledReference.of(case, inputs)
    raise ConformanceError(f"case {case.id}: {case.operator} is not checked without its reference")


def array_problem(case: Case, output: object) -> Problem | None:
    """Return why ``output`` cannot be a result of ``case``: no array, wrong shape or dtype."""
    if not isinstance(output, np.ndarray):
        kind = f"{type(output).__module__}.{type(output).__qualname__}"
        return Problem("RESULT-5", f"returned a {kind} where a numpy.ndarray is due")
    return wrong_shape_or_dtype(case, output, OPERATORS[case.operator].output_shape(case))


@dataclass(frozen=True, slots=True)
class Projection:
    """The projection of the exact output of a conv or conv_transpose, and some of its elements."""

    case: Case
    inputs: Inputs
    r: NDArray[np.float32]
    """The coefficients, (G, O/G)."""
    expected: NDArray[np.float64]
    """The exact output's sums over the channels of each group, (N, G, *out)."""
    magnitude: float
    """A bound on the sum |x||w| of any output element."""
    sample: Sample

    @classmethod
    def of(cls, case: Case, inputs: Inputs, seed: int = 0) -> Projection:
        """Draw the coefficients from ``seed`` and project the exact output without computing it."""
        operator = OPERATORS[case.operator]
        if case.dtype not in FLOATS or not is_projected(case):
            raise ConformanceError(
                f"case {case.id}: only floating-point arrays of small whole numbers (data: "
                f"integers or impulse, and digits up to float32) can be projected"
            )
        rng = np.random.default_rng((seed, 8))
        x, w, bias = inputs
        r = rng.choice(COEFFICIENTS, (case.groups, operator.output_shape(case)[1] // case.groups))
        wide = in_blas_dtype(w)
        kernels, squares = project_weight(case, wide, r)
        most = _largest_input(case)
        expected = convolve(case, x, kernels, most)
        magnitude = most * math.sqrt(operator.terms(case) * squares)  # Cauchy and Schwarz
        if magnitude > 2.0 ** FORMATS[case.dtype].digits:
            magnitude = _largest_sum(case, x, wide)
        if bias is not None:
            sums = (r.astype(np.float64) * bias.reshape(r.shape)).sum(axis=1)
            expected += sums.reshape(-1, *(1,) * case.dims)
            magnitude += float(np.abs(bias).max())
        rows = rng.permutation(r.shape[1])[:_SAMPLED]
        positions = corners_and_edges(expected.shape[2:], rng)
        sample = Sample.of(case, inputs, int(rng.integers(case.groups)), rows, positions)
        return cls(case, inputs, r, expected, magnitude, sample)

    def check(self, output: Array, accuracy: Accuracy) -> Problem | None:
        """Return what is wrong with the sums of ``output`` (N, O, *out), and a wrong element."""
        equality = self._demands_equality(accuracy)
        differ = self.differ(output, fractions=equality)
        if differ.any():
            self._check_inputs()
        named = self._name(output, differ, accuracy) if differ.any() else None
        requirement = "RESULT-2" if equality else "RESULT-1"
        if named is None and not (equality and differ.any()):
            worst = self.sample.worst(output, accuracy)
            return None if worst is None else Problem(requirement, *worst)
        text = (
            f"the sums over each group's {self.r.shape[1]} output channels, weighted at random, "
            f"differ at {np.count_nonzero(differ)} of {differ.size} positions"
        )
        if named is None:
            return Problem(requirement, text)
        worst_named, at = named
        return Problem(requirement, f"{text}; {worst_named}", at)

    def differ(self, output: Array, *, fractions: bool = True) -> NDArray[np.bool_]:
        """Return where the sums of ``output`` are not the exact ones, (N, G, *out).

        With ``fractions``, an element that is no whole number counts; without, it is rounded first.
        """
        shape = self.expected.shape
        y = output.reshape(*shape[:2], self.r.shape[1], math.prod(shape[2:]))
        bound = OPERATORS[self.case.operator].terms(self.case) * _largest_input(self.case) ** 2
        sums = project(y, self.r, fractions=fractions, bound=bound)
        differ: NDArray[np.bool_] = sums.values.reshape(shape) != self.expected
        return differ | sums.odd.reshape(shape)

    def _check_inputs(self) -> None:
        """Raise `ConformanceError` if the inputs are not small whole numbers, as they must be."""
        most = _largest_input(self.case)
        for name, value in zip(OPERATORS[self.case.operator].arguments, self.inputs, strict=True):
            if value is None or not value.size:
                continue
            if not np.array_equal(value, np.rint(value)) or np.abs(value).max() > most:
                raise ConformanceError(
                    f"case {self.case.id}: {name} holds other than whole numbers up to "
                    f"{most:g}; outputs of such inputs cannot be checked by projection"
                )

    def _name(
        self, output: Array, differ: NDArray[np.bool_], accuracy: Accuracy
    ) -> tuple[str, Shape] | None:
        """Name the worst element of a group at some positions that differ, if any is wrong."""
        differences = np.argwhere(differ)
        group = int(differences[0, 1])
        positions = np.unique(differences[differences[:, 1] == group][:, 2:], axis=0)
        positions = positions[:: -(-len(positions) // _NAMED)]  # spread over all of them
        rows = range(self.r.shape[1])
        worst = Sample.of(self.case, self.inputs, group, rows, positions).worst(output, accuracy)
        return None if worst is None else (f"at {len(positions)} of these, {worst[0]}", worst[1])

    def _demands_equality(self, accuracy: Accuracy) -> bool:
        """Whether every sum is exact in the accumulator and the dtype, in every order."""
        plain = accuracy.amplification is None and accuracy.multiply is None
        return plain and self.magnitude <= accuracy.arithmetic(self.case.dtype).exact_up_to


def _largest_input(case: Case) -> float:
    """Return the largest number that the inputs of ``case`` may hold."""
    return 2.0 ** FORMATS[case.dtype].digits if case.data == "digits" else READABLE


def _largest_sum(case: Case, x: Array, w: Array) -> float:
    """Return a bound on the sum |x||w| of any output element."""
    by_filter = _peak(x) * _largest_filter(case, w)
    if case.data != "digits" or by_filter <= 2.0 ** FORMATS[case.dtype].digits:
        return by_filter
    ones = np.ones((case.groups, case.x[1] // case.groups, math.prod(case.window)), np.float32)
    read = convolve(case, np.abs(x), ones, _peak(x))
    return min(by_filter, _peak(w) * float(read.max(initial=0)))


def _peak(array: Array) -> float:
    return float(max(array.max(), -array.min())) if array.size else 0.0


def _largest_filter(case: Case, w: Array) -> float:
    """Return the largest sum |w| of one output channel."""
    if case.operator == "conv":
        return float(np.abs(w).reshape(len(w), -1).sum(axis=1, dtype=np.float64).max())
    grouped = np.abs(w).reshape(case.groups, len(w) // case.groups, w.shape[1], -1)
    return float(grouped.sum(axis=(1, 3), dtype=np.float64).max())
