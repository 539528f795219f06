"""What a defect does that the correct kernel does not: a second witness beside the judge.

Both go through the same calls. After each one there is written down what came back (type, dtype,
shape, bytes), whether it shares memory with an input or an earlier result, what the inputs and the
earlier results hold now, and, for defects of the process, what it has become. Defects of threads go
through calls of several. No reference and no bound is involved, so that this tells whether a
defect is one, and not whether the suite sees it.
"""

from __future__ import annotations

import gc
import itertools
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from conformance.calling.memory import place_all
from conformance.calling.process_state import QUICK, SLOW, put_back, read
from conformance.case import MEMORY_LAYOUTS, SPECIAL_RECIPES, Case
from conformance.cases import invalid
from conformance.cases.data import make_inputs, memory_ways
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.cases.validity import is_valid
from conformance.errors import Unsupported
from conformance.operators import GRADIENTS, OPERATORS
from tests.defects import Defect, Function, gradient_kernels, kernels

CORRECT: Mapping[str, Function] = {
    operator: getattr(gradient_kernels if operator in GRADIENTS else kernels, operator)
    for operator in OPERATORS
}
"""The correct kernel of each operator."""

REPEATS = 101
Seen = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: arrays that are this call's own, and parameters."""

    operator: str
    inputs: Callable[[], Sequence[Any]]
    parameters: Mapping[str, Any]
    takes: str = ""
    """``as it came`` or ``negated`` if its first argument is the result of the call before."""


def witness(defect: Defect) -> tuple[bool, bool]:
    """Return whether the defect differs from the kernel in some script, and equals it in another.

    Ends where both are known.
    """
    correct = CORRECT
    if defect.declarations.get("layout") == "NHWC":
        correct = {name: _channels_last(function) for name, function in CORRECT.items()}
    wrong = right = False
    if defect.kind == "threads":
        wrong = any(_differs_in_threads(defect, case) for case in _ordinary(defect))
    scripts = zip(_scripts(defect), _scripts(defect), strict=True)  # each with buffers of its own
    for mine, theirs in scripts:
        functions = defect.implementation().functions
        process = defect.check == "process"
        same = _outcomes(functions, mine, process) == _outcomes(correct, theirs, process)
        wrong, right = wrong or not same, right or same
        if wrong and right:
            break
    return wrong, right


def _channels_last(function: Function) -> Function:
    def wrapped(x: np.ndarray[Any, Any], **parameters: Any) -> np.ndarray[Any, Any]:
        return np.moveaxis(function(np.moveaxis(x, -1, 1), **parameters), 1, -1)

    return wrapped


_AT_ONCE, _TIMES, _ROUNDS = 4, 10, 12
"""Threads that make calls at once, how often each makes one, and how often they begin anew."""


