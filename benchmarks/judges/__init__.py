"""Weaker judges, set up as their users would: what each of them calls, and how it compares.

A judge says whether it accuses an implementation. Calls that the implementation declines are passed
over, as in convformance; an exception counts as an accusation. Arrays are copied for each call,
since test suites make new ones for each test.
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
    """One call and its expected result; ``case`` has the geometry and the parameters."""

    case: Case
    inputs: tuple[Any, ...]
    expected: Array


def call(implementation: Implementation, case: Case, inputs: Sequence[Any]) -> Any:
    """Call the implementation with copies of ``inputs``; raise Unsupported where it declines."""
    gap = implementation.gap(case)
    if gap is not None:
        raise Unsupported(gap)
    signature = SIGNATURES[case.operator]
    copies = tuple(value.copy() if isinstance(value, np.ndarray) else value for value in inputs)
    arrays = to_layout(copies, implementation.layout, signature.roles)
    output = implementation.functions[case.operator](*arrays, **case.parameters)
    return from_layout(output, implementation.layout, signature.result)


@np.errstate(all="ignore")
def accuses(implementation: Implementation, samples: Iterable[Sample], compare: Compare) -> bool:
    """Whether a result, or an exception, fails the comparison with what is expected."""
    for sample in samples:
        if sample.case.operator not in implementation.functions:
            continue
        try:
            got = call(implementation, sample.case, sample.inputs)
            if not compare(np.asarray(got), sample.expected):
                return True
        except (Unsupported, NotImplementedError):
            continue
        except Exception:  # a test would fail with any exception
            return True
    return False


def known(implementation: Implementation, samples: Iterable[Sample]) -> bool:
    """Whether some sample is a call that the implementation claims to compute."""
    return any(
        sample.case.operator in implementation.functions and implementation.gap(sample.case) is None
        for sample in samples
    )
