"""Verifying the calls that are timed: what they did to their arrays, and all that they returned."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.calling import Array, NotAnArray, from_layout
from conformance.calling.timed import TimedCall
from conformance.case import Case
from conformance.isolation.process import Ended
from conformance.judging import Accuracy, Problem
from conformance.judging.verdict import ENDED
from conformance.large.projection import array_problem
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.timing.data import Data

_RESULT = "image"
"""The role of what the timed operators return."""


def ending(ended: Ended) -> Problem:
    """Return what it is that a call has ended its process."""
    _, requirement, words = ENDED[ended.kind]
    return Problem(requirement, f"{words}: {ended.how}")


def call_problem(
    implementation: Implementation, case: Case, call: TimedCall, *, in_timing: bool
) -> Problem | None:
    """Return what a call did wrong, apart from the values that it returned."""
    names = OPERATORS[case.operator].arguments
    if call.changed:
        changed = " and ".join(names[n] for n in call.changed)
        return Problem("PURE-1", f"a call changed its input {changed}")
    if isinstance(call.wrong, NotAnArray):
        text = f"returned a {call.wrong.kind} where a {call.wrong.due} is due"
        return Problem("RESULT-5", text)
    if call.wrong is not None:
        value = from_layout(call.wrong, implementation.layout, _RESULT)
        problem = array_problem(case, value)
        return problem or Problem("RESULT-5", "returned an array of another kind than numpy's own")
    if call.shared:
        shared = " and ".join(names[n] for n in call.shared)
        return Problem("PURE-2", f"the output shares memory with {shared}")
    if call.kept and in_timing:
        return Problem("PURE-3", "the output shares memory with that of an earlier call")
    return None


def output_problem(
    data: Data, held: Sequence[Data], output: Array, accuracy: Accuracy, *, in_timing: bool
) -> Problem | None:
    """Return what is wrong with the values of one output, and whether they belong to other data.

    ``held`` are the data of earlier calls. Before the timing, an output was right.
    """
    problem = data.problem(output, accuracy)
    if problem is None:
        return None
    if any(other.problem(output, accuracy) is None for other in held):
        return Problem("REPEAT-3", "returned the result for the data of another call", problem.at)
    if in_timing:
        text = f"{problem.message} (before the timing, the output was right)"
        return Problem("REPEAT-4", text, problem.at)
    return problem
