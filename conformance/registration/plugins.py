"""Plugins: Python files of a user's own that register implementations."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from pathlib import Path

from conformance.errors import ConformanceError, PluginError, RegistrationError
from conformance.registration import registry
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry


def load_plugin(path: str | Path, into: Registry | None = None) -> tuple[Implementation, ...]:
    """Load the Python file ``path`` and return the implementations that it registers.

    They are registered ``into`` a registry, by default the one in use. Raises `PluginError` where
    the file is missing, fails to run, or registers nothing.
    """
    with registry.using(into or registry.in_use()) as registered:
        file = check_plugin(path)
        return registered.from_file(file) or _run(file, path, registered)


def _run(file: Path, path: str | Path, registered: Registry) -> tuple[Implementation, ...]:
    """Run a plugin that ``path`` names, and return what it has ``registered``."""
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _modules.add(name)
    try:
        with registered.all_or_nothing():
            spec.loader.exec_module(module)
            new = registered.from_file(file)
            if not any(implementation.functions for implementation in new):
                raise RegistrationError(
                    "registers nothing; put "
                    '@implementation("some-name") above a function named after its operator'
                )
    except BaseException as problem:
        sys.modules.pop(name, None)
        if isinstance(problem, KeyboardInterrupt):
            raise
        if isinstance(problem, ConformanceError):
            reason = str(problem).removeprefix(f"{file}: ")  # the file is named once
            raise PluginError(f"plugin {path}: {reason}") from None
        line = _line_in(problem, file)
        where = f"{path}:{line}" if line else str(path)
        text = " ".join(str(problem).split())
        raise PluginError(f"plugin {where}: {type(problem).__name__}: {text}") from problem
    return new


def _module_name(file: Path) -> str:
    """Return the name that a plugin is imported under: the one that Python itself would use.

    Whatever keeps functions by the name of their module then finds them in every program: Numba's
    cache is one that plugins share with the programs that use them. Where that is no name of a
    module, or another module's, the path is made into one.
    """
    stem = file.stem
    if stem.isidentifier() and stem not in sys.modules:
        spec = importlib.util.find_spec(stem)
        if spec is None or (spec.origin and Path(spec.origin).resolve() == file):
            return stem
    return f"convformance_plugin_{re.sub(r'[^A-Za-z0-9]', '_', str(file))}"


_modules: set[str] = set()


def is_plugin(module: str) -> bool:
    """Whether this process has loaded a plugin as the module of that name."""
    return module in _modules


def check_plugin(path: str | Path) -> Path:
    """Return the file that ``path`` names; raise `PluginError` where it cannot be a plugin."""
    registry.implementations()  # loaded first, so that the plugin is blamed for a name taken twice
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise PluginError(f"plugin {path}: no such file")
    if file.suffix != ".py":
        raise PluginError(f"plugin {path}: not a Python file; its name must end in .py")
    return file


def _line_in(problem: BaseException, file: Path) -> int | None:
    if isinstance(problem, SyntaxError) and problem.filename == str(file):
        return problem.lineno
    calls = traceback.walk_tb(problem.__traceback__)
    lines = [line for frame, line in calls if frame.f_code.co_filename == str(file)]
    return lines[-1] if lines else None
