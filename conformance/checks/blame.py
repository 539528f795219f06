"""Whether history is to blame for a wrong answer, or the very data that was handed over.

A wrong answer alone is no matter of history: a kernel may be wrong on that very data. So it counts
as one only where the same call is right at another time, where the answer is the right one to what
an earlier call was given, or where it is right once the shape is one not met before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.calling import Answer, Array, Call, Observation
from conformance.case import Case, Shape
from conformance.checks.histories import Step
from conformance.dtypes import TRAITS
from conformance.isolation.dispatch import caller_of
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registration.implementation import Implementation

_SEEDS = 6
"""Data that is tried to show without a history that a call is wrong."""


def make_calls(
    implementation: Implementation, calls: Sequence[Call], seconds: float = math.inf
) -> list[Answer]:
    """Make calls one after the other, none but the first after so many ``seconds``.

    The usual caller makes them: this process, unless only workers can.
    """
    return caller_of(implementation).perform(calls, implementation.layout, seconds)


@dataclass(slots=True)
class JudgedAnswers:
    """The answers to a history's calls, each judged as the call alone would be."""

    implementation: Implementation
    steps: Sequence[Step]
    answers: Sequence[Answer]
    """As many as there are steps."""
    _failures: dict[int, Verdict | None] = field(default_factory=dict)

    def failure(self, i: int) -> Verdict | None:
        """Return the verdict on one answer where it is wrong in itself, else None."""
        if self.answers[i].same:
            i = self.steps[i].repeats or 0
        if i not in self._failures:
            self._failures[i] = self.failure_of(self.steps[i].prepared, self.answers[i].seen)
        return self._failures[i]

    def failure_of(
        self, prepared: Prepared, seen: Observation, accuracy: Accuracy | None = None
    ) -> Verdict | None:
        """Return the verdict on an observation as one of the call ``prepared``, if it is wrong."""
        alone = replace(seen, changed=(), shared=())  # a single call shows those
        accuracy = accuracy or Accuracy.of(self.implementation)
        verdict, _ = judge_observation(self.implementation.name, accuracy, prepared, alone)
        return verdict if verdict.failed else None

    def failure_of_call_alone(self, case: Case) -> Verdict | None:
        """Return a verdict on one call like ``case``, with data that its recipe makes, if wrong.

        Then the failure can be shown, shrunk and replayed without the calls before it.
        """
        for seed in range(case.seed, case.seed + _SEEDS):
            prepared = Prepared.of(case.replace(seed=seed))
            seen = self._observe("the call alone", prepared)
            if seen.unsupported is None and (verdict := self.failure_of(prepared, seen)):
                return verdict
        return None

    def is_right_elsewhere(self, prepared: Prepared) -> bool:
        """Whether a call that was not made before is computed rightly."""
        seen = self._observe("a call not made before", prepared)
        return seen.unsupported is None and self.failure_of(prepared, seen) is None

    def _observe(self, label: str, prepared: Prepared) -> Observation:
        (answer,) = make_calls(self.implementation, [Step(label, prepared, "REPEAT-3").call()])
        return answer.seen


