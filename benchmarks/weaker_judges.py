"""The project's defects through four weaker judges, side by side with convformance.

Each judge is set up as its users would (`benchmarks.judges`), and each defect is a fresh
implementation for each of them. A cell says how many it catches, and of how many it could know: a
defect in operators or dtypes that a judge has no calls of is missed by it all the same. The last
row says how many of the correct implementations each one accuses.

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
"""Of the default tier, one case in so many is judged for the correct implementations: the benchmark
of detection judges them on all of it."""

Make = Callable[[], Implementation]
"""Makes an implementation afresh."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one judge says of one implementation."""

    known: bool
    accused: bool


def main_dtype(one: Implementation) -> str | None:
    """Return the dtype that a user would test in first: float32 where it is claimed."""
    claimed = [dtype for dtype in FLOATS if dtype in one.dtypes]
    return "float32" if "float32" in claimed else next(iter(claimed), None)


def by_fixed_shape(make: Make) -> Outcome:
    """Judge by ``allclose`` on five random inputs of one shape."""
    one = make()
    dtype = main_dtype(one)
    samples = _fixed(dtype) if dtype else []
    if not known(one, samples):
        return Outcome(False, False)
    return Outcome(True, accuses(one, samples, fixed_shape.compare))


def by_opinfo(make: Make) -> Outcome:
    """Judge by ``assert_close`` on PyTorch's own sample inputs."""
    one = make()
    samples = [s for s in _opinfo() if s.case.dtype in one.dtypes]
    return Outcome(known(one, samples), accuses(one, samples, opinfo.compare))


def by_onnx(make: Make) -> Outcome:
    """Judge by ONNX's node test cases."""
    one = make()
    samples = [s for s in _onnx() if s.case.dtype in one.dtypes]
    return Outcome(known(one, samples), accuses(one, samples, onnx_nodes.compare))


def by_hypothesis(make: Make) -> Outcome:
    """Judge by a plain Hypothesis test."""
    one = make()
    dtype = main_dtype(one)
    if dtype is None or not plain.knows(one, dtype):
        return Outcome(False, False)
    return Outcome(True, plain.accuses(one, dtype))


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


def table(found: Sequence[tuple[str, dict[str, Outcome]]], accused: Sequence[int]) -> Iterator[str]:
    """Yield the lines of the table: one a kind, all of them, and the correct implementations."""
    yield f"| kind | defects | {' | '.join(JUDGES)} |"
    yield f"| --- | ---: | {' | '.join('---:' for _ in JUDGES)} |"
    for kind in (*sorted({kind for kind, _ in found}), "all"):
        mine = [outcomes for own, outcomes in found if kind in (own, "all")]
        cells = []
        for judge in JUDGES:
            caught = sum(outcomes[judge].accused for outcomes in mine)
            could = sum(outcomes[judge].known for outcomes in mine)
            cells.append(f"{caught}" if could == len(mine) else f"{caught} of {could}")
        yield f"| {kind} | {len(mine)} | {' | '.join(cells)} |"
    shares = []
    for judge in JUDGES:
        caught = sum(outcomes[judge].accused for _, outcomes in found)
        shares.append(f"{100 * caught / max(1, len(found)):.0f} %")
    yield f"| caught of all | | {' | '.join(shares)} |"
    yield f"| correct ones accused | | {' | '.join(map(str, accused))} |"


def main() -> int:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="one kind of defect, or one defect")
    options = parser.parse_args()
    chosen = [d for d in defects() if options.only in (None, d.kind, d.name)]
    found = []
    for defect in chosen:
        show_progress(defect.name)
        found.append(
            (defect.kind, {name: judge(defect.implementation) for name, judge in JUDGES.items()})
        )
    accused = []
    for name, judge in (JUDGES | {"convformance": partial(by_convformance, step=STEP)}).items():
        show_progress(f"correct ones, {name}")
        accused.append(sum(judge(one.implementation).accused for one in correct()))
    show_progress("")
    print("\n### Defects caught, by judge (of those it could know)\n")
    print("\n".join(table(found, accused)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
