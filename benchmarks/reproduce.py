"""Run every engine script of a run file by itself, and say which of them show their failure.

A defect that its engine alone does not show is an adapter's mistake: `python -m
benchmarks.reproduce convformance-run/run.sqlite` exits with 1 where there is one.
"""

from __future__ import annotations

import sys

from conformance.case import Case
from conformance.registration.registry import get
from conformance.runfile.reading import read
from conformance.runfile.tables import Known, Violation
from tests.reproduction import reproduces


def main(path: str) -> int:
    """Run the scripts of the violations in ``path``; return 1 if one shows nothing, else 0."""
    contents = read(path)
    missing = shown = without = 0
    rows: list[Violation | Known] = [*contents.rows(Violation), *contents.rows(Known)]
    for row in rows:
        if not row.engine_script:
            without += 1
            continue
        implementation, case = get(row.implementation), Case.parse(row.case)
        message = reproduces(
            implementation, case, row.engine_script, dtype=row.requirement == "RESULT-4"
        )
        shown, missing = shown + bool(message), missing + (not message)
        verdict = "shows it" if message else "SHOWS NOTHING"
        print(f"{verdict:14}{row.implementation} {row.requirement} {row.case}", flush=True)
    print(f"{shown} reproduced, {missing} not, {without} without a script of the engine alone")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "convformance-run/run.sqlite"))
