"""Whether the earlier calls are to blame for a wrong answer, or the call's own data.

A wrong answer proves nothing about history: the kernel may be wrong on this data whenever it is
called. History is to blame only where the same call is right at another time, where the answer is
right for the arguments of an earlier call, or where a call with a new shape is right.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.calling import (
    Answer,
    Array,
    HistoryCall,
    HistoryEnded,
    Observation,
    has_result,
)
from conformance.case import Case, Shape
from conformance.checks.histories import Step, samples
from conformance.dtypes import TRAITS
from conformance.isolation.dispatch import caller_of, fresh_worker
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation
from conformance.operators import GRADIENTS, OPERATORS
from conformance.registration.implementation import Implementation

_SEEDS = 6
"""Seeds whose data is tried in order to show, without a history, that a call is wrong."""
_TIMES = 6
"""How often a call is repeated in order to show that its bits change without a history."""


def make_calls(
    implementation: Implementation,
    calls: Sequence[HistoryCall],
    seconds: float = math.inf,
    *,
    watched: bool = False,
) -> list[Answer]:
    """Make calls one after the other, and start none but the first after ``seconds``.

    This process makes the calls, unless the implementation has to be called in a worker.
    """
    return caller_of(implementation).perform(calls, implementation.layout, seconds, watched=watched)


@dataclass(slots=True)
class JudgedAnswers:
    """The answers to a history's calls. Each is judged as if its call were the only one."""

    implementation: Implementation
    steps: Sequence[Step]
    answers: Sequence[Answer]
    """As many as there are steps."""
    _failures: dict[int, Verdict | None] = field(default_factory=dict)

    def failure(self, i: int) -> Verdict | None:
        """Return the verdict on answer ``i`` if it is wrong, None if it is right."""
        if self.answers[i].same:
            i = self.steps[i].repeats or 0
        if i not in self._failures:
            self._failures[i] = self.failure_of(self.steps[i].prepared, self.answers[i].seen)
        return self._failures[i]

    def failure_of(
        self, prepared: Prepared, observation: Observation, accuracy: Accuracy | None = None
    ) -> Verdict | None:
        """Return the verdict on an observation of the call ``prepared`` if it failed, else None.

        Values are judged in spite of a wrong dtype, which is no failure here: a single call shows
        it.
        """
        alone = replace(observation, changed=(), shared=(), overrun=(), left=())  # one call shows
        accuracy = accuracy or Accuracy.of(self.implementation)
        verdict, _ = judge_observation(self.implementation.name, accuracy, prepared, alone)
        return next((v for v in verdict.findings if v.requirement != "RESULT-4"), None)

    def failure_of_call_alone(self, case: Case) -> Verdict | None:
        """Return the verdict on a single call like ``case`` that is wrong, or None.

        Several seeds of its recipe are tried. A failure of a single call can be shown, shrunk and
        replayed without the calls before it.
        """
        for seed in range(case.seed, case.seed + _SEEDS):
            prepared = Prepared.of(case.replace(seed=seed))
            observation = self._observe("the call alone", prepared)
            if observation.unsupported is None and (
                verdict := self.failure_of(prepared, observation)
            ):
                return verdict
        return None

    def is_as_wrong_alone(self, i: int) -> bool:
        """Whether call ``i``, on the same data, has the same bits where no call was made before it.

        A new worker makes it, if any: what the history has broken may stay so.
        """
        step = replace(self.steps[i], repeats=None, refills=None, takes=None)
        with fresh_worker(self.implementation):
            try:
                (answer,) = make_calls(self.implementation, [step.call()])
            except HistoryEnded:
                return False
        return _same(answer.seen.output, self.answers[i].seen.output)

    def is_right_elsewhere(self, prepared: Prepared, *, stale: bool = False) -> bool:
        """Whether the implementation computes a new call rightly.

        With ``stale`` it may as well give the right answer to an earlier call.
        """
        observation = self._observe("a call not made before", prepared)
        if observation.unsupported is not None:
            return False
        if self.failure_of(prepared, observation) is None:
            return True
        return stale and any(
            _same(observation.output, answer.seen.output) and self.failure(j) is None
            for j, answer in enumerate(self.answers)
            if self.steps[j].repeats is None
            and self.steps[j].judged
            and not self.steps[j].prepared.case.invalid
        )

    def is_steady(self, step: Step) -> bool:
        """Whether a call has the same outcome and the same bits whenever it is made alone."""
        calls = [replace(step, repeats=None, refills=None).call()] * 2
        calls += [replace(step, repeats=1, refills=None).call()] * _TIMES
        _, first, *others = make_calls(self.implementation, calls)  # one follows another call
        return all(
            other.same is not False and has_result(other.seen) == has_result(first.seen)
            for other in others
        )

    def _observe(self, label: str, prepared: Prepared) -> Observation:
        (answer,) = make_calls(self.implementation, [Step(label, prepared, "REPEAT-3").call()])
        return answer.seen


