"""Plugins: Python files of a user's own that register implementations.

A plugin imports what lies beside it, as a script does: its folder comes first on the path while it
is imported. Later its functions still find what lies there, but nobody else does, for whom it might
hide something. Two plugins may have modules of one name beside them. In workers, each of which has
one plugin, these are two modules; where one process loads both, they would be one: it is refused.

A package is named by its folder. Its modules import each other by relative imports.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Set
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType

from conformance.errors import ConformanceError, PluginError, RegistrationError
from conformance.registration import entry_points, registry
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry

_PACKAGE = "__init__.py"
NAMED_BY_PATH = "convformance_plugin"
"""The beginning of the name of a module that its own name is not free for."""


def load_plugin(path: str | Path, into: Registry | None = None) -> tuple[Implementation, ...]:
    """Load the Python file or package ``path`` and return the implementations that it registers.

    Those that modules beside it register are among them. They are registered ``into`` a registry,
    by default the one in use. Raises `PluginError` where the file is missing, fails to run, or
    registers nothing.
    """
    with registry.using(into or registry.in_use()) as registered:
        file = check_plugin(path)
        return registered.from_plugin(file) or _run(file, path, registered)


def _run(file: Path, path: str | Path, registered: Registry) -> tuple[Implementation, ...]:
    """Run a plugin that ``path`` names, and return what it has ``registered``."""
    name = _module_name(file)
    package = [str(file.parent)] if file.name == _PACKAGE else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=package)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder, used = folder_of(file), {*map(folder_of, registered.plugins())}
    first = not _hides_another(file)
    _modules.add(name)
    loaded = set(sys.modules)
    try:
        _make_room(folder, used)
        sys.modules[name] = module
        with registered.all_or_nothing(), _on_path(folder, first=first):
            before = registered.implementations()
            spec.loader.exec_module(module)
            _note_folder(folder, used)
            new = tuple(_new_from(folder, before, registered.implementations()))
            if not any(implementation.functions for implementation in new):
                raise RegistrationError(
                    "registers nothing; put "
                    '@implementation("some-name") above a function named after its operator'
                )
    except BaseException as problem:
        new_modules = set(sys.modules) - loaded
        beside = [other for other in new_modules if _home(other) == folder]
        for added in {name, *beside}:  # they may be mended, and loaded again
            sys.modules.pop(added, None)
        if isinstance(problem, KeyboardInterrupt):
            raise
        if isinstance(problem, ConformanceError):
            reason = str(problem).removeprefix(f"{file}: ")  # the file is named once
            raise PluginError(f"plugin {path}: {reason}") from None
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        raise PluginError(f"plugin {_where(problem, file, path)}: {text}") from problem
    registered.belong_to_plugin(file, new)
    return new


def _new_from(
    folder: Path, before: Mapping[str, Implementation], after: Mapping[str, Implementation]
) -> Iterator[Implementation]:
    """Yield the implementations that a plugin, or a module beside it, has registered."""
    installed = entry_points.modules()  # a plugin may import one of them first
    for implementation in after.values():
        new = before.get(implementation.name) is not implementation
        beside = Path(implementation.origin).is_relative_to(folder)
        if new and beside and implementation.module not in installed:
            yield implementation


def _module_name(file: Path) -> str:
    """Return the name that a plugin is imported under: the one that Python itself would use.

    Whatever keeps functions by the name of their module then finds them in every program: Numba's
    cache is one that plugins share with the programs that use them. Where that is no name of a
    module, or another module's, the path is made into one.
    """
    name = _own_name(file)
    if name.isidentifier() and name not in sys.modules and not _hides_another(file):
        return name
    return f"{NAMED_BY_PATH}_{re.sub(r'[^A-Za-z0-9]', '_', str(file))}"


def _own_name(file: Path) -> str:
    return file.parent.name if file.name == _PACKAGE else file.stem


def _hides_another(file: Path) -> bool:
    """Whether another module is found by the name of a plugin, such as the engine it imports."""
    name = _own_name(file)
    if not name.isidentifier():
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # of a module that is running, and is nothing that can be found
        return False
    return spec is not None and not (spec.origin and Path(spec.origin).resolve() == file)


_modules: set[str] = set()


def is_plugin(module: str) -> bool:
    """Whether this process has loaded a plugin as the module of that name."""
    return module in _modules


# --- modules beside a plugin ----------------------------------------------------------------------

_folders: set[Path] = set()
"""The folders of the plugins that this process has loaded."""


def folder_of(file: Path) -> Path:
    """Return the folder that a plugin imports from: its own, or the one that a package lies in."""
    return file.parent.parent if file.name == _PACKAGE else file.parent


@contextlib.contextmanager
def _on_path(folder: Path, *, first: bool) -> Iterator[None]:
    """Put a folder on the path inside the context, before all others or after them."""
    before = list(sys.path)
    sys.path.insert(0 if first else len(before), str(folder))
    importlib.invalidate_caches()  # of files that have just been written
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


class _Beside:
    """Finds what lies beside a plugin when its functions import it, and nobody else does."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a module is, if the code that imports it lies in a folder of plugins."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if path is not None or frame is None:
            return None
        caller = Path(frame.f_code.co_filename)
        homes = [str(folder) for folder in _folders if caller.is_relative_to(folder)]
        return PathFinder.find_spec(name, sorted(homes, key=len, reverse=True))


