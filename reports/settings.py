"""What two runs depended on and do not have in common: versions, machine, what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.reports.model import Report
from conformance.reports.text import NONE
from conformance.runfile.text import one_line

_ASKED: tuple[str, ...] = (
    "seed",
    "tier",
    "examples",
    "seconds",
    "suites",
    "layers",
    "shapes",
    "spec",
    "checks",
)
_ASKED += ("operators", "dims", "dtypes", "kernels", "ends")
_ASKED += ("rounds", "warmup", "threads", "baseline")
_MACHINE = ("cpu", "cores", "system", "platform", "python", "cpu_features", "threads")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that differs."""

    kind: str
    """version, machine or asked for."""
    name: str
    old: str
    new: str


def settings(old: Report, new: Report, pairs: Sequence[tuple[str, str]]) -> tuple[Setting, ...]:
    """Return what differs: versions first, then the machine, then what was asked for."""
    if old is new:
        return tuple(_of_implementations(old, new, pairs))
    packages = [_mapping(_machine(report).get("packages")) for report in (old, new)]
    machines = [_machine(report) for report in (old, new)]
    return (
        *_of_implementations(old, new, pairs),
        *_of("version", packages[0], packages[1], dict.fromkeys((*packages[0], *packages[1]))),
        *_of("machine", machines[0], machines[1], dict.fromkeys(_MACHINE)),
        *_of("asked for", old.facts, new.facts, dict.fromkeys(_ASKED)),
    )


def _of_implementations(
    old: Report, new: Report, pairs: Sequence[tuple[str, str]]
) -> Iterator[Setting]:
    for before, name in pairs:
        ours = next((i for i in old.implementations if i.name == before), None)
        theirs = next((i for i in new.implementations if i.name == name), None)
        if ours is None or theirs is None:
            continue
        label = name if before == name else f"{before}, {name}"
        for column in ("version", "settings", "environment"):
            values = getattr(ours, column), getattr(theirs, column)
            if values[0] != values[1]:
                title = label if column == "version" else f"{label}: {column}"
                yield Setting("version", title, *map(_text, values))


def _of(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], names: Mapping[str, None]
) -> Iterator[Setting]:
    for name in names:
        if old.get(name) != new.get(name):
            title = name.replace("_", " ")
            yield Setting(kind, title, *_parts(old.get(name), new.get(name)))


def _parts(old: Any, new: Any) -> tuple[str, str]:
    """Return two values as text; of two long lists only what the other does not have."""
    if isinstance(old, list) and isinstance(new, list) and len(_text(old) + _text(new)) > _LONGEST:
        shared = [value for value in old if value in new]
        rest = ([v for v in values if v not in shared] for values in (old, new))
        first, second = (_text(values) if values else "nothing further" for values in rest)
        return first, second
    return _text(old), _text(new)


def _text(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else one_line(str(value))


def _machine(report: Report) -> Mapping[str, Any]:
    return _mapping(report.facts.get("machine"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
