"""Where the commands judge: in this process, in several of them, or on a cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

import click

from conformance.cli import options
from conformance.timing import threads

jobs = click.option(
    "--jobs",
    "-j",
    type=options.whole(1),
    default=1,
    show_default=True,
    help="Processes to judge in; each gives the engines an equal share of the cores.",
)
dask = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Judge on the workers of a Dask cluster, whose scheduler is at tcp://HOST:PORT.",
)


def both(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where blocks are judged."""
    return jobs(dask(command))


@contextlib.contextmanager
def started(jobs: int, dask: str | None) -> Iterator[Executor | None]:
    """Start the processes, or find the cluster; None where this process judges."""
    if dask is not None:
        if jobs > 1:
            raise click.UsageError("--jobs and --dask: choose one; a cluster has its own workers")
        with _cluster(dask) as cluster:
            yield cluster
        return
    if jobs == 1:
        yield None
        return
    share = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")
    from conformance.running.executors import Processes
    from conformance.running.interruption import end_pool, start_pool_process

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(jobs, spawn, initializer=start_pool_process)

    with threads.environment(share), Processes(start) as pool:
        try:
            yield pool
        except BaseException:
            end_pool()
            raise


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from conformance.running.cluster import Cluster
    except ModuleNotFoundError as problem:
        raise click.UsageError(
            f"--dask needs the package {problem.name}: pip install 'convformance[dask]'"
        ) from None
    with contextlib.closing(Cluster(address)) as cluster:
        for line in cluster.refused:
            print(f"convformance: {line}", file=sys.stderr)
        yield cluster
