"""Invalid calls: a valid case, and one named mistake in its arguments.

Each mistake is one that a user can make, and for which a requirement of SPEC.md (REJECT) says that
the call must raise. ``MISTAKES`` has the mistakes by name, ``apply`` makes the invalid call of a
case that names one, ``describe`` says in one line what is wrong with it, and ``cases`` lists the
default tier's, which need little memory and time.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from conformance.calling import Inputs
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.invalid import arrays, gradients, parameters
from conformance.cases.invalid.bases import bases
from conformance.cases.invalid.mistake import Mistake, Parameters
from conformance.errors import CaseError, did_you_mean
from conformance.operators.validity import is_valid_call

__all__ = ["MISTAKES", "Mistake", "applies", "apply", "cases", "describe"]

MISTAKES: Mapping[str, Mistake] = MappingProxyType(
    {
        mistake.name: mistake
        for module in (parameters, arrays, gradients)
        for mistake in module.mistakes()
    }
)
"""Every mistake by name."""


def apply(case: Case, inputs: Inputs, parameters: Parameters) -> tuple[Inputs, dict[str, Any]]:
    """Return the arguments of the invalid call ``case``, made from those of its valid base case.

    ``inputs`` are channels-first; nothing given is changed. Raises `CaseError` for a mistake that
    is unknown, or that does not apply to this case.
    """
    changed = _find(case).apply(case, inputs, parameters)
    if changed is None:
        raise _does_not_apply(case)
    return changed


def applies(case: Case) -> bool:
    """Whether the mistake ``case.invalid`` can be made in this case; `CaseError` if unknown."""
    return _find(case).changes(case, make_inputs(case), case.parameters) is not None


def describe(case: Case) -> str:
    """Return one line that says what is invalid: ``stride=(0, 1): stride below 1``.

    Arrays are described channels-first. Raises `CaseError` as `apply` does.
    """
    mistake, inputs = _find(case), make_inputs(case)
    changes = mistake.changes(case, inputs, case.parameters)
    if changes is None:
        raise _does_not_apply(case)
    parts = [_written(name, value, inputs[0].dtype) for name, value in changes.items()]
    return f"{', '.join(parts)}: {mistake.summary}"


def cases(operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the invalid calls of the default tier: every mistake, on each of two base cases.

    Each is made in the first of ``dtypes`` that the operator takes. For one of the bases the other
    dtypes take turns.
    """
    calls: dict[Case, None] = {}
    for number, base in enumerate(bases(operator, dims)):
        usable = [case for dtype in dtypes if is_valid_call(case := base.replace(dtype=dtype))]
        prepared = [(case, make_inputs(case)) for case in usable]
        for turn, (name, mistake) in enumerate(MISTAKES.items() if prepared else ()):
            others = prepared[1:] if turn % 2 == number else ()
            further = [others[turn // 2 % len(others)]] if others else []
            for case, inputs in (prepared[0], *further):
                if mistake.changes(case, inputs, case.parameters) is not None:
                    calls[case.replace(invalid=name)] = None
    return list(calls)


def _written(name: str, value: Any, dtype: np.dtype[Any]) -> str:
    if not isinstance(value, np.ndarray):
        return f"{name}={value!r}"
    if value.dtype != dtype:
        return f"{name} of dtype {value.dtype.name}"
    return f"{name} of shape {value.shape}"


def _find(case: Case) -> Mistake:
    if case.invalid in MISTAKES:
        return MISTAKES[case.invalid]
    near = difflib.get_close_matches(case.invalid, MISTAKES, n=4, cutoff=0)
    hint = did_you_mean(case.invalid, MISTAKES)
    raise CaseError(
        f"case {case}: invalid={case.invalid!r} is unknown; {hint}"
        f"among the known are {', '.join(near)}"
    )


def _does_not_apply(case: Case) -> CaseError:
    operators = MISTAKES[case.invalid].operators
    where = (
        "give the base case the axes, channels, groups or bias that it needs"
        if case.operator in operators
        else f"it applies to {', '.join(operators)}"
    )
    return CaseError(f"case {case}: invalid={case.invalid!r} does not apply; {where}")
