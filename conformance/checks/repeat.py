"""Calls that follow one another, judged: what a single call cannot show.

A kernel that caches by shape, identity, address or a part of what it was given, one that hands out
its own memory, one that drifts, fails or declines after some number of calls: each is right the
first time. Each answer of a history (`conformance.checks.histories`) must be what its call says,
the same call must give the same bits, and an answer once given must stay as it was.

A wrong answer alone is no matter of history: a kernel may be wrong on that very data. So it counts
as one only where the same call is right at another time, where the answer is the right one to what
an earlier call was given, or where it is right once the shape is one not met before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from conformance.calling import Answer, Array, Call, HistoryEnded, Observation
from conformance.case import Case, Shape
from conformance.checks.histories import CALLS, LONG, SHORT, History, Step, history
from conformance.dtypes import available
from conformance.isolation.dispatch import caller_of
from conformance.judging import (
    CRASHED,
    VIOLATES,
    Accuracy,
    Prepared,
    Verdict,
    judge_seen,
    verdict,
)
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registration.registry import Implementation
from conformance.signatures import ROLES

__all__ = ["CALLS", "endure", "judge_history", "relive", "repeat"]

_SEEDS = 6
"""Data that is tried to show without a history that a call is wrong."""

Perform: TypeAlias = Callable[[Implementation, Sequence[Call], float], list[Answer]]
"""Makes the calls of an implementation, none but the first after so many seconds."""


def as_usual(one: Implementation, calls: Sequence[Call], seconds: float) -> list[Answer]:
    """Let the usual caller make the calls: this process, unless only workers can."""
    return caller_of(one).perform(calls, one.layout, seconds)


def repeat(
    one: Implementation, prepared: Prepared, *, through: Perform = as_usual
) -> Verdict | None:
    """Return the violation that histories of a few calls show, or None."""
    found = (relive(one, prepared.case, name, through=through) for name in SHORT)
    return next((verdict for verdict in found if verdict is not None), None)


def endure(
    one: Implementation,
    prepared: Prepared,
    seconds: float = math.inf,
    *,
    through: Perform = as_usual,
) -> Verdict | None:
    """Return the violation that `CALLS` calls of one shape show, or None."""
    case = prepared.case
    found = (relive(one, case, name, seconds=seconds, through=through) for name in LONG)
    return next((verdict for verdict in found if verdict is not None), None)


def relive(
    one: Implementation,
    case: Case,
    name: str,
    *,
    seconds: float = math.inf,
    through: Perform = as_usual,
) -> Verdict | None:
    """Return the violation that the history ``name`` of a valid case shows, or None.

    The verdict's case is the one that the history is made from, and its ``history`` the name; but
    an answer that is wrong whatever came before is a verdict on that very call.
    """
    if case.invalid or one.gap(case) is not None:
        return None
    dtypes = tuple(dtype for dtype in one.dtypes if available(dtype))
    made = history(name, case, dtypes, tuple(one.operators))
    if made is None:
        return None
    made = _supported(one, made)
    try:
        return judge_history(one, made, through(one, made.calls, seconds), through=through)
    except HistoryEnded as ended:
        return _judge_end(one, made, ended)


def _judge_end(one: Implementation, made: History, ended: HistoryEnded) -> Verdict:
    """Return the verdict on a history of which one call ended its process."""
    step = made.steps[min(ended.number, len(made.steps) - 1)]
    found, _ = judge_seen(one, step.prepared, ended.seen)
    if ended.number == 0 or step.prepared.case.invalid:
        return found
    text = f"{step.what}: {found.message}"
    return replace(found, case=made.case, history=made.name, message=text)


def _supported(one: Implementation, made: History) -> History:
    """Return the history without the calls that the implementation does not claim to compute."""
    kept = [i for i, step in enumerate(made.steps) if one.gap(step.prepared.case) is None]
    if len(kept) == len(made.steps):
        return made
    place = {i: k for k, i in enumerate(kept)}
    steps = [made.steps[i] for i in kept]
    return replace(
        made,
        steps=tuple(
            replace(
                step,
                like=None if step.like is None else place[step.like],
                refill=None if step.refill is None else place[step.refill],
            )
            for step in steps
        ),
    )


_NARROWER = {"float16": "float16", "bfloat16": "bfloat16", "float64": "float32"}
"""The accumulator, narrower than usual, that good engines are known to have for a dtype."""


def judge_history(
    one: Implementation,
    made: History,
    answers: Sequence[Answer],
    *,
    through: Perform = as_usual,
) -> Verdict | None:
    """Return the first violation that the answers to a history's calls show, or None.

    ``through`` makes the calls that tell apart what history and what the data is to blame for.
    """
    judged = _Judged(one, made, answers)
    try:
        judged.look_at_memory()
        judged.look_at_repetitions()
        judged.look_at_gaps()
        judged.look_at_values(through)
    except _Found as found:
        return found.verdict
    return None


class _Found(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class _Judged:
    """The answers to a history's calls, and what is wrong with each of them."""

    def __init__(self, one: Implementation, made: History, answers: Sequence[Answer]) -> None:
        self.one = one
        self.made = made
        self.answers = answers
        self.steps = made.steps[: len(answers)]
        self.accuracy = Accuracy.of(one)
        self._wrong: dict[int, Verdict | None] = {}

    def found(self, requirement: str, text: str, status: str = VIOLATES) -> _Found:
        return _Found(
            Verdict(
                self.one.name,
                self.made.case,
                status,
                requirement,
                text,
                history=self.made.name,
            )
        )

    def look_at_memory(self) -> None:
        """Look for memory that is handed out twice, or written to once it was handed out."""
        for step, answer in zip(self.steps, self.answers, strict=True):
            if answer.shares:
                earlier = self.steps[answer.shares[0]].what
                text = f"the output of {step.what} shares memory with that of {earlier}"
                raise self.found("PURE-3", text)
        for step, answer in zip(self.steps, self.answers, strict=True):
            if answer.changed_by is not None:
                later = self.steps[answer.changed_by].what
                raise self.found("PURE-4", f"the output of {step.what} was changed by {later}")

    def look_at_repetitions(self) -> None:
        """Look for calls that are the same as an earlier one, and whose answers are not."""
        for i, (step, answer) in enumerate(zip(self.steps, self.answers, strict=True)):
            if step.like is None or answer.same:
                continue
            first, before = self.steps[step.like], self.answers[step.like]
            if _outcome(answer.seen) != _outcome(before.seen):
                raise self._other_outcome(step, answer, first, before)
            if answer.same is False:
                text = f"{step.what} gives other bits than {first.what}"
                if self.wrong(i):
                    text = f"{text}, and is wrong: {self._why(i)}"
                elif self.wrong(step.like):
                    text = f"{text}, which is wrong: {self._why(step.like)}"
                raise self.found(step.broken, text)

    def _other_outcome(self, step: Step, answer: Answer, first: Step, before: Answer) -> _Found:
        for what, seen, other in (
            (step.what, answer.seen, first.what),
            (first.what, before.seen, step.what),
        ):
            if seen.unsupported is not None:
                text = f"{what} is declined ({seen.unsupported}), and {other} is not"
                return self.found("DECLARE-7", text)
            if seen.raised is not None:
                text = f"{what} raised {seen.raised}, and {other} did not"
                # Whatever the data is, it is the same: what differs is what came before.
                requirement = "REPEAT-2" if step.broken == "REPEAT-3" else step.broken
                return self.found(requirement, text, CRASHED)
        raise AssertionError("outcomes that differ")

    def look_at_gaps(self) -> None:
        """Look for calls that are declined where others of the same case are not."""
        computed: dict[Case, str] = {}
        declined: dict[Case, tuple[str, str]] = {}
        for step, answer in zip(self.steps, self.answers, strict=True):
            case = step.prepared.case.replace(seed=0)
            if case.invalid:
                continue
            if answer.seen.unsupported is not None:
                declined.setdefault(case, (step.what, answer.seen.unsupported))
            elif answer.seen.raised is None:
                computed.setdefault(case, step.what)
            if case in computed and case in declined:
                what, reason = declined[case]
                text = f"{what} is declined ({reason}), and {computed[case]}, of the same case, not"
                raise self.found("DECLARE-7", text)

    def look_at_values(self, through: Perform) -> None:
        """Look for answers that are wrong because of what was called before."""
        case = self.made.case
        mine = [
            i
            for i, step in enumerate(self.steps)
            if step.like is None
            and (step.prepared.case.operator, step.prepared.case.dtype)
            == (case.operator, case.dtype)
            and not step.prepared.case.invalid
            and self.answers[i].seen.unsupported is None
        ]
        if self.wrong(0):
            return  # wrong from the start: the result check says so
        for i in mine:
            wrong = self.wrong(i)
            if wrong is None:
                continue
            step = self.steps[i]
            if self._history_is_to_blame(i, through):
                raise self.found(step.broken, f"{step.what} is wrong: {self._why(i)}")
            plain = wrong if step.own else self._plainly(step.prepared.case, through)
            if plain is not None:
                raise _Found(plain)
            assert wrong.requirement is not None
            raise self.found(
                wrong.requirement, f"{step.what} is wrong: {wrong.message}", wrong.status
            )

    def _plainly(self, case: Case, through: Perform) -> Verdict | None:
        """Return a verdict on one call like ``case``, with data that its recipe makes, if wrong.

        Then the failure can be shown, shrunk and replayed without the calls before it.
        """
        for seed in range(case.seed, case.seed + _SEEDS):
            prepared = Prepared.of(case.replace(seed=seed))
            step = Step("the call alone", prepared, "REPEAT-3")
            (answer,) = through(self.one, [step.call()], math.inf)
            if answer.seen.unsupported is None:
                found = self._failure(prepared, answer.seen)
                if found is not None:
                    return found
        return None

    def wrong(self, i: int) -> Verdict | None:
        """Return the verdict on one answer where it is wrong in itself, else None."""
        if self.answers[i].same:
            i = self.steps[i].like or 0
        if i not in self._wrong:
            self._wrong[i] = self._failure(self.steps[i].prepared, self.answers[i].seen)
        return self._wrong[i]

    def _failure(
        self, prepared: Prepared, seen: Observation, accuracy: Accuracy | None = None
    ) -> Verdict | None:
        plain = replace(seen, changed=(), shared=())  # a single call shows those
        found, _ = verdict(self.one.name, accuracy or self.accuracy, prepared, plain)
        return found if found.failed else None

    def _why(self, i: int) -> str:
        wrong = self.wrong(i)
        return wrong.message if wrong else ""

    # --- is history to blame? -------------------------------------------------------------------

    def _earlier(self, i: int) -> Iterator[int]:
        """Yield the earlier calls of the same operator and dtype, the latest first."""
        case = self.steps[i].prepared.case
        for j in reversed(range(i)):
            other = self.steps[j].prepared.case
            alike = (other.operator, other.dtype) == (case.operator, case.dtype)
            if alike and self.steps[j].like is None and not other.invalid:
                yield j

    def _stale(self, i: int) -> bool:
        """Whether the answer is that of an earlier call, to which it was right."""
        got, exact = self.answers[i].seen.output, self.steps[i].prepared.reference.exact
        return any(
            _same(got, self.answers[j].seen.output)
            and self.wrong(j) is None
            and not _same(exact, self.steps[j].prepared.reference.exact)
            for j in range(i)
            if self.steps[j].like is None and not self.steps[j].prepared.case.invalid
        )

    def _mixed(self, i: int) -> bool:
        """Whether the answer is right for some of its arguments and an earlier call's others.

        A parameter at its default is no evidence: a kernel that ignores it takes that one, too.
        """
        mine, seen = self.steps[i].prepared, self.answers[i].seen
        return any(
            self._failure(made, seen) is None
            for j in self._earlier(i)
            for made in _mixtures(mine, self.steps[j].prepared)
        )

    def _rounded(self, i: int) -> bool:
        """Whether the answer is off by no more than a narrower accumulator explains.

        Such an error is a matter of the data: that another call has less of it tells nothing.
        """
        prepared = self.steps[i].prepared
        narrower = _NARROWER.get(prepared.case.dtype)
        if narrower is None or self.accuracy.accumulate or self.accuracy.multiply:
            return False
        accuracy = replace(self.accuracy, accumulate=narrower, multiply=narrower)
        return self._failure(prepared, self.answers[i].seen, accuracy) is None

    def _history_is_to_blame(self, i: int, through: Perform) -> bool:
        """Whether the answer is wrong because of earlier calls, and not whatever they were.

        A kernel that ignores a parameter may well answer what an earlier call asked for; but it
        does so with a window not met before, too. Where only the data or the batch is another than
        in the first call, nothing but history explains an answer that is right elsewhere.
        """
        mine = self.steps[i].prepared
        case, first = mine.case, self.steps[0].prepared.case
        if case.replace(x=first.x, seed=first.seed, bias=first.bias) == first:
            if self._stale(i) or self._mixed(i):
                return True
            return not self._rounded(i) and self._right(_longer(mine), through)
        evidence = self._stale(i) or self._mixed(i)
        if (case.operator, case.dtype) != (first.operator, first.dtype):
            return evidence
        return evidence and self._right(Prepared.of(_wider(case)), through)

    def _right(self, elsewhere: Prepared, through: Perform) -> bool:
        """Whether a call that was not made before is computed rightly."""
        step = Step("a call not made before", elsewhere, "REPEAT-3")
        (answer,) = through(self.one, [step.call()], math.inf)
        return answer.seen.unsupported is None and self._failure(elsewhere, answer.seen) is None


