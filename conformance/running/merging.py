"""Joining run files: the shards of one run, or the runs of several machines.

Files of one label, or of none, are parts of one run: their blocks are taken together, and what is
concluded from them is what the whole run concludes. Implementations of files with a label have it
in their names, ``torch@label``: what two machines say of one implementation is kept apart.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conformance.case import Case
from conformance.errors import ConformanceError
from conformance.runfile.file import RunFile
from conformance.runfile.reading import Contents, read, read_blocks
from conformance.runfile.row import Row
from conformance.runfile.tables import TABLES, Call, Implementation, Known, Witness
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    NOT_INSTALLED,
    NOT_JUDGED,
    STALE,
    VIOLATES,
)
from conformance.running import rows
from conformance.running.block import Block
from conformance.running.gathered import Gathered
from conformance.running.pairwise import notes_on_identical
from conformance.running.stored import unpacked
from conformance.running.units import difference
from conformance.running.witnesses import size_of


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged run: its file, the exit status of the run that it is, and the blocks it lacks."""

    path: Path
    exit_status: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    label: str
    path: Path
    contents: Contents

    @property
    def facts(self) -> dict[str, Any]:
        return self.contents.facts


def merge(files: Sequence[str], output: Path, command: str | None = None) -> Merged:
    """Join run files, each ``FILE`` or ``LABEL=FILE``, into ``output``/run.sqlite.

    Raises `ConformanceError`, in one line, for runs of other cases, and where two files without a
    label judged the same.
    """
    parts = [_part(text) for text in files]
    groups = {part.label: [p for p in parts if p.label == part.label] for part in parts}
    if "" in groups and len(groups) > 1:
        raise ConformanceError(
            f"{groups[''][0].path} has no label, and others have; give each file one: LABEL=FILE"
        )
    same = ("spec", "seed", "tier", "examples", "checks", "suites")
    first = parts[0]
    for part in parts[1:]:
        one, other = ({n: p.facts.get(n) for n in same} for p in (first, part))
        _refuse(first, part, difference(one, other))
    with contextlib.closing(RunFile(output / "run.sqlite")) as file:
        if "" in groups:
            missing = _join(groups[""], file)
        else:
            missing = []
            for label, group in groups.items():
                missing += [f"{name} of {label}" for name in _join_labelled(label, group, file)]
            facts = first.facts
            file.record(**{name: facts[name] for name in _COPIED if name in facts})
            file.record(machine=first.facts.get("machine", {}))
            file.record(machines={p.label: _cpu(p) for p in parts})
        ended = max(str(part.facts.get("finished", "")) for part in parts)
        file.record(
            command=command, started=min(str(part.facts.get("started", "")) for part in parts)
        )
        if not missing:
            file.record(finished=ended or rows.now())
    merged = read(file.path)
    verdicts = {row.verdict for row in merged.rows(Implementation)}
    stale = any(row.status == STALE for row in merged.rows(Known))
    status = 0
    if stale or {VIOLATES, ADAPTER_WRONG} & verdicts:
        status = 1
    elif missing or INCONCLUSIVE in verdicts or not {CONFORMS, KNOWN_DIFFERENCE} & verdicts:
        status = 3
    return Merged(file.path, status, tuple(missing))


_COPIED = (
    *("seed", "tier", "examples", "seconds", "suites", "layers", "shapes"),
    *("operators", "dims", "dtypes", "checks", "spec"),
)
"""The facts that all machines have in common."""


def _part(text: str) -> _Part:
    label, equals, name = text.partition("=")
    if not equals or Path(text).exists():
        label, name = "", text
    elif not label or not label.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConformanceError(f"label '{label}' of {name}; letters, digits, '-', '_' and '.' only")
    path = Path(name)
    if path.is_dir():
        path /= "run.sqlite"
    return _Part(label, path, read(path))


def _cpu(part: _Part) -> str:
    """Return what the machine of a run is, in a few words."""
    machine = part.facts.get("machine") or {}
    return f"{machine.get('cpu')} ({machine.get('cores')} cores)"


def _refuse(one: _Part, other: _Part, why: str) -> None:
    if why:
        raise ConformanceError(f"{one.path} and {other.path} cannot be merged: {why}")


def _join(parts: Sequence[_Part], file: RunFile) -> list[str]:
    """Write the run that ``parts`` are parts of, and return the names of the blocks it lacks."""
    first = parts[0]
    for part in parts[1:]:
        _refuse(first, part, difference(_shared(first), _shared(part)))
    for one, other in combinations(parts, 2):
        _check_same_implementations(one, other)
    gathered = Gathered(file)
    taken: dict[str, list[tuple[_Part, bytes, set[str]]]] = {}
    for number, name, content, part in _blocks(parts):
        block = unpacked(content, Block)
        own = {cell.implementation for cell in block.cells}
        others = taken.setdefault(name, [])
        if any(content == other for _, other, _ in others):
            continue
        for other_part, _, theirs in others:
            _check_disjoint(other_part, part, own & theirs, name)
        others.append((part, content, own))
        gathered.take(block, name if len(others) == 1 else f"{name} of {min(own)}", number)
    file.add(gathered.conclusion())
    file.add(_implementations(parts, gathered))
    file.add(_known(part.contents.rows(Known) for part in parts))
    file.add(_calls(part.contents.rows(Call) for part in parts))
    file.add(_witnesses(part.contents.rows(Witness) for part in parts))
    names = list(dict.fromkeys(name for part in parts for name in part.facts.get("blocks", ())))
    missing = [name for name in names if name not in taken]
    facts = {**first.facts, "blocks": names, "identity": _identity(parts)}
    for name in ("format", "finished", "started", "command", "shard", "spent"):
        facts.pop(name, None)
    seconds = {activity: spent / 1e6 for activity, spent in gathered.spent.items()}
    file.record(**facts, spent=seconds)
    machines = [part.facts.get("machine") for part in parts]
    if any(machine != machines[0] for machine in machines):
        file.record(machines={str(part.path): _cpu(part) for part in parts})
    return missing


