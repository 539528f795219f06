"""Text from a run file, made harmless: without escape sequences and control characters."""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # strings with a terminator: titles, links
    r"|\x1b[ -/]*[0-~]?",  # any other escape
    re.DOTALL,
)
# Control characters (newline and tab stay), marks that reorder or split a line, lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean(text: str) -> str:
    """Return ``text`` without escape sequences and control characters; newlines and tabs stay."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Return ``text`` cleaned, with every run of white space made one space."""
    return " ".join(clean(text).split())


def cleaned(value: Any) -> Any:
    """Return a JSON value with every string in it cleaned, keys included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value
