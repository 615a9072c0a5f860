"""Which lines differ between two contents. Counts and rendered diffs come from here, so they agree.

The answer is always right and mostly small, not always the smallest: work is bounded, and what is left
when the bound is reached counts as replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# As git: a NUL this early makes a file binary.
_SNIFFED: Final = 8000
_MAX_EDITS: Final = 400
_WORK: Final = 8_000_000
# More differing lines than this are not compared one by one: splitting them would need much memory.
_MAX_LINES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """Lines `old_start:old_end` of the old content are replaced by `new_start:new_end` of the new (from 0)."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def is_binary(content: bytes) -> bool:
    return b"\0" in content[:_SNIFFED]


def split_lines(content: bytes) -> list[bytes]:
    """Lines with their newlines; only LF ends a line. The last one may lack it."""
    lines = content.split(b"\n")
    last = lines.pop()
    result = [line + b"\n" for line in lines]
    if last:
        result.append(last)
    return result


def count_lines(content: bytes) -> int:
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def count_changes(old: bytes | None, new: bytes | None) -> tuple[int, int]:
    """Lines added and removed; zeros when either side is binary. None is a file that is not there."""
    old, new = old or b"", new or b""
    if old == new or is_binary(old) or is_binary(new):
        return 0, 0
    blocks = changed_blocks(old, new)
    added = sum(block.new_end - block.new_start for block in blocks)
    return added, sum(block.old_end - block.old_start for block in blocks)


def added_lines(old: bytes | None, new: bytes) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and text without its newline of every line `new` has and `old` has not."""
    blocks = iter(changed_blocks(old or b"", new))
    block = next(blocks, None)
    for number, line in enumerate(split_lines(new)):
        while block is not None and number >= block.new_end:
            block = next(blocks, None)
        if block is None:
            return
        if number >= block.new_start:
            yield number + 1, line.removesuffix(b"\n")


def changed_blocks(old: bytes, new: bytes) -> list[Block]:
    """The blocks that differ, in order, apart from each other by at least one equal line."""
    head, old_tail, new_tail = _common_ends(old, new)
    before = old.count(b"\n", 0, head)
    old_middle, new_middle = old[head:old_tail], new[head:new_tail]
    old_count, new_count = count_lines(old_middle), count_lines(new_middle)
    if not old_count and not new_count:
        return []
    if not old_count or not new_count or old_count + new_count > _MAX_LINES:
        return [Block(before, before + old_count, before, before + new_count)]
    numbers: dict[bytes, int] = {}
    first = [numbers.setdefault(line, len(numbers)) for line in split_lines(old_middle)]
    second = [numbers.setdefault(line, len(numbers)) for line in split_lines(new_middle)]
    return [
        Block(before + a, before + b, before + c, before + d)
        for a, b, c, d in _Comparison(first, second).blocks()
    ]


def _common_ends(old: bytes, new: bytes) -> tuple[int, int, int]:
    """Offsets of whole lines: up to the first both are equal, from the second (old) and third (new) on too."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    if not (low == len(old) == len(new)):
        low = old.rfind(b"\n", 0, low) + 1
    shortest, high = 0, min(len(old), len(new)) - low
    while shortest < high:
        middle = (shortest + high + 1) // 2
        if old[len(old) - middle : len(old) - shortest] == new[len(new) - middle : len(new) - shortest]:
            shortest = middle
        else:
            high = middle - 1
    cut = old.find(b"\n", len(old) - shortest) + 1
    tail = len(old) - cut if cut else 0
    return low, len(old) - tail, len(new) - tail


_Region = tuple[int, int, int, int]


