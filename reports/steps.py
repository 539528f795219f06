"""How an implementation computes one small case: its intermediate arrays, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from conformance.reports.grids import Grid, pictured, svg
from conformance.reports.html import environment_of_templates
from conformance.reports.picture import in_words


@dataclass(frozen=True, slots=True)
class Step:
    """An array that a line of an implementation has made."""

    place: str
    """File and line: ``im2col.py:101``."""
    source: str
    """The line."""
    name: str
    """What the array is called there; ``conv()`` for what conv returns."""
    shape: tuple[int, ...]
    values: tuple[str, ...]
    """Its numbers as text, in C order; empty if they are too many to be drawn."""
    changed: frozenset[int] = frozenset()
    """Which of them depend on the element of the input that is marked."""
    left_out: int = 0
    """How many further arrays the line made before this one, in a loop."""


@dataclass(frozen=True, slots=True)
class Method:
    """The steps of one implementation on one case."""

    implementation: str
    idea: str
    """The first sentence of its documentation."""
    steps: tuple[Step, ...]
    verdict: str


NOTE = "Framed: what changes if the framed element of the first array does."


def as_text(case_id: str, methods: Sequence[Method]) -> str:
    """Return the steps as plain text, with what is framed in brackets."""
    lines = [
        case_id,
        in_words(case_id),
        NOTE.replace("Framed", "In brackets").replace("framed", "bracketed"),
    ]
    for method in methods:
        lines += ["", f"{method.implementation}: {method.idea}", f"  {method.verdict}"]
        for step in method.steps:
            lines += ["", f"  {_title(step)}", *(f"    {line}" for line in _numbers(step))]
    return "\n".join(lines) + "\n"


def as_svg(case_id: str, methods: Sequence[Method]) -> str:
    """Return the steps as one SVG file."""
    titled = [
        (f"{method.implementation}: {_title(step)}", step)
        for method in methods
        for step in method.steps
    ]
    grids = [_grid(title, step) for title, step in titled]
    return svg(grids, f"How {case_id} is computed", alone=True) + "\n"


def as_html(case_id: str, methods: Sequence[Method]) -> str:
    """Return the steps as a page that needs nothing else."""
    drawn = [(method, [(step, _picture(step)) for step in method.steps]) for method in methods]
    template = environment_of_templates().get_template("steps.html.j2")
    return template.render(case=case_id, words=in_words(case_id), note=NOTE, methods=drawn)


def _title(step: Step) -> str:
    loop = f"  ({step.left_out} earlier in the loop)" if step.left_out else ""
    shape = ", ".join(map(str, step.shape))
    return f"{step.name} ({shape})  {step.place}  {step.source}{loop}"


def _grid(title: str, step: Step) -> Grid:
    return Grid(title, step.shape, step.values, {"chosen": step.changed})


def _picture(step: Step) -> Markup | None:
    if not step.values:
        return None
    return Markup(svg([_grid(step.name, step)], f"{step.name}, of {step.place}"))


def _numbers(step: Step) -> list[str]:
    if not step.values:
        return ["(too many numbers to be shown)"]
    return pictured(_grid(step.name, step))
