"""Calls that follow one another, judged: what a single call cannot show.

A kernel that caches by shape, identity, address or a part of what it was given, one that hands out
its own memory, one that drifts, fails or declines after some number of calls: each is right the
first time. Each answer of a history (`conformance.checks.histories`) must be what its call says,
the same call must give the same bits, and an answer once given must stay as it was. Whether history
is to blame for a wrong one is asked in `conformance.checks.blame`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from conformance.calling import Answer, HistoryEnded, Observation
from conformance.case import Case
from conformance.checks.blame import JudgedAnswers, history_is_to_blame, make_calls
from conformance.checks.histories import LONG, SHORT, History, Step, history
from conformance.dtypes import available
from conformance.judging import DECLINED, RAISED, Prepared, Verdict, judge_seen
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CRASHED, VIOLATES


def judge_short_histories(one: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the violation that histories of a few calls show, or None."""
    return next(
        filter(None, (judge_named_history(one, prepared.case, name) for name in SHORT)), None
    )


def judge_long_histories(one: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the violation that `CALLS` calls of one shape show, or None."""
    return next(
        filter(None, (judge_named_history(one, prepared.case, name) for name in LONG)), None
    )


def judge_named_history(
    one: Implementation, case: Case, name: str, *, seconds: float = math.inf
) -> Verdict | None:
    """Return the violation that the history ``name`` of a valid case shows, or None.

    No call but the first is made after so many ``seconds``. The verdict's case is the one that the
    history is made from, and its ``history`` the name; but an answer that is wrong whatever came
    before is a verdict on that very call.
    """
    if case.invalid or one.gap(case) is not None:
        return None
    dtypes = tuple(dtype for dtype in one.dtypes if available(dtype))
    calls = history(name, case, dtypes, tuple(one.operators))
    if calls is None:
        return None
    calls = _supported(one, calls)
    try:  # judging makes calls as well: those that tell what is to blame
        return HistoryJudge(one, calls, make_calls(one, calls.calls, seconds)).violation()
    except HistoryEnded as ended:
        return _judge_end(one, calls, ended)


def _judge_end(one: Implementation, calls: History, ended: HistoryEnded) -> Verdict:
    """Return the verdict on a history of which one call ended its process."""
    step = calls.steps[min(ended.number, len(calls.steps) - 1)]
    verdict, _ = judge_seen(one, step.prepared, ended.seen)
    if ended.number == 0 or step.prepared.case.invalid:
        return verdict
    text = f"{step.label}: {verdict.message}"
    return replace(verdict, case=calls.case, history=calls.name, message=text)


def _supported(one: Implementation, calls: History) -> History:
    """Return the history without the calls that the implementation does not claim to compute."""
    kept = [i for i, step in enumerate(calls.steps) if one.gap(step.prepared.case) is None]
    if len(kept) == len(calls.steps):
        return calls
    number: dict[int | None, int | None] = {None: None, **{i: k for k, i in enumerate(kept)}}
    steps = tuple(
        replace(step, repeats=number[step.repeats], refills=number[step.refills])
        for step in (calls.steps[i] for i in kept)
    )
    return replace(calls, steps=steps)


class HistoryJudge:
    """Judges the answers to a history's calls: as many as were made."""

    def __init__(
        self, implementation: Implementation, calls: History, answers: Sequence[Answer]
    ) -> None:
        self.implementation = implementation
        self.calls = calls
        self.answers = answers
        self.steps = calls.steps[: len(answers)]
        self.judged = JudgedAnswers(implementation, self.steps, answers)

    def violation(self) -> Verdict | None:
        """Return the first violation that the answers show, or None."""
        return self._in_memory() or self._in_repetitions() or self._in_gaps() or self._in_values()

    def _verdict(
        self, requirement: str, text: str, status: str = VIOLATES, outcome: str | None = None
    ) -> Verdict:
        name, case, history = self.implementation.name, self.calls.case, self.calls.name
        return Verdict(name, case, status, requirement, text, history=history, outcome=outcome)

    def _in_memory(self) -> Verdict | None:
        """Look for memory that is handed out twice, or written to once it was handed out."""
        for step, answer in zip(self.steps, self.answers, strict=True):
            if answer.shares:
                earlier = self.steps[answer.shares[0]].label
                text = f"the output of {step.label} shares memory with that of {earlier}"
                return self._verdict("PURE-3", text)
        for step, answer in zip(self.steps, self.answers, strict=True):
            if answer.changed_by is not None:
                later = self.steps[answer.changed_by].label
                text = f"the output of {step.label} was changed by {later}"
                return self._verdict("PURE-4", text)
        return None

    def _in_repetitions(self) -> Verdict | None:
        """Look for calls that are the same as an earlier one, and whose answers are not."""
        for i, (step, answer) in enumerate(zip(self.steps, self.answers, strict=True)):
            if step.repeats is None or answer.same:
                continue
            first, before = self.steps[step.repeats], self.answers[step.repeats]
            if _outcome(answer.seen) != _outcome(before.seen):
                return self._other_outcome(step, answer.seen, first, before.seen)
            if answer.same is False:
                text = f"{step.label} gives other bits than {first.label}"
                if failure := self.judged.failure(i):
                    text = f"{text}, and is wrong: {failure.message}"
                elif failure := self.judged.failure(step.repeats):
                    text = f"{text}, which is wrong: {failure.message}"
                return self._verdict(step.requirement, text)
        return None

    def _other_outcome(
        self, step: Step, seen: Observation, first: Step, before: Observation
    ) -> Verdict:
        """Return what is wrong where the same call, made twice, had two outcomes."""
        label, other = step.label, first.label
        if _outcome(seen) is None:  # then the earlier call is the one that has no result
            label, other, seen = other, label, before
        if seen.unsupported is not None:
            text = f"{label} is declined ({seen.unsupported}), and {other} is not"
            return self._verdict("DECLARE-7", text)
        text = f"{label} raised {seen.raised}, and {other} did not"
        # Whatever the data is, it is the same: what differs is what came before.
        requirement = "REPEAT-2" if step.requirement == "REPEAT-3" else step.requirement
        return self._verdict(requirement, text, CRASHED, RAISED)

    def _in_gaps(self) -> Verdict | None:
        """Look for calls that are declined where others of the same case are not."""
        computed: dict[Case, str] = {}
        declined: dict[Case, tuple[str, str]] = {}
        for step, answer in zip(self.steps, self.answers, strict=True):
            case = step.prepared.case.replace(seed=0)
            if case.invalid:
                continue
            if answer.seen.unsupported is not None:
                declined.setdefault(case, (step.label, answer.seen.unsupported))
            elif answer.seen.raised is None:
                computed.setdefault(case, step.label)
            if case in computed and case in declined:
                label, reason = declined[case]
                other = f"{computed[case]}, of the same case,"
                return self._verdict(
                    "DECLARE-7", f"{label} is declined ({reason}), and {other} not"
                )
        return None

    def _in_values(self) -> Verdict | None:
        """Look for answers that are wrong because of what was called before."""
        if self.judged.failure(0):
            return None  # wrong from the start: the result check says so
        for i in self._to_compare():
            failure = self.judged.failure(i)
            if failure is None:
                continue
            step = self.steps[i]
            text = f"{step.label} is wrong: {failure.message}"
            if history_is_to_blame(self.judged, i):
                return self._verdict(step.requirement, text)
            case = step.prepared.case
            alone = failure if step.from_recipe else self.judged.failure_of_call_alone(case)
            if alone is not None:
                return alone
            assert failure.requirement is not None
            return self._verdict(failure.requirement, text, failure.status, failure.outcome)
        return None

    def _to_compare(self) -> Iterator[int]:
        """Yield the calls of the history's own operator and dtype whose answers have values."""
        case = self.calls.case
        for i, step in enumerate(self.steps):
            other = step.prepared.case
            alike = (other.operator, other.dtype) == (case.operator, case.dtype)
            answered = self.answers[i].seen.unsupported is None
            if alike and step.repeats is None and not other.invalid and answered:
                yield i


def _outcome(seen: Observation) -> str | None:
    """Return how a call came to have no result, None where it has one."""
    if seen.unsupported is not None:
        return DECLINED
    return RAISED if seen.raised is not None else None
