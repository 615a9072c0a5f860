"""Collects what an input does to files and makes the canonical list of it.

Everything is resolved against the tree as it was: in `a → b, b → c` the new `c` is the old `b`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from executor.changes.base import BaseEntry, BaseReader
from executor.changes.limits import ChangeLimits
from executor.changes.lines import count_changes
from executor.changes.paths import check_collisions, is_protected
from executor.errors import BaseChanged, InvalidChange, UnsafePath
from executor.models.change import EXECUTABLE_MODE, FILE_MODE, FileChange, Operation, sha256

_PERMISSIONS = 0o777
_ALL_BITS = 0o7777
# Conflicts are collected so that the user sees them together, but not without end.
_MAX_CONFLICTS = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the input something is said: a line of a patch, or a JSON path of a document."""

    line: int | None = None
    json_path: str | None = None

    def invalid(self, message: str, path: str | None = None) -> InvalidChange:
        if self.json_path is not None:
            message = f"{message} (at `{self.json_path}`)"
        return InvalidChange(message, path=path, line=self.line)

    def unsafe(self, path: str, reason: str) -> UnsafePath:
        if self.json_path is not None:
            reason = f"{reason} (at `{self.json_path}`)"
        return UnsafePath(path, reason, line=self.line)


@dataclass(frozen=True, slots=True)
class _OldFile:
    """What stood at a path, without the content."""

    sha256: str
    mode: int
    lines: int

    @classmethod
    def of(cls, entry: BaseEntry) -> _OldFile:
        return cls(sha256(entry.content), entry.mode & _ALL_BITS, count_changes(entry.content, None)[1])


@dataclass(frozen=True, slots=True)
class _Source:
    """The file a new one was made from, and the lines added and removed on the way."""

    path: str
    changed: tuple[int, int]

    @classmethod
    def of(cls, path: str, entry: BaseEntry, content: bytes) -> _Source:
        return cls(path, count_changes(entry.content, content))


@dataclass(frozen=True, slots=True)
class _NewFile:
    """What stands at a path afterwards. `fresh` if nothing should have stood there before; `changed` counts
    lines against what did.
    """

    place: Place
    content: bytes
    mode: int
    old: _OldFile | None
    fresh: bool
    source: _Source | None
    changed: tuple[int, int]


def with_executable(mode: int, executable: bool) -> int:
    """Permission bits with the executable bits set for whoever may read, or cleared."""
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def is_executable(mode: int) -> bool:
    """As git sees it: by the owner's bit."""
    return bool(mode & 0o100)


