"""Timing implementations on one layer in interleaved rounds, with nothing but the call timed.

Every round times each implementation, in random order: if the machine slows down, all are affected,
and the ratio of two is taken within a round. The arguments have the same address in every call, and
every call has data of its own, which are drawn after the call before has ended. Every output is
verified in full.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.isolation.process import Ended
from conformance.judging import Accuracy, Problem
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.spec.layers import smaller
from conformance.timing import processes
from conformance.timing.callers import Batch, Caller, InWorker
from conformance.timing.data import Data, Source
from conformance.timing.statistics import half_width
from conformance.timing.verifying import call_problem, ending, output_problem

_SHARES = (1 / 64, 1 / 16, 1 / 4)
"""The shares of a layer that are called first, to predict whether the whole is affordable."""
_SHORT = 5e-3
"""Calls shorter than this depend on the CPU caches, which other implementations have filled."""
_BATCH = 1e-3
"""Seconds of the timed calls between two looks at the run's own clock, at least."""
_MOST_CALLS, _MOST_ELEMENTS = 32, 1 << 21
"""The calls of a batch, and the elements that are drawn for them, at most."""
_LEAST_ROUNDS, _MOST_ROUNDS = 10, 200
"""The rounds, where a precision decides how many there are."""
_HELD = 3
"""The sets of data that are kept."""
_SETTLING = 8
"""Further calls of the warm-up, at most, while each is a tenth faster than all before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The timed calls of one round."""

    seconds: float
    """Of one call: the mean of those of a batch."""
    inner: float = 0.0
    """Of all calls of the batch, by the clock of the process that made them."""
    outer: float | None = None
    cpu: float | None = None
    waited: float = 0.0
    size: int = 1
    """The calls of the batch, an untimed one before the timed ones included."""


@dataclass(slots=True)
class Contender:
    """One implementation on one layer: the times of its calls, and what it did wrong."""

    implementation: Implementation
    caller: Caller | None = None
    samples: dict[int, Sample] = field(default_factory=dict)
    """Of each round."""
    cold: float | None = None
    """Seconds of the first call of the layer."""
    memory: int | None = None
    """Bytes that the process held during that call, beyond those that it held before."""
    calls: int = 0
    """Timed calls so far."""
    size: int = 1
    """The calls of a batch: where there are several, the first one is not timed."""
    skipped: str | None = None
    """The reason why it was not timed."""
    ended: Problem | None = None
    """Why no more calls are made, where one raised, or ended its process."""
    problem: Problem | None = None
    """What was wrong first."""
    problem_at: int = 0
    """The number of that timed call; 0 stands for the warm-up."""
    wrong_case: str = ""
    """Its case, with the data that it had."""
    widened: bool = False
    """Whether any of its threads may use cores that were not granted."""
    held: tuple[Data, ...] = ()
    """The data of the last calls, to tell whose result a wrong one is."""

    @property
    def finished(self) -> bool:
        """Whether no more calls are made."""
        return bool(self.skipped or self.ended)

    @property
    def seconds(self) -> dict[int, float]:
        """The seconds of a call in each round."""
        return {number: sample.seconds for number, sample in self.samples.items()}

    @property
    def timed(self) -> range:
        """The calls of a batch that are timed."""
        return range(min(1, self.size - 1), self.size)


def admit(contender: Contender, case: Case, seconds: float) -> None:
    """Skip a contender that does not compute ``case``, or whose call would exceed ``seconds``.

    Smaller versions of the layer, a quarter of the work each, are called first, which also loads
    the engine. If a call takes t for the work w, the next one is expected to take t * w'/w for its
    work w'; even a quadratic cost is noticed in time.
    """
    contender.skipped = contender.implementation.gap(case)
    if contender.skipped is not None:
        return
    steps = [smaller(case, share) for share in _SHARES]
    steps = [a for a, b in itertools.pairwise([*steps, case]) if work(a) < work(b)]
    for step, following in itertools.pairwise([*steps, case]):
        enough = seconds * work(step) / work(following)
        elapsed = _try(contender, step, enough)
        if elapsed is not None and elapsed > enough:
            expected = elapsed * work(case) / work(step)
            contender.skipped = (
                f"one call would take about {_rough(expected)}, by a smaller version of the layer; "
                f"the time budget is {seconds:g} s"
            )
            return


