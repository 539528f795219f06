"""Timing implementations on one layer: interleaved rounds, with nothing but the call timed.

Every round times one call of each implementation, in random order, so that a machine that slows
down or speeds up does so for all of them, and the ratio of two is taken within a round. What is
handed over lies at the same address in every call and holds other data than in the call before.
"""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from conformance.calling import Array, Inputs, one_line, to_layout
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.errors import Unsupported
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.signatures import SIGNATURES
from conformance.spec.layers import smaller

SETS = 3
"""Different inputs that calls take turns with."""

_SHARES = (1 / 64, 1 / 16, 1 / 4)
"""Smaller versions of a layer that say whether a call of it is affordable."""
_SHORT = 5e-3
"""Seconds of a call that the caches matter to, which the other implementations have filled."""
_TICK = 1e-9
"""What a call takes at least, should the clock be too coarse to tell."""
_KEPT_BYTES = 1 << 30
"""Memory for outputs that are kept to be verified, all implementations together."""
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Kept:
    """The output of one call, kept as it was returned; call 0 is the last one of the warm-up."""

    call: int
    data: int
    output: Any


@dataclass(slots=True)
class Contender:
    """One implementation on one layer: how long its calls took, and what came of them."""

    implementation: Implementation
    seconds: dict[int, float] = field(default_factory=dict)
    """Seconds of one call by round."""
    kept: list[Kept] = field(default_factory=list)
    skipped: str | None = None
    """Why it was not timed."""
    raised: str | None = None
    changed: str | None = None
    """Which inputs a call changed."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to call."""
        return bool(self.skipped or self.raised)


class Bench:
    """The inputs of one layer: several sets of data, and for each layout the arrays handed over."""

    def __init__(self, case: Case, layouts: Sequence[str]) -> None:
        self.case = case
        self.sets = [make_inputs(case.replace(seed=case.seed + k)) for k in range(SETS)]
        roles = SIGNATURES[case.operator].roles
        self._pristine = {
            layout: [to_layout(inputs, layout, roles) for inputs in self.sets] for layout in layouts
        }
        self._handed = {
            layout: tuple(None if v is None else v.copy() for v in sets[0])
            for layout, sets in self._pristine.items()
        }

    def hand_over(self, layout: str, data: int) -> Inputs:
        """Write one set of data into the arrays of ``layout`` and return these."""
        handed = self._handed[layout]
        for target, source in zip(handed, self._pristine[layout][data], strict=True):
            if target is not None:
                np.copyto(target, source)
        return handed

    def changed(self, layout: str, data: int) -> str | None:
        """Say which of the arrays handed over no longer hold the data of ``data``."""
        names = OPERATORS[self.case.operator].arguments
        pairs = zip(names, self._handed[layout], self._pristine[layout][data], strict=True)
        wrong = [n for n, a, b in pairs if a is not None and not np.array_equal(a, b)]
        return " and ".join(wrong) or None

    def shares(self, layout: str, output: Array) -> str | None:
        """Say which of the arrays handed over ``output`` shares memory with."""
        names = OPERATORS[self.case.operator].arguments
        pairs = zip(names, self._handed[layout], strict=True)
        wrong = [n for n, a in pairs if a is not None and np.may_share_memory(a, output)]
        return " and ".join(wrong) or None


def admit(contender: Contender, case: Case, seconds: float) -> None:
    """Skip a contender that does not compute ``case``, or whose call would exceed ``seconds``.

    Smaller versions of the layer are called first, which also loads the engine. What takes t for
    the work w is expected to take t * w'/w for the next larger one; since each has a quarter of
    the next one's work, even a cost that is quadratic is noticed in time.
    """
    one = contender.implementation
    contender.skipped = one.gap(case)
    if contender.skipped is not None:
        return
    steps = [smaller(case, share) for share in _SHARES]
    steps = [a for a, b in itertools.pairwise([*steps, case]) if work(a) < work(b)]
    for step, following in itertools.pairwise([*steps, case]):
        enough = seconds * work(step) / work(following)
        elapsed = _try(one, step, enough)
        if elapsed is not None and elapsed > enough:
            expected = elapsed * work(case) / work(step)
            contender.skipped = (
                f"one call would take about {_rough(expected)}, by a smaller version of the layer; "
                f"the time budget is {seconds:g} s"
            )
            return


