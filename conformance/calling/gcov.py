"""Which lines of a C library run, as gcov counts them where a compiler was told to.

That is GCC with `OPTIONS`: the library then exports the functions by which its counters are written
to files and set to zero. The program `gcov` reads these, with the notes (``.gcno``) that the
compiler has left beside the library (GCC's manual, *gcov: a Test Coverage Program*).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

OPTIONS = "--coverage -Wl,-u,__gcov_dump,-u,__gcov_reset"
_FUNCTIONS = ("__gcov_dump", "__gcov_reset")
_PREFIX = "GCOV_PREFIX"
"""The environment variable that says below which folder counters are written."""
_SECONDS = 30.0


class Line(NamedTuple):
    """A line that can be executed: the name of its function, and how often it was."""

    function: str
    times: int


class Counters:
    """The counters of one library, which are this process's own."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._dump, self._reset = (getattr(library, name) for name in _FUNCTIONS)

    @classmethod
    def of(cls, library: ctypes.CDLL) -> Counters | None:
        """Return the counters of a library, None if it has none."""
        try:
            return cls(library)
        except AttributeError:
            return None

    def executed(self) -> set[tuple[str, int]]:
        """Return the lines, each with its file, that were executed since this was asked last."""
        with tempfile.TemporaryDirectory(prefix="convformance-gcov-") as folder:
            before = os.environ.get(_PREFIX)
            os.environ[_PREFIX] = folder
            try:
                self._dump()
                self._reset()
            finally:
                if before is None:
                    del os.environ[_PREFIX]
                else:
                    os.environ[_PREFIX] = before
            counts = [*Path(folder).rglob("*.gcda")]
            for file in counts:  # gcov looks for the notes beside them
                notes = Path("/", file.relative_to(folder)).with_suffix(".gcno")
                file.with_suffix(".gcno").symlink_to(notes)
            lines = lines_of(counts)
        return {(file, line) for file, own in lines.items() for line in own if own[line].times}


def lines_of(files: Iterable[Path]) -> Mapping[str, Mapping[int, Line]]:
    """Return the lines of each source, by its path: of counters, or of notes alone, none executed.

    It is empty where there is no `gcov` that writes JSON, as that of GCC 9 and later does.
    """
    found: dict[str, dict[int, Line]] = defaultdict(dict)
    program = shutil.which("gcov")
    names = sorted(str(file) for file in files)
    if program is None or not names:
        return found
    command = [program, "--json-format", "--stdout", *names]
    with tempfile.TemporaryDirectory() as folder:
        try:
            told = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=True
            ).stdout
            reports = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        except (OSError, subprocess.SubprocessError, ValueError):
            return found
    for report in reports:
        for source in report["files"]:
            path = os.path.realpath(
                os.path.join(report["current_working_directory"], source["file"])
            )
            for line in source["lines"]:
                number, times = line["line_number"], line["count"]
                if number in found[path]:  # of several instances of a template
                    times += found[path][number].times
                found[path][number] = Line(line.get("function_name", ""), times)
    return found
