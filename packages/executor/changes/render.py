"""A canonical change list as a diff in git's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from executor.changes.binary import blob_id, encode_payload
from executor.changes.changelist import is_executable, renames_of
from executor.changes.lines import Block, changed_blocks, is_binary, split_lines
from executor.changes.quoting import quote
from executor.models.change import FileChange, Operation, sha256

_CONTEXT: Final = 3
_ID_DIGITS: Final = 10
_FULL_DIGITS: Final = 40
_DEV_NULL: Final = b"/dev/null"
_NO_NEWLINE: Final = b"\\ No newline at end of file\n"


def render_diff(
    changes: Iterable[FileChange], content_of: Callable[[str], bytes | None], *, binary: bool = False
) -> bytes:
    """The changes as git would show them; `read_patch` and `git apply` make the same changes of text again.

    `content_of` gives a content by its SHA-256, None when it is not kept; it is asked for what stood at a
    path before, and for new content a change does not carry. Where content is missing, or is not what its
    hash says, the diff says so instead of showing something else; such a diff cannot be applied. Nor can
    one with a binary file, unless `binary` puts its content in, both ways. Contents are shown as they are,
    in any encoding.
    """
    return b"".join(_Rendering(list(changes), content_of, binary=binary).sections())


class _Rendering:
    def __init__(
        self, changes: Sequence[FileChange], content_of: Callable[[str], bytes | None], *, binary: bool
    ) -> None:
        self.changes, self.content_of, self.binary = changes, content_of, binary
        self.old = {c.path: c for c in changes if c.operation is not Operation.CREATE}
        # Without the old content a rename is shown as what it is made of.
        self.new_names = {
            source: path for source, path in renames_of(changes).items() if self.before(source) is not None
        }
        self.old_names = {path: source for source, path in self.new_names.items()}

    def before(self, path: str) -> bytes | None:
        """What the file was that a change updates or deletes; None when that is not known."""
        return self._kept(self.old[path].old_sha256)

    def after(self, change: FileChange) -> bytes | None:
        return self._kept(change.new_sha256) if change.content is None else change.content

    def _kept(self, digest: str | None) -> bytes | None:
        content = self.content_of(digest) if digest is not None else None
        return content if content is not None and sha256(content) == digest else None

    def sections(self) -> Iterator[bytes]:
        for change in self.changes:
            if change.path not in self.new_names:
                yield from self._section(change)

    def _section(self, change: FileChange) -> Iterator[bytes]:
        path = change.path
        source = self.old_names.get(path)
        old = self.before(source or path) if (source or path) in self.old else b""
        new = b"" if change.operation is Operation.DELETE else self.after(change)
        left = (
            None if change.operation is Operation.CREATE and source is None else _name(b"a/", source or path)
        )
        right = None if change.operation is Operation.DELETE else _name(b"b/", path)
        yield b"diff --git %s %s\n" % (_name(b"a/", source or path), _name(b"b/", path))
        old_mode = self.old[source].old_mode if source else change.old_mode
        yield from _mode_lines(old_mode, change.new_mode)
        if source is not None:
            yield b"similarity index %d%%\n" % _similarity(old or b"", new or b"")
            yield b"rename from %s\nrename to %s\n" % (_name(b"", source), _name(b"", path))
        if old is None or new is None:
            yield b"The content %s the change is not kept.\n" % (b"before" if old is None else b"after")
        elif old != new or left is None or right is None:
            yield from self._content(left, right, old, new)

    def _content(self, left: bytes | None, right: bytes | None, old: bytes, new: bytes) -> Iterator[bytes]:
        binary = is_binary(old) or is_binary(new)
        digits = _FULL_DIGITS if binary and self.binary else _ID_DIGITS
        yield b"index %s..%s\n" % (_id(left, old, digits), _id(right, new, digits))
        if old == new:
            return
        if binary and self.binary:
            yield b"GIT binary patch\n" + encode_payload(new) + encode_payload(old)
        elif binary:
            yield b"Binary files %s and %s differ\n" % (left or _DEV_NULL, right or _DEV_NULL)
        else:
            yield from _text(left or _DEV_NULL, right or _DEV_NULL, old, new)


def _name(prefix: bytes, path: str) -> bytes:
    return quote(prefix + path.encode())


def _id(name: bytes | None, content: bytes, digits: int) -> bytes:
    return b"0" * digits if name is None else blob_id(content)[:digits].encode()


def _mode_lines(old: int | None, new: int | None) -> Iterator[bytes]:
    if old is None and new is not None:
        yield b"new file mode %s\n" % _git_mode(new)
    elif new is None and old is not None:
        yield b"deleted file mode %s\n" % _git_mode(old)
    elif old is not None and new is not None and old != new:
        before, after = _git_mode(old), _git_mode(new)
        if before == after:
            # Bits git does not know, such as a set-user-id bit that goes.
            before, after = b"10%04o" % old, b"10%04o" % new
        yield b"old mode %s\nnew mode %s\n" % (before, after)


def _git_mode(mode: int) -> bytes:
    return b"100755" if is_executable(mode) else b"100644"


def _similarity(old: bytes, new: bytes) -> int:
    if old == new:
        return 100
    longest = max(len(old), len(new))
    if is_binary(old) or is_binary(new):
        return 0
    lines = split_lines(old)
    gone = sum(
        len(line) for block in changed_blocks(old, new) for line in lines[block.old_start : block.old_end]
    )
    return min(99, 100 * (len(old) - gone) // longest)


def _text(left: bytes, right: bytes, old: bytes, new: bytes) -> Iterator[bytes]:
    # A tab ends a name that has spaces, as in git's diffs.
    yield b"--- %s%s\n" % (left, b"\t" if b" " in left else b"")
    yield b"+++ %s%s\n" % (right, b"\t" if b" " in right else b"")
    old_lines, new_lines = split_lines(old), split_lines(new)
    for group in _groups(changed_blocks(old, new)):
        yield from _hunk(group, old_lines, new_lines)


def _groups(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks whose context lines touch belong to one hunk."""
    group: list[Block] = []
    for block in blocks:
        if group and block.old_start - group[-1].old_end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(block)
    if group:
        yield group


def _hunk(group: Sequence[Block], old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[bytes]:
    lead = min(_CONTEXT, group[0].old_start)
    tail = min(_CONTEXT, len(old) - group[-1].old_end)
    old_range = _range(group[0].old_start - lead, group[-1].old_end + tail)
    new_range = _range(group[0].new_start - lead, group[-1].new_end + tail)
    yield b"@@ -%s +%s @@\n" % (old_range, new_range)
    position = group[0].old_start - lead
    for block in group:
        yield from _marked(b" ", old[position : block.old_start])
        yield from _marked(b"-", old[block.old_start : block.old_end])
        yield from _marked(b"+", new[block.new_start : block.new_end])
        position = block.old_end
    yield from _marked(b" ", old[position : position + tail])


def _range(start: int, end: int) -> bytes:
    length = end - start
    if length == 1:
        return b"%d" % (start + 1)
    return b"%d,%d" % (start + 1 if length else start, length)


def _marked(mark: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield mark + line
        if not line.endswith(b"\n"):
            yield b"\n" + _NO_NEWLINE
