"""Arrays drawn as grids of their numbers: SVG that a page, a file or a notebook can hold.

A plane, which is what the last two axes span, is a grid; several planes stand side by side, each
below its index. A mark is more than its colour: a wrong element has a corner, a chosen one a frame.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib import resources

_ROW, _DIGIT, _GAP, _TITLE = 22, 7.3, 18, 20
_WIDEST = 760
"""Planes that do not fit beside one another begin a new line."""


@cache
def style() -> str:
    """Return the style of the pictures, for a page or for a picture that stands alone."""
    return (resources.files("conformance.reports") / "templates" / "grids.css").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Grid:
    """An array to be drawn: its numbers as text, in C order."""

    title: str
    shape: tuple[int, ...]
    values: Sequence[str]
    marks: Mapping[str, Collection[int]] = field(default_factory=dict)
    """Flat positions by the kind of their mark: ``wrong`` or ``chosen``."""
    lines: bool = False
    """Whether a plane is a line: of a 1-D image, whose axis before the last is that of channels."""

    @property
    def planes(self) -> list[tuple[str, int, int, int]]:
        """Index, first position, rows and columns of each plane."""
        columns = self.shape[-1] if self.shape else 1
        rows = 1 if self.lines or len(self.shape) < 2 else self.shape[-2]
        ahead = self.shape[: -1 if self.lines else -2]
        size = rows * columns
        indices: list[str] = []
        for number in range(math.prod(ahead)):
            index = []
            for length in reversed(ahead):
                number, at = divmod(number, length)
                index.append(at)
            indices.append(", ".join(map(str, reversed(index))))
        return [(index, at * size, rows, columns) for at, index in enumerate(indices)]


def svg(grids: Sequence[Grid], label: str, *, alone: bool = False) -> str:
    """Return the grids below one another; with its own style if the picture stands ``alone``."""
    parts: list[str] = []
    y, right = 0.0, 0.0
    for grid in grids:
        cell = max(26.0, 10 + _DIGIT * max(map(len, grid.values), default=1))
        shape = " x ".join(map(str, grid.shape))
        parts.append(
            f'<text class="title" x="1" y="{y + 14:g}">{escape(grid.title)} ({shape})</text>'
        )
        right = max(right, _DIGIT * (len(grid.title) + len(shape) + 5))
        y += _TITLE
        x, tallest = 1.0, 0.0
        for index, first, rows, columns in grid.planes if grid.values else ():
            width = columns * cell
            if x > 1 and x + width > _WIDEST:
                x, y, tallest = 1.0, y + tallest + 6, 0.0
            top = y + (12 if index else 0)
            if index:
                parts.append(f'<text class="index" x="{x:g}" y="{y + 9:g}">[{index}]</text>')
            for position in range(first, first + rows * columns):
                row, column = divmod(position - first, columns)
                parts.append(_element(grid, position, x + column * cell, top + row * _ROW, cell))
            right, tallest = max(right, x + width), max(tallest, top - y + rows * _ROW)
            x += max(width, 30.0) + _GAP
        y += tallest + 14
    # A page that is dark shows the picture on its own ground, and the text is dark.
    own_style = f"<style>.grids {{ background: #fff; }}\n{style()}</style>" if alone else ""
    namespace = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    box = f'viewBox="0 0 {right + 2:g} {y:g}" width="{right + 2:g}" height="{y:g}"'
    head = f'<svg{namespace} class="grids" role="img" aria-label="{escape(label)}" {box}>'
    return f"{head}{own_style}{''.join(parts)}</svg>"


def pictured(grid: Grid) -> list[str]:
    """Return a grid as lines of text: a marked number is in brackets."""
    marked = {position for positions in grid.marks.values() for position in positions}
    width = max(map(len, grid.values), default=1)
    lines = []
    for index, first, rows, columns in grid.planes:
        head = f"[{index}] " if index else ""
        for row in range(rows):
            start = first + row * columns
            numbers = (
                f"[{grid.values[at]:>{width}}]" if at in marked else f" {grid.values[at]:>{width}} "
                for at in range(start, start + columns)
            )
            lines.append((head if row == 0 else " " * len(head)) + "".join(numbers))
    return lines


def _element(grid: Grid, position: int, x: float, y: float, width: float) -> str:
    kinds = [kind for kind, positions in grid.marks.items() if position in positions]
    group = f'<g class="{" ".join(kinds)}">' if kinds else "<g>"
    text = escape(grid.values[position])
    box = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{_ROW}"/>'
    number = f'<text x="{x + width / 2:g}" y="{y + 15:g}">{text}</text>'
    corner = f'<path class="corner" d="M{x + width:g} {y:g}v9l-9 -9z"/>' if "wrong" in kinds else ""
    return f"{group}{box}{corner}{number}</g>"
