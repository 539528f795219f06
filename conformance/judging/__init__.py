"""Judging: what was observed of a call against the exact result and its bound."""

from conformance.judging.accuracy import Accuracy
from conformance.judging.attribution import attribute
from conformance.judging.prepared import Prepared
from conformance.judging.verdicts import (
    Verdict,
    judge,
    judge_each,
    judge_prepared,
    judge_seen,
    verdict,
)
from conformance.runfile.words import CONFORMS, CRASHED, TIMED_OUT, UNSUPPORTED, VIOLATES

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
