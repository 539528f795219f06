"""The requirement behind a wrong value: which one a shrunk case points at."""

from __future__ import annotations

from conformance.case import Case
from conformance.cases.invalid import MISTAKES
from conformance.operators import OPERATORS

_MAXIMA = ("MAXPOOL-1", "MAXPOOL-3", "MAXPOOL-4")
WRONG_RESULT = ("RESULT-1", "RESULT-2", "RESULT-3", *_MAXIMA, "INTEGER-1", "INTEGER-2")
"""Requirements that say that a result is wrong, whatever makes it so."""

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


def non_default_parameters(case: Case) -> tuple[str, ...]:
    """Return the parameters of a case, bias included, that are not at their defaults."""
    names, defaults = (*OPERATORS[case.operator].parameters, "bias"), case.plain()
    return tuple(name for name in names if getattr(case, name) != getattr(defaults, name))


def attribute(case: Case) -> str:
    """Return the requirement behind a wrong value in ``case``.

    A shrunk case keeps a parameter only if the violation needs it. If exactly one parameter is not
    at its default, the violation is about that parameter.
    """
    requirements = OPERATORS[case.operator].requirements
    if case.memory != "contiguous":
        return _LAYOUT_REQUIREMENTS[case.memory.partition("-")[0]]
    if case.data in _SPECIAL_REQUIREMENTS:
        special = _MAX_POOL_REQUIREMENTS if case.operator == "max_pool" else {}
        return special.get(case.data, _SPECIAL_REQUIREMENTS[case.data])
    left = non_default_parameters(case)
    if not left and len(set(case.window)) > 1:
        return requirements["kernel"]
    return requirements[left[0]] if len(left) == 1 else requirements["value"]


def citable(requirement: str, case: Case) -> frozenset[str]:
    """Return the requirements that a failure of ``case`` may be cited under after shrinking.

    ``requirement`` is the judge's. A wrong result may be due to any parameter that is not at its
    default, to the data, or to the memory layout. What is wrong on exact data is wrong on other
    data, too. A convention that is not followed (DECLARE-5) may be cited as the requirement that
    defines the convention.
    """
    cited = {requirement}
    if requirement == "RESULT-1":
        cited.add("RESULT-2")
    if requirement == "DECLARE-5":
        cited.add(MISTAKES[case.invalid].requirement if case.invalid else attribute(case))
    if requirement in _MAXIMA:  # the data decides which of them it is
        cited |= {*_MAXIMA}
    marked = case.memory != "contiguous" or case.data in _SPECIAL_REQUIREMENTS
    if requirement not in WRONG_RESULT and not (marked and requirement == "DECLARE-1"):
        return frozenset(cited)
    requirements = OPERATORS[case.operator].requirements
    names = (*non_default_parameters(case), "kernel", "value")
    cited |= {requirements[name] for name in names if name in requirements}
    for plainer in (case, case.replace(memory="contiguous")):
        if plainer.memory != "contiguous" or plainer.data in _SPECIAL_REQUIREMENTS:
            cited.add(attribute(plainer))
    return frozenset(cited)
