"""The requirement behind a wrong value: which one a shrunk case points at."""

from __future__ import annotations

from conformance.case import EVERY, Case
from conformance.cases.invalid import MISTAKES
from conformance.operators import OPERATORS

_MAXIMA = ("MAXPOOL-1", "MAXPOOL-3", "MAXPOOL-4")
OF_WHOLE_RESULTS = ("RESULT-6", "RESULT-7")
"""Requirements on all errors of a result together."""
WRONG_RESULT = (
    *("RESULT-1", "RESULT-2", "RESULT-3", *OF_WHOLE_RESULTS),
    *(*_MAXIMA, "INTEGER-1", "INTEGER-2"),
)
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
    "channels_last": "LAYOUT-8",
    "cropped": "LAYOUT-9",
    "cropped_channels": "LAYOUT-9",
    "cropped_rows": "LAYOUT-9",
    "cropped_columns": "LAYOUT-9",
    "channels_last_cropped": "LAYOUT-10",
    "flipped": "LAYOUT-3",
    "flipped_channels": "LAYOUT-3",
    "expanded_batch": "LAYOUT-11",
    "expanded_channels": "LAYOUT-11",
    "exchanged": "LAYOUT-12",
    "spatial_first": "LAYOUT-13",
    "singletons": "LAYOUT-14",
    "shared": "LAYOUT-15",
}
_SPECIAL_REQUIREMENTS = {
    "nan": ("SPECIAL-1", "SPECIAL-2", "SPECIAL-4"),
    "inf": ("SPECIAL-3", "SPECIAL-2", "SPECIAL-4"),
    "zeros": ("SPECIAL-6",),
    "subnormal": ("SPECIAL-7",),
    "huge": ("SPECIAL-2",),
    EVERY: ("SPECIAL-1", "SPECIAL-3", "SPECIAL-7"),
}
_MAX_POOL_REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "nan": ("MAXPOOL-5",),
    "inf": ("MAXPOOL-11",),
    "zeros": ("MAXPOOL-10",),
    EVERY: ("MAXPOOL-5", "MAXPOOL-11", "SPECIAL-7"),
}


def non_default_parameters(case: Case) -> tuple[str, ...]:
    """Return the parameters of a case, bias included, that are not at their defaults."""
    names, defaults = (*OPERATORS[case.operator].parameters, "bias"), case.plain()
    return tuple(name for name in names if getattr(case, name) != getattr(defaults, name))


_ONLY_WITH = {
    "count_include_pad": {"padding", "ceil_mode"},
    "output_padding": {"stride", "dilation"},
}
"""Parameters that say something only where one of others is not at its default."""


def deciding_parameters(case: Case) -> tuple[str, ...]:
    """Return the parameters that are not at their defaults, without those that others need.

    Excluding the padding from an average needs a padding: such a case is about the former.
    """
    names = non_default_parameters(case)
    needed = set().union(*(_ONLY_WITH.get(name, ()) for name in names))
    return tuple(name for name in names if name not in needed)


def layout_requirement(case: Case) -> str:
    """Return the requirement about the memory layout of a case, which is not contiguous."""
    return _LAYOUT_REQUIREMENTS[case.memory.partition("-")[0]]


def special_requirements(case: Case) -> tuple[str, ...]:
    """Return the requirements about the special values of a case, the first about what is due."""
    special = _SPECIAL_REQUIREMENTS
    if case.operator == "max_pool":
        special = special | _MAX_POOL_REQUIREMENTS
    return special.get(case.data, ())


def parameter_requirement(case: Case) -> str | None:
    """Return the requirement about the one parameter of a shrunk case, None if it has not one.

    A shrunk case keeps a parameter only if the violation needs it. If exactly one parameter is not
    at its default, the violation is about that parameter. If none is, it may be about a window of
    different sizes.
    """
    requirements, left = OPERATORS[case.operator].requirements, deciding_parameters(case)
    if not left and len(set(case.window)) > 1:
        return requirements["kernel"]
    return requirements[left[0]] if len(left) == 1 else None


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
    if requirement in OF_WHOLE_RESULTS:  # other data shows the same arithmetic in one element
        cited |= {"RESULT-1", "RESULT-2"}
    if requirement == "PROCESS-1":
        cited |= {"MEMORY-1", "MEMORY-2", "LAYOUT-2"}  # the page beside an array ended the process
    if requirement == "DECLARE-5":
        cited |= {MISTAKES[case.invalid].requirement} if case.invalid else _marked(case)
    if requirement in _MAXIMA:  # the data decides which of them it is
        cited |= {*_MAXIMA}
    marked = _marked(case)
    if requirement not in WRONG_RESULT and not (marked and requirement == "DECLARE-1"):
        return frozenset(cited)
    if case.operator == "max_pool_grad" and case.data in ("nan", "inf", "subnormal", EVERY):
        cited.add("GRAD-14")  # other rules for ties are not tried on such gradients
    requirements = OPERATORS[case.operator].requirements
    names = (*non_default_parameters(case), "kernel", "value")
    return frozenset(cited | marked | {requirements[n] for n in names if n in requirements})


def _marked(case: Case) -> set[str]:
    """Return the requirements about the memory layout and the special values of a case."""
    layout = {layout_requirement(case)} if case.memory != "contiguous" else set()
    return layout | {*special_requirements(case)}
