"""Registration: three lines that hand an implementation to the suite, checked when they run."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from conformance.errors import ConformanceError, PluginError, RegistrationError
from conformance.known.listed import entries
from conformance.registration.declarations import check_declarations
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.isolation.place import Place
    from conformance.known.difference import KnownDifference
    from conformance.registration.snippets import SnippetFunction

ENTRY_POINT_GROUP = "conformance.implementations"

Function: TypeAlias = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Function)
Supports: TypeAlias = "Callable[[Case], bool | str]"


@dataclass(eq=False)
class Implementation:
    """A named set of functions, one an operator, with what it declares about itself.

    Calling it registers a function under the operator that the function is named after, and
    returns the function unchanged, so that it serves as a decorator.
    """

    name: str
    origin: str
    """The file that registered it."""
    family: str
    package: str | None
    extra: str | None
    layout: str
    dtypes: tuple[str, ...]
    accumulate: str | None
    multiply: str | None
    error: str
    amplification: float
    conventions: Mapping[str, str]
    """The conventions that it follows instead of the default ones, by name (SPEC.md)."""
    supports: Supports | None
    snippet: SnippetFunction | None
    """Writes the engine's own call as source text (`conformance.registration.snippets`)."""
    declared_version: str | None
    known: Sequence[KnownDifference] = ()
    """Differences that are expected, each with its reason (`conformance.known`)."""
    settings: str = ""
    """How its engine was told to compute, where its users may have it otherwise: one line."""
    shape_seconds: float = 0.0
    """What the first call of a shape takes, about, where its engine compiles for each,"""
    work_seconds: float = 0.0
    """and what a multiply-accumulate does, where it is slow: budgets are spent on them."""
    functions: dict[str, Function] = field(default_factory=dict)
    place: Place | None = None
    """Where a worker finds it, if its calls are made in one."""

    def __call__(self, function: Decorated) -> Decorated:
        self.register(getattr(function, "__name__", ""), function)
        return function

    def register(self, operator: str, function: Function) -> None:
        """Register ``function`` as this implementation of ``operator``.

        Raises `RegistrationError` for an unknown operator, a signature that the suite could not
        call, and an operator that this implementation already has.
        """
        where = _location(function)
        if not callable(function):
            raise RegistrationError(
                f"{self.origin}: implementation '{self.name}': {function!r} is not a function; "
                f"decorate a function named after its operator"
            )
        if operator not in SIGNATURES:
            raise RegistrationError(
                f"{where}: implementation '{self.name}': function '{operator}' is not named after "
                f"an operator; rename it to one of {', '.join(SIGNATURES)}"
            )
        self._check_signature(operator, function, where)
        earlier = self.functions.get(operator)
        if earlier is not None and not _redefines(earlier, function):
            raise RegistrationError(
                f"{where}: implementation '{self.name}' already has '{operator}', from "
                f"{_location(earlier)}; remove one, or register it under another name"
            )
        self.functions[operator] = function

    def _check_signature(self, operator: str, function: Function, where: str) -> None:
        expected = SIGNATURES[operator]
        kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
        if any(is_kind(function) for is_kind in kinds):
            raise RegistrationError(
                f"{where}: implementation '{self.name}': '{operator}' is a coroutine or a "
                f"generator; register a plain function that returns an array"
            )
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return  # a builtin that does not tell its signature: the first call will
        try:
            signature.bind(*expected.arguments, **dict.fromkeys(expected.parameters))
        except TypeError as problem:
            raise RegistrationError(
                f"{where}: implementation '{self.name}': '{operator}{signature}' cannot be called "
                f"as {operator}{expected} ({problem}); give it those parameters"
            ) from None

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators it has, in the order of the tables."""
        return tuple(operator for operator in SIGNATURES if operator in self.functions)

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is installed (the package is not imported)."""
        if self.place is not None and self.place.python != sys.executable:
            return True  # its interpreter has loaded it
        return self.package is None or _version_of(self.package) is not None

    @property
    def version(self) -> str:
        """Its declared version, else that of its package, else that of convformance."""
        if self.declared_version is not None:
            return self.declared_version
        if self.package is not None:
            return _version_of(self.package) or ""
        if Path(self.origin).parent.name == "implementations":
            return _version_of("convformance") or ""
        return ""

    @property
    def hint(self) -> str:
        """What to type where `installed` is false."""
        target = f"convformance[{self.extra}]" if self.extra else str(self.package)
        return f"not installed: pip install '{target}'"

    def gap(self, case: Case) -> str | None:
        """The declared reason why it does not compute ``case``, or None where it does.

        Raises `RegistrationError` where its ``supports=`` raises.
        """
        if case.operator not in self.functions:
            return f"has no {case.operator}"
        if case.dtype not in self.dtypes:
            return f"declares no {case.dtype}"
        if self.supports is None:
            return None
        try:
            answer = self.supports(case)
        except Exception as problem:
            raise RegistrationError(
                f"{_location(self.supports)}: implementation '{self.name}': supports= raised "
                f"{type(problem).__name__}: {problem} for {case.id}; return True, False or a reason"
            ) from problem
        if answer and not isinstance(answer, str):
            return None
        return answer or "its supports= declines this case"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a reference: another process loads the implementation from where it is.

        Of one that only workers load, the declarations are all that there is.
        """
        if self.place is None:
            return restore, (self.name, self.origin)
        from conformance.isolation.place import Moved, restore_moved

        if isinstance(self.functions, Moved):
            return restore_moved, (self.name, self.origin, self.place)
        return _rebuild, (dict(vars(self)),)

    def __repr__(self) -> str:
        return f"<Implementation {self.name}: {', '.join(self.operators) or 'no operators yet'}>"


_registry: dict[str, Implementation] = {}
_broken: dict[str, str] = {}
_loaded_entry_points = False


def implementation(
    name: str,
    *,
    family: str | None = None,
    package: str | None = None,
    extra: str | None = None,
    layout: str = "NCHW",
    dtypes: Iterable[str] = ("float32", "float64"),
    accumulate: str | None = None,
    multiply: str | None = None,
    error: str = "componentwise",
    amplification: float | None = None,
    conventions: Mapping[str, str] | None = None,
    supports: Supports | None = None,
    snippet: SnippetFunction | None = None,
    version: str | None = None,
    known: str | Path | Iterable[KnownDifference] = (),
    settings: str = "",
    shape_seconds: float = 0.0,
    work_seconds: float = 0.0,
) -> Implementation:
    """Return the implementation called ``name``, to decorate its functions with.

    ``family`` names the engine behind it (default: ``package``, else ``name``); ``package`` the
    distribution that must be installed and ``extra`` the extra of convformance that installs it.
    ``dtypes`` are those it claims; it is judged on each of them. ``layout="NHWC"`` asks for
    channels-last arrays. ``accumulate`` and ``multiply`` name the formats of its accumulator and
    of its multiplier's inputs, where they are not the dtype's own;
    ``error="normwise"`` with an ``amplification`` replaces the element-wise bound (Winograd, FFT).
    ``conventions`` names those that it follows where SPEC.md allows others than the default.
    ``supports(case)`` returns False, or a reason, for cases it does not compute;
    ``snippet(call)`` the lines of source that make a call with its engine alone, for the scripts
    of the reports (`conformance.registration.snippets`). ``known`` lists differences that are
    expected, each with its reason, which are then reported apart (`conformance.known`); or it names
    a TOML file of them, relative to the file that registers (`conformance.known.reading`).
    ``settings`` says, in the reports, how the engine was told to compute, where its users may have
    it otherwise.
    ``shape_seconds`` is what the first call of a shape takes, about, where the engine compiles for
    each, and ``work_seconds`` what a multiply-accumulate takes, where that is more than some
    nanoseconds: a budget is spent on what is declared, so that two runs judge the same cases.

    Calls with the same name in one file share one implementation. Raises `RegistrationError`.
    """
    origin = _caller_file()
    new = Implementation(
        name=name,
        origin=origin,
        family=family or package or str(name),
        package=package,
        extra=extra,
        layout=layout,
        dtypes=(dtypes,) if isinstance(dtypes, str) else tuple(dtypes),
        accumulate=accumulate,
        multiply=multiply,
        error=error,
        amplification=1.0 if amplification is None else amplification,
        conventions=dict(conventions or {}),
        supports=supports,
        snippet=snippet,
        declared_version=version,
        known=entries(known, origin, str(name)),
        settings=settings,
        shape_seconds=shape_seconds,
        work_seconds=work_seconds,
    )
    check_declarations(new, amplification)
    earlier = _registry.get(name)
    if earlier is None:
        _registry[name] = new
        return new
    if earlier.origin != origin:
        raise RegistrationError(
            f"{origin}: the name '{name}' is taken by {earlier.origin}; choose another name"
        )
    if _interactive(origin):
        new.functions = earlier.functions
        _registry[name] = new  # a notebook cell run again, perhaps with other declarations
        return new
    if _declarations(earlier) != _declarations(new):
        raise RegistrationError(
            f"{origin}: implementation '{name}' is declared twice, differently; declare it once, "
            f"my = implementation({name!r}, ...), and put @my above each function"
        )
    return earlier


def get(name: str) -> Implementation:
    """Return the registered implementation called ``name``; raise `ConformanceError` if none is."""
    known = implementations()
    if name in known:
        return known[name]
    if name in _broken:
        raise PluginError(f"implementation '{name}' could not be loaded: {_broken[name]}")
    raise ConformanceError(f"implementation '{name}' is unknown; known are {', '.join(known)}")


def find(thing: object) -> Implementation:
    """Return the implementation meant by a name, a registered function, a module or itself."""
    if isinstance(thing, Implementation):
        return thing
    if isinstance(thing, str):
        return get(thing)
    if isinstance(thing, ModuleType):
        found = from_file(Path(getattr(thing, "__file__", None) or "").resolve())
    else:
        found = tuple(
            i for i in _registry.values() if any(f is thing for f in i.functions.values())
        )
    label = getattr(thing, "__name__", repr(thing))
    if len(found) == 1:
        return found[0]
    if found:
        raise RegistrationError(
            f"'{label}' stands for {', '.join(i.name for i in found)}; name one of them"
        )
    raise RegistrationError(
        f"'{label}' is not a registered implementation; "
        f'put @implementation("some-name") above the function'
    )


def implementations() -> Mapping[str, Implementation]:
    """Return every registered implementation by name, those of entry points loaded first."""
    global _loaded_entry_points
    if not _loaded_entry_points:
        _loaded_entry_points = True
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
            try:
                with all_or_nothing():
                    entry.load()
            except (Exception, SystemExit) as problem:  # one package must not stop the others
                text = " ".join(str(problem).split())
                _broken[entry.name] = f"{entry.value}: {type(problem).__name__}: {text}"
    return dict(_registry)


def without_entry_points() -> None:
    """Register nothing but what is loaded by name from now on: a worker has one implementation."""
    global _loaded_entry_points
    _loaded_entry_points = True


def _rebuild(fields: dict[str, Any]) -> Implementation:
    return Implementation(**fields)


def restore(name: str, origin: str) -> Implementation:
    """Return the implementation called ``name``, loading the file that registers it if need be."""
    from conformance.registration.plugins import load_plugin

    if name not in implementations():
        load_plugin(origin)
    return get(name)


def broken() -> Mapping[str, str]:
    """Return the entry points that could not be loaded, with the reason."""
    implementations()
    return dict(_broken)


def adopt(one: Implementation) -> None:
    """Register an implementation that a worker has loaded; raise where its name is taken."""
    earlier = implementations().get(one.name)
    if earlier is not None:
        raise RegistrationError(
            f"{one.origin}: the name '{one.name}' is taken by {earlier.origin}; choose another name"
        )
    _registry[one.name] = one


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Take back every registration made inside, if something is raised there."""
    before = dict(_registry)
    try:
        yield
    except BaseException:
        _registry.clear()
        _registry.update(before)
        raise


def from_file(file: Path) -> tuple[Implementation, ...]:
    """Return the implementations that the file ``file`` has registered."""
    return tuple(i for i in _registry.values() if Path(i.origin) == file)


def _declarations(one: Implementation) -> tuple[object, ...]:
    return (
        one.family,
        one.package,
        one.extra,
        one.layout,
        one.dtypes,
        one.accumulate,
        one.multiply,
        one.error,
        one.amplification,
        _location(one.supports),
        _location(one.snippet),
        one.declared_version,
        one.settings,
        one.shape_seconds,
        one.work_seconds,
    )


def _redefines(earlier: Function, function: Function) -> bool:
    """Whether ``function`` is ``earlier`` again: a module reloaded, or a cell run twice."""
    return _location(earlier) == _location(function) or _interactive(_location(function))


def _interactive(where: str) -> bool:
    return where.startswith("<") or "ipykernel" in where


def _caller_file() -> str:
    frame = sys._getframe(2)
    file = frame.f_code.co_filename
    return file if file.startswith("<") else str(Path(file).resolve())


def _location(function: object) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
