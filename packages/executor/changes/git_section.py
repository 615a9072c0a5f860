"""Sections of git's diffs: `diff --git`, extended headers, then text hunks or a binary payload."""

from __future__ import annotations

import re
from typing import Final

from executor.changes.binary import BinaryHunk, BinaryPatch, blob_id, decode_line
from executor.changes.cursor import PatchCursor, shown
from executor.changes.limits import ChangeLimits
from executor.changes.paths import MAX_PATH_BYTES, canonical_path
from executor.changes.quoting import unquote
from executor.changes.section import (
    FileLine,
    Kind,
    Section,
    at_file_lines,
    behind_prefix,
    check_hunks,
    common_name,
    read_file_lines,
    read_hunks,
)
from executor.errors import InvalidChange, UnsafePath

_Files = tuple[FileLine, FileLine] | None

# Two names of four characters a byte when quoted, and prefixes: a longer line holds no path that is allowed.
_MAX_TITLE: Final = 2 * 4 * MAX_PATH_BYTES + 1024
_MAX_PREFIX: Final = 64

_TYPE_BITS: Final = 0o170000
_REGULAR: Final = 0o100000
_SYMLINK: Final = 0o120000
_GITLINK: Final = 0o160000

_INDEX: Final = re.compile(rb"([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{5,6}))?")
_PERCENT: Final = re.compile(rb"([0-9]{1,3})%")
_PAYLOAD: Final = re.compile(rb"(literal|delta) ([0-9]{1,18})")
_EXTENDED: Final = (
    b"old mode ",
    b"new mode ",
    b"deleted file mode ",
    b"new file mode ",
    b"copy from ",
    b"copy to ",
    b"rename from ",
    b"rename to ",
    b"rename old ",
    b"rename new ",
    b"similarity index ",
    b"dissimilarity index ",
    b"index ",
)


