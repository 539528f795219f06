"""Options: variants of an implementation, chosen by its name: ``torch[device=cuda:1,tf32=on]``.

An adapter declares its options, each with its values and a sentence, and a function that makes a
variant of the values chosen. Two options belong to every implementation: ``import=MODULE`` imports
a module before the engine is called, and ``around=MODULE:CONTEXT`` enters a context manager that
stays entered for all calls. So a backend that registers a device, or a library that overrides
operators of an engine, is judged as the engine is.
"""

from __future__ import annotations

import copy
import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from conformance.errors import RegistrationError, did_you_mean
from conformance.known.listed import FromFile
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from conformance.registration.implementation import Implementation

Chosen: TypeAlias = Mapping[str, str]
"""The value of every option, by its name."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of an implementation."""

    name: str
    says: str
    """What it does: a sentence."""
    values: tuple[str, ...]
    """The values there are; some of them, or what they are called, where there is a pattern."""
    default: str = ""
    """The value where none is given; empty where the engine chooses."""
    bare: str = ""
    """The value that the name of the option alone stands for."""
    pattern: str = ""
    """What a value looks like, where ``values`` are not all: a regular expression."""

    def value(self, text: str | None) -> str | None:
        """Return the value that a text, or the name alone (None), stands for; None if none."""
        if text is None:
            return self.bare or None
        if self.pattern:
            return text if re.fullmatch(self.pattern, text) else None
        return text if text in self.values else None

    @property
    def written(self) -> str:
        """The option and its values in one line."""
        open_ended = self.pattern and self not in OF_ALL
        return f"{self.name}={'|'.join(self.values)}{'|...' if open_ended else ''}"


_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
IMPORT = Option("import", "A module that is imported first.", ("MODULE",), pattern=_MODULE)
AROUND = Option(
    "around",
    "A context manager that is entered before the first call.",
    ("MODULE:CONTEXT",),
    pattern=f"{_MODULE}:{_MODULE}",
)
OF_ALL = (IMPORT, AROUND)
"""The options that every implementation has, each of which may be given several times."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What an adapter makes of the values that are chosen."""

    register: Callable[[Implementation], None]
    """Registers the operators."""
    declared: Mapping[str, Any] = field(default_factory=dict)
    """What is declared otherwise than of the implementation without options."""
    ready: Callable[[], str | None] | None = None
    """Looks, in the process that makes the calls, for what is chosen: a device, for example.

    Returns what is missing, in words, or None. It may set what has to be set before the first call.
    """
    changes: tuple[str, ...] = tuple(SIGNATURES)
    """The operators whose code is another one. The variant has no others, which would be judged
    twice."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The options of an implementation, and what makes its variants."""

    base: Implementation
    options: tuple[Option, ...]
    make: Callable[[Chosen], Variant]
    """Makes a variant; raises `RegistrationError` for values that do not go together."""
    module: str
    """The module that a worker has to import for a variant."""
    fixed: Mapping[str, Chosen] = field(default_factory=dict)
    """The variants that have names of their own, with the options that they stand for."""

    @property
    def defaults(self) -> dict[str, str]:
        """The value of every option where none is given."""
        return {option.name: option.default for option in self.options}

    def variant(self, name: str, given: Chosen) -> Implementation:
        """Return the variant of some options, without what is known of it and before its setup."""
        made = self.make(self.defaults | {**given})
        setup = Setup(name, ready=made.ready) if made.ready is not None else None
        changed: dict[str, Any] = {
            "module": self.module,
            "functions": {},
            "known": (),
            "setup": setup,
        }
        variant = replace(self.base, name=name, **changed | dict(made.declared))
        made.register(variant)
        for operator in {*variant.functions}.difference(made.changes):
            del variant.functions[operator]
        return variant

    def known_of(self, name: str) -> Any:
        """Return what is known of the base or a fixed variant, which share a file."""
        known = self.base.known
        if name == self.base.name or not isinstance(known, FromFile):
            return known
        return FromFile(known.path, name, may_be_none=True)

    def named(self, given: Chosen) -> str | None:
        """Return the name of the fixed variant, or of the base, that some options stand for."""
        whole = self.defaults | {**given}
        fixed: dict[str, Chosen] = {self.base.name: {}, **self.fixed}
        named = (name for name, own in fixed.items() if self.defaults | {**own} == whole)
        return next(named, None)


