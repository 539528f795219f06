"""``convformance replay``: one case in full, and what each implementation makes of it."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from conformance.cases import invalid
from conformance.cases.validity import parse_valid
from conformance.checks.conventions import judge_convention
from conformance.checks.histories import CROSSED
from conformance.checks.probes import convention_of
from conformance.checks.relations import relate, relations_worth_asking
from conformance.checks.repeat import HARMS_OTHERS, judge_long_histories, judge_short_histories
from conformance.cli import options
from conformance.errors import SpecError, unknown
from conformance.isolation.dispatch import at_both_sides, close_all
from conformance.judging import CONFORMS, Accuracy, Prepared, Verdict, judge_prepared
from conformance.large.judge import Large, is_large, judge_any, judge_large
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.registration.registry import get, implementations
from conformance.requirements import check_of, conventions
from conformance.running.again import as_shown
from conformance.running.citing import cite
from conformance.running.layers import cases_of
from conformance.running.repetition import fails_only_after
from conformance.scripts.standalone import large_script, relation_script, script, script_of
from conformance.spec.suite import read_file

if TYPE_CHECKING:
    from conformance.calling import Array
    from conformance.case import Case

_SHOWN, _LINES = 64, 12
"""Arrays of more elements, or lines, are printed abridged."""
_WRITTEN = 1_000_000
"""JSON has only dtype and shape of arrays of more elements."""


@click.command("replay")
@click.argument("case_id")
@click.argument("names", nargs=-1, metavar="[IMPLEMENTATION]...")
@options.plugins
@options.programs
@options.libraries
@options.modules
@options.isolation
@options.verbose
@options.as_json
@click.option("--script", "scripts", is_flag=True, help="Print only the standalone scripts.")
@click.option(
    "--as",
    "way",
    metavar="WAY",
    help="Judge as a run did: by a history of calls (such as data), by a relation (RELATE-1), or "
    "by the conventions; default: by the call, then by all of them.",
)
@click.option(
    "--after",
    "earlier",
    multiple=True,
    metavar="CASE_ID",
    help="Call this case before, in the same process (repeatable).",
)
@click.option(
    "--suite",
    metavar="FILE",
    help="Suite of a model: CASE_ID is the name of one of its calls, judged on each kind of "
    "data until it fails.",
)
def command(
    case_id: str,
    names: tuple[str, ...],
    verbose: bool,
    as_json: bool,
    scripts: bool,
    way: str | None,
    earlier: tuple[str, ...],
    suite: str | None,
    **chosen: Any,
) -> int:
    """Show the verdict, the inputs, the exact result, the bound and each output; print a script.

    Without IMPLEMENTATION those of the plugins are called, else all that are installed. Exit
    status: 0, what computes it conforms; 1, one violates; 3, none computes it.
    """
    selection = options.selection(**chosen)
    with options.keep_stdout():
        plugins, elsewhere = selection.load()
    cases = [parse_valid(case_id)] if suite is None else _cases_of(Path(suite), case_id)
    before = [parse_valid(text) for text in earlier]
    judges = (
        tuple(dict.fromkeys(get(name) for name in names))
        or plugins + elsewhere
        or tuple(i for i in implementations().values() if i.installed)
    )
    for implementation in judges:
        if not implementation.installed:
            name, hint = implementation.name, implementation.hint
            raise click.UsageError(f"implementation '{name}' is {hint}")
    if scripts:
        prepared = _prepared(cases[0])
        having = [i for i in judges if prepared.case.operator in i.functions]
        if not having:
            raise click.UsageError(f"none of the implementations has {prepared.case.operator}")
        for implementation in having:
            text = _script(implementation, prepared, None)
            click.echo(text if text.startswith("#!") else f"# {implementation.name}\n{text}")
        return 0
    with options.keep_stdout():
        called = [selection.isolated(implementation) for implementation in judges]
        shown = []
        for case in cases:
            prepared = _prepared(case)
            further = suite is None  # of a call of a model a run asks nothing else
            results = [_judged(one, prepared, way, before, further=further) for one in called]
            shown.append((prepared, results))
            if any(verdict.failed for _, _, verdict in results):
                shown = shown[-1:]
                break
        prepared, results = shown[0]
        close_all()
    if as_json:
        click.echo(json.dumps(_as_json(prepared, results), indent=2, allow_nan=False))
    else:
        _print(prepared, results, explicit=bool(names or plugins), whole=verbose)
    verdicts = [verdict for _, _, verdict in results]
    if any(verdict.failed for verdict in verdicts):
        return 1
    return 0 if any(verdict.status == CONFORMS for verdict in verdicts) else 3


def _cases_of(file: Path, name: str) -> list[Case]:
    """Return what the call of a name is judged on; raise `SpecError` if the suite has none."""
    suite = read_file(file)
    found = next((entry for entry in suite.cases if entry.name == name), None)
    if found is None:
        known = [entry.name for entry in suite.cases]
        raise SpecError(f"{file}: {unknown('call', name, known)}")
    return cases_of(found)


def _prepared(case: Case) -> Prepared | Large:
    return Large.of(case) if is_large(case) else Prepared.of(case)


def _judged(
    implementation: Implementation,
    prepared: Prepared | Large,
    way: str | None,
    before: Sequence[Case],
    *,
    further: bool,
) -> tuple[Implementation, Any, Verdict]:
    """Return an implementation with its output, and with its verdict after other calls."""
    with np.errstate(all="ignore"):
        for other in before:
            judge_any(implementation, other)
        for _ in at_both_sides(implementation, prepared.case):
            output, verdict = _replay(implementation, prepared, way, further=further)
            if verdict.status != CONFORMS:
                break
    if before and verdict.failed:
        verdict = _after(before, verdict)
    return implementation, output, verdict


def _replay(
    implementation: Implementation, prepared: Prepared | Large, way: str | None, *, further: bool
) -> tuple[Any, Verdict]:
    """Return the output, where one can be compared, and the verdict of all checks of the case.

    Those of more calls than one are made if ``further`` is true.

    If the ``way`` is given in which a run showed a failure, the verdict is that of its check alone.
    """
    case = prepared.case
    with np.errstate(all="ignore"):
        # What is kept between calls is shown before any other call is made.
        shown = None if way is None else as_shown(implementation, case, way)
        if isinstance(prepared, Large):
            output, verdict = _replay_large(implementation, prepared, further=further)
        else:
            verdict, output = judge_prepared(implementation, prepared)
            if verdict.status == CONFORMS and shown is None and further:
                verdict = _replay_further(implementation, prepared) or verdict
    verdict = shown or verdict
    return output, cite(implementation, verdict, case) if verdict.failed else verdict


def _after(before: Sequence[Case], verdict: Verdict) -> Verdict:
    """Return the verdict on a case that fails after others, as a run gives it."""
    message = f"{fails_only_after([other.id for other in before])}; {verdict.message}"
    requirement = verdict.requirement if verdict.ended else "REPEAT-2"
    if any(other.operator != verdict.case.operator for other in before):
        requirement = HARMS_OTHERS
    return replace(verdict, requirement=requirement, message=message)


def _replay_further(implementation: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the first failure that more than one call of a case shows, or None."""
    case = prepared.case
    if case.check == "result" and case.x[0] > 0:
        repeated = judge_short_histories(implementation, prepared)
        repeated = repeated or judge_long_histories(implementation, prepared)
        broken = (verdict for verdict in relate(implementation, case) if verdict.failed)
        if failure := repeated or next(broken, None):
            return failure
    if convention_of(case) in conventions():
        verdict = judge_convention(implementation, case, in_full=True)
        return verdict if verdict.failed else None
    return None


