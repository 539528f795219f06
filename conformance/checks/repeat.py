"""Judging calls that follow one another: what a single call cannot show.

Some kernels are right only the first time. They cache by shape, identity, address or a part of
their arguments; they return their own memory; they drift, fail or decline after some calls. Each
answer of a history (`conformance.checks.histories`) must be right for its call, the same call must
give the same bits, and an answer must not change later. `conformance.checks.blame` decides whether
history is to blame for a wrong answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from conformance.calling import Answer, HistoryEnded, Observation
from conformance.calling.caller import made_calls
from conformance.calling.threads import MOST_CALLS
from conformance.case import Case
from conformance.cases.only import Only, only
from conformance.checks.blame import JudgedAnswers, history_is_to_blame, make_calls
from conformance.checks.histories import (
    CROSSED,
    LONG,
    SHORT,
    WATCHED,
    History,
    Step,
    history,
)
from conformance.dtypes import available, numpy_dtype
from conformance.isolation.dispatch import caller_of, fresh_worker
from conformance.judging import (
    DECLINED,
    PROCESS,
    RAISED,
    THREADS,
    Prepared,
    Verdict,
    judge_prepared,
    judge_seen,
)
from conformance.judging.judges import beyond, left_behind
from conformance.judging.verdict import together
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CRASHED, VIOLATES

HARMS_OTHERS = "PROCESS-5"
"""The requirement that a call writes nowhere but into its result."""


def judge_short_histories(implementation: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the first violation that the histories of a few calls show, or None."""
    return _first_violation(implementation, prepared.case, (*SHORT, *CROSSED))


def judge_long_histories(implementation: Implementation, prepared: Prepared) -> Verdict | None:
    """Return the first violation that the histories of `CALLS` calls of one shape show, or None."""
    return _first_violation(implementation, prepared.case, LONG)


def _first_violation(
    implementation: Implementation, case: Case, names: Iterable[str]
) -> Verdict | None:
    verdicts = (judge_named_history(implementation, case, name) for name in names)
    return next((verdict for verdict in verdicts if verdict is not None), None)


def judge_named_history(
    implementation: Implementation,
    case: Case,
    name: str,
    *,
    seconds: float = math.inf,
    spared: Callable[[Case], bool] = lambda case: False,
) -> Verdict | None:
    """Return the violation that the history ``name`` of a valid case shows, or None.

    After ``seconds`` no further call is made; none is made if one of them is ``spared``. The
    verdict is on ``case``, and has ``name`` as its ``history``. If an answer is wrong whatever was
    called before it, the verdict is on that call alone.
    """
    if (case.invalid and name != PROCESS) or implementation.gap(case) is not None:
        return None
    if name == THREADS and implementation.threads == "one":
        return None
    dtypes = tuple(dtype for dtype in implementation.dtypes if available(dtype))
    calls = history(name, case, dtypes, tuple(implementation.operators))
    if calls is None:
        return None
    calls = _supported(implementation, calls)
    if len(calls.steps) < 2:
        return None
    if any(spared(step.prepared.case) for step in calls.steps):
        return None
    try:  # judging makes calls, too: they tell what is to blame
        answers = make_calls(implementation, calls.calls, seconds, watched=name in WATCHED)
        before = caller_of(implementation).calls_before()
        verdict = HistoryJudge(implementation, calls, answers).violation()
        if verdict is None or verdict.history or verdict.before or implementation.place is None:
            return verdict
        made = made_calls(calls.calls, implementation.layout)
        return replace(verdict, before=(*before, *made))  # it may fail only after those
    except HistoryEnded as ending:
        before = caller_of(implementation).calls_before()
        verdict = _judge_end(implementation, calls, ending)
        return None if verdict is None else replace(verdict, before=before, side=ending.seen.side)


