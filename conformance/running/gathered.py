"""What comes of the blocks of a run, gathered one by one: rows of the run file, and the verdicts.

Blocks may come in any order, from any process, from an earlier run that was stopped, or from the
files of several runs. What is written at the end depends on all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conformance.runfile.file import RunFile
from conformance.runfile.row import Row
from conformance.runfile.tables import Pair
from conformance.running import coverage, rows
from conformance.running.accusations import Accusation, settle
from conformance.running.block import Block, Told
from conformance.running.cell import Cell
from conformance.running.coverage import Coverage
from conformance.running.interruption import undisturbed
from conformance.running.known_in_run import Example, Key, Kinds, add_kinds
from conformance.running.stored import packed, unpacked


@dataclass(slots=True)
class Gathered:
    """The blocks of a run that are written into ``file``."""

    file: RunFile
    cells: list[Cell] = field(default_factory=list)
    pairs: dict[tuple[str, str, str], Pair] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    """Microseconds, by activity."""
    notes: dict[str, str] = field(default_factory=dict)
    covered: Counter[Key] = field(default_factory=Counter)
    kinds: dict[Key, Kinds] = field(default_factory=dict)
    examples: dict[Key, Example] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    sources: dict[str, list[Coverage]] = field(default_factory=dict)
    _accusations: list[Accusation] = field(default_factory=list)

    def take(self, block: Block, name: str, number: int) -> None:
        """Take a block, and write it with what calls of its functions did to those of others.

        What was interrupted or lost is written, but is judged again by a run that goes on.
        """
        content = packed(block)
        self.cells.extend(block.cells)
        self._accusations.extend(block.accusations)
        accused = list(settle(self.cells, self._accusations, unwritten=block.cells))
        self.spent.update(block.spent)
        self.examples.update(block.examples)
        self.notes.update(block.notes)
        self.told.extend(block.told)
        for cell in block.cells:
            for index, count in cell.covered.items():
                self.covered[cell.implementation, index] += count
            for index, found in cell.kinds.items():
                add_kinds(self.kinds.setdefault((cell.implementation, index), {}), found)
        for implementation, part in block.covered.items():
            self.sources.setdefault(implementation, []).append(part)
        for pair in block.pairs:
            key = (pair.first, pair.second, pair.operator)
            self.pairs[key] = self.pairs[key].plus(pair) if key in self.pairs else pair
        kept = [] if block.interrupted or not block.spent else [(name, number, content)]
        with undisturbed():
            self.file.add((*rows.of_block(block), *accused, *self.pairs.values()), blocks=kept)

    def restore(self, blocks: Iterable[tuple[str, int, bytes]]) -> set[str]:
        """Take the blocks of a file once more, and return their names."""
        self.file.start_again()
        restored = set()
        for name, number, content in blocks:
            self.take(unpacked(content, Block), name, number)
            restored.add(name)
        return restored

    def conclusion(self) -> Iterator[Row]:
        """Yield the rows that need all blocks, and no implementation."""
        yield from settle(self.cells, self._accusations, last=True)
        for name, parts in self.sources.items():
            yield from coverage.rows(name, parts)
