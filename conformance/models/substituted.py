"""A model on another kernel: an implementation makes each call, which is judged at once."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from conformance.calling import Array, Observation, Request
from conformance.case import MEASURED, Case
from conformance.dtypes import INTEGERS
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import call_once, isolated
from conformance.judging import CONFORMS, UNSUPPORTED, Accuracy, Prepared, Verdict
from conformance.judging.judges import judge_observation, side_effects
from conformance.judging.prepared import reference_of
from conformance.judging.verdict import together
from conformance.large.projection import array_problem
from conformance.models.collecting import Numbers, printable, unlike
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import find
from conformance.runfile.words import VIOLATES
from conformance.signatures import SIGNATURES

_GATHERED = 1 << 22
"""The most window elements that are gathered at once; a larger call is judged in parts."""
_LIBRARIES = ("torch", "keras", "onnx.reference")


@dataclass(frozen=True, slots=True)
class Substituted:
    """One call of a model that an implementation was asked to make."""

    layer: str
    verdict: Verdict
    note: str = ""
    """What else there is to say: the library's own result is not right either."""

    @property
    def case(self) -> Case:
        """The call; its data has the range that the model's has."""
        return self.verdict.case


@dataclass(slots=True)
class Substitution:
    """What came of a model on an implementation, call by call, in the order of the calls."""

    implementation: str
    calls: list[Substituted] = field(default_factory=list)
    others: list[tuple[str, str, str]] = field(default_factory=list)
    """What was left to the library, being no call of an operator: layer, function, reason."""

    @property
    def failing(self) -> list[Substituted]:
        """The calls whose results are not right."""
        return [call for call in self.calls if call.verdict.failed]

    @property
    def first(self) -> Substituted | None:
        """The first call whose result is not right, None if there is none."""
        return next(iter(self.failing), None)

    @property
    def conforms(self) -> bool:
        """Whether calls were made, and all of them are right."""
        return not self.failing and any(call.verdict.status == CONFORMS for call in self.calls)

    def __str__(self) -> str:
        right = sum(call.verdict.status == CONFORMS for call in self.calls)
        left = [call for call in self.calls if call.verdict.status == UNSUPPORTED]
        layers = len({call.layer for call in self.calls})
        head = (
            f"{self.implementation}: {right} of {len(self.calls)} calls of {layers} layers conform"
        )
        if self.first is not None:
            head += f"; the first that does not is {self.first.layer}"
        lines = [head]
        for call in self.failing:
            verdict = call.verdict
            text = f"{verdict.status} {verdict.requirement}: {verdict.message}"
            lines += [f"  {call.layer}: {printable(text)}", f"    {verdict.case.id}"]
            lines += [f"    {call.note}"] if call.note else []
        lines += [f"  {c.layer}: not computed: {printable(c.verdict.message)}" for c in left]
        lines += [
            f"  {layer}: left to the library: {name}: {why}" for layer, name, why in self.others
        ]
        return "\n".join(lines)


@contextlib.contextmanager
def substituted(implementation: object) -> Iterator[Substitution]:
    """Let an implementation make the calls of models, and yield the report on them.

    Models of PyTorch, of Keras on any backend, and of ONNX in ``onnx.reference`` make their
    convolutions and pools by the implementation until the end of the context; those that it does
    not compute are left to the library. Each result is held against the exact one of the numbers
    that the layer was given, by the same bound as in a run, and handed on. Results have no
    derivative.

    The library of the model has to be imported before. Raises `ConformanceError` for an unknown
    implementation, and where there is no library.
    """
    judged = isolated(find(implementation), None, Limits())
    report = Substitution(judged.name)
    calls = _Judging(judged, report)
    there = [name for name in _LIBRARIES if name in sys.modules]
    if not there:
        raise ConformanceError(
            f"substituted: none of {', '.join(_LIBRARIES)} is imported; import the model's library "
            f"first"
        )
    with contextlib.ExitStack() as stack:
        # Keras calls functions of its backend, and these those of PyTorch, where that is it.
        if "keras" in there:
            from conformance.models.keras import BACKEND, watching
        if "keras" in there and (BACKEND != "torch" or "torch" not in there):
            stack.enter_context(watching(calls))
        if "torch" in there:
            from conformance.models.torch import hearing

            stack.enter_context(hearing(calls))
        if "onnx.reference" in there:
            from conformance.models import onnx

            stack.enter_context(onnx.hearing(calls))
        yield report


