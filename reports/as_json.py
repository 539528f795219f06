"""A report as plain data for other programs, readable by strict JSON parsers."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import asdict
from typing import Any

from conformance.reports.calls import sentences
from conformance.reports.growth import growth
from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.reports.spaces import of_cell
from conformance.runfile.row import Row, columns
from conformance.runfile.tables import Cell, Violation

OPTIONAL = ("cause", "needs", "not_called", "times_called", "times_failed", "after", "before")
"""Columns that are left out where they say nothing of a violation."""


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a dict that ``json.dumps(..., allow_nan=False)`` accepts.

    NaN becomes None; an infinity becomes the string "inf" or "-inf".
    """
    cells = grouped(report.cells, lambda cell: cell.implementation)
    violations = grouped(
        report.violations, lambda v: (v.implementation, v.operator, v.dims, v.dtype)
    )
    data = {
        "run": report.path,
        "seed": report.facts.get("seed"),
        "complete": report.complete,
        "implementations": [
            {
                **as_data(implementation),
                "cells": [
                    _cell(c, violations.get((c.implementation, c.operator, c.dims, c.dtype), []))
                    for c in cells.get(implementation.name, [])
                ],
            }
            for implementation in report.implementations
        ],
        "known": [as_data(entry) for entry in report.known],
        "layers": [as_data(row) for row in report.large],
        "conventions": [as_data(row) for row in report.conventions],
        "pairs": [as_data(pair) for pair in report.pairs],
        "timings": [as_data(timing) for timing in report.timings],
    }
    if exponents := [asdict(each) for each in growth(report)]:
        data["growth"] = exponents
    if report.calls:
        data["calls"] = [as_data(row) for row in report.calls]
        data["models"] = sentences(report)
    if report.sources:
        data["sources"] = [as_data(row) for row in report.sources]
    return {key: plain(value) for key, value in data.items()}


def _cell(cell: Cell, violations: list[Violation]) -> dict[str, Any]:
    return as_data(cell, given=("implementation",)) | {
        "classes": {
            name: {"due": due, "compared": compared}
            for name, (due, compared) in cell.by_class.items()
        },
        "spaces": [
            {
                "space": space.words,
                "cases": space.cases,
                "unsupported": space.unsupported,
                "judged": space.judged,
                "sentence": space.sentence,
            }
            for space in of_cell(cell)
        ],
        "violations": [violation_data(violation, Cell.key) for violation in violations],
    }


def violation_data(violation: Violation, given: Container[str]) -> dict[str, Any]:
    """Return a violation without the columns that are ``given``, or say nothing of it."""
    data = as_data(violation, given=given)
    return {name: value for name, value in data.items() if value or name not in OPTIONAL}


def as_data(row: Row, given: Container[str] = ()) -> dict[str, Any]:
    """Return a row as a dict, without the columns that are ``given`` around it already.

    True and False become 1 and 0, as in the file.
    """
    listed = (column for column in columns(type(row)) if column.in_json)
    values = {
        column.name: getattr(row, column.name) for column in listed if column.name not in given
    }
    return {name: int(v) if isinstance(v, bool) else v for name, v in values.items()}


def plain(value: Any) -> Any:
    """Return ``value`` with NaN and infinities replaced, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
