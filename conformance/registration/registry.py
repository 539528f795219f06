"""The registry: which implementations there are, and how each is found.

The functions of this module, `implementation(...)` among them, are those of the registry in
use. A test or a notebook has one of its own while it works::

    with registry.using(Registry()):
        my = implementation("my-conv")
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType, ModuleType

from conformance.arrays import interpreters
from conformance.errors import (
    ConformanceError,
    PluginError,
    RegistrationError,
    did_you_mean,
    unknown,
)
from conformance.registration import entry_points, options
from conformance.registration.declarations import Arguments, taking
from conformance.registration.implementation import Implementation
from conformance.registration.options import Offer


class Registry:
    """Implementations by name; those of entry points are loaded when they are first asked for.

    A module registers once in a process, in the registry that is in use then. So another registry
    starts with none of them: empty, or (`copy`) with what there is.
    """

    def __init__(self, *, entry_points: bool = False) -> None:
        """Start empty; with ``entry_points``, their modules will be loaded."""
        self._implementations: dict[str, Implementation] = {}
        self._broken: dict[str, str] = {}
        self._plugins: dict[str, Path] = {}
        self._offers: dict[str, Offer] = {}
        self._variants: dict[str, Implementation] = {}
        """The variants that were asked for, by their names as they were written."""
        self._loaded = not entry_points

    def copy(self) -> Registry:
        """Return a registry that starts with what this one has, those of entry points loaded."""
        other = Registry()
        other._implementations |= self.implementations()
        other._broken |= self._broken
        other._plugins |= self._plugins
        other._offers |= self._offers
        return other

    def offer(
        self, offer: Offer, listed: Collection[str] | None = None
    ) -> tuple[Implementation, ...]:
        """Take up the options of an implementation; register its fixed variants, and return them.

        Those that are not among the ``listed``, such as those of a device that is not here, are
        made when they are asked for.
        """
        self._offers[offer.base.name] = offer
        names = offer.fixed if listed is None else listed
        return tuple(self.register(self._fixed(offer, name)) for name in names)

    def offers(self) -> Mapping[str, Offer]:
        """Return the options of implementations, by their names."""
        self.implementations()
        return dict(self._offers)

    def _fixed(self, offer: Offer, name: str) -> Implementation:
        """Return a fixed variant, or the base, whose known differences were found by runs."""
        variant = offer.variant(name, offer.fixed[name])
        return options.set_up(replace(variant, known=offer.known_of(name)))

    def _variant(self, name: str) -> Implementation | None:
        """Return the variant that a name means, None if it names none.

        Raises `RegistrationError` for an option, or a value, that is not there.
        """
        by_name = self._implementations
        if name in self._variants:
            return self._variants[name]
        for offer in self._offers.values():
            if name in offer.fixed:
                return self._fixed(offer, name)
        stem, parts = options.split(name)
        base = by_name.get(stem)
        if base is None or not parts:
            return None
        offered = self._offers.get(stem)
        read = options.read(name, parts, offered.options if offered is not None else ())
        own = [one for one in read if one[0] not in options.OF_ALL]
        given = {option.name: value for option, value, _ in own}
        imports, around = (
            tuple(value for option, value, _ in read if option is wanted)
            for wanted in (options.IMPORT, options.AROUND)
        )
        made = base
        if offered is not None and own:
            made = self._of_options(offered, stem, given, [text for _, _, text in own])
        if imports or around:
            whole = options.joined(stem, [text for _, _, text in read])
            made = options.surrounded(made, whole, imports, around)
        self._variants[name] = self._variants.setdefault(made.name, options.set_up(made))
        return self._variants[name]

    def surrounded(
        self, implementation: Implementation, imports: Iterable[str], around: Iterable[str]
    ) -> Implementation:
        """Return an implementation with these modules imported, and these contexts entered."""
        further = [f"import={one}" for one in imports] + [f"around={one}" for one in around]
        if not further:
            return implementation
        name = implementation.name
        if options.split(name)[0] in self._offers:
            with suppress(RegistrationError):  # a fixed variant whose name is no list of options
                return self.get(options.joined(name, further))
        return self.get(f"{name}[{','.join(further)}]")

    def _of_options(
        self, offer: Offer, stem: str, given: options.Chosen, texts: Sequence[str]
    ) -> Implementation:
        name = options.joined(stem, texts)
        try:
            made = offer.variant(name, given)
        except RegistrationError as problem:
            raise RegistrationError(f"implementation '{name}': {problem}") from None
        named = offer.named(given)
        if named is not None:
            return replace(made, known=offer.known_of(named))
        return replace(made, base=offer.base)

    def register(self, new: Implementation) -> Implementation:
        """Register ``new``, and return the implementation that its name stands for from now on.

        Raises `RegistrationError` where the name is taken by another implementation.
        """
        earlier = self._implementations.get(new.name)
        registered = new if earlier is None else new.again(earlier)
        self._implementations[new.name] = registered
        return registered

    def register_remote(self, new: Implementation) -> None:
        """Register an implementation that a worker has loaded; raise where its name is taken."""
        earlier = self.implementations().get(new.name)
        if earlier is not None:
            raise new.name_taken_by(earlier)
        self._implementations[new.name] = new

    def implementations(self) -> Mapping[str, Implementation]:
        """Return every registered implementation by name, those of entry points loaded first."""
        if not self._loaded:
            self._loaded = True
            for entry in entry_points.installed():
                try:
                    with using(self), self.all_or_nothing():
                        entry.load()
                except (Exception, SystemExit) as problem:  # one package must not stop the others
                    text = " ".join(str(problem).split())
                    self._broken[entry.name] = f"{entry.value}: {type(problem).__name__}: {text}"
        return dict(self._implementations)

    def broken(self) -> Mapping[str, str]:
        """Return the entry points that could not be loaded, with the reason."""
        self.implementations()
        return dict(self._broken)

    def get(self, name: str) -> Implementation:
        """Return the implementation called ``name``; raise `ConformanceError` if there is none."""
        by_name = self.implementations()
        if name in by_name:
            return by_name[name]
        if (variant := self._variant(name)) is not None:
            return variant
        if name in self._broken:
            raise PluginError(f"implementation '{name}' could not be loaded: {self._broken[name]}")
        own = [each.name for each in by_name.values() if _is_own(each)]
        elsewhere = name.partition("@")[0] in by_name and name not in own and "@" in name
        raise ConformanceError(
            unknown(
                "implementation",
                name,
                [one.name for one in sorted(by_name.values(), key=_needs_a_package)],
                own=own,
                meant=f"--python {name}=/path/to/python" if elsewhere and not own else "",
                listing="convformance list",
            )
        )

    def find(self, thing: object) -> Implementation:
        """Return the implementation meant by a name, a registered function, a module or itself.

        Raises `ConformanceError` where that is none, or several.
        """
        if isinstance(thing, Implementation):
            return thing
        if isinstance(thing, str):
            return self.get(thing)
        if isinstance(thing, ModuleType):
            matches = self.from_file(Path(getattr(thing, "__file__", None) or "").resolve())
        else:
            registered = self._implementations.values()
            matches = tuple(i for i in registered if any(f is thing for f in i.functions.values()))
        label = getattr(thing, "__name__", repr(thing))
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(implementation.name for implementation in matches)
            raise RegistrationError(f"'{label}' stands for {names}; name one of them")
        raise RegistrationError(
            f"'{label}' is not a registered implementation; "
            f'put @implementation("some-name") above the function'
        )

    def from_file(self, file: Path) -> tuple[Implementation, ...]:
        """Return the implementations that the file ``file`` has registered."""
        registered = self._implementations.values()
        return tuple(i for i in registered if Path(i.origin) == file)

    def from_plugin(self, file: Path) -> tuple[Implementation, ...]:
        """Return the implementations that the plugin ``file`` has registered, by modules beside it.

        Where it was not loaded as a plugin, they are those of the file itself.
        """
        registered = self._implementations.values()
        own = tuple(i for i in registered if self._plugins.get(i.name) == file)
        return own or self.from_file(file)

    def belong_to_plugin(self, file: Path, new: Iterable[Implementation]) -> None:
        """Note that the plugin ``file`` has registered these."""
        self._plugins |= {implementation.name: file for implementation in new}

    def plugins(self) -> frozenset[Path]:
        """Return the files of the plugins that have registered something."""
        return frozenset(self._plugins.values())

    def file_of(self, implementation: Implementation) -> str:
        """Return the file to load for an implementation: that of its plugin, or its own."""
        while implementation.base is not None:
            implementation = implementation.base
        return str(self._plugins.get(implementation.name, implementation.origin))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back every registration made inside, if something is raised there."""
        before = dict(self._implementations)
        try:
            yield
        except BaseException:
            self._implementations = before
            raise


