"""The way back from a completed execution, merged with what has changed since.

Of each file there are three states: as the execution left it, as it was before, and as it is today. Where
today's is as the execution left it, it becomes as before. Else both are merged line by line; what cannot be
merged is refused, and the executions that changed the same lines are named.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from executor.changes.base import BaseEntry
from executor.changes.changelist import is_executable, renames_of, with_executable
from executor.changes.lines import compare_lines, is_binary
from executor.changes.merge import Lines, changed_lines, follow, merge
from executor.errors import InvalidChange, InvalidState, PayloadDropped, RevertConflict, UnsafePath
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.execution import ExecutionFilter, ExecutionStatus
from executor.storage.filters import exact_pattern

if TYPE_CHECKING:
    from executor.host.tree import WorkspaceTree
    from executor.models.execution import ExecutionRecord
    from executor.storage.base import ExecutionStorage

# Later executions that are looked through for the one that changed the same lines.
_LATER: Final = 1000
_PERMISSIONS: Final = 0o777
_ALL_BITS: Final = 0o7777


def changes_back(
    tree: WorkspaceTree, store: ExecutionStorage, record: ExecutionRecord, changeset: Changeset
) -> tuple[FileChange, ...]:
    """What has to change today to undo `changeset`, which the completed execution made; nothing is written.

    Empty when everything is as before. Raises RevertConflict, and PayloadDropped or InvalidState when a content
    that is needed is not kept any more.
    """
    back = _WayBack(tree, store, record)
    for change in changeset.changes:
        back.add(change)
    if back.obstacles:
        raise _conflict(back)
    return _with_renames(changeset, back)


def title_back(title: str) -> str:
    """What undoing is called, in git's words."""
    for verb, other in (("Revert", "Reapply"), ("Reapply", "Revert")):
        if title.startswith(f'{verb} "') and title.endswith('"'):
            return other + title.removeprefix(verb)
    return f'Revert "{title}"'


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """A file that cannot be brought back: which lines of it, as the execution left it; None for all of it."""

    change: FileChange
    why: str
    places: tuple[Lines, ...] | None


class _Conflicting(Exception):
    def __init__(self, why: str, places: Sequence[Lines] | None = None) -> None:
        self.why = why
        self.places = None if places is None else tuple(places)
        super().__init__(why)


