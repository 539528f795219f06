"""Valid cases: a call that its operator accepts, or such a call with a mistake that applies."""

from __future__ import annotations

from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.limits import check_size
from conformance.errors import CaseError
from conformance.operators.validity import validate_call


def validate(case: Case) -> None:
    """Raise `CaseError`, naming the field, if ``case`` is not a valid case, or is too large."""
    validate_call(case)
    check_size(case)
    if case.invalid and not invalid.applies(case):
        raise CaseError(
            f"case {case.operator}: invalid={case.invalid!r}; allowed: the name of a mistake that "
            f"can be made in this call"
        )


def is_valid(case: Case) -> bool:
    """Whether `validate` accepts ``case``."""
    try:
        validate(case)
    except CaseError:
        return False
    return True


def parse_valid(text: str) -> Case:
    """Return the case whose id is ``text``; raise `CaseError` unless it is that of a valid case."""
    case = Case.parse(text)
    validate(case)
    return case
