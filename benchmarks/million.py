"""A run of a million judgments: the memory of its parent, its file, its pace, and its report.

    python -m benchmarks.million --jobs 2

After every block it is noted how many judgments the file has, and how much memory the process
holds that takes the blocks. The rate at the start and at the end is that of the first and of the
last tenth of the judgments; blocks differ, so that it is no constant even where nothing slows down.
"""

from __future__ import annotations

import argparse
import mmap
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import conformance
from conformance.cli import executors
from conformance.cli import main as command

CHOSEN = "im2col,kernel-matrix,stride-trick,shifted-matmul"
WARM = 100_000


def main() -> None:
    """Run, and print what was noted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--implementation", default=CHOSEN)
    parser.add_argument("--dtype")
    parser.add_argument("--tier", default="full")
    parser.add_argument("--seconds", type=float, help="Time budget of a cell.")
    given = parser.parse_args()
    noted: list[tuple[float, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"

        def note(done: int, planned: int, activity: str) -> None:
            if activity.split(";")[0].endswith("is done"):
                noted.append((time.monotonic(), judgments(path), resident()))
                print(f"{noted[-1][1]:9,} {noted[-1][2] >> 20} MiB  {activity}", file=sys.stderr)

        begun = time.monotonic()
        with executors.started(given.jobs, None) as executor:
            conformance.run(
                given.implementation.split(","),
                dtypes=given.dtype.split(",") if given.dtype else None,
                tier=given.tier,
                seconds=given.seconds,
                executor=executor,
                output=folder,
                progress=note,
            )
        taken, count = time.monotonic() - begun, judgments(path)
        noted.append((time.monotonic(), count, resident()))
        size = path.stat().st_size
        warm = next(bytes_ for _, number, bytes_ in noted if number >= min(WARM, count))
        print(f"{count:,} judgments in {taken:.0f} s, {count / taken:,.0f} a second")
        print(f"memory after {WARM:,}: {warm >> 20} MiB, at the end: {noted[-1][2] >> 20} MiB")
        print(f"file: {size:,} bytes, {size / count:.1f} a judgment")
        noted.insert(0, (begun, 0, 0))
        for name, low, high in (("first", 0.0, 0.1), ("last", 0.9, 1.0)):
            inside = [n for n in noted if low * count <= n[1] <= high * count]
            around = [n for n in noted if n[1] <= low * count][-1:] + inside
            (first, before, _), (last, after, _) = around[0], around[-1]
            rate = (after - before) / (last - first) if last > first else float("nan")
            print(f"the {name} tenth: {rate:,.0f} a second")
        begun = time.monotonic()
        pages = ("--markdown", f"{folder}/report.md", "--html", f"{folder}/report.html")
        command(("report", str(path), *pages))
        print(f"report: {time.monotonic() - begun:.1f} s")


def judgments(path: Path) -> int:
    """Return how many judgments a run file, or the one that is going to be it, has."""
    beside = path.with_name(f"{path.name}.part")
    file = beside if beside.exists() else path
    database = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        ((count,),) = database.execute("SELECT sum(compared) FROM cell")
    finally:
        database.close()
    return int(count or 0)


def resident() -> int:
    """Return the bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


if __name__ == "__main__":
    main()