def _join_labelled(label: str, parts: Sequence[_Part], file: RunFile) -> list[str]:
    """Write the run of ``parts`` with the label in the names of its implementations."""
    with TemporaryDirectory() as folder:
        with contextlib.closing(RunFile(Path(folder) / "run.sqlite")) as joined:
            missing = _join(parts, joined)
        contents = read(joined.path)
    for table in TABLES:
        file.add(_labelled(row, label) for row in contents.rows(table))
    return missing


def _labelled(row: Row, label: str) -> Row:
    names = {field.name for field in fields(row)} & {"implementation", "first", "second"}
    if isinstance(row, Implementation):
        names = {"name"}
    return replace(row, **{name: f"{getattr(row, name)}@{label}" for name in names})


def _shared(part: _Part) -> dict[str, Any]:
    own = ("shard", "implementations", "seconds", "operators")
    identity: dict[str, Any] = part.facts.get("identity", {})
    return {name: value for name, value in identity.items() if name not in own}


def _identity(parts: Sequence[_Part]) -> dict[str, Any]:
    """Return the identity of the whole run, so that it may go on with the blocks it lacks."""
    states: dict[str, Any] = {}
    for part in parts:
        states |= part.facts.get("identity", {}).get("implementations", {})
    return {
        **parts[0].facts.get("identity", {}),
        "shard": None,
        "implementations": states,
    }


def _check_same_implementations(one: _Part, other: _Part) -> None:
    ours, theirs = (p.facts.get("identity", {}).get("implementations", {}) for p in (one, other))
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name]:
            raise ConformanceError(
                f"implementation '{name}' of {one.path} is another version, or of another file, "
                f"than that of {other.path}; {_give_labels(one, other)}"
            )


def _check_disjoint(one: _Part, other: _Part, both: set[str], name: str) -> None:
    if both:
        raise ConformanceError(
            f"{one.path} and {other.path} both judged {min(both)} on {name}; "
            f"{_give_labels(one, other)}"
        )


def _give_labels(one: _Part, other: _Part) -> str:
    return f"keep them apart by labels: one={one.path} two={other.path}"


def _blocks(parts: Sequence[_Part]) -> list[tuple[int, str, bytes, _Part]]:
    """Return the number, name, content and file of each block, in the order of the whole run."""
    found = []
    for part in parts:
        if "blocks" not in part.facts:
            raise ConformanceError(
                f"{part.path}: it has no blocks, being of an older version, or of another command "
                f"than run; judge once more"
            )
        found += [(n, name, content, part) for name, n, content in read_blocks(part.path)]
    return sorted(found, key=lambda block: block[:2])


def _implementations(parts: Sequence[_Part], gathered: Gathered) -> Iterator[Implementation]:
    found: dict[str, Implementation] = {}
    seconds: dict[str, float] = {}
    for part in parts:
        seconds |= part.facts.get("shape_seconds", {})
        for row in part.contents.rows(Implementation):
            if row.name not in found or found[row.name].verdict == NOT_INSTALLED:
                found[row.name] = row
    families = {row.name: row.family for row in found.values()}
    alike = notes_on_identical(families, gathered.pairs.values())
    for name, row in found.items():
        if row.verdict == NOT_INSTALLED:
            yield row
            continue
        verdict = rows.worst(c.verdict for c in gathered.cells if c.implementation == name)
        ended = seconds.get(name, 0.0), gathered.cells, gathered.notes
        note = rows.note_on(name, *ended, alike)
        yield replace(row, verdict=verdict, note=note)


def _known(tables: Iterable[Iterable[Known]]) -> Iterator[Known]:
    """Yield each entry once: it occurs where one part shows it."""
    found: dict[tuple[str, str, str, str], list[Known]] = {}
    for table in tables:
        repeated = Counter[tuple[str, str, str]]()
        for row in table:
            key = row.implementation, row.requirement, row.case
            found.setdefault((*key, f"{row.covers} {repeated[key]}"), []).append(row)
            repeated[key] += 1
    order = (KNOWN_DIFFERENCE, STALE)
    for entries in found.values():
        told = next((row for row in entries if row.message or row.script), entries[0])
        status = next((s for s in order if any(row.status == s for row in entries)), told.status)
        yield replace(told, status=status, count=sum(row.count for row in entries))


def _calls(tables: Iterable[Iterable[Call]]) -> Iterator[Call]:
    """Yield each call of a model once, as the part has it that judged it."""
    found: dict[tuple[str, str, str], Call] = {}
    for row in (row for table in tables for row in table):
        key = row.implementation, row.suite, row.call
        if key not in found or found[key].status == NOT_JUDGED:
            found[key] = row
    yield from found.values()


def _witnesses(tables: Iterable[Iterable[Witness]]) -> Iterator[Witness]:
    """Yield what was made of the smallest case of each requirement and operator."""
    every = [row for table in tables for row in table]
    smallest: dict[tuple[str, str], str] = {}
    for row in every:
        key = row.requirement, row.operator
        if key not in smallest or _size(row.case) < _size(smallest[key]):
            smallest[key] = row.case
    yield from (row for row in every if smallest[row.requirement, row.operator] == row.case)


def _size(case: str) -> tuple[int, int, str]:
    return size_of(Case.parse(case))
