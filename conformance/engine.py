"""A run: cases prepared once an operator and dimension, every implementation judged on them.

The work is cut into blocks, one an operator and dimension. A block prepares its cases (or takes
them from the cache), hands the same ones in the same order to every implementation, shrinks what
failed, compares the implementations' outputs with one another, and writes its rows to the run
file. So any two implementations have judged a common set, and a run that is stopped keeps every
block that it has finished.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from conformance import bank, pairwise
from conformance.checks import CHECKS, check_for, check_of, derived
from conformance.calling import Array
from conformance.case import Case
from conformance.dtypes import DTYPES, FLOATS, INTEGERS, available
from conformance.errors import ConformanceError
from conformance.judging import (
    CONFORMS,
    UNSUPPORTED,
    VIOLATES,
    Prepared,
    Verdict,
    attribute,
    judge_prepared,
)
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registry import Implementation, find, implementations, load_plugin
from conformance.repeat import endure, repeat
from conformance.reproducer import script
from conformance.runfile import RunFile
from conformance.shrink import shrink
from conformance.spec import Spec, load

INCONCLUSIVE, NOT_INSTALLED = "inconclusive", "not installed"

MIN_COMPARED = 10
"""A cell that compared fewer cases than this proves too little to be called conforming."""
MIN_NONZERO = 0.1
"""So does one in which fewer than this share of the cases has a result that is not all zero."""
MAX_CAUSES = 4
"""Different causes of failure of one check that are shrunk in one cell."""
MAX_SECONDS = 10.0
"""Time for shrinking the failures of one cell; what is left is reported as it was found."""
HISTORIES = 12
"""Cases of a cell that are called again and again (`conformance.repeat`)."""

_WRONG_RESULT = ("RESULT-1", "RESULT-2", "RESULT-3", "INTEGER-1", "INTEGER-2")
_HISTORY = ("REPEAT-1", "REPEAT-2", "REPEAT-3", "PURE-3", "PURE-4")

Progress = Callable[[int, int, str], None]
"""Called with (judgments done, judgments planned, what is being done)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One cause of failure in a cell, shown by the smallest case that still fails."""

    requirement: str
    status: str
    case: Case
    found: Case
    count: int
    message: str
    script: str


@dataclass(slots=True)
class Cell:
    """What came of one implementation for one operator, dimension and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int = 0
    reached: int = 0
    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    elements: int = 0
    nonzero: int = 0
    worst: float = 0.0
    worst_case: Case | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """violates, conforms, unsupported, or inconclusive where too little was compared."""
        if self.violating:
            return VIOLATES
        if self.reached and self.unsupported == self.reached:
            return UNSUPPORTED
        if self.nonzero < max(MIN_COMPARED, MIN_NONZERO * self.compared):
            return INCONCLUSIVE
        return CONFORMS

    def row(self) -> dict[str, Any]:
        """Return the cell as a row of the run file."""
        names = (
            *("implementation", "operator", "dims", "dtype", "planned", "reached", "compared"),
            *("unsupported", "violating", "elements", "nonzero", "worst", "seconds", "verdict"),
        )
        worst_case = self.worst_case.id if self.worst_case else None
        return {name: getattr(self, name) for name in names} | {"worst_case": worst_case}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: where its file is, and what came of every implementation."""

    path: Path
    seed: int
    verdicts: dict[str, str]
    """The verdict on each implementation, by name."""
    cells: tuple[Cell, ...]

    @property
    def conforms(self) -> bool:
        """Whether nothing violates anything."""
        return VIOLATES not in self.verdicts.values()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does, resolved from its options."""

    implementations: tuple[Implementation, ...]
    operators: tuple[str, ...]
    dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    claimed: tuple[str, ...]
    """Further dtypes, which some of the implementations declare."""
    checks: tuple[str, ...]
    suites: tuple[str, ...]
    examples: int
    seconds: float
    seed: int
    tier: str
    spec: Spec
    cache: bool


