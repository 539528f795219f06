"""How much of what is wrong is caught, and whether what is right is ever accused.

Every defect of ``tests/defects`` and every correct implementation of ``tests/correct`` goes through
the default tier, in this process, in the order in which a run judges: cell by cell, histories of
calls first. A defect counts as caught when a violation is found that, shrunk, cites a requirement
of the check that the defect names. Its time begins with its first call; the cases, which a run
makes or loads before it judges anything, are not part of it. Correct implementations are judged to
the end.

    python -m benchmarks.detection                 the table by kind, and its exceptions
    python -m benchmarks.detection --list          every defect, with its smallest case
    python -m benchmarks.detection --seeds 20      the correct ones on 20 sets of cases (--step 10:
                                                   on a tenth of each)
    python -m benchmarks.detection --only memory   one kind, one name, or "correct"
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

from conformance.checks import CHECKS, check_for, check_of
from conformance.dtypes import DTYPES, available
from conformance.judging import Prepared, Verdict, judge_prepared
from conformance.operators import OPERATORS
from conformance.registry import Implementation
from conformance.running.block import Plan, judge_histories, judge_relations, prepare_block
from conformance.running.causes import Violation, explain
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
    """Cases judged until it was caught, or all of them; a history of calls counts when it fails."""
    seconds: float
    caught: Violation | None = None
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
        cache=seed == 0,  # other seeds are used once
    )


def cells(one: Implementation, plan: Plan) -> Iterator[list[Prepared]]:
    """Yield the cases of each cell in which a run would judge ``one``, in its order."""
    for operator in one.operators:
        for dims in plan.dims:
            bank = _bank(plan.seed, plan.examples, operator, dims)
            for dtype in dict.fromkeys(p.case.dtype for p in bank):
                if dtype in plan.dtypes or dtype in one.dtypes:
                    yield [p for p in bank if p.case.dtype == dtype]


@lru_cache(maxsize=64)
def _bank(seed: int, examples: int, operator: str, dims: int) -> tuple[Prepared, ...]:
    return tuple(prepare_block(default_plan(seed, examples), operator, dims))


@np.errstate(all="ignore")  # special values are handed over on purpose
def hunt(one: Implementation, check: str | None, plan: Plan, *, step: int = 1) -> Outcome:
    """Judge ``one`` until a violation of ``check`` is found; of any check where it is None.

    With a ``step`` above 1, one case in so many is judged, others for another seed of the plan.
    """
    started = perf_counter()
    judged = 0
    others: list[Violation] = []
    explained: Counter[tuple[str | None, str]] = Counter()
    try:
        for verdict in _verdicts(one, plan, step):
            judged += 1
            sort = verdict.requirement, check_for(verdict.case)
            if not verdict.failed or explained[sort] >= EXPLAINED:
                continue
            explained[sort] += 1
            violation = next(iter(explain(one, [verdict])))
            if check is None or check_of(violation.requirement) == check:
                seconds = perf_counter() - started
                return Outcome(one.name, judged, seconds, violation, tuple(others))
            others.append(violation)
    except Exception as problem:  # it is to be known, and the others are still to be judged
        error = f"{type(problem).__name__}: {problem}"
        return Outcome(one.name, judged, perf_counter() - started, None, tuple(others), error)
    return Outcome(one.name, judged, perf_counter() - started, None, tuple(others))


def _verdicts(one: Implementation, plan: Plan, step: int) -> Iterator[Verdict]:
    for cell in cells(one, plan):
        yield from judge_histories(one, cell, plan)
        failed = False
        for prepared in cell[plan.seed % step :: step]:
            verdict, _ = judge_prepared(one, prepared)
            failed |= verdict.failed
            yield verdict
        if not failed:
            yield from _related(one, cell, plan)


def _related(one: Implementation, cell: Sequence[Prepared], plan: Plan) -> Iterator[Verdict]:
    case = cell[0].case
    return judge_relations(one, case.operator, case.dims, case.dtype, plan)


@np.errstate(all="ignore")
def glance(one: Implementation, check: str, plan: Plan) -> Verdict | None:
    """Return a violation of ``check``, without shrinking, from the cases that this check is about.

    Where a case has a memory layout or special values, its violation counts as one of that check
    if the case without them conforms.
    """
    sort = check if check in ("layout", "special", "reject") else "result"
    for cell in cells(one, plan):
        if check in ("repeat", "purity", "reject", "declare"):
            for verdict in judge_histories(one, cell, plan):
                if check_of(verdict.requirement or "") == check:
                    return verdict
        if check == "relations":
            for verdict in _related(one, cell, plan):
                if check_of(verdict.requirement or "") == check:
                    return verdict
            continue
        for prepared in cell:
            if check_for(prepared.case) != sort or check == "repeat":
                continue
            verdict = judge_prepared(one, prepared)[0]
            if verdict.failed and _is_about(one, verdict, check):
                return verdict
    return None


def _is_about(one: Implementation, verdict: Verdict, check: str) -> bool:
    if check in ("layout", "special"):
        plain = verdict.case.replace(memory="contiguous")
        plain = plain.replace(data="integers") if check == "special" else plain
        return not judge_prepared(one, Prepared.of(plain))[0].failed
    found = check_of(verdict.requirement or "")
    return found == check or (found, check) == ("integer", "result")


# --- what is printed ----------------------------------------------------------------------------


def _table(found: Sequence[tuple[Defect, Outcome]]) -> Iterator[str]:
    """Yield a table with a row a kind; "cases" and "seconds" are until caught, and medians."""
    yield "| kind | defects | caught | as named | cases | seconds | most seconds |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    kinds = dict.fromkeys(defect.kind for defect, _ in found)
    for kind in (*kinds, "all"):
        mine = [outcome for defect, outcome in found if kind in (defect.kind, "all")]
        caught = [outcome for outcome in mine if outcome.caught or outcome.others]
        named = [outcome for outcome in mine if outcome.caught]
        cases = statistics.median([outcome.judged for outcome in named] or [0])
        seconds = [outcome.seconds for outcome in named] or [0.0]
        yield (
            f"| {kind} | {len(mine)} | {len(caught)} | {len(named)} | {cases:.0f} "
            f"| {statistics.median(seconds):.2f} | {max(seconds):.1f} |"
        )


def _checks(found: Sequence[tuple[Defect, Outcome]]) -> Iterator[str]:
    yield "| check | defects | caught by it | requirements cited |"
    yield "| --- | ---: | ---: | --- |"
    for check in CHECKS:
        mine = [outcome for defect, outcome in found if defect.check == check]
        cited = Counter(outcome.caught.requirement for outcome in mine if outcome.caught)
        listed = ", ".join(f"{name} ({count})" for name, count in cited.most_common())
        if mine:
            yield f"| {check} | {len(mine)} | {cited.total()} | {listed} |"


def _exceptions(found: Iterable[tuple[Defect, Outcome]]) -> Iterator[str]:
    for defect, outcome in found:
        if outcome.caught:
            continue
        how = ", ".join(dict.fromkeys(v.requirement for v in outcome.others))
        what = f"caught by {how} instead" if how else "missed"
        what = f"the suite raised {outcome.error}" if outcome.error else what
        yield (
            f"- {defect.name} ({defect.kind}): {what}; check: {defect.check}, "
            f"wrong when: {defect.when}; {outcome.judged} judged"
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


def _accused(seeds: int, step: int, only: str | None, examples: int | None) -> list[str]:
    """Judge the correct implementations; return a summary, and every accusation."""
    chosen = [one for one in correct() if only in (None, "correct", one.name)]
    accused: list[str] = []
    judged, started = 0, perf_counter()
    for seed in range(seeds if chosen else 0):
        plan = default_plan(seed, examples)
        for one in chosen:
            _progress(f"seed {seed}, {one.name}: {judged} judgments, {len(accused)} accusations")
            outcome = hunt(one.implementation(), None, plan, step=step)
            judged += outcome.judged
            if outcome.error:
                accused.append(f"- {one.name}, seed {seed}: the suite raised {outcome.error}")
            if outcome.caught:
                hit = outcome.caught
                accused.append(f"- {one.name}, seed {seed}: {hit.requirement} {hit.case.id}")
                accused.append(f"  {hit.message}")
        _bank.cache_clear()
    wrongly = sum(line.startswith("-") for line in accused)
    summary = (
        f"{len(chosen)} correct implementations on {seeds} seeds: {judged} judgments in "
        f"{perf_counter() - started:.0f} s, {wrongly} wrongly accused"
    )
    return [summary, *accused]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Judge, print, and return 1 where a defect is missed or a correct one accused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="sets of cases for the correct ones")
    parser.add_argument("--step", type=int, default=1, help="judge one case in so many of these")
    parser.add_argument("--only", help='one kind, one name, or "correct"')
    parser.add_argument("--examples", type=int, help="generated cases an operator and dimension")
    parser.add_argument("--list", action="store_true", help="print every defect, too")
    options = parser.parse_args()
    plan = default_plan(0, options.examples)
    chosen = [d for d in defects() if options.only in (None, d.kind, d.name)]
    for operator in dict.fromkeys(name for defect in chosen for name in defect.functions):
        for dims in plan.dims:
            _progress(f"preparing {operator} {dims}-D")
            _bank(plan.seed, plan.examples, operator, dims)
    found = []
    for number, defect in enumerate(chosen, 1):
        _progress(f"{number} of {len(chosen)}: {defect.name}")
        found.append((defect, hunt(defect.implementation(), defect.check, plan)))
    _progress("")
    exceptions = list(_exceptions(found))
    if found:
        print(*_table(found), "", *_checks(found), "", *exceptions, "", sep="\n")
    if options.list:
        print(*_list(found), "", sep="\n")
    summary, *accusations = _accused(options.seeds, options.step, options.only, options.examples)
    print(summary, *accusations, sep="\n")
    return 1 if exceptions or accusations else 0


if __name__ == "__main__":
    raise SystemExit(main())
