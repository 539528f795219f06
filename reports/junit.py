"""A report as JUnit XML, which CI systems show as tests: a test case for each cell.

The format is the one that Jenkins and GitLab read: https://github.com/testmoapp/junitxml describes
it. A known difference passes, with its reasons as output; what was not computed is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from conformance.reports.headline import environment
from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.reports.text import NONE, multiple, requirement_title
from conformance.runfile import words
from conformance.runfile.tables import Cell, Implementation, Timing, Violation

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENDED = (words.CRASHED, words.TIMED_OUT)
_SKIPPED = (words.UNSUPPORTED, words.INCONCLUSIVE, words.NOT_INSTALLED)


def junit(report: Report) -> str:
    """Return the XML: a suite for each implementation, a case for each cell and timed layer."""
    root = ElementTree.Element("testsuites", name="convformance")
    cells = grouped(report.cells, lambda cell: cell.implementation)
    timings = grouped(report.timings, lambda timing: timing.implementation)
    violations = grouped(
        report.violations, lambda v: (v.implementation, v.operator, v.dims, v.dtype)
    )
    for one in report.implementations:
        suite = ElementTree.SubElement(root, "testsuite", name=_xml(one.name))
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("version", one.version), *environment(report)):
            ElementTree.SubElement(properties, "property", name=_xml(name), value=_xml(value))
        for cell in cells.get(one.name, ()):
            key = (cell.implementation, cell.operator, cell.dims, cell.dtype)
            _cell(suite, cell, violations.get(key, ()))
        for timing in timings.get(one.name, ()):
            _timing(suite, timing)
        if one.name not in cells and one.name not in timings:
            _without_cells(suite, one)
    for element in (*root, root):
        _count(element)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _count(element: ElementTree.Element) -> None:
    """Write the numbers of a suite, or of all of them."""
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _cell(suite: ElementTree.Element, cell: Cell, violations: Sequence[Violation]) -> None:
    name = f"{cell.operator} {cell.dims}-D {cell.dtype}"
    case = _case(suite, cell.implementation, name, cell.seconds)
    counted = f"{cell.compared:,} of {cell.planned:,} cases compared"
    if violations:
        ended = all(violation.status in _ENDED for violation in violations)
        _result(case, "error" if ended else "failure", _first(violations), _told(violations))
    elif cell.verdict in (*words.FAILED, words.ADAPTER_WRONG):
        _result(case, "error", cell.verdict)
    elif cell.verdict in _SKIPPED:
        _result(case, "skipped", f"{cell.verdict}: {counted}")
    worst = f", worst error {multiple(cell.worst)} of the bound" if cell.worst is not None else ""
    output = ElementTree.SubElement(case, "system-out")
    output.text = _xml(f"{cell.verdict}: {counted}{worst}")


def _first(violations: Sequence[Violation]) -> str:
    titles = dict.fromkeys(requirement_title(violation.requirement) for violation in violations)
    return "; ".join(titles)


def _told(violations: Iterable[Violation]) -> str:
    return "\n\n".join(
        f"{v.status} {requirement_title(v.requirement)}\n{v.message}\n{v.case}\n{v.replay}"
        for v in violations
    )


def _timing(suite: ElementTree.Element, timing: Timing) -> None:
    case = _case(suite, timing.implementation, f"time {timing.layer}", timing.median or 0.0)
    if not timing.is_verified:
        _result(case, "failure", "outputs of timed calls are wrong", timing.verified)
    elif timing.doubt:
        _result(case, "failure", "the times are not believable", timing.doubt)
    elif timing.median is None:
        _result(case, "skipped", "not timed")


def _without_cells(suite: ElementTree.Element, one: Implementation) -> None:
    case = _case(suite, one.name, "all", 0.0)
    tag = "skipped" if one.verdict in _SKIPPED else "error"
    if one.verdict not in (words.CONFORMS, words.KNOWN_DIFFERENCE):
        _result(case, tag, f"{one.verdict}: {one.note}" if one.note else one.verdict or NONE)


def _case(
    suite: ElementTree.Element, implementation: str, name: str, seconds: float
) -> ElementTree.Element:
    attributes = {"classname": f"convformance.{_xml(implementation)}", "name": _xml(name)}
    return ElementTree.SubElement(suite, "testcase", attributes, time=f"{seconds:.3f}")


def _result(case: ElementTree.Element, tag: str, message: str, text: str = "") -> None:
    ElementTree.SubElement(case, tag, message=_xml(message)).text = _xml(text)


def _xml(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)
