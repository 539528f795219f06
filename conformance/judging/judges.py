"""The judges: they make calls, compare what is observed with a reference, and give verdicts."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

import numpy as np

from conformance.calling import CRASH, Array, Caller, NotAnArray, Observation, Request
from conformance.case import EVERY, Case
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.cases.validity import parse_valid, validate
from conformance.isolation.dispatch import caller_of
from conformance.judging.accepted import result_of_accepted_call
from conformance.judging.bound import Accuracy
from conformance.judging.comparing import compare, compare_exactly, tied, wrong_kind
from conformance.judging.other_dtype import judge_in_spite_of_dtype
from conformance.judging.prepared import Prepared
from conformance.judging.verdict import (
    DECLINED,
    ENDED,
    RAISED,
    Verdict,
    cause_of,
    together,
    without_result,
)
from conformance.operators import OPERATORS, work
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registration.implementation import Implementation
from conformance.registration.registry import find
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES


def judge(implementation: object, case: Case | str) -> Verdict:
    """Return the verdict on one implementation (object, name or function) for one case (or id).

    Raises `ConformanceError` for an unknown implementation or an invalid case.
    """
    implementation = find(implementation)
    if isinstance(case, str):
        case = parse_valid(case)
    else:
        validate(case)
    return judge_prepared(implementation, Prepared.of(case))[0]


def judge_prepared(
    implementation: Implementation, prepared: Prepared, caller: Caller | None = None
) -> tuple[Verdict, Array | None]:
    """Call and judge; return the verdict and, where one can be compared, the output.

    The output is channels-first, whatever the implementation's layout. ``caller`` makes the call;
    by default a worker makes it if the implementation is isolated, else this process.
    """
    caller = caller or caller_of(implementation)
    for answer in judge_each(implementation, [prepared], caller):
        return answer
    observation = Observation(ended=CRASH, how=caller.given_up_because or "")
    return judge_seen(implementation, prepared, observation)


def judge_each(
    implementation: Implementation, prepared: Iterable[Prepared], caller: Caller | None = None
) -> Generator[tuple[Verdict, Array | None], None, None]:
    """Call and judge one case after the other, as `judge_prepared` does.

    The caller may take several cases before the first of them is judged. If it makes no more
    calls, no more cases are judged.
    """
    caller = caller or caller_of(implementation)
    pending: deque[tuple[Prepared, Request | str]] = deque()

    def requests() -> Iterator[Request]:
        for case in prepared:
            call = request(implementation, case)
            pending.append((case, call))
            if isinstance(call, Request):
                yield call

    with contextlib.closing(caller.observe(requests())) as observations:
        for observation in observations:
            yield from _gaps(implementation.name, pending)
            verdict, output = judge_seen(implementation, pending.popleft()[0], observation)
            if verdict.failed or verdict.also:
                verdict = with_calls_before(verdict, caller, observation.side)
            yield verdict, output
    yield from _gaps(implementation.name, pending)


def with_calls_before(verdict: Verdict, caller: Caller, side: str = "") -> Verdict:
    """Return a verdict on the last call that ``caller`` made, with the calls before it.

    ``side`` is the end of its arrays that lay against a page without access.
    """
    before = caller.calls_before()
    also = tuple(replace(other, before=before, side=side) for other in verdict.also)
    return replace(verdict, before=before, side=side, also=also)


def _gaps(
    name: str, waiting: deque[tuple[Prepared, Request | str]]
) -> Iterator[tuple[Verdict, None]]:
    """Yield the verdicts on the declined cases that come before the next call."""
    while waiting and isinstance(reason := waiting[0][1], str):
        case = waiting.popleft()[0].case
        yield Verdict(name, case, UNSUPPORTED, message=reason, outcome=DECLINED), None


def request(implementation: Implementation, prepared: Prepared) -> Request | str:
    """Return the call to judge, or the reason for which the implementation declines the case."""
    case = prepared.case
    gap = implementation.gap(case)
    if gap is not None:
        return gap
    if case.invalid:
        inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
        # A call that must raise needs no room for a result; one that a convention accepts is small.
        room = _ACCEPTED if invalid.MISTAKES[case.invalid].convention else 0
        layout, macs = implementation.layout, work(case)
        of = case.operator, inputs, parameters, layout, "contiguous", room, macs, case
        return Request(*of, invalid=True)
    inputs, parameters, layout = prepared.inputs, case.parameters, implementation.layout
    room = prepared.reference.exact.size * _LARGEST_ELEMENT
    macs, ways = work(case), memory_ways(case)
    return Request(case.operator, inputs, parameters, layout, ways, room, macs, case)


def judge_seen(
    implementation: Implementation, prepared: Prepared, observation: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of the call that `request` returns.

    Return the verdict and, where one can be compared, the output.
    """
    verdict, output = _judge_answer(implementation, prepared, observation)
    left = left_behind(implementation.name, prepared.case, observation)
    if left:
        verdict = together([verdict, *left] if verdict.failed else left)
    return verdict, output


