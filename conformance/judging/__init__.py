"""Judging: the observation of a call is compared with the exact result and its bound.

Other packages import the names below from here; all other names are imported from their modules.
"""

from conformance.judging.bound import Accuracy
from conformance.judging.judges import (
    judge,
    judge_each,
    judge_observation,
    judge_prepared,
    judge_seen,
)
from conformance.judging.prepared import Late, Prepared
from conformance.judging.verdict import (
    DECLINED,
    HISTORY_OF_RELATIONS,
    PROCESS,
    RAISED,
    THREADS,
    Problem,
    Verdict,
)
from conformance.runfile.words import CONFORMS, CRASHED, UNSUPPORTED, VIOLATES

__all__ = [
    "CONFORMS",
    "CRASHED",
    "DECLINED",
    "HISTORY_OF_RELATIONS",
    "PROCESS",
    "RAISED",
    "THREADS",
    "UNSUPPORTED",
    "VIOLATES",
    "Accuracy",
    "Late",
    "Prepared",
    "Problem",
    "Verdict",
    "judge",
    "judge_each",
    "judge_observation",
    "judge_prepared",
    "judge_seen",
]
