"""Histories: which calls follow one another, and what each of them changes.

Each history calls a case, changes one thing (the data, the parameters, the batch, the dtype or the
operator), and then repeats an earlier call. A kernel that keeps results between calls under a key
without that thing then gives the answer to an earlier call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from conformance.calling import AT_ONCE, Array, HistoryCall, Inputs
from conformance.calling.memory import SPREAD
from conformance.case import MEMORY_LAYOUTS, Case, Shape
from conformance.cases import invalid
from conformance.cases.data import make_inputs, memory_ways
from conformance.cases.validity import is_valid
from conformance.checks.variations import other_operators, parameters_changed
from conformance.dtypes import FORMATS, INTEGERS
from conformance.judging import PROCESS, THREADS, Prepared
from conformance.operators import OPERATORS, work
from conformance.operators.base import Reference
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
    judged: bool = True
    """Whether the answer is compared with the exact one. Others are called for what they leave."""
    takes: tuple[int, int, bool] | None = None
    """The argument that is the output of an earlier call (`conformance.calling.HistoryCall`)."""
    at_once: str = ""
    """How the call is made while other threads make calls (`conformance.calling.HistoryCall`)."""

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
            memory_ways(case) if case.memory != "contiguous" else (),
            self.takes,
            self.at_once,
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
        steps = tuple(_ALL[name](case, dtypes, operators))
    return History(name, case, steps) if len(steps) > 1 else None


Steps = Iterator[Step]


@lru_cache(maxsize=64)
def _prepared(case: Case) -> Prepared:
    """Return a case that several histories begin with, made once."""
    return Prepared.of(case)


def _first(case: Case) -> Step:
    return Step("the first call", _prepared(case), "REPEAT-2", from_recipe=True)


def _unjudged(label: str, case: Case, inputs: Inputs | None = None) -> Step:
    """Return a call whose answer is not looked at, so that no exact result is computed."""
    given = make_inputs(case) if inputs is None else inputs
    prepared = Prepared(case, given, Reference(np.empty(0)))
    return Step(label, prepared, "REPEAT-2", from_recipe=inputs is None, judged=False)


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


def _nonfinite(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls with NaN and infinities, which fill what is kept, the first call after each."""
    first = _exact_first(case)
    yield first
    if case.dtype in INTEGERS:
        return
    base = first.prepared.case
    for other in (base.replace(data="nan", seed=base.seed + 1), base.replace(data="inf")):
        if is_valid(other):
            yield _unjudged(f"a call with {_NAMED[other.data]} among the data", other)
            yield _back(first, f"the first call repeated after {_NAMED[other.data]}")
    for other, recipe, label in (
        (base, "nan", "a call of NaN alone"),
        (base, "inf", "a call of infinities alone"),
        (_larger(base), "nan", "a larger call of NaN alone"),
    ):
        other = other.replace(data=recipe)
        if is_valid(other):
            inputs = tuple(
                np.full_like(array, float(recipe)) if isinstance(array, np.ndarray) else array
                for array in make_inputs(other)
            )
            yield _unjudged(label, other, inputs)
            yield _back(first, f"the first call repeated after {label}")


_NAMED = {"nan": "a NaN", "inf": "infinities"}


