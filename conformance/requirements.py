"""The normative requirements of SPEC.md, read from it, and the checks that they are grouped by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from conformance.errors import ConformanceError, did_you_mean
from conformance.runfile.words import CRASHED, TIMED_OUT

_HEADING = re.compile(
    r"### (?P<id>[A-Z]+-[1-9][0-9]*): (?P<title>.+) "
    r"\((?:MUST|convention `(?P<convention>[a-z_]+)`: (?P<alternatives>.+))\)"
)
_ALTERNATIVE = re.compile(r"`([a-z_]+)`( \(default\))?")
_INFORMATIVE = re.compile(r"^\*(?:Rationale|Where frameworks differ)\.\*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One numbered requirement: a MUST, or a convention with its allowed alternatives."""

    id: str
    title: str
    kind: Literal["must", "convention"]
    text: str
    convention: str | None = None
    alternatives: tuple[str, ...] = ()
    default: str | None = None

    @property
    def rule(self) -> str:
        """The normative part of the text, without rationale and frameworks."""
        return _INFORMATIVE.split(self.text, maxsplit=1)[0].rstrip()


@cache
def requirements() -> Mapping[str, Requirement]:
    """Return every requirement by id, in the order of SPEC.md."""
    return MappingProxyType(parse(files("conformance").joinpath("SPEC.md").read_text("utf-8")))


def requirement(id: str) -> Requirement:
    """Return the requirement called ``id``; raise `ConformanceError` for an unknown one."""
    by_id = requirements()
    if id not in by_id:
        group = id.partition("-")[0].upper()
        near = [key for key in by_id if key.startswith(f"{group}-")] or by_id
        hint = did_you_mean(id, (), id.upper() if id.upper() in by_id else "")  # numbers alone
        raise ConformanceError(f"requirement '{id}' is unknown; {hint}known are {', '.join(near)}")
    return by_id[id]


@cache
def conventions() -> Mapping[str, Requirement]:
    """Return the requirements that are conventions, by the convention's name."""
    return MappingProxyType({r.convention: r for r in requirements().values() if r.convention})


def parse(markdown: str) -> dict[str, Requirement]:
    """Return the requirements in ``markdown``; raise `ConformanceError`, naming the bad line."""
    by_id: dict[str, Requirement] = {}
    line = 1
    for section in re.split(r"^(?=#{1,3} )", markdown, flags=re.MULTILINE):
        heading, _, body = section.partition("\n")
        if heading.startswith("### "):
            new = _read(heading, body.strip("\n").rstrip(), line)
            if new.id in by_id:
                raise ConformanceError(f"SPEC.md:{line}: {new.id} is there twice; use a new number")
            by_id[new.id] = new
        line += section.count("\n")
    return by_id


def _read(heading: str, text: str, line: int) -> Requirement:
    match = _HEADING.fullmatch(heading)
    if match is None:
        raise ConformanceError(
            f"SPEC.md:{line}: '{heading}' is no requirement; write '### CONV-3: title (MUST)' or "
            f"'### MAXPOOL-5: title (convention `nan`: `propagate` (default), `ignore`)'"
        )
    id, title, convention, listed = match.group("id", "title", "convention", "alternatives")
    if convention is None:
        return Requirement(id, title, "must", text)
    choices = [_ALTERNATIVE.fullmatch(part) for part in listed.split(", ")]
    names = tuple(c[1] for c in choices if c)
    defaults = [c[1] for c in choices if c and c[2]]
    if None in choices or len(set(names)) < max(2, len(names)) or len(defaults) != 1:
        right = "write two or more different ones, one of them the default: `one` (default), `two`"
        raise ConformanceError(f"SPEC.md:{line}: {id}: alternatives {listed}; {right}")
    return Requirement(id, title, "convention", text, convention, names, defaults[0])


