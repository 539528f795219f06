"""The selection of a run, which its caller makes, and the implementations that it names."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from conformance.arrays import interpreters
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import isolated
from conformance.isolation.environments import Environment
from conformance.isolation.remote_plugins import load_for, load_forms
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import find, implementations, in_use
from conformance.spec import Spec, Suite

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with (steps done, steps planned, current activity)."""

Given = TypeVar("Given")
OneOrMore: TypeAlias = Given | Iterable[Given]
"""What may be given alone, or several in a list."""

Options = ParamSpec("Options")
Chosen = TypeVar("Chosen")
Result = TypeVar("Result")


def several(given: Any) -> tuple[Any, ...]:
    """Return what is given as a tuple, whether it is one thing or an iterable of them."""
    if isinstance(given, (str, Path)) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice of what is judged, and how. None means all there are, or what the tier says.

    What may be several may also be given alone: ``operators="conv"``, ``dims=2``.
    """

    implementations: OneOrMore[object] | None = None
    """Names, registered functions, modules or `Implementation` objects. None means those of the
    plugins, programs and libraries, or else all that are registered."""
    _: KW_ONLY
    plugins: OneOrMore[str | Path] = ()
    """Files that register implementations; they are loaded first."""
    programs: OneOrMore[str] = ()
    """Commands that start programs in any language (docs/programs.md)."""
    libraries: OneOrMore[str | Path] = ()
    """Shared libraries with the functions of docs/libraries.md."""
    modules: OneOrMore[str] = ()
    """Files with ``Model`` and ``ModelNew``, or ``custom_kernel``: FILE, or FILE:NAME
    (docs/modules.md)."""
    environments: OneOrMore[Environment] = ()
    """Implementations in other interpreters."""
    isolate: bool | None = None
    """Whether calls are made in worker processes. None means that they are for plugins and for
    implementations that need a package."""
    limits: Limits | None = None
    """The limits of a worker; None means the default limits."""
    interpret: bool = False
    """Whether kernels of Triton, Pallas and Numba's CUDA, where those are not yet imported, run in
    the interpreters that these have, without a GPU."""
    imports: OneOrMore[str] = ()
    """Modules that workers import before any call: a backend that registers a device."""
    around: OneOrMore[str] = ()
    """Context managers, as ``"module:name"``, that workers enter before any call: a library that
    overrides operators of an engine."""
    operators: OneOrMore[str] | None = None
    dims: OneOrMore[int] | None = None
    """Spatial dimensions; None means all of the spec's ranges."""
    dtypes: OneOrMore[str] | None = None
    """None means all of the spec's ranges, and those that an implementation declares besides."""
    checks: OneOrMore[str] | None = None
    suites: OneOrMore[str | Path | Suite] | None = None
    """Curated suites; None means those of the tier, and its layers of networks. A file, or the
    suite of a model (`conformance.trace`), is all that is judged then."""
    only_suites: bool = False
    """Whether the cases of the suites are all that is judged: nothing is generated or derived from
    them, and no invalid call, history, relation or convention is asked. ``suites`` None then means
    those of the spec file."""
    examples: int | None = None
    """How many cases are generated for an operator and dimension; a third for a gradient."""
    seconds: float | None = None
    """Time budget of a cell; None means that of the tier, whose ``total`` all cells share."""
    total: float | None = None
    """Time budget of all cells together, in place of the tier's ``total``."""
    seed: int | str = 0
    """What cases are generated from: a number from 0 on, or "random" for one that is drawn."""
    tier: str = "default"
    spec: Spec | str | Path | None = None
    """A spec, or a file that overrides parts of the packaged one."""
    known: str | Path | None = None
    """A TOML file of known differences that implementations do not declare themselves."""
    source: bool | None = None
    """Whether the source of an implementation is read, unless it comes with the suite: cases at its
    numbers are judged besides the shared ones, and it is told which of its lines no call has
    reached. None means that the sources of plugins are."""
    cache: bool = True
    """Whether prepared cases are kept from run to run."""
    exitfirst: bool = False
    """Whether the run ends as soon as one violation is found and shrunk."""
    findings: str | Path | None = None
    """The folder of `fuzz` whose findings are judged first. None means ``convformance-fuzz`` where
    there is one, and the ``cache`` is used."""
    output: str | Path = "convformance-run"
    """The folder that run.sqlite is written into."""
    resume: bool = False
    """Whether the run in that folder goes on, if it was stopped: it keeps the blocks that it has.
    A run that was finished is concluded once more, and without a run one is begun."""
    shard: str | None = None
    """Which part of the blocks is judged: ``3/8`` is the third of eight. ``convformance merge``
    joins the parts."""
    progress: Progress | None = None
    """Called as judging goes on."""
    executor: Executor | None = None
    """Runs the blocks, for example a ``ProcessPoolExecutor``. Its processes load the
    implementations again, from entry points and plugins. None means that the blocks are judged in
    this process, one after the other."""
    command: str | None = None
    """The command line, which the reports show."""

    def load(self) -> tuple[tuple[Implementation, ...], tuple[Implementation, ...]]:
        """Load and return those of plugins and other forms, and those of other interpreters.

        Raises `ConformanceError` if one cannot be loaded.
        """
        interpreters.switch(self.interpret)
        limits = self.limits or Limits()
        plugins = itertools.chain.from_iterable(
            load_for(file, self.isolate, limits) for file in several(self.plugins)
        )
        forms = load_forms(
            several(self.programs), several(self.libraries), several(self.modules), limits
        )
        return (*plugins, *forms), tuple(other.load(limits) for other in several(self.environments))

    def isolated(self, implementation: Implementation) -> Implementation:
        """Return an implementation whose calls are made in a worker, if that is chosen.

        What is to be imported or entered there makes it a variant, with a name that says so.
        Raises `ConformanceError` if a worker is chosen, but none could load the implementation.
        """
        surrounded = in_use().surrounded(
            implementation, several(self.imports), several(self.around)
        )
        return isolated(surrounded, self.isolate, self.limits or Limits())


