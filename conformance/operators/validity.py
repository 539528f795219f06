"""Whether a call is valid: rules for every operator come first, then the operator's own."""

from __future__ import annotations

import math
from dataclasses import fields

from conformance.case import ALL_RECIPES, EVERY, MEASURED, MEMORY_LAYOUTS, Case
from conformance.dtypes import INTEGERS
from conformance.errors import CaseError, did_you_mean
from conformance.operators import OPERATORS
from conformance.signatures import SIGNATURES


def validate_call(case: Case) -> None:
    """Raise `CaseError`, naming the field, unless ``case`` is a valid call of its operator.

    A mistake that ``case.invalid`` names is ignored: the call without the mistake is checked.
    """
    if case.operator not in OPERATORS:
        raise _error(case, "operator", f"one of {', '.join(OPERATORS)}")
    _check_fields(case)
    operator = OPERATORS[case.operator]
    operator.validate(case)
    if case.data == EVERY and operator.compared != 0 and (operator.terms(case) > 1 or case.bias):
        raise _error(case, "data", "every where each result is one element, or one product")


def is_valid_call(case: Case) -> bool:
    """Whether `validate_call` accepts ``case``."""
    try:
        validate_call(case)
    except CaseError:
        return False
    return True


def _check_fields(case: Case) -> None:
    """Check the rules for every operator: types, lengths, names and signs."""
    dims = case.dims
    if not _is_shape(case.x) or dims not in (1, 2, 3):
        raise _error(case, "x", "(N, C, *S) with one to three spatial axes")
    signature = SIGNATURES[case.operator]
    if case.dtype not in signature.dtypes:
        raise _error(case, "dtype", f"one of {', '.join(signature.dtypes)}")
    if case.dtype in INTEGERS and case.data not in ("integers", EVERY):
        raise _error(case, "data", f"integers or every, for the dtype {case.dtype}")
    if case.data not in ALL_RECIPES:
        raise _error(case, "data", f"one of {', '.join(ALL_RECIPES)}")
    if case.data == MEASURED:
        _check_ranges(case)
    layout, _, argument = case.memory.partition("-")
    arrays = ("x", "w", "bias", "grad")
    known = layout in MEMORY_LAYOUTS and not (layout == "shared" and argument)
    if not known or case.memory.endswith("-") or argument not in ("", *arrays):
        hint = "" if layout in MEMORY_LAYOUTS else did_you_mean(layout, MEMORY_LAYOUTS)
        layouts = ", ".join(MEMORY_LAYOUTS)
        raise _error(case, "memory", f"one of {layouts}, or one of an array: reversed-w", hint)
    if not _is_int(case.seed) or case.seed < 0:
        raise _error(case, "seed", "a whole number, 0 or more")
    for name in ("bias", "ceil_mode", "count_include_pad"):
        if not isinstance(getattr(case, name), bool):
            raise _error(case, name, "true or false")
    for name in ("stride", "dilation"):
        value = getattr(case, name)
        if not _is_shape(value) or len(value) != dims or min(value) < 1:
            raise _error(case, name, f"{dims} whole numbers, 1 or more, one a spatial axis")
    if not _is_shape(case.output_padding) or len(case.output_padding) != dims:
        raise _error(case, "output_padding", f"{dims} whole numbers, one a spatial axis")
    if not _is_int(case.groups) or case.groups < 1:
        raise _error(case, "groups", "a whole number, 1 or more")
    padding = case.padding
    if not (
        isinstance(padding, tuple)
        and len(padding) == dims
        and all(_is_shape(pair) and len(pair) == 2 and min(pair) >= 0 for pair in padding)
    ):
        raise _error(case, "padding", f"{dims} pairs (before, after) of whole numbers, 0 or more")
    if case.x[0] < 0 or min(case.x[1:]) < 1:
        raise _error(case, "x", "axes of 1 or more; only the batch may be 0")
    given = ("w" if name == "weight_shape" else name for name in signature.arguments)
    allowed = {*_EVERYWHERE, *signature.parameters, *given}
    defaults = Case(operator=case.operator, x=case.x)
    for name in (field.name for field in fields(case)):
        if name not in allowed and getattr(case, name) != getattr(defaults, name):
            raise _error(case, name, f"left out: {case.operator} has no such parameter")


_EVERYWHERE = ("operator", "x", "dtype", "data", "seed", "memory", "invalid", "ranges")


def _check_ranges(case: Case) -> None:
    arrays = [name for name in SIGNATURES[case.operator].arrays if name != "bias" or case.bias]
    ordered = all(
        len(one) == 3 and all(map(math.isfinite, one)) and one[0] <= one[1] and one[2] >= 0
        for one in case.ranges
    )
    if len(case.ranges) < len(arrays) or not ordered:
        allowed = f"least/greatest/root of the mean square, for each of {', '.join(arrays)}"
        raise _error(case, "ranges", f"{allowed}, where the data is measured")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_int, value))


def _error(case: Case, field: str, allowed: str, hint: str = "") -> CaseError:
    given = f"{field}={getattr(case, field)!r}"
    return CaseError(f"case {case.operator}: {given}; {hint}allowed: {allowed}")
