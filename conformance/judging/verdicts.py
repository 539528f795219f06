"""The judge: an observation and a reference in, a verdict out."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from conformance.calling import (
    CRASH,
    HANG,
    MEMORY,
    Array,
    Caller,
    Foreign,
    Observation,
    Request,
)
from conformance.case import Case
from conformance.cases.data import memory_ways
from conformance.cases.validity import parse_valid, validate
from conformance.dtypes import numpy_dtype
from conformance.isolation.dispatch import caller_of
from conformance.judging.accepted import accepted
from conformance.judging.accuracy import Accuracy
from conformance.judging.comparing import compare, compare_exactly, tied, wrong_kind
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registration.registry import Implementation, find
from conformance.runfile.words import CONFORMS, CRASHED, TIMED_OUT, UNSUPPORTED, VIOLATES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from conformance.cases.invalid import Mutation

ENDED = {
    CRASH: (CRASHED, "PROCESS-1", "the call ended its process"),
    HANG: (TIMED_OUT, "PROCESS-2", "the call did not come back"),
    MEMORY: (CRASHED, "PROCESS-3", "the call took more memory than is allowed"),
}
"""Status, requirement and words for a call that ended without an answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one implementation on one case."""

    implementation: str
    case: Case
    status: str
    """conforms, violates, unsupported, crashed or timed out."""
    requirement: str | None = None
    """The requirement that is violated."""
    message: str = ""
    worst: float = 0.0
    """The largest error as a fraction of the bound; 0 where the result involves no arithmetic."""
    history: str = ""
    """The name of the history of calls that shows it (`conformance.checks.histories`); empty where
    one call does."""

    @property
    def failed(self) -> bool:
        return self.status in (VIOLATES, CRASHED, TIMED_OUT)

    def __str__(self) -> str:
        head = f"{self.implementation}: {self.status}"
        if self.requirement:
            head += f" {self.requirement}"
        return f"{head}: {self.message}" if self.message else head


def judge(implementation: object, case: Case | str) -> Verdict:
    """Return the verdict on one implementation (object, name or function) for one case (or id).

    Raises `ConformanceError` for an unknown implementation or an invalid case.
    """
    found = find(implementation)
    if isinstance(case, str):
        case = parse_valid(case)
    else:
        validate(case)
    return judge_prepared(found, Prepared.of(case))[0]


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
        for one in prepared:
            made = request(implementation, one)
            waiting.append((one, made))
            if isinstance(made, Request):
                yield made

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
        yield Verdict(name, waiting.popleft()[0].case, UNSUPPORTED, None, reason), None


def request(implementation: Implementation, prepared: Prepared) -> Request | str:
    """Return the call that shows what is to be judged; or why it is declared not to be made."""
    case = prepared.case
    gap = implementation.gap(case)
    if gap is not None:
        return gap
    if case.invalid:
        from conformance.cases import invalid

        inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
        # What must raise is not looked at; what a convention accepts is, and such calls are small.
        room = _ACCEPTED if _accepts(implementation, invalid.MUTATIONS[case.invalid]) else 0
        return Request(case.operator, inputs, parameters, implementation.layout, nbytes=room)
    return Request(
        case.operator,
        prepared.inputs,
        case.parameters,
        implementation.layout,
        memory_ways(case),
        nbytes=prepared.reference.exact.size * numpy_dtype(case.dtype).itemsize,
        work=OPERATORS[case.operator].work(case),
    )


def judge_seen(
    implementation: Implementation, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of the call that `request` describes."""
    case, name = prepared.case, implementation.name
    if case.invalid:
        return _judge_rejection(implementation, prepared, seen), None
    if case.memory.startswith("byteswapped"):
        seen = _in_native_order(seen)
    found, output = verdict(name, Accuracy.of(implementation), prepared, seen)
    if found.status == CONFORMS and seen.printed is not None:
        text = f"wrote {seen.printed}"
        return Verdict(name, case, VIOLATES, "PROCESS-4", text, found.worst), output
    return found, output


