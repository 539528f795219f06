"""What a run comes to, as rows of its file: blocks as they are finished, and implementations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.judging import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.registration.registry import Implementation
from conformance.running import known_in_run
from conformance.running.adapter_check import ADAPTER_WRONG
from conformance.running.cell import INCONCLUSIVE, Block, Cell
from conformance.running.layers import LayerVerdict
from conformance.running.plan import Plan
from conformance.running.runfile import RunFile

NOT_INSTALLED = "not installed"


def write_block(file: RunFile, block: Block) -> None:
    """Add what came of a block to the run file."""
    file.add("cell", (cell.row() for cell in block.cells))
    file.add(
        "violation",
        (
            {
                "implementation": cell.implementation,
                "operator": cell.operator,
                "dims": cell.dims,
                "dtype": cell.dtype,
                "requirement": violation.requirement,
                "status": violation.status,
                "case": violation.case.id,
                "found": violation.found.id,
                "count": violation.count,
                "message": violation.message,
                "script": violation.script,
                "engine_script": violation.engine_script,
                "replay": violation.replay,
            }
            for cell in block.cells
            for violation in cell.violations
        ),
    )
    file.add("layer", (_layer_row(block, found) for found in block.layers))
    file.add(
        "convention",
        (
            {
                "implementation": cell.implementation,
                "convention": seen.convention,
                "requirement": seen.requirement,
                "operator": cell.operator,
                "dims": cell.dims,
                "dtype": cell.dtype,
                "declared": seen.declared,
                "followed": seen.followed,
                "agrees": seen.agrees,
                "probes": seen.probes,
                "case": seen.case.id if seen.case else "",
                "message": seen.message,
            }
            for cell in block.cells
            for seen in cell.conventions
        ),
    )
    file.add(
        "unsupported",
        (
            {"implementation": name, "operator": block.operator, "reason": reason, "count": count}
            for (name, reason), count in block.gaps.items()
        ),
    )


def _layer_row(block: Block, found: LayerVerdict) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "implementation": verdict.implementation,
        "layer": found.layer,
        "operator": block.operator,
        "dims": block.dims,
        "case": verdict.case.id,
        "share": found.share,
        "status": verdict.status,
        "message": verdict.message,
        "seconds": found.seconds,
    }


def overall(one: Implementation, cells: Sequence[Cell]) -> str:
    """Return the verdict on an implementation: the worst of its cells."""
    if not one.installed:
        return NOT_INSTALLED
    verdicts = {cell.verdict for cell in cells if cell.implementation == one.name}
    worst_first = (ADAPTER_WRONG, VIOLATES, known_in_run.OCCURS, INCONCLUSIVE, CONFORMS)
    for verdict in worst_first:
        if verdict in verdicts:
            return verdict
    return UNSUPPORTED


def descriptions(
    plan: Plan, cells: Sequence[Cell], notes: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each implementation: its declarations, verdict and note."""
    for one in plan.implementations:
        note = notes.get(one.name) or _stopped(one, cells)
        yield _describe(one, overall(one, cells), note)


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


def _describe(one: Implementation, verdict: str, note: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "family": one.family,
        "version": one.version,
        "layout": one.layout,
        "accumulate": one.accumulate,
        "multiply": one.multiply,
        "error": one.error,
        "verdict": verdict,
        "settings": one.settings,
        "note": note if one.installed else one.hint,
    }