_ACCEPTED = {
    ("pool_padding", "accept"): [f"padding-beyond-half{end}" for end in ("", "-last", "-both")],
    ("mixed_dtypes", "promote"): [
        f"{name}-{kind}" for name in ("w", "bias", "x") for kind in ("wider", "narrower", "integer")
    ],
    ("zero_channels", "empty_sum"): ["no-channels"],
}
ACCEPTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {mistake: chosen for chosen, mistakes in _ACCEPTED.items() for mistake in mistakes}
)
"""The mistakes (`conformance.cases.invalid`) that are none under a convention, by their names: the
convention, and the alternative that makes it a valid call."""

CHECKS = (
    "result",
    "purity",
    "repeat",
    "layout",
    "special",
    "reject",
    "declare",
    "integer",
    "relations",
    "process",
    "memory",
)
"""Every check, in the order of the reports: each is a group of requirements.

``result``, ``purity`` and ``declare`` look at every call, ``process`` and ``memory`` at every call
that a worker makes (`conformance.isolation`); ``repeat`` at calls that follow one another,
``relations`` at calls that must agree; ``layout``, ``special`` and ``reject`` at cases of their own
(`conformance.cases.derived`).
"""

_OTHERWISE_CALLED = {"PURE": "purity", "RELATE": "relations"}
"""The checks whose name is not that of the group in small letters."""


def check_of(requirement: str) -> str:
    """Return the check that enforces a requirement."""
    if requirement in ("MAXPOOL-5", "MAXPOOL-10", "MAXPOOL-11"):
        return "special"
    group = requirement.partition("-")[0]
    check = _OTHERWISE_CALLED.get(group, group.lower())
    return check if check in CHECKS else "result"


def numbered(requirement: str) -> tuple[str, int]:
    """Sort key: the group of a requirement, then its number (REJECT-3 before REJECT-10)."""
    group, _, digits = requirement.partition("-")
    return group, int(digits) if digits.isdecimal() else 0


SEVERITIES = ("values", "state", "layouts", "declarations", "invalid")
"""How bad a finding is, the worst first; `run --fail-on` names the last one that fails.

- ``values``: a wrong value, a crash, a hang or memory beyond the limit on a valid call;
- ``state``: an answer that depends on earlier calls, an input that is changed, memory that is
  shared, output that is printed;
- ``layouts``: a wrong value or an exception that only a memory layout or special values show;
- ``declarations``: something else is declared than is done;
- ``invalid``: an invalid call that is not rejected. One that crashes or hangs comes before one that
  is accepted: nobody is meant to make it, but it is not survived.
"""

_SEVERITY = {"purity": "state", "repeat": "state", "layout": "layouts", "special": "layouts"}
_SEVERITY |= {"declare": "declarations"}
"""The severity of each check whose findings on valid calls are not wrong values."""
_OTHERWISE_SEVERE = {
    "GRAD-14": "declarations",  # another alternative of a convention, or none of them
    "PROCESS-4": "state",
    "REJECT-2": "state",  # on a valid call: it was answered differently after a rejected one
}


def severity(requirement: str, status: str, valid: bool) -> str:
    """Return how bad a finding is: one of `SEVERITIES`.

    ``status`` is how the call ended, as the run file says; ``valid`` whether it was a valid one.
    """
    if requirement == "PROCESS-6":  # whatever the call was, its caller's process is another one
        return "state"
    if not valid:
        return "invalid"
    check = check_of(requirement)
    if status in (CRASHED, TIMED_OUT) and check == "declare":
        return "values"
    return _OTHERWISE_SEVERE.get(requirement) or _SEVERITY.get(check, "values")


def by_severity(
    severity: str, status: str, requirement: str, dims: int, case: str
) -> tuple[int, bool, tuple[str, int], int, int, str]:
    """Sort key of findings: the worst first, then by requirement, the smallest case first."""
    accepted = severity == "invalid" and status not in (CRASHED, TIMED_OUT)
    size = (dims, len(case), case)
    return SEVERITIES.index(severity), accepted, numbered(requirement), *size