def _outcome(seen: Observation) -> str:
    if seen.unsupported is not None:
        return "declined"
    return "raised" if seen.raised is not None else "returned"


def _same(one: object, other: object) -> bool:
    """Whether these are two equal arrays of one shape."""
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return False
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _mixtures(mine: Prepared, other: Prepared) -> Iterator[Prepared]:
    """Yield the calls with some arguments of ``mine`` and the others of ``other``."""
    case = mine.case
    operator = OPERATORS[case.operator]
    if (other.case.x, other.case.w, other.case.kernel) == (case.x, case.w, case.kernel):
        plain = case.plain()
        for name in operator.parameters:
            value = getattr(other.case, name)
            if value != getattr(case, name) and value != getattr(plain, name):
                changed = case.replace(**{name: value})
                if _shapes(changed) == _shapes(case):
                    yield Prepared(changed, mine.inputs, operator.reference(changed, mine.inputs))
    choices = [
        (a, b) if _could_be(a, b) else (a,) for a, b in zip(mine.inputs, other.inputs, strict=True)
    ]
    for chosen in itertools.islice(itertools.product(*choices), 1, None):
        mixed = case.replace(bias=chosen[2] is not None) if "bias" in operator.arguments else case
        made = operator.reference(mixed, chosen)
        if not _same(made.exact, mine.reference.exact):
            yield Prepared(mixed, chosen, made)


