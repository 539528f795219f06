"""Progress, on stderr, of the commands that take a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from conformance.running.selection import Progress

_NARROW = 60
"""A terminal of fewer columns has no room for a bar."""


@contextlib.contextmanager
def shown(*, quiet: bool = False, console: Console | None = None) -> Iterator[Progress]:
    """Show progress on stderr: live on a terminal, else a line for each tenth of the way.

    Live are how far it is, the time it took and the time left, and below it what is called and what
    was found so far. It is gone at the end. Nothing is shown if it is to be ``quiet``.
    """
    if quiet:
        yield lambda done, total, description: None
        return
    if console is None and not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Display(Progress):
        """A line with the bar, and a line with what is called, cut to the width."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for one in self.tasks:
                yield Text(one.description, no_wrap=True, overflow="ellipsis")

    console = console or Console(stderr=True)
    if console.is_dumb_terminal:
        yield _lines()
        return
    share, left = TextColumn("{task.percentage:3.0f} %"), TextColumn("left")
    columns = (share, TimeElapsedColumn(), TimeRemainingColumn(), left)
    bar = () if console.width < _NARROW else (BarColumn(),)
    with Display(*bar, *columns, console=console, transient=True) as display:
        task = display.add_task("starting", total=None)
        yield lambda done, total, description: display.update(
            task, completed=done, total=total, description=description
        )


def _lines() -> Progress:
    shown = -1

    def line(done: int, total: int, description: str) -> None:
        nonlocal shown
        if total and done * 10 // total > shown:
            shown = done * 10 // total
            print(f"{100 * done // total:3d} %  {description}", file=sys.stderr, flush=True)

    return line
