"""Programs: kernels in any language, which read calls on stdin and write results to stdout."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import PluginError
from conformance.forms.declaring import implementation_of, operators_in
from conformance.forms.process import Operator, Program
from conformance.registration.implementation import Implementation

_SECONDS = 20.0
"""Seconds that a program has to answer the greeting."""
_CHUNK = 1 << 16


def load(command: str) -> Implementation:
    """Start a program, and return the implementation that it declares to be.

    Raises `PluginError` where it cannot be started, or does not answer as the protocol says.
    """
    where = f"program '{command}'"
    program = Program(_words(command, where), where)
    declared = program.greet(_SECONDS)
    operators = operators_in(declared, where)
    file = _file_of(program.words)
    source = (file.name,) if _is_text(file) else ()
    return implementation_of(
        {"source": source, **declared},
        {operator: Operator(operator, lambda: program) for operator in operators},
        file,
        where,
        threads="one",
        memory="contiguous",
    )


def _words(command: str, where: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise PluginError(f"{where}: cannot be read ({problem}); quote it as for a shell") from None
    if not words:
        raise PluginError(f"{where}: names nothing; name a command such as 'node my_conv.mjs'")
    return words


def _file_of(words: Sequence[str]) -> Path:
    """Return the file that the program is written in: the first of its arguments that is one."""
    files = [Path(word) for word in words[1:] if Path(word).is_file()]
    return (files[0] if files else Path(words[0])).resolve()


def _is_text(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return b"\0" not in opened.read(_CHUNK)
    except OSError:
        return False
