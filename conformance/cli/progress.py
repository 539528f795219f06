"""Progress, on stderr, of the commands that take a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.running.selection import Progress


@contextlib.contextmanager
def shown() -> Iterator[Progress]:
    """Show progress on stderr: a bar on a terminal, else a line for each tenth of the way."""
    if not sys.stderr.isatty():
        shown = -1

        def line(done: int, total: int, description: str) -> None:
            nonlocal shown
            if total and done * 10 // total > shown:
                shown = done * 10 // total
                print(f"{100 * done // total:3d} %  {description}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    share, label = TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.description}")
    columns = (BarColumn(), share, TimeElapsedColumn(), label)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, description: bar.update(
            task, completed=done, total=total, description=description
        )
