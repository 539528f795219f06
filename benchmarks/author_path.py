"""A kernel author's path: from the command to the shrunk violation of a wrong convolution.

The process is timed as a whole, from its start to its exit: once with an empty cache of cases
(``cold``), and once with a cache that an earlier run has filled (``cached``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import interleaved, print_table, seconds_of, summary

ROUNDS = 5
PLUGIN = Path(__file__).parent.parent / "examples" / "ignores_dilation.py"
VARIANTS = {
    "default tier": (),
    "default tier, -x": ("-x",),
    "smoke tier": ("--tier", "smoke"),
}


def command(folder: Path, *options: str) -> list[str]:
    """Return the command that judges the plugin and writes into ``folder``."""
    chosen = ("--plugin", str(PLUGIN), "--implementation", "ignores-dilation")
    program = (sys.executable, "-m", "conformance", "run")
    return [*program, *chosen, "--output", str(folder / "run"), *options]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def cold(options: tuple[str, ...], number: int) -> float:
            with tempfile.TemporaryDirectory() as cache:
                return seconds_of(command(folder, *options), expect=1, XDG_CACHE_HOME=cache)

        def cached(options: tuple[str, ...], number: int) -> float:
            cache = str(folder / "cache")
            return seconds_of(command(folder, *options), expect=1, XDG_CACHE_HOME=cache)

        works = {}
        for variant, options in VARIANTS.items():
            works[f"{variant}, cold"] = lambda number, options=options: cold(options, number)
            works[f"{variant}, cached"] = lambda number, options=options: cached(options, number)
            cached(options, 0)
        results = interleaved(works, ROUNDS)
        shown = subprocess.run(
            command(folder, "--json"), capture_output=True, text=True, check=False
        )
    rows = [(name, summary(values, 2), f"{max(values):.2f}") for name, values in results.items()]
    title = (
        f"From the command to the end of the run that shows the shrunk violation, {ROUNDS} rounds"
    )
    print_table(f"{title}, seconds", ("", "median", "worst"), rows)
    (judged,) = json.loads(shown.stdout)["implementations"]
    for cell in judged["cells"]:
        for violation in cell["violations"]:
            print(f"{violation['requirement']}: {violation['case']}")


if __name__ == "__main__":
    main()
