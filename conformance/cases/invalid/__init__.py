"""Invalid calls: a valid case, and one named mistake in its arguments.

Each mutation makes one mistake that a user can make and that a requirement of SPEC.md (REJECT)
says must raise. The call is small and stays so: nothing here asks for much memory or time.

``MUTATIONS`` has them by name, ``apply`` makes the call of a case that has a name in ``invalid``,
``describe`` says in one line what is wrong with it, ``cases`` lists those of the default tier.
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
from conformance.cases.invalid.mistake import Mutation, Parameters
from conformance.errors import CaseError
from conformance.operators.validity import is_valid_call

__all__ = ["MUTATIONS", "Mutation", "applies", "apply", "cases", "describe"]

MUTATIONS: Mapping[str, Mutation] = MappingProxyType(
    {
        mutation.name: mutation
        for module in (parameters, arrays, gradients)
        for mutation in module.mutations()
    }
)
"""Every mutation by name."""


def apply(case: Case, inputs: Inputs, parameters: Parameters) -> tuple[Inputs, dict[str, Any]]:
    """Return the arguments of the invalid call ``case``, made from those of its valid base case.

    ``inputs`` are channels-first; they and ``parameters`` stay as they are. Raises `CaseError` for
    a mutation that is unknown, or that does not apply to this case.
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
    mutation, inputs = _find(case), make_inputs(case)
    changes = mutation.changes(case, inputs, case.parameters)
    if changes is None:
        raise _does_not_apply(case)
    parts = [_written(name, value, inputs[0].dtype) for name, value in changes.items()]
    return f"{', '.join(parts)}: {mutation.summary}"


def cases(operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the invalid calls of the default tier: every mutation, on each of two base cases.

    Each is made once in the first of ``dtypes`` that the operator takes, so that an implementation
    of that dtype alone is handed every mistake; then in the others by turns.
    """
    found: dict[Case, None] = {}
    seen = set()
    for base in bases(operator, dims):
        usable = [case for dtype in dtypes if is_valid_call(case := base.replace(dtype=dtype))]
        made = [(case, make_inputs(case)) for case in usable]
        for turn, (name, mutation) in enumerate(MUTATIONS.items() if made else ()):
            case, inputs = (
                made[1 + turn % (len(made) - 1)] if name in seen and made[1:] else made[0]
            )
            if mutation.changes(case, inputs, case.parameters) is not None:
                found[case.replace(invalid=name)] = None
                seen.add(name)
    return list(found)


def _written(name: str, value: Any, dtype: np.dtype[Any]) -> str:
    if not isinstance(value, np.ndarray):
        return f"{name}={value!r}"
    if value.dtype != dtype:
        return f"{name} of dtype {value.dtype.name}"
    return f"{name} of shape {value.shape}"


def _find(case: Case) -> Mutation:
    if case.invalid in MUTATIONS:
        return MUTATIONS[case.invalid]
    near = difflib.get_close_matches(case.invalid, MUTATIONS, n=4, cutoff=0)
    raise CaseError(
        f"case {case}: invalid={case.invalid!r} is unknown; among the known are {', '.join(near)}"
    )


def _does_not_apply(case: Case) -> CaseError:
    operators = MUTATIONS[case.invalid].operators
    where = (
        "give the base case the axes, channels, groups or bias that it needs"
        if case.operator in operators
        else f"it applies to {', '.join(operators)}"
    )
    return CaseError(f"case {case}: invalid={case.invalid!r} does not apply; {where}")