def _needs_a_package(implementation: Implementation) -> bool:
    return implementation.package is not None


def _is_own(implementation: Implementation) -> bool:
    """Whether it is of a plugin or of another interpreter, and no entry point's."""
    elsewhere = implementation.place is not None and implementation.place.python != sys.executable
    return elsewhere or implementation.module not in entry_points.modules()


_in_use = Registry(entry_points=True)


def in_use() -> Registry:
    """Return the registry that `implementation(...)` registers in."""
    return _in_use


def use(registry: Registry) -> Registry:
    """Let all threads of this process use ``registry`` from now on; return the one used before."""
    global _in_use
    before, _in_use = _in_use, registry
    return before


@contextmanager
def using(registry: Registry) -> Iterator[Registry]:
    """Use ``registry`` inside the ``with`` block."""
    before = use(registry)
    try:
        yield registry
    finally:
        use(before)


@taking(Arguments)
def implementation(*given: object, **declared: object) -> Implementation:
    """Return the implementation called ``name``, to decorate its functions with.

    Calls with the same name in one file share one implementation. Raises `RegistrationError`.
    What it declares of itself:
    """
    return declare(sys._getframe(1), *given, **declared)  # nothing else tells which file it is


def origin_of(frame: FrameType) -> str:
    """Return the file of the code that a frame runs."""
    file = frame.f_code.co_filename
    return file if file.startswith("<") else str(Path(file).resolve())


