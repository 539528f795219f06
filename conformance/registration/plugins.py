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
    name = f"convformance_plugin_{re.sub(r'[^A-Za-z0-9]', '_', str(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
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