def run(
    implementations: Iterable[object] | None = None,
    *,
    operators: Iterable[str] | None = None,
    dims: Iterable[int] | None = None,
    dtypes: Iterable[str] | None = None,
    checks: Iterable[str] | None = None,
    suites: Iterable[str] | None = None,
    examples: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    tier: str = "default",
    spec: Spec | str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    output: str | Path = "convformance-run",
    cache: bool = True,
    progress: Progress | None = None,
    command: str | None = None,
) -> Run:
    """Judge implementations and write ``output``/run.sqlite; return the run.

    Every selection defaults to all there is (``dtypes`` and ``dims``: all of the spec's ranges).
    ``examples`` cases an operator and dimension are generated from ``seed``, a third as many for a
    gradient; ``suites`` names the curated suites; ``seconds`` is the time budget an implementation and cell; all three default
    to what the ``tier`` says. ``plugins`` are files to load first. ``progress`` is called as
    judging goes on. Raises `ConformanceError` for a selection that names nothing.
    """
    loaded = [found for plugin in plugins for found in load_plugin(plugin)]
    plan = _plan(
        implementations,
        loaded,
        operators,
        dims,
        dtypes,
        checks,
        suites,
        examples,
        seconds,
        seed,
        tier,
        spec if isinstance(spec, Spec) else load(spec),
        cache,
    )
    file = RunFile(Path(output) / "run.sqlite")
    try:
        return _execute(plan, file, progress or (lambda *_: None), command)
    finally:
        file.close()


def _plan(
    chosen: Iterable[object] | None,
    loaded: Sequence[Implementation],
    operators: Iterable[str] | None,
    dims: Iterable[int] | None,
    dtypes: Iterable[str] | None,
    checks: Iterable[str] | None,
    suites: Iterable[str] | None,
    examples: int | None,
    seconds: float | None,
    seed: int,
    tier: str,
    spec: Spec,
    cache: bool,
) -> Plan:
    if tier not in spec.tiers:
        raise ConformanceError(f"tier '{tier}' is unknown; known are {', '.join(spec.tiers)}")
    limits = spec.tiers[tier]
    if chosen is not None:
        selected = [find(one) for one in chosen]
    else:
        selected = list(loaded) or [
            one for one in implementations().values() if one.installed or one.package
        ]
    for one in selected:
        if chosen is not None and not one.installed:
            raise ConformanceError(f"implementation '{one.name}' is {one.hint}")
    if not selected:
        raise ConformanceError("no implementation is registered; see `convformance list`")
    wanted = tuple(dict.fromkeys(suites)) if suites is not None else limits.suites
    for name in wanted:
        spec.suite(name)
    ordinary = _choose("dtype", dtypes, spec.ranges.dtypes, DTYPES)
    claimed = tuple(
        dtype
        for dtype in DTYPES
        if dtypes is None and dtype not in ordinary and available(dtype)
        if any(dtype in one.dtypes for one in selected)
    )
    count = limits.examples if examples is None else examples
    if count < 0:
        raise ConformanceError(f"examples={count}; a whole number, 0 or more")
    return Plan(
        implementations=tuple(dict.fromkeys(selected)),
        operators=_choose("operator", operators, tuple(OPERATORS), tuple(OPERATORS)),
        dims=_choose("dims", dims, spec.ranges.dims, (1, 2, 3)),
        dtypes=ordinary,
        claimed=claimed,
        checks=_choose("check", checks, CHECKS, CHECKS),
        suites=wanted,
        examples=count,
        seconds=limits.seconds if seconds is None else seconds,
        seed=seed,
        tier=tier,
        spec=spec,
        cache=cache,
    )


def _choose(
    what: str, chosen: Iterable[Any] | None, default: Sequence[Any], known: Sequence[Any]
) -> tuple[Any, ...]:
    if chosen is None:
        return tuple(default)
    values = set(chosen)
    for value in values - set(known):
        raise ConformanceError(
            f"{what} '{value}' is unknown; known are {', '.join(map(str, known))}"
        )
    return tuple(value for value in known if value in values)


# --- executing ----------------------------------------------------------------------------------


