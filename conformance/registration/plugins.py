"""Plugins: Python files of a user's own that register implementations."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from conformance.errors import ConformanceError, PluginError, RegistrationError
from conformance.registration.registry import (
    Implementation,
    all_or_nothing,
    from_file,
    implementations,
)


def load_plugin(path: str | Path) -> tuple[Implementation, ...]:
    """Load the Python file ``path`` and return the implementations that it registers.

    Raises `PluginError` where the file is missing, fails to run, or registers nothing.
    """
    file = check_plugin(path)
    known = from_file(file)
    if known:
        return known
    name = f"convformance_plugin_{re.sub(r'[^A-Za-z0-9]', '_', str(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with all_or_nothing():
            spec.loader.exec_module(module)
            found = from_file(file)
            if not any(one.functions for one in found):
                raise RegistrationError(
                    "registers nothing; put "
                    '@implementation("some-name") above a function named after its operator'
                )
    except BaseException as problem:
        sys.modules.pop(name, None)
        if isinstance(problem, KeyboardInterrupt):
            raise
        if isinstance(problem, ConformanceError):
            said = str(problem).removeprefix(f"{file}: ")  # the file is named once
            raise PluginError(f"plugin {path}: {said}") from None
        line = _line_in(problem, file)
        where = f"{path}:{line}" if line else str(path)
        text = " ".join(str(problem).split())
        raise PluginError(f"plugin {where}: {type(problem).__name__}: {text}") from problem
    return found


def check_plugin(path: str | Path) -> Path:
    """Return the file that ``path`` names; raise `PluginError` where it can be no plugin."""
    implementations()  # first, so that a name taken twice is the plugin's mistake
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise PluginError(f"plugin {path}: no such file")
    if file.suffix != ".py":
        raise PluginError(f"plugin {path}: not a Python file; its name must end in .py")
    return file


def _line_in(problem: BaseException, file: Path) -> int | None:
    if isinstance(problem, SyntaxError) and problem.filename == str(file):
        return problem.lineno
    line = None
    trace = problem.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
