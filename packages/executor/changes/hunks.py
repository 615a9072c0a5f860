"""Hunks of text: read from a patch, found in a file, applied to it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unidiff.patch import PatchSet

from executor.changes.cursor import PatchCursor, shown
from executor.changes.limits import ChangeLimits
from executor.errors import BaseChanged, InvalidChange

_HEADER: Final = re.compile(rb"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")
_LINE_COST: Final = 64


@dataclass(frozen=True, slots=True)
class Hunk:
    """Some lines of the old file and what stands there in the new one.

    `old` and `new` are these lines with their ends; a last line marked as lacking its newline lacks it.
    `leading` and `trailing` count the context lines around the changed ones. `line` is the hunk's place
    in the patch, `old_start` and `old_length` what its header says.
    """

    line: int
    header: str
    old_start: int
    old_length: int
    old: bytes
    new: bytes
    leading: int
    trailing: int

    @property
    def at_end(self) -> bool:
        """Whether either side says that it reaches the end of the file, by lacking a newline."""
        return (self.old[-1:] not in (b"", b"\n")) or (self.new[-1:] not in (b"", b"\n"))


class SearchBudget:
    """How much looking for moved hunks one patch may cost, in bytes looked at.

    Hunks at their place cost nothing. A patch whose every hunk has moved by another distance would
    otherwise read each file once for each hunk.
    """

    __slots__ = ("_left",)

    def __init__(self, limit: int = 2_000_000_000) -> None:
        self._left = limit

    def spend(self, cost: int, hunk: Hunk, path: str) -> None:
        self._left -= cost
        if self._left < 0:
            raise InvalidChange(
                "too many hunks are not at the line they state; make the patch anew",
                path=path,
                line=hunk.line,
            )


def read_hunk(cursor: PatchCursor) -> Hunk:
    """Reads the hunk at the cursor and leaves the cursor behind it. Raises InvalidChange."""
    body = _HunkBody(cursor)
    body.read()
    return body.hunk()


class _HunkBody:
    """The hunk being read: what its header promises and the lines seen so far."""

    def __init__(self, cursor: PatchCursor) -> None:
        self.cursor = cursor
        self.line = cursor.line
        self.start = cursor.position
        header = cursor.take()
        match = _HEADER.match(header)
        if match is None:
            raise InvalidChange(f"the hunk header {shown(header)} cannot be read", line=self.line)
        self.header = match[0].decode()
        self.old_start = int(match[1])
        self.old_length = 1 if match[2] is None else int(match[2])
        self.new_length = 1 if match[4] is None else int(match[4])
        self.old: list[bytes] = []
        self.new: list[bytes] = []
        self.leading = self.trailing = self.changed = 0

    def read(self) -> None:
        data, position, number = self.cursor.data, self.cursor.position, self.cursor.line
        last = b""
        while True:
            marked = data[position : position + 1] == b"\\"
            if not marked and len(self.old) == self.old_length and len(self.new) == self.new_length:
                break
            end = data.find(b"\n", position) + 1
            if not end and not marked:
                inside = "a line" if position < len(data) else "a hunk"
                raise InvalidChange(
                    f"the patch ends inside {inside}: it is cut off, or its last newline was lost",
                    line=number,
                )
            if marked:
                self._mark(last, number)
                last = b""
                end = end or len(data)
            else:
                last = data[position : position + 1]
                self._add(last, data, position, end, number)
            position, number = end, number + 1
        if not self.changed:
            raise InvalidChange("a hunk changes nothing", line=self.line)
        self._second_opinion(data[self.start : position])
        self.cursor.jump(position, number - self.cursor.line)

    def _add(self, kind: bytes, data: bytes, position: int, end: int, number: int) -> None:
        if kind == b"+":
            self._append(self.new, data[position + 1 : end], self.new_length, number)
        elif kind == b"-":
            self._append(self.old, data[position + 1 : end], self.old_length, number)
        elif kind in (b" ", b"\n") or data[position:end] == b"\r\n":
            # Mailers and editors drop the space of an empty context line.
            text = data[position + (kind == b" ") : end]
            self._append(self.old, text, self.old_length, number)
            self._append(self.new, text, self.new_length, number)
            self.trailing += 1
            self.leading += not self.changed
            return
        else:
            found = shown(data[position : end - 1])
            raise InvalidChange(
                f"the hunk is shorter than its header {self.header} says, or damaged: {found}", line=number
            )
        self.changed += 1
        self.trailing = 0

    def _append(self, side: list[bytes], text: bytes, length: int, number: int) -> None:
        if len(side) == length:
            raise InvalidChange(f"the hunk is longer than its header {self.header} says", line=number)
        if side and not side[-1].endswith(b"\n"):
            raise InvalidChange("a line follows the one marked as having no newline", line=number)
        side.append(text)

    def _mark(self, last: bytes, number: int) -> None:
        if not last:
            raise InvalidChange("a no-newline mark follows no line", line=number)
        if last != b"+":
            self.old[-1] = self.old[-1][:-1]
        if last != b"-":
            self.new[-1] = self.new[-1][:-1]

    def _second_opinion(self, text: bytes) -> None:
        """A hunk is read only one way: the library that reads unified diffs has to see the same in it."""
        try:
            stream = io.StringIO("--- a\n+++ b\n" + text.decode("latin-1"))
            (hunk,) = PatchSet(stream, metadata_only=True)[0]
        # Whatever it stumbles over, the hunk is refused with its line.
        except Exception as cause:
            raise InvalidChange(f"the hunk cannot be read: {cause}", line=self.line) from cause
        seen = (hunk.source_start, hunk.source_length, hunk.target_length, hunk.added + hunk.removed)
        if seen != (self.old_start, self.old_length, self.new_length, self.changed):
            raise InvalidChange("the hunk can be read in two ways", line=self.line)

    def hunk(self) -> Hunk:
        return Hunk(
            line=self.line,
            header=self.header,
            old_start=self.old_start,
            old_length=self.old_length,
            old=b"".join(self.old),
            new=b"".join(self.new),
            leading=self.leading,
            trailing=self.trailing,
        )


def apply_hunks(
    content: bytes,
    hunks: Sequence[Hunk],
    path: str,
    *,
    proven: bool,
    limits: ChangeLimits,
    budget: SearchBudget,
) -> bytes:
    """The file after all hunks. Raises BaseChanged when one does not match, InvalidChange for limits.

    A hunk is tried at the line it states, shifted as the one before it was, then at the nearest other
    place; its old lines must be there in full, and never before the end of the hunk before. A hunk that
    begins at line 1 belongs at the beginning, one without context after it at the end. `proven`: the
    patch names exactly this content as the old file, so a hunk without context is good at its line.
    """
    place = _Place(content)
    pieces: list[bytes] = []
    size = len(content)
    stated_end = drift = 0
    for index, hunk in enumerate(hunks):
        if index and hunks[index - 1].at_end:
            raise InvalidChange("a hunk follows the one that ends the file", path=path, line=hunk.line)
        # `-5,0` stands behind line 5, `-5,2` on it.
        stated = hunk.old_start - 1 if hunk.old_length else hunk.old_start
        if stated < stated_end:
            raise InvalidChange("hunks overlap or are out of order", path=path, line=hunk.line)
        stated_end = stated + hunk.old_length
        size += len(hunk.new) - len(hunk.old)
        limits.check("file_bytes", size, path=path, line=hunk.line)
        behind = place.offset
        drift = place.find(hunk, stated, drift, path, proven=proven, budget=budget) - stated
        pieces += (content[behind : place.offset], hunk.new)
        place.pass_over(hunk)
    pieces.append(content[place.offset :])
    return b"".join(pieces)


class _Place:
    """A place between two lines of a file, moving towards its end."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.offset = 0
        self.number = 0

    def pass_over(self, hunk: Hunk) -> None:
        self.offset += len(hunk.old)
        self.number += hunk.old_length

    def find(
        self, hunk: Hunk, stated: int, drift: int, path: str, *, proven: bool, budget: SearchBudget
    ) -> int:
        """Moves to where the hunk matches and returns the number of lines before it."""
        if proven:
            exact = self._offset_of(stated)
            if exact is not None and self._fits(hunk, exact):
                return self._move(exact)
        start = (
            self._anchored(hunk)
            if self._is_anchored(hunk)
            else self._nearest(hunk, stated + drift, path, budget)
        )
        if start is None:
            raise BaseChanged([(path, self._mismatch(hunk))])
        return self._move(start)

    def _move(self, offset: int) -> int:
        self.number += self.content.count(b"\n", self.offset, offset)
        self.offset = offset
        return self.number

    def _fits(self, hunk: Hunk, offset: int) -> bool:
        if not self.content.startswith(hunk.old, offset):
            return False
        return not hunk.at_end or offset + len(hunk.old) == len(self.content)

    @staticmethod
    def _is_anchored(hunk: Hunk) -> bool:
        return hunk.old_start <= 1 or not hunk.trailing or hunk.at_end

    def _anchored(self, hunk: Hunk) -> int | None:
        """Where a hunk fits that belongs at the beginning or the end, or None."""
        ends = not hunk.trailing or hunk.at_end
        start = 0 if hunk.old_start <= 1 else len(self.content) - len(hunk.old)
        if start < self.offset or (start and self.content[start - 1] != ord("\n")):
            return None
        if not hunk.old and self.content:
            # Nothing of the old file is shown, so nothing says that this is the place.
            return None
        if ends and start + len(hunk.old) != len(self.content):
            return None
        return start if self.content.startswith(hunk.old, start) else None

    def _offset_of(self, number: int) -> int | None:
        """The offset of a line start at or behind this place; None when there are not so many lines."""
        offset, find = self.offset, self.content.find
        for _ in range(number - self.number):
            offset = find(b"\n", offset) + 1
            if not offset:
                return None
        return offset

    def _nearest(self, hunk: Hunk, expected: int, path: str, budget: SearchBudget) -> int | None:
        content, old = self.content, hunk.old
        offset = self._offset_of(expected)
        if offset is not None and content.startswith(old, offset):
            return offset
        if offset is None:
            offset = len(content)
        walked = max(0, min(expected - self.number, len(content) - self.offset))
        budget.spend(walked * _LINE_COST + 2 * (len(content) - self.offset) + len(old), hunk, path)
        # A match begins behind a newline. Searching for the newline too keeps both searches linear.
        needle = b"\n" + old
        after = content.find(needle, max(offset - 1, 0)) + 1
        low = max(self.offset - 1, 0)
        high = min(offset - 1 + len(old), len(content))
        found = content[low:high][::-1].find(needle[::-1])
        before = high - found - len(needle) + 1 if found >= 0 else None
        if before is None and not self.offset and content.startswith(old):
            before = 0
        if not after:
            return before
        if before is None:
            return after
        return (
            after if content.count(b"\n", offset, after) <= content.count(b"\n", before, offset) else before
        )

    def _mismatch(self, hunk: Hunk) -> str:
        where = f"the hunk {hunk.header} (line {hunk.line} of the patch)"
        if not hunk.leading and not hunk.trailing and self.content:
            return f"{where} has no context lines and does not match; make the patch with context"
        if hunk.old.replace(b"\r\n", b"\n") in self.content.replace(b"\r\n", b"\n"):
            if (b"\r\n" in hunk.old) != (b"\r\n" in self.content):
                return f"{where} matches except for the line ends (CRLF or LF)"
            if hunk.old in self.content:
                return f"{where} matches only where it cannot belong"
        return f"{where} does not match"
