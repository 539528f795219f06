"""``convformance explain``: what implementations do on one small case, from their own arrays."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cases.validity import parse_valid
from conformance.cli import options
from conformance.errors import unknown
from conformance.explaining import check_small, code_of, explain
from conformance.registration.implementation import Implementation
from conformance.registration.registry import implementations
from conformance.reports.steps import as_html, as_svg, as_text

CHAPTERS = ("im2col", "kernel-matrix", "stride-trick", "shifted-matmul")
"""What is explained by default: of the loops each array is a single number."""


@click.command("explain")
@click.argument("case_id")
@click.argument("names", nargs=-1, metavar="[IMPLEMENTATION]...")
@options.plugins
@click.option("--svg", metavar="FILE", help="Write the arrays as a picture to FILE ('-': stdout).")
@click.option("--html", metavar="FILE", help="Write them as a page to FILE ('-': stdout).")
def command(
    case_id: str,
    names: tuple[str, ...],
    plugins: tuple[str, ...],
    svg: str | None,
    html: str | None,
) -> int:
    """Show the arrays that implementations make of CASE_ID, line by line of their source.

    Without IMPLEMENTATION those of the plugins are shown, else the hand-written ones that make
    matrix products of it. What depends on the element in the middle of the input is marked.
    """
    case = parse_valid(case_id)
    check_small(case)
    with options.keep_stdout():
        chosen = options.selection(
            plugins=plugins,
            isolate=False,  # what another process computes cannot be followed
            interpret=False,
            call_seconds=None,
            call_memory=None,
            pythons=(),
            environments=None,
        )
        own, _ = chosen.load()
    if names:
        judges = [_named(name) for name in names]
    else:
        judges = list(own) or [_named(name) for name in CHAPTERS]
    methods = []
    for implementation in judges:
        if case.operator not in implementation.functions or not _is_python(
            implementation, case.operator
        ):
            if names:
                raise click.UsageError(
                    f"implementation '{implementation.name}' has no {case.operator} in Python that "
                    f"this process can follow"
                )
            continue
        with options.keep_stdout():
            methods.append(explain(implementation, case))
    if not methods:
        raise click.UsageError(f"none of the implementations has a {case.operator} in Python")
    for target, render in ((svg, as_svg), (html, as_html)):
        if target == "-":
            click.echo(render(case.id, methods), nl=False)
        elif target is not None:
            options.write(Path(target), render(case.id, methods))
    if (svg, html) == (None, None):
        click.echo(as_text(case.id, methods), nl=False)
    return 0


def _named(name: str) -> Implementation:
    found = implementations()
    if name not in found:
        raise click.UsageError(unknown("implementation", name, [*found]))
    if not found[name].installed:
        raise click.UsageError(f"implementation '{name}' is {found[name].hint}")
    return found[name]


def _is_python(implementation: Implementation, operator: str) -> bool:
    return implementation.place is None and code_of(implementation, operator) is not None