def split(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the name of an implementation without its options, and these, as they are written."""
    found = _WITH_OPTIONS.fullmatch(name)
    return (found[1], tuple(part.strip() for part in found[2].split(","))) if found else (name, ())


_WITH_OPTIONS = re.compile(r"(.+?)\[([^\[\]]*)\]")


def joined(name: str, further: Iterable[str]) -> str:
    """Return the name with further options: ``torch[a=1]`` becomes ``torch[a=1,b=2]``."""
    base, parts = split(name)
    return f"{base}[{','.join((*parts, *further))}]"


def read(
    name: str, parts: Iterable[str], options: Sequence[Option]
) -> list[tuple[Option, str, str]]:
    """Return each option of a name with its value and its text, in the order of ``options``.

    Raises `RegistrationError`, with those there are, for one that is not there, or given twice.
    """
    every = (*options, *OF_ALL)
    found: list[tuple[Option, str, str]] = []
    for part in parts:
        key, equals, text = part.partition("=")
        option = next((option for option in every if option.name == key), None)
        where = f"implementation '{name}'"
        if option is None:
            hint = did_you_mean(key, [option.name for option in every])
            raise RegistrationError(
                f"{where}: no option '{key}'; {hint}there are "
                f"{', '.join(option.written for option in every)}"
            )
        value = option.value(text if equals else None)
        if value is None:
            given = f"{key}={text}" if equals else f"{key} has no value"
            hint = did_you_mean(text, option.values) if equals else ""
            raise RegistrationError(f"{where}: {given}; {hint}there are {option.written}")
        if option not in OF_ALL and any(option is other for other, _, _ in found):
            raise RegistrationError(f"{where}: {key} is given twice; give it once")
        found.append((option, value, part))
    return sorted(found, key=lambda one: every.index(one[0]))


def surrounded(
    implementation: Implementation, name: str, imports: tuple[str, ...], around: tuple[str, ...]
) -> Implementation:
    """Return an implementation called ``name``, before whose first call more is set up."""
    place, functions = implementation.place, implementation.functions
    ready = implementation.setup.ready if implementation.setup is not None else None
    said = [*(f"{IMPORT.name} {one}" for one in imports), *(f"around {one}" for one in around)]
    if place is not None:  # its worker does it
        added = [*(f"import={one}" for one in imports), *(f"around={one}" for one in around)]
        place = replace(place, name=joined(place.name, added), apart=True)
        functions = {operator: copy.copy(function) for operator, function in functions.items()}
        for function in functions.values():
            vars(function)["place"] = place
    return replace(
        implementation,
        name=name,
        known=(),
        base=implementation,
        place=place,
        functions=functions,
        settings=", ".join(filter(None, (implementation.settings, *said))),
        setup=Setup(name, imports, around, ready),
    )


def set_up(implementation: Implementation) -> Implementation:
    """Return an implementation whose functions do what its setup says before their first call.

    In a worker, that is done there.
    """
    setup = implementation.setup
    if setup is None or implementation.place is not None:
        return implementation

    def after_setup(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **parameters: Any) -> Any:
            setup.enter()
            return function(*arguments, **parameters)

        return call

    functions = {name: after_setup(each) for name, each in implementation.functions.items()}
    return replace(implementation, functions=functions)


@dataclass(frozen=True)
class Setup:
    """What has to be done in a process before the first call of a variant, and once."""

    name: str
    """The variant's name, for messages."""
    imports: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    ready: Callable[[], str | None] | None = None

    @property
    def changes_process(self) -> bool:
        """Whether other calls of the process are made otherwise from then on."""
        return bool(self.imports or self.around)

    def enter(self) -> None:
        """Do it, unless this process has done it; raise `RegistrationError` where that fails."""
        if self in _entered:
            return
        folder = os.getcwd()
        if (self.imports or self.around) and folder not in sys.path:
            sys.path.append(folder)  # the last one: nothing in it hides an engine
        for module in self.imports:
            self._try(f"import={module}", functools.partial(importlib.import_module, module))
        for text in self.around:
            self._try(f"around={text}", functools.partial(self._enter_context, text))
        if self.ready is not None and (missing := self._try("it", self.ready)):
            raise RegistrationError(f"implementation '{self.name}': {missing}")
        _entered[self] = None

    def _enter_context(self, text: str) -> None:
        module, _, path = text.partition(":")
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        context = found if hasattr(found, "__enter__") and not isinstance(found, type) else found()
        if not (hasattr(context, "__enter__") and hasattr(context, "__exit__")):
            raise TypeError(f"{path} is no context manager, and returns none")
        _contexts.append(context)
        context.__enter__()

    def _try(self, what: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except RegistrationError:
            raise
        except (Exception, SystemExit) as problem:
            text = " ".join(str(problem).split())
            raise RegistrationError(
                f"implementation '{self.name}': {what}: {type(problem).__name__}: {text}"
            ) from None


_entered: dict[Setup, None] = {}
_contexts: list[Any] = []
"""The context managers that this process has entered: one that is dropped would exit."""
