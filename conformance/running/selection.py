"""What the caller of a run chooses, and the implementations that this comes to."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

from conformance.errors import ConformanceError
from conformance.isolation.dispatch import isolated
from conformance.isolation.environments import Environment
from conformance.isolation.remote_plugins import load_for
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import find, implementations
from conformance.spec import Spec

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with (steps done, steps planned, what is being done)."""

Options = ParamSpec("Options")
Chosen = TypeVar("Chosen")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is judged, how much of it, and how. None stands for all there is, or for the tier's."""

    implementations: Iterable[object] | None = None
    """Names, registered functions, modules or `Implementation` objects; None: those of the plugins,
    else all that are registered."""
    _: KW_ONLY
    plugins: Iterable[str | Path] = ()
    """Files that register implementations, loaded first."""
    environments: Iterable[Environment] = ()
    """Implementations in other interpreters."""
    isolate: bool | None = None
    """Whether calls are made in worker processes: of all implementations, of none, or (None) of
    plugins and what needs a package."""
    limits: Limits | None = None
    """What a worker may take; None: the default limits."""
    operators: Iterable[str] | None = None
    dims: Iterable[int] | None = None
    """Spatial dimensions; None: all of the spec's ranges."""
    dtypes: Iterable[str] | None = None
    """None: all of the spec's ranges, and those that an implementation declares besides."""
    checks: Iterable[str] | None = None
    suites: Iterable[str] | None = None
    """Curated suites; None: those of the tier, and its layers of networks."""
    examples: int | None = None
    """Cases that are generated an operator and dimension, a third as many for a gradient."""
    seconds: float | None = None
    """Time budget of an implementation and cell; None: the tier's, whose ``total`` all share."""
    seed: int = 0
    tier: str = "default"
    spec: Spec | str | Path | None = None
    """A spec, or a file that is laid over the packaged one."""
    known: str | Path | None = None
    """A TOML file of known differences, besides those that implementations declare."""
    cache: bool = True
    """Whether prepared cases are kept from run to run."""
    output: str | Path = "convformance-run"
    """The folder that run.sqlite is written into."""
    progress: Progress | None = None
    """Called as judging goes on."""
    executor: Executor | None = None
    """Runs the blocks, such as a ``ProcessPoolExecutor``, whose processes load the implementations
    again, from entry points and plugins; None: they are judged here, one after the other."""
    command: str | None = None
    """The command line, for the reports."""

    def load(self) -> tuple[tuple[Implementation, ...], tuple[Implementation, ...]]:
        """Load and return the implementations of the plugins, and those of other interpreters.

        Raises `ConformanceError` for one that cannot be loaded.
        """
        limits = self.limits or Limits()
        plugins = [one for file in self.plugins for one in load_for(file, self.isolate, limits)]
        return tuple(plugins), tuple(other.load(limits) for other in self.environments)

    def isolated(self, implementation: Implementation) -> Implementation:
        """Return an implementation with its calls made in a worker, where that is chosen.

        Raises `ConformanceError` where a worker is wanted, and none could load it.
        """
        return isolated(implementation, self.isolate, self.limits or Limits())


def implementations_of(selection: Selection) -> tuple[Implementation, ...]:
    """Return the implementations of a run, in their order, each once.

    Raises `ConformanceError` for one that cannot be loaded or is not installed, and if there are
    none.
    """
    plugins, elsewhere = selection.load()
    chosen = selection.implementations
    if chosen is None:
        judged = choose_implementations(None, (*plugins, *elsewhere) if plugins else ())
    else:
        judged = choose_implementations((*chosen, *elsewhere), ())
    return tuple(map(selection.isolated, judged))


def choose_implementations(
    chosen: Iterable[object] | None, loaded: Sequence[Implementation]
) -> tuple[Implementation, ...]:
    """Return the ``chosen`` implementations, else those that were ``loaded``, else all.

    Raises `ConformanceError` for a chosen one that is not installed, and if there are none.
    """
    if chosen is None:
        selected = list(loaded) or [
            one for one in implementations().values() if one.installed or one.package
        ]
    else:
        selected = [find(one) for one in chosen]
        for one in selected:
            if not one.installed:
                raise ConformanceError(f"implementation '{one.name}' is {one.hint}")
    if not selected:
        raise ConformanceError("no implementation is registered; see `convformance list`")
    return tuple(dict.fromkeys(selected))


def options_of(
    selection: Callable[Options, Chosen],
) -> Callable[[Callable[[Chosen], Result]], Callable[Options, Result]]:
    """Return a decorator: a function of a selection is called with the options that make it."""

    def decorate(function: Callable[[Chosen], Result]) -> Callable[Options, Result]:
        @functools.wraps(function)
        def call(*arguments: Options.args, **options: Options.kwargs) -> Result:
            return function(selection(*arguments, **options))

        returned = inspect.signature(function).return_annotation
        # What `help` shows, and notebooks complete.
        signature = inspect.signature(selection).replace(return_annotation=returned)
        vars(call)["__signature__"] = signature
        return call

    return decorate
