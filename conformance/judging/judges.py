"""The judges: calls made and observed, an observation and a reference in, a verdict out."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

import numpy as np

from conformance.calling import CRASH, Array, Caller, Foreign, Observation, Request
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.data import memory_ways
from conformance.cases.invalid import Mutation
from conformance.cases.validity import parse_valid, validate
from conformance.dtypes import numpy_dtype
from conformance.isolation.dispatch import caller_of
from conformance.judging.accepted import result_of_accepted_call
from conformance.judging.bound import Accuracy
from conformance.judging.comparing import compare, compare_exactly, tied, wrong_kind
from conformance.judging.prepared import Prepared
from conformance.judging.verdict import DECLINED, ENDED, RAISED, Verdict, without_result
from conformance.operators import OPERATORS, work
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registration.implementation import Implementation
from conformance.registration.registry import find
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES


def judge(implementation: object, case: Case | str) -> Verdict:
    """Return the verdict on one implementation (object, name or function) for one case (or id).

    Raises `ConformanceError` for an unknown implementation or an invalid case.
    """
    one = find(implementation)
    if isinstance(case, str):
        case = parse_valid(case)
    else:
        validate(case)
    return judge_prepared(one, Prepared.of(case))[0]


def judge_prepared(
    implementation: Implementation, prepared: Prepared, caller: Caller | None = None
) -> tuple[Verdict, Array | None]:
    """Call and judge; return the verdict and, where one can be compared, the output.

    The output is channels-first, whatever the implementation's layout. ``caller`` makes the call;
    left out, a worker does where the implementation is isolated, else this process.
    """
    for judged in judge_each(implementation, [prepared], caller):
        return judged
    assert caller is not None
    ended = Observation(ended=CRASH, how=caller.lost or "")
    return judge_seen(implementation, prepared, ended)


def judge_each(
    implementation: Implementation, prepared: Iterable[Prepared], caller: Caller | None = None
) -> Generator[tuple[Verdict, Array | None], None, None]:
    """Call and judge one case after the other, as `judge_prepared` does.

    A caller may take several cases before the first of them is judged. No more are judged once it
    makes no more calls.
    """
    caller = caller or caller_of(implementation)
    waiting: deque[tuple[Prepared, Request | str]] = deque()

    def requests() -> Iterator[Request]:
        for case in prepared:
            call = request(implementation, case)
            waiting.append((case, call))
            if isinstance(call, Request):
                yield call

    with contextlib.closing(caller.observe(requests())) as observations:
        for seen in observations:
            yield from _gaps(implementation.name, waiting)
            yield judge_seen(implementation, waiting.popleft()[0], seen)
    yield from _gaps(implementation.name, waiting)


def _gaps(
    name: str, waiting: deque[tuple[Prepared, Request | str]]
) -> Iterator[tuple[Verdict, None]]:
    """Yield the verdicts on the cases, up to the first that is called, that are declined."""
    while waiting and isinstance(reason := waiting[0][1], str):
        case = waiting.popleft()[0].case
        yield Verdict(name, case, UNSUPPORTED, message=reason, outcome=DECLINED), None


def request(implementation: Implementation, prepared: Prepared) -> Request | str:
    """Return the call that shows what is to be judged; or why it is declared not to be made."""
    case = prepared.case
    gap = implementation.gap(case)
    if gap is not None:
        return gap
    if case.invalid:
        inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
        # What must raise is not looked at; what a convention accepts is, and such calls are small.
        room = _ACCEPTED if _accepts(implementation, invalid.MUTATIONS[case.invalid]) else 0
        return Request(case.operator, inputs, parameters, implementation.layout, nbytes=room)
    inputs, parameters, layout = prepared.inputs, case.parameters, implementation.layout
    room = prepared.reference.exact.size * numpy_dtype(case.dtype).itemsize
    macs, ways = work(case), memory_ways(case)
    return Request(case.operator, inputs, parameters, layout, ways, nbytes=room, work=macs)


def judge_seen(
    implementation: Implementation, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of the call that `request` describes.

    Return the verdict and, where one can be compared, the output.
    """
    case, name = prepared.case, implementation.name
    if case.invalid:
        return _judge_rejection(implementation, prepared, seen), None
    if case.memory.startswith("byteswapped"):
        verdict, output = _judge_byteswapped(implementation, prepared, seen)
    else:
        verdict, output = judge_observation(name, Accuracy.of(implementation), prepared, seen)
    if verdict.status == CONFORMS and seen.printed is not None:
        text = f"wrote {seen.printed}"
        return Verdict(name, case, VIOLATES, "PROCESS-4", text, verdict.worst), output
    return verdict, output


