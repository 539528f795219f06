"""Run every script of a run file by itself, and say which of them show their failure.

A defect that its engine alone does not show is an adapter's mistake: `python -m
benchmarks.reproduce convformance-run/run.sqlite` exits with 1 where there is one. What takes
several calls, or a probe, has a script that makes them through the adapter.
"""

from __future__ import annotations

import sys

from conformance.case import Case
from conformance.registration.registry import get
from conformance.runfile.reading import read
from conformance.runfile.tables import Known, Violation
from tests.reproduction import reproduces, shows


def main(path: str) -> int:
    """Run the scripts of the violations in ``path``; return 1 if one shows nothing, else 0."""
    contents = read(path)
    missing = shown = alone = 0
    not_judged: list[str] = []
    rows: list[Violation | Known] = [*contents.rows(Violation), *contents.rows(Known)]
    for row in rows:
        name = f"{row.implementation} {row.requirement} {row.case}"
        if not row.script:
            not_judged.append(name)
            continue
        implementation, case = get(row.implementation), Case.parse(row.case)
        if row.engine_script:
            dtype = row.requirement == "RESULT-4"
            message = reproduces(implementation, case, row.engine_script, dtype=dtype)
        else:
            message = shows(row.script)
        shown, missing = shown + bool(message), missing + (not message)
        alone += bool(message and row.engine_script)
        verdict = "shows it" if message else "SHOWS NOTHING"
        print(f"{verdict:14}{name}", flush=True)
    print(f"{shown} reproduced, {alone} of them with the engine alone; {missing} not")
    if not_judged:
        print(f"{len(not_judged)} were not judged in that run: {', '.join(not_judged)}")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "convformance-run/run.sqlite"))
