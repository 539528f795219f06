"""Options that several commands share."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from conformance.reports import Report
    from conformance.running.selection import Selection


_COMMA = re.compile(r",(?![^\[\]]*\])")


def many(
    *names: str, help: str, read: Callable[[tuple[str, ...]], Any] = tuple
) -> Callable[[Any], Any]:
    """Return an option that may be repeated, and takes several values separated by commas.

    ``-x a,b -x c`` gives ``read(("a", "b", "c"))``; without the option the value is None. A comma
    in brackets separates the options of one: ``-i 'torch[device=cuda,tf32=on],jax'``.
    """

    def split(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
        parts = tuple(part.strip() for value in values for part in _COMMA.split(value))
        if any(not part for part in parts):
            raise click.BadParameter("an empty name; write names separated by commas", ctx, option)
        return read(parts) if parts else None

    return click.option(*names, multiple=True, callback=split, help=help)


class _Whole(click.IntRange):
    name = "integer"  # click's own is "integer range", in messages too


def whole(minimum: int, maximum: int | None = None) -> click.IntRange:
    """Return the type of an option that takes whole numbers from ``minimum`` to ``maximum``."""
    return _Whole(minimum, maximum)


class _Seconds(click.FloatRange):
    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):  # no comparison with NaN is true, so a budget of NaN would never end
            self.fail(f"{value!r} is not a positive number", param, ctx)
        return number


def seconds() -> click.FloatRange:
    """Return the type of an option that takes a positive number of seconds."""
    return _Seconds(0, min_open=True)


def dims(texts: tuple[str, ...]) -> tuple[int, ...]:
    """Return numbers of spatial dimensions as numbers."""
    for text in texts:
        if text not in ("1", "2", "3"):
            raise click.BadParameter(f"'{text}'; allowed: 1, 2, 3", param_hint="--dims")
    return tuple(map(int, texts))


def output(default: str, help: str) -> Callable[[Any], Any]:
    """Return the option that names a folder; it is an error if that cannot be one."""

    def folder(ctx: click.Context, option: click.Parameter, name: str) -> Path:
        path = Path(name)
        if not name:
            raise click.BadParameter("'' names no folder", param_hint="--output")
        if path.exists() and not path.is_dir():
            raise click.BadParameter(f"{name} is a file; name a folder", param_hint="--output")
        return path

    return click.option(
        "--output",
        default=default,
        show_default=True,
        metavar="FOLDER",
        callback=folder,
        help=help,
    )


def new_file(ctx: click.Context, option: click.Parameter, name: str | None) -> Path | None:
    """Return the path of a file that is to be written; it is an error if it is there."""
    if name is None:
        return None
    path = Path(name)
    if not name or path.exists() or path.is_symlink():
        problem = f"{name}: is there already; name another file" if name else "'' names no file"
        raise click.BadParameter(problem, param_hint=option.opts[0])
    make_folder(path.parent)
    return path


def write(path: Path, text: str) -> None:
    """Write ``text`` into a file, all of it or nothing; raise `click.FileError` where that fails.

    What is no file, such as a named pipe, is written into.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = path.resolve()  # a link stays one
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as problem:
        raise click.FileError(str(path), hint=problem.strerror or str(problem)) from None


def write_all(texts: Mapping[Path, Callable[[], str]]) -> list[Path]:
    """Write files, and return those that could be written; a line on stderr names each other one.

    What could not be written must not hide what is on the screen.
    """
    written = []
    for path, text in texts.items():
        try:
            write(path, text())
            written.append(path)
        except click.FileError as problem:
            print(f"convformance: warning: {problem.format_message()}", file=sys.stderr)
    return written


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there; raise `click.FileError` where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise click.FileError(str(path), hint=problem.strerror or str(problem)) from None


def print_report(
    report: Report, *, as_json: bool, verbose: bool = False, quiet: bool = False
) -> None:
    """Print a report on one screen, with all its tables if ``verbose``, or as JSON.

    If ``quiet``, the outcome in one sentence. Of a run that only timed, the table is what was asked
    for.
    """
    from conformance.reports.as_json import as_json as to_json
    from conformance.reports.headline import headline
    from conformance.reports.screen import show_screen
    from conformance.reports.terminal import show

    if as_json:
        click.echo(json.dumps(to_json(report), indent=2, allow_nan=False))
    elif quiet:
        click.echo(headline(report))
    elif verbose or not report.cells:
        show(report)
    else:
        show_screen(report)


def only_one_of(*, verbose: bool, quiet: bool) -> None:
    """Raise `click.UsageError` where more and less is asked for at once."""
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet exclude each other; give one of them")


