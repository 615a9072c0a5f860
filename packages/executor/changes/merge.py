"""Two changes of one content made into one, line by line, and lines followed through later changes.

Both rest on the comparison that diffs are made of. Changes that touch, be it only at an edge, are in each
other's way, as in git.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from executor.changes.lines import Block, changed_blocks, count_lines, is_binary, split_lines


class Lines(NamedTuple):
    """Lines `start:end` of a content, from 0; with both equal, the place between two lines."""

    start: int
    end: int


def merge(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """`base` with what `ours` and `theirs` have changed in it; None when these are in each other's way.

    What both have changed alike counts once. Binary content is merged only where one side has not changed.
    """
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    if any(map(is_binary, (base, ours, theirs))):
        return None
    sides = _Side(base, ours), _Side(base, theirs)
    lines = split_lines(base)
    merged: list[bytes] = []
    position = 0
    for place in _together(sides[0].blocks, sides[1].blocks):
        versions = [side.version(place) for side in sides if side.changes(place)]
        if len(versions) == 2 and versions[0] != versions[1]:
            return None
        merged += lines[position : place.start] + versions[0]
        position = place.end
    return b"".join(merged + lines[position:])


def changed_lines(old: bytes, new: bytes) -> list[Lines]:
    """The lines of `old` that are others in `new`; all of it when either is binary."""
    if is_binary(old) or is_binary(new):
        return [] if old == new else [Lines(0, count_lines(old))]
    return [Lines(block.old_start, block.old_end) for block in changed_blocks(old, new)]


def follow(places: Sequence[Lines], old: bytes, new: bytes) -> tuple[list[Lines], bool]:
    """Where places of `old` are in `new`, and whether the change touches any of them."""
    if is_binary(old) or is_binary(new):
        return [Lines(0, count_lines(new))], old != new
    side = _Side(old, new)
    touched = [place for place in places if side.changes(place)]
    return [side.place(place) for place in places], bool(touched)


class _Side:
    """One content that was made from another."""

    def __init__(self, base: bytes, content: bytes) -> None:
        self.blocks = changed_blocks(base, content)
        self._lines = split_lines(content)

    def changes(self, place: Lines) -> bool:
        return any(_touch(block, place) for block in self.blocks)

    def version(self, place: Lines) -> list[bytes]:
        """What stands here where the base has a place that no change reaches across the edge of."""
        return self._lines[slice(*self.place(place))]

    def place(self, place: Lines) -> Lines:
        """Where a place of the base is here, together with all changes that touch it."""
        touching = [block for block in self.blocks if _touch(block, place)]
        start = min([place.start, *(block.old_start for block in touching)])
        end = max([place.end, *(block.old_end for block in touching)])
        before = sum(_growth(block) for block in self.blocks if block.old_end < start)
        within = sum(map(_growth, touching))
        return Lines(start + before, end + before + within)


def _together(ours: Sequence[Block], theirs: Sequence[Block]) -> Iterator[Lines]:
    """Places of the base that hold the changes of both sides, those that touch in one."""
    places = sorted(Lines(block.old_start, block.old_end) for block in (*ours, *theirs))
    current = places[0]
    for place in places[1:]:
        if place.start <= current.end:
            current = Lines(current.start, max(current.end, place.end))
        else:
            yield current
            current = place
    yield current


def _touch(block: Block, place: Lines) -> bool:
    return block.old_start <= place.end and place.start <= block.old_end


def _growth(block: Block) -> int:
    return (block.new_end - block.new_start) - (block.old_end - block.old_start)
