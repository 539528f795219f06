"""Histories: which calls follow one another, and what each of them changes.

Each history calls a case, changes one thing (the data, the parameters, the batch, the dtype or the
operator), and then repeats an earlier call. A kernel that keeps results between calls under a key
without that thing then gives the answer to an earlier call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from conformance.calling import Array, HistoryCall, Inputs
from conformance.case import Case
from conformance.cases import invalid
from conformance.checks.variations import other_operators, parameters_changed
from conformance.dtypes import FORMATS, INTEGERS
from conformance.judging import Prepared
from conformance.operators import OPERATORS, work
from conformance.signatures import ROLES

CALLS = 101
"""Calls of a long history: enough to find a kernel that goes wrong after at most a hundred."""
_SETS = 5
"""Sets of data that take turns in a long history."""
_MISTAKES = 4
"""Invalid calls in a history."""
_KEPT = 512
"""Size of the cache of histories, which all implementations of a block share."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a history, its exact answer, and what a wrong one violates."""

    label: str
    """The call's name in messages, such as ``the same call again``."""
    prepared: Prepared
    requirement: str
    """The requirement that is violated if earlier calls make the answer wrong."""
    refills: int | None = None
    """The position of the earlier call whose arrays are filled with this call's data."""
    repeats: int | None = None
    """The position of the first call that is the same: its bits must come back."""
    from_recipe: bool = False
    """Whether the case's recipe makes the data, so that the case describes the whole call."""

    def call(self) -> HistoryCall:
        """Return the call that this step makes."""
        case, inputs = self.prepared.case, self.prepared.inputs
        parameters: Mapping[str, Any] = case.parameters
        if case.invalid:
            inputs, parameters = invalid.apply(case, inputs, parameters)
        return HistoryCall(
            self.label,
            case.operator,
            inputs,
            parameters,
            self.refills,
            self.repeats,
            work(case),
            case if self.from_recipe and self.refills is None else None,
        )


@dataclass(frozen=True, slots=True)
class History:
    """Calls that follow one another, all made from one case."""

    name: str
    case: Case
    steps: tuple[Step, ...]

    @property
    def calls(self) -> tuple[HistoryCall, ...]:
        """The calls, as `conformance.calling.history` takes them."""
        return tuple(step.call() for step in self.steps)


@lru_cache(maxsize=_KEPT)
def history(
    name: str, case: Case, dtypes: tuple[str, ...] = (), operators: tuple[str, ...] = ()
) -> History | None:
    """Return the history ``name`` (one of `NAMES`) of a valid case, or None if it has no such one.

    ``dtypes`` and ``operators`` are those that the implementation supports.
    """
    with np.errstate(all="ignore"):
        steps = tuple((_SHORT | _LONG)[name](case, dtypes, operators))
    return History(name, case, steps) if len(steps) > 1 else None


Steps = Iterator[Step]


def _first(case: Case) -> Step:
    return Step("the first call", Prepared.of(case), "REPEAT-2", from_recipe=True)


def _back(first: Step, label: str, requirement: str = "REPEAT-2", repeats: int = 0) -> Step:
    return replace(first, label=label, requirement=requirement, repeats=repeats)


def _exact_first(case: Case) -> Step:
    """Return the first call with exact data: a wrong answer is then wrong by more than rounding."""
    return _first(case.replace(data="integers", memory="contiguous"))


