"""The canonical change list: what every kind of input becomes, what is judged, what is applied.

A rename is a delete and a create, a copy is a create, a mode change is an update with equal content;
`source_path` remembers where a renamed or copied file came from.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Final

import msgspec

from executor.models.ids import new_id

FILE_MODE: Final = 0o644
EXECUTABLE_MODE: Final = 0o755


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class FileChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happens to one file.

    `path` is canonical (relative POSIX, NFC). `old_*` describe the file the change was made for, absent
    for a create; `new_*` and `content` the file afterwards, absent for a delete. Hashes are SHA-256 of
    the bytes, in lower-case hexadecimal; modes are permission bits. `added_lines` holds the first and last
    number (from 1) of every run of lines of `content` that are new; None when that is not known, and all
    of it has to count as new.
    """

    operation: Operation
    path: str
    old_sha256: str | None = None
    old_mode: int | None = None
    new_sha256: str | None = None
    new_mode: int | None = None
    content: bytes | None = None
    source_path: str | None = None
    lines_added: int = 0
    lines_removed: int = 0
    added_lines: tuple[tuple[int, int], ...] | None = None


class Changeset(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered, canonical list of changes (by path) and its checksum."""

    changeset_id: str
    checksum: str
    changes: tuple[FileChange, ...]

    @classmethod
    def of(
        cls, changes: tuple[FileChange, ...] | list[FileChange], changeset_id: str | None = None
    ) -> Changeset:
        ordered = tuple(sorted(changes, key=lambda change: change.path.encode()))
        return cls(
            changeset_id=changeset_id or new_id("cs"), checksum=changeset_checksum(ordered), changes=ordered
        )

    @property
    def paths(self) -> list[str]:
        return [change.path for change in self.changes]

    @property
    def lines_added(self) -> int:
        return sum(change.lines_added for change in self.changes)

    @property
    def lines_removed(self) -> int:
        return sum(change.lines_removed for change in self.changes)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def changeset_checksum(changes: tuple[FileChange, ...]) -> str:
    """SHA-256 over operation, path, old and new hash and mode of every change, in order.

    Equal checksums mean: the same files, from the same bytes, to the same bytes.
    """
    rows = [[c.operation.value, c.path, c.old_sha256, c.old_mode, c.new_sha256, c.new_mode] for c in changes]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
