"""Runs killed at random moments: no block is lost or counted twice, and each resumes to the end.

    python -m benchmarks.crashes --times 50
    python -m benchmarks.crashes --times 20 --dask

Each time the run itself or one of its processes is killed (SIGKILL) after a random while; with
``--dask`` the run, a worker, or the scheduler. Then it goes on with ``--resume``, and what its file
says is compared with a run that nothing stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from conformance.runfile.reading import read
from conformance.runfile.tables import Cell, Gap, Implementation, Pair, Violation

RUN = (
    *(sys.executable, "-m", "conformance", "run", "-i", "im2col,naive", "--tier", "smoke"),
    *("--operator", "conv,max_pool,conv_bias_grad", "--dims", "1,2", "--dtype", "float32"),
    *("--check", "result", "--suite", "none", "--examples", "20"),
    *("--seconds", "1000"),  # so that no clock ends a cell on a busy machine
)
JOBS = ("--jobs", "2")
QUIETLY: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main() -> int:
    """Kill runs as often as is asked for; return 1 if one of them said anything else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dask", action="store_true", help="on a cluster of two workers")
    given = parser.parse_args()
    rng, told = random.Random(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        run(whole, *JOBS)  # which fills the cache
        begun = time.monotonic()
        run(whole, *JOBS)
        takes = time.monotonic() - begun
        expected = said(whole)
        for number in range(given.times):
            output, seconds = Path(folder) / f"run{number}", rng.uniform(0.05, takes)
            if given.dask:
                victim = killed_on_a_cluster(output, seconds, rng)
            else:
                victim = killed(output, seconds, rng)
            run(output, *JOBS, "--resume")
            found = said(output)
            same = found == expected
            for table, rows in expected.items():
                for row in (found[table] - rows) + (rows - found[table]):
                    print(table, row)
            told[f"{victim} killed, {'the same' if same else 'NOT THE SAME'}"] += 1
            print(number, victim, same, flush=True)
    for line, count in sorted(told.items()):
        print(f"{count:4d}  {line}")
    return int(any("NOT" in line for line in told))


def run(output: Path, *options: str) -> None:
    """Let a run come to its end."""
    command = [*RUN, *options, "--output", str(output)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1, 3):
        raise SystemExit(f"{ended.returncode}: {ended.stderr}")


def killed(output: Path, seconds: float, rng: random.Random) -> str:
    """Begin a run, kill something of it after so many seconds, and return what."""
    process = subprocess.Popen([*RUN, *JOBS, "--output", str(output)], **QUIETLY)
    time.sleep(seconds)
    children = descendants(process.pid)
    victim = rng.choice(["the run", "a process of it"]) if children else "the run"
    try:
        os.kill(rng.choice(children) if victim != "the run" else process.pid, signal.SIGKILL)
    except ProcessLookupError:
        victim = "nothing, being too late,"
    process.wait()
    return victim


def killed_on_a_cluster(output: Path, seconds: float, rng: random.Random) -> str:
    """Begin a run on a cluster, kill something of both, and return what."""
    from distributed import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    dask = sys.executable, "-m"
    plain, two = ("--no-dashboard",), ("--nworkers", "2", "--nthreads", "1")
    scheduler = subprocess.Popen(
        (*dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, *plain),
        **QUIETLY,
    )
    workers = subprocess.Popen(
        (*dask, "distributed.cli.dask_worker", address, *two, *plain),
        **QUIETLY,
    )
    try:
        with Client(address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=300)
        process = subprocess.Popen([*RUN, "--dask", address, "--output", str(output)], **QUIETLY)
        time.sleep(seconds)
        victims = {"the run": process.pid, "the scheduler": scheduler.pid}
        victims["a worker"] = rng.choice(descendants(workers.pid))
        victim = rng.choice(list(victims))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victims[victim], signal.SIGKILL)
        process.wait()
    finally:
        for one in (workers, scheduler):
            for pid in (*reversed(descendants(one.pid)), one.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            one.wait()
    return victim


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()[1:]]
    found = [pid]
    for parent in found:
        found += [child for child, own in rows if own == parent]
    return found[1:]


def said(output: Path) -> dict[str, Counter[Any]]:
    """Return what a run file says but for times: each row with how often it is there."""
    contents = read(output / "run.sqlite")
    return {
        table.table: Counter(
            tuple(getattr(row, f.name) for f in fields(row) if f.name != "seconds")
            for row in contents.rows(table)
        )
        for table in (Cell, Violation, Pair, Gap, Implementation)
    }


if __name__ == "__main__":
    sys.exit(main())
