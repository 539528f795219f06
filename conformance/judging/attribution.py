"""The requirement behind a wrong value: which one a shrunk case points at."""

from __future__ import annotations

from conformance.case import Case
from conformance.operators import OPERATORS
from conformance.requirements import PARAMETER_REQUIREMENTS

_LAYOUT_REQUIREMENTS = {
    "fortran": "LAYOUT-1",
    "strided": "LAYOUT-2",
    "offset": "LAYOUT-2",
    "reversed": "LAYOUT-3",
    "broadcast": "LAYOUT-4",
    "unaligned": "LAYOUT-5",
    "readonly": "LAYOUT-6",
    "byteswapped": "LAYOUT-7",
}


_SPECIAL_REQUIREMENTS = {
    "nan": "SPECIAL-1",
    "inf": "SPECIAL-3",
    "zeros": "SPECIAL-6",
    "subnormal": "SPECIAL-7",
    "huge": "SPECIAL-2",
}


_MAX_POOL_REQUIREMENTS = {"nan": "MAXPOOL-5", "inf": "MAXPOOL-11", "zeros": "MAXPOOL-10"}


def attribute(case: Case) -> str:
    """Return the requirement behind a wrong value in ``case``.

    A shrunk case keeps a parameter only while the violation needs it: where exactly one is left
    that is not its default, the violation is about that parameter.
    """
    defaults = Case(operator=case.operator, x=case.x, w=case.w, kernel=case.kernel)
    requirements = PARAMETER_REQUIREMENTS[case.operator]
    if case.memory != "contiguous":
        return _LAYOUT_REQUIREMENTS[case.memory.partition("-")[0]]
    if case.data in _SPECIAL_REQUIREMENTS:
        special = _MAX_POOL_REQUIREMENTS if case.operator == "max_pool" else {}
        return special.get(case.data, _SPECIAL_REQUIREMENTS[case.data])
    left = [
        name
        for name in (*OPERATORS[case.operator].parameters, "bias")
        if name != "kernel" and getattr(case, name) != getattr(defaults, name)
    ]
    if not left and len(set(case.window)) > 1:
        return requirements["kernel"]
    return requirements[left[0]] if len(left) == 1 else requirements["value"]