class _Judging:
    """Makes the calls that it is told of, and judges them; what it returns is handed on."""

    def __init__(self, implementation: Implementation, report: Substitution) -> None:
        self.implementation, self.report = implementation, report
        self._busy = False

    def other(self, layer: str, name: str, why: str) -> None:
        """Take note of what is left to the library."""
        self.report.others.append((layer, name, why))

    def add(
        self, layer: str, case: Case, arrays: Sequence[Array | None], output: Array | None
    ) -> Array | None:
        """Make a call, and return its result, None where that of the library is to be used."""
        if self._busy:  # the implementation itself calls the library
            return None
        why = unlike(case, arrays, output) or ("" if output is not None else "it has no numbers")
        if why:
            self.other(layer, f"{case.operator}{case.dims}d", why)
            return None
        case = _with_ranges(case, arrays)
        wild = any(w is not None and not np.isfinite(w).all() for w in arrays[1:2])
        if wild and _gathered(case) > _GATHERED:
            self.other(layer, f"{case.operator}{case.dims}d", "its weight is not finite")
            return None
        self._busy = True
        try:
            with np.errstate(all="ignore"):
                return self._judge(layer, case, tuple(arrays), output)
        finally:
            self._busy = False

    def _judge(
        self, layer: str, case: Case, arrays: tuple[Array | None, ...], own: Array | None
    ) -> Array | None:
        one, name = self.implementation, self.implementation.name
        gap = one.gap(case)
        if gap is not None:
            self.report.calls.append(
                Substituted(layer, Verdict(name, case, UNSUPPORTED, None, gap))
            )
            return None
        request = Request(
            case.operator, arrays, case.parameters, one.layout, work=work(case), case=case
        )
        observation = call_once(one, request)
        verdict = judged(name, Accuracy.of(one), case, arrays, observation)
        note = ""
        if verdict.failed and judged("", Accuracy(), case, arrays, Observation(output=own)).failed:
            note = "the library's own result is outside of the bound, too"
        self.report.calls.append(Substituted(layer, verdict, note))
        fits = array_problem(case, observation.output) is None
        return observation.output if fits else None


def _with_ranges(case: Case, arrays: Sequence[Array | None]) -> Case:
    """Return a case whose data is of the kind that these arrays have."""
    if case.dtype in INTEGERS:
        return case
    found = []
    for array in arrays:
        numbers = Numbers()
        if array is not None:
            numbers.add(array)
            if not numbers.finite:
                return case.replace(data="nan")
        found.append(numbers.measured() or (0.0, 0.0, 0.0))
    given = len(SIGNATURES[case.operator].arrays) if case.bias or case.w is None else 2
    return case.replace(data=MEASURED, ranges=tuple(found[:given]))


def judged(
    name: str,
    accuracy: Accuracy,
    case: Case,
    arrays: tuple[Array | None, ...],
    observation: Observation,
) -> Verdict:
    """Judge what was observed of a call by the exact result, in parts where it is large."""
    output = observation.output
    problem = None if output is None else array_problem(case, output)
    if output is None or problem is not None or _gathered(case) <= _GATHERED:
        prepared = Prepared(case, arrays, reference_of(case, arrays))
        return judge_observation(name, accuracy, prepared, observation)[0]
    verdicts = side_effects(name, case, observation)
    worst = 0.0
    for part, own, at in _parts(case, arrays):
        prepared = Prepared(part, own, reference_of(part, own))
        verdict, _ = judge_observation(name, accuracy, prepared, Observation(output=output[at]))
        worst = max(worst, verdict.worst)
        if verdict.failed:
            where = ", ".join(":" if one == _ALL else f"{one.start}:{one.stop}" for one in at)
            text = f"in the part [{where}] of it: {verdict.message}"
            verdicts.append(Verdict(name, case, VIOLATES, verdict.requirement, text, verdict.worst))
            break
    return together(verdicts) if verdicts else Verdict(name, case, CONFORMS, worst=worst)