def _execute(plan: Plan, file: RunFile, progress: Progress, command: str | None) -> Run:
    file.record(
        seed=plan.seed,
        tier=plan.tier,
        examples=plan.examples,
        seconds=plan.seconds,
        suites=plan.suites,
        operators=plan.operators,
        dims=plan.dims,
        dtypes=plan.dtypes,
        checks=plan.checks,
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=command,
        started=_now(),
        machine=machine(plan.implementations),
    )
    installed = [one for one in plan.implementations if one.installed]
    cells: list[Cell] = []
    pairs: dict[tuple[str, str, str], pairwise.Pair] = {}
    had = {operator for one in installed for operator in one.functions}
    blocks = [(o, d) for o in plan.operators if o in had for d in plan.dims]
    spent: Counter[str] = Counter()
    for index, (operator, dims) in enumerate(blocks):
        progress(index * 1000, len(blocks) * 1000, f"preparing {operator} {dims}-D")
        started = time.perf_counter()
        prepared = prepare_block(plan, operator, dims)
        spent["preparing"] += round(1e6 * (time.perf_counter() - started))
        outputs: dict[str, list[Array | None]] = {}
        judges = [one for one in installed if operator in one.functions]
        gaps: Counter[tuple[str, str]] = Counter()
        block_cells: list[Cell] = []
        for place, one in enumerate(judges):
            done = index * 1000 + 1000 * place // len(judges)
            progress(done, len(blocks) * 1000, f"{one.name}: {operator} {dims}-D")
            started = time.perf_counter()
            with np.errstate(all="ignore"):  # special values are handed over on purpose
                found, outputs[one.name] = judge_block(one, prepared, plan, gaps)
            spent[f"judging {one.name}"] += round(1e6 * (time.perf_counter() - started))
            block_cells += found
        started = time.perf_counter()
        for pair in pairwise.compare(operator, prepared, outputs):
            known = pairs.setdefault((pair.first, pair.second, operator), pair)
            if known is not pair:
                known.merge(pair)
        spent["comparing pairs"] += round(1e6 * (time.perf_counter() - started))
        cells += block_cells
        _write_block(file, operator, block_cells, gaps)
        file.add("pair", pairwise.rows(pairs.values()))
    verdicts = {one.name: _overall(one, cells) for one in plan.implementations}
    file.add("implementation", (_describe(one, verdicts[one.name]) for one in plan.implementations))
    file.record(
        spent={what: microseconds / 1e6 for what, microseconds in spent.items()}, finished=_now()
    )
    progress(len(blocks) * 1000, len(blocks) * 1000, "done")
    return Run(file.path, plan.seed, verdicts, tuple(cells))