def verdict(
    name: str, accuracy: Accuracy, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of one call."""
    case = prepared.case
    if seen.ended is not None:
        status, requirement, words = ENDED[seen.ended]
        return Verdict(name, case, status, requirement, f"{words}: {seen.how}"), None
    if seen.unsupported is not None:
        return Verdict(name, case, UNSUPPORTED, None, seen.unsupported), None
    if seen.raised is not None:
        text = f"raised on a valid case: {seen.raised}"
        return Verdict(name, case, CRASHED, "DECLARE-1", text), None
    output = seen.output
    problem = wrong_kind(case, output, prepared.reference)
    if problem is not None:
        return Verdict(name, case, VIOLATES, *problem, worst=math.inf), None
    arguments = OPERATORS[case.operator].arguments
    if seen.changed:
        text = f"the call changed its input {_names(arguments, seen.changed)}"
        return Verdict(name, case, VIOLATES, "PURE-1", text), output
    if seen.shared:
        text = f"the output shares memory with {_names(arguments, seen.shared)}"
        return Verdict(name, case, VIOLATES, "PURE-2", text), output
    operator = OPERATORS[case.operator]
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        if case.data in ("nan", "inf"):
            text = f"special values under tie={accuracy.tie} are not compared"
            return Verdict(name, case, UNSUPPORTED, None, text), output
        prepared = tied(operator, prepared, accuracy, output)
    if prepared.reference.magnitude is None:
        wrong = compare_exactly(prepared, accuracy, output)
        worst = 0.0 if wrong is None else math.inf
    else:
        wrong, worst = compare(prepared, accuracy, output)
    if wrong is None:
        return Verdict(name, case, CONFORMS, worst=worst), output
    requirement, text = wrong
    return Verdict(name, case, VIOLATES, requirement, text, worst), output


def _judge_rejection(
    implementation: Implementation, prepared: Prepared, seen: Observation
) -> Verdict:
    """Judge an invalid call: it must raise, whatever it raises, and leave its inputs alone."""
    from conformance.cases import invalid

    case, name = prepared.case, implementation.name
    mutation = invalid.MUTATIONS[case.invalid]
    if seen.ended is not None:
        status, _, words = ENDED[seen.ended]
        text = f"{words} instead of raising ({invalid.describe(case)}): {seen.how}"
        return Verdict(name, case, status, mutation.requirement, text)
    if seen.changed:
        text = f"a call that is invalid ({invalid.describe(case)}) changed its inputs"
        return Verdict(name, case, VIOLATES, "REJECT-2", text)
    if seen.unsupported is not None:
        return Verdict(name, case, CONFORMS, message=f"declined: {seen.unsupported}")
    if seen.raised is not None:
        return Verdict(name, case, CONFORMS)
    if mutation.convention is not None and _accepts(implementation, mutation):
        inputs, parameters = invalid.apply(case, prepared.inputs, case.parameters)
        due = accepted(case, mutation.convention[0], inputs, parameters)
        if due is None:
            return Verdict(name, case, CONFORMS)
        found, _ = verdict(name, Accuracy.of(implementation), due, seen)
        if not found.failed:
            return Verdict(name, case, CONFORMS)
        text = f"accepted {invalid.describe(case)}, as it declares, but {found.message}"
        return Verdict(name, case, VIOLATES, mutation.requirement, text)
    output, what = seen.output, invalid.describe(case)
    kind = output.kind if isinstance(output, Foreign) else type(output).__name__
    shape = f" of shape {output.shape}" if isinstance(output, np.ndarray) else ""
    text = f"accepted what is invalid ({what}) and returned a {kind}{shape}"
    return Verdict(name, case, VIOLATES, mutation.requirement, text)


_ACCEPTED = 2**20
"""Bytes of a result that a convention accepts, at most."""


def _accepts(implementation: Implementation, mutation: Mutation) -> bool:
    """Whether a declared convention lets an implementation accept a mistake."""
    if mutation.convention is None:
        return False
    convention, alternative = mutation.convention
    return implementation.conventions.get(convention) == alternative


def _in_native_order(seen: Observation) -> Observation:
    """Allow for what byte-swapped inputs permit: to be declined, and a byte-swapped result."""
    if seen.raised is not None:
        return replace(seen, raised=None, unsupported=f"byte-swapped arrays: {seen.raised}")
    if isinstance(seen.output, np.ndarray) and not seen.output.dtype.isnative:
        return replace(seen, output=seen.output.astype(seen.output.dtype.newbyteorder("=")))
    return seen


def _names(arguments: tuple[str, ...], positions: tuple[int, ...]) -> str:
    return " and ".join(arguments[position] for position in positions)
