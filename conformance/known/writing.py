"""Known differences as a TOML file, which `conformance.known.reading` reads back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def as_toml(entries: Iterable[Mapping[str, Any]], comment: str) -> str:
    """Return entries, each given by the fields of its table, as a file that begins with a comment.

    The comment may have several lines.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for entry in entries:
        lines += ["", "[[known]]", *(f"{name} = {_value(value)}" for name, value in entry.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {_value(item)}' for name, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)  # a text, a whole number, true or false
