"""``convformance list``: what is registered and installed, and what each implementation has."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from conformance.arrays import NUMPY
from conformance.cli import options
from conformance.registration.options import OF_ALL, Option
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from conformance.registration.implementation import Implementation


@click.command("list")
@options.plugins
@options.programs
@options.libraries
@click.option(
    "--options", "show_options", is_flag=True, help="List the options of implementations instead."
)
@options.modules
@options.as_json
def command(
    plugins: tuple[str, ...],
    programs: tuple[str, ...],
    libraries: tuple[str, ...],
    show_options: bool,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """List every implementation with version, family and operators. Imports no backend."""
    from conformance.registration.registry import broken, implementations, in_use

    if plugins or programs or libraries or modules:
        # Workers load them, as for a run. Without them nothing of that is imported.
        from conformance.isolation.remote_plugins import load_for, load_forms
        from conformance.registration.place import Limits

        with options.keep_stdout():
            for plugin in plugins:
                load_for(plugin, None, Limits())
            load_forms(programs, libraries, modules, Limits())
    offers = in_use().offers()
    rows = [
        {
            "name": i.name,
            "version": i.version if i.installed else None,
            "family": i.family,
            "operators": list(i.operators),
            "layout": i.layout,
            "arrays": i.arrays,
            "device": i.device,
            "parameters": i.parameters,
            "out": i.out,
            "dtypes": list(i.dtypes),
            "options": [asdict(o) for o in (offers[i.name].options if i.name in offers else ())],
            "installed": i.installed,
            "note": "" if i.installed else i.hint,
        }
        for i in implementations().values()
    ]
    if as_json:
        click.echo(json.dumps({"implementations": rows, "broken": dict(broken())}, indent=2))
        return
    if show_options:
        for name, offer in offers.items():
            click.echo(_options_of(name, offer.options))
        click.echo(_options_of("every implementation", OF_ALL))
        return
    columns = shutil.get_terminal_size().columns
    for line in _fitted(list(implementations().values()), columns):
        click.echo(line)
    for name, reason in broken().items():
        print(f"convformance: warning: entry point '{name}': {reason}", file=sys.stderr)


def _options_of(name: str, listed: Sequence[Option]) -> str:
    """Return the options of an implementation, each with its values and a sentence."""
    lines = [name]
    for option in listed:
        default = f" Default: {option.default}." if option.default else ""
        bare = f" {option.name} alone: {option.bare}." if option.bare else ""
        lines += [f"  {option.written}", f"      {option.says}{default}{bare}"]
    return "\n".join(lines)


def _fitted(listed: Sequence[Implementation], columns: int) -> Iterator[str]:
    """Yield a line for each implementation; what does not fit into ``columns`` is left out.

    First "all 9 operators" stands for their names, then there is no family, then the operators are
    counted, and at last there is no version. Names stay whole; the command that installs what is
    missing is whole or left out.
    """
    names = ["implementation", *(i.name for i in listed)]
    version = ["version", *(i.version if i.installed else "-" for i in listed)]
    family = ["family", *(i.family for i in listed)]
    for shown, says in (
        ([names, version, family], _named),
        ([names, version, family], _shortly),
        ([names, version], _shortly),
        ([names, version], _counted),
        ([names], _counted),
    ):
        operators = ["operators", *(f"{says(i)}{_form(i)}" for i in listed)]
        widths = [max(map(len, cells)) + 2 for cells in shown]
        if sum(widths) + max(map(len, operators)) <= columns:
            break
    for row, text in enumerate(operators):
        missing = row > 0 and not listed[row - 1].installed
        cells = shown[:1] if missing else shown  # how to install it needs the room
        left = "".join(c[row].ljust(w) for c, w in zip(cells, widths, strict=False))
        hint = listed[row - 1].hint if missing else ""
        if len(left + hint) > columns:  # half a command is of no use
            hint = hint.partition(":")[0]
        yield left + (hint if missing else text)


def _form(implementation: Implementation) -> str:
    """Return what it takes, if that is not arrays of NumPy."""
    if implementation.arrays == NUMPY:
        return ""
    device = "" if implementation.device == "cpu" else f" on {implementation.device}"
    return f" ({implementation.traits.noun}{device})"


def _named(implementation: Implementation) -> str:
    """Return the forward operators and the number of gradients."""
    gradients = [operator for operator in implementation.operators if operator.endswith("_grad")]
    names = [operator for operator in implementation.operators if operator not in gradients]
    parts = [", ".join(names)] if names else []
    return " and ".join(parts + ([_plural(len(gradients), "gradient")] if gradients else []))


def _shortly(implementation: Implementation) -> str:
    complete = len(implementation.operators) == len(SIGNATURES)
    return f"all {len(SIGNATURES)} operators" if complete else _named(implementation)


def _counted(implementation: Implementation) -> str:
    return f"{len(implementation.operators)} of {len(SIGNATURES)}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + 's'}"
