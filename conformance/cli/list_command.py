"""``convformance list``: what is registered and installed, and what each implementation has."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from conformance.cli import options

if TYPE_CHECKING:
    from conformance.registration.implementation import Implementation


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
            "name": one.name,
            "version": one.version if one.installed else None,
            "family": one.family,
            "operators": list(one.operators),
            "layout": one.layout,
            "dtypes": list(one.dtypes),
            "installed": one.installed,
            "note": "" if one.installed else one.hint,
        }
        for one in implementations().values()
    ]
    if as_json:
        click.echo(json.dumps({"implementations": rows, "broken": dict(broken())}, indent=2))
        return
    header = ("implementation", "version", "family", "operators")
    table = [
        (one.name, one.version if one.installed else "-", one.family, _has(one))
        for one in implementations().values()
    ]
    widths = [max(len(str(line[i])) for line in (header, *table)) for i in range(3)]
    columns = shutil.get_terminal_size().columns
    room = max(20, columns - sum(widths) - 2 * len(widths))
    for line in (header, *table):
        first = "".join(str(line[i]).ljust(widths[i] + 2) for i in range(3))
        text = line[3].replace("pip install ", "pip\xa0install\xa0")  # a command stays on one line
        for part in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False):
            if not first.strip():  # a command longer than the column reaches out of it, to the left
                first = " " * min(len(first), max(0, columns - len(part)))
            click.echo(first + part.replace("\xa0", " "))
            first = " " * sum(width + 2 for width in widths)
    for name, reason in broken().items():
        print(f"convformance: warning: entry point '{name}': {reason}", file=sys.stderr)


def _has(one: Implementation) -> str:
    """Return its operators, the gradients counted; or how to install it."""
    if not one.installed:
        return one.hint
    gradients = [operator for operator in one.operators if operator.endswith("_grad")]
    names = [operator for operator in one.operators if operator not in gradients]
    return ", ".join(names) + (f" and {len(gradients)} gradients" if gradients else "")
