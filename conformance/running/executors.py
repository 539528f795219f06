"""Judging blocks by an executor: any of `concurrent.futures`, whose processes may be lost.

A block whose process was killed is judged again, at most `MOST_LOSSES` times, and the last time
while nothing else is: so that one which kills its process harms no other. Then it is reported as
lost, and the run goes on without it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from conformance.errors import ConformanceError
from conformance.isolation.dispatch import to_pool
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.running.block import Block
from conformance.running.cell import Cell
from conformance.running.interruption import interrupt_pool
from conformance.running.plan import Plan
from conformance.running.travelling import Sent, departing
from conformance.running.units import Unit

MOST_LOSSES = 3
"""A block is judged again so often, if its process is lost each time."""

Work = TypeVar("Work")
Result = TypeVar("Result")


@runtime_checkable
class Restarting(Protocol):
    """An executor that goes on when processes of it were lost."""

    given_up: tuple[type[BaseException], ...]
    """What a future raises whose work the executor itself has begun again often enough."""
    gone: tuple[type[BaseException], ...]
    """What a future raises when the executor is no more."""


@runtime_checkable
class Placing(Protocol):
    """An executor on other machines, whose workers have different engines."""

    def places(
        self, implementations: Sequence[Implementation]
    ) -> list[tuple[tuple[str, ...], Executor]]:
        """Return groups of implementations, by name, each with the executor that has them."""


class Processes(Executor):
    """Processes of this machine; where one was killed, new ones are started."""

    given_up: tuple[type[BaseException], ...] = ()
    gone: tuple[type[BaseException], ...] = ()

    def __init__(self, start: Callable[[], Executor]) -> None:
        self._start, self._pool = start, start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Let a process make the call."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._start()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Spread(Generic[Work, Result]):
    """Work that an executor does, piece by piece, each piece until it is done or given up.

    ``begin`` hands a piece to the executor; ``give_up`` returns what comes of one that was lost
    too often.
    """

    def __init__(
        self,
        executor: Executor,
        begin: Callable[[Work], Future[Result]],
        give_up: Callable[[Work], Result],
    ) -> None:
        self.executor, self._begin, self._give_up = executor, begin, give_up
        self.futures: dict[Future[Result], Work] = {}
        self._losses: Counter[Work] = Counter()
        self._alone: list[Work] = []

    def add(self, work: Work) -> None:
        """Begin a piece of work."""
        try:
            self.futures[self._begin(work)] = work
        except BrokenExecutor:
            raise self._lost("a process that judged was killed") from None

    @property
    def pending(self) -> int:
        """How many pieces are not done."""
        return len(self.futures) + len(self._alone)

    def done(self) -> Iterator[Result]:
        """Wait until something is done, and yield what came of it; nothing where it was lost."""
        if not self.futures and self._alone:
            self.add(self._alone.pop(0))
        finished, _ = wait(tuple(self.futures), return_when=FIRST_COMPLETED)
        again: list[Work] = []
        restarting = isinstance(self.executor, Restarting)
        for future in [future for future in self.futures if future in finished]:
            work = self.futures.pop(future)
            problem = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(problem, self._gone()):
                raise self._lost(f"the executor is gone ({type(problem).__name__})")
            if isinstance(problem, self._given_up()):
                yield self._give_up(work)
            elif isinstance(problem, BrokenExecutor) and restarting:
                self._losses[work] += 1
                if self._losses[work] > MOST_LOSSES:
                    yield self._give_up(work)
                elif self._losses[work] == MOST_LOSSES:
                    self._alone.append(work)
                else:
                    again.append(work)
            elif isinstance(problem, BrokenExecutor):
                raise self._lost("a process that judged was killed")
            else:
                yield future.result()
        for work in again:
            self.add(work)

    def interrupt(self, take: Callable[[Result], None]) -> None:
        """Interrupt the processes, and take what they return of what they have begun."""
        interrupt_pool(list(self.futures), take)
        self.futures.clear()

    def cancel(self) -> None:
        """Do not begin what is not begun."""
        for future in self.futures:
            future.cancel()

    def _given_up(self) -> tuple[type[BaseException], ...]:
        return self.executor.given_up if isinstance(self.executor, Restarting) else ()

    def _gone(self) -> tuple[type[BaseException], ...]:
        return self.executor.gone if isinstance(self.executor, Restarting) else (CancelledError,)

    def _lost(self, what: str) -> ConformanceError:
        return ConformanceError(
            f"{what}, and what it was to judge is not judged; `--resume` goes on with the run; "
            f"where memory was short, take fewer --jobs; a call that ends its process is named by "
            f"--isolate"
        )


ONE_AT_A_TIME = threading.Lock()
"""A process judges one block at a time, in however many threads it is asked to."""


def sent_by(implementation: Implementation, executor: Executor) -> Sent:
    """Return what an executor sends to its processes instead of an implementation."""
    far = isinstance(executor, Placing)
    return departing(implementation) if far else to_pool(implementation)


def lost_block(plan: Plan, unit: Unit) -> Block:
    """Return the block of which nothing is known, since its processes were lost."""
    block = Block(unit.operator, unit.dims, [], Counter(), [], Counter())
    dtypes = {*plan.dtypes, *plan.claimed} & {*OPERATORS[unit.operator].dtypes}
    for implementation in plan.implementations:
        has = unit.operator in implementation.functions and unit.judges(implementation)
        if implementation.installed and has:
            name = implementation.name
            own: Sequence[str] = [d for d in implementation.dtypes if d in dtypes]
            block.cells += [Cell(name, unit.operator, unit.dims, d, planned=1) for d in own]
            block.notes[name] = (
                f"{unit.name} is not judged: the process that judged it was lost each time; where "
                f"memory was short, take fewer --jobs; a call that ends its process is named by "
                f"--isolate"
            )
    return block