def implementations_of(selection: Selection) -> tuple[Implementation, ...]:
    """Return the implementations of a run in their order, each once.

    Raises `ConformanceError` if one cannot be loaded or is not installed, and if there are none.
    """
    plugins, remote = selection.load()
    chosen = selection.implementations
    if chosen is None:
        judges = choose_implementations(None, (*plugins, *remote) if plugins else ())
    else:
        judges = choose_implementations((*several(chosen), *remote), ())
    return tuple(map(selection.isolated, judges))


def choose_implementations(
    chosen: OneOrMore[object] | None, loaded: Sequence[Implementation]
) -> tuple[Implementation, ...]:
    """Return the ``chosen`` implementations, or else those that were ``loaded``, or else all.

    Raises `ConformanceError` if a chosen one is not installed, and if there are none.
    """
    if chosen is None:
        selected = list(loaded) or [
            implementation
            for implementation in implementations().values()
            if implementation.installed or implementation.package
        ]
    else:
        selected = [find(implementation) for implementation in several(chosen)]
        for implementation in selected:
            if not implementation.installed:
                raise ConformanceError(
                    f"implementation '{implementation.name}' is {implementation.hint}"
                )
    if not selected:
        raise ConformanceError("no implementation is registered; see `convformance list`")
    return tuple(dict.fromkeys(selected))


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise `ConformanceError` unless ``value`` is a whole number from ``least`` to ``most``."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        end = "or more" if most is None else f"to {most}"
        raise ConformanceError(f"{name}={value!r}; a whole number, {least} {end}")


def check_seconds(value: object, name: str = "seconds") -> None:
    """Raise `ConformanceError` unless ``value`` is a positive number; None stands for a default."""
    if value is not None and not (isinstance(value, (int, float)) and value > 0):  # NaN is not
        raise ConformanceError(f"{name}={value!r}; a number above 0")


def options_of(
    selection: Callable[Options, Chosen],
) -> Callable[[Callable[[Chosen], Result]], Callable[Options, Result]]:
    """Return a decorator of functions of a ``selection``, which makes them take its fields."""

    def decorate(function: Callable[[Chosen], Result]) -> Callable[Options, Result]:
        @functools.wraps(function)
        def call(*arguments: Options.args, **options: Options.kwargs) -> Result:
            return function(selection(*arguments, **options))

        returned = inspect.signature(function).return_annotation
        # `help` shows this signature, and notebooks complete its names.
        signature = inspect.signature(selection).replace(return_annotation=returned)
        vars(call)["__signature__"] = signature
        return call

    return decorate