def _data(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls with other data of the same shapes.

    All data changes, then one element, then one argument; at last the first arrays are refilled.
    """
    first = _exact_first(case)
    a, b = first.prepared, Prepared.of(first.prepared.case.replace(seed=case.seed + 1))
    yield first
    yield _back(first, "the same call again", "REPEAT-1")
    yield Step("a call with other data of the same shapes", b, "REPEAT-3", from_recipe=True)
    yield Step("a call with one element changed", _touched(a), "REPEAT-3")
    names = OPERATORS[case.operator].arguments
    arrays = [i for i, value in enumerate(a.inputs) if isinstance(value, np.ndarray)]
    for i in arrays if len(arrays) > 1 else ():
        inputs = (*a.inputs[:i], b.inputs[i], *a.inputs[i + 1 :])
        yield Step(f"a call with another {names[i]}", _with(a, inputs), "REPEAT-3")
    if "bias" in names:
        yield from _bias(a)
    label = "a call with the first call's arrays refilled in place"
    yield Step(label, b, "REPEAT-3", refills=0, repeats=2)
    yield _back(first, "the first call repeated after the others")


def _bias(a: Prepared) -> Steps:
    """Yield the call with a bias if ``a`` has none, and without it if ``a`` has one."""
    x, w, bias = a.inputs
    case = a.case.replace(bias=bias is None)
    label = "a call with a bias" if bias is None else "a call without the bias"
    yield Step(label, _with(a, (x, w, Prepared.of(case).inputs[2]), case), "REPEAT-3")


def _parameters(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls with other parameters and the same input shapes, some with the same output's."""
    first = _exact_first(case)
    yield first
    for change, prepared in parameters_changed(first.prepared):
        yield Step(f"a call with {change}", prepared, "REPEAT-2", from_recipe=True)
    yield _back(first, "the first call repeated after other parameters")


def _batch(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls with a larger batch and with one sample, the first call after each of them."""
    first = _exact_first(case)
    a, b = first.prepared, Prepared.of(first.prepared.case.replace(seed=case.seed + 1))
    n = case.x[0]
    yield first
    larger = np.r_[0:n, 0:n, 0:1]
    yield Step("a call with a larger batch", samples(a, b, larger), "REPEAT-2")
    yield _back(first, "the first call repeated after a larger batch")
    if n > 1:
        yield Step("a call with one sample", samples(a, b, np.arange(1)), "REPEAT-2")
        yield _back(first, "the first call repeated after a smaller batch")


def _dtypes(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of the same shapes in other dtypes, the widest first; their sums round."""
    other_dtypes = [d for d in dtypes if d in OPERATORS[case.operator].dtypes and d != case.dtype]
    other_dtypes.sort(key=lambda d: (d in INTEGERS, -FORMATS[d].digits if d in FORMATS else 0))
    first = _first(_rounding(case, case.dtype))
    calls = ((d, _first(_rounding(case, d))) for d in other_dtypes)
    others = [replace(call, label=f"the first call in {d}") for d, call in calls]
    yield from others
    yield replace(first, label=f"the first call in {case.dtype}")
    for i, other in enumerate(others):
        yield _back(other, f"{other.label} repeated after other dtypes", repeats=i)
    if others:
        yield _back(first, "the first call repeated after other dtypes", repeats=len(others))


def _rounding(case: Case, dtype: str) -> Case:
    data = "integers" if dtype in INTEGERS else "normal"
    return case.replace(dtype=dtype, data=data, memory="contiguous")


def _operators(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of other operators on the same shapes, the first call after each of them."""
    first = _exact_first(case)
    yield first
    for other in other_operators(first.prepared.case, operators):
        yield Step(f"a call of {other.operator}", Prepared.of(other), "REPEAT-2", from_recipe=True)
        yield _back(first, f"the first call repeated after one of {other.operator}")


def _rejected(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield invalid calls with a mistake each, the first call after each of them."""
    first = _exact_first(case)
    a = first.prepared
    possible = [
        name
        for name, mistake in invalid.MISTAKES.items()
        if mistake.changes(a.case, a.inputs, a.case.parameters) is not None
    ]
    yield first
    apart = max(1, len(possible) // _MISTAKES)
    for name in possible[case.seed % apart :: apart][:_MISTAKES]:
        invalid_call = Prepared.of(a.case.replace(invalid=name))
        yield Step(f"an invalid call ({name})", invalid_call, "REJECT-2", from_recipe=True)
        yield _back(first, f"the first call repeated after an invalid one ({name})", "REJECT-2")


def _many(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield one call, again and again."""
    first = _first(case.replace(memory="contiguous"))
    yield first
    for number in range(2, CALLS + 1):
        yield _back(first, f"call {number} of the same call", "REPEAT-1")


def _turns(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of the same shapes, with sets of data that take turns."""
    sets = [_first(case.replace(memory="contiguous", seed=case.seed + i)) for i in range(_SETS)]
    for number in range(1, CALLS + 1):
        turn = (number - 1) % _SETS
        label = f"call {number} with data that changes"
        if number <= _SETS:
            yield replace(sets[turn], label=label, requirement="REPEAT-3")
        else:
            yield replace(sets[turn], label=label, requirement="REPEAT-2", repeats=turn)


_MakeSteps: TypeAlias = Callable[[Case, tuple[str, ...], tuple[str, ...]], Steps]
_SHORT: dict[str, _MakeSteps] = {
    "data": _data,
    "dtypes": _dtypes,
    "parameters": _parameters,
    "batch": _batch,
    "operators": _operators,
    "rejected": _rejected,
}
_LONG: dict[str, _MakeSteps] = {"many": _many, "turns": _turns}
SHORT, LONG = tuple(_SHORT), tuple(_LONG)
"""Histories of a few calls, and of as many as `CALLS` says."""
NAMES = (*SHORT, *LONG)


def _with(prepared: Prepared, inputs: Inputs, case: Case | None = None) -> Prepared:
    """Return the case, or another one, with other inputs and their reference."""
    case = case or prepared.case
    return Prepared(case, inputs, OPERATORS[case.operator].reference(case, inputs))


def _touched(prepared: Prepared) -> Prepared:
    """Return the case with the middle element of its first argument changed by one."""
    x = prepared.inputs[0].copy()
    if x.size:
        flat = x.reshape(-1)
        middle = flat[x.size // 2]
        flat[x.size // 2] = middle - 1 if middle > 0 else middle + 1
    return _with(prepared, (x, *prepared.inputs[1:]))


def samples(a: Prepared, b: Prepared, samples: Array) -> Prepared:
    """Return ``a`` with the ``samples`` of its batch, by index; later ones are taken from ``b``."""
    size, n = len(samples), a.case.x[0]
    rows = np.where(np.arange(size) < n, samples, samples + n)  # of both batches in a row

    def sampled(name: str, value: Any, other: Any) -> Any:
        if ROLES[name] != "image":
            return value
        if isinstance(value, tuple):
            return (size, *value[1:])
        return np.concatenate([value, other])[rows]

    names = OPERATORS[a.case.operator].arguments
    inputs = tuple(map(sampled, names, a.inputs, b.inputs))
    return _with(a, inputs, a.case.replace(x=(size, *a.case.x[1:])))
