"""The diff of one file as a patch states it, and the pieces all dialects of diffs share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Final

from executor.changes.binary import BinaryPatch
from executor.changes.cursor import PatchCursor
from executor.changes.hunks import Hunk, read_hunk
from executor.changes.quoting import unquote
from executor.errors import InvalidChange

_DEV_NULL: Final = b"/dev/null"
_TIME: Final = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)? ([+-][0-9]{4})")


class Kind(Enum):
    UPDATE = auto()
    CREATE = auto()
    DELETE = auto()
    RENAME = auto()
    COPY = auto()
    # A plain diff shows an empty old file and cannot say whether there is one.
    UPDATE_OR_CREATE = auto()


@dataclass(slots=True)
class Section:
    """What a patch says about one file, before any file has been looked at.

    `source` is the file it starts from (None for a create), `path` the file it makes or removes. Modes are
    git's, blob ids those of the index line; both None where the patch does not state them.
    """

    line: int
    kind: Kind
    path: str
    source: str | None
    hunks: list[Hunk] = field(default_factory=list)
    binary: BinaryPatch | None = None
    old_mode: int | None = None
    new_mode: int | None = None
    old_id: str | None = None
    new_id: str | None = None


@dataclass(frozen=True, slots=True)
class FileLine:
    """A `---` or `+++` line: the name as it stands there (None for /dev/null), and whether the time behind
    it says that there is no file.
    """

    line: int
    name: bytes | None
    epoch: bool


def at_file_lines(cursor: PatchCursor) -> bool:
    first, second = cursor.peek(), cursor.peek(1)
    return (
        first is not None and second is not None and first.startswith(b"--- ") and second.startswith(b"+++ ")
    )


def read_file_lines(cursor: PatchCursor) -> tuple[FileLine, FileLine]:
    """The `---` and the `+++` line at the cursor. Raises InvalidChange."""
    old, new = _file_line(cursor), _file_line(cursor)
    if old.name is None and new.name is None:
        raise InvalidChange("both sides are /dev/null", line=old.line)
    return old, new


def _file_line(cursor: PatchCursor) -> FileLine:
    line = cursor.line
    text = cursor.take()[4:]
    if text.startswith(b'"'):
        name, end = unquote(text, 0, line=line)
        time = text[end:]
    else:
        name, _, time = text.partition(b"\t")
    return FileLine(line, None if name == _DEV_NULL else name, _is_epoch(time.strip()))


def _is_epoch(text: bytes) -> bool:
    """diff -N gives a file that is not there the time 0, in the zone of whoever made the diff."""
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    try:
        time = datetime.strptime((match[1] + match[2]).decode(), "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return False
    return time.timestamp() == 0


def read_hunks(cursor: PatchCursor) -> list[Hunk]:
    """All hunks at the cursor, at least one. Raises InvalidChange."""
    hunks = []
    while (text := cursor.peek()) is not None and text.startswith(b"@@ "):
        hunks.append(read_hunk(cursor))
    if not hunks:
        raise InvalidChange("no hunk follows the names of the file", line=cursor.line)
    return hunks


def check_hunks(kind: Kind, hunks: list[Hunk]) -> None:
    """A new file has no old lines, a deleted one no new lines, and both are one hunk."""
    if kind not in (Kind.CREATE, Kind.DELETE) or not hunks:
        return
    if len(hunks) > 1 or (hunks[0].old if kind is Kind.CREATE else hunks[0].new):
        what = "a new file with old lines" if kind is Kind.CREATE else "a deleted file with remaining lines"
        raise InvalidChange(f"the hunks contradict the header: {what}", line=hunks[-1].line)


def behind_prefix(name: bytes) -> bytes | None:
    """The name without its first component (`a/`, `b/`, `old/`); None when that cannot be a prefix."""
    prefix, _, rest = name.partition(b"/")
    return rest if rest and prefix not in (b"", b".", b"..") else None


def common_name(left: bytes, right: bytes) -> bytes | None:
    """The name both sides mean: they are equal, or they are behind two different prefixes."""
    if left == right:
        return left
    name = behind_prefix(left)
    return name if name is not None and name == behind_prefix(right) else None
