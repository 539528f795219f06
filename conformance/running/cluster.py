"""The workers of a Dask cluster as an executor (docs/scale.md).

Imported only where a cluster is used: it needs the package distributed. A worker with another
version of the suite is refused, and one without an engine is given no block of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from distributed import Client
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from conformance.errors import ConformanceError
from conformance.registration import entry_points
from conformance.registration.implementation import Implementation
from conformance.registration.options import split
from conformance.running import cache

_PATIENCE = 10.0
"""Seconds that a scheduler has to answer."""


class Cluster(Executor):
    """The workers of a cluster that have this version of the suite.

    Dask itself begins work again whose worker was lost, three times; then it is given up.
    """

    given_up: tuple[type[BaseException], ...] = (KilledWorker,)
    gone: tuple[type[BaseException], ...] = (
        CommClosedError,
        CancelledError,
        asyncio.CancelledError,
    )

    def __init__(self, address: str) -> None:
        try:
            self._client = Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as problem:
            raise ConformanceError(
                f"--dask {address}: no scheduler answers there ({type(problem).__name__}); "
                f"`dask scheduler` starts one, and says its address"
            ) from None
        self.refused: list[str] = []
        """The workers that take no block, one line for each."""
        self._installed: dict[str, frozenset[str]] = {}
        self._executors: dict[tuple[str, ...], Executor] = {}
        own = cache.key()
        for worker, told in self._client.run(_teller(), on_error="return").items():
            if not isinstance(told, dict):
                self.refused.append(f"worker {worker} is refused: it has no convformance ({told})")
            elif told["suite"] != own:
                self.refused.append(
                    f"worker {worker} is refused: its convformance {told['version']}, or its "
                    f"Python, NumPy or Hypothesis, is another than here"
                )
            else:
                self._installed[worker] = frozenset(told["installed"])
        if not self._installed:
            self._client.close()
            said = "; ".join(self.refused) or "it has no workers; `dask worker ADDRESS` starts one"
            raise ConformanceError(f"--dask {address}: {said}")
        self.jobs = len(self._installed)
        """How many workers there are."""

    def places(
        self, implementations: Sequence[Implementation]
    ) -> list[tuple[tuple[str, ...], Executor]]:
        """Return groups of implementations, each with an executor whose workers have all of them.

        They are one group if some worker has all. Raises `ConformanceError` for one that is on no
        worker.
        """
        names = [implementation.name for implementation in implementations]
        needed = {i.name: _needed(i) for i in implementations}
        having = {name: self._having([needed[name]]) for name in names}
        for name, workers in having.items():
            if not workers:
                raise ConformanceError(
                    f"no worker of the cluster has what '{name}' needs; install it there, or leave "
                    f"'{name}' out"
                )
        if workers := self._having([needed[name] for name in names]):
            return [(tuple(names), self._executor(workers))]
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, workers in having.items():
            groups.setdefault(workers, []).append(name)
        return [(tuple(own), self._executor(workers)) for workers, own in groups.items()]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Let a worker make the call, whichever has this version of the suite."""
        return self._executor(tuple(self._installed)).submit(fn, *args, **kwargs)

    def close(self) -> None:
        """Leave the cluster, which goes on without this run."""
        self._client.close()

    def _having(self, names: Sequence[str | None]) -> tuple[str, ...]:
        own = {name for name in names if name is not None}
        return tuple(w for w, installed in self._installed.items() if own <= installed)

    def _executor(self, workers: tuple[str, ...]) -> Executor:
        if workers not in self._executors:
            self._executors[workers] = self._client.get_executor(
                pure=False, workers=list(workers), allow_other_workers=False
            )
        return self._executors[workers]


def _needed(implementation: Implementation) -> str | None:
    """Return what has to be installed on a worker; None for what travels there."""
    listed = implementation.module in entry_points.modules()
    return split(implementation.name)[0] if listed else None


def _teller() -> Callable[[], dict[str, Any]]:
    """Return what a worker is asked, which is sent whole: it may not have this module."""

    def tell() -> dict[str, Any]:
        from importlib.metadata import version

        from conformance.registration.registry import implementations
        from conformance.running import cache

        installed = [i.name for i in implementations().values() if i.installed]
        return {
            "version": version("convformance"),
            "suite": cache.key(),
            "installed": installed,
        }

    return tell
