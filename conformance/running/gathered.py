"""What comes of the blocks of a run, gathered one by one: rows of the run file, and the verdicts.

Blocks may come in any order, from any process, from an earlier run that was stopped, or from the
files of several runs. What is written at the end depends on all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from conformance.runfile.file import RunFile
from conformance.runfile.row import Row
from conformance.runfile.tables import Pair
from conformance.running import coverage, rows
from conformance.running.accusations import settle
from conformance.running.block import Block, Told
from conformance.running.causes import Confirmed
from conformance.running.cell import Cell
from conformance.running.coverage import Coverage
from conformance.running.interruption import undisturbed
from conformance.running.known_in_run import Example, Key, Kinds, add_kinds
from conformance.running.stored import packed, unpacked


@dataclass(slots=True)
class Gathered:
    """The blocks of a run that are written into ``file``.

    What depends on several blocks is concluded from them in the order of the run, since they come
    in any.
    """

    file: RunFile
    cells: list[Cell] = field(default_factory=list)
    pairs: dict[tuple[str, str, str], Pair] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    """Microseconds, by activity."""
    confirmed: Confirmed = field(default_factory=set)
    """What the blocks have shown in new workers."""
    notes: dict[str, str] = field(default_factory=dict)
    covered: Counter[Key] = field(default_factory=Counter)
    kinds: dict[Key, Kinds] = field(default_factory=dict)
    examples: dict[Key, Example] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    _blocks: list[tuple[int, Block]] = field(default_factory=list)

    def take(self, block: Block, name: str, number: int) -> None:
        """Take a block, and write it.

        What was interrupted or lost is written, but is judged again by a run that goes on.
        """
        content = packed(block)
        self._blocks.append((number, block))
        self.cells.extend(block.cells)
        self.spent.update(block.spent)
        self.confirmed |= getattr(block, "confirmed", set())  # an older block has none
        for pair in block.pairs:
            key = (pair.first, pair.second, pair.operator)
            self.pairs[key] = self.pairs[key].plus(pair) if key in self.pairs else pair
        kept = [] if block.interrupted or not block.spent else [(name, number, content)]
        with undisturbed():
            self.file.add((*rows.of_block(block), *self.pairs.values()), blocks=kept)

    def restore(self, blocks: Iterable[tuple[str, int, bytes]]) -> set[str]:
        """Take the blocks of a file once more, and return their names."""
        self.file.start_again()
        restored = set()
        for name, number, content in blocks:
            self.take(unpacked(content, Block), name, number)
            restored.add(name)
        return restored

    def conclusion(self) -> Iterator[Row]:
        """Yield the rows that need all blocks, and no implementation; the fields then have all.

        What calls of one function did to those of another is put into the cell of the other.
        """
        blocks = [block for _, block in sorted(self._blocks, key=itemgetter(0))]
        self.cells[:] = [cell for block in blocks for cell in block.cells]
        yield from settle(self.cells, [one for block in blocks for one in block.accusations])
        sources: dict[str, list[Coverage]] = {}
        for block in blocks:
            self.examples.update(block.examples)
            self.notes.update(block.notes)
            self.told.extend(block.told)
            for cell in block.cells:
                for index, count in cell.covered.items():
                    self.covered[cell.implementation, index] += count
                for index, found in cell.kinds.items():
                    add_kinds(self.kinds.setdefault((cell.implementation, index), {}), found)
            for implementation, part in block.covered.items():
                sources.setdefault(implementation, []).append(part)
        for name, parts in sources.items():
            yield from coverage.rows(name, parts)
