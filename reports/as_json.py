"""A report as plain data for other programs, readable by strict JSON parsers."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from conformance.reports.model import Report
from conformance.reports.rows import Cell, Violation

_CELL = (
    *("operator", "dims", "dtype", "planned", "reached", "compared", "unsupported"),
    *("violating", "known", "worst", "verdict"),
)
_VIOLATION = ("requirement", "status", "case", "found", "count", "message")


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a dict that ``json.dumps(..., allow_nan=False)`` accepts.

    NaN becomes None; an infinity becomes the string "inf" or "-inf".
    """
    cells = defaultdict(list)
    violations = defaultdict(list)
    for cell in report.cells:
        cells[cell.implementation].append(cell)
    for v in report.violations:
        violations[v.implementation, v.operator, v.dims, v.dtype].append(v)
    data = {
        "run": report.path,
        "seed": report.facts.get("seed"),
        "complete": report.complete,
        "implementations": [
            {
                "name": one.name,
                "family": one.family,
                "version": one.version,
                "settings": one.settings,
                "verdict": one.verdict,
                "cells": [
                    _cell(c, violations[c.implementation, c.operator, c.dims, c.dtype])
                    for c in cells[one.name]
                ],
            }
            for one in report.implementations
        ],
        "known": [asdict(entry) for entry in report.known],
        "layers": [asdict(row) for row in report.large],
        "conventions": [asdict(row) for row in report.conventions],
        "pairs": [asdict(pair) for pair in report.pairs],
        "timings": [asdict(timing) for timing in report.timings],
    }
    return {key: _plain(value) for key, value in data.items()}


def _cell(cell: Cell, violations: list[Violation]) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in _CELL} | {
        "violations": [{name: getattr(v, name) for name in _VIOLATION} for v in violations]
    }


def _plain(value: Any) -> Any:
    """Return ``value`` with every number one that JSON has."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