class _Headers:
    """The extended headers of a git section, each at most once."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}

    def read(self, cursor: PatchCursor) -> None:
        while (text := cursor.peek()) is not None:
            key = next((key for key in _EXTENDED if text.startswith(key)), None)
            if key is None:
                return
            name = key.strip().replace(b"rename old", b"rename from").replace(b"rename new", b"rename to")
            if name in self.values:
                raise InvalidChange(f"'{name.decode()}' is stated twice", line=cursor.line)
            self.values[name] = (text[len(key) :], cursor.line)
            cursor.take()

    def __contains__(self, name: bytes) -> bool:
        return name in self.values

    def mode(self, name: bytes) -> int | None:
        if name not in self.values:
            return None
        text, line = self.values[name]
        return _mode(text, line)

    def name(self, name: bytes) -> bytes | None:
        if name not in self.values:
            return None
        text, line = self.values[name]
        return _whole_name(text, line)

    def pair(self, verb: bytes, line: int) -> tuple[bytes, bytes] | None:
        source, target = self.name(verb + b" from"), self.name(verb + b" to")
        if source is None and target is None:
            return None
        if source is None or target is None:
            raise InvalidChange(f"a {verb.decode()} needs both '{verb.decode()} from' and '… to'", line=line)
        return source, target

    def matching(self, name: bytes, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        if name not in self.values:
            return None
        text, line = self.values[name]
        match = pattern.fullmatch(text)
        if match is None:
            raise InvalidChange(f"the '{name.decode()}' line cannot be read", line=line)
        return match


def _mode(text: bytes, line: int) -> int:
    if re.fullmatch(rb"[0-7]{5,6}", text) is None:
        raise InvalidChange(f"{shown(text)} is no file mode", line=line)
    return int(text, 8)


def _whole_name(text: bytes, line: int) -> bytes:
    if not text.startswith(b'"'):
        return text
    name, end = unquote(text, 0, line=line)
    if text[end:]:
        raise InvalidChange("text follows a quoted name", line=line)
    return name


def read_git_section(cursor: PatchCursor, limits: ChangeLimits) -> Section:
    """The section that begins at the `diff --git` line at the cursor. Raises InvalidChange."""
    line = cursor.line
    title = cursor.take()[len(b"diff --git ") :]
    if len(title) > _MAX_TITLE:
        raise InvalidChange("the 'diff --git' line is too long", line=line)
    headers = _Headers()
    headers.read(cursor)
    files = read_file_lines(cursor) if at_file_lines(cursor) else None
    section = _section(line, title, headers, files)
    text = cursor.peek() or b""
    if files is not None:
        section.hunks = read_hunks(cursor)
        check_hunks(section.kind, section.hunks)
    elif text.startswith((b"--- ", b"+++ ")):
        raise InvalidChange("'---' and '+++' belong together", line=cursor.line)
    elif text == b"GIT binary patch":
        section.binary = _read_binary(cursor, limits)
    else:
        refuse_missing_content(text, cursor.line)
        _check_complete(section, headers, at_end=cursor.peek() is None)
    return section


def _section(line: int, title: bytes, headers: _Headers, files: _Files) -> Section:
    moved = headers.pair(b"rename", line) or headers.pair(b"copy", line)
    kind = _kind(line, headers, files)
    source, target = _names(line, title, moved, files)
    path = canonical_path(target, line=line)
    index = headers.matching(b"index", _INDEX)
    old_mode, new_mode = headers.mode(b"old mode"), headers.mode(b"new mode")
    born, dead = headers.mode(b"new file mode"), headers.mode(b"deleted file mode")
    for mode in (old_mode, new_mode, born, dead, int(index[3], 8) if index and index[3] else None):
        _check_mode(mode, path, line)
    return Section(
        line=line,
        kind=kind,
        path=path,
        source=None if kind is Kind.CREATE else canonical_path(source, line=line),
        old_mode=old_mode if old_mode is not None else dead,
        new_mode=new_mode if new_mode is not None else born,
        old_id=index[1].decode() if index else None,
        new_id=index[2].decode() if index else None,
    )


def _kind(line: int, headers: _Headers, files: _Files) -> Kind:
    if (b"old mode" in headers) != (b"new mode" in headers):
        raise InvalidChange("'old mode' and 'new mode' belong together", line=line)
    stated = [
        kind
        for name, kind in (
            (b"new file mode", Kind.CREATE),
            (b"deleted file mode", Kind.DELETE),
            (b"rename from", Kind.RENAME),
            (b"copy from", Kind.COPY),
        )
        if name in headers
    ]
    if len(stated) > 1 or (b"new mode" in headers and stated and stated[0] in (Kind.CREATE, Kind.DELETE)):
        raise InvalidChange("the headers contradict each other about what happens to the file", line=line)
    if files is None:
        return stated[0] if stated else Kind.UPDATE
    old, new = files
    seen = Kind.CREATE if old.name is None else Kind.DELETE if new.name is None else None
    if stated and seen is not (stated[0] if stated[0] in (Kind.CREATE, Kind.DELETE) else None):
        raise InvalidChange("'---' and '+++' contradict the headers above them", line=old.line)
    return stated[0] if stated else seen or Kind.UPDATE


def _check_mode(mode: int | None, path: str, line: int) -> None:
    if mode is None:
        return
    kind = mode & _TYPE_BITS
    if kind == _SYMLINK:
        raise UnsafePath(path, "it is a symbolic link; only regular files are changed", line=line)
    if kind == _GITLINK:
        raise UnsafePath(path, "it is a submodule; only regular files are changed", line=line)
    if kind != _REGULAR:
        raise UnsafePath(path, f"mode {mode:o} is not that of a regular file", line=line)


def _names(line: int, title: bytes, moved: tuple[bytes, bytes] | None, files: _Files) -> tuple[bytes, bytes]:
    """Source and target without prefixes; all places that name them have to agree."""
    old, new = (files[0].name, files[1].name) if files else (None, None)
    if moved is not None:
        if not _names_both(title, *moved, line):
            raise InvalidChange("the 'diff --git' line names other files than the rename or copy", line=line)
        for name, stated in zip((old, new), moved, strict=True):
            if name is not None and stated not in (name, behind_prefix(name)):
                raise InvalidChange("'---' and '+++' name other files than the rename or copy", line=line)
        return moved
    for left, right in _halves(title, old, new, line):
        name = common_name(left, right)
        if name is not None and old in (None, left) and new in (None, right):
            return name, name
    raise InvalidChange(
        "'diff --git', '---' and '+++' do not name the same file, and nothing says that it is renamed",
        line=line,
    )


def _halves(title: bytes, old: bytes | None, new: bytes | None, line: int) -> list[tuple[bytes, bytes]]:
    """The ways to take a `diff --git` line apart; names with spaces leave several."""
    if title.startswith(b'"'):
        left, end = unquote(title, 0, line=line)
        if title[end : end + 1] != b" ":
            raise InvalidChange("the 'diff --git' line holds no two names", line=line)
        return [(left, _whole_name(title[end + 1 :], line))]
    if title.endswith(b'"') and (cut := title.find(b' "')) > 0:
        return [(title[:cut], _whole_name(title[cut + 1 :], line))]
    halves = []
    if old is not None and title.startswith(old + b" "):
        halves.append((old, title[len(old) + 1 :]))
    if new is not None and title.endswith(b" " + new):
        halves.append((title[: -len(new) - 1], new))
    if old is None and new is None:
        # Two names that are equal, or equal behind prefixes of which the second has `length` characters.
        middle = len(title) // 2
        halves.append((title[:middle], title[middle + 1 :]))
        first = title.find(b"/")
        for length in range(1, _MAX_PREFIX):
            rest, odd = divmod(len(title) - first - 3 - length, 2)
            cut = first + 1 + rest
            if not odd and rest > 0 and title[cut : cut + 1] == b" ":
                halves.append((title[:cut], title[cut + 1 :]))
    return [
        (left, right) for left, right in halves if left and right and title[len(left) : -len(right)] == b" "
    ]


def _names_both(title: bytes, source: bytes, target: bytes, line: int) -> bool:
    """Whether a `diff --git` line names this pair, both with a prefix or both without."""
    if title.startswith(b'"') or title.endswith(b'"'):
        return any(
            (source, target) in ((left, right), (behind_prefix(left), behind_prefix(right)))
            for left, right in _halves(title, None, None, line)
        )
    if title == source + b" " + target:
        return True
    head = title.removesuffix(b"/" + target)
    left, space, prefix = head.rpartition(b" ")
    return head != title and space == b" " and b"/" not in prefix and behind_prefix(left) == source


def _check_complete(section: Section, headers: _Headers, *, at_end: bool) -> None:
    """A section without content has to be one that needs none.

    A new file needs none when its index line says that it is empty, as git's does. Without that line it is
    believed only where the patch goes on: at its end the content may have been cut off.
    """
    similarity = headers.matching(b"similarity index", _PERCENT)
    unchanged = section.old_id == section.new_id
    if section.kind is Kind.UPDATE:
        complete = section.new_mode is not None and unchanged
    elif section.kind is Kind.CREATE:
        new_id = section.new_id
        complete = not at_end if new_id is None else blob_id(b"", len(new_id)).startswith(new_id)
    elif section.kind is Kind.DELETE:
        complete = True
    else:
        complete = unchanged and (similarity is None or int(similarity[1]) == 100)
    if not complete:
        raise InvalidChange(
            "the diff of the file has no content: it is cut off or empty",
            path=section.path,
            line=section.line,
        )


def _read_binary(cursor: PatchCursor, limits: ChangeLimits) -> BinaryPatch:
    cursor.take()
    forward = _read_payload(cursor, limits)
    if forward is None:
        raise InvalidChange("a binary payload begins with 'literal' or 'delta' and a size", line=cursor.line)
    return BinaryPatch(forward, _read_payload(cursor, limits))


def _read_payload(cursor: PatchCursor, limits: ChangeLimits) -> BinaryHunk | None:
    line = cursor.line
    match = _PAYLOAD.fullmatch(cursor.peek() or b"")
    if match is None:
        return None
    cursor.take()
    size = int(match[2])
    limits.check("file_bytes", size, line=line)
    packed = bytearray()
    while (text := cursor.peek()) != b"":
        if text is None:
            raise InvalidChange("the patch ends inside a binary payload", line=cursor.line)
        packed += decode_line(text, line=cursor.line)
        cursor.take()
    cursor.take()
    return BinaryHunk(line, match[1] == b"delta", size, bytes(packed))


def refuse_missing_content(text: bytes, line: int) -> None:
    """Raises InvalidChange for a line that stands where the content of a binary file should."""
    if text.startswith((b"Binary files ", b"Files ", b"Binary file ")):
        raise InvalidChange("the patch lacks the content of a binary file; make it with --binary", line=line)
