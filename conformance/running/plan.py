"""The plan of a run, which is resolved from a selection."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.cases.ranges import EXAMPLE_BYTES, MOST_EXAMPLES
from conformance.cases.validity import parse_valid
from conformance.dtypes import DTYPES, available, meant_dtype
from conformance.errors import CaseError, ConformanceError, unknown
from conformance.known.difference import KnownDifference
from conformance.known.reading import read_known
from conformance.machine import memory
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.registration.registry import get
from conformance.requirements import CHECKS
from conformance.runfile.findings import FUZZ_FILE, FUZZ_FOLDER, Finding
from conformance.runfile.reading import read
from conformance.running import known_in_run
from conformance.running.selection import OneOrMore, Selection, check_seconds, check_whole, several
from conformance.signatures import meant_operator
from conformance.spec import Spec, Tier, is_file, load, with_files


@dataclass(frozen=True, slots=True)
class Plan:
    """A selection with all defaults filled in. It is sent to other processes."""

    implementations: tuple[Implementation, ...]
    operators: tuple[str, ...]
    dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    claimed: tuple[str, ...]
    """Further dtypes that some of the implementations declare."""
    checks: tuple[str, ...]
    suites: tuple[str, ...]
    only_suites: bool
    """Whether no case besides those of the suites is judged."""
    examples: int
    seconds: float
    """The reckoned time that the calls of a cell may take (`running.budget`)."""
    seed: int
    tier: str
    spec: Spec
    cache: bool
    known: Mapping[str, tuple[KnownDifference, ...]]
    """Known differences that implementations do not declare themselves, by implementation."""
    layers: tuple[str, ...]
    """Names, or globs, of the layers of networks that are judged."""
    shapes: int
    """How many large shapes are generated for each operator and dimension."""
    enumerations: tuple[str, ...]
    """The names of the spaces of which every case is judged (`cases.enumerations`)."""
    source: bool | None
    """Whether sources of implementations are read and measured; None: those of plugins."""
    clock: float
    """The seconds by the clock that a cell may take before the clock can end it."""
    findings: tuple[Case, ...] = ()
    """The cases that earlier fuzzing has found, which are judged first."""
    exitfirst: bool = False
    """Whether the run ends at the first violation."""
    models: tuple[str, ...] = ()
    """The suites that were given as files, or as suites: each call of them is reported."""


MODEL_SECONDS = 60.0
"""The time budget of a cell, where the calls of a model are judged."""
_WITHOUT_EXAMPLES = {"reject", "special"}
"""Checks whose cases are made without any example or suite."""


def resolve(selection: Selection, implementations: Sequence[Implementation]) -> Plan:
    """Return the plan of judging ``implementations`` on what is selected.

    Raises `ConformanceError` for an unknown name, for a number that is out of its range, for a
    known difference that does not cover its own case, and if there is nothing to judge.
    """
    selection = with_suites(selection)
    spec = selection.spec
    assert isinstance(spec, Spec)
    known = read_known(selection.known) if selection.known is not None else {}
    if selection.tier not in spec.tiers:
        raise ConformanceError(unknown("tier", selection.tier, spec.tiers))
    tier = spec.tiers[selection.tier]
    _check_known(implementations, known)
    only = selection.only_suites
    default = spec.own if only else tier.suites
    suites = several(default if selection.suites is None else selection.suites)
    suites = tuple(dict.fromkeys(suites))
    if only and not suites:
        raise ConformanceError(
            "only suites are to be judged, and there is none; choose some with --suite, or a spec "
            "file with cases of its own with --spec"
        )
    if only and selection.examples:
        raise ConformanceError(
            f"examples={selection.examples}, and only suites are to be judged; choose one of them"
        )
    for name in suites:
        spec.suite(name)
    models = tuple(name for name in suites if name in spec.models)
    entries = [entry for name in models for entry in spec.suite(name).cases]
    if models and not entries:
        raise ConformanceError(f"suite {models[0]}: no call of it is one of an operator")
    default_dtypes, default_operators = spec.ranges.dtypes, tuple(OPERATORS)
    if models:
        others = [entry for name in suites for entry in spec.suite(name).cases]
        own_dtypes = {entry.dtype or dtype for entry in others for dtype in spec.ranges.dtypes}
        default_dtypes = tuple(dtype for dtype in DTYPES if dtype in own_dtypes)
        called = {entry.case.operator for entry in others}
        default_operators = tuple(name for name in OPERATORS if name in called)
    dtypes = _choose("dtype", selection.dtypes, default_dtypes, DTYPES)
    claimed = tuple(
        dtype
        for dtype in DTYPES
        if selection.dtypes is None and dtype not in dtypes and available(dtype) and not models
        if any(dtype in implementation.dtypes for implementation in implementations)
    )
    examples = tier.examples if selection.examples is None else selection.examples
    examples = 0 if only else examples
    check_whole("examples", examples, 0, MOST_EXAMPLES)
    if examples * EXAMPLE_BYTES > memory():
        raise ConformanceError(
            f"examples={examples}; their cases take about {examples * EXAMPLE_BYTES / 2**30:.0f} "
            f"GiB of memory, of {memory() / 2**30:.0f}: choose fewer, or another seed for more"
        )
    check_seconds(selection.seconds)
    check_seconds(selection.total, "total")
    if selection.seconds is not None and selection.total is not None:
        raise ConformanceError(
            f"seconds={selection.seconds:g} for each cell, and total={selection.total:g} for all "
            "of them; choose one of the two"
        )
    checks = _choose("check", selection.checks, tier.checks, CHECKS)
    if not examples and not suites and not _WITHOUT_EXAMPLES & {*checks}:
        raise ConformanceError(
            "nothing to judge: no example is generated and no suite is chosen; ask for examples, "
            f"a suite, or a check with cases of its own ({', '.join(sorted(_WITHOUT_EXAMPLES))})"
        )
    operators = _choose("operator", selection.operators, default_operators, tuple(OPERATORS))
    dims = _choose("dims", selection.dims, spec.ranges.dims, (1, 2, 3))
    cells = len(dims) * sum(
        len({*dtypes, *claimed} & {*implementation.dtypes} & {*OPERATORS[operator].dtypes})
        for implementation in implementations
        if implementation.installed
        for operator in {*operators} & {*implementation.functions}
    )
    seconds = clock = selection.seconds or 0.0
    if selection.seconds is None:
        total = tier.total if selection.total is None else selection.total
        seconds, clock = seconds_of_cell(replace(tier, total=total), cells), tier.seconds
        if models:  # every call is to be made
            seconds = clock = max(seconds, MODEL_SECONDS)
    return Plan(
        implementations=tuple(implementations),
        operators=operators,
        dims=dims,
        dtypes=dtypes,
        claimed=claimed,
        checks=checks,
        suites=suites,
        only_suites=only,
        layers=tier.layers if selection.suites is None and not only else (),
        shapes=tier.shapes * examples // max(1, tier.examples),
        # A run that asks for few examples is to be a quick one.
        enumerations=tier.enumerations if 3 * examples >= tier.examples else (),
        examples=examples,
        seconds=seconds,
        clock=clock,
        findings=() if only else findings_of(selection),
        exitfirst=selection.exitfirst,
        models=models,
        seed=draw_seed() if selection.seed == "random" else _checked_seed(selection.seed),
        tier=selection.tier,
        spec=spec,
        cache=selection.cache,
        source=False if only else selection.source,
        known=known,
    )


def findings_of(selection: Selection) -> tuple[Case, ...]:
    """Return the cases that earlier fuzzing has found, in an order of their own.

    Raises `ConformanceError` where the folder that is named has none.
    """
    path = Path(selection.findings or FUZZ_FOLDER)
    path = path if path.is_file() else path / FUZZ_FILE
    if not path.is_file():
        if selection.findings is None:
            return ()
        raise ConformanceError(f"findings {path}: no such file; `convformance fuzz` writes one")
    if selection.findings is None and not selection.cache:
        return ()
    found = set()
    for row in read(path, (Finding,)).rows(Finding):
        with contextlib.suppress(CaseError):  # of another version
            found.add(parse_valid(row.case))
    return tuple(sorted(found, key=lambda case: case.id))


def fixed(selection: Selection) -> Selection:
    """Return a selection with its seed drawn, and its spec read: before any plugin is imported."""
    seed = draw_seed() if selection.seed == "random" else _checked_seed(selection.seed)
    return replace(with_suites(selection), seed=seed)


def with_suites(selection: Selection) -> Selection:
    """Return a selection with its spec read, and the suites of files among that spec's."""
    spec = selection.spec if isinstance(selection.spec, Spec) else load(selection.spec)
    given = several(selection.suites) if selection.suites is not None else ()
    if not any(map(is_file, given)):
        return replace(selection, spec=spec)
    if selection.examples:
        raise ConformanceError(
            f"examples={selection.examples}, and a file of a suite, which is all that is judged; "
            f"choose one of them"
        )
    spec, names = with_files(spec, given)
    return replace(selection, spec=spec, suites=names, only_suites=True)