def declare(frame: FrameType, *given: object, **declared: object) -> Implementation:
    """Register what the code of ``frame`` declares, as `implementation` does."""
    origin = origin_of(frame)
    known = [spec.name for spec in fields(Arguments) if spec.init]
    for name in declared.keys() - known:
        hint = did_you_mean(name, known)
        raise RegistrationError(
            f"{origin}: {name!r} is no declaration; {hint}known are {', '.join(known)}"
        )
    arguments = Arguments(*given, **declared)  # type: ignore[arg-type]  # as `taking` says
    arguments.check(origin)
    values, module = arguments.declared_in(origin), frame.f_globals.get("__name__", "")
    if interpreters.is_on() and not module.startswith(f"{__name__.partition('.')[0]}."):
        values |= interpreters.declared(values)
    return _in_use.register(
        Implementation(
            **values,
            name=arguments.name,
            origin=origin,
            module=module,
            typed=_typed(frame.f_globals.get("__file__"), origin),
            execution=(id(frame.f_globals), id(frame.f_globals.get("__spec__"))),
            declared_version=arguments.version,
        )
    )


def _typed(module_file: str | None, origin: str) -> bool:
    """Whether code is no part of its module's file: a cell of a notebook, or a line at a prompt."""
    return module_file is None or str(Path(module_file).resolve()) != origin


def implementations() -> Mapping[str, Implementation]:
    """Return every registered implementation by name, those of entry points loaded first."""
    return _in_use.implementations()


def broken() -> Mapping[str, str]:
    """Return the entry points that could not be loaded, with the reason."""
    return _in_use.broken()


def get(name: str) -> Implementation:
    """Return the implementation called ``name``; raise `ConformanceError` if there is none."""
    return _in_use.get(name)


def find(thing: object) -> Implementation:
    """Return the implementation meant by a name, a registered function, a module or itself."""
    return _in_use.find(thing)