def _judge_end(
    implementation: Implementation, calls: History, ending: HistoryEnded
) -> Verdict | None:
    """Return the verdict on a history in which a call ended its process.

    A call of another operator says nothing of this one, if it does the same alone.
    """
    step = calls.steps[min(ending.number, len(calls.steps) - 1)]
    verdict, _ = judge_seen(implementation, step.prepared, ending.seen)
    if step.prepared.case.operator != calls.case.operator:
        alone, _ = judge_prepared(implementation, step.prepared)
        if alone.ended:
            return None
    if ending.number == 0 or step.prepared.case.invalid:
        return verdict
    steps = calls.steps[: ending.number + 1]
    if step.prepared.case.operator == calls.case.operator and _ends(implementation, [step]):
        return replace(verdict, message=f"{step.label}: {verdict.message}")
    if any(s.prepared.case.operator != calls.case.operator for s in steps):
        return _judge_end_among_operators(implementation, calls, steps, verdict)
    text = f"{step.label}: {verdict.message}"
    return replace(verdict, case=calls.case, history=calls.name, message=text)


def _judge_end_among_operators(
    implementation: Implementation, calls: History, steps: Sequence[Step], verdict: Verdict
) -> Verdict | None:
    """Return the verdict on a call that ended its process after calls of other operators.

    If it does so by itself, that is the finding; the cells of another operator show it themselves.
    Else an earlier call is looked for after which it does, each time in a new worker.
    """
    *earlier, last = steps
    if last.prepared.case.operator != calls.case.operator and _ends(implementation, [last]):
        return None
    for step in reversed(earlier):
        if step.repeats is None and _ends(implementation, [step, last]):
            harms = step.prepared.case.operator != last.prepared.case.operator
            if harms:
                text = f"after it, {last.prepared.case.id} fails: {verdict.message}"
                requirement, case = HARMS_OTHERS, step.prepared.case
                return replace(
                    verdict, requirement=requirement, case=case, history=calls.name, message=text
                )
            break
    text = f"{last.label}: {verdict.message}"
    return replace(verdict, case=calls.case, history=calls.name, message=text)


def _ends(implementation: Implementation, steps: Sequence[Step]) -> bool:
    """Whether the last of some calls ends its process, which has made no others."""
    calls = [replace(step, repeats=None, refills=None).call() for step in steps]
    with fresh_worker(implementation) as fresh:
        if fresh is None:
            return False
        try:
            with fresh.while_shrinking():
                make_calls(implementation, calls)
        except HistoryEnded as ending:
            return ending.number == len(steps) - 1
    return False


def _supported(implementation: Implementation, calls: History) -> History:
    """Return the history without the calls that the implementation does not support.

    A call whose arrays are made by its recipe is replaced by a supported call like it.
    """
    steps: list[Step] = []
    number: dict[int | None, int | None] = {None: None}
    """The positions of the steps that are left, by their positions before."""
    for i, step in enumerate(calls.steps):
        supported = _steered(implementation, calls.case, step)
        needs = {step.repeats, step.refills, step.takes and step.takes[1]}
        if supported is None or not needs <= number.keys():
            continue
        number[i] = len(steps)
        if len(steps) < i:
            takes = step.takes and (step.takes[0], number[step.takes[1]] or 0, step.takes[2])
            repeats, refills = number[step.repeats], number[step.refills]
            supported = replace(supported, repeats=repeats, refills=refills, takes=takes)
        steps.append(supported)
    return replace(calls, steps=tuple(steps))


def _steered(implementation: Implementation, base: Case, step: Step) -> Step | None:
    """Return the step, or one that is supported, or None; other shapes would tell less."""
    case = step.prepared.case
    if implementation.gap(case) is None:
        return step
    if not step.from_recipe or step.repeats is not None or case.operator != base.operator:
        return None
    # Whoever replays the history must make the same calls: so nothing is used that was learnt.
    supports = implementation.supports
    known = supports if isinstance(supports, Only) else getattr(supports, "only", None)
    for simpler in (known, _SIMPLER):
        changed = simpler.steer(case) if simpler is not None else None
        if changed is None or (changed.x, changed.w) != (case.x, case.w) or changed == base:
            continue
        if implementation.gap(changed) is None:
            values = {n: v for n, v in changed.parameters.items() if v != base.parameters[n]}
            label = f"a call with {', '.join(f'{n}={v}' for n, v in values.items())}"
            return replace(step, label=label, prepared=_prepared(changed))
    return None