def _rough(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _try(contender: Contender, case: Case, enough: float) -> float | None:
    """Return the seconds of a call of ``case``, None if the implementation does not compute it.

    After more than ``enough``, perhaps for an import or a compilation, a second call decides.
    """
    caller = contender.caller
    assert caller is not None
    elapsed = math.inf
    try:
        if caller.open(case, 1) is not None:
            return None
        caller.write(0, make_inputs(case))
        for _ in range(2):
            (call,) = caller.make([0]).calls
            if not call.returned:  # only the layer itself decides, and not a smaller version
                return None
            elapsed = min(elapsed, call.seconds)
            if elapsed <= enough:
                break
    except Ended as ended:
        contender.ended = ending(ended)
        return None
    return elapsed


class Measurement:
    """The rounds of one layer."""

    def __init__(
        self,
        case: Case,
        contenders: Sequence[Contender],
        control: InWorker | None,
        *,
        entropy: int,
        seconds: float,
    ) -> None:
        self.case = case
        self.contenders = contenders
        self.control = control
        self.seconds = seconds
        self.sources = [Source(case, entropy, number) for number, _ in enumerate(contenders)]
        self.rng = np.random.default_rng((entropy, len(contenders)))
        self.overheads: dict[int, list[Batch]] = {}
        """What the control took for a batch of so many calls, round by round."""
        self._elements = sum(a.size for a in make_inputs(case) if a is not None)

    def measure(
        self,
        *,
        rounds: int | None,
        warmup: int,
        precision: float,
        tick: Callable[[float], None],
    ) -> None:
        """Warm up, then call every contender in each round until its ``seconds`` are used up.

        Without ``rounds`` they go on until the ratios of all to the fastest are known to within
        ``precision``. The results are stored in the contenders.
        """
        for c in self.contenders:
            if not c.finished:
                self._warm_up(c, warmup)
        sizes = {c.size for c in self.contenders if not c.finished}
        if self.control is not None and sizes:
            self.control.open(self.case, max(sizes))
        spent = dict.fromkeys(range(len(self.contenders)), 0.0)
        for number in range(rounds or _MOST_ROUNDS):
            if rounds is None and number >= _LEAST_ROUNDS and self._precise(precision):
                break
            tick(number / (rounds or _MOST_ROUNDS))
            called = False
            for index in self.rng.permutation(len(self.contenders)):
                c = self.contenders[index]
                share = spent[index] / max(1, len(c.samples))
                if c.finished or (c.samples and spent[index] + share > self.seconds):
                    continue
                began = time.monotonic()
                called = self._time(c, number) or called
                if rounds is None:  # drawing and verifying take time as well
                    spent[index] += time.monotonic() - began
                elif number in c.samples:
                    spent[index] += c.samples[number].seconds * len(c.timed)
            if not called:
                break
            if self.control is not None:
                for size in sizes:
                    batch = self.control.make(range(size))
                    self.overheads.setdefault(size, []).append(batch)
        for c in self.contenders:
            if isinstance(c.caller, InWorker):
                c.widened = c.caller.widened()

    def _source(self, c: Contender) -> Source:
        return next(s for s, each in zip(self.sources, self.contenders, strict=True) if each is c)

    def _precise(self, precision: float) -> bool:
        """Whether every ratio to the fastest is known well enough."""
        timed = [c.seconds for c in self.contenders if c.samples]
        fastest = min(timed, key=lambda times: float(np.median([*times.values()])), default={})
        for times in timed:
            shared = [times[n] / fastest[n] for n in times if n in fastest]
            if times is fastest:
                shared = [*times.values()]
            if len(shared) >= _LEAST_ROUNDS and half_width(shared) > precision:
                return False
        return True

    def _warm_up(self, c: Contender, warmup: int) -> None:
        """Make the first calls of the layer itself."""
        assert c.caller is not None
        try:
            reason = c.caller.open(self.case, 1)
        except Ended as ended:
            c.ended = ending(ended)
            return
        if reason is not None:
            c.skipped = reason
            return
        fastest, least = math.inf, max(warmup, 2)
        for number in range(least + _SETTLING):
            before = processes.resident(c.caller.pid) if number == 0 else None
            sample = self._call(c)
            if sample is None:
                return
            if number == 0:
                most = processes.peak(c.caller.pid)
                c.cold = sample.seconds
                c.memory = None if most is None or before is None else max(0, most - before)
            settled = sample.seconds > 0.9 * fastest
            fastest = min(fastest, sample.seconds)
            # A first call that takes long may have compiled something, so the second one decides.
            if number + 1 >= (least if fastest <= self.seconds else 2) and settled:
                break
        if fastest > self.seconds:
            c.skipped = f"one call takes {_rough(fastest)}; the time budget is {self.seconds:g} s"
        elif fastest < _SHORT:
            self._open_batches(c, fastest)

    def _open_batches(self, c: Contender, fastest: float) -> None:
        """Prepare batches of an untimed call, and so many that the run's clock can tell them."""
        assert c.caller is not None
        most = min(_MOST_CALLS, _MOST_ELEMENTS // max(1, self._elements))
        timed = int(np.clip(math.ceil(_BATCH / fastest), 1, max(1, most)))
        c.size = 1 + (timed if c.caller.is_watched else 1)
        c.caller.open(self.case, c.size)
        c.caller.write(0, self._source(c).draw().inputs)

    def _time(self, c: Contender, number: int) -> bool:
        """Time a contender in a round; return whether it made the calls."""
        first = c.calls + 1
        c.calls += len(c.timed)
        sample = self._call(c, first)
        if sample is None:
            c.calls -= len(c.timed)
            return False
        c.samples[number] = sample
        return True

    def _call(self, c: Contender, first: int = 0) -> Sample | None:
        """Make the calls of one batch, with new data, and verify what those that are timed return.

        ``first`` is the number of the first timed call, 0 in the warm-up. None stands for a call
        that did not return.
        """
        assert c.caller is not None
        source = self._source(c)
        data = {slot: source.draw() for slot in c.timed}
        for slot, new in data.items():
            c.caller.write(slot, new.inputs)
        try:
            batch = c.caller.make(range(c.size))
        except Ended as ended:
            c.ended = ending(ended)
            return None
        last = batch.calls[-1]
        if not last.returned:
            c.skipped = last.unsupported
            if last.raised is not None:
                c.ended = Problem("DECLARE-1", f"raised on a valid case: {last.raised}")
            return None
        for slot, new in data.items():
            if c.problem is None:
                call, accuracy = batch.calls[slot], Accuracy.of(c.implementation)
                output = c.caller.result(slot)
                c.problem = call_problem(
                    c.implementation, new.case, call, in_timing=first > 0
                ) or output_problem(new, c.held, output, accuracy, in_timing=first > 0)
                c.problem_at, c.wrong_case = first and first + slot - c.timed[0], new.case.id
            c.held = (*c.held, new)[-_HELD:]
        timed = [batch.calls[slot] for slot in c.timed]
        return Sample(
            seconds=sum(map(batch.seconds, timed)) / len(timed),
            inner=batch.inner,
            outer=batch.outer,
            cpu=batch.cpu,
            waited=batch.waited,
            size=c.size,
        )