def draw_seed() -> int:
    """Return a seed that nobody knows, which a run file and the command line can still hold."""
    return random.SystemRandom().randrange(2**31)


def _checked_seed(seed: int | str) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConformanceError(f"seed={seed!r}; a whole number, 0 or more, or 'random'")
    return seed


def seconds_of_cell(tier: Tier, cells: int) -> float:
    """Return the time budget of a cell, when so many cells share the total of the tier."""
    return min(tier.seconds, tier.total / max(1, cells))


def _check_known(
    implementations: Sequence[Implementation], known: Mapping[str, tuple[KnownDifference, ...]]
) -> None:
    for name in known:
        if all(implementation.name != name for implementation in implementations):
            get(name)  # raises if it is unknown; one that is not in this run may be listed
    for implementation in implementations:
        known_in_run.check(implementation, known_in_run.all_entries(implementation, known))


def _choose(
    name: str, chosen: OneOrMore[Any] | None, default: Sequence[Any], known: Sequence[Any]
) -> tuple[Any, ...]:
    """Return the ``chosen`` values in the order of the ``known`` values, or the default."""
    if chosen is None:
        return tuple(default)
    values = set(several(chosen))
    for value in values - set(known):
        meant = {"operator": meant_operator, "dtype": meant_dtype}.get(name, lambda value: "")
        raise ConformanceError(unknown(name, value, known, meant=meant(value)))
    return tuple(value for value in known if value in values)