def _replay_large(
    implementation: Implementation, large: Large, *, further: bool
) -> tuple[Any, Verdict]:
    verdict, output = judge_large(implementation, large)
    if verdict.status == CONFORMS and further:
        asked = relations_worth_asking(large.case)
        broken = (v for v in relate(implementation, large.case, chosen=asked) if v.failed)
        verdict = next(broken, verdict)
    return output, verdict


def _print(
    prepared: Prepared | Large,
    results: list[tuple[Implementation, Any, Verdict]],
    *,
    explicit: bool,
    whole: bool,
) -> None:
    """Print the verdicts first, then the call, and last a script; arrays in full if ``whole``."""
    case, show = prepared.case, functools.partial(_show, whole=whole)
    for _, _, verdict in results:
        click.echo(str(verdict))
    click.echo(f"\ncase      {case.id}")
    inputs, parameters = _handed_over(prepared)
    keywords = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    arguments = OPERATORS[case.operator].arguments
    click.echo(f"call      {case.operator}({', '.join(arguments)}, {keywords})")
    for name, value in zip(arguments, inputs, strict=True):
        show(name, value)
    if case.invalid:
        click.echo(f"invalid   {invalid.describe(case)}: the call must raise")
    elif isinstance(prepared, Large):
        click.echo(
            "exact     not computed in full: every element is checked by a random projection, and\n"
            "          corners, edges and some others are compared with their exact values"
        )
    else:
        show("exact", prepared.reference.exact)
        _print_allowed(prepared, show)
    for implementation, output, _ in results:
        if output is not None:
            show(implementation.name, output)
    failing = [result for result in results if result[2].failed]
    for implementation, _, verdict in failing[:1] or (results[:1] if explicit else []):
        if case.operator in implementation.functions:
            text = _script(implementation, prepared, verdict)
            click.echo(f"\nstandalone script for {implementation.name}:\n\n{text}", nl=False)


