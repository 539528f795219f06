"""Today's failures as known differences: a file to start from, after which a run shows what is new.

An entry is as narrow as what was seen: its requirement, operator, dimensions and dtypes, and what
the shrunk case still has of parameters, special values, memory layouts or mistakes. Failures that
no such entry covers have entries of their own. The run is then repeated with the file, since much
is judged only where nothing else is wrong, and some failures come and go.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from conformance.case import Case
from conformance.judging import VIOLATES, Verdict
from conformance.known.difference import KnownDifference
from conformance.known.reading import read_tables
from conformance.known.writing import as_toml
from conformance.running.cell import Cell
from conformance.running.citing import deviations
from conformance.running.known_in_run import matching_entry
from conformance.running.run import Run, run_selection
from conformance.running.selection import Selection

Entry: TypeAlias = dict[str, Any]
"""The fields of an entry's table."""

_REPETITIONS = 4
"""How often a run is repeated at most, until its file covers everything."""

_ABOVE = {
    **dict.fromkeys(("batch", "channels", "kernel", "stride", "dilation", "groups"), 1),
    **dict.fromkeys(("padding", "output_padding"), 0),
}
"""The least value of what an entry says "above this" of."""


@dataclass(slots=True)
class Today:
    """The failures of a run as entries."""

    entries: list[Entry] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    """Failures that no entry can cover, one line for each."""


def known_today(selection: Selection, run: Run) -> Today:
    """Return the failures of a run as entries, those of the selection's own file among them."""
    known = selection.known
    today = Today(read_tables(known) if known is not None else [])
    today.entries, gone = _without_stale(today.entries, run.stale)
    today.uncovered += _of_other_lists(run.stale, gone)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "known.toml"
        for _ in range(_REPETITIONS):
            new, uncovered = _entries(run.cells)
            today.uncovered = list(dict.fromkeys((*today.uncovered, *uncovered)))
            if not new:
                return today
            today.entries += new
            file.write_text(as_toml(today.entries, ""), encoding="utf-8")
            run = run_selection(replace(selection, known=file, output=folder, command=None))
            today.entries, gone = _without_stale(today.entries, run.stale)
            today.uncovered += (f"{line}: comes and goes" for line in sorted(gone))
    today.uncovered += (_line(v) for cell in run.cells for v in _failures(cell))
    return today


def _without_stale(entries: list[Entry], stale: Iterable[str]) -> tuple[list[Entry], set[str]]:
    """Return the entries without those that are stale, and the lines that say which these are."""
    lines, kept, gone = {*stale}, [], set()
    for entry in entries:
        given = entry["implementation" if "implementation" in entry else "implementations"]
        names = [given] if isinstance(given, str) else given
        of = {name: f"{name}: {entry['requirement']}: {entry['case']}" for name in names}
        left = [name for name in names if of[name] not in lines]
        gone |= lines & {*of.values()}
        if left:
            others = {k: v for k, v in entry.items() if not k.startswith("implementation")}
            whose = {"implementation": left[0]} if len(left) == 1 else {"implementations": left}
            kept.append(whose | others)
    return kept, gone


def _of_other_lists(stale: Iterable[str], gone: set[str]) -> Iterator[str]:
    for line in stale:
        if line not in gone:
            yield f"{line}: no longer occurs, and is on the implementation's own list"


def _entries(cells: Sequence[Cell]) -> tuple[list[Entry], list[str]]:
    """Return entries that cover the failures of cells, and a line on each that none covers."""
    entries: list[Entry] = []
    uncovered: list[str] = []
    for name in dict.fromkeys(cell.implementation for cell in cells):
        own = [cell for cell in cells if cell.implementation == name]
        shown = [_entry(name, v.requirement, v.case, cell) for cell in own for v in cell.violations]
        merged = _merged(shown)
        differences = list(map(_difference, merged))
        used: set[int] = set()
        failures = [(cell, verdict) for cell in own for verdict in _failures(cell)]
        failures.sort(key=lambda failure: len(_classes(failure[1].case)))  # the plainest first
        for cell, verdict in failures:
            index = matching_entry(differences, verdict)
            if index is None:
                further = _entry(name, verdict.requirement or "", verdict.case, cell)
                further |= {"may_end": True} if verdict.ended else {}
                if matching_entry([_difference(further)], verdict) is None:
                    uncovered.append(_line(verdict))
                    continue
                index = len(merged)
                merged.append(further)
                differences.append(_difference(further))
            used.add(index)
        entries += _merged(merged[index] for index in sorted(used))
    return entries, uncovered


def _failures(cell: Cell) -> list[Verdict]:
    """Return the failures of a cell that nothing covers; a wrong adapter is one of its case."""
    if not cell.adapter_wrong:
        return cell.uncovered
    return [Verdict(cell.implementation, v.case, VIOLATES, v.requirement) for v in cell.violations]


def _line(verdict: Verdict) -> str:
    return f"{verdict.implementation}: {verdict.requirement}: {verdict.case.id}"


def _difference(entry: Entry) -> KnownDifference:
    return KnownDifference(**{k: v for k, v in entry.items() if k != "implementation"})


def _entry(name: str, requirement: str, case: Case, cell: Cell) -> Entry:
    """Return the entry of what a case shows in a cell."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    seen = {"operator": case.operator, "dims": _all(case.dims, cell.dims)}
    return {
        "implementation": name,
        "requirement": requirement,
        "case": case.id,
        "where": {**seen, "dtype": _all(case.dtype, cell.dtype), **_classes(case)},
        "reason": f"seen on {today}; not explained yet",
    }


def _classes(case: Case) -> Mapping[str, Any]:
    """Return what is not plain about a case, as criteria of a ``where``."""
    values: dict[str, Iterable[int]] = {
        "batch": case.x[:1],
        "channels": case.x[1:2] if case.groups == 1 else (),
        "kernel": case.window,
        "stride": case.stride,
        "padding": [end for pair in case.padding for end in pair],
        "output_padding": case.output_padding,
        "dilation": case.dilation,
        "groups": (case.groups,),
    }
    criteria: dict[str, Any] = {
        name: f">{least}" for name, least in _ABOVE.items() if max(values[name], default=0) > least
    }
    if not case.x[0]:
        criteria["batch"] = 0
    needed = deviations(case)
    criteria |= {
        name: getattr(case, name)
        for name in ("bias", "ceil_mode", "count_include_pad")
        if name in needed
    }
    if case.check == "special":
        criteria["data"] = case.data
    if case.memory != "contiguous":
        criteria["memory"] = case.memory.partition("-")[0]
    if case.invalid:
        criteria["invalid"] = case.invalid
    return criteria


def _merged(entries: Iterable[Entry]) -> list[Entry]:
    """Join entries that differ in nothing but dtype, or dimensions, or mistake."""
    merged = list(entries)
    for name in ("dtype", "dims", "invalid"):
        groups: dict[Any, Entry] = {}
        for entry in merged:
            where = entry["where"]
            others = [item for item in where.items() if item[0] != name]
            rest = repr([entry["requirement"], "may_end" in entry, others])
            if rest in groups and name in where:
                values = (groups[rest]["where"][name], where[name])
                groups[rest]["where"][name] = _all(*values)
            else:
                groups.setdefault(rest, entry)
        merged = list(groups.values())
    return merged


def _all(*values: Any) -> Any:
    """Return the different values: one by itself, several as a list."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    different = list(dict.fromkeys(flat))
    return different[0] if len(different) == 1 else different
