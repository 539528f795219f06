"""Verifying the outputs of timed calls after the timing, with the data that each call had."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from conformance.calling import from_layout
from conformance.judging import CONFORMS, Accuracy, Problem
from conformance.large.projection import Verifier, array_problem
from conformance.timing.rounds import Bench, Contender, Output

_RESULT = "image"
"""The role of what the timed operators return."""


def verify(bench: Bench, contender: Contender, verifiers: Sequence[Verifier]) -> str:
    """Return ``conforms``, or the requirement that a contender's calls violate, and how.

    ``verifiers`` has one for each of the bench's sets of data, in order. The first output is from
    the warm-up: if that is correct, a later wrong output is due to the timing.
    """
    problem = _behaviour(bench, contender)
    if problem is None:
        for output in contender.outputs:
            problem = problem or _value(contender, output, verifiers)
    return CONFORMS if problem is None else f"{problem.requirement}: {problem.message}"


def _behaviour(bench: Bench, c: Contender) -> Problem | None:
    """Return what a contender's calls did wrong, apart from the values that they returned."""
    if c.raised is not None:
        return Problem("DECLARE-1", f"raised on a valid case: {c.raised}")
    if c.skipped is not None:
        return Problem("DECLARE-7", f"computed the case, and later declined it: {c.skipped}")
    if c.changed is not None:
        return Problem("PURE-1", f"a call changed its input {c.changed}")
    layout = c.implementation.layout
    for output in c.outputs:
        problem = array_problem(bench.case, from_layout(output.value, layout, _RESULT))
        if problem is not None:
            return problem._replace(message=f"{_when(c, output)}: {problem.message}")
        shared = bench.shares(layout, output.value)
        if shared is not None:
            return Problem("PURE-2", f"{_when(c, output)}: the output shares memory with {shared}")
    for first, second in itertools.combinations(c.outputs, 2):
        if np.may_share_memory(first.value, second.value):
            text = (
                f"{_when(c, second)}: the output shares memory with that of an earlier call "
                f"({_when(c, first)})"
            )
            return Problem("PURE-3", text)
    return None


def _value(c: Contender, output: Output, verifiers: Sequence[Verifier]) -> Problem | None:
    """Return what is wrong with the values of one output, and whether they belong to other data."""
    accuracy = Accuracy.of(c.implementation)
    value = from_layout(output.value, c.implementation.layout, _RESULT)
    problem = verifiers[output.data].check(value, accuracy)
    if problem is None:
        return None
    requirement, text, at = problem
    others = [v for data, v in enumerate(verifiers) if data != output.data]
    if any(other.check(value, accuracy) is None for other in others):
        text = "returned the result for the data of another call"
        requirement = "REPEAT-3"
    elif output is not c.outputs[0]:
        text = f"{text} (before the timing, the output was right)"
        requirement = "REPEAT-4"
    return Problem(requirement, f"{_when(c, output)}: {text}", at)


def _when(c: Contender, output: Output) -> str:
    return f"timed call {output.call} of {len(c.seconds)}" if output.call else "before the timing"