def _shapes(case: Case) -> list[tuple[int, ...] | None]:
    """Return the shapes of the arguments and of the result."""
    operator = OPERATORS[case.operator]
    arguments = [operator.argument_shape(case, name) for name in operator.arguments]
    return [*arguments, operator.output_shape(case)]


def _could_be(mine: object, other: object) -> bool:
    """Whether one argument could be taken for the other: arrays of one shape, or no bias."""
    if isinstance(mine, tuple) or isinstance(other, tuple):
        return False
    if isinstance(mine, np.ndarray) and isinstance(other, np.ndarray):
        return mine.shape == other.shape and not _same(mine, other)
    return (mine is None) != (other is None)


def _wider(case: Case) -> Case:
    """Return the case with a window, and an input, that are longer along the last axis."""
    window = {name: _grown(getattr(case, name), 1) for name in ("w", "kernel")}
    spare = 1 if case.operator == "conv_transpose" else case.stride[-1] + case.dilation[-1]
    return case.replace(x=_grown(case.x, spare), **window)


def _grown(shape: Shape | None, by: int) -> Shape | None:
    return None if shape is None else (*shape[:-1], shape[-1] + by)


def _longer(prepared: Prepared) -> Prepared:
    """Return the call with one more window along the last axis, and its data where it can keep it.

    A gradient's arrays are made anew: all of their shapes change.
    """
    case = prepared.case
    step = case.stride[-1] if case.operator != "conv_transpose" else 1
    grown = case.replace(x=(*case.x[:-1], case.x[-1] + step))
    if case.operator in GRADIENTS:
        return Prepared.of(grown)
    fresh = Prepared.of(grown).inputs
    inputs = list(prepared.inputs)
    for place, name in enumerate(OPERATORS[case.operator].arguments):
        if ROLES[name] == "image":
            longer: Array = fresh[place].copy()
            longer[..., : case.x[-1]] = inputs[place]
            inputs[place] = longer
    made = tuple(inputs)
    return Prepared(grown, made, OPERATORS[case.operator].reference(grown, made))
