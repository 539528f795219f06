"""How much of what is wrong is caught, and whether what is right is ever accused.

Every defect of ``tests/defects`` and every correct implementation of ``tests/correct`` goes through
the default tier, in this process, in the order in which a run judges: cell by cell, the histories
of calls first. A defect is caught when a violation is found that, shrunk, cites a requirement of
the check that the defect names; its time begins when its first call does, and what ends before is
cases judged and failures shrunk. Correct implementations are judged to the end of every cell.

    python -m benchmarks.detection                    # the table and its exceptions
    python -m benchmarks.detection --seeds 20         # the correct ones on 20 sets of cases
    python -m benchmarks.detection --only memory      # one kind, or one name
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import numpy as np

from conformance.block import Plan, _histories, prepare_block
from conformance.causes import Violation, explain
from conformance.checks import CHECKS, check_for, check_of
from conformance.dtypes import DTYPES, available
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.operators import OPERATORS
from conformance.registry import Implementation
from conformance.spec import load
from tests.correct import correct
from tests.defects import Defect, defects

EXPLAINED = 3
"""Failures of one sort that are shrunk before the next one of that sort is passed over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one implementation, and what it took."""

    name: str
    judged: int
    seconds: float
    caught: Violation | None
    """The first violation of the check that was looked for, shrunk."""
    others: tuple[Violation, ...] = ()
    """Violations of other checks that were found before."""
    error: str = ""
    """What the suite itself raised: a mistake of the suite, whatever it was judging."""


def default_plan(seed: int = 0, examples: int | None = None) -> Plan:
    """Return the plan of the default tier, for every dtype that can be made here."""
    spec = load()
    tier = spec.tiers["default"]
    ordinary = spec.ranges.dtypes
    return Plan(
        implementations=(),
        operators=tuple(OPERATORS),
        dims=spec.ranges.dims,
        dtypes=ordinary,
        claimed=tuple(d for d in DTYPES if d not in ordinary and available(d)),
        checks=CHECKS,
        suites=tier.suites,
        examples=tier.examples if examples is None else examples,
        seconds=tier.seconds,
        seed=seed,
        tier="default",
        spec=spec,
        cache=True,
    )


@lru_cache(maxsize=64)
def _bank(seed: int, examples: int, operator: str, dims: int) -> tuple[Prepared, ...]:
    return tuple(prepare_block(default_plan(seed, examples), operator, dims))


def cells(one: Implementation, plan: Plan) -> Iterator[list[Prepared]]:
    """Yield the cases of each cell in which a run would judge ``one``, in its order."""
    for operator in one.operators:
        for dims in plan.dims:
            bank = _bank(plan.seed, plan.examples, operator, dims)
            for dtype in dict.fromkeys(p.case.dtype for p in bank):
                if dtype in plan.dtypes or dtype in one.dtypes:
                    yield [p for p in bank if p.case.dtype == dtype]


def verdicts(one: Implementation, plan: Plan) -> Iterator[Verdict | None]:
    """Yield what came of every case, and None for a history of calls that shows nothing."""
    with np.errstate(all="ignore"):
        for cell in cells(one, plan):
            yield from _histories(one, cell, plan)
            for prepared in cell:
                yield judge_prepared(one, prepared)[0]


def hunt(one: Implementation, check: str | None, plan: Plan) -> Outcome:
    """Judge ``one`` until a violation of ``check`` is found; of any check where it is None."""
    started = perf_counter()
    try:
        return _hunt(one, check, plan, started)
    except Exception as problem:  # the others are still to be judged
        error = f"{type(problem).__name__}: {problem}"
        return Outcome(one.name, 0, perf_counter() - started, None, (), error)


def _hunt(one: Implementation, check: str | None, plan: Plan, started: float) -> Outcome:
    judged = 0
    others: list[Violation] = []
    explained: Counter[tuple[str | None, str]] = Counter()
    for verdict in verdicts(one, plan):
        judged += 1
        if verdict is None or not verdict.failed:
            continue
        sort = verdict.requirement, check_for(verdict.case)
        explained[sort] += 1
        if explained[sort] > EXPLAINED:
            continue
        violation = next(iter(explain(one, [verdict])))
        if check is None or check_of(violation.requirement) == check:
            seconds = perf_counter() - started
            return Outcome(one.name, judged, seconds, violation, tuple(others))
        others.append(violation)
    return Outcome(one.name, judged, perf_counter() - started, None, tuple(others))


# --- what is printed ----------------------------------------------------------------------------


def _table(found: Sequence[tuple[Defect, Outcome]]) -> Iterator[str]:
    yield "| kind | defects | caught | by the check named | cases, median | seconds, median | most |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    kinds = dict.fromkeys(defect.kind for defect, _ in found)
    for kind in (*kinds, "all"):
        mine = [(d, o) for d, o in found if kind in (d.kind, "all")]
        caught = [o for _, o in mine if o.caught or o.others]
        named = [o for _, o in mine if o.caught]
        judged = statistics.median([o.judged for o in named] or [0])
        seconds = [o.seconds for o in named] or [0.0]
        yield (
            f"| {kind} | {len(mine)} | {len(caught)} | {len(named)} | {judged:.0f} "
            f"| {statistics.median(seconds):.2f} | {max(seconds):.1f} |"
        )


def _exceptions(found: Iterable[tuple[Defect, Outcome]]) -> Iterator[str]:
    for defect, outcome in found:
        if outcome.caught:
            continue
        how = ", ".join(dict.fromkeys(v.requirement for v in outcome.others))
        what = f"caught by {how} instead" if how else "missed"
        what = f"the suite raised {outcome.error}" if outcome.error else what
        yield (
            f"- {defect.name} ({defect.kind}): {what}; check: {defect.check}, "
            f"when: {defect.when}; {outcome.judged} judged"
        )


def _list(found: Iterable[tuple[Defect, Outcome]]) -> Iterator[str]:
    yield "| defect | check | requirement | cases | seconds | smallest case |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for defect, outcome in found:
        hit = outcome.caught
        yield (
            f"| {defect.name} | {defect.check} | {hit.requirement if hit else '-'} "
            f"| {outcome.judged} | {outcome.seconds:.2f} | {hit.case.id if hit else '-'} |"
        )


def _accused(seeds: int, only: str | None, examples: int | None) -> Iterator[str]:
    """Judge the correct implementations; yield a summary, and every accusation."""
    judged, accusations, started = 0, [], perf_counter()
    for seed in range(seeds):
        plan = default_plan(seed, examples)
        for make in correct():
            if only in (None, make.name, "correct"):
                outcome = hunt(make.implementation(), None, plan)
                judged += outcome.judged
                if outcome.caught:
                    accusations.append((seed, outcome.caught, outcome.name))
        _bank.cache_clear()
        _progress(f"seed {seed}: {judged} judgments, {len(accusations)} accusations")
    yield (
        f"{len(correct())} correct implementations, {seeds} seeds: {judged} judgments in "
        f"{perf_counter() - started:.0f} s, {len(accusations)} wrongly accused"
    )
    for seed, violation, name in accusations:
        yield f"- {name}, seed {seed}: {violation.requirement} {violation.case.id}"
        yield f"  {violation.message}"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Judge, print, and return 1 where a defect is missed or a correct one accused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=1, help="sets of cases for the correct ones")
    parser.add_argument("--only", help="one kind, one name, or 'correct'")
    parser.add_argument("--examples", type=int, help="generated cases an operator and dimension")
    parser.add_argument("--list", action="store_true", help="print every defect, too")
    options = parser.parse_args()
    plan = default_plan(0, options.examples)
    chosen = [d for d in defects() if options.only in (None, d.kind, d.name)]
    for operator in {name for defect in chosen for name in defect.functions}:
        for dims in plan.dims:
            _progress(f"preparing {operator} {dims}-D")
            _bank(plan.seed, plan.examples, operator, dims)
    found = []
    for number, defect in enumerate(chosen, 1):
        _progress(f"{number} of {len(chosen)}: {defect.name}")
        found.append((defect, hunt(defect.implementation(), defect.check, plan)))
    exceptions = list(_exceptions(found))
    print(*_table(found), "", *exceptions, sep="\n")
    if options.list:
        print("", *_list(found), sep="\n")
    summary, *accusations = _accused(options.seeds, options.only, options.examples)
    print("", summary, *accusations, sep="\n")
    return 1 if exceptions or accusations else 0


if __name__ == "__main__":
    raise SystemExit(main())
