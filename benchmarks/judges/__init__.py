"""Weaker judges, set up as their users would: what each of them calls, and how it compares.

A judge answers of one implementation whether it accuses it. What an implementation declines is
passed over, as by convformance; an exception counts as found. Arrays are copied for each call, as
test suites make them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance import Unsupported
from conformance.calling import Array, from_layout, to_layout
from conformance.case import Case
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES

Compare = Callable[[Array, Array], bool]
"""Whether a result of the right type passes for the expected one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call with the result that is expected of it; ``case`` says geometry and parameters."""

    case: Case
    inputs: tuple[Any, ...]
    expected: Array


def call(one: Implementation, case: Case, inputs: Sequence[Any]) -> Any:
    """Return what ``one`` makes of copies of ``inputs``; raise Unsupported where it declines."""
    gap = one.gap(case)
    if gap is not None:
        raise Unsupported(gap)
    signature = SIGNATURES[case.operator]
    copies = tuple(value.copy() if isinstance(value, np.ndarray) else value for value in inputs)
    arrays = to_layout(copies, one.layout, signature.roles)
    output = one.functions[case.operator](*arrays, **case.parameters)
    return from_layout(output, one.layout, signature.result)


@np.errstate(all="ignore")
def accuses(one: Implementation, samples: Iterable[Sample], compare: Compare) -> bool:
    """Whether a result, or an exception, fails the comparison with what is expected."""
    for sample in samples:
        if sample.case.operator not in one.functions:
            continue
        try:
            got = call(one, sample.case, sample.inputs)
            if not compare(np.asarray(got), sample.expected):
                return True
        except (Unsupported, NotImplementedError):
            continue
        except Exception:  # whatever it is, a test would fail with it
            return True
    return False


def known(one: Implementation, samples: Iterable[Sample]) -> bool:
    """Whether some sample is a call that ``one`` claims to compute."""
    return any(
        sample.case.operator in one.functions and one.gap(sample.case) is None for sample in samples
    )
