"""The rows that a run writes into its file, and the facts of the machine it ran on."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conformance.machine import cpu_features, cpu_limit, system
from conformance.registration.implementation import Implementation
from conformance.requirements import by_severity
from conformance.runfile import tables
from conformance.runfile.row import Row
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    NOT_INSTALLED,
    UNSUPPORTED,
    VIOLATES,
)
from conformance.running.block import Block
from conformance.running.cell import Cell
from conformance.running.violation import Violation


def of_block(block: Block) -> Iterator[Row]:
    """Yield the rows of a block. Its pairs are left out, since they add up over several blocks."""
    for digest, fingerprints in getattr(block, "cases", {}).items():  # an older block has none
        yield tables.Cases(digest=digest, fingerprints=fingerprints)
    for cell in block.cells:
        yield cell.row()
        for probe in cell.conventions:
            case = probe.case.id if probe.case else ""
            yield tables.Convention.of(probe, cell, case=case)
    yield from violations(block.cells)
    for layer in block.layers:
        yield tables.Layer.of(layer, layer.verdict, block, case=layer.verdict.case.id)
    for (name, reason), count in block.gaps.items():
        yield tables.Gap(implementation=name, operator=block.operator, reason=reason, count=count)


def violations(cells: Iterable[Cell]) -> list[tables.Violation]:
    """Return a row for each violation of the cells, the worst first."""
    found = (violation(one, cell) for cell in cells for one in cell.violations)
    return sorted(
        found, key=lambda v: by_severity(v.severity, v.status, v.requirement, v.dims, v.case)
    )


def violation(violation: Violation, cell: Cell) -> tables.Violation:
    """Return the row of a violation in its cell."""
    picture = getattr(violation, "picture", "")  # which an older version did not keep
    ids = {"case": violation.case.id, "found": violation.found.id}
    return tables.Violation.of(violation, cell, **ids, picture=picture)


def overall(implementation: Implementation, cells: Sequence[Cell]) -> str:
    """Return the verdict on an implementation, which is the worst of its cells."""
    if not implementation.installed:
        return NOT_INSTALLED
    return worst(cell.verdict for cell in cells if cell.implementation == implementation.name)


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of the verdicts on cells."""
    given = set(verdicts)
    worst_first = (ADAPTER_WRONG, VIOLATES, INCONCLUSIVE, KNOWN_DIFFERENCE, CONFORMS)
    return next((verdict for verdict in worst_first if verdict in given), UNSUPPORTED)


def of_implementations(
    implementations: Iterable[Implementation],
    cells: Sequence[Cell],
    notes: Mapping[str, str],
    alike: Mapping[str, str],
) -> Iterator[tables.Implementation]:
    """Yield a row for each implementation, with its declarations, verdict and note (`note_on`)."""
    for implementation in implementations:
        name, seconds = implementation.name, implementation.shape_seconds
        note = note_on(name, seconds, cells, notes, alike)
        yield of_implementation(implementation, overall(implementation, cells), note)


def note_on(
    name: str,
    shape_seconds: float,
    cells: Sequence[Cell],
    notes: Mapping[str, str],
    alike: Mapping[str, str],
) -> str:
    """Return the note on an implementation, which is empty if there is nothing to say.

    ``notes`` say why it was not called to the end, and ``alike`` whose bits it has.
    """
    own = [cell for cell in cells if cell.implementation == name]
    ended = notes.get(name) or _stopped(own) or _few(shape_seconds, own)
    return "; ".join(filter(None, (ended, alike.get(name))))


def of_implementation(
    implementation: Implementation, verdict: str, note: str = ""
) -> tables.Implementation:
    """Return the row of an implementation: its declarations, the verdict on it, and a note.

    If it is not installed, that is the verdict, and the note says how to install it.
    """
    if not implementation.installed:
        verdict, note = NOT_INSTALLED, implementation.hint
    return tables.Implementation.of(implementation, verdict=verdict, note=note)


def _stopped(cells: Sequence[Cell]) -> str:
    """Return a note on the cells that the clock ended, which is empty if there are none."""
    stopped = [cell for cell in cells if cell.stopped]
    if not stopped:
        return ""
    first = min(stopped, key=lambda cell: (cell.operator, cell.dims, cell.dtype))
    name = f"{first.operator} {first.dims}-D {first.dtype}"
    others = f" and {len(stopped) - 1} other cells" if len(stopped) > 1 else ""
    return (
        f"too slow for its cases: the clock ended {name}{others}, at other cases in another run; "
        f"what call_seconds=, shape_seconds= or work_seconds= declares ends it at the same ones"
    )


def _few(shape_seconds: float, cells: Sequence[Cell]) -> str:
    """Return a note on an engine that compiles for more shapes than its budget pays for."""
    reached, planned = sum(c.reached for c in cells), sum(c.planned for c in cells)
    if not shape_seconds or reached == planned:
        return ""
    return (
        f"compiles for each shape, about {shape_seconds:g} s: judged on {reached:,} "
        f"of {planned:,} cases, of the shapes that its budget pays for; --seconds gives it more"
    )


def machine(implementations: Sequence[Implementation]) -> dict[str, Any]:
    """Return what results depend on besides the code: the machine, interpreter and packages."""
    from threadpoolctl import threadpool_info

    packages = {name: [version(name)] for name in ("convformance", "numpy", "hypothesis")}
    pythons = [platform.python_version()]
    for implementation in implementations:
        for name, found in implementation.packages.items() if implementation.installed else ():
            versions = pythons if name == "python" else packages.setdefault(name, [])
            if found not in versions:  # one of another interpreter is told with its implementation
                versions.append(f"{found} ({implementation.name})" if versions else found)
    pools = {f"{pool['internal_api']}": pool["num_threads"] for pool in threadpool_info()}
    references = {i.name: i.references for i in implementations if i.references}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": system(),
        "platform": platform.platform(),
        "python": ", ".join(pythons),
        "threads": pools,
        "packages": {name: ", ".join(versions) for name, versions in packages.items()},
        "cpu_features": list(cpu_features()),
        **({"cpu_limit": limit} if (limit := cpu_limit()) else {}),
        **({"references": references} if references else {}),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def now() -> str:
    """Return the current time in UTC, as text of ISO 8601 with seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
