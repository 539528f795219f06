"""``convformance list``: what is registered and installed, and what each implementation has."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from conformance.cli import options

if TYPE_CHECKING:
    from conformance.registration.implementation import Implementation

_OPERATORS, _NAMES = 20, 12
"""The least widths of the last column, and of each other one."""


@click.command("list")
@options.plugins
@options.as_json
def command(plugins: tuple[str, ...], as_json: bool) -> None:
    """List every implementation with version, family and operators. Imports no backend."""
    from conformance.registration.plugins import load_plugin
    from conformance.registration.registry import broken, implementations

    with options.keep_stdout():
        for plugin in plugins:
            load_plugin(plugin)
    rows = [
        {
            "name": i.name,
            "version": i.version if i.installed else None,
            "family": i.family,
            "operators": list(i.operators),
            "layout": i.layout,
            "dtypes": list(i.dtypes),
            "installed": i.installed,
            "note": "" if i.installed else i.hint,
        }
        for i in implementations().values()
    ]
    if as_json:
        click.echo(json.dumps({"implementations": rows, "broken": dict(broken())}, indent=2))
        return
    header = ("implementation", "version", "family", "operators")
    table = [
        (i.name, i.version if i.installed else "-", i.family, _has(i))
        for i in implementations().values()
    ]
    for line in _fitted([header, *table], shutil.get_terminal_size().columns):
        click.echo(line)
    for name, reason in broken().items():
        print(f"convformance: warning: entry point '{name}': {reason}", file=sys.stderr)


def _fitted(table: Sequence[tuple[str, str, str, str]], columns: int) -> Iterator[str]:
    """Yield the lines of a table, at most ``columns`` long; a cell that does not fit is folded."""
    widths = [max(map(len, cells)) for cells in list(zip(*table, strict=True))[:3]]
    while columns - sum(widths) - 2 * len(widths) < _OPERATORS and max(widths) > _NAMES:
        widths[widths.index(max(widths))] -= 1
    room = max(_OPERATORS, columns - sum(widths) - 2 * len(widths))
    for *names, text in table:
        before, pip, command = text.partition("pip install")
        text = before + (pip + command).replace(" ", "\xa0")  # a command stays on one line
        folded = map(textwrap.wrap, names, widths)
        parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        for *cells, part in itertools.zip_longest(*folded, parts, fillvalue=""):
            left = "".join(cell.ljust(width + 2) for cell, width in zip(cells, widths, strict=True))
            if not left.strip():  # a command that is too long for its column begins further left
                left = " " * min(len(left), max(0, columns - len(part)))
            yield (left + part.replace("\xa0", " ")).rstrip()


def _has(implementation: Implementation) -> str:
    """Return the forward operators and the number of gradients, or how to install it."""
    if not implementation.installed:
        return implementation.hint
    gradients = [operator for operator in implementation.operators if operator.endswith("_grad")]
    names = [operator for operator in implementation.operators if operator not in gradients]
    return ", ".join(names) + (f" and {len(gradients)} gradients" if gradients else "")