def history_is_to_blame(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer to call ``i`` is wrong because of earlier calls, whatever they were.

    A kernel that ignores a parameter may well answer what an earlier call asked for; but it does so
    with a window not met before, too. Where only the data or the batch is another than in the first
    call, nothing but history explains an answer that is right elsewhere.
    """
    prepared = judged.steps[i].prepared
    case, first = prepared.case, judged.steps[0].prepared.case
    evidence = answers_earlier_call(judged, i) or mixes_two_calls(judged, i)
    if case.replace(x=first.x, seed=first.seed, bias=first.bias) == first:
        if evidence or _is_rounded(judged, i):
            return evidence
        return judged.is_right_elsewhere(with_one_more_window(prepared))
    if (case.operator, case.dtype) != (first.operator, first.dtype):
        return evidence
    return evidence and judged.is_right_elsewhere(Prepared.of(with_wider_window(case)))


def answers_earlier_call(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer is that of an earlier call, to which it was right."""
    steps, answers = judged.steps, judged.answers
    output, exact = answers[i].seen.output, steps[i].prepared.reference.exact
    return any(
        _same(output, answers[j].seen.output)
        and judged.failure(j) is None
        and not _same(exact, steps[j].prepared.reference.exact)
        for j in range(i)
        if steps[j].repeats is None and not steps[j].prepared.case.invalid
    )


def mixes_two_calls(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer is right for some of its arguments and an earlier call's others.

    A parameter at its default is no evidence: a kernel that ignores it takes that one, too.
    """
    prepared, seen = judged.steps[i].prepared, judged.answers[i].seen
    return any(
        judged.failure_of(mixture, seen) is None
        for j in _earlier(judged.steps, i)
        for mixture in _mixtures(prepared, judged.steps[j].prepared)
    )


def _is_rounded(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer is off by no more than a narrower accumulator explains.

    Such an error is a matter of the data: that another call has less of it tells nothing.
    """
    prepared, accuracy = judged.steps[i].prepared, Accuracy.of(judged.implementation)
    narrower = TRAITS[prepared.case.dtype].hasty
    if narrower is None or accuracy.accumulate or accuracy.multiply:
        return False
    accuracy = replace(accuracy, accumulate=narrower, multiply=narrower)
    return judged.failure_of(prepared, judged.answers[i].seen, accuracy) is None


def _earlier(steps: Sequence[Step], i: int) -> Iterator[int]:
    """Yield the earlier calls of the same operator and dtype, the latest first."""
    case = steps[i].prepared.case
    for j in reversed(range(i)):
        other = steps[j].prepared.case
        alike = (other.operator, other.dtype) == (case.operator, case.dtype)
        if alike and steps[j].repeats is None and not other.invalid:
            yield j


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
        defaults = case.plain()
        for name in operator.parameters:
            value = getattr(other.case, name)
            if value != getattr(case, name) and value != getattr(defaults, name):
                changed = case.replace(**{name: value})
                if _shapes(changed) == _shapes(case):
                    yield Prepared(changed, mine.inputs, operator.reference(changed, mine.inputs))
    choices = [
        (a, b) if _could_be(a, b) else (a,) for a, b in zip(mine.inputs, other.inputs, strict=True)
    ]
    for inputs in itertools.islice(itertools.product(*choices), 1, None):
        mixed = case.replace(bias=inputs[2] is not None) if "bias" in operator.arguments else case
        reference = operator.reference(mixed, inputs)
        if not _same(reference.exact, mine.reference.exact):
            yield Prepared(mixed, inputs, reference)


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


def with_wider_window(case: Case) -> Case:
    """Return the case with a window, and an input, that are longer along the last axis."""
    window = {name: _grown(getattr(case, name), 1) for name in ("w", "kernel")}
    spare = 1 if case.operator == "conv_transpose" else case.stride[-1] + case.dilation[-1]
    return case.replace(x=_grown(case.x, spare), **window)


def _grown(shape: Shape | None, by: int) -> Shape | None:
    return None if shape is None else (*shape[:-1], shape[-1] + by)


def with_one_more_window(prepared: Prepared) -> Prepared:
    """Return the call with one more window along the last axis, and its data where it can keep it.

    A gradient's arrays are made anew: all of their shapes change.
    """
    case = prepared.case
    step = case.stride[-1] if case.operator != "conv_transpose" else 1
    longer = case.replace(x=_grown(case.x, step))
    if case.operator in GRADIENTS:
        return Prepared.of(longer)
    image: Array = Prepared.of(longer).inputs[0].copy()
    image[..., : case.x[-1]] = prepared.inputs[0]
    inputs = (image, *prepared.inputs[1:])
    return Prepared(longer, inputs, OPERATORS[case.operator].reference(longer, inputs))