class _WayBack:
    """The changes found so far, by path, with the files they start from."""

    def __init__(self, tree: WorkspaceTree, store: ExecutionStorage, record: ExecutionRecord) -> None:
        self.tree, self.store, self.record = tree, store, record
        self.changes: dict[str, FileChange] = {}
        self.today: dict[str, BaseEntry | None] = {}
        self.obstacles: list[_Obstacle] = []

    def add(self, change: FileChange) -> None:
        """Raises PayloadDropped, InvalidState."""
        path = change.path
        try:
            today = self.today[path] = self._today(path)
            wanted = self._wanted(change, today)
        except _Conflicting as found:
            self.obstacles.append(_Obstacle(change, found.why, found.places))
            return
        back = _change(path, today, wanted)
        if back is not None:
            self.changes[path] = back

    def content(self, digest: str) -> bytes:
        """Raises PayloadDropped, InvalidState."""
        execution_id = self.record.execution_id
        content = self.store.get_content(execution_id, digest)
        if content is not None:
            return content
        dropped = self.store.get_payload_dropped(execution_id)
        if dropped is not None:
            raise PayloadDropped(execution_id, dropped.timestamp)
        reason = "the content of its change is not kept any more; undo it by hand, or from git"
        raise InvalidState(execution_id, self.record.status, reason)

    def _today(self, path: str) -> BaseEntry | None:
        try:
            return self.tree.read(path)
        except (UnsafePath, InvalidChange) as cause:
            status = self.tree.status(path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                # Where a file gave way to a directory, which the same way back may empty.
                return None
            raise _Conflicting(cause.reason if isinstance(cause, UnsafePath) else str(cause)) from cause

    def _wanted(self, change: FileChange, today: BaseEntry | None) -> BaseEntry | None:
        """What shall stand at the path. Raises _Conflicting, PayloadDropped, InvalidState."""
        digest = None if today is None else sha256(today.content)
        mode = None if today is None else today.mode
        if (digest, mode) == (change.old_sha256, change.old_mode):
            return today
        if (digest, mode) == (change.new_sha256, change.new_mode):
            return self._before(change)
        if today is None:
            raise _Conflicting("it is gone")
        if change.old_sha256 is None:
            raise _Conflicting("it has changed since it was created")
        if change.new_sha256 is None:
            raise _Conflicting("it has been created anew")
        return BaseEntry(self._merged(change, today, digest), _mode(change, today.mode))

    def _before(self, change: FileChange) -> BaseEntry | None:
        if change.old_sha256 is None or change.old_mode is None:
            return None
        return BaseEntry(self.content(change.old_sha256), change.old_mode & _PERMISSIONS)

    def _merged(self, change: FileChange, today: BaseEntry, digest: str | None) -> bytes:
        assert change.old_sha256 is not None
        assert change.new_sha256 is not None
        if digest == change.old_sha256 or change.old_sha256 == change.new_sha256:
            return today.content
        before = self.content(change.old_sha256)
        if digest == change.new_sha256:
            return before
        after = self.content(change.new_sha256)
        merged = merge(after, today.content, before)
        if merged is not None:
            return merged
        if any(map(is_binary, (before, after, today.content))):
            raise _Conflicting("it is binary and has changed since")
        raise _Conflicting("the same lines have changed since", changed_lines(after, before))


def _mode(change: FileChange, today: int) -> int:
    """As before, where it is as the execution left it; else only what the execution did to the executable bit."""
    assert change.old_mode is not None
    assert change.new_mode is not None
    if today == change.new_mode:
        return change.old_mode & _PERMISSIONS
    before, after = is_executable(change.old_mode), is_executable(change.new_mode)
    if before == after or is_executable(today) == before:
        return today & _PERMISSIONS
    return with_executable(today & _PERMISSIONS, before)


def _change(path: str, today: BaseEntry | None, wanted: BaseEntry | None) -> FileChange | None:
    """None when it is none."""
    if wanted is today:
        return None
    if today is not None and wanted is not None:
        if (today.content, today.mode & _PERMISSIONS) == (wanted.content, wanted.mode):
            return None
        operation = Operation.UPDATE
    else:
        operation = Operation.CREATE if today is None else Operation.DELETE
    lines = compare_lines(today.content if today else None, wanted.content if wanted else None)
    return FileChange(
        operation=operation,
        path=path,
        old_sha256=sha256(today.content) if today else None,
        old_mode=today.mode & _ALL_BITS if today else None,
        new_sha256=sha256(wanted.content) if wanted else None,
        new_mode=wanted.mode if wanted else None,
        content=wanted.content if wanted else None,
        lines_added=lines.added,
        lines_removed=lines.removed,
        added_lines=lines.runs if wanted else None,
    )


def _with_renames(changeset: Changeset, back: _WayBack) -> tuple[FileChange, ...]:
    """What was renamed is renamed back: only the lines that differ count, at the old path."""
    changes = dict(back.changes)
    for old, new in renames_of(changeset.changes).items():
        created, deleted, source = changes.get(old), changes.get(new), back.today.get(new)
        if created is None or deleted is None or source is None:
            continue
        if (created.operation, deleted.operation) != (Operation.CREATE, Operation.DELETE):
            continue
        lines = compare_lines(source.content, created.content)
        changes[old] = replace(
            created,
            source_path=new,
            lines_added=lines.added,
            lines_removed=lines.removed,
            added_lines=lines.runs,
        )
        changes[new] = replace(deleted, lines_removed=0)
    return tuple(changes.values())


def _conflict(back: _WayBack) -> RevertConflict:
    touching: dict[str, str] = {}
    edited = []
    for obstacle in back.obstacles:
        found = _Search(back, obstacle)
        touching |= found.executions
        if found.edited:
            edited.append(obstacle.change.path)
    # What was undone since, and what undid it, are in nobody's way.
    undone = back.store.list_reverted(list(touching))
    for target, source in undone.items():
        if source in touching:
            del touching[target], touching[source]
    newest_first = sorted(touching, key=lambda name: (touching[name], name), reverse=True)
    return RevertConflict(
        back.record.execution_id,
        [(obstacle.change.path, obstacle.why) for obstacle in back.obstacles],
        newest_first,
        edited,
    )


class _Search:
    """Who has changed since what an obstacle is about: `executions` by id, with the time of their end.

    `edited`: something that is no execution of this workspace has, too.
    """

    def __init__(self, back: _WayBack, obstacle: _Obstacle) -> None:
        self._back = back
        self._whole = obstacle.places is None
        self._places = list(obstacle.places or ())
        self.executions: dict[str, str] = {}
        self.edited = False
        path = obstacle.change.path
        digest = obstacle.change.new_sha256
        content = self._kept(back.record.execution_id, digest)
        for record in self._later(path):
            for change in self._changes(record, path):
                before = self._kept(record.execution_id, change.old_sha256)
                after = self._kept(record.execution_id, change.new_sha256)
                if change.old_sha256 != digest and self._touched(content, before):
                    self.edited = True
                if self._touched(before, after):
                    self.executions[record.execution_id] = record.ended_at or record.started_at
                digest, content = change.new_sha256, after
        today = back.today.get(path)
        if path not in back.today:
            # It is no regular file any more.
            self.edited = True
        elif (sha256(today.content) if today else None) != digest:
            self.edited |= self._touched(content, today.content if today else None)

    def _touched(self, old: bytes | None, new: bytes | None) -> bool:
        """What is not known, or no file, counts as another."""
        if self._whole or old is None or new is None:
            self._whole = True
            return True
        self._places, touched = follow(self._places, old, new)
        return touched

    def _kept(self, execution_id: str, digest: str | None) -> bytes | None:
        return None if digest is None else self._back.store.get_content(execution_id, digest)

    def _later(self, path: str) -> list[ExecutionRecord]:
        """Executions that changed the path and ended later, in the order of their ends."""
        record = self._back.record
        asked = ExecutionFilter(
            workspace=(self._back.store.workspace_id,),
            status=(ExecutionStatus.COMPLETED,),
            path=(exact_pattern(path),),
        )
        found = [
            (other.ended_at or other.started_at, other.execution_id, other)
            for other in self._back.store.list_executions(asked, limit=_LATER)
            if other.execution_id != record.execution_id
        ]
        since = record.ended_at or record.started_at
        return [other for ended, _, other in sorted(found, key=lambda item: item[:2]) if ended >= since]

    def _changes(self, record: ExecutionRecord, path: str) -> Iterator[FileChange]:
        changeset = self._back.store.get_changeset(record.execution_id)
        return (change for change in (changeset.changes if changeset else ()) if change.path == path)
