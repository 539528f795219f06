"""Calling an implementation: what runs next to it, and needs nothing but NumPy."""

from conformance.calling.observing import (
    Array,
    Inputs,
    Observation,
    from_layout,
    observe,
    one_line,
    to_layout,
)

__all__ = ["Array", "Inputs", "Observation", "from_layout", "observe", "one_line", "to_layout"]