def typed() -> str:
    """Return the command as it was typed, safe to paste."""
    return shlex.join(["convformance", *(click.get_current_context().obj or ())])


def keep_stdout() -> contextlib.redirect_stdout[Any]:
    """Return a context in which the output of plugins and implementations goes to stderr.

    stdout is for the result alone: ``--json`` is read by programs.
    """
    return contextlib.redirect_stdout(sys.stderr)


implementations = many(
    "--implementation", "-i", "implementations", help="Which ones; default: all."
)
plugins = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Python file that registers implementations (repeatable).",
)
programs = click.option(
    "--program",
    "programs",
    multiple=True,
    metavar="COMMAND",
    help="Program in any language, which speaks the protocol of docs/programs.md (repeatable): "
    "'node my_conv.mjs'.",
)
libraries = click.option(
    "--library",
    "libraries",
    multiple=True,
    metavar="FILE",
    help="Shared library with functions of convformance.h, which 'convformance new --for library' "
    "writes (repeatable).",
)
modules = click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="FILE[:CLASS]",
    help="Python file with Model and ModelNew, as KernelBench has, or with custom_kernel(data), as "
    "GPU MODE has (repeatable).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet = click.option(
    "--quiet",
    "-q",
    is_flag=True,
    help="Show no progress and no table: the outcome in one sentence.",
)
verbose = click.option(
    "--verbose", "-v", is_flag=True, help="Print all tables, reasons and messages in full."
)


class _Seed(_Whole):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value != "random":
            return int(super().convert(value, param, ctx))
        from conformance.running.plan import draw_seed

        drawn = draw_seed()
        click.echo(f"seed {drawn} was drawn; --seed {drawn} repeats it", err=True)
        return drawn


seed = click.option(
    "--seed",
    type=_Seed(0),
    default=0,
    show_default=True,
    metavar="INTEGER|random",
    help="What cases and data are made from; 'random' draws and prints one.",
)
spec_file = click.option("--spec", metavar="FILE", help="Spec file that replaces the defaults.")


def isolation(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where calls are made, and their limits of time and memory."""
    for option in (_environments, _pythons, _call_memory, _call_seconds, interpret, _isolate):
        command = option(command)
    return surroundings(command)


def surroundings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is imported, and entered, before the calls."""
    return _imports(_around(command))


def selection(
    *,
    call_seconds: float | None,
    call_memory: int | None,
    pythons: tuple[str, ...],
    environments: str | None,
    **fields: Any,
) -> Selection:
    """Return the selection that the options of a command make.

    The options of `isolation` are read here; every other option has the name of its field.
    """
    from conformance.arrays import interpreters
    from conformance.isolation.remote_plugins import start_loading
    from conformance.registration.place import Limits

    limits = Limits()
    if call_seconds is not None:
        limits = replace(limits, seconds=call_seconds)
    if call_memory is not None:
        limits = replace(limits, memory=call_memory << 20)
    interpreters.switch(fields["interpret"])
    start_loading(fields.get("plugins", ()), fields.get("isolate"), limits)
    # The rest is imported while the plugins' workers start.
    from conformance.isolation.environments import Environment, read
    from conformance.running.selection import Selection

    named = tuple(Environment.parse(text) for text in pythons)
    listed = read(environments) if environments is not None else ()
    return Selection(limits=limits, environments=named + listed, **fields)


_pythons = click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="NAME@LABEL=PYTHON",
    help="Add an implementation as it is in another interpreter: torch@old=/path/to/python.",
)
_environments = click.option(
    "--environments",
    "environments",
    metavar="FILE",
    help="Add those of a TOML file's [[environment]] tables.",
)
_isolate = click.option(
    "--isolate/--no-isolate",
    default=None,
    help="Call every implementation, or none, in a worker process of its own; default: plugins and "
    "what needs a package.",
)
interpret = click.option(
    "--interpret",
    is_flag=True,
    help="Run kernels of Triton, Pallas and Numba's CUDA in their interpreters, without a GPU.",
)
_imports = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="Import a module in the workers: a backend that registers a device (repeatable).",
)
_around = click.option(
    "--around",
    "around",
    multiple=True,
    metavar="MODULE:CONTEXT",
    help="Enter a context manager in the workers, around all calls: a library that overrides "
    "operators of an engine (repeatable).",
)
_call_seconds = click.option(
    "--call-seconds",
    type=seconds(),
    help="Seconds that a call in a worker may take, more for large cases.  [default: 30]",
)
_call_memory = click.option(
    "--call-memory",
    type=whole(1),
    metavar="MIB",
    help="Memory that a worker may hold.  [default: half of the machine's]",
)