def _handed_over(prepared: Prepared | Large) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of the call, channels-first, with the mistake of an invalid one made."""
    case = prepared.case
    if case.invalid:
        return invalid.apply(case, prepared.inputs, case.parameters)
    return prepared.inputs, case.parameters


def _script(
    implementation: Implementation, prepared: Prepared | Large, verdict: Verdict | None
) -> str:
    requirement = verdict.requirement or "" if verdict is not None and verdict.failed else ""
    if verdict is not None and (verdict.history in CROSSED or requirement == "PROCESS-6"):
        return script_of(implementation, prepared.case, verdict)
    if check_of(requirement) == "relations":
        return relation_script(implementation, prepared.case, requirement)
    if isinstance(prepared, Large):
        return large_script(implementation, prepared.case)
    history = verdict is not None and bool(verdict.history)
    beyond = requirement.startswith("MEMORY")
    return script(implementation, prepared, history=history, beyond=beyond)


def _print_allowed(prepared: Prepared, show: Callable[[str, Any], None]) -> None:
    if prepared.reference.magnitude is None:
        click.echo("allowed   no difference: the result involves no arithmetic")
        return
    bound, bits = prepared.bound(Accuracy())
    if bits:
        click.echo("allowed   no difference: every order of summation is exact here")
    else:
        show("allowed", bound)


def _show(name: str, value: Any, *, whole: bool) -> None:
    """Print an array with dtype and shape: its ends alone where it is large, unless ``whole``."""
    if not isinstance(value, np.ndarray):
        click.echo(f"{name:9} {value!r}")
        return
    click.echo(f"{name:9} {value.dtype} {value.shape}")
    ends = 3 if value.ndim < 3 else 2 if value.ndim < 5 else 1
    threshold = sys.maxsize if whole else _SHOWN
    with np.printoptions(threshold=threshold, linewidth=76, precision=9, edgeitems=ends):
        lines = [line for line in str(value).splitlines() if line]
    if len(lines) > _LINES and not whole:
        left_out = len(lines) - _LINES + 1
        lines[_LINES // 2 : _LINES // 2 + left_out] = [f" ... ({left_out} lines: --verbose)"]
    click.echo("\n".join(f"    {line}" for line in lines))


def _as_json(
    prepared: Prepared | Large, results: list[tuple[Implementation, Any, Verdict]]
) -> dict[str, Any]:
    case = prepared.case
    arguments = OPERATORS[case.operator].arguments
    inputs, _ = _handed_over(prepared)
    exact = None if isinstance(prepared, Large) else prepared.reference.exact
    return {
        "case": case.id,
        "inputs": {name: _argument(value) for name, value in zip(arguments, inputs, strict=True)},
        "exact": None if exact is None else _array(exact),
        "results": [
            {
                "implementation": implementation.name,
                "status": verdict.status,
                "requirement": verdict.requirement,
                "message": verdict.message,
                "worst": verdict.worst if np.isfinite(verdict.worst) else str(verdict.worst),
                "output": _array(output) if isinstance(output, np.ndarray) else None,
            }
            for implementation, output, verdict in results
        ],
    }


def _array(array: Array) -> Any:
    """Return nested lists; of a very large array only dtype and shape."""
    if array.size > _WRITTEN:
        return {"dtype": str(array.dtype), "shape": list(array.shape)}
    return _nested(array.tolist())


def _nested(value: Any) -> Any:
    """Return lists of numbers; NaN, infinities and what is no number, in text."""
    if isinstance(value, list):
        return [_nested(part) for part in value]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) and not isinstance(value, str) else str(value)


def _argument(value: Any) -> Any:
    """Return an argument for JSON; an invalid call may have anything in its place."""
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (tuple, list)):
        return list(map(_argument, value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (int, float, str)) else str(value)