def _rough(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _try(one: Implementation, case: Case, enough: float) -> float | None:
    """Return the seconds of a call of ``case``, None if it does not compute it.

    A call that takes more than ``enough`` may have imported or compiled something: the second
    one decides.
    """
    inputs = to_layout(make_inputs(case), one.layout, SIGNATURES[case.operator].roles)
    function = one.functions[case.operator]
    elapsed = math.inf
    for _ in range(2):
        try:
            started = perf_counter()
            function(*inputs, **case.parameters)
            elapsed = min(elapsed, perf_counter() - started)
        except (Exception, SystemExit):  # the layer itself decides, not a smaller version of it
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
    """Warm up, then call every contender once a round until its ``seconds`` are used up.

    Fills in the contenders. Garbage collection is off during the rounds.
    """
    out = math.prod(OPERATORS[bench.case.operator].output_shape(bench.case))
    room = _KEPT_BYTES // max(1, out * bench.sets[0][0].itemsize * len(contenders))
    extra = int(np.clip(room - 3, 0, min(_KEPT, rounds)))
    chosen = {0, *rng.choice(rounds, extra, replace=False).tolist()}
    typical = {id(c): _warm_up(bench, c, warmup, seconds) for c in contenders if not c.finished}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            tick(number)
            for place in rng.permutation(len(contenders)):
                c = contenders[place]
                spent = sum(c.seconds.values())
                if c.finished or (c.seconds and spent + typical[id(c)] > seconds):
                    continue
                if typical[id(c)] < _SHORT:  # on other data, not timed: it warms the caches
                    _call(bench, c, 0, (number + 1) % SETS)
                if c.finished:
                    continue
                elapsed, kept = _call(bench, c, number + 1, number % SETS)
                if kept is None:
                    continue
                c.seconds[number] = elapsed
                if len(c.kept) > 1 and c.kept[-1].call - 1 not in chosen:
                    c.kept.pop()  # it is the last one no longer
                c.kept.append(kept)
    finally:
        if collecting:
            gc.enable()


def _warm_up(bench: Bench, c: Contender, warmup: int, seconds: float) -> float:
    """Make the first calls of the layer itself; return the seconds of the fastest."""
    fastest = math.inf
    for number in range(max(warmup, 2)):
        # The rounds begin with set 0: what is kept from the warm-up is of another one.
        elapsed, kept = _call(bench, c, 0, 1 + number % (SETS - 1))
        if kept is None:
            return fastest
        c.kept = [kept]
        fastest = min(fastest, elapsed)
        # A first call that takes long may have compiled something: the second one decides.
        if number + 1 >= (warmup if fastest <= seconds else 2):
            break
    if fastest > seconds:
        c.skipped = f"one call takes {_rough(fastest)}; the time budget is {seconds:g} s"
    return fastest


def _call(bench: Bench, c: Contender, number: int, data: int) -> tuple[float, Kept | None]:
    """Call once; return the seconds, and the output unless it raised."""
    one = c.implementation
    function, parameters = one.functions[bench.case.operator], bench.case.parameters
    inputs = bench.hand_over(one.layout, data)
    try:
        started = perf_counter()
        output = function(*inputs, **parameters)
        elapsed = max(perf_counter() - started, _TICK)
    except (Unsupported, NotImplementedError) as gap:
        c.skipped = one_line(gap) or "no reason given"
        return 0.0, None
    except (Exception, SystemExit) as problem:  # whatever it raises is a finding
        c.raised = f"{type(problem).__name__}: {one_line(problem)}"
        return 0.0, None
    c.changed = c.changed or bench.changed(one.layout, data)
    return elapsed, Kept(number, data, output)
