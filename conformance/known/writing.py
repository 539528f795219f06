"""Known differences as a TOML file, which `conformance.known.reading` reads back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.toml import write


def as_toml(entries: Iterable[Mapping[str, Any]], comment: str) -> str:
    """Return entries, each given by the fields of its table, as a file that begins with a comment.

    The comment may have several lines.
    """
    return write((("known", entry) for entry in entries), comment)
