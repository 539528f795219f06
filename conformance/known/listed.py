"""An implementation's list in a TOML file, which is read only when the list is used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.known.difference import KnownDifference


class FromFile(Sequence["KnownDifference"]):
    """The entries of one implementation in a TOML file; reading may raise `SpecError`.

    It raises where the file has none, unless there ``may_be_none``.
    """

    def __init__(self, path: Path, name: str, *, may_be_none: bool = False) -> None:
        self.path = path
        self.name = name
        self.may_be_none = may_be_none

    def __getitem__(self, index: Any) -> Any:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    @cached_property
    def _entries(self) -> tuple[KnownDifference, ...]:
        # Imported now: reading takes a TOML parser and SPEC.md, which `convformance list` spares.
        from conformance.known.reading import entries_of

        return entries_of(self.name, self.path, may_be_none=self.may_be_none)
