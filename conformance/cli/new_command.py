"""``convformance new``: a file of one's own to start from, with every operator and with tests."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli import options
from conformance.errors import ConformanceError
from conformance.templates import INTERPRETED, KINDS, files, library_files


@click.command("new")
@click.argument("path", metavar="FILE", type=Path)
@click.option(
    "--for",
    "kind",
    type=click.Choice((*KINDS, "library")),
    default="numpy",
    show_default=True,
    help="What the example is written in.",
)
def command(path: Path, kind: str) -> None:
    """Write FILE, a Python file to start from, and tests beside it.

    FILE has every operator, gradients among them, and an example that works. With '--for numba' it
    is a loop that Numba compiles; with '--for c' it is in a C file beside, which FILE compiles;
    with '--for torch' it is over tensors of PyTorch, with '--for triton' a kernel in Triton.
    With '--for library' FILE is in C, and convformance.h is written beside it.
    """
    written = library_files(path) if kind == "library" else files(path, kind)
    for file in written:
        if file.exists() or file.is_symlink():
            raise ConformanceError(f"{file}: is there already; name another file")
    options.make_folder(path.parent)
    for file, text in written.items():
        options.write(file, text)
    click.echo(f"written: {', '.join(map(str, written))}")
    if kind == "library":
        built = path.with_name(f"lib{path.stem}.so")
        click.echo(f"build it: cc -O2 -shared -fPIC {path} -o {built}")
        click.echo(f"judge it: convformance run --library {built}")
        return
    if kind in INTERPRETED:
        click.echo(f"judge it without a GPU: convformance run --interpret --plugin {path}")
    click.echo(f"judge it: convformance run --plugin {path}")