def _layouts(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of the same shapes in other memory layouts, the first call after each of them."""
    first = _exact_first(case)
    base = first.prepared.case
    other = _prepared(base.replace(seed=base.seed + 1))
    yield first
    others = [name for name in MEMORY_LAYOUTS if name not in (*_USUAL, *_LEFT_OUT)]
    for memory in (*_USUAL, *others[case.seed % _TURNS :: _TURNS]):
        prepared = Prepared(other.case.replace(memory=memory), other.inputs, other.reference)
        label = f"a call with {memory} arrays"
        yield Step(label, prepared, "REPEAT-2", from_recipe=True)
        yield _back(first, f"the first call repeated after {label}")


_USUAL = ("fortran", "strided", "reversed", "readonly", "channels_last")
"""The memory layouts that every such history has; the others take turns."""
_LEFT_OUT = ("contiguous", "byteswapped", "shared", *SPREAD)
"""Those that are none, that may be refused, or that have data of their own."""
_TURNS = 3


def _sizes(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of other sizes, the first call after each of them.

    One has the first call's output and padded input, but another padding: what lay in the padding
    of one is data of the other.
    """
    first = _exact_first(case)
    base = first.prepared.case
    yield first
    padded = any(map(any, base.padding))
    for other, label, judged in (
        (_without_padding(base) if padded else _with_padding(base), "another padding", True),
        (_larger(base), "a larger input", True),
        (_longer(base), "a much longer input", False),
        (_with_more_channels(base), "more channels", False),
        (_smaller(base), "a smaller input", True),
    ):
        if other is None or other == base or not is_valid(other):
            continue
        label = f"a call with {label}"
        if judged:
            yield Step(label, _prepared(other), "REPEAT-2", from_recipe=True)
        else:
            yield _unjudged(label, other)
        yield _back(first, f"the first call repeated after {label}")


def _resized(case: Case, sizes: Iterable[int]) -> Case:
    return case.replace(x=(*case.x[:2], *sizes))


def _larger(case: Case) -> Case:
    """Return the case with another sample, and another window along every axis."""
    n, c, *spatial = case.x
    steps = (1,) * case.dims if OPERATORS[case.operator].is_transposed else case.stride
    sizes = (size + step for size, step in zip(spatial, steps, strict=True))
    return case.replace(x=(n + 1, c, *sizes))


def _longer(case: Case) -> Case:
    """Return the case with a last axis that is of another class of size."""
    return _resized(case, (*case.x[2:-1], case.x[-1] + 67))


def _smaller(case: Case) -> Case:
    return _resized(case, (*case.x[2:-1], case.x[-1] - 1))


def _with_more_channels(case: Case) -> Case:
    """Return the case with twice as many channels on either side, groups as they are."""
    n, c, *spatial = case.x
    if case.w is None:
        return case.replace(x=(n, 2 * c, *spatial))
    o, i, *window = case.w
    return case.replace(x=(n, 2 * c, *spatial), w=(2 * o, 2 * i, *window))


def _without_padding(case: Case) -> Case | None:
    """Return the case with data where its padding was: the output has the same shape."""
    if OPERATORS[case.operator].is_transposed:
        return None  # there padding crops
    pairs = zip(case.x[2:], case.padding, strict=True)
    return _resized(case.replace(padding=()), (size + sum(pair) for size, pair in pairs))


def _with_padding(case: Case) -> Case | None:
    """Return the case with its first position of each axis in the padding, as far as it may be."""
    if OPERATORS[case.operator].is_transposed or not case.window:
        return None
    able = [k > 1 and size > 1 for k, size in zip(case.window, case.x[2:], strict=True)]
    padded = case.replace(padding=tuple((int(one), 0) for one in able))
    return _resized(padded, (size - one for size, one in zip(case.x[2:], able, strict=True)))


def _edits(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls on the first call's arrays, each of which was changed in place a little.

    One element in the middle changes, at an odd place; two elements are exchanged, so that sums
    stay; then all of the array changes.
    """
    first = _exact_first(case)
    a = first.prepared
    b = _prepared(a.case.replace(seed=case.seed + 1))
    yield first
    for i, name in enumerate(OPERATORS[case.operator].arguments):
        array = a.inputs[i]
        if not isinstance(array, np.ndarray) or array.size < 2:
            continue
        for label, changed in _edited(array, b.inputs[i]):
            prepared = _with(a, (*a.inputs[:i], changed, *a.inputs[i + 1 :]))
            text = f"a call with {label} of {name} in place"
            yield Step(text, prepared, "REPEAT-3", refills=0)
    yield replace(_back(first, "the first call with its own data again"), refills=0)


def _edited(array: Array, other: Array) -> Iterator[tuple[str, Array]]:
    """Yield what was changed, and the array with the change."""
    middle = array.size // 2 | 1 if array.size > 2 else 1
    changed = array.copy().reshape(-1)
    changed[middle] = -changed[middle] if changed[middle] > 0 else changed[middle] + 1
    yield "an element changed", changed.reshape(array.shape)
    swapped = array.copy().reshape(-1)
    unlike = np.flatnonzero(swapped != swapped[middle])
    if unlike.size:
        near = unlike[np.argmin(np.abs(unlike - middle))]
        swapped[[middle, near]] = swapped[[near, middle]]
        yield "two elements exchanged", swapped.reshape(array.shape)
    yield "all elements changed", other


def _compositions(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of which each takes the output of the one before, as it came.

    Every call keeps the spatial sizes. Weights have few elements other than zero, so that no
    output can overflow. The last output but one is negated in place, as an activation does.
    """
    operator = OPERATORS[case.operator]
    if not operator.has_window:
        return
    position = operator.arguments.index("x") if case.operator == "conv_weight_grad" else 0
    this = _keeping_sizes(case, case.x)
    if not is_valid(this):
        return
    yield _first(this)
    for number in range(_LINKS):
        shape = operator.output_shape(this)
        this = _keeping_sizes(case, shape)
        if not is_valid(this):
            return
        negated = number == _LINKS - 1
        inputs = _sparse(this, make_inputs(this.replace(seed=case.seed + number)), position)
        what = "negated in place" if negated else "as it came"
        label = f"call {number + 2}, which takes the output of the one before {what},"
        # An output need not be of whole numbers: sums of its elements are not exact.
        data = "integers" if case.dtype in INTEGERS else "normal"
        step = _unjudged(label, this.replace(data=data), inputs)
        yield replace(step, requirement="REPEAT-6", judged=True, takes=(position, number, negated))


_LINKS = 3
"""Calls that take the output of the call before."""


def _keeping_sizes(case: Case, shape: Shape) -> Case:
    """Return a call whose output has the spatial sizes of its first argument, of this shape."""
    dims, (n, c) = case.dims, shape[:2]
    flat = case.operator == "max_pool_grad"  # the fewer windows overlap, the smaller are sums
    window = tuple(1 if flat and axis < dims - 1 else 3 for axis in range(dims))
    new = Case(operator=case.operator, x=shape, dtype=case.dtype, seed=case.seed)
    new = new.replace(padding=tuple((k // 2, k // 2) for k in window))
    if not OPERATORS[case.operator].has_weight:
        return new.replace(kernel=window)
    if case.operator == "conv_transpose":
        return new.replace(w=(c, 2, *window))
    if case.operator == "conv_input_grad":  # what is handed over is grad, which has O channels
        return new.replace(x=(n, 2, *shape[2:]), w=(c, 2, *window))
    return new.replace(w=(2, c, *window))


def _sparse(case: Case, inputs: Inputs, position: int) -> Inputs:
    """Return the arguments, of which those that are multiplied have two elements a channel."""
    if not OPERATORS[case.operator].has_weight:
        return inputs
    sparse = list(inputs)
    for i, array in enumerate(inputs):
        if i == position or not isinstance(array, np.ndarray) or array.ndim < 3:
            continue
        axis = 0 if case.operator == "conv" else 1  # that of the output's channels
        rows = np.moveaxis(np.zeros_like(array), axis, 0)
        for number, row in enumerate(rows):
            places = {number % row.size, (7 * number + row.size // 2) % row.size}
            for sign, place in zip((1, -1), sorted(places), strict=False):
                row[np.unravel_index(place, row.shape)] = sign
        sparse[i] = np.ascontiguousarray(np.moveaxis(rows, 0, axis))
    return tuple(sparse)


def _threads(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield calls of one thread, and then the same calls of several threads at once."""
    first = _exact_first(case)
    base = first.prepared.case
    other = _prepared(base.replace(seed=base.seed + 1))
    alone = [first, Step("a call with other data", other, "REPEAT-3", from_recipe=True)]
    if is_valid(larger := _larger(base)):
        step = Step("a call with a larger input", _prepared(larger), "REPEAT-2", from_recipe=True)
        alone.append(step)
    yield from alone

    def again(i: int, at_once: str) -> Step:
        how = "while other threads make calls"
        step = _back(alone[i], f"{alone[i].label}, made {how},", "REPEAT-5", repeats=i)
        return replace(step, at_once=at_once, from_recipe=False)

    yield again(0, "stopped")
    yield again(1 + case.seed % (len(alone) - 1), "meanwhile")
    for number, new in enumerate(_new_shapes(base)):  # what is set up for a shape
        label = "a first call of its shape, made while other threads make it,"
        for turn in range(AT_ONCE if number else 2):
            prepared = _prepared(new.replace(seed=base.seed + turn % 2))
            how = "together" if number else ("stopped", "meanwhile")[turn]
            yield Step(label, prepared, "REPEAT-5", at_once=how)
    for number in range(_TOGETHER):
        yield again(number % len(alone), "together")


def _new_shapes(case: Case) -> list[Case]:
    """Return valid cases with longer inputs than any call before them, each longer than the other.

    There are two, or none.
    """
    step = 1 if OPERATORS[case.operator].is_transposed else case.stride[-1]
    longer = [_resized(case, (*case.x[2:-1], case.x[-1] + i * step)) for i in (2, 3)]
    return longer if all(map(is_valid, longer)) else []


_TOGETHER = 12
"""Calls that several threads make at once."""


def _process(case: Case, dtypes: tuple[str, ...], operators: tuple[str, ...]) -> Steps:
    """Yield one call twice, which may be an invalid one: all of the process's state is watched."""
    first = _first(case)
    yield first
    yield _back(first, "the same call again", "REPEAT-1")


_MakeSteps: TypeAlias = Callable[[Case, tuple[str, ...], tuple[str, ...]], Steps]
_SHORT: dict[str, _MakeSteps] = {
    "data": _data,
    "dtypes": _dtypes,
    "parameters": _parameters,
    "batch": _batch,
    "operators": _operators,
    "rejected": _rejected,
}
_CROSSED: dict[str, _MakeSteps] = {
    "sizes": _sizes,
    "nonfinite": _nonfinite,
    THREADS: _threads,
    "compositions": _compositions,
    "edits": _edits,
    "layouts": _layouts,
}
_LONG: dict[str, _MakeSteps] = {"many": _many, "turns": _turns}
SHORT, CROSSED, LONG = tuple(_SHORT), tuple(_CROSSED), tuple(_LONG)
"""Histories of a few calls; those that cross with special values, layouts, sizes, other threads and
one another; and those of as many calls as `CALLS` says."""
_ALL = _SHORT | _CROSSED | _LONG | {PROCESS: _process}
NAMES = tuple(_ALL)
WATCHED = ("dtypes", "batch", "operators", "rejected", "nonfinite", "layouts", PROCESS)
"""The histories during which all of the process's state is watched."""


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
