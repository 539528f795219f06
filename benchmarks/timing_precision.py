"""How far the ratio of two implementations differs from run to run, by three ways to measure it.

Each way compares the same two functions on the same layer, one thread, five times: `convformance
time`, `torch.utils.benchmark` (``blocked_autorange``) and pytest-benchmark with its defaults, all
in new processes, by turns. On a quiet machine the ratio would be the same in each run.

    python -m benchmarks.timing_precision
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import interleaved, print_table, show_progress

LAYER = "resnet50/res4b_branch2b"
FAST, SLOW = "shifted-matmul", "im2col"
RUNS = 5
SECONDS = 3.0
"""For each of the two implementations, as each way is told."""

_COMMON = f"""
import json
from threadpoolctl import threadpool_limits
from conformance.calling import to_layout
from conformance.cases.data import make_inputs
from conformance.registration import registry
from conformance.signatures import SIGNATURES
from conformance.spec import load
from conformance.spec.layers import choose

threadpool_limits(1)
(layer,) = choose(["{LAYER}"], load(None), dtype="float32", seed=0)
roles, parameters = SIGNATURES[layer.case.operator].roles, layer.case.parameters

def function(name):
    return registry.get(name).functions[layer.case.operator]

def inputs(name):
    return to_layout(make_inputs(layer.case), registry.get(name).layout, roles)
"""
_TORCH = f"""{_COMMON}
from torch.utils.benchmark import Timer

def median(name):
    known = {{"f": function(name), "inputs": inputs(name), "parameters": parameters}}
    timer = Timer("f(*inputs, **parameters)", globals=known, num_threads=1)
    return timer.blocked_autorange(min_run_time={SECONDS}).median

print(json.dumps(median("{SLOW}") / median("{FAST}")))
"""
_PYTEST = f"""{_COMMON}
import pytest

@pytest.mark.parametrize("name", ["{SLOW}", "{FAST}"])
def test_time(benchmark, name):
    benchmark(function(name), *inputs(name), **parameters)
"""


def by_convformance(folder: Path) -> float:
    """Return the ratio that `convformance time` prints."""
    names = ("-i", SLOW, "-i", FAST, "--baseline", FAST)
    budget = ("--seconds", str(SECONDS), "--output", str(folder / "time"), "--json")
    rows = json.loads(_run("-m", "conformance", "time", LAYER, *names, *budget))["timings"]
    return next(float(row["ratio"]) for row in rows if row["implementation"] == SLOW)


def by_torch(folder: Path) -> float:
    """Return the ratio of the medians of `torch.utils.benchmark`."""
    return float(_run("-c", _TORCH))


def by_pytest(folder: Path) -> float:
    """Return the ratio of the medians of pytest-benchmark."""
    (folder / "test_time.py").write_text(_PYTEST)
    found = folder / "found.json"
    budget = f"--benchmark-max-time={SECONDS}"
    arguments = (str(folder / "test_time.py"), f"--benchmark-json={found}", budget)
    _run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *arguments)
    rows = json.loads(found.read_text())["benchmarks"]
    slow, fast = (
        next(float(row["stats"]["median"]) for row in rows if row["param"] == name)
        for name in (SLOW, FAST)
    )
    return slow / fast


def _run(*arguments: str) -> str:
    """Run Python with one thread for each library, and return what it prints."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | threads,
    )
    return done.stdout


WAYS: dict[str, Callable[[Path], float]] = {
    "convformance time": by_convformance,
    "torch.utils.benchmark": by_torch,
    "pytest-benchmark": by_pytest,
}


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show_progress(f"{RUNS} runs of {len(WAYS)} ways")
        ratios = interleaved(
            {way: lambda number, f=f: f(folder) for way, f in WAYS.items()},  # type: ignore[misc]
            RUNS,
        )
    load = os.getloadavg()[0]
    print_table(
        f"{SLOW} over {FAST} on {LAYER}, {RUNS} runs (load average at the end {load:.1f})",
        ("way", "ratios", "largest over smallest", "median"),
        [
            (
                way,
                " ".join(f"{ratio:.3f}" for ratio in found),
                f"{100 * (max(found) / min(found) - 1):.1f} %",
                f"{statistics.median(found):.3f}",
            )
            for way, found in ratios.items()
        ],
    )


if __name__ == "__main__":
    main()
