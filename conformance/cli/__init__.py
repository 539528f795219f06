"""The command line: thin layers over the library's functions.

Only the commands know runs, implementations and reports at the same time. Every command imports
its modules when it runs, so that listing implementations stays quick.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click
from click.exceptions import NoArgsIsHelpError

from conformance.errors import ConformanceError, unknown

_COMMANDS = {
    "list": "list every implementation, whether it is installed, and what it has",
    "new": "write a file to start from: every operator, an example that works, tests",
    "run": "judge implementations on generated and curated cases",
    "fuzz": "judge ever new cases until it is stopped, and keep what is found",
    "merge": "join run files: the shards of a run, or runs of several machines",
    "replay": "show one case: inputs, exact result, outputs, verdicts",
    "explain": "show what implementations do on one small case, array by array",
    "time": "time implementations on layers of real networks, and verify what is timed",
    "report": "print a run file again, or write its reports",
    "compare": "say what changed between two runs, or two implementations of one",
    "history": "show how implementations did in several runs, in the order of time",
    "spec": "show what generation draws from, and how well it covers it",
}


_CLOSED_PIPE = 128 + 13
"""The exit status of a program that SIGPIPE ends, as shells report it."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Commands(click.Group):
    """The commands, each in a module of its own that is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            raise click.UsageError(unknown("command", cmd_name, _COMMANDS))
        module = __import__(f"conformance.cli.{cmd_name}_command", fromlist=["command"])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="convformance")
def cli() -> None:
    """The conformance suite for convolution and pooling."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: all conform; 1: something violates; 2: the call itself was wrong, or the result could not be
    shown, as one line on stderr says; 3: too little was compared to say that all conform;
    130: interrupted; 141: whoever read the output has closed the pipe, as for a program that
    SIGPIPE ends.
    """
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = _run(typed)
        sys.stdout.flush()  # here, and not when the interpreter ends
        return status
    except BrokenPipeError:
        status = _CLOSED_PIPE
    except SystemExit as ended:  # rich ends the program with 1 where a pipe is closed
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        status = _CLOSED_PIPE
    except OSError as problem:
        if problem.errno not in _NO_SPACE:
            raise
        with contextlib.suppress(OSError):
            _complain(f"cannot write: {problem.strerror}")
        status = 2
    for stream in (sys.stdout, sys.stderr):
        _drop_unwritten(stream)
    return status


def _run(typed: Sequence[str]) -> int:
    if "_CONVFORMANCE_COMPLETE" in os.environ:  # a shell completes what is typed
        cli.main(prog_name="convformance")
    try:
        # Not by `cli.main`, which ends the program with 1 where a pipe is closed.
        with cli.make_context("convformance", list(typed), obj=tuple(typed)) as context:
            status = cli.invoke(context)
    except click.exceptions.Exit as ended:  # of --help and --version
        return ended.exit_code
    except ConformanceError as problem:
        return _complain(str(problem))
    except NoArgsIsHelpError as problem:
        click.echo(problem.ctx.get_help() if problem.ctx else "", err=True)
        return 2
    except click.ClickException as problem:
        return _complain(problem.format_message())
    except MemoryError as problem:
        return _complain(f"out of memory: {problem or 'choose smaller cases, or fewer of them'}")
    except (KeyboardInterrupt, click.Abort):
        print("convformance: interrupted", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0


def _complain(message: str) -> int:
    print(f"convformance: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _drop_unwritten(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere, instead of into a complaint at the end."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):  # also of a stream that is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
