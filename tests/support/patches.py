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

    def content_of(self, path: str) -> bytes | None:
        file = self.files.get(path)
        return None if file is None else file[0]

    def after(self, changes: Iterable[FileChange]) -> dict[str, File]:
        """The tree with the changes applied; asserts that each fits what it says about the old file."""
        files = dict(self.files)
        for change in changes:
            old = self.files.get(change.path)
            if change.operation is Operation.CREATE:
                assert old is None and change.old_sha256 is None and change.old_mode is None
            else:
                assert old is not None
                assert (change.old_sha256, change.old_mode) == (sha256(old[0]), old[1])
                del files[change.path]
        for change in changes:
            if change.operation is Operation.DELETE:
                assert change.content is None and change.new_sha256 is None and change.new_mode is None
                continue
            assert change.content is not None and change.new_mode is not None
            assert change.new_sha256 == sha256(change.content)
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
