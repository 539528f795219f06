"""What a failing case has that its failure may need, so that failures of several causes differ."""

from __future__ import annotations

from conformance.case import Case
from conformance.running.citing import deviations


def needs_of(case: Case) -> frozenset[str]:
    """Return the names of what a case has besides the plainest shapes and parameters.

    A smallest case has only what its failure needs. A failure of a case that lacks one of these
    must have another cause: a kernel that is wrong for several channels explains nothing that
    fails with one.
    """
    names = {*deviations(case)}
    if case.invalid:  # the mistake is what matters
        return frozenset(names)
    n, channels = case.x[:2]
    inner = outer = 1
    if case.w is None:
        inner = channels
    elif case.operator == "conv_transpose":
        inner, outer = case.w[0] // case.groups, case.w[1]
    else:
        inner, outer = case.w[1], case.w[0] // case.groups
    named = {
        "an empty batch": n == 0,
        "several samples": n > 1,
        "several channels": inner > 1,
        "several output channels": outer > 1,
        "a window of several elements": max(case.window, default=1) > 1,
    }
    return frozenset({*names, *(name for name, holds in named.items() if holds)})


def needs_of_kind(case: Case, kind: str) -> frozenset[str]:
    """Return what a failure of this kind (`conformance.running.again.kind_of`) may need.

    Where an invalid call leaves the process changed, others do so as well, whatever the mistake.
    """
    mistaken = case.invalid and kind.startswith("PROCESS-6")
    return frozenset({"an invalid call"}) if mistaken else needs_of(case)
