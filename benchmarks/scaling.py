"""Judgments a second in one process, in several, and on a Dask cluster of as many workers.

    python -m benchmarks.scaling --jobs 2

The hand-written implementations are judged whole. Starting up is apart: the processes have loaded
the suite and judged a little before the clock starts, and the cases are in the cache, by a run that
is not timed. What the parent's own work takes is its processor time, as a share of all that judging
took.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import conformance
from conformance.cli import executors
from conformance.runfile.tables import Cell

CHOSEN = "im2col,kernel-matrix,stride-trick,shifted-matmul"
KEEPING_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
}
"""Dask sets the first to 64 KiB for its workers, which has glibc give memory back at every call,
and ask for each array anew (mallopt(3))."""
QUIETLY: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main() -> None:
    """Measure each way once, and print it next to one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--implementation", default=CHOSEN)
    parser.add_argument("--dtype", default="float32,float64")
    parser.add_argument("--seconds", type=float, help="Time budget of a cell.")
    parser.add_argument("--no-dask", action="store_true")
    given = parser.parse_args()
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    threadpool_limits(1)  # one core for each process, this one as well
    selection: dict[str, Any] = {
        "implementations": given.implementation.split(","),
        "dtypes": given.dtype.split(","),
        "seconds": given.seconds,
    }
    with executors.started(given.jobs, None) as executor:
        measured(executor, selection)
    alone = 0.0
    ways = ["one process", f"--jobs {given.jobs}"]
    ways += [] if given.no_dask else [f"--dask, {given.jobs} workers"]
    for way in ways:
        jobs = 1 if way == "one process" else given.jobs
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(cluster(jobs)) if "dask" in way else None
            started = executors.started(1 if address else jobs, address)
            executor = stack.enter_context(started)
            warm_up(executor, jobs, selection)
            judgments, seconds, own, blocks, judging = measured(executor, selection)
        rate = judgments / seconds
        alone = alone or rate
        print(
            f"{way:20} {judgments:9,} judgments {seconds:7.1f} s {rate:8,.0f} a second, "
            f"{rate / alone:.2f} times; parent {1000 * own / blocks:.1f} ms for each of "
            f"{blocks} blocks, {own / judging:.2%} of the {judging:.0f} s of judging",
            flush=True,
        )


def warm_up(executor: Executor | None, jobs: int, selection: dict[str, Any]) -> None:
    """Let every process judge a little."""
    for _ in range(2 if executor else 1):
        measured(
            executor, {**selection, "tier": "smoke", "examples": 2, "suites": (), "seconds": 0.01}
        )


def measured(
    executor: Executor | None, selection: dict[str, Any]
) -> tuple[int, float, float, int, float]:
    """Return the judgments, the seconds, those of this process, the blocks, and theirs."""
    with tempfile.TemporaryDirectory() as folder:
        begun, own = time.monotonic(), time.process_time()
        run = conformance.run(executor=executor, output=Path(folder), **selection)
        seconds, own = time.monotonic() - begun, time.process_time() - own
        cells = run.rows(Cell.table)
    judging = sum(cell["seconds"] for cell in cells)
    blocks = len({(cell["operator"], cell["dims"]) for cell in cells})
    return sum(cell["compared"] for cell in cells), seconds, own, blocks, judging


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Start a scheduler and workers of one thread each, and yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    dask = (sys.executable, "-m")
    plain = ("--no-dashboard",)
    commands: list[tuple[str, ...]] = [
        (*dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port)
    ]
    commands += [(*dask, "distributed.cli.dask_worker", address, "--nthreads", "1")] * workers
    environment = {**os.environ, **KEEPING_MEMORY}
    processes = [
        subprocess.Popen((*command, *plain), env=environment, **QUIETLY) for command in commands
    ]
    from distributed import Client

    try:
        with Client(address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=300)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
