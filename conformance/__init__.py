"""convformance: the conformance suite for convolution and pooling.

An implementation is a function, registered in three lines::

    from conformance import implementation

    @implementation("my-conv")
    def conv(x, w, bias, *, stride, padding, dilation, groups): ...

`run` judges implementations on generated and curated cases, `judge` one implementation on one
case. Everything is imported when it is first used, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError, Unsupported
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementation

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.cases.only import only
    from conformance.forms.modules import module
    from conformance.isolation.remote_plugins import library, program
    from conformance.judging import Verdict, judge
    from conformance.known.difference import KnownDifference
    from conformance.models import trace
    from conformance.models.substituted import substituted
    from conformance.running.run import Run, run

__all__ = [
    "Case",
    "ConformanceError",
    "Implementation",
    "KnownDifference",
    "Run",
    "Unsupported",
    "Verdict",
    "implementation",
    "judge",
    "library",
    "module",
    "only",
    "program",
    "run",
    "substituted",
    "trace",
]

_HOMES = {
    "Case": "conformance.case",
    "KnownDifference": "conformance.known.difference",
    "Run": "conformance.running.run",
    "Verdict": "conformance.judging",
    "judge": "conformance.judging",
    "library": "conformance.isolation.remote_plugins",
    "module": "conformance.forms.modules",
    "only": "conformance.cases.only",
    "program": "conformance.isolation.remote_plugins",
    "run": "conformance.running.run",
    "substituted": "conformance.models.substituted",
    "trace": "conformance.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'conformance' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
