"""Calling an implementation: what runs next to it, and needs nothing but NumPy."""

from conformance.calling.caller import Caller, HistoryEnded, InProcess, Request
from conformance.calling.history import Answer, Call, perform
from conformance.calling.observing import (
    CRASH,
    ENDINGS,
    HANG,
    MEMORY,
    Array,
    CallEnded,
    Foreign,
    Inputs,
    Observation,
    RaisedElsewhere,
    from_layout,
    observe,
    one_line,
    to_layout,
)

__all__ = [
    "CRASH",
    "ENDINGS",
    "HANG",
    "MEMORY",
    "Answer",
    "Array",
    "Call",
    "CallEnded",
    "Caller",
    "Foreign",
    "HistoryEnded",
    "InProcess",
    "Inputs",
    "Observation",
    "RaisedElsewhere",
    "Request",
    "from_layout",
    "observe",
    "one_line",
    "perform",
    "to_layout",
]