def _differs_in_threads(defect: Defect, case: Case) -> bool:
    """Whether calls of several threads raise, or return what the kernel does not."""
    if not case.x[0]:
        return False
    correct = CORRECT[case.operator]
    together = [make_inputs(case.replace(seed=case.seed + i % 2)) for i in range(_AT_ONCE)]
    due = [_described(_result(correct, inputs, case.parameters)) for inputs in together]
    ready = threading.Barrier(_AT_ONCE)
    differing: list[int] = []

    def call_often(number: int, function: Function) -> None:
        ready.wait()
        for _ in range(_TIMES):
            if _described(_result(function, together[number], case.parameters)) != due[number]:
                differing.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for _ in range(_ROUNDS):
        function = defect.implementation().functions[case.operator]
        threads = [
            threading.Thread(target=call_often, args=(number, function))
            for number in range(_AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.setswitchinterval(interval)
    return bool(differing)


def _process() -> tuple[Any, ...]:
    """Return what a call must not change, in this module's own words."""
    third, smallest = np.float64(1) / np.float64(3), np.float64(5e-324) * np.float64(2.0**200)
    return (
        *(sorted(np.geterr().items()), np.geterrcall(), sorted(np.get_printoptions().items())),
        *(random.getstate(), str(np.random.get_state()), locale.setlocale(locale.LC_ALL)),
        *(str(warnings.filters), dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGFPE)),
        *(third.tobytes(), smallest.tobytes(), gc.isenabled(), sys.getrecursionlimit()),
        *(logging.root.level, len(os.listdir("/dev/fd")), threading.active_count()),
    )


def _outcomes(
    functions: Mapping[str, Function], script: Sequence[Call], process: bool = False
) -> list[Seen]:
    """Make the calls and return what was seen of each, and what the results hold in the end."""
    seen: list[Seen] = []
    results: list[np.ndarray[Any, Any]] = []
    for call in script:
        arrays = call.inputs()
        if call.takes and results and results[-1].shape == arrays[0].shape:
            if call.takes == "negated":
                np.negative(results[-1], out=results[-1])
            arrays = [results[-1], *arrays[1:]]
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
        with np.errstate(all="call", call=lambda error, flag: None):
            was, parts = _process() if process else (), (*QUICK, *SLOW)
            values = read(parts) if process else []
            output = _result(functions[call.operator], arrays, call.parameters)
            if process:
                seen.append(tuple(a == b for a, b in zip(was, _process(), strict=True)))
                put_back(parts, values)
        values = [(a, b) for a, b in zip(arrays, before, strict=True) if isinstance(b, np.ndarray)]
        changed = [a.shape != b.shape or a.tobytes() != b.tobytes() for a, b in values]
        shared = False
        if isinstance(output, np.ndarray):
            others = [a for a, _ in values] + results
            shared = any(np.may_share_memory(output, other) for other in others)
            results.append(output)
        seen.append((_described(output), shared, changed))
    return [*seen, tuple(one.tobytes() for one in results)]


def _result(function: Function, arrays: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
    try:
        return function(*arrays, **parameters)
    except (Unsupported, NotImplementedError):
        return "unsupported"
    except Exception:
        return "raised"


def _described(output: Any) -> Seen:
    if not isinstance(output, np.ndarray):
        return (type(output).__name__, output if isinstance(output, str) else None)
    return (type(output).__name__, output.dtype, output.shape, output.tobytes())


# --- the calls ----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _examples(operator: str, dtype: str) -> tuple[Case, ...]:
    """Return a few ordinary cases of a dtype, empty batches among them."""
    integer = np.dtype("int32" if dtype.startswith(("int", "uint")) else "float32").kind == "i"
    data = ("integers",) if integer else ("normal", "wide", "integers")
    ranges = Ranges(dtypes=("float32",), data=data)
    gradient = GRADIENTS.get(operator)
    source = gradient.forward.name if gradient else operator
    cases = generate(source, ranges, dims=None, count=60, seed_value=1)
    made = [gradient.derived(case) for case in cases] if gradient else list(cases)
    return tuple(case.replace(dtype=dtype) for case in made)


def _ordinary(defect: Defect) -> Iterator[Case]:
    yield from map(Case.parse, defect.at)
    dtypes = defect.declarations.get("dtypes", ("float32", "float64"))
    columns = [_examples(operator, dtype) for operator in defect.functions for dtype in dtypes]
    yield from itertools.chain(*zip(*columns, strict=True))


def _call(case: Case) -> Call:
    def inputs() -> Sequence[Any]:
        arrays = make_inputs(case)
        if case.invalid:
            arrays = invalid.apply(case, arrays, case.parameters)[0]
        return [array for array, _ in place_all(arrays, memory_ways(case))]

    parameters = case.parameters
    if case.invalid:
        parameters = invalid.apply(case, make_inputs(case), case.parameters)[1]
    return Call(case.operator, inputs, parameters)


def _scripts(defect: Defect) -> Iterator[list[Call]]:
    """Yield scripts of calls in which a defect of this check may show."""
    cases = list(_ordinary(defect))
    if defect.check == "layout":
        for case in cases[:24]:
            if case.x[0]:
                yield from (
                    [_call(case.replace(memory=way))] for way in (case.memory, *MEMORY_LAYOUTS)
                )
        return
    if defect.check == "special":
        yield from ([_call(Case.parse(text))] for text in defect.at)
        for case in cases:
            yield from ([_call(case.replace(data=recipe))] for recipe in SPECIAL_RECIPES)
        return
    if defect.check == "process":
        yield from ([_call(case)] for case in cases[:12])
    if defect.check in ("reject", "process"):
        for operator in defect.functions:
            few = 12 if defect.check == "process" else None
            yield from itertools.islice(_rejected(operator), few)
        return
    repeats = {"repeat": REPEATS, "purity": 2, "declare": 2}.get(defect.check, 0)
    if defect.state is not None and defect.check == "declare":
        repeats = REPEATS
    if repeats and len(defect.at) > 1:
        yield [_call(Case.parse(text)) for text in defect.at]
    for case in map(Case.parse, defect.at if repeats else ()):
        once = _call(case)
        yield [once, replace(once, takes="as it came"), replace(once, takes="negated")]
    for number, case in enumerate(cases):
        yield [_call(case)]
        if repeats:
            yield _history(cases, number, repeats)


def _rejected(operator: str) -> Iterator[list[Call]]:
    """Yield invalid calls, each with a valid one after it."""
    for dims in (1, 2):
        for case in invalid.cases(operator, dims, ("float32",)):
            yield [_call(case), _call(case.replace(invalid=""))]
    for case in _examples(operator, "float32")[:3]:
        for index, value in enumerate(make_inputs(case)):
            if isinstance(value, np.ndarray):
                yield [Call(operator, partial(_objects, case, index), case.parameters)]


def _objects(case: Case, index: int) -> Sequence[Any]:
    inputs = list(make_inputs(case))
    inputs[index] = inputs[index].astype(object)
    return inputs


def _history(cases: Sequence[Case], number: int, repeats: int) -> list[Call]:
    """Return calls of several cases in turn, then one of them over and over, then in its place."""
    case = cases[number]
    wide = tuple(reversed(case.padding)) if case.dims > 1 else case.padding
    others = [
        case.replace(seed=case.seed + 1),
        case.replace(padding=tuple((a, b) for b, a in wide)),
        case.replace(dilation=tuple(reversed(case.dilation))),
        case.replace(x=(case.x[0] + 1, *case.x[1:])),
        *cases[max(0, number - 3) : number + 3],
    ]
    buffers = make_inputs(case)

    def edited(index: int, apart: int) -> Sequence[Any]:
        """Exchange two elements of an argument, at odd places near its middle."""
        array = buffers[index] if index < len(buffers) else None
        if isinstance(array, np.ndarray) and array.size > apart + 1:
            flat, middle = array.reshape(-1), array.size // 2 | 1
            flat[[middle - 1 - apart, middle - 1]] = flat[[middle - 1, middle - 1 - apart]]
        return buffers

    def refilled(seed: int) -> Sequence[Any]:
        for mine, new in zip(buffers, make_inputs(case.replace(seed=seed)), strict=True):
            if isinstance(mine, np.ndarray):
                mine.reshape(-1)[...] = new.reshape(-1)
        return buffers

    same_bias = [*make_inputs(case)]
    if len(same_bias) == 3 and isinstance(same_bias[2], np.ndarray):
        same_bias[2] = same_bias[2] + same_bias[2].dtype.type(1)
    return [
        *(_call(one) for one in [case, *others, case] if is_valid(one)),
        Call(case.operator, lambda: same_bias, case.parameters),
        Call(case.operator, partial(refilled, case.seed), case.parameters),
        Call(case.operator, partial(refilled, case.seed + 1), case.parameters),
        *(
            Call(case.operator, partial(edited, index, apart), case.parameters)
            for index in (0, 1)
            for apart in (1, 2)
        ),
        *([_call(case)] * repeats),
        *(_call(case.replace(seed=case.seed + turn % 3)) for turn in range(repeats)),
    ]