def judge_observation(
    name: str, accuracy: Accuracy, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of a call on a valid case, held to ``accuracy``.

    Return the verdict and, where one can be compared, the output.
    """
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    verdict = without_result(name, case, seen)
    if verdict is not None:
        return verdict, None
    output = seen.output
    problem = wrong_kind(case, output, prepared.reference)
    if problem is not None:
        requirement, text, _ = problem
        return Verdict(name, case, VIOLATES, requirement, text, math.inf), None
    if seen.changed:
        text = f"the call changed its input {_names(operator.arguments, seen.changed)}"
        return Verdict(name, case, VIOLATES, "PURE-1", text), output
    if seen.shared:
        text = f"the output shares memory with {_names(operator.arguments, seen.shared)}"
        return Verdict(name, case, VIOLATES, "PURE-2", text), output
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        if case.data in ("nan", "inf"):
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
    implementation: Implementation, prepared: Prepared, seen: Observation
) -> Verdict:
    """Judge an invalid call: it must raise, whatever it raises, and leave its inputs alone."""
    case, name = prepared.case, implementation.name
    mutation, mistake = invalid.MUTATIONS[case.invalid], invalid.describe(case)
    if seen.ended is not None:
        status, _, words = ENDED[seen.ended]
        text = f"{words} instead of raising ({mistake}): {seen.how}"
        return Verdict(name, case, status, mutation.requirement, text, outcome=seen.ended)
    if seen.changed:
        text = f"a call that is invalid ({mistake}) changed its inputs"
        return Verdict(name, case, VIOLATES, "REJECT-2", text)
    if seen.unsupported is not None:
        text = f"declined: {seen.unsupported}"
        return Verdict(name, case, CONFORMS, message=text, outcome=DECLINED)
    if seen.raised is not None:
        return Verdict(name, case, CONFORMS, outcome=RAISED)
    if mutation.convention is not None and _accepts(implementation, mutation):
        inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
        due = result_of_accepted_call(case, mutation.convention[0], inputs, parameters)
        if due is None:
            return Verdict(name, case, CONFORMS)
        verdict, _ = judge_observation(name, Accuracy.of(implementation), due, seen)
        if not verdict.failed:
            return Verdict(name, case, CONFORMS)
        text = f"accepted {mistake}, as it declares, but {verdict.message}"
        return Verdict(name, case, VIOLATES, mutation.requirement, text, at=verdict.at)
    output = seen.output
    kind = output.kind if isinstance(output, Foreign) else type(output).__name__
    shape = f" of shape {output.shape}" if isinstance(output, np.ndarray) else ""
    text = f"accepted what is invalid ({mistake}) and returned a {kind}{shape}"
    return Verdict(name, case, VIOLATES, mutation.requirement, text)


_ACCEPTED = 2**20
"""Bytes of a result that a convention accepts, at most."""


def _accepts(implementation: Implementation, mutation: Mutation) -> bool:
    """Whether a declared convention lets an implementation accept a mistake."""
    if mutation.convention is None:
        return False
    convention, alternative = mutation.convention
    return implementation.conventions.get(convention) == alternative


def _judge_byteswapped(
    implementation: Implementation, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge a call on byte-swapped inputs, which may raise, and return a byte-swapped result."""
    name, output = implementation.name, seen.output
    if isinstance(output, np.ndarray) and not output.dtype.isnative:
        seen = replace(seen, output=output.astype(output.dtype.newbyteorder("=")))
    verdict, kept = judge_observation(name, Accuracy.of(implementation), prepared, seen)
    if verdict.outcome == RAISED:
        text = f"byte-swapped arrays: {seen.raised}"
        return Verdict(name, prepared.case, UNSUPPORTED, message=text, outcome=RAISED), None
    return verdict, kept


def _names(arguments: tuple[str, ...], positions: tuple[int, ...]) -> str:
    return " and ".join(arguments[position] for position in positions)
