"""What the lists of known differences share: entries for invalid calls, and conditions on a case.

An engine's own list is in its file, or in one named after it.
"""

from __future__ import annotations

from typing import Any

from conformance import KnownDifference
from conformance.case import Case


def invalid(
    requirement: str,
    case: str,
    mistakes: str,
    reason: str,
    *,
    versions: str,
    fatal: bool = False,
    **where: Any,
) -> KnownDifference:
    """Return the entry for invalid calls of the operator of ``case``.

    ``mistakes`` are the names of the calls that it covers (`conformance.cases.invalid`), with
    blanks between them; one with a star stands for a mistake in any axis.
    ``where`` narrows it further.
    """
    names = tuple(name for mistake in mistakes.split() for name in _in_any_axis(mistake))
    covered = {"operator": Case.parse(case).operator, "invalid": names, **where}
    return KnownDifference(
        requirement, case=case, where=covered, reason=reason, versions=versions, fatal=fatal
    )


def _in_any_axis(mistake: str) -> tuple[str, ...]:
    name = mistake.removesuffix("*")
    if name == mistake:
        return (name,)
    return name, f"{name}-last", f"{name}-{'both' if name.startswith('padding') else 'all'}"


def has_window_of_padding_alone(case: Case) -> bool:
    """Whether a window of a pool reads nothing but padding, on some axis."""
    return any(
        all(not 0 <= start + k * d < size for k in range(kernel))
        for size, kernel, step, d, (before, after) in _axes(case)
        for start in range(-before, size + after - d * (kernel - 1), step)
    )


def has_axis_of_padding_alone(case: Case) -> bool:
    """Whether no window reads the input, on some axis."""
    return any(
        all(
            not 0 <= start + k * d < size
            for start in range(-before, size + after - d * (kernel - 1), step)
            for k in range(kernel)
        )
        for size, kernel, step, d, (before, after) in _axes(case)
    )


def has_window_beyond_the_input(case: Case) -> bool:
    """Whether rounding the output of a pool up adds a window that starts beyond the input."""
    return case.ceil_mode and any(
        -(-(before + size + after - d * (kernel - 1) - 1) // step) * step >= before + size
        for size, kernel, step, d, (before, after) in _axes(case)
    )


def has_window_beyond_the_padding(case: Case) -> bool:
    """Whether rounding the output of a pool up adds a window that reaches beyond the padding."""
    return case.ceil_mode and any(
        (before + size + after - d * (kernel - 1) - 1) % step
        for size, kernel, step, d, (before, after) in _axes(case)
    )


def _axes(case: Case) -> list[tuple[int, int, int, int, tuple[int, int]]]:
    """Return size, kernel, stride, dilation and padding of each spatial axis."""
    parameters = (case.window, case.stride, case.dilation, case.padding)
    return list(zip(case.x[2:], *parameters, strict=True))