_SIMPLER = only(same_on_every_axis=True, padding="symmetric", groups=False)
"""What most of those who support little do support."""
_prepared = lru_cache(maxsize=256)(Prepared.of)


class HistoryJudge:
    """Judges the answers to a history's first calls, as many as were made."""

    def __init__(
        self, implementation: Implementation, calls: History, answers: Sequence[Answer]
    ) -> None:
        self.implementation = implementation
        self.calls = calls
        self.answers = answers
        steps = calls.steps[: len(answers)]
        self.steps = tuple(map(_as_called, steps, answers))
        self.judged = JudgedAnswers(implementation, self.steps, answers)

    def violation(self) -> Verdict | None:
        """Return the first violation that the answers show, or None."""
        if self.calls.name == PROCESS:
            return self._in_process()
        return (
            self._in_memory()
            or self._in_threads()
            or self._in_repetitions()
            or self._in_gaps()
            or self._in_dtypes()
            or self._in_compositions()
            or self._in_values()
            or self._in_process()
        )

    def _verdict(
        self, requirement: str, text: str, status: str = VIOLATES, outcome: str | None = None
    ) -> Verdict:
        name, case, history = self.implementation.name, self.calls.case, self.calls.name
        return Verdict(name, case, status, requirement, text, history=history, outcome=outcome)

    def _in_memory(self) -> Verdict | None:
        """Look for memory that is returned twice, or written to after it was returned."""
        for step, answer in zip(self.steps, self.answers, strict=True):
            if answer.shares:
                earlier = self.steps[answer.shares[0]].label
                text = f"the output of {step.label} shares memory with that of {earlier}"
                return self._verdict("PURE-3", text)
        for i, (step, answer) in enumerate(zip(self.steps, self.answers, strict=True)):
            if answer.changed_by is not None:
                later = self.steps[answer.changed_by]
                text = f"the output of {step.label} was changed by {later.label}"
                taken = later.takes is not None and later.takes[1] == i
                alone = self._changed_by_call_alone(later) if taken else None
                return alone or self._verdict("PURE-4", text)
        for i in self._to_compare():
            step, seen = self.steps[i], self.answers[i].seen
            if seen.overrun:
                alone, _ = judge_prepared(self.implementation, step.prepared)
                if not any(one.requirement == "MEMORY-2" for one in alone.findings):
                    text = f"{step.label} wrote {beyond(step.prepared.case, seen)}"
                    return self._verdict("MEMORY-2", text)
        return None

    def _changed_by_call_alone(self, step: Step) -> Verdict | None:
        """Return the verdict on a single call like the step's that changes its input, or None."""
        found, _ = judge_prepared(self.implementation, _prepared(step.prepared.case))
        return next((one for one in found.findings if one.requirement == "PURE-1"), None)

    def _in_threads(self) -> Verdict | None:
        """Look for calls that were right alone, and are not while other threads make calls.

        Their bits may differ: a library may use fewer threads for a call where others are at work.
        """
        for i, (step, answer) in enumerate(zip(self.steps, self.answers, strict=True)):
            if not step.at_once or answer.same or answer.seen.unsupported is not None:
                continue
            alone = 0 if step.repeats is None else step.repeats
            if self.judged.failure(alone) or _outcome(self.answers[alone].seen):
                continue
            seen, failure = answer.seen, self.judged.failure(i)
            if seen.ended is not None:
                return self._verdict("REPEAT-5", f"{step.label} did not come back: {seen.how}")
            if failure is None:
                continue
            text = f"{step.label} is wrong: {failure.message}"
            if seen.raised is not None:
                text = f"{step.label} raised {seen.raised}, which it does not alone"
            if self._is_right_in_turn(i):
                return self._verdict("REPEAT-5", text)
            if step.repeats is not None:
                return self._verdict("REPEAT-2", f"{text} (so it is in one thread)")
        return None

    def _is_right_in_turn(self, number: int) -> bool:
        """Whether a call is right where one thread makes the same calls, one after the other.

        It makes as many, in either order. A new worker makes them, if any: what threads have broken
        may stay so.
        """
        judged = self.steps[number]
        alone = [step for step in self.steps if not step.at_once]
        others = self.steps[len(alone) :]
        orders = (others, others[::-1])
        return all(self._is_right_after(alone, (*order, judged)) for order in orders)

    def _is_right_after(self, alone: Sequence[Step], turns: Sequence[Step]) -> bool:
        """Whether the last of some calls is right, also where it comes among the others."""
        steps = [
            replace(step, at_once="")
            for step in (*alone, *turns)
            for _ in range(MOST_CALLS.get(step.at_once, 1))
        ]
        with fresh_worker(self.implementation):
            try:
                answers = make_calls(self.implementation, [step.call() for step in steps])
            except HistoryEnded:
                return False
        judged = JudgedAnswers(self.implementation, steps, answers)
        same = (i for i, step in enumerate(steps) if step.prepared is turns[-1].prepared)
        return all(judged.failure(i) is None for i in same)

    def _in_compositions(self) -> Verdict | None:
        """Look for calls that are wrong where they take an earlier output as it came."""
        for i, step in enumerate(self.steps):
            failure = self.judged.failure(i) if step.takes and step.judged else None
            if failure and self.judged.is_right_elsewhere(step.prepared):
                return self._verdict("REPEAT-6", f"{step.label} is wrong: {failure.message}")
        return None

    def _in_process(self) -> Verdict | None:
        """Look for calls that leave the process changed.

        If the call does so by itself, that is the finding.
        """
        for step, answer in zip(self.steps, self.answers, strict=True):
            left = left_behind(self.implementation.name, step.prepared.case, answer.seen)
            if not left:
                continue
            if self.calls.name == PROCESS:
                shown = [replace(one, history=PROCESS) for one in left]
                return together(shown)
            case = step.prepared.case
            alone = judge_named_history(self.implementation, case, PROCESS)
            if alone is not None:
                return alone
            text = f"{step.label}: {left[0].message}"
            return replace(self._verdict("PROCESS-6", text), cause=left[0].cause)
        return None

    def _in_repetitions(self) -> Verdict | None:
        """Look for calls that are the same as an earlier one but have another answer."""
        for i, (step, answer) in enumerate(zip(self.steps, self.answers, strict=True)):
            if step.repeats is None or answer.same or step.at_once:
                continue
            first, before = self.steps[step.repeats], self.answers[step.repeats]
            if _outcome(answer.seen) != _outcome(before.seen):
                harmed = self._harmed(i)
                return harmed or self._other_outcome(i, answer.seen, first, before.seen)
            failure, other = self.judged.failure(i), self.judged.failure(step.repeats)
            if answer.same is False and not (failure and other):  # else it is wrong in any case
                text = f"{step.label} gives other bits than {first.label}"
                if failure:
                    text = f"{text}, and is wrong: {failure.message}"
                elif other:
                    text = f"{text}, which is wrong: {other.message}"
                return self._verdict(self._repeating(i), text)
        return None

    def _repeating(self, i: int) -> str:
        """Return what call ``i`` violates, which has not the outcome or the bits that it had.

        The calls between are to blame only if the call is steady without them, and a rejected call
        only if it was rejected.
        """
        step = self.steps[i]
        if step.requirement != "REPEAT-1" and not self.judged.is_steady(step):
            return "REPEAT-1"
        before = self.steps[i - 1].prepared.case
        if step.requirement == "REJECT-2" and before.invalid:
            return "REJECT-2" if self.answers[i - 1].seen.raised is not None else "REPEAT-2"
        # Both calls have the same data: only the earlier calls differ.
        return (
            "REPEAT-2" if step.requirement == "REPEAT-3" and self._raises(i) else step.requirement
        )

    def _raises(self, i: int) -> bool:
        repeats = self.steps[i].repeats
        answers = [self.answers[i], *([] if repeats is None else [self.answers[repeats]])]
        return any(answer.seen.raised is not None for answer in answers)

    def _harmed(self, i: int) -> Verdict | None:
        """Return the verdict on the call of another operator after which call ``i`` raised."""
        last, seen = self.steps[i], self.answers[i].seen
        culprit = self.steps[i - 1].prepared.case
        if seen.raised is None or culprit.operator == last.prepared.case.operator:
            return None
        name, history = self.implementation.name, self.calls.name
        text = f"after it, {last.prepared.case.id} raises {seen.raised}, which it did not before"
        return Verdict(name, culprit, CRASHED, HARMS_OTHERS, text, history=history, outcome=RAISED)

    def _other_outcome(
        self, i: int, observation: Observation, first: Step, before: Observation
    ) -> Verdict:
        """Return the violation of a call that was made twice and had two outcomes."""
        label, other = self.steps[i].label, first.label
        if _outcome(observation) is None:  # then the earlier call has no result
            label, other, observation = other, label, before
        if observation.unsupported is not None:
            text = f"{label} is declined ({observation.unsupported}), and {other} is not"
            return self._verdict("DECLARE-7", text)
        text = f"{label} raised {observation.raised}, and {other} did not"
        return self._verdict(self._repeating(i), text, CRASHED, RAISED)

    def _in_gaps(self) -> Verdict | None:
        """Look for calls that are declined where others of the same case are not."""
        results: dict[Case, str] = {}
        gaps: dict[Case, tuple[str, str]] = {}
        for step, answer in zip(self.steps, self.answers, strict=True):
            case = step.prepared.case.replace(seed=0)
            if case.invalid or not step.judged:
                continue
            if answer.seen.unsupported is not None:
                gaps.setdefault(case, (step.label, answer.seen.unsupported))
            elif answer.seen.raised is None:
                results.setdefault(case, step.label)
            if case in results and case in gaps:
                label, reason = gaps[case]
                other = f"{results[case]}, of the same case,"
                return self._verdict(
                    "DECLARE-7", f"{label} is declined ({reason}), and {other} not"
                )
        return None

    def _in_dtypes(self) -> Verdict | None:
        """Look for results whose dtype is wrong where that of the first such call is right."""
        due = numpy_dtype(self.calls.case.dtype)
        first = True
        for i in self._to_compare():
            output = self.answers[i].seen.output
            if not isinstance(output, np.ndarray):
                continue
            if output.dtype != due:
                if first:
                    return None  # wrong from the start: a single call shows it
                text = f"{self.steps[i].label} returned dtype {output.dtype} where {due} is due"
                return self._verdict("RESULT-4", text)
            first = False
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
            verdict = self._verdict(failure.requirement, text, failure.status, failure.outcome)
            return replace(verdict, alone=case) if self.judged.is_as_wrong_alone(i) else verdict
        return None

    def _to_compare(self) -> Iterator[int]:
        """Yield the calls of the history's own operator and dtype whose answers have values."""
        case = self.calls.case
        for i, step in enumerate(self.steps):
            other = step.prepared.case
            alike = (other.operator, other.dtype) == (case.operator, case.dtype)
            answered = self.answers[i].seen.unsupported is None
            alike &= step.judged and not step.at_once
            if alike and step.repeats is None and not other.invalid and answered:
                yield i


def _as_called(step: Step, answer: Answer) -> Step:
    """Return the step with the output that the call took, and with its exact result for that."""
    if step.takes is None:
        return step
    if answer.taken is None or not np.isfinite(answer.taken).all():
        return replace(step, judged=False)  # the call before did not return what is due
    prepared, position = step.prepared, step.takes[0]
    inputs = (*prepared.inputs[:position], answer.taken, *prepared.inputs[position + 1 :])
    with np.errstate(all="ignore"):
        reference = OPERATORS[prepared.case.operator].reference(prepared.case, inputs)
    return replace(step, prepared=Prepared(prepared.case, inputs, reference))


def _outcome(observation: Observation) -> str | None:
    """Return why a call has no result: declined or raised; None if it has one."""
    if observation.unsupported is not None:
        return DECLINED
    return RAISED if observation.raised is not None else None