_ALL = slice(None)


_Parts: TypeAlias = Iterator[tuple[Case, tuple[Array | None, ...], tuple[slice, ...]]]


def _gathered(case: Case) -> int:
    """Return how many elements all windows of a call have."""
    operator = OPERATORS[case.operator]
    channels, positions = case.x[1], operator.output_shape(case)[2:]
    if operator.is_transposed and case.w is not None:
        channels, positions = case.w[1] * case.groups, case.x[2:]
    return case.x[0] * channels * math.prod(positions) * math.prod(case.window)


def _parts(case: Case, arrays: tuple[Array | None, ...]) -> _Parts:
    """Yield parts of a large call, each a call of its own, which together have all of its output.

    Each is a case with its arrays, and where its output lies in that of the call.
    """
    x, *others = arrays
    assert x is not None
    sample = case.replace(x=(1, *case.x[1:]))
    step = _GATHERED / _gathered(sample)
    for n in range(case.x[0]):
        image = slice(n, n + 1)
        if case.w is None:
            parts = _channels(sample, x[image], step)
        elif OPERATORS[case.operator].is_transposed:
            parts = _outputs(sample, x[image], others, step)
        else:
            parts = _rows(sample, x[image], others, step)
        for part, own, at in parts:
            yield part, own, (image, *at)


def _some(size: int, step: float) -> Iterator[slice]:
    """Yield ranges of ``size``, each about a ``step`` of it."""
    length = max(1, int(size * step))
    return (slice(first, min(first + length, size)) for first in range(0, size, length))


def _channels(case: Case, x: Array, step: float) -> _Parts:
    """Yield the channels of a pool, some at a time."""
    for some in _some(case.x[1], step):
        part = case.replace(x=(1, some.stop - some.start, *case.x[2:]))
        yield part, (x[:, some],), (some,)


def _outputs(case: Case, x: Array, others: Sequence[Array | None], step: float) -> _Parts:
    """Yield the output channels of each group of a transposed convolution, some at a time."""
    w, bias = others
    assert w is not None
    inner, outer = case.x[1] // case.groups, w.shape[1]
    for group in range(case.groups):
        inputs = slice(group * inner, (group + 1) * inner)
        for some in _some(outer, step * case.groups):
            at = slice(group * outer + some.start, group * outer + some.stop)
            own = (x[:, inputs], w[inputs, some], None if bias is None else bias[at])
            part = case.replace(x=own[0].shape, w=own[1].shape, groups=1)
            yield part, own, (at,)


def _rows(case: Case, x: Array, others: Sequence[Array | None], step: float) -> _Parts:
    """Yield the rows of a convolution's output, some at a time, each with the rows that it reads.

    Rows of padding are rows of zeros there.
    """
    rest = ((0, 0),) * (case.dims - 1)
    padded = np.pad(x, ((0, 0), (0, 0), case.padding[0], *rest))
    stride, reach = case.stride[0], case.dilation[0] * (case.window[0] - 1) + 1
    for some in _some(OPERATORS[case.operator].output_shape(case)[2], step):
        own = padded[:, :, some.start * stride : (some.stop - 1) * stride + reach]
        padding = ((0, 0), *case.padding[1:])
        part = case.replace(x=own.shape, padding=padding)
        yield part, (own, *others), (_ALL, some)
