"""The charts of a report as SVG files, for Markdown to show: errors by dtype, and times by layer.

They are those of the page: the same histograms and the same axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from conformance.reports import chart, text
from conformance.reports.distribution import HEIGHT, WIDTH, distributions
from conformance.reports.model import Report

_NAME, _ROW, _TRACK, _HEAD = 190, 22, 420, 40
_TALL = HEIGHT + 10
_LONGEST = 26
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #18202c; }
.bar { fill: #2d6ca2; } .wrong { fill: #a8320a; } .line { stroke: #8a94a3; stroke-width: .6; }
.whisker { stroke: #18202c; stroke-width: 1.4; }
.back { fill: #ffffff; } .title { font-weight: 700; }
"""
"""The background is drawn, so that a chart is read on a dark page as well."""


def charts(report: Report) -> Mapping[str, tuple[str, str]]:
    """Return the text that stands for each chart, and its SVG, by the name of its file."""
    made = {}
    dtypes, rows = distributions(report)
    if rows:
        width, height = _NAME + len(dtypes) * (WIDTH + 24), _HEAD + len(rows) * _TALL
        title = "Errors in units of the bound"
        made["errors.svg"] = title, _svg(title, width, height, _errors(report))
    if lines := sum(len(timings) + 2 for _, timings in report.layers()):
        width, height = _NAME + _TRACK + 100, _HEAD + lines * _ROW
        title = "Time of one call by layer"
        made["times.svg"] = title, _svg(title, width, height, _times(report))
    return made


def _errors(report: Report) -> Iterator[str]:
    dtypes, rows = distributions(report)
    for column, dtype in enumerate(dtypes):
        yield _text(_NAME + column * (WIDTH + 24), 34, dtype)
    for row, (implementation, histograms) in enumerate(rows):
        top = _HEAD + row * _TALL
        yield _text(8, top + HEIGHT - 8, report.label(implementation.name))
        for column, histogram in enumerate(histograms):
            if histogram is None:
                continue
            left = _NAME + column * (WIDTH + 24)
            yield f"<g><title>{escape(histogram.words)}</title>"
            yield _line(left, top + HEIGHT, left + WIDTH, top + HEIGHT)
            for x, y, width, height, wrong in histogram.bars:
                yield _box("wrong" if wrong else "bar", left + x, top + y, width, height)
            yield "</g>"


def _times(report: Report) -> Iterator[str]:
    top: float = _HEAD
    for layer, timings in report.layers():
        axis = chart.axis(v for t in timings for v in (t.median, t.lower, t.upper))
        bottom = top + (len(timings) + 1) * _ROW
        yield _text(8, top + 14, layer)
        for at, label in axis.ticks:
            x = _NAME + _TRACK * at / 100
            yield _text(x, top + 14, label)
            yield _line(x, top + 18, x, bottom)
        for row, one in enumerate(timings, 1):
            y = top + row * _ROW
            yield _text(8, y + 15, report.label(one.implementation))
            low, mid, high = (
                _TRACK * axis.position(value) / 100 for value in (one.lower, one.median, one.upper)
            )
            yield _box("bar" if one.is_believed else "wrong", _NAME, y + 4, mid, _ROW - 8)
            if one.lower is not None and one.upper is not None:
                middle = y + _ROW / 2
                yield _line(_NAME + low, middle, _NAME + high, middle, "whisker")
            yield _text(_NAME + _TRACK + 12, y + 15, text.seconds(one.median))
        top = bottom + _ROW


def _svg(title: str, width: float, height: float, parts: Iterator[str]) -> str:
    size = f'width="{width:g}" height="{height + 8:g}" viewBox="0 0 {width:g} {height + 8:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" {size}>'
    back = _box("back", 0, 0, width, height + 8)
    name = f'<text class="title" x="8" y="16">{title}</text>'
    return f"{head}<style>{_STYLE}</style>{back}{name}{''.join(parts)}</svg>\n"


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:g}" y="{y:g}">{escape(text.shorten(words, _LONGEST))}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, kind: str = "line") -> str:
    return f'<line class="{kind}" x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}"/>'


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