def _make_room(folder: Path, used: Set[Path]) -> None:
    """Forget modules beside plugins that are not in use, which are not to be found from ``folder``.

    Raises `PluginError` if one of a plugin in use, with one of the folders ``used``, would be.
    """
    for name, home in _beside_plugins():
        if home not in used and (home == folder or _file_of(folder, name)):
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[module]
        elif home != folder and _file_of(folder, name):
            raise _taken_for(name, folder, home)


def _note_folder(folder: Path, used: Set[Path]) -> None:
    """Note where a plugin imports from; raise `PluginError` if another would find its modules."""
    if not _folders:
        sys.meta_path.append(_Beside())
    _folders.add(folder)
    for name, home in _beside_plugins():
        for other in used - {folder} if home == folder else ():
            if _file_of(other, name):
                raise _taken_for(name, other, folder)


def _beside_plugins() -> list[tuple[str, Path]]:
    """Return the modules that lie beside plugins, and the folders, without the plugins."""
    named = [(name, _home(name)) for name in sys.modules if "." not in name]
    return [(name, home) for name, home in named if home in _folders and name not in _modules]


def _home(name: str) -> Path | None:
    """Return the folder that a module, or its package, lies in, None if it has no file."""
    file = getattr(sys.modules[name.partition(".")[0]], "__file__", None)
    return folder_of(Path(file)) if isinstance(file, str) else None


def _taken_for(name: str, folder: Path, home: Path) -> PluginError:
    own, other = _file_of(folder, name), _file_of(home, name)
    return PluginError(
        f"where {own} is meant, {other} would be found, since one process has one "
        f"module '{name}'; rename one, or leave out --no-isolate: workers keep them apart"
    )


def _file_of(folder: Path, name: str) -> Path | None:
    """Return the file of a module in a folder, None if there is none."""
    files = (folder / f"{name}.py", folder / name / _PACKAGE)
    return next((file for file in files if file.is_file()), None)


# --- what is named --------------------------------------------------------------------------------


def check_plugin(path: str | Path) -> Path:
    """Return the file that ``path`` names; raise `PluginError` where it cannot be a plugin.

    The file of a package is its ``__init__.py``.
    """
    registry.implementations()  # loaded first, so that the plugin is blamed for a name taken twice
    try:
        file = Path(path).expanduser().resolve()
        if str(path) and file.is_dir():
            return _package(file, path)
        if not file.is_file():
            raise PluginError(f"plugin {path}: no such file{_meant(str(path))}")
    except (OSError, ValueError, RuntimeError) as problem:  # such as a name that no file can have
        reason = getattr(problem, "strerror", None) or problem
        raise PluginError(f"plugin {str(path)!a}: no such file ({reason})") from None
    if file.suffix != ".py":
        raise PluginError(f"plugin {path}: not a Python file; its name must end in .py")
    return file


def _package(folder: Path, path: str | Path) -> Path:
    if (folder / _PACKAGE).is_file():
        return folder / _PACKAGE
    files = sorted(file.name for file in folder.glob("*.py"))[:3]
    named = f": {', '.join(os.path.join(path, name) for name in files)}" if files else ""
    raise PluginError(
        f"plugin {path}: a folder, and no package, which would have an {_PACKAGE}; name a Python "
        f"file{named}"
    )


def _meant(name: str) -> str:
    """Return what may be meant by a name that no file has, such as that of a module."""
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        return ""
    written = Path(*name.split(".")).with_suffix(".py")
    if written.is_file():
        return f"; a file is meant, not a module: {written}"
    try:
        spec = importlib.util.find_spec(name) if "." not in name else None
    except ValueError:
        return ""
    if spec is None or spec.origin is None or not spec.has_location:
        return "; a plugin is a Python file, such as my_conv.py"
    return f"; a file is meant, not a module: {spec.origin}"


def _where(problem: BaseException, file: Path, path: str | Path) -> str:
    """Return the plugin as it was named, with the line at which it failed.

    Where a module beside it failed, that and its line follow.
    """
    calls = traceback.walk_tb(problem.__traceback__)
    lines = [(Path(frame.f_code.co_filename), line) for frame, line in calls]
    if isinstance(problem, SyntaxError) and problem.filename:
        lines.append((Path(problem.filename), problem.lineno or 0))
    folder = folder_of(file)
    own = [
        (name, line)
        for name, line in lines
        if name.is_relative_to(folder) and "site-packages" not in name.relative_to(folder).parts
    ]
    here = [line for name, line in own if name == file]
    where = f"{path}:{here[-1]}" if here else str(path)
    if own and own[-1][0] != file:
        name, line = own[-1]
        beside = Path(path).parent / name.relative_to(folder)
        where += f": {beside}:{line}"
    return where
