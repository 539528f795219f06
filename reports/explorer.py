"""The rows that the page's own search shows: cells, violations and known differences alike.

They are embedded in the page as JSON, a list a row, and its script shows those that match a query.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from conformance.reports.model import Finding, Report
from conformance.reports.text import shorten
from conformance.runfile.tables import Cell, Known, Violation

COLUMNS = (
    "kind",
    "implementation",
    "operator",
    "dims",
    "dtype",
    "status",
    "requirement",
    "case",
    "compared",
    "unsupported",
    "failing",
    "worst",
    "text",
)
"""What the script calls them, too (`templates/explorer.js`)."""
_LONGEST_TEXT = 400
_HEAD = re.compile(r"[a-z_]+?([123])d")


def embedded(report: Report) -> Markup:
    """Return the rows as JSON that a ``<script>`` element may hold, whatever they say."""
    text = json.dumps([COLUMNS, *rows(report)], separators=(",", ":"), allow_nan=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return Markup("".join(escapes.get(character, character) for character in text))


def rows(report: Report) -> Iterator[list[Any]]:
    """Yield what is wrong first, then what is known to be, then every cell."""
    for violation in report.violations:
        yield _of_violation(violation)
    for entry in report.known:
        yield _of_known(entry)
    for cell in report.cells:
        yield _of_cell(cell)


def place(row: Cell | Violation) -> str:
    """Return the address of a cell in the page: ``im2col/conv2d/float32``."""
    name = f"{row.implementation}/{row.operator}{row.dims}d/{row.dtype}"
    return "_".join(name.split())


def card(finding: Finding) -> str:
    """Return the address of a finding in the page: ``violation/im2col/conv2d/float32/CONV-3``."""
    first = finding.smallest
    return "_".join(
        f"violation/{place(first)}/{first.requirement}/{first.cause}".rstrip("/").split()
    )


def _of_violation(v: Violation) -> list[Any]:
    cell = v.implementation, v.operator, v.dims, v.dtype
    text = shorten(v.message, _LONGEST_TEXT)
    return ["violation", *cell, v.status, v.requirement, v.case, None, None, v.count, None, text]


def _of_known(k: Known) -> list[Any]:
    head, dtype, *_ = *k.case.split(":"), ""
    match = _HEAD.fullmatch(head)
    dims = int(match[1]) if match else None
    cell = k.implementation, k.operator, dims, dtype
    text = shorten(k.reason, _LONGEST_TEXT)
    return ["known", *cell, k.status, k.requirement, k.case, None, None, k.count, None, text]


def _of_cell(c: Cell) -> list[Any]:
    cell = c.implementation, c.operator, c.dims, c.dtype
    worst = c.worst if c.worst is None or math.isfinite(c.worst) else str(c.worst)
    counts = c.compared, c.unsupported, c.violating + c.known, worst
    return ["cell", *cell, c.verdict, "", c.worst_case or "", *counts, ""]
