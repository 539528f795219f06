"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def _split(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read ``-x a,b -x c`` as a, b, c."""
    parts = tuple(part.strip() for value in values for part in value.split(","))
    if any(not part for part in parts):
        raise click.BadParameter("an empty name; write names separated by commas", ctx, option)
    return parts


def many(*names: str, help: str) -> Callable[[Any], Any]:
    """Return an option that may be repeated, and takes several values separated by commas."""
    return click.option(*names, multiple=True, callback=_split, help=help)


plugins = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Python file that registers implementations (repeatable).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
spec_file = click.option("--spec", metavar="FILE", help="Spec file that replaces the defaults.")
