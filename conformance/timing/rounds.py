"""Timing implementations on one layer in interleaved rounds, with nothing but the call timed.

Every round times one call of each implementation, in random order: if the machine slows down, all
are affected, and the ratio of two is taken within a round. The arguments have the same address in
every call, and other data than in the call before.
"""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from conformance.arrays.library import InForm
from conformance.calling import Array, Inputs, one_line, to_layout
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.errors import Unsupported
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES
from conformance.spec.layers import smaller

SETS = 3
"""The number of different inputs, which calls take turns with."""

_SHARES = (1 / 64, 1 / 16, 1 / 4)
"""The shares of a layer that are called first, to predict whether the whole is affordable."""
_SHORT = 5e-3
"""Calls shorter than this depend on the CPU caches, which other implementations have filled."""
_TICK = 1e-9
"""The least seconds of a call, in case the clock is too coarse."""
_KEPT_BYTES = 1 << 30
"""Memory for the outputs of all implementations that are kept to be verified."""
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one call as it was returned; call 0 is the last call of the warm-up."""

    call: int
    data: int
    value: Any


@dataclass(slots=True)
class Contender:
    """One implementation on one layer: the times of its calls, and what it did wrong."""

    implementation: Implementation
    seconds: dict[int, float] = field(default_factory=dict)
    """The seconds of its call in each round."""
    outputs: list[Output] = field(default_factory=list)
    """Those that are kept to be verified, in the order of the calls."""
    skipped: str | None = None
    """The reason why it was not timed."""
    raised: str | None = None
    changed: str | None = None
    """The names of the inputs that a call changed."""

    @property
    def finished(self) -> bool:
        """Whether no more calls are made."""
        return bool(self.skipped or self.raised)


class Bench:
    """The inputs of one layer: several sets of data, and the arguments of calls in each layout."""

    def __init__(self, case: Case, layouts: Sequence[str]) -> None:
        self.case = case
        self.sets = [make_inputs(case.replace(seed=case.seed + k)) for k in range(SETS)]
        roles = SIGNATURES[case.operator].roles
        self._pristine = {
            layout: [to_layout(inputs, layout, roles) for inputs in self.sets] for layout in layouts
        }
        self._arguments = {
            layout: tuple(None if v is None else v.copy() for v in sets[0])
            for layout, sets in self._pristine.items()
        }

    def call_observed(self, layout: str, data: int) -> Inputs:
        """Write one set of data into the arrays of ``layout`` and return these."""
        arguments = self._arguments[layout]
        for target, source in zip(arguments, self._pristine[layout][data], strict=True):
            if target is not None:
                np.copyto(target, source)
        return arguments

    def changed(self, layout: str, data: int) -> str | None:
        """Return the names of the arguments that no longer hold set ``data``, None if all do."""
        pairs = zip(self._arguments[layout], self._pristine[layout][data], strict=True)
        return self._names(a is not None and not np.array_equal(a, b) for a, b in pairs)

    def shares(self, layout: str, output: Array) -> str | None:
        """Return the names of the arguments that share memory with ``output``, None if none do."""
        arguments = self._arguments[layout]
        return self._names(a is not None and np.may_share_memory(a, output) for a in arguments)

    def _names(self, chosen: Iterable[bool]) -> str | None:
        names = OPERATORS[self.case.operator].arguments
        return " and ".join(itertools.compress(names, chosen)) or None


def admit(contender: Contender, case: Case, seconds: float) -> None:
    """Skip a contender that does not compute ``case``, or whose call would exceed ``seconds``.

    Smaller versions of the layer, a quarter of the work each, are called first, which also loads
    the engine. If a call takes t for the work w, the next one is expected to take t * w'/w for its
    work w'; even a quadratic cost is noticed in time.
    """
    implementation = contender.implementation
    contender.skipped = implementation.gap(case)
    if contender.skipped is not None:
        return
    steps = [smaller(case, share) for share in _SHARES]
    steps = [a for a, b in itertools.pairwise([*steps, case]) if work(a) < work(b)]
    for step, following in itertools.pairwise([*steps, case]):
        enough = seconds * work(step) / work(following)
        elapsed = _try(implementation, step, enough)
        if elapsed is not None and elapsed > enough:
            expected = elapsed * work(case) / work(step)
            contender.skipped = (
                f"one call would take about {_rough(expected)}, by a smaller version of the layer; "
                f"the time budget is {seconds:g} s"
            )
            return


def _rough(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _try(implementation: Implementation, case: Case, enough: float) -> float | None:
    """Return the seconds of a call of ``case``, None if the implementation does not compute it.

    After more than ``enough``, perhaps for an import or a compilation, a second call decides.
    """
    inputs = to_layout(make_inputs(case), implementation.layout, SIGNATURES[case.operator].roles)
    function = implementation.in_form(case.operator, implementation.functions[case.operator])
    elapsed = math.inf
    for _ in range(2):
        try:
            started = perf_counter()
            function(*inputs, **case.parameters)
            elapsed = min(elapsed, perf_counter() - started)
        except (Exception, SystemExit):  # only the layer itself decides, and not a smaller version
            return None
        if elapsed <= enough:
            break
    return elapsed


def measure(
    bench: Bench,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    warmup: int,
    seconds: float,
    rng: np.random.Generator,
    tick: Callable[[int], None],
) -> None:
    """Warm up, then call every contender once in each round until its ``seconds`` are used up.

    The results are stored in the contenders. Garbage collection is off during the rounds.
    """
    out = math.prod(OPERATORS[bench.case.operator].output_shape(bench.case))
    room = _KEPT_BYTES // max(1, out * bench.sets[0][0].itemsize * len(contenders))
    extra = int(np.clip(room - 3, 0, min(_KEPT, rounds)))
    sample = {0, *rng.choice(rounds, extra, replace=False).tolist()}
    typical = {id(c): _warm_up(bench, c, warmup, seconds) for c in contenders if not c.finished}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            tick(number)
            for index in rng.permutation(len(contenders)):
                c = contenders[index]
                spent = sum(c.seconds.values())
                if c.finished or (c.seconds and spent + typical[id(c)] > seconds):
                    continue
                if typical[id(c)] < _SHORT:  # an untimed call on other data warms the caches
                    _call(bench, c, 0, (number + 1) % SETS)
                if c.finished:
                    continue
                elapsed, output = _call(bench, c, number + 1, number % SETS)
                if output is None:
                    continue
                c.seconds[number] = elapsed
                if len(c.outputs) > 1 and c.outputs[-1].call - 1 not in sample:
                    c.outputs.pop()  # only the last output and those of the sample are kept
                c.outputs.append(output)
    finally:
        if collecting:
            gc.enable()


def _warm_up(bench: Bench, c: Contender, warmup: int, seconds: float) -> float:
    """Make the first calls of the layer itself, and return the seconds of the fastest."""
    fastest = math.inf
    for number in range(max(warmup, 2)):
        # The rounds begin with set 0, so the output kept from the warm-up is of another set.
        elapsed, output = _call(bench, c, 0, 1 + number % (SETS - 1))
        if output is None:
            return fastest
        c.outputs = [output]
        fastest = min(fastest, elapsed)
        # A first call that takes long may have compiled something, so the second one decides.
        if number + 1 >= (warmup if fastest <= seconds else 2):
            break
    if fastest > seconds:
        c.skipped = f"one call takes {_rough(fastest)}; the time budget is {seconds:g} s"
    return fastest


def _call(bench: Bench, c: Contender, number: int, data: int) -> tuple[float, Output | None]:
    """Make one call, and return its seconds, and its output unless it raised."""
    implementation = c.implementation
    function, parameters = implementation.functions[bench.case.operator], bench.case.parameters
    function = implementation.in_form(bench.case.operator, function)
    inputs = bench.call_observed(implementation.layout, data)
    placed = [(value, value if isinstance(value, np.ndarray) else None) for value in inputs]
    try:
        if isinstance(function, InForm):
            call = function.bind(placed, parameters, watched=False)
            started = perf_counter()
            returned = call()
            elapsed = max(perf_counter() - started, _TICK)
            value = call.result(returned)
        else:
            started = perf_counter()
            value = function(*inputs, **parameters)
            elapsed = max(perf_counter() - started, _TICK)
    except (Unsupported, NotImplementedError) as gap:
        c.skipped = one_line(gap) or "no reason given"
        return 0.0, None
    except (Exception, SystemExit) as problem:  # any exception is a finding
        c.raised = f"{type(problem).__name__}: {one_line(problem)}"
        return 0.0, None
    c.changed = c.changed or bench.changed(implementation.layout, data)
    return elapsed, Output(number, data, value)
