"""Verifying the outputs of timed calls, after the timing, on the data that each call was given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from conformance.calling import from_layout
from conformance.judging import CONFORMS, Accuracy, Problem
from conformance.large.projection import Verifier, array_problem
from conformance.timing.rounds import Bench, Contender, Kept

_RESULT = "image"
"""The role of what the timed operators return."""


def verify(bench: Bench, contender: Contender, verifiers: Sequence[Verifier]) -> str:
    """Return ``conforms``, or the requirement that a contender's calls violate, and how.

    ``verifiers`` are those of the bench's sets of data, in their order. The first output that was
    kept is the warm-up's: where it is right and a timed one is wrong, the timing made it so.
    """
    problem = _behaviour(bench, contender)
    if problem is None:
        for kept in contender.kept:
            problem = problem or _value(contender, kept, verifiers)
    return CONFORMS if problem is None else f"{problem.requirement}: {problem.message}"


def _behaviour(bench: Bench, c: Contender) -> Problem | None:
    """Say what a contender's calls did wrong, apart from the values that they returned."""
    if c.raised is not None:
        return Problem("DECLARE-1", f"raised on a valid case: {c.raised}")
    if c.skipped is not None:
        return Problem("DECLARE-7", f"computed the case, and later declined it: {c.skipped}")
    if c.changed is not None:
        return Problem("PURE-1", f"a call changed its input {c.changed}")
    layout = c.implementation.layout
    for kept in c.kept:
        problem = array_problem(bench.case, from_layout(kept.output, layout, _RESULT))
        if problem is not None:
            return problem._replace(message=f"{_when(c, kept)}: {problem.message}")
        shared = bench.shares(layout, kept.output)
        if shared is not None:
            return Problem("PURE-2", f"{_when(c, kept)}: the output shares memory with {shared}")
    for first, second in itertools.combinations(c.kept, 2):
        if np.may_share_memory(first.output, second.output):
            text = (
                f"{_when(c, second)}: the output shares memory with that of an earlier call "
                f"({_when(c, first)})"
            )
            return Problem("PURE-3", text)
    return None


def _value(c: Contender, kept: Kept, verifiers: Sequence[Verifier]) -> Problem | None:
    """Say what is wrong with the values of one output, and whether they belong to other data."""
    accuracy = Accuracy.of(c.implementation)
    output = from_layout(kept.output, c.implementation.layout, _RESULT)
    problem = verifiers[kept.data].check(output, accuracy)
    if problem is None:
        return None
    requirement, text, at = problem
    others = [v for data, v in enumerate(verifiers) if data != kept.data]
    if any(other.check(output, accuracy) is None for other in others):
        text = "returned the result for the data of another call"
        requirement = "REPEAT-3"
    elif kept is not c.kept[0]:
        text = f"{text} (before the timing, the output was right)"
        requirement = "REPEAT-4"
    return Problem(requirement, f"{_when(c, kept)}: {text}", at)


def _when(c: Contender, kept: Kept) -> str:
    return f"timed call {kept.call} of {len(c.seconds)}" if kept.call else "before the timing"
