"""Which lines differ between two contents. Counts and rendered diffs come from here, so they agree.

The answer is always right and mostly small, not always the smallest: work is bounded, and what is left
when the bound is reached counts as replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# As git: a NUL this early makes a file binary.
_SNIFFED: Final = 8000
_MAX_EDITS: Final = 400
_WORK: Final = 8_000_000
# More differing lines than this are not compared one by one: splitting them would need much memory.
_MAX_LINES: Final = 1_000_000
_MAX_RUNS: Final = 10_000


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


@dataclass(frozen=True, slots=True)
class LineChanges:
    """Lines added and removed, and the first and last number (from 1) of every run of added lines.

    `runs` is None when it is not known which lines are new: either side is binary, or there are too many
    runs to list.
    """

    added: int
    removed: int
    runs: tuple[tuple[int, int], ...] | None


def compare_lines(old: bytes | None, new: bytes | None) -> LineChanges:
    """What `new` has that `old` has not. Counts are zero when either side is binary. None is no file."""
    old, new = old or b"", new or b""
    if old == new:
        return LineChanges(0, 0, ())
    if is_binary(old) or is_binary(new):
        return LineChanges(0, 0, None)
    blocks = changed_blocks(old, new)
    runs = tuple((block.new_start + 1, block.new_end) for block in blocks if block.new_start < block.new_end)
    return LineChanges(
        sum(block.new_end - block.new_start for block in blocks),
        sum(block.old_end - block.old_start for block in blocks),
        runs if len(runs) <= _MAX_RUNS else None,
    )


def count_changes(old: bytes | None, new: bytes | None) -> tuple[int, int]:
    """Lines added and removed; zeros when either side is binary. None is a file that is not there."""
    counted = compare_lines(old, new)
    return counted.added, counted.removed


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
                found.append(region)
            else:
                pending += reversed(parts)
        return found

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
            # The equal lines reach back to where the edit landed, one step down or right of its start.
            while x > start_x and y > start_y:
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