def left_behind(name: str, case: Case, observation: Observation) -> list[Verdict]:
    """Return a violation for each part of the process's state that a call left changed."""
    return [
        Verdict(name, case, VIOLATES, "PROCESS-6", f"the call leaves {part} changed", cause=part)
        for part in observation.left
    ]


def _judge_answer(
    implementation: Implementation, prepared: Prepared, observation: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what a call returned or raised, and what it printed."""
    case, name = prepared.case, implementation.name
    if case.invalid:
        return _judge_rejection(implementation, prepared, observation), None
    if case.memory.startswith("byteswapped"):
        verdict, output = _judge_byteswapped(implementation, prepared, observation)
    else:
        accuracy = Accuracy.of(implementation)
        verdict, output = judge_observation(name, accuracy, prepared, observation)
    if verdict.outcome is None and observation.printed is not None:
        text = f"wrote {observation.printed}"
        printed = Verdict(name, case, VIOLATES, "PROCESS-4", text, verdict.worst)
        return together([verdict, printed] if verdict.failed else [printed]), output
    return verdict, output


def judge_observation(
    name: str, accuracy: Accuracy, prepared: Prepared, observation: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of a call on a valid case, held to ``accuracy``.

    Return the verdict and, where one can be compared, the output.
    """
    case, output, besides = (
        prepared.case,
        observation.output,
        side_effects(name, prepared.case, observation),
    )
    without = without_result(name, case, observation)
    if without is not None:
        return together([without, *besides]), None
    kind = wrong_kind(case, output, prepared.reference)
    if kind is None:
        verdict, output = _judge_values(name, accuracy, prepared, output)
        return together([*besides, verdict]), output
    problems = [kind]
    if kind.requirement == "RESULT-4":
        values = judge_in_spite_of_dtype(prepared, accuracy, output)
        problems += [] if values is None else [values]
    wrong = [
        Verdict(name, case, VIOLATES, requirement, text, math.inf, at=at)
        for requirement, text, at in problems
    ]
    return together([wrong[0], *besides, *wrong[1:]]), None


def side_effects(name: str, case: Case, observation: Observation) -> list[Verdict]:
    """Return what a call did to its inputs, and whether its output shares their memory."""
    names, verdicts = OPERATORS[case.operator].arguments, []
    if observation.changed:
        text = f"the call changed its input {_names(names, observation.changed)}"
        verdicts.append(Verdict(name, case, VIOLATES, "PURE-1", text))
    if observation.shared:
        text = f"the output shares memory with {_names(names, observation.shared)}"
        verdicts.append(Verdict(name, case, VIOLATES, "PURE-2", text))
    if observation.overrun:
        text = f"the call wrote {beyond(case, observation)}"
        verdicts.append(Verdict(name, case, VIOLATES, "MEMORY-2", text))
    return verdicts


def beyond(case: Case, observation: Observation) -> str:
    """Say how far around its arrays a call wrote: up to 8 bytes past the end of w."""
    names, parts = (*OPERATORS[case.operator].arguments, "its result"), []
    for position, before, after in observation.overrun:
        reach = [f"up to {before} bytes before the beginning"] if before else []
        reach += [f"up to {after} bytes past the end"] if after else []
        parts.append(f"{' and '.join(reach)} of {names[position]}")
    return ", ".join(parts)


def _judge_values(
    name: str, accuracy: Accuracy, prepared: Prepared, output: Array
) -> tuple[Verdict, Array]:
    """Judge the values of an output that has the shape and the dtype of the result."""
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        if case.data in ("nan", "inf", EVERY):
            text = f"special values under tie={accuracy.tie} are not compared"
            return Verdict(name, case, UNSUPPORTED, None, text), output
        prepared = tied(operator, prepared, accuracy, output)
    if prepared.reference.magnitude is None:
        problem = compare_exactly(prepared, accuracy, output)
        worst = 0.0 if problem is None else math.inf
    else:
        problem, worst = compare(prepared, accuracy, output)
    if problem is None:
        return Verdict(name, case, CONFORMS, worst=worst), output
    requirement, text, at = problem
    return Verdict(name, case, VIOLATES, requirement, text, worst, at=at), output


def _judge_rejection(
    implementation: Implementation, prepared: Prepared, observation: Observation
) -> Verdict:
    """Judge an invalid call: it must raise, whatever it raises, and leave its inputs alone."""
    case, name = prepared.case, implementation.name
    touched = observation.changed or observation.overrun
    if observation.ended is None and not touched:
        if observation.unsupported is not None:
            text = f"declined: {observation.unsupported}"
            return Verdict(name, case, CONFORMS, message=text, outcome=DECLINED)
        if observation.raised is not None:
            return Verdict(name, case, CONFORMS, outcome=RAISED)
    mistake, description = invalid.MISTAKES[case.invalid], invalid.describe(case)
    if observation.ended is not None:
        status, _, words = ENDED[observation.ended]
        text = f"{words} instead of raising ({description}): {observation.how}"
        cause = cause_of(observation)
        requirement, outcome = mistake.requirement, observation.ended
        return Verdict(name, case, status, requirement, text, outcome=outcome, cause=cause)
    if touched:
        what = "changed its inputs" if observation.changed else f"wrote {beyond(case, observation)}"
        text = f"a call that is invalid ({description}) {what}"
        changed = Verdict(name, case, VIOLATES, "REJECT-2", text)
        untouched = replace(observation, changed=(), overrun=())
        rest = _judge_rejection(implementation, prepared, untouched)
        return together([changed, rest])
    hint = ""
    if mistake.convention is not None:
        verdict = _judge_accepted(implementation, prepared, mistake.convention[0], observation)
        if implementation.accepts(case.invalid):
            if verdict is None or not verdict.failed:
                return Verdict(name, case, CONFORMS)
            text = f"accepted {description}, as it declares, but {verdict.message}"
            return Verdict(name, case, VIOLATES, mistake.requirement, text, at=verdict.at)
        if verdict is not None and not verdict.failed and not observation.likewise:
            convention, alternative = mistake.convention
            hint = f'; declare conventions={{"{convention}": "{alternative}"}} if that is meant'
    if observation.likewise:
        reason = f"invalid, and taken by {observation.likewise} as well"
        return Verdict(name, case, UNSUPPORTED, message=reason, outcome=DECLINED)
    output = observation.output
    kind = output.kind if isinstance(output, NotAnArray) else type(output).__name__
    shape = f" of shape {output.shape}" if isinstance(output, np.ndarray) else ""
    text = f"accepted what is invalid ({description}) and returned a {kind}{shape}"
    return Verdict(name, case, VIOLATES, mistake.requirement, text + hint)


def _judge_accepted(
    implementation: Implementation, prepared: Prepared, convention: str, observation: Observation
) -> Verdict | None:
    """Judge the result of a call that a convention lets one accept; None if it is unspecified."""
    case = prepared.case
    inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
    accepted = result_of_accepted_call(case, convention, inputs, parameters)
    if accepted is None:
        return None
    accuracy = Accuracy.of(implementation)
    return judge_observation(implementation.name, accuracy, accepted, observation)[0]


_LARGEST_ELEMENT = 32
"""Bytes of the largest number that NumPy has: the values of a wrong dtype are compared as well."""
_ACCEPTED = 2**20
"""The largest result, in bytes, of a call that a convention accepts."""


def _judge_byteswapped(
    implementation: Implementation, prepared: Prepared, observation: Observation
) -> tuple[Verdict, Array | None]:
    """Judge a call on byte-swapped inputs: it may raise, and its result may be byte-swapped."""
    name, output = implementation.name, observation.output
    if isinstance(output, np.ndarray) and not output.dtype.isnative:
        observation = replace(observation, output=output.astype(output.dtype.newbyteorder("=")))
    verdict, output = judge_observation(name, Accuracy.of(implementation), prepared, observation)
    if verdict.outcome == RAISED:
        text = f"byte-swapped arrays: {observation.raised}"
        return Verdict(name, prepared.case, UNSUPPORTED, message=text, outcome=RAISED), None
    return verdict, output


def _names(arguments: tuple[str, ...], positions: tuple[int, ...]) -> str:
    return " and ".join(arguments[position] for position in positions)