def prepare_block(plan: Plan, operator: str, dims: int) -> list[Prepared]:
    """Return the prepared cases of one operator and dimension: curated first, then generated."""
    floats = tuple(dtype for dtype in plan.dtypes if dtype in FLOATS) or ("float32",)
    ranges = replace(plan.spec.ranges, dtypes=floats)
    claimed = (*plan.claimed, *(dtype for dtype in plan.dtypes if dtype in INTEGERS))

    def make_cases() -> list[Case]:
        cases = _curated(plan, operator, dims, floats)
        # A gradient has the geometry of its forward operator, which more cases look at.
        count = -(-plan.examples // 3) if operator in GRADIENTS else plan.examples
        if count:
            from conformance.strategies import generate

            cases += generate(operator, ranges, dims=dims, count=count, seed_value=plan.seed)
        found = _interleaved(cases, derived(operator, dims, floats, claimed, cases))
        return [case for case in found if case.dtype in (*plan.dtypes, *plan.claimed)]

    name = bank.key(
        spec=plan.spec.digest,
        operator=operator,
        dims=dims,
        dtypes=(plan.dtypes, plan.claimed),
        suites=plan.suites,
        examples=plan.examples,
        seed=plan.seed,
    )
    prepared = bank.prepare(make_cases, name, cached=plan.cache)
    special = {check for check in ("layout", "special", "reject") if check not in plan.checks}
    return [p for p in prepared if check_for(p.case) not in special]


def _curated(plan: Plan, operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the suites' cases of an operator; a gradient's are those of its forward operator."""
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    cases = [
        case
        for name in plan.suites
        for entry in plan.spec.suite(name).cases
        if entry.case.operator == source and entry.case.dims == dims
        for case in entry.expand(dtypes)
    ]
    return [gradient.derived(case) for case in cases] if gradient else cases


def _interleaved(cases: Sequence[Case], others: Sequence[Case]) -> list[Case]:
    """Mix two sequences evenly, so that a time budget that ends early cuts both alike."""
    placed = [(index / len(cases), case) for index, case in enumerate(cases)]
    placed += [(index / len(others), case) for index, case in enumerate(others)]
    placed.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(case for _, case in placed))


def judge_block(
    one: Implementation,
    prepared: Sequence[Prepared],
    plan: Plan,
    gaps: Counter[tuple[str, str]],
) -> tuple[list[Cell], list[Array | None]]:
    """Judge one implementation on one block; return its cells, and its outputs by case."""
    outputs: list[Array | None] = [None] * len(prepared)
    cells: list[Cell] = []
    dtypes = dict.fromkeys(p.case.dtype for p in prepared)
    for dtype in dtypes:
        mine = [(i, p) for i, p in enumerate(prepared) if p.case.dtype == dtype]
        first = mine[0][1].case
        if dtype in plan.claimed and dtype not in one.dtypes:
            continue
        cell = Cell(one.name, first.operator, first.dims, dtype, planned=len(mine))
        started = time.perf_counter()
        # Histories come first: a kernel that goes wrong after some calls still is at its first.
        failures = list(_histories(one, [p for _, p in mine], plan))
        begun = time.perf_counter()
        for index, p in mine:
            if time.perf_counter() - begun > plan.seconds and cell.reached:
                break
            verdict, output = judge_prepared(one, p)
            if check_for(p.case) == "result":
                outputs[index] = output
            _count(cell, verdict, p)
            if verdict.failed and check_of(verdict.requirement or "") in plan.checks:
                failures.append(verdict)
            elif verdict.status == UNSUPPORTED:
                gaps[one.name, verdict.message] += 1
        cell.seconds = time.perf_counter() - started
        cell.violating = len(failures)
        cell.violations = list(explain(one, failures))
        cells.append(cell)
    return cells, outputs


def _histories(one: Implementation, prepared: Sequence[Prepared], plan: Plan) -> Iterable[Verdict]:
    """Yield what calls that follow one another show, on a few of the cells' ordinary cases."""
    ordinary = [
        p
        for p in prepared
        if check_for(p.case) == "result" and p.case.x[0] and one.gap(p.case) is None
    ]
    if "repeat" not in plan.checks or not ordinary:
        return
    ordinary.sort(key=lambda p: OPERATORS[p.case.operator].work(p.case))
    rounded = [p for p in ordinary if p.case.data == "normal"] or ordinary  # noise shows there
    found = [endure(one, rounded[len(rounded) // 4])]
    begun = time.perf_counter()
    for p in ordinary[:: -(-len(ordinary) // HISTORIES)]:
        if time.perf_counter() - begun > plan.seconds / 2:
            break
        found.append(repeat(one, p))
    yield from (verdict for verdict in found if verdict is not None)


def _count(cell: Cell, verdict: Verdict, prepared: Prepared) -> None:
    cell.reached += 1
    if verdict.status == UNSUPPORTED:
        cell.unsupported += 1
        return
    cell.compared += 1
    exact = prepared.reference.exact
    cell.elements += exact.size
    cell.nonzero += bool(np.any(exact))
    if verdict.worst > cell.worst:
        cell.worst, cell.worst_case = verdict.worst, verdict.case


def explain(one: Implementation, failures: Sequence[Verdict]) -> Iterable[Violation]:
    """Shrink failures to their causes, and yield one violation a cause.

    A shrunk case keeps only the parameters that its failure needs. Failures of the same kind that
    have all of those count as the same cause; the next that does not is shrunk in its turn.
    """
    deadline = time.monotonic() + MAX_SECONDS
    left = list(failures)
    causes: Counter[str] = Counter()
    while left:
        found = left[0]
        kind = _kind(found)
        limit = len(failures) if kind.startswith("REJECT") else MAX_CAUSES
        if causes[kind] >= limit:
            left = [f for f in left if _kind(f) != kind]
            continue
        causes[kind] += 1

        def fails(case: Case, kind: str = kind) -> bool:
            return _kind(_again(one, Prepared.of(case), kind)) == kind

        smallest, verdict = found.case, found
        seconds = min(2.0, deadline - time.monotonic())
        if seconds > 0 and fails(found.case):
            smallest = shrink(found.case, fails, seconds=seconds)
            last = _again(one, Prepared.of(smallest), kind)
            verdict = last if last.failed else found
        same = [f for f in left if _kind(f) == kind and _features(smallest) <= _features(f.case)]
        same = same or [found]
        yield Violation(
            requirement=_requirement(verdict, smallest),
            status=verdict.status,
            case=smallest,
            found=found.case,
            count=len(same),
            message=verdict.message,
            script=script(one, Prepared.of(smallest)),
        )
        left = [f for f in left if f not in same]


def _again(one: Implementation, prepared: Prepared, kind: str) -> Verdict:
    """Judge a case anew, in the way that showed the kind of failure."""
    if kind == "repeat":
        found = repeat(one, prepared) or endure(one, prepared)
        return found or Verdict(one.name, prepared.case, CONFORMS)
    return judge_prepared(one, prepared)[0]


def _requirement(verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case: the one its parameters tell."""
    requirement = verdict.requirement or "RESULT-1"
    told = check_for(case) in ("layout", "special")
    if requirement in _WRONG_RESULT or (told and requirement == "DECLARE-1"):
        named = attribute(case)
        return named if named != attribute(_plain(case)) else requirement
    return requirement


def _kind(verdict: Verdict) -> str:
    """Return what makes two failures the same kind: a wrong result, however it was noticed."""
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if requirement in _WRONG_RESULT:
        return "result"
    return "repeat" if requirement in _HISTORY else requirement


def _plain(case: Case) -> Case:
    return Case(operator=case.operator, x=case.x, w=case.w, kernel=case.kernel)


def _features(case: Case) -> frozenset[str]:
    """Return what is special about ``case``: parameters that are not their defaults, and more."""
    plain = _plain(case)
    names = (*OPERATORS[case.operator].parameters, "bias")
    features = {name for name in names if getattr(case, name) != getattr(plain, name)}
    if case.invalid:
        features.add(case.invalid)
    if check_for(case) == "layout":
        features.add(case.memory.partition("-")[0])
    if check_for(case) == "special":
        features.add(case.data)
    return frozenset(features)


# --- what is written down -----------------------------------------------------------------------


def _write_block(
    file: RunFile, operator: str, cells: Sequence[Cell], gaps: Counter[tuple[str, str]]
) -> None:
    file.add("cell", (cell.row() for cell in cells))
    file.add(
        "violation",
        (
            {
                "implementation": cell.implementation,
                "operator": cell.operator,
                "dims": cell.dims,
                "dtype": cell.dtype,
                "requirement": violation.requirement,
                "status": violation.status,
                "case": violation.case.id,
                "found": violation.found.id,
                "count": violation.count,
                "message": violation.message,
                "script": violation.script,
            }
            for cell in cells
            for violation in cell.violations
        ),
    )
    file.add(
        "unsupported",
        (
            {"implementation": name, "operator": operator, "reason": reason, "count": count}
            for (name, reason), count in gaps.items()
        ),
    )


def _overall(one: Implementation, cells: Sequence[Cell]) -> str:
    if not one.installed:
        return NOT_INSTALLED
    verdicts = {cell.verdict for cell in cells if cell.implementation == one.name}
    for verdict in (VIOLATES, INCONCLUSIVE, CONFORMS, UNSUPPORTED):
        if verdict in verdicts:
            return verdict
    return UNSUPPORTED


def _describe(one: Implementation, verdict: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "family": one.family,
        "version": one.version,
        "layout": one.layout,
        "accumulate": one.accumulate,
        "multiply": one.multiply,
        "error": one.error,
        "verdict": verdict,
        "note": "" if one.installed else one.hint,
    }


def machine(used: Sequence[Implementation]) -> dict[str, Any]:
    """Return what the results depend on besides the code: machine, interpreter, packages."""
    from threadpoolctl import threadpool_info

    packages = {name: version(name) for name in ("convformance", "numpy", "hypothesis")}
    packages |= {one.package: one.version for one in used if one.package and one.installed}
    pools = {f"{pool['internal_api']}": pool["num_threads"] for pool in threadpool_info()}
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "threads": pools,
        "packages": packages,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
