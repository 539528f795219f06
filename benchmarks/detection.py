"""How many wrong implementations are caught, and whether a correct one is ever accused.

Every defect of ``tests/defects`` and every correct implementation of ``tests/correct`` goes through
the default tier. A defect counts as caught when a shrunk violation cites a requirement of the check
that the defect names. Its time begins with its first call, and does not include making or loading
the cases, which a run does before it judges anything. Correct implementations are judged to the
end.

    python -m benchmarks.detection                 both, and a table by check
    python -m benchmarks.detection --list          every defect, with its smallest case
    python -m benchmarks.detection --only memory   one kind, one name, or "correct"
    python -m benchmarks.detection --only correct --seeds 20 --jobs 2
                                                   the correct ones on 20 sets of cases, a part of
                                                   each: 20 minutes at most
    python -m benchmarks.detection --write         and write the table into docs/evidence.md
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

from benchmarks.hunting import Outcome, bank, default_plan, examined, hunt
from benchmarks.measure import show_progress
from conformance.requirements import CHECKS
from tests.correct import correct
from tests.defects import Defect, defects

Found: TypeAlias = Sequence[tuple[Defect, Outcome]]
Trial: TypeAlias = tuple[int, float, list[str]]
"""Judgments, seconds and accusations."""

STEP = 8
"""One in this many cases is judged where there are several seeds."""
EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence.md"
_MARKED = re.compile(r"(<!-- detection -->\n).*?(<!-- /detection -->)", re.DOTALL)


def main() -> int:
    """Judge, print, and return 1 where a defect is missed or a correct one accused."""
    options = _options()
    names = [d.name for d in defects() if options.only in (None, d.kind, d.name)]
    right = [sample.name for sample in correct() if options.only in (None, "correct", sample.name)]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        hunts = [pool.submit(_hunt, names[i :: options.jobs * 8]) for i in range(options.jobs * 8)]
        sets = range(options.seeds if right else 0)
        step = options.step or (STEP if options.seeds > 1 else 1)
        trials = [pool.submit(_try, right, seed, step) for seed in sets]
        parts: list[Future[list[Outcome]] | Future[Trial]] = [*hunts, *trials]
        for number, done in enumerate(as_completed(parts), 1):
            show_progress(f"{number} of {len(parts)} parts")
            done.result()
        show_progress("")
        outcomes = {outcome.name: outcome for part in hunts for outcome in part.result()}
        trial = [part.result() for part in trials]
    results = [(defect, outcomes[defect.name]) for defect in defects() if defect.name in outcomes]
    table = [*(_table(results) if results else ()), "", *_summary(results, len(right), trial)]
    exceptions, accusations = list(_exceptions(results)), [line for t in trial for line in t[2]]
    print(*table, "", *exceptions, *accusations, sep="\n")
    if options.kinds:
        print("", *_kinds(results), sep="\n")
    if options.list:
        print("", *_list(results), sep="\n")
    if options.write:
        text = EVIDENCE.read_text("utf-8")
        EVIDENCE.write_text(_MARKED.sub(rf"\1{chr(10).join(table)}\n\2", text), "utf-8")
    return 1 if exceptions or accusations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="sets of cases for the correct ones")
    parser.add_argument("--step", type=int, help="judge one case in so many of these")
    parser.add_argument("--only", help='one kind, one name, or "correct"')
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kinds", action="store_true", help="print a table by kind, too")
    parser.add_argument("--list", action="store_true", help="print every defect, too")
    parser.add_argument(
        "--write", action="store_true", help="write the table into docs/evidence.md"
    )
    return parser.parse_args()


# --- what a process does ------------------------------------------------------------------------


def _hunt(names: Sequence[str]) -> list[Outcome]:
    """Hunt the defects called ``names``; their cases are loaded before the time begins."""
    plan = default_plan()
    outcomes = []
    for defect in defects():
        if defect.name not in names:
            continue
        for operator in defect.functions:
            for dims in plan.dims:
                bank(plan.seed, plan.examples, operator, dims)
        implementation = defect.implementation()
        outcome = hunt(implementation, defect.check, plan)
        # The state between calls decides which case fails: a shrunk case is then one of many.
        outcomes.append(outcome if defect.state else examined(implementation, outcome))
    return outcomes


def _try(names: Sequence[str], seed: int, step: int) -> Trial:
    """Judge the correct implementations called ``names`` on one set of cases."""
    accused: list[str] = []
    judged, started, plan = 0, perf_counter(), default_plan(seed, seconds=None)
    for sample in correct():
        if sample.name not in names:
            continue
        outcome = hunt(sample.implementation(), None, plan, step=step)
        judged += outcome.judged
        if outcome.error:
            accused.append(f"- {sample.name}, seed {seed}: the suite raised {outcome.error}")
        if outcome.caught:
            hit = outcome.caught
            accused.append(f"- {sample.name}, seed {seed}: {hit.requirement} {hit.case.id}")
            accused.append(f"  {hit.message}")
    bank.cache_clear()
    return judged, perf_counter() - started, accused


# --- what is printed ----------------------------------------------------------------------------


def _table(results: Found) -> Iterator[str]:
    """Yield a table with a row a check; judgments and seconds are medians, until caught."""
    yield "| check | defects | caught | judgments | seconds | requirements cited most |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for check in (*CHECKS, "all"):
        outcomes = [outcome for defect, outcome in results if check in (defect.check, "all")]
        if not outcomes:
            continue
        cited = Counter(outcome.caught.requirement for outcome in outcomes if outcome.caught)
        listed = ", ".join(name for name, _ in cited.most_common(4))
        yield f"{_counts(check, outcomes)} | {listed if check != 'all' else ''} |"


def _counts(label: str, outcomes: Sequence[Outcome]) -> str:
    """Return the cells that a row has in both tables: how many, how many caught, and how soon."""
    caught = [outcome for outcome in outcomes if outcome.caught]
    return (
        f"| {label} | {len(outcomes)} | {len(caught)} | {_median(o.judged for o in caught):.0f} "
        f"| {_median(o.seconds for o in caught):.2f}"
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median([*values] or [0.0])


def _summary(results: Found, right: int, trial: Sequence[Trial]) -> Iterator[str]:
    if results:
        caught = sum(outcome.caught is not None for _, outcome in results)
        alone = [outcome for _, outcome in results if outcome.alone]
        minimal = sum(outcome.smaller is None for outcome in alone)
        yield (
            f"{caught} of {len(results)} defects are caught by the check that they name; of the "
            f"{len(alone)} that one call shows, the smallest case is minimal for {minimal}."
        )
    if trial:
        judged, accused = sum(t[0] for t in trial), sum(len(t[2]) for t in trial) // 2
        yield (
            f"{right} correct implementations, {len(trial)} seeds, {judged:,} judgments: "
            f"{accused} accused."
        )


def _exceptions(results: Found) -> Iterator[str]:
    for defect, outcome in results:
        if outcome.caught:
            if outcome.smaller is not None:
                least = f"{outcome.caught.case} could be {outcome.smaller}"
                yield f"- {defect.name} ({defect.kind}): not minimal: {least}"
            continue
        requirements = ", ".join(dict.fromkeys(v.requirement for v in outcome.others))
        finding = f"caught by {requirements} instead" if requirements else "missed"
        finding = f"the suite raised {outcome.error}" if outcome.error else finding
        yield (
            f"- {defect.name} ({defect.kind}): {finding}; check: {defect.check}, "
            f"wrong when: {defect.when}; {outcome.judged} judged"
        )


def _kinds(results: Found) -> Iterator[str]:
    yield "| kind | defects | caught | judgments | seconds | most seconds |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for kind in dict.fromkeys(defect.kind for defect, _ in results):
        outcomes = [outcome for defect, outcome in results if kind == defect.kind]
        longest = max((outcome.seconds for outcome in outcomes if outcome.caught), default=0.0)
        yield f"{_counts(kind, outcomes)} | {longest:.1f} |"


def _list(results: Found) -> Iterator[str]:
    yield "| defect | check | requirement | judgments | seconds | smallest case |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for defect, outcome in results:
        hit = outcome.caught
        yield (
            f"| {defect.name} | {defect.check} | {hit.requirement if hit else '-'} "
            f"| {outcome.judged} | {outcome.seconds:.2f} | {hit.case.id if hit else '-'} |"
        )


if __name__ == "__main__":
    raise SystemExit(main())
