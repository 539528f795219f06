"""Judging: what was observed of a call against the exact result and its bound."""

from conformance.judging.accuracy import Accuracy
from conformance.judging.attribution import attribute
from conformance.judging.prepared import Prepared
from conformance.judging.verdicts import (
    CONFORMS,
    CRASHED,
    TIMED_OUT,
    UNSUPPORTED,
    VIOLATES,
    Verdict,
    judge,
    judge_each,
    judge_prepared,
    judge_seen,
    verdict,
)

__all__ = [
    "CONFORMS",
    "CRASHED",
    "TIMED_OUT",
    "UNSUPPORTED",
    "VIOLATES",
    "Accuracy",
    "Prepared",
    "Verdict",
    "attribute",
    "judge",
    "judge_each",
    "judge_prepared",
    "judge_seen",
    "verdict",
]
