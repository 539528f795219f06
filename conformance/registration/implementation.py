"""Implementations: a named set of functions, one an operator, with what is declared of them."""

from __future__ import annotations

import importlib.metadata
import inspect
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from conformance.arrays import NUMPY, library
from conformance.arrays.gradients import AUTOGRAD, GRADIENTS, Gradient
from conformance.arrays.parameters import OWN, expressed, keywords, lacking, shapes_of
from conformance.errors import ConformanceError, RegistrationError, Unsupported
from conformance.registration import entry_points, npm
from conformance.registration.declarations import Declarations
from conformance.registration.place import Place
from conformance.registration.recipes import Recipe
from conformance.requirements import ACCEPTED
from conformance.runfile.words import UNCHECKED
from conformance.signatures import SIGNATURES, Signature
from conformance.sizes import result_shape

if TYPE_CHECKING:
    from conformance.arrays.library import Allocate, Express, Library, Own
    from conformance.case import Case
    from conformance.known.difference import KnownDifference
    from conformance.registration.options import Setup

Function: TypeAlias = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Function)


@dataclass(frozen=True, kw_only=True, eq=False)
class Implementation(Declarations):
    """A named set of functions, one an operator, with what it declares about itself.

    Calling it registers a function under the operator that the function is named after, and
    returns the function unchanged, so that it serves as a decorator.
    """

    name: str
    origin: str
    """The file that registered it."""
    module: str
    """The name of that file's module where it was loaded."""
    known: Sequence[KnownDifference] = ()
    """The differences that are expected: as declared, or read from the declared file."""
    declared_version: str | None = None
    packages_there: Mapping[str, str] | None = None
    """What `packages` returned in the worker that has declared it, if one has."""
    keywords_there: Mapping[str, Mapping[str, str]] | None = None
    """What `keywords` returned in the worker that has declared it, if one has."""
    recipes_there: Mapping[str, Any] | None = None
    """What `recipes` returned in the worker that has declared it, if one has."""
    references: str = ""
    """What its worker sees of the references in the cache: "hidden", or "in reach"; empty for the
    suite's own, and for what this process calls."""
    functions: dict[str, Function] = field(default_factory=dict)
    typed: bool = False
    """Whether it was typed into a notebook or at a prompt, where definitions replace others."""
    execution: tuple[int, int] = (0, 0)
    """What tells two executions of its file from one another: a module may be reloaded."""
    place: Place | None = None
    """Where a worker finds it, if its calls are made in one."""
    base: Implementation | None = None
    """What it is a variant of, if its options were chosen by its name."""
    setup: Setup | None = None
    """What has to be done before its first call, if its options ask for something."""

    def __call__(self, function: Decorated) -> Decorated:
        self.register(getattr(function, "__name__", ""), function)
        return function

    def register(self, operator: str, function: Function) -> None:
        """Register ``function`` as this implementation of ``operator``.

        Raises `RegistrationError` for an unknown operator, a signature that the suite could not
        call, and an operator that this implementation already has.
        """
        named = f"implementation '{self.name}'"
        if not callable(function):
            raise RegistrationError(
                f"{self.origin}: {named}: {function!r} is not a function; "
                f"decorate a function named after its operator"
            )
        where = f"{_location(function)}: {named}"
        if operator not in SIGNATURES:
            raise RegistrationError(
                f"{where}: function '{operator}' is not named after an operator; "
                f"rename it to one of {', '.join(SIGNATURES)}"
            )
        if problem := _wrong_signature(operator, function, self.parameters, out=self.out):
            raise RegistrationError(f"{where}: {problem}")
        earlier = self.functions.get(operator)
        derived = isinstance(earlier, Gradient)
        if earlier is not None and not (derived or self.typed or _redefines(earlier, function)):
            raise RegistrationError(
                f"{where} already has '{operator}', from {_location(earlier)}; "
                f"remove one, or register it under another name"
            )
        self.functions[operator] = function
        if self.gradients == AUTOGRAD:
            self._derive(operator, function)

    def _derive(self, operator: str, forward: Function) -> None:
        """Register the gradients of a forward function that nothing else is registered for."""
        for gradient in GRADIENTS.get(operator, ()):
            if isinstance(self.functions.get(gradient), Gradient | None):
                self.functions[gradient] = Gradient(
                    gradient,
                    forward,
                    arrays=self.arrays,
                    device=self.device,
                    convention=self.parameters,
                    layout=self.layout,
                )

    def again(self, earlier: Implementation) -> Implementation:
        """Return the implementation that this second declaration of a name stands for.

        ``earlier`` is the first one. In a notebook a cell is edited and run again: what it declares
        replaces what it declared, and functions of other cells stay. A file that is executed again,
        as by a reload, replaces all of the first one. Raises `RegistrationError` where another file
        has the name, or where one file has two different declarations of it.
        """
        if self.typed and earlier.typed:
            return replace(self, functions=earlier.functions)
        if earlier.origin != self.origin:
            raise self.name_taken_by(earlier)
        if earlier.execution != self.execution:
            return self
        if self._comparable != earlier._comparable:
            raise RegistrationError(
                f"{self.origin}: implementation '{self.name}' is declared twice, differently; "
                f"declare it once, my = implementation({self.name!r}, ...), and put @my above each "
                f"function"
            )
        return earlier

    def name_taken_by(self, earlier: Implementation) -> RegistrationError:
        """Return the error for a name that another implementation has."""
        return RegistrationError(
            f"{self.origin}: the name '{self.name}' is taken by {earlier.origin}; "
            f"choose another name"
        )

    @property
    def _comparable(self) -> tuple[object, ...]:
        """The declarations in a form that can be compared: a function as its location."""
        values = [getattr(self, spec.name) for spec in fields(Declarations) if spec.compare]
        values.append(self.declared_version)
        return tuple(_location(value) if callable(value) else value for value in values)

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators it has, in the order of the tables."""
        return tuple(operator for operator in SIGNATURES if operator in self.functions)

    @property
    def installed(self) -> bool:
        """Whether the packages that it needs are installed (they are not imported)."""
        return not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """The distributions that it needs and that are not installed."""
        if self.place is not None and self.place.python != sys.executable:
            return ()  # its interpreter has loaded it
        missing = [name for name in self._needed if self._version_of(name) is None]
        module = self.traits.module if self.arrays != NUMPY else ""
        if module and module not in missing and find_spec(module) is None:
            missing.append(module)
        return tuple(missing)

    def _version_of(self, package: str) -> str | None:
        """Return the version of a package that is installed, of Python or beside it of npm."""
        is_of_npm = package.startswith(npm.PREFIX)
        return npm.version_of(package, self.origin) if is_of_npm else _version_of(package)

    @property
    def _needed(self) -> tuple[str, ...]:
        return (*self.needs,) if self.package is None else (self.package, *self.needs)

    @property
    def takes_plain_calls(self) -> bool:
        """Whether its functions take NumPy arrays and the suite's own parameters, as they are."""
        return self.arrays == NUMPY and self.parameters == OWN and not self.out

    def in_form(self, operator: str, function: Function) -> Function:
        """Return a function over NumPy arrays that calls ``function`` in the form that it takes.

        ``function`` is that of the operator, or calls it. Raises `RegistrationError` where its
        library has no such device here.
        """
        if self.takes_plain_calls or self.place is not None:  # a worker converts by itself
            return function
        from conformance.arrays.library import InForm, NumPy  # what makes calls; lists do not

        try:
            arrays = NumPy() if self.arrays == NUMPY else library(self.arrays, self.device)
        except ConformanceError as problem:
            raise RegistrationError(
                f"{self.origin}: implementation '{self.name}': {problem}"
            ) from None
        express = self._expressing(operator, self.functions[operator], self.parameters, self.layout)
        own = partial(self._own, operator, arrays)
        return InForm(arrays, function, express, own, self._allocating(operator))

    def _allocating(self, operator: str) -> Allocate | None:
        """Return what allocates the results that a function fills, None if it returns them."""
        if not self.out:
            return None
        from conformance.calling.filling import ToFill
        from conformance.calling.guards import Arena
        from conformance.calling.observing import shape_from_layout, to_layout

        signature, layout, arena = SIGNATURES[operator], self.layout, Arena()

        def allocate(arguments: Sequence[Any], parameters: Mapping[str, Any]) -> ToFill:
            sizes = tuple(
                value and shape_from_layout(value, layout, role)
                for value, role in zip(map(_size, arguments), signature.roles, strict=True)
            )
            shape = result_shape(operator, sizes, tuple(parameters.items()))
            (there,) = to_layout((shape,), layout, (signature.result,))
            return ToFill(arena, there, arguments[0].dtype)

        return allocate

    def _expressing(
        self, operator: str, function: Function, convention: str, layout: str
    ) -> Express:
        """Return what expresses the parameters of a call as ``function`` takes them."""
        if convention == OWN:
            return lambda arguments, parameters: parameters
        names = keywords(function, convention, operator)

        def express(arguments: Sequence[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
            shapes = shapes_of(operator, arguments, layout)
            return expressed(convention, names, operator, shapes, parameters, layout)

        return express

    def _own(self, operator: str, arrays: Library) -> Own | None:
        """Return what the library of its arrays has of its own for an operator."""
        from conformance.arrays.library import InForm, Own

        forward = next((f for f, of in GRADIENTS.items() if operator in of), operator)
        convention, layout = self.parameters, self.layout
        layers = getattr(self.functions.get(forward), "own", None)
        function = arrays.own(forward) if layers is None else layers
        if function is None:
            return None
        name = getattr(function, "whose", "")
        if layers is None:
            convention, layout = "torch", "NCHW"
        if operator != forward:
            function = Gradient(
                operator,
                function,
                arrays=self.arrays,
                device=self.device,
                convention=convention,
                layout=layout,
            )
        express = self._expressing(operator, function, convention, layout)
        return Own(name, InForm(arrays, function, express), layout)

    def _unexpressed(self, case: Case) -> str | None:
        """Return what its form cannot express of a case, None if nothing."""
        if self.arrays != NUMPY and (reason := self.traits.unexpressed(case.memory)):
            return reason
        if self.parameters != OWN and not case.invalid:
            names = self.keywords[case.operator]
            try:
                shapes = case.x, case.w or ()
                expressed(self.parameters, names, case.operator, shapes, case.parameters)
            except Unsupported as reason:
                return str(reason)
        return None

    @property
    def keywords(self) -> Mapping[str, Mapping[str, str]]:
        """The names under which its functions take their parameters, by operator and by ours."""
        if self.keywords_there is not None:
            return self.keywords_there
        functions = self.functions.items()
        return {name: keywords(function, self.parameters, name) for name, function in functions}

    @property
    def recipes(self) -> Mapping[str, Mapping[int, Recipe]]:
        """How its layers are constructed, by operator and dimensions, of those that are layers."""
        if self.recipes_there is not None:
            return self.recipes_there
        functions = self.functions.items()
        return {name: f.recipes for name, f in functions if hasattr(f, "recipes")}

    @property
    def outdated(self) -> str:
        """What is older than its adapter was written for, "" if nothing is."""
        oldest = entry_points.oldest(self.module, self.extra)
        return ", ".join(
            f"{name} {found}, where {oldest[name.lower()]} or later is due"
            for name, found in self.packages.items()
            if _numbers(found) < _numbers(oldest.get(name.lower(), ""))
        )

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of Python, NumPy and the distributions that it needs, where it runs."""
        if self.packages_there is not None:
            return self.packages_there
        library = [self.traits.module] if self.arrays != NUMPY else []
        names = dict.fromkeys(("numpy", *self._needed, *filter(None, library)))
        versions = {name: self._version_of(name) for name in names}
        installed = {name: version for name, version in versions.items() if version}
        return {"python": platform.python_version(), **installed}

    @property
    def environment(self) -> str:
        """Its `packages` in one line, with the interpreter if that is another one."""
        versions = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        is_here = self.place is None or self.place.python == sys.executable
        return versions if is_here or self.place is None else f"{versions}, {self.place.python}"

    @property
    def version(self) -> str:
        """Its declared version, else that of its package, else of what registers it, else ""."""
        if self.declared_version is not None:
            return self.declared_version
        if self.package is not None:
            return self._version_of(self.package) or ""
        return entry_points.version_of(self.module)

    @property
    def hint(self) -> str:
        """What to type where `installed` is false. It does not need this suite in an index."""
        missing = self.missing
        return npm.hint(missing, self.origin) or f"not installed: pip install {self.to_install}"

    @property
    def to_install(self) -> str:
        """The `missing` distributions as arguments of pip."""
        wanted = entry_points.requirements(self.module, self.extra)
        return shlex.join(wanted.get(name.lower(), name) for name in self.missing)

    def accepts(self, mistake: str) -> bool:
        """Whether a declared convention makes a call with this mistake a valid one."""
        convention, alternative = ACCEPTED.get(mistake, ("", ""))
        return bool(convention) and self.conventions.get(convention) == alternative

    def gap(self, case: Case) -> str | None:
        """The declared reason why it does not compute ``case``, or None where it does.

        Raises `RegistrationError` where its ``supports=`` raises.
        """
        if case.operator not in self.functions:
            return f"has no {case.operator}"
        if case.dtype not in self.dtypes:
            return f"declares no {case.dtype}"
        if case.invalid and self.arguments == "unchecked" and not self.accepts(case.invalid):
            return UNCHECKED
        if reason := self._unexpressed(case):
            return reason
        if self.supports is None:
            return None
        try:
            answer = self.supports(case)
        except RegistrationError:  # a worker that was asked has said it all
            raise
        except Exception as problem:
            raise RegistrationError(
                f"{_location(self.supports)}: implementation '{self.name}': supports= raised "
                f"{type(problem).__name__}: {problem} for {case.id}; return True, False or a reason"
            ) from problem
        if answer and not isinstance(answer, str):
            return None
        return answer or "its supports= declines this case"

    def steered(self, case: Case) -> Case | None:
        """Return a case that it computes: ``case``, or one like it, None if it knows of none.

        Its ``supports=`` can tell if it has a method ``steer`` (`conformance.cases.only`).
        """
        if self.gap(case) is None:
            return case
        steer = getattr(self.supports, "steer", None)
        changed: Case | None = steer(case) if steer is not None else None
        return changed if changed is not None and self.gap(changed) is None else None

    def __repr__(self) -> str:
        return f"<Implementation {self.name}: {', '.join(self.operators) or 'no operators yet'}>"


def _size(value: Any) -> Any:
    """Return the shape of an array, and what is no array as it is."""
    return getattr(value, "shape", value)


def _wrong_signature(operator: str, function: Function, convention: str, *, out: bool) -> str:
    """Return why the suite could not call ``function`` as an operator, "" where it could."""
    kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    if any(is_kind(function) for is_kind in kinds):
        return (
            f"'{operator}' is a coroutine or a generator; "
            f"register a plain function that returns an array"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""  # a builtin without a signature: its first call will tell
    expected = SIGNATURES[operator]
    names: Sequence[str] = expected.parameters
    if convention != OWN:
        given = keywords(function, convention, operator)
        names = [*given.values(), *lacking(given, convention, operator)]
    names = [*names, *(("out",) if out else ())]
    try:
        signature.bind(*expected.arguments, **dict.fromkeys(names))
    except TypeError as problem:
        due = Signature(expected.arguments, tuple(names))
        return (
            f"'{operator}{signature}' cannot be called as {operator}{due} ({problem}); "
            f"give it those parameters"
        )
    return ""


def _redefines(earlier: Function, function: Function) -> bool:
    """Whether ``function`` is ``earlier`` again: a module reloaded, or a cell run twice."""
    return _location(earlier) == _location(function) or _interactive(_location(function))


def _interactive(where: str) -> bool:
    return where.startswith("<") or "ipykernel" in where


def names_of(operator: str, function: Function) -> tuple[str, str]:
    """Return the module of an operator's function, and its name there, "" where it has none.

    A name that several functions share, as those made in a loop do, is that of the last of them.
    """
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__name__", operator)
    named = getattr(function, "made_of", function)
    return module, name if getattr(sys.modules.get(module), name, None) is named else ""


def source_line(function: object) -> tuple[str, int] | None:
    """Return the file and the line at which a function begins, None where they are not known.

    Of a function in a worker its stand-in knows them; of a compiled one, what it was made of.
    """
    known: tuple[str, int] | None = getattr(function, "source_line", None)
    if known is not None:
        return known
    inner: Any = function
    for name in ("func", "py_func", "__wrapped__", "fn", "_fun") * 4:
        inner = getattr(inner, name, inner)
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else None


def _location(function: object) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
