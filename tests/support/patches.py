"""Trees in memory, and what tests need to make patches by hand."""

import base64
import zlib
from collections.abc import Iterable, Mapping

from executor.changes.base import BaseEntry
from executor.models.change import FileChange, Operation, sha256

File = tuple[bytes, int]


class MemoryTree:
    """A BaseReader over a dict. `files` maps a path to bytes (mode 0644) or to bytes and mode."""

    def __init__(self, files: Mapping[str, bytes | File] | None = None) -> None:
        self.files: dict[str, File] = {
            path: file if isinstance(file, tuple) else (file, 0o644) for path, file in (files or {}).items()
        }

    def read(self, path: str) -> BaseEntry | None:
        file = self.files.get(path)
        return None if file is None else BaseEntry(*file)

    def content_of(self, digest: str) -> bytes | None:
        return next((content for content, _ in self.files.values() if sha256(content) == digest), None)

    def after(self, changes: Iterable[FileChange]) -> dict[str, File]:
        """The tree with the changes applied; asserts that each fits what it says about the old file."""
        files = dict(self.files)
        for change in changes:
            old = self.files.get(change.path)
            before = (sha256(old[0]), old[1]) if old else (None, None)
            assert before == (change.old_sha256, change.old_mode)
            assert (change.operation is Operation.CREATE) == (old is None)
            files.pop(change.path, None)
        for change in changes:
            gone = change.operation is Operation.DELETE
            assert [gone] * 3 == [v is None for v in (change.content, change.new_mode, change.new_sha256)]
            if change.content is not None and change.new_mode is not None:
                assert sha256(change.content) == change.new_sha256
                files[change.path] = (change.content, change.new_mode)
        return files


def payload(data: bytes, kind: str = "literal") -> bytes:
    """One payload of a binary patch as git writes it."""
    return raw_payload(kind, len(data), zlib.compress(data))


def raw_payload(kind: str, size: int, packed: bytes) -> bytes:
    """The same for any bytes in place of the zlib stream."""
    lines = [b"%s %d\n" % (kind.encode(), size)]
    for start in range(0, len(packed), 52):
        piece = packed[start : start + 52]
        letter = chr(ord("A") + len(piece) - 1 if len(piece) <= 26 else ord("a") + len(piece) - 27)
        lines.append(letter.encode() + base64.b85encode(piece, pad=True) + b"\n")
    return b"".join([*lines, b"\n"])


def varint(value: int) -> bytes:
    """A size at the head of a delta."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
