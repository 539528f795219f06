"""Known differences: failures that are expected, each declared narrowly and with a reason.

docs/known.md shows how they are listed, and what becomes of the failures that an entry covers.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from conformance.case import Case
from conformance.errors import RegistrationError, did_you_mean
from conformance.known import conditions
from conformance.machine import cpu_features, system
from conformance.requirements import requirements

Where: TypeAlias = Mapping[str, Any] | Callable[[Case], bool]

_ENDING = ("PROCESS-", "MEMORY-")
"""The requirements on calls that end their process, or reach the page beside an array."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARISON = re.compile(r"(<=|>=|==|!=|<|>)\s*([0-9]+(?:\.[0-9]+)*)")

_FIELDS: dict[str, Callable[[Case], Iterable[Any]]] = {
    "operator": lambda case: (case.operator,),
    "dims": lambda case: (case.dims,),
    "dtype": lambda case: (case.dtype,),
    "batch": lambda case: case.x[:1],
    "channels": lambda case: case.x[1:2],
    "size": lambda case: case.x[2:],
    "kernel": lambda case: case.window,
    "stride": lambda case: case.stride,
    "padding": lambda case: (end for pair in case.padding for end in pair),
    "output_padding": lambda case: case.output_padding,
    "dilation": lambda case: case.dilation,
    "groups": lambda case: (case.groups,),
    "bias": lambda case: (case.bias,),
    "ceil_mode": lambda case: (case.ceil_mode,),
    "count_include_pad": lambda case: (case.count_include_pad,),
    "data": lambda case: (case.data,),
    "memory": lambda case: (case.memory, case.memory.partition("-")[0]),
    "invalid": lambda case: (case.invalid,),
}
"""The names that ``where`` can have, and the values of a case: one, or one an axis."""


