"""Brings a workspace back to what a journal says it was.

Nothing is remembered from the apply: each path is judged by what stands there now, so that a living
process, one that starts after a crash and one that starts after a crash of that one all do the same.
"""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from executor.errors import UnsafePath, WorkspaceUnwritable, WrongWorkspace
from executor.host import files
from executor.host.bytecode import remove_bytecode, remove_cache
from executor.host.journal import (
    DamagedBackup,
    EntryKind,
    FoundJournal,
    IntendedChange,
    Intent,
    Journal,
    KeptFile,
    NotedEntry,
    Outcome,
    SavedDirectory,
    SavedFile,
    Side,
)
from executor.host.tree import (
    NO_FILE,
    Fingerprint,
    FoundFile,
    WorkspaceTree,
    ancestors,
    found_file,
    open_regular,
)
from executor.models.change import Operation

logger = logging.getLogger(__name__)

# In characters, each of which may take four of the 255 bytes a name can have.
_NAME_LIMIT: Final = 60
_IN_THE_WAY: Final = (*NO_FILE, FileExistsError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """What a rollback found and did, path by path.

    `restored` was brought back and read again; `untouched` was as before. `foreign` was edited by others
    and left alone; `failed` is what the system refused: the journal stays, and the next recovery tries
    again. `displaced` are kept files that were put back: what stood there, written by a check or by somebody
    beside it, is in the journal, and `rescue` copies it out. `leftover_directories` were made by the change
    or the checks and hold something of others.
    """

    restored: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    displaced: tuple[str, ...] = ()
    leftover_directories: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.foreign and not self.failed

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Every path that is not as before, and why."""
        return self.foreign + self.failed


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What became of a change whose process died.

    `side` is the state the workspace is in. For `after`, `rollback` is None and `edited` names targets
    that somebody changed since the commit mark.
    """

    execution_id: str
    side: Side
    rollback: RollbackReport | None = None
    edited: tuple[tuple[str, str], ...] = ()

    @property
    def complete(self) -> bool:
        return self.rollback is None or self.rollback.complete


def recover_journal(tree: WorkspaceTree, found: FoundJournal) -> RecoveryReport:
    """Undoes a change without commit mark, confirms one with it. Call it under the workspace's lock.

    A second call gives the same answer, also after a crash in the first. The journal stays until
    `discard_journal`, so that the answer can be recorded first. Raises LockHeld while the process is
    alive, WrongWorkspace when the journal is about another directory.
    """
    journal = Journal.open(found.directory)
    try:
        intent = journal.intent()
        if intent is None:
            return RecoveryReport(found.execution_id, Side.BEFORE, RollbackReport())
        refuse_other_workspace(tree, found.directory, intent)
        outcome = journal.outcome()
        if outcome is not None and outcome.side is Side.AFTER:
            edited = tuple(edits(tree, intent))
            return RecoveryReport(intent.execution_id, Side.AFTER, edited=edited)
        if outcome is not None:
            return RecoveryReport(intent.execution_id, Side.BEFORE, report_of(outcome))
        return RecoveryReport(intent.execution_id, Side.BEFORE, roll_back(tree, journal, intent))
    finally:
        journal.close()


def roll_back(tree: WorkspaceTree, journal: Journal, intent: Intent) -> RollbackReport:
    """Undoes everything the journal intends, as far as it was started, and marks the end.

    Raises nothing for a path that cannot be undone: the report names it.
    """
    undo = _Undo(tree, journal, intent)
    report = undo.run()
    if not report.failed:
        try:
            journal.mark(
                Outcome(
                    side=Side.BEFORE,
                    restored=report.restored,
                    untouched=report.untouched,
                    foreign=report.foreign,
                    displaced=report.displaced,
                    leftover_directories=report.leftover_directories,
                )
            )
        except WorkspaceUnwritable as cause:
            # The workspace is in order. Without the mark a recovery goes through it again and finds that.
            logger.warning("the end of a rollback could not be marked: %s", cause)
    return report


def report_of(outcome: Outcome) -> RollbackReport:
    """The report of a rollback that has ended, from its mark."""
    return RollbackReport(
        restored=outcome.restored,
        untouched=outcome.untouched,
        foreign=outcome.foreign,
        displaced=outcome.displaced,
        leftover_directories=outcome.leftover_directories,
    )


def edits(tree: WorkspaceTree, intent: Intent) -> Iterator[tuple[str, str]]:
    """The targets that are not as the change leaves them, with what is there instead."""
    for change in intent.changes:
        try:
            if change.path in intent.directories_created and is_directory(tree, change.path):
                continue
            current = tree.fingerprint(change.path)
        except UnsafePath as cause:
            yield change.path, cause.reason
        except WorkspaceUnwritable as cause:
            yield change.path, str(cause)
        else:
            if current != change.new:
                yield change.path, difference(change.new, current)


def difference(expected: Fingerprint | None, current: Fingerprint | None) -> str:
    """What happened to a file, in words."""
    if current is None:
        return "somebody removed it"
    if expected is None:
        return "somebody created it"
    if current.sha256 == expected.sha256:
        return f"its mode is {current.mode:04o} instead of {expected.mode:04o}"
    return "somebody changed it"


def refuse_other_workspace(tree: WorkspaceTree, directory: Path, intent: Intent) -> None:
    """Raises WrongWorkspace unless the journal is about this very directory, moved or not.

    A device number may change with a reboot and an inode with a restored backup; a path with a move. A
    state directory that lies where it lay in the workspace has moved together with it.
    """
    device, inode = tree.identity
    if inode == intent.inode and (device == intent.device or str(tree.root) == intent.root):
        return
    state_dir = directory.parent.parent.resolve()
    if intent.state_inside is not None and tree.root / intent.state_inside == state_dir:
        return
    raise WrongWorkspace(intent.execution_id, intent.root)


class _Restore(NamedTuple):
    """A file to be brought back, and what stands in its place now."""

    path: str
    saved: SavedFile
    current: FoundFile | None
    temporary: str


class _Undo:
    """One pass over a journal. Every step can be cut short and done again."""

    def __init__(self, tree: WorkspaceTree, journal: Journal, intent: Intent) -> None:
        self.tree: Final = tree
        self.journal: Final = journal
        self.intent: Final = intent
        self.checks: Final = journal.checks()
        self.restored: dict[str, SavedFile | None] = {}
        self.untouched: list[str] = []
        self.foreign: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.leftovers: list[str] = []
        self._noted: Final = {noted.path: noted for noted in self.checks.changed}
        self._emptied: Final = {saved.path for saved in intent.directories_emptied}
        self._waiting: list[_Restore] = []
        self._temporaries = 0
        self._dirty: set[str] = set()

    def run(self) -> RollbackReport:
        self._remove_temporaries()
        created = [c for c in self.intent.changes if c.operation is Operation.CREATE]
        for entry in self._deepest_first(self.checks.created):
            if entry.kind is not EntryKind.DIRECTORY:
                self._remove_made_by_checks(entry)
        for change in created:
            self._undo_create(change)
        self._remove_directories()
        self._restore_directories(self.intent.directories_emptied)
        for change in self.intent.changes:
            if change.operation is not Operation.CREATE:
                self._undo_change(change)
        for number, kept in enumerate(self.checks.kept):
            self._undo_kept(number, kept)
        self._restore_all()
        self._remove_bytecode()
        self._sync_directories()
        self._verify()
        return RollbackReport(
            restored=tuple(sorted(self.restored)),
            untouched=tuple(self.untouched),
            foreign=tuple(sorted(self.foreign.items())),
            failed=tuple(sorted(self.failed.items())),
            displaced=tuple(self._displaced()),
            leftover_directories=tuple(sorted(self.leftovers)),
        )

    @contextmanager
    def _naming(self, path: str, operation: str) -> Iterator[None]:
        """Names a path that cannot be undone, and lets the others go on."""
        try:
            with files.reporting(operation, path):
                yield
        except UnsafePath as cause:
            self.foreign[path] = cause.reason
        except WorkspaceUnwritable as cause:
            if cause.path == path and isinstance(cause.__cause__, _IN_THE_WAY):
                # Not refused by the system: what stands there, or does not, is somebody else's doing.
                self.foreign[path] = cause.reason
            else:
                self.failed[path] = str(cause)

    def _remove_temporaries(self) -> None:
        paths = [*(c.path for c in self.intent.changes), *(kept.path for kept in self.checks.kept)]
        directories = {change.staged_in for change in self.intent.changes}
        directories |= {above for path in paths for above in (_above(path), *map(_above, ancestors(path)))}
        for path in sorted(directories):
            with self._naming(path or ".", "remove temporary files from"):
                for name in self._names(path):
                    if name.startswith(self.intent.temporary_prefix):
                        self._remove_temporary(path, name)
        # What is no directory any more holds no temporary file; the paths in it are judged one by one.
        for path in directories:
            self.foreign.pop(path or ".", None)

    def _remove_temporary(self, above: str, name: str) -> None:
        self._dirty.add(above)
        with self.tree.directory(above) as fd:
            if stat.S_ISDIR(files.status(name, dir_fd=fd).st_mode):
                files.remove_directory(name, dir_fd=fd)
            else:
                files.unlink(name, dir_fd=fd)

    def _names(self, directory: str) -> list[str]:
        with suppress(*NO_FILE), self.tree.directory(directory) as fd:
            return files.names(fd)
        return []

    def _undo_create(self, change: IntendedChange) -> None:
        with self._naming(change.path, "remove"):
            if change.path in self._emptied and is_directory(self.tree, change.path):
                self.untouched.append(change.path)
                return
            current = self.tree.find(change.path)
            if current is None:
                self.untouched.append(change.path)
            elif current.fingerprint != change.new:
                self.foreign[change.path] = difference(change.new, current.fingerprint)
            else:
                self._remove(change.path, current)

    def _undo_change(self, change: IntendedChange) -> None:
        assert change.old is not None
        with self._naming(change.path, "restore"):
            current = self.tree.find(change.path)
            fingerprint = current.fingerprint if current else None
            if fingerprint == change.old.fingerprint:
                self.untouched.append(change.path)
            elif fingerprint != change.new:
                self.foreign[change.path] = difference(change.new, fingerprint)
            else:
                self._waiting.append(_Restore(change.path, change.old, current, self._temporary()))

    def _undo_kept(self, number: int, kept: KeptFile) -> None:
        """Kept files were never ours: only what the checks made of them gives way."""
        with self._naming(kept.path, "restore"):
            noted = self._noted.get(kept.path)
            if noted is not None and noted.instead is not None:
                self._remove_made_by_checks(noted.instead)
            current = self.tree.find(kept.path)
            fingerprint = current.fingerprint if current else None
            if fingerprint == kept.saved.fingerprint:
                return
            if not self.checks.running:
                if noted is None:
                    return
                if noted.found != fingerprint:
                    self.foreign[kept.path] = "somebody changed it after the checks had"
                    return
            if current is not None:
                # A check wrote this, or somebody who worked beside it: nobody can tell, so it is saved.
                self._displace(number, kept.path)
            self._restore_directories(kept.directories)
            self._waiting.append(_Restore(kept.path, kept.saved, current, self._temporary()))

    def _displace(self, number: int, path: str) -> None:
        with (
            self.tree.parent(path) as (directory, name),
            files.closing(files.open_file(name, dir_fd=directory)) as fd,
        ):
            self.journal.store(displaced_name(number), fd)

    def _displaced(self) -> Iterator[str]:
        for number, kept in enumerate(self.checks.kept):
            with suppress(WorkspaceUnwritable):
                if self.journal.holds(displaced_name(number)):
                    yield kept.path

    def _remove_made_by_checks(self, entry: NotedEntry) -> None:
        with (
            self._naming(entry.path, "remove"),
            suppress(*NO_FILE),
            self.tree.parent(entry.path) as (directory, name),
        ):
            current = entry_at(name, entry.path, dir_fd=directory)
            if current is None:
                return
            if current != entry:
                self.foreign[entry.path] = "somebody changed it after the checks had made it"
                return
            files.unlink(name, dir_fd=directory)
            self._done(entry.path, None)

    def _remove_directories(self) -> None:
        made = [entry.path for entry in self.checks.created if entry.kind is EntryKind.DIRECTORY]
        for path in sorted({*made, *self.intent.directories_created}, key=_depth, reverse=True):
            with self._naming(path, "remove"):
                status = self.tree.status(path)
                if status is None or not stat.S_ISDIR(status.st_mode):
                    continue
                remove_cache(self.tree, path)
                if self.tree.names(path):
                    self.leftovers.append(path)
                    continue
                with self.tree.parent(path) as (above, name):
                    files.remove_directory(name, dir_fd=above)
                self._dirty.add(_above(path))

    def _restore_directories(self, directories: Iterable[SavedDirectory]) -> None:
        """Makes those that are gone, under their name only when owner and mode are right."""
        for saved in sorted(directories, key=lambda directory: _depth(directory.path)):
            with self._naming(saved.path, "create"), self.tree.parent(saved.path) as (above, name):
                if files.status_or_none(name, dir_fd=above) is not None:
                    continue
                temporary = self._temporary()
                files.make_directory(temporary, 0o700, dir_fd=above)
                with files.closing(files.open_directory(temporary, dir_fd=above)) as fd:
                    files.keep_owner(fd, saved.uid, saved.gid)
                    files.set_mode(fd, saved.mode)
                    files.sync_directory(fd)
                files.rename(temporary, name, dir_fd=above, new_dir_fd=above)
                self._dirty.add(_above(saved.path))

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"{self.intent.temporary_prefix}r{self._temporaries}.tmp"

    def _remove(self, path: str, found: FoundFile) -> None:
        with self.tree.parent(path) as (directory, name):
            if found.still_stands(name, directory):
                files.unlink(name, dir_fd=directory)
                self._done(path, None)
            else:
                self.foreign[path] = "somebody changed it during the rollback"

    def _restore_all(self) -> None:
        for start in range(0, len(self._waiting), files.SYNCED_TOGETHER):
            group = self._waiting[start : start + files.SYNCED_TOGETHER]
            staged: list[tuple[_Restore, int]] = []
            try:
                for item in group:
                    with self._naming(item.path, "restore"):
                        staged.append((item, self._stage(item)))
                for item, fd in staged:
                    with self._naming(item.path, "restore"):
                        files.sync(fd)
                        self._publish(item)
            finally:
                for _, fd in staged:
                    files.close(fd)
                for item in group:
                    self._drop(item)

    def _stage(self, item: _Restore) -> int:
        with self.tree.parent(item.path) as (directory, _):
            fd = files.create_file(item.temporary, dir_fd=directory)
        try:
            for chunk in self.journal.chunks(item.saved):
                files.write_all(fd, chunk)
            files.keep_owner(fd, item.saved.uid, item.saved.gid)
            owner = files.status_of(fd)
            same_owner = (owner.st_uid, owner.st_gid) == (item.saved.uid, item.saved.gid)
            # Set-user-id for another user would be a new right; the verification names its absence.
            files.set_mode(fd, item.saved.mode if same_owner else item.saved.mode & files.PERMISSION_BITS)
        except BaseException:
            files.close(fd)
            raise
        return fd

    def _publish(self, item: _Restore) -> None:
        with self.tree.parent(item.path) as (directory, name):
            if item.current is None:
                files.publish_new(item.temporary, name, dir_fd=directory, new_dir_fd=directory)
            elif item.current.still_stands(name, directory):
                files.rename(item.temporary, name, dir_fd=directory, new_dir_fd=directory)
            else:
                self.foreign[item.path] = "somebody changed it during the rollback"
                return
        self._done(item.path, item.saved)

    def _drop(self, item: _Restore) -> None:
        """Removes what was staged and not published; a failure is left to the next recovery."""
        if item.path not in self.restored:
            with suppress(OSError, UnsafePath), self.tree.parent(item.path) as (directory, _):
                files.unlink(item.temporary, dir_fd=directory)

    def _done(self, path: str, saved: SavedFile | None) -> None:
        self.restored[path] = saved
        self._dirty.add(_above(path))

    def _remove_bytecode(self) -> None:
        paths = [change.path for change in self.intent.changes]
        paths += [kept.path for kept in self.checks.kept if kept.path in self.restored]
        for path in paths:
            if path.endswith(".py"):
                with self._naming(path, "remove the bytecode of"):
                    remove_bytecode(self.tree, [path])

    def _sync_directories(self) -> None:
        for path in sorted(self._dirty):
            with self._naming(path or ".", "sync"), suppress(*NO_FILE), self.tree.directory(path) as fd:
                files.sync_directory(fd)

    def _verify(self) -> None:
        for path, saved in list(self.restored.items()):
            with self._naming(path, "verify"):
                current = self.tree.fingerprint(path) if saved else self._anything_at(path)
                if current != (saved.fingerprint if saved else None):
                    expected = saved.fingerprint if saved else None
                    self.foreign[path] = f"after the rollback: {difference(expected, current)}"
        for path in (*self.foreign, *self.failed):
            self.restored.pop(path, None)

    def _anything_at(self, path: str) -> Fingerprint | None:
        """None when nothing stands at `path`, or only a directory that the change had replaced."""
        return None if is_directory(self.tree, path) else self.tree.fingerprint(path)

    @staticmethod
    def _deepest_first(entries: Iterable[NotedEntry]) -> list[NotedEntry]:
        return sorted(entries, key=lambda entry: _depth(entry.path), reverse=True)


def rescue_journal(found: FoundJournal, report: RollbackReport, directory: Path) -> list[tuple[str, Path]]:
    """`rescue` for a recovered journal, before `discard_journal`."""
    journal = Journal.open(found.directory)
    try:
        intent = journal.intent()
        return [] if intent is None else rescue(journal, intent, report, directory)
    finally:
        journal.close()


def rescue(
    journal: Journal, intent: Intent, report: RollbackReport, directory: Path
) -> list[tuple[str, Path]]:
    """Copies into `directory` what only the journal holds once a rollback could not do everything.

    The old bytes of each path in `problems` as `<n>-before-<name>`, and the bytes of each displaced file
    as `<n>-displaced-<name>`; returns which path each copy is of.
    """
    checks = journal.checks()
    olds = {kept.path: kept.saved for kept in checks.kept}
    olds |= {change.path: change.old for change in intent.changes if change.old is not None}
    copies: list[tuple[str, Iterator[bytes], str]] = [
        (path, journal.chunks(olds[path]), "before") for path, _ in report.problems if path in olds
    ]
    copies += [
        (kept.path, journal.raw_chunks(displaced_name(number)), "displaced")
        for number, kept in enumerate(checks.kept)
        if kept.path in report.displaced
    ]
    written: list[tuple[str, Path]] = []
    with files.reporting("write", str(directory)), files.closing(files.open_root(directory)) as folder:
        for number, (path, chunks, what) in enumerate(copies, start=1):
            name = f"{number}-{what}-{path.rpartition('/')[2][:_NAME_LIMIT]}"
            if _copy_out(name, chunks, folder):
                written.append((path, directory / name))
        files.sync_directory(folder)
    return written


def _copy_out(name: str, chunks: Iterator[bytes], folder: int) -> bool:
    with suppress(FileNotFoundError):
        files.unlink(name, dir_fd=folder)
    with files.closing(files.create_file(name, dir_fd=folder)) as fd:
        try:
            for chunk in chunks:
                files.write_all(fd, chunk)
        except DamagedBackup as cause:
            logger.warning("nothing to rescue: %s", cause)
            files.unlink(name, dir_fd=folder)
            return False
        files.sync(fd)
    return True


def is_directory(tree: WorkspaceTree, path: str) -> bool:
    status = tree.status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def displaced_name(number: int) -> str:
    return f"displaced-{number}"


def entry_at(name: str, path: str, *, dir_fd: int) -> NotedEntry | None:
    """What stands at a name, of whatever kind; None for nothing."""
    status = files.status_or_none(name, dir_fd=dir_fd)
    if status is None:
        return None
    if stat.S_ISDIR(status.st_mode):
        return NotedEntry(path=path, kind=EntryKind.DIRECTORY)
    if stat.S_ISLNK(status.st_mode):
        target = hashlib.sha256(files.read_link(name, dir_fd=dir_fd))
        return NotedEntry(path=path, kind=EntryKind.LINK, digest=target.hexdigest())
    if not stat.S_ISREG(status.st_mode):
        return NotedEntry(path=path, kind=EntryKind.OTHER)
    try:
        fd = open_regular(name, path, dir_fd=dir_fd)
    except PermissionError:
        # It can still be removed, and removing it must not fail for want of a hash.
        return NotedEntry(path=path, kind=EntryKind.OTHER)
    if fd is None:
        return None
    with files.closing(fd):
        return NotedEntry(path=path, kind=EntryKind.FILE, digest=found_file(fd).fingerprint.sha256)


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _depth(path: str) -> int:
    return path.count("/")