class _Comparison:
    """Two sequences of numbers; equal numbers are equal lines."""

    def __init__(self, old: Sequence[int], new: Sequence[int]) -> None:
        self.old, self.new = old, new
        self.work = _WORK

    def blocks(self) -> list[_Region]:
        found: list[_Region] = []
        pending: list[_Region] = [(0, len(self.old), 0, len(self.new))]
        while pending:
            region = self._trim(pending.pop())
            a, b, c, d = region
            if a == b and c == d:
                continue
            parts = self._split(region) if a < b and c < d else None
            if parts is None:
                self._append(found, region)
            else:
                pending += reversed(parts)
        return found

    @staticmethod
    def _append(found: list[_Region], region: _Region) -> None:
        if found and found[-1][1] == region[0] and found[-1][3] == region[2]:
            region = (found[-1][0], region[1], found[-1][2], region[3])
            found.pop()
        found.append(region)

    def _trim(self, region: _Region) -> _Region:
        a, b, c, d = region
        old, new = self.old, self.new
        while a < b and c < d and old[a] == new[c]:
            a, c = a + 1, c + 1
        while a < b and c < d and old[b - 1] == new[d - 1]:
            b, d = b - 1, d - 1
        return a, b, c, d

    def _split(self, region: _Region) -> list[_Region] | None:
        """Smaller regions with equal lines between them, or None when all of it counts as replaced."""
        a, b, c, d = region
        self.work -= b - a + d - c
        if self.work < 0:
            return None
        anchors = self._anchors(region) or self._shortest(region)
        if not anchors:
            return None
        parts = []
        for i, j in anchors:
            parts.append((a, i, c, j))
            a, c = i + 1, j + 1
        parts.append((a, b, c, d))
        return parts

    def _anchors(self, region: _Region) -> list[tuple[int, int]]:
        """Lines that occur once on either side, as many of them as stand in the same order."""
        a, b, c, d = region
        where = _unique(self.old, a, b)
        there = _unique(self.new, c, d)
        pairs = [(i, there[value]) for value, i in where.items() if value in there]
        return _longest_ascending(pairs)

    def _shortest(self, region: _Region) -> list[tuple[int, int]]:
        """All equal pairs of a shortest edit script (Myers), or none when it is long."""
        a, b, c, d = region
        old, new = self.old, self.new
        height, width = b - a, d - c
        ends = {1: 0}
        history: list[dict[int, int]] = []
        for edits in range(min(height + width, _MAX_EDITS) + 1):
            history.append(dict(ends))
            self.work -= edits
            for diagonal in range(-edits, edits + 1, 2):
                down = diagonal == -edits or (
                    diagonal != edits and ends.get(diagonal - 1, -1) < ends.get(diagonal + 1, -1)
                )
                x = ends[diagonal + 1] if down else ends[diagonal - 1] + 1
                y = start = x - diagonal
                while x < height and y < width and old[a + x] == new[c + y]:
                    x, y = x + 1, y + 1
                self.work -= y - start
                ends[diagonal] = x
                if x >= height and y >= width:
                    return self._walk_back(history, height, width, a, c)
            if self.work < 0:
                return []
        return []

    @staticmethod
    def _walk_back(
        history: list[dict[int, int]], height: int, width: int, a: int, c: int
    ) -> list[tuple[int, int]]:
        pairs = []
        x, y = height, width
        for edits in range(len(history) - 1, -1, -1):
            ends = history[edits]
            diagonal = x - y
            down = diagonal == -edits or (
                diagonal != edits and ends.get(diagonal - 1, -1) < ends.get(diagonal + 1, -1)
            )
            before = diagonal + 1 if down else diagonal - 1
            start_x = ends[before] if edits else 0
            start_y = start_x - before if edits else 0
            while x > start_x and y > start_y and x > 0 and y > 0:
                # The snake ends where the edit landed: one step right or down of the earlier end.
                if edits and (x, y) == ((start_x, start_y + 1) if down else (start_x + 1, start_y)):
                    break
                x, y = x - 1, y - 1
                pairs.append((a + x, c + y))
            x, y = start_x, start_y
        pairs.reverse()
        return pairs


def _unique(values: Sequence[int], start: int, end: int) -> dict[int, int]:
    """Where each value stands that occurs exactly once in the range, in order."""
    where: dict[int, int] = {}
    repeated = set()
    for index in range(start, end):
        value = values[index]
        if value in where:
            repeated.add(value)
        else:
            where[value] = index
    for value in repeated:
        del where[value]
    return where


def _longest_ascending(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs, sorted by the first number, in which the second ascends too."""
    lowest: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for index, (_, value) in enumerate(pairs):
        length = bisect_left(lowest, value)
        previous.append(last[length - 1] if length else -1)
        if length == len(lowest):
            lowest.append(value)
            last.append(index)
        else:
            lowest[length] = value
            last[length] = index
    chain = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(pairs[index])
        index = previous[index]
    chain.reverse()
    return chain