@dataclass(frozen=True, eq=False)
class KnownDifference:
    """One difference that is known: the requirement, the cases it covers, and why."""

    requirement: str
    """The requirement that the report cites."""
    _: KW_ONLY
    case: str
    """The smallest case that shows it, by its id."""
    where: Where = field(default_factory=dict)
    """The cases that it may show in: criteria that must all be met, or a function of a case.

    A criterion is a value, a tuple of values, or a comparison such as ``">1"``; a parameter that
    has several values meets it if one of them does. Names: operator, dims, dtype,
    batch, channels, size, kernel, stride, padding, output_padding, dilation, groups, bias,
    ceil_mode, count_include_pad, data, memory, invalid.
    """
    condition: str | Sequence[str] = ()
    """The name of a condition that must hold as well (`conformance.known.conditions`), or several
    names; ``"not depthwise"`` is the opposite of ``"depthwise"``.
    """
    reason: str
    link: str = ""
    versions: str = ""
    """The versions that have it, such as ``"<2.14"`` or ``">=2.1, <2.14"``; empty for all."""
    machine: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """The machines that have it; empty for all.

    ``cpu`` is a feature that the CPU must have (`conformance.machine.cpu_features`), or must not
    have (``"!avx512_bf16"``), or several of these. ``system`` is the operating system's name, as
    `platform.system` returns it, or several.
    """
    fatal: bool = False
    """Whether the call ends its process, or never returns. Only the smallest case is called; the
    other cases are counted without a call, since each would kill or hang a worker.
    """
    unsteady: bool = False
    """Whether the result differs from call to call, as unwritten memory does. Then different bits
    from the same call (REPEAT-1 to REPEAT-3, REJECT-2) belong to this difference.
    """

    may_end: bool = False
    """Whether some of the calls end their process, or never return, while others do return. All of
    them are made. Without this, and if it is not ``fatal``, an entry covers no call that ends so,
    unless that is what its requirement is about.
    """

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise RegistrationError(f"known difference {self.requirement!r}: {problem}")
        object.__setattr__(self, "condition", _several(self.condition))

    @cached_property
    def parsed(self) -> Case:
        """The smallest case, not validated; raises `CaseError` if ``case`` is no case id."""
        return Case.parse(self.case)

    def holds(self, case: Case) -> bool:
        """Whether ``case`` is one of those that the difference may show in."""
        if not isinstance(self.where, Mapping):
            meets = bool(self.where(case))
        else:
            meets = all(
                any(_meets(value, criterion) for value in _FIELDS[name](case))
                for name, criterion in self.where.items()
            )
        return meets and all(conditions.holds(name, case) for name in self.condition)

    def applies_to(self, version: str) -> bool:
        """Whether the implementation's ``version`` is one that has the difference.

        Only the numbers at the beginning of a version are compared: 2.13.0+cpu is 2.13.
        """
        match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
        return all(
            match is not None and _COMPARISONS[sign](_numbers(match[0]), _numbers(number))
            for sign, number in _COMPARISON.findall(self.versions)
        )

    def applies_here(self) -> bool:
        """Whether this machine is one that has the difference."""
        features = cpu_features()
        return all(
            (name.removeprefix("!") in features) is not name.startswith("!")
            for name in _several(self.machine.get("cpu", ()))
        ) and system() in _several(self.machine.get("system", system()))

    @property
    def is_of_endings(self) -> bool:
        """Whether it covers calls that end their process, or never return."""
        return self.fatal or self.may_end or self.requirement.startswith(_ENDING)

    @property
    def covers(self) -> str:
        """Which cases it may show in, and on which machines, as one line of text."""
        parts = [conditions.text(name) for name in self.condition]
        if not isinstance(self.where, Mapping):
            lines = (self.where.__doc__ or "").strip().splitlines()
            name = getattr(self.where, "__name__", "a function of the case")
            parts.insert(0, lines[0] if lines else name)
        elif self.where:
            terms = (f"{name} {_written(criterion)}" for name, criterion in self.where.items())
            parts.insert(0, ", ".join(terms))
        if self.machine:
            parts.append(_machines(self.machine))
        return "; ".join(parts)

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong with the fields."""
        if not isinstance(self.condition, (str, list, tuple)):
            yield f"condition={self.condition!r}; a name, or several"
        for name in ("requirement", "case", "reason", "link", "versions"):
            if not isinstance(getattr(self, name), str):
                yield f"{name}={getattr(self, name)!r}; a text"
        for name in ("fatal", "unsteady", "may_end"):
            if not isinstance(getattr(self, name), bool):
                yield f"{name}={getattr(self, name)!r}; True or False"
        if self.requirement not in requirements():
            yield "no such requirement; cite one of SPEC.md: 'CONV-5'"
        if not self.reason.strip():
            yield "reason is empty; say why, in a sentence"
        yield from filter(None, map(conditions.complaint, _several(self.condition)))
        is_readable = isinstance(self.where, Mapping) or callable(self.where)
        if not is_readable or not (self.where or self.condition):
            yield (
                f"where={self.where!r}; say which cases, "
                'such as {"operator": "conv", "groups": ">1"}, or with a function of a case'
            )
        for name, criterion in self.where.items() if isinstance(self.where, Mapping) else ():
            if name not in _FIELDS:
                hint = did_you_mean(name, _FIELDS)
                yield f"where has no {name!r}; {hint}known are {', '.join(_FIELDS)}"
            alternatives = criterion if isinstance(criterion, (tuple, list)) else [criterion]
            if not all(map(_is_criterion, alternatives)):
                yield f"where {name}={criterion!r}; a value, several, or a comparison like '>1'"
        if _COMPARISON.sub("", self.versions).replace(",", "").strip():
            yield f"versions={self.versions!r}; write comparisons: '>=2.1, <2.14'"
        if not isinstance(self.machine, Mapping):
            yield (
                f"machine={self.machine!r}; say which, such as "
                '{"cpu": "avx512_bf16", "system": "Linux"}'
            )
        for name, criterion in self.machine.items():
            if name not in _MACHINE:
                hint = did_you_mean(name, _MACHINE)
                yield f"machine has no {name!r}; {hint}known are {', '.join(_MACHINE)}"
            pattern, example = _MACHINE[name]
            values = _several(criterion) if isinstance(criterion, (str, list, tuple)) else ()
            if not values or not all(isinstance(v, str) and pattern.fullmatch(v) for v in values):
                yield f"machine {name}={criterion!r}; {example}"


def _is_criterion(value: object) -> bool:
    """Whether a criterion of ``where`` is a value, or a comparison that can be read."""
    if isinstance(value, str):
        return not value.startswith(tuple("<>=!")) or _COMPARISON.fullmatch(value) is not None
    return isinstance(value, int)


_MACHINE = {
    "cpu": (
        re.compile(r"!?[a-z0-9_.-]+"),
        "a feature in small letters, '!' before it where it must not be there, or several",
    ),
    "system": (re.compile(r"[A-Za-z]+"), "an operating system, such as Linux, or several"),
}
"""The names that ``machine`` can have: the pattern of a value, and how an error describes it."""


def _machines(machine: Mapping[str, str | Sequence[str]]) -> str:
    """Return which machines are meant, as part of a sentence."""
    parts = [
        f"on CPUs without {name[1:]}" if name.startswith("!") else f"on CPUs with {name}"
        for name in _several(machine.get("cpu", ()))
    ]
    systems = _several(machine.get("system", ()))
    return ", ".join((*parts, *((f"on {' or '.join(systems)}",) if systems else ())))


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _meets(value: Any, criterion: Any) -> bool:
    if isinstance(criterion, (tuple, list)):
        return any(_meets(value, alternative) for alternative in criterion)
    if isinstance(criterion, str) and (match := _COMPARISON.fullmatch(criterion)):
        return isinstance(value, int) and _COMPARISONS[match[1]](value, int(float(match[2])))
    return bool(value == criterion)


def _written(criterion: Any) -> str:
    if isinstance(criterion, (tuple, list)):
        return " or ".join(map(_written, criterion))
    return str(criterion).lower() if isinstance(criterion, bool) else str(criterion)


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, zeros at the end left out: 2.0 equals 2."""
    parts = [int(part) for part in version.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
