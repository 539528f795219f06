"""Runs killed at random moments: no block is lost or counted twice, and each resumes to the end.

    python -m benchmarks.crashes --times 50

Each time the run itself, one of its processes, or one of its workers is killed (SIGKILL) after a
random while. Then it goes on with ``--resume``, and what its file says is compared with a run that
nothing stopped.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
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
    *("--check", "result", "--suite", "none", "--examples", "20", "--jobs", "2"),
    *("--seconds", "1000"),  # so that no clock ends a cell on a busy machine
)


def main() -> int:
    """Kill runs as often as is asked for; return 1 if one of them said anything else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, told = random.Random(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        begun = time.monotonic()
        run(whole)
        takes = time.monotonic() - begun
        expected = said(whole)
        for number in range(given.times):
            output = Path(folder) / f"run{number}"
            victim = killed(output, rng.uniform(0.05, takes), rng)
            run(output, "--resume")
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
    command = [*RUN, "--output", str(output)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    time.sleep(seconds)
    children = descendants(process.pid)
    victim = rng.choice(["the run", "a process of it"]) if children else "the run"
    try:
        os.kill(rng.choice(children) if victim != "the run" else process.pid, signal.SIGKILL)
    except ProcessLookupError:
        victim = "nothing, being too late,"
    process.wait()
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
