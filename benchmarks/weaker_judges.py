"""The project's defects through four weaker judges, side by side with convformance.

Each judge is set up as its users would do it (`benchmarks.judges`), and each defect is a fresh
implementation for each judge. A cell says how many defects the judge catches, and how many it could
know: a defect in operators or dtypes for which a judge has no calls counts as missed. The last row
says how many of the correct implementations each judge accuses.

    python -m benchmarks.weaker_judges                   the table
    python -m benchmarks.weaker_judges --only padding    one kind of defect, or one defect
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from benchmarks.hunting import default_plan, hunt
from benchmarks.judges import Sample, accuses, fixed_shape, known, onnx_nodes, opinfo
from benchmarks.judges import plain_hypothesis as plain
from benchmarks.measure import show_progress
from conformance.dtypes import FLOATS
from conformance.registration.implementation import Implementation
from tests.correct import correct
from tests.defects import defects

STEP = 8
"""One in this many cases of the default tier is judged for the correct implementations, which the
benchmark of detection judges on all cases."""

Make = Callable[[], Implementation]
"""A function that makes a fresh implementation."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one judge about one implementation."""

    known: bool
    accused: bool


def main_dtype(implementation: Implementation) -> str | None:
    """Return the dtype that a user would test in first: float32 where it is claimed."""
    claimed = [dtype for dtype in FLOATS if dtype in implementation.dtypes]
    return "float32" if "float32" in claimed else next(iter(claimed), None)


def by_fixed_shape(make: Make) -> Outcome:
    """Judge by ``allclose`` on five random inputs of one shape."""
    implementation = make()
    dtype = main_dtype(implementation)
    samples = _fixed(dtype) if dtype else []
    if not known(implementation, samples):
        return Outcome(False, False)
    return Outcome(True, accuses(implementation, samples, fixed_shape.compare))


def by_opinfo(make: Make) -> Outcome:
    """Judge by ``assert_close`` on PyTorch's own sample inputs."""
    implementation = make()
    samples = [s for s in _opinfo() if s.case.dtype in implementation.dtypes]
    return Outcome(known(implementation, samples), accuses(implementation, samples, opinfo.compare))


def by_onnx(make: Make) -> Outcome:
    """Judge by ONNX's node test cases."""
    implementation = make()
    samples = [s for s in _onnx() if s.case.dtype in implementation.dtypes]
    return Outcome(
        known(implementation, samples), accuses(implementation, samples, onnx_nodes.compare)
    )


def by_hypothesis(make: Make) -> Outcome:
    """Judge by a plain Hypothesis test."""
    implementation = make()
    dtype = main_dtype(implementation)
    if dtype is None or not plain.knows(implementation, dtype):
        return Outcome(False, False)
    return Outcome(True, plain.accuses(implementation, dtype))


def by_convformance(make: Make, step: int = 1) -> Outcome:
    """Judge by convformance's default tier, or by one case in ``step`` of it."""
    return Outcome(True, hunt(make(), None, default_plan(), step=step).caught is not None)


JUDGES: dict[str, Callable[[Make], Outcome]] = {
    "allclose 1e-2": by_fixed_shape,
    "OpInfo samples": by_opinfo,
    "ONNX node tests": by_onnx,
    "Hypothesis 1e-5": by_hypothesis,
    "convformance": by_convformance,
}

_fixed: Callable[[str], list[Sample]] = cache(fixed_shape.samples)
_opinfo: Callable[[], list[Sample]] = cache(opinfo.samples)
_onnx: Callable[[], list[Sample]] = cache(onnx_nodes.samples)


def table(
    results: Sequence[tuple[str, dict[str, Outcome]]], accused: Sequence[int]
) -> Iterator[str]:
    """Yield the lines of the table: each kind, all kinds, and the correct implementations."""
    yield f"| kind | defects | {' | '.join(JUDGES)} |"
    yield f"| --- | ---: | {' | '.join('---:' for _ in JUDGES)} |"
    for kind in (*sorted({kind for kind, _ in results}), "all"):
        rows = [outcomes for own, outcomes in results if kind in (own, "all")]
        cells = []
        for judge in JUDGES:
            caught = sum(outcomes[judge].accused for outcomes in rows)
            could = sum(outcomes[judge].known for outcomes in rows)
            cells.append(f"{caught}" if could == len(rows) else f"{caught} of {could}")
        yield f"| {kind} | {len(rows)} | {' | '.join(cells)} |"
    shares = []
    for judge in JUDGES:
        caught = sum(outcomes[judge].accused for _, outcomes in results)
        shares.append(f"{100 * caught / max(1, len(results)):.0f} %")
    yield f"| caught of all | | {' | '.join(shares)} |"
    yield f"| correct ones accused | | {' | '.join(map(str, accused))} |"


def main() -> int:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="one kind of defect, or one defect")
    options = parser.parse_args()
    chosen = [d for d in defects() if options.only in (None, d.kind, d.name)]
    results = []
    for defect in chosen:
        show_progress(defect.name)
        results.append(
            (defect.kind, {name: judge(defect.implementation) for name, judge in JUDGES.items()})
        )
    accused = []
    for name, judge in (JUDGES | {"convformance": partial(by_convformance, step=STEP)}).items():
        show_progress(f"correct ones, {name}")
        accused.append(sum(judge(sample.implementation).accused for sample in correct()))
    show_progress("")
    print("\n### Defects caught, by judge (of those it could know)\n")
    print("\n".join(table(results, accused)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
