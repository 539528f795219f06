"""What a run writes into its file: rows of what came of it, and facts of the machine it ran on."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conformance.machine import cpu_features, system
from conformance.registration.implementation import Implementation
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


def of_block(block: Block) -> Iterator[Row]:
    """Yield the rows of what came of a block, its pairs apart: those add up over several."""
    for cell in block.cells:
        yield cell.row()
        for probed in cell.conventions:
            case = probed.case.id if probed.case else ""
            yield tables.Convention.of(probed, cell, case=case)
    yield from violations(block.cells)
    for layer in block.layers:
        yield tables.Layer.of(layer, layer.verdict, block, case=layer.verdict.case.id)
    for (name, reason), count in block.gaps.items():
        yield tables.Gap(implementation=name, operator=block.operator, reason=reason, count=count)


def violations(cells: Iterable[Cell]) -> Iterator[tables.Violation]:
    """Yield a row for each violation of the cells."""
    for cell in cells:
        for violation in cell.violations:
            yield tables.Violation.of(
                violation, cell, case=violation.case.id, found=violation.found.id
            )


def overall(one: Implementation, cells: Sequence[Cell]) -> str:
    """Return the verdict on an implementation: the worst of its cells."""
    if not one.installed:
        return NOT_INSTALLED
    verdicts = {cell.verdict for cell in cells if cell.implementation == one.name}
    worst_first = (ADAPTER_WRONG, VIOLATES, KNOWN_DIFFERENCE, INCONCLUSIVE, CONFORMS)
    return next((verdict for verdict in worst_first if verdict in verdicts), UNSUPPORTED)


def of_implementations(
    implementations: Iterable[Implementation], cells: Sequence[Cell], notes: Mapping[str, str]
) -> Iterator[tables.Implementation]:
    """Yield a row for each implementation: its declarations, verdict and note."""
    for implementation in implementations:
        note = notes.get(implementation.name) or _stopped(implementation, cells)
        yield of_implementation(implementation, overall(implementation, cells), note)


def of_implementation(
    implementation: Implementation, verdict: str, note: str = ""
) -> tables.Implementation:
    """Return what an implementation declares, with the verdict on it.

    Where it is not installed, that is the verdict, and the note says what to type.
    """
    if not implementation.installed:
        verdict, note = NOT_INSTALLED, implementation.hint
    return tables.Implementation.of(implementation, verdict=verdict, note=note)


def _stopped(one: Implementation, cells: Sequence[Cell]) -> str:
    """Return what is to be said of cells that the clock ended, nothing where there are none."""
    stopped = [cell for cell in cells if cell.implementation == one.name and cell.stopped]
    if not stopped:
        return ""
    first = min(stopped, key=lambda cell: (cell.operator, cell.dims, cell.dtype))
    named = f"{first.operator} {first.dims}-D {first.dtype}"
    others = f" and {len(stopped) - 1} other cells" if len(stopped) > 1 else ""
    return (
        f"too slow for its cases: the clock ended {named}{others}, at other cases in another run; "
        f"what shape_seconds= or work_seconds= declares ends it at the same ones"
    )


def machine(used: Sequence[Implementation]) -> dict[str, Any]:
    """Return what the results depend on besides the code: machine, interpreter, packages."""
    from threadpoolctl import threadpool_info

    packages = {name: version(name) for name in ("convformance", "numpy", "hypothesis")}
    packages |= {one.package: one.version for one in used if one.package and one.installed}
    pools = {f"{pool['internal_api']}": pool["num_threads"] for pool in threadpool_info()}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": system(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "threads": pools,
        "packages": packages,
        "cpu_features": list(cpu_features()),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def now() -> str:
    """Return the time, as it is recorded."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
