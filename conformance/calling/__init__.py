"""Calling an implementation: what runs next to it, and needs nothing but NumPy."""

from conformance.calling.history import Answer, Call, perform
from conformance.calling.observing import (
    Array,
    Inputs,
    Observation,
    from_layout,
    observe,
    one_line,
    to_layout,
)

__all__ = [
    "Answer",
    "Array",
    "Call",
    "Inputs",
    "Observation",
    "from_layout",
    "observe",
    "one_line",
    "perform",
    "to_layout",
]