def history_is_to_blame(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer to call ``i``, which is wrong, is wrong because of earlier calls.

    A kernel that ignores an argument, or gives one answer to everything, may give that of an
    earlier call; but it is wrong for a new window as well. Where only the data or the batch differs
    from the first call, nothing but history explains that the same data is right in other shapes.
    """
    prepared = judged.steps[i].prepared
    case, first = prepared.case, judged.steps[0].prepared.case
    if answers_earlier_call(judged, i) or mixes_two_calls(judged, i):
        return judged.is_right_elsewhere(Prepared.of(with_wider_window(case)), stale=True)
    alike = {"x": first.x, "seed": first.seed, "bias": first.bias, "memory": first.memory}
    if case.replace(**alike) != first or _is_rounded(judged, i):
        return False
    others = [with_more_windows(prepared, 1)]
    if case.operator not in GRADIENTS:  # what the last element shows is then still there
        others.append(with_more_windows(prepared, 2, at_the_end=False))
    elif case.x[0] == first.x[0]:
        others.append(with_batch_twice(prepared))
    return all(judged.is_right_elsewhere(other) for other in others)


def answers_earlier_call(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer equals that of an earlier call, which was right there."""
    steps, answers = judged.steps, judged.answers
    output, exact = answers[i].seen.output, steps[i].prepared.reference.exact
    return any(
        _same(output, answers[j].seen.output)
        and judged.failure(j) is None
        and not _same(exact, steps[j].prepared.reference.exact)
        for j in range(i)
        if steps[j].repeats is None and steps[j].judged and not steps[j].prepared.case.invalid
    )


def mixes_two_calls(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer is right for some of its arguments and an earlier call's others.

    A parameter at its default is no evidence: a kernel that ignores the parameter uses it, too.
    """
    prepared, observation = judged.steps[i].prepared, judged.answers[i].seen
    return any(
        judged.failure_of(mixture, observation) is None
        for j in _earlier(judged.steps, i)
        for mixture in _mixtures(prepared, judged.steps[j].prepared)
    )


def _is_rounded(judged: JudgedAnswers, i: int) -> bool:
    """Whether the answer is off by no more than a narrower accumulator explains.

    Such an error depends on the data: it proves nothing that another call has a smaller one.
    """
    prepared, accuracy = judged.steps[i].prepared, Accuracy.of(judged.implementation)
    narrower = TRAITS[prepared.case.dtype].narrow_accumulator
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
        if alike and steps[j].repeats is None and steps[j].judged and not other.invalid:
            yield j


def _same(array: object, other: object) -> bool:
    """Whether these are two equal arrays of one shape."""
    if not (isinstance(array, np.ndarray) and isinstance(other, np.ndarray)):
        return False
    return array.shape == other.shape and array.tobytes() == other.tobytes()


def _mixtures(prepared: Prepared, other: Prepared) -> Iterator[Prepared]:
    """Yield the calls with some arguments of ``prepared`` and the others of ``other``."""
    case = prepared.case
    operator = OPERATORS[case.operator]
    if (other.case.x, other.case.w, other.case.kernel) == (case.x, case.w, case.kernel):
        defaults = case.plain()
        for name in operator.parameters:
            value = getattr(other.case, name)
            if value != getattr(case, name) and value != getattr(defaults, name):
                changed = case.replace(**{name: value})
                if _shapes(changed) == _shapes(case):
                    inputs = prepared.inputs
                    yield Prepared(changed, inputs, operator.reference(changed, inputs))
    choices = [
        (a, b) if _could_be(a, b) else (a,)
        for a, b in zip(prepared.inputs, other.inputs, strict=True)
    ]
    for inputs in itertools.islice(itertools.product(*choices), 1, None):
        mixed = case.replace(bias=inputs[2] is not None) if "bias" in operator.arguments else case
        reference = operator.reference(mixed, inputs)
        if not _same(reference.exact, prepared.reference.exact):
            yield Prepared(mixed, inputs, reference)


def _shapes(case: Case) -> list[tuple[int, ...] | None]:
    """Return the shapes of the arguments and of the result."""
    operator = OPERATORS[case.operator]
    arguments = [operator.argument_shape(case, name) for name in operator.arguments]
    return [*arguments, operator.output_shape(case)]


def _could_be(argument: object, other: object) -> bool:
    """Whether one argument could be taken for the other: arrays of one shape, or no bias."""
    if isinstance(argument, tuple) or isinstance(other, tuple):
        return False
    if isinstance(argument, np.ndarray) and isinstance(other, np.ndarray):
        return argument.shape == other.shape and not _same(argument, other)
    return (argument is None) != (other is None)


def with_wider_window(case: Case) -> Case:
    """Return the case with a longer window and a longer input along the last axis."""
    window = {name: _grown(getattr(case, name), 1) for name in ("w", "kernel")}
    spare = 1 if case.operator == "conv_transpose" else case.stride[-1] + case.dilation[-1]
    return case.replace(x=_grown(case.x, spare), **window)


def _grown(shape: Shape | None, by: int) -> Shape | None:
    return None if shape is None else (*shape[:-1], shape[-1] + by)


def with_batch_twice(prepared: Prepared) -> Prepared:
    """Return the call with its batch twice: the same data in arrays of other shapes."""
    return samples(prepared, prepared, np.r_[0 : prepared.case.x[0], 0 : prepared.case.x[0]])


def with_more_windows(prepared: Prepared, count: int, *, at_the_end: bool = True) -> Prepared:
    """Return the call with ``count`` more windows along the last axis.

    A forward call keeps its data, and more is added at one end. A gradient gets new data: the
    shapes of all of its arrays change.
    """
    case = prepared.case
    step = case.stride[-1] if case.operator != "conv_transpose" else 1
    longer = case.replace(x=_grown(case.x, count * step))
    if case.operator in GRADIENTS:
        return Prepared.of(longer)
    image: Array = Prepared.of(longer).inputs[0].copy()
    size = case.x[-1]
    image[..., slice(size) if at_the_end else slice(-size, None)] = prepared.inputs[0]
    inputs = (image, *prepared.inputs[1:])
    return Prepared(longer, inputs, OPERATORS[case.operator].reference(longer, inputs))
