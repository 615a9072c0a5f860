"""Collects what an input does to files and makes the canonical list of it.

Everything is resolved against the tree as it was: in `a → b, b → c` the new `c` is the old `b`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from executor.changes.base import BaseEntry, BaseReader
from executor.changes.limits import ChangeLimits
from executor.changes.lines import LineChanges, compare_lines, count_changes
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


def with_executable(mode: int, executable: bool) -> int:
    """Permission bits with the executable bits set for whoever may read, or cleared."""
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def is_executable(mode: int) -> bool:
    """As git sees it: by the owner's bit."""
    return bool(mode & 0o100)


@dataclass(frozen=True, slots=True)
class Claim:
    """What an input says about a path, before any file is looked at. Each path is claimed once.

    `writes` unless the file goes away, `fresh` if it is made rather than changed; `source` is the file it
    is made from, `moves` if that goes away by it (a rename, else a copy).
    """

    path: str
    place: Place
    writes: bool = True
    fresh: bool = False
    source: str | None = None
    moves: bool = False


def _check_claims(claims: Sequence[Claim]) -> frozenset[str]:
    """Refuses claims that contradict each other; returns the paths that are renamed away."""
    claimed: dict[str, Claim] = {}
    moved: set[str] = set()
    for claim in claims:
        path, source = claim.path, claim.source
        if path in claimed:
            raise claim.place.invalid(f"{path!r} is changed twice; put it into one change", path)
        claimed[path] = claim
        if path == source:
            raise claim.place.invalid(f"{path!r} is renamed or copied to itself", path)
        if claim.moves and source is not None:
            if source in moved:
                raise claim.place.invalid(f"{source!r} is renamed twice", source)
            moved.add(source)
    for source in moved:
        other = claimed.get(source)
        if other is not None and not other.fresh:
            raise other.place.invalid(f"{source!r} is renamed, and changed or deleted too", source)
    removed = moved.union(path for path, claim in claimed.items() if not claim.writes)
    check_collisions((path for path, claim in claimed.items() if claim.writes), removed=removed)
    return frozenset(moved)


@dataclass(frozen=True, slots=True)
class _NewFile:
    """What stands at a path afterwards. `changed` compares its lines with what stood there before,
    `changed_from_source` with the file it was made from.
    """

    claim: Claim
    content: bytes
    mode: int
    old: _OldFile | None
    changed: LineChanges
    changed_from_source: LineChanges


class ChangeList:
    """The changes of one input so far: for each claim one `write` or `delete`, unless there is a conflict.

    What the tree has different is noted; `finish` raises BaseChanged for all of it together.
    """

    def __init__(self, claims: Iterable[Claim], base: BaseReader, limits: ChangeLimits) -> None:
        self._base, self._limits = base, limits
        self._moving = _check_claims(list(claims))
        self._written: dict[str, _NewFile] = {}
        self._removed: dict[str, _OldFile] = {}
        self._conflicts: list[tuple[str, str]] = []
        self._total = 0

    def conflict(self, path: str, found: str) -> None:
        """Notes that a file is not what the input was made for."""
        self._conflicts.append((path, found))

    def check_conflicts(self) -> None:
        """Raises BaseChanged when there are so many conflicts that looking for more is a waste."""
        if len(self._conflicts) >= _MAX_CONFLICTS:
            raise BaseChanged(self._conflicts)

    def old(self, claim: Claim) -> BaseEntry | None:
        """The file a claim starts from; notes a conflict and returns None when there is none.

        Raises UnsafePath when its content would leave a protected place.
        """
        path = claim.source or claim.path
        reason = is_protected(path)
        if reason is not None and claim.source is not None:
            raise claim.place.unsafe(path, f"{reason}, and nothing is taken from there")
        entry = self._base.read(path)
        if entry is None and reason is not None:
            raise claim.place.unsafe(path, reason)
        if entry is None:
            self.conflict(path, "does not exist")
        return entry

    def delete(self, claim: Claim, entry: BaseEntry) -> None:
        self._removed[claim.path] = _OldFile.of(entry)

    def write(
        self, claim: Claim, content: bytes, entry: BaseEntry | None, *, executable: bool | None = None
    ) -> None:
        """`entry` is the file the claim starts from, None for one made of nothing. `executable` None keeps
        what that is. Raises InvalidChange for a limit.
        """
        path = claim.path
        self._limits.check("file_bytes", len(content), path=path, line=claim.place.line)
        self._total += len(content)
        self._limits.check("total_bytes", self._total, line=claim.place.line)
        there = self._base.read(path) if claim.fresh else entry
        changed = compare_lines(there.content if there else None, content)
        self._written[path] = _NewFile(
            claim=claim,
            content=content,
            mode=_mode_after(entry, executable),
            old=_OldFile.of(there) if there else None,
            changed=changed,
            changed_from_source=changed
            if there is entry
            else compare_lines(entry.content if entry else None, content),
        )
        if claim.moves and claim.source is not None and entry is not None:
            self._removed[claim.source] = _OldFile.of(entry)

    def finish(self) -> tuple[FileChange, ...]:
        """The canonical list, sorted by path. Raises BaseChanged or InvalidChange."""
        written = [change for path, new in self._written.items() if (change := self._change(path, new))]
        changes = written + [
            FileChange(
                operation=Operation.DELETE,
                path=path,
                old_sha256=old.sha256,
                old_mode=old.mode,
                lines_removed=old.lines,
            )
            for path, old in self._removed.items()
            if path not in self._written
        ]
        if self._conflicts:
            raise BaseChanged(self._conflicts)
        if not changes:
            some = next(iter(self._written), None)
            raise InvalidChange("it changes nothing: every file has this content and mode already", path=some)
        self._limits.check("files", len(changes))
        return self._count_renames(tuple(sorted(changes, key=lambda change: change.path.encode())))

    def _change(self, path: str, new: _NewFile) -> FileChange | None:
        """The change of a written path; None when it is none, or a conflict, which is noted."""
        old = new.old
        if new.claim.fresh and old is not None and path not in self._moving:
            self.conflict(path, "exists already")
            return None
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
            source_path=new.claim.source,
            lines_added=new.changed.added,
            lines_removed=new.changed.removed,
            added_lines=new.changed.runs,
        )

    def _count_renames(self, changes: tuple[FileChange, ...]) -> tuple[FileChange, ...]:
        """Of a rename only the lines that differ count, at the new path."""
        renames = renames_of(changes)
        targets = set(renames.values())
        counted = []
        for change in changes:
            if change.path in targets:
                changed = self._written[change.path].changed_from_source
                change = replace(
                    change,
                    lines_added=changed.added,
                    lines_removed=changed.removed,
                    added_lines=changed.runs,
                )
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


def _mode_after(entry: BaseEntry | None, executable: bool | None) -> int:
    if entry is None:
        return EXECUTABLE_MODE if executable else FILE_MODE
    mode = entry.mode & _PERMISSIONS
    return mode if executable is None else with_executable(mode, executable)