class ChangeList:
    """The changes of one input so far. The add methods raise InvalidChange for what the input gets wrong
    and note what the tree has different; `finish` raises BaseChanged for all of that together.

    `executable` is None to keep what the old file is. `entry` is the old file as read from the base.
    """

    def __init__(self, base: BaseReader, limits: ChangeLimits) -> None:
        self._base, self._limits = base, limits
        self._written: dict[str, _NewFile] = {}
        self._deleted: dict[str, _OldFile] = {}
        self._moved: dict[str, _OldFile] = {}
        self._conflicts: list[tuple[str, str]] = []
        self._total = 0

    def conflict(self, path: str, found: str) -> None:
        """Notes that a file is not what the input was made for. Raises BaseChanged when there are many."""
        self._conflicts.append((path, found))
        if len(self._conflicts) >= _MAX_CONFLICTS:
            raise BaseChanged(self._conflicts)

    def old(self, path: str, place: Place, *, copied: bool = False) -> BaseEntry | None:
        """The file a change starts from; notes a conflict and returns None when there is none.

        `copied`: its content goes elsewhere, which what is protected must not.
        """
        reason = is_protected(path) if copied else None
        if reason is not None:
            raise place.unsafe(path, f"{reason}, and nothing is copied from there")
        entry = self._base.read(path)
        if entry is None:
            self.conflict(path, "does not exist")
        return entry

    def create(self, path: str, content: bytes, *, executable: bool, place: Place) -> None:
        self._write(path, content, EXECUTABLE_MODE if executable else FILE_MODE, place)

    def update(
        self, path: str, entry: BaseEntry, content: bytes, *, executable: bool | None, place: Place
    ) -> None:
        self._claim(path, place)
        self._account(path, content, place)
        self._written[path] = _NewFile(
            place,
            content,
            _mode_after(entry, executable),
            _OldFile.of(entry),
            False,
            None,
            count_changes(entry.content, content),
        )

    def delete(self, path: str, entry: BaseEntry, *, place: Place) -> None:
        self._claim(path, place)
        self._deleted[path] = _OldFile.of(entry)

    def rename(
        self,
        source: str,
        entry: BaseEntry,
        path: str,
        content: bytes,
        *,
        executable: bool | None,
        place: Place,
    ) -> None:
        if source in self._moved:
            raise place.invalid(f"{source!r} is renamed twice", source)
        self.copy(source, entry, path, content, executable=executable, place=place)
        self._moved[source] = _OldFile.of(entry)

    def copy(
        self,
        source: str,
        entry: BaseEntry,
        path: str,
        content: bytes,
        *,
        executable: bool | None,
        place: Place,
    ) -> None:
        if source == path:
            raise place.invalid(f"{path!r} is renamed or copied to itself", path)
        self._write(path, content, _mode_after(entry, executable), place, _Source.of(source, entry, content))

    def _write(
        self, path: str, content: bytes, mode: int, place: Place, source: _Source | None = None
    ) -> None:
        """A file that is new at its path; the path may still turn out to be one that is renamed away."""
        self._claim(path, place)
        self._account(path, content, place)
        there = self._base.read(path)
        self._written[path] = _NewFile(
            place,
            content,
            mode,
            _OldFile.of(there) if there else None,
            True,
            source,
            count_changes(there.content if there else None, content),
        )

    def _claim(self, path: str, place: Place) -> None:
        if path in self._written or path in self._deleted:
            raise place.invalid(f"{path!r} is changed twice; put all of it into one change", path)

    def _account(self, path: str, content: bytes, place: Place) -> None:
        self._limits.check("file_bytes", len(content), path=path, line=place.line)
        self._total += len(content)
        self._limits.check("total_bytes", self._total, line=place.line)

    def finish(self) -> tuple[FileChange, ...]:
        """The canonical list, sorted by path. Raises BaseChanged, InvalidChange or UnsafePath."""
        for path in self._moved:
            if path in self._deleted:
                raise InvalidChange(f"{path!r} is both renamed and deleted", path=path)
        removed = self._deleted | self._moved
        written = [change for path, new in self._written.items() if (change := self._change(path, new))]
        changes = written + [
            FileChange(
                operation=Operation.DELETE,
                path=path,
                old_sha256=old.sha256,
                old_mode=old.mode,
                lines_removed=old.lines,
            )
            for path, old in removed.items()
            if path not in self._written
        ]
        if self._conflicts:
            raise BaseChanged(self._conflicts)
        check_collisions(self._written, removed=removed)
        if not changes:
            raise InvalidChange("it changes nothing: every file already has this content and mode")
        self._limits.check("files", len(changes))
        return self._count_renames(tuple(sorted(changes, key=lambda change: change.path.encode())))

    def _change(self, path: str, new: _NewFile) -> FileChange | None:
        """The change of a written path; None when it is none, or a conflict, which is noted."""
        old, moved = new.old, path in self._moved
        if new.fresh and old is not None and not moved:
            self.conflict(path, "exists already")
            return None
        if moved and not new.fresh:
            raise new.place.invalid(f"{path!r} is both renamed and changed", path)
        digest = sha256(new.content)
        if old is not None and (old.sha256, old.mode) == (digest, new.mode):
            return None
        return FileChange(
            operation=Operation.CREATE if old is None else Operation.UPDATE,
            path=path,
            old_sha256=old.sha256 if old else None,
            old_mode=old.mode if old else None,
            new_sha256=digest,
            new_mode=new.mode,
            content=new.content,
            source_path=new.source.path if new.source else None,
            lines_added=new.changed[0],
            lines_removed=new.changed[1],
        )

    def _count_renames(self, changes: tuple[FileChange, ...]) -> tuple[FileChange, ...]:
        """Of a rename only the lines that differ count, at the new path."""
        renames = renames_of(changes)
        targets = set(renames.values())
        counted = []
        for change in changes:
            source = self._written[change.path].source if change.path in targets else None
            if source is not None:
                added, removed = source.changed
                change = replace(change, lines_added=added, lines_removed=removed)
            elif change.path in renames:
                change = replace(change, lines_removed=0)
            counted.append(change)
        return tuple(counted)


def renames_of(changes: Iterable[FileChange]) -> dict[str, str]:
    """Old path → new path for every delete that, with a create, is a rename.

    When several files were made from one that is deleted, the last by path is its new name; the others
    are copies, and a copy is a create.
    """
    changes = list(changes)
    deleted = {change.path for change in changes if change.operation is Operation.DELETE}
    return {
        change.source_path: change.path
        for change in changes
        if change.operation is Operation.CREATE and change.source_path in deleted and change.source_path
    }


def _mode_after(entry: BaseEntry, executable: bool | None) -> int:
    mode = entry.mode & _PERMISSIONS
    return mode if executable is None else with_executable(mode, executable)
