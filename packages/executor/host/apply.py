"""Applies a changeset so that it can be undone, whatever happens in between.

    transaction = Transaction.prepare(tree, state_dir, execution_id, changeset, workspace_id=...)
    with transaction:
        transaction.backup()      # the journal stands: from here on a crash is undone
        transaction.apply()       # the workspace is as the changeset says
        transaction.commit()      # the change stays; or `rollback()`

All of it happens under the lock of the workspace.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import msgspec

from executor.changes.paths import canonical_path
from executor.errors import (
    BaseChanged,
    InvalidChange,
    InvalidState,
    UnsafePath,
    WorkspaceNotFound,
    WorkspaceUnwritable,
)
from executor.host import files
from executor.host.bytecode import CACHE, is_bytecode_of, remove_bytecode, remove_empty_cache
from executor.host.journal import (
    BEFORE_FILE,
    PREFIX,
    Checks,
    EntryKind,
    FoundJournal,
    IntendedChange,
    Intent,
    Journal,
    KeptFile,
    NotedEntry,
    NotedFile,
    Outcome,
    SavedDirectory,
    SavedFile,
    Side,
)
from executor.host.rollback import (
    RollbackReport,
    edits,
    entry_at,
    refuse_other_workspace,
    report_of,
    rescue,
    roll_back,
)
from executor.host.tree import (
    NO_FILE,
    Fingerprint,
    FoundFile,
    WorkspaceTree,
    ancestors,
    open_regular,
)
from executor.models.change import FILE_MODE, Changeset, FileChange, Operation, sha256

if TYPE_CHECKING:
    from typing import Self

logger = logging.getLogger(__name__)

OnFile = Callable[[FileChange], None]

_DIRECTORY_MODE: Final = 0o755
_OWNER_EXECUTES: Final = 0o100


@dataclass(frozen=True, slots=True)
class _Planned:
    """A change, the file it was made for as it stands now, and where its new file is staged."""

    change: FileChange
    found: FoundFile | None
    new: Fingerprint | None
    staged_in: str
    temporary: str


class Transaction:
    """One changeset on its way into a workspace.

    The order is `prepare`, `backup`, `apply`, any number of `keep` and `note_effects` around checks, then
    `commit` or `rollback`, at last `close`. `rollback` may follow `backup` at any time, whatever `apply`
    or `commit` raised. Closed without either, the journal stays for the next recovery.
    """

    def __init__(self, tree: WorkspaceTree, state_dir: Path, intent: Intent, planned: list[_Planned]) -> None:
        self._tree, self._state_dir, self._intent, self._planned = tree, state_dir, intent, planned
        self._journal: Journal | None = None
        self._report: RollbackReport | None = None
        self._committed = False

    @classmethod
    def prepare(
        cls,
        tree: WorkspaceTree,
        state_dir: Path,
        execution_id: str,
        changeset: Changeset,
        *,
        workspace_id: str,
    ) -> Self:
        """Checks every path against the workspace and plans; writes nothing.

        Raises UnsafePath for a path that must not be written, InvalidChange for a change that contradicts
        itself, BaseChanged naming every file that is not what the changeset was made for.
        """
        if not tree.in_place:
            raise WorkspaceNotFound(str(tree.root), "it was moved or replaced")
        tree.protect(state_dir)
        token = secrets.token_hex(8)
        plan = _Plan(tree, changeset, token)
        device, inode = tree.identity
        intent = Intent(
            execution_id=execution_id,
            workspace_id=workspace_id,
            root=str(tree.root),
            device=device,
            inode=inode,
            state_inside=_inside(tree.root, state_dir),
            pid=os.getpid(),
            token=token,
            changes=(),
            directories_created=tuple(plan.directories_created),
            directories_emptied=tuple(plan.directories_emptied),
        )
        return cls(tree, state_dir, intent, plan.changes)

    @classmethod
    def reopen(cls, tree: WorkspaceTree, found: FoundJournal) -> Self:
        """Takes over the journal of a dead process, to note what its checks did before `rollback`.

        Raises LockHeld while that process is alive, WrongWorkspace when it worked elsewhere.
        """
        journal = Journal.open(found.directory)
        try:
            intent = journal.intent()
            if intent is None:
                raise InvalidState(found.execution_id, "not begun", "its journal holds nothing to take over")
            refuse_other_workspace(tree, found.directory, intent)
            outcome = journal.outcome()
        except BaseException:
            journal.close()
            raise
        transaction = cls(tree, found.directory.parent.parent, intent, [])
        transaction._journal = journal
        transaction._committed = outcome is not None and outcome.side is Side.AFTER
        if outcome is not None and not transaction._committed:
            transaction._report = report_of(outcome)
        return transaction

    @property
    def paths(self) -> list[str]:
        return [change.path for change in self._intent.changes] or [p.change.path for p in self._planned]

    def backup(self) -> None:
        """Saves the old bytes and the intent, durably. Raises BaseChanged as `prepare` does."""
        journal = Journal.create(self._state_dir, self._intent.execution_id)
        self._journal = journal
        saved: list[SavedFile | None] = []
        journal.append_before(self._old_bytes(saved))
        changes = tuple(
            IntendedChange(
                operation=planned.change.operation,
                path=planned.change.path,
                old=old,
                new=planned.new,
                staged_in=planned.staged_in,
                temporary=planned.temporary,
            )
            for planned, old in zip(self._planned, saved, strict=True)
        )
        intent = msgspec.structs.replace(self._intent, changes=changes)
        journal.begin(intent)
        self._intent = intent

    def apply(self, on_file: OnFile | None = None) -> None:
        """Brings the changeset into the workspace; calls `on_file` after each file.

        Every path is judged once more before the first byte is written. Raises BaseChanged when somebody
        edits a file meanwhile, WorkspaceUnwritable when the system refuses; then `rollback`.
        """
        self._begun()
        current = [_reread(self._tree, planned) for planned in self._planned]
        _raise_changed([problem for problem in current if isinstance(problem, tuple)])
        planned = [item for item in current if isinstance(item, _Planned)]
        self._stage(planned)
        removed = [item for item in planned if item.new is None]
        written = [item for item in planned if item.new is not None]
        for item in removed:
            self._remove(item)
            _tell(on_file, item)
        remove_bytecode(self._tree, [item.change.path for item in removed])
        self._remove_emptied()
        self._create_directories()
        for item in written:
            self._publish(item)
            _tell(on_file, item)
        remove_bytecode(self._tree, [item.change.path for item in written])
        self._sync_directories(planned)

    def edits(self) -> list[tuple[str, str]]:
        """The targets that are not, or no longer, as the changeset leaves them, and how they differ."""
        return list(edits(self._tree, self._intent))

    def keep(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        """Saves files that checks are about to run over; returns those it cannot keep, and why.

        Durable on return. Until `note_effects` a crash puts them back. Paths of the changeset are passed
        over, the journal has them; of a file kept before, the first copy stays.
        """
        journal = self._begun()
        checks = journal.checks()
        kept = list(checks.kept)
        known = {file.path for file in kept} | set(self.paths)
        refused: list[tuple[str, str]] = []
        for path in paths:
            if path in known:
                continue
            known.add(path)
            try:
                file = self._keep(journal, path, f"kept-{len(kept)}")
            except UnsafePath as cause:
                refused.append((path, cause.reason))
            else:
                if file is not None:
                    kept.append(file)
        journal.write_checks(
            Checks(running=True, kept=tuple(kept), changed=checks.changed, created=checks.created)
        )
        return refused

    def note_effects(self, *, changed: Iterable[str] = (), created: Iterable[str] = ()) -> None:
        """Notes which kept files the checks changed and what they made, as it stands now.

        A rollback puts the changed back and removes the made, each only while it still is what stands
        there now. Directories among `created` go when nothing is left in them. Paths of the changeset are
        passed over: what stands there is judged against the change alone. A path that cannot be looked
        at is passed over too; the rollback names it.
        """
        journal = self._begun()
        checks = journal.checks()
        kept = {file.path for file in checks.kept}
        own = set(self.paths)
        noted = {file.path: file for file in checks.changed}
        for path in changed:
            if path in kept and path not in own:
                noted[path] = self._noted(path)
        made = {entry.path: entry for entry in checks.created}
        for path in created:
            entry = self._entry(path) if path not in own else None
            if entry is not None:
                made[path] = entry
        journal.write_checks(
            Checks(kept=checks.kept, changed=tuple(noted.values()), created=tuple(made.values()))
        )

    @property
    def checks_running(self) -> bool:
        """Whether files were kept and it was never noted what the checks did to them."""
        return self._begun().checks().running

    def attach(self, name: str, data: bytes) -> None:
        """Puts `data` into the journal, durably, for a recovery to read."""
        self._begun().attach(name, data)

    def attachment(self, name: str) -> bytes | None:
        return self._begun().attachment(name)

    def commit(self) -> None:
        """Marks the change as done: from the return of this call on, a crash leaves it in place.

        When it raises, it is open whether the mark lasts; `rollback` or a second call settles that.
        """
        if self._report is not None:
            raise InvalidState(self._intent.execution_id, "rolled back", "it cannot be committed any more")
        self._begun().mark(Outcome(side=Side.AFTER))
        self._committed = True

    def rollback(self) -> RollbackReport:
        """Undoes whatever was started; a second call returns the same report, unless it had failures.

        Raises InvalidState after a commit, WorkspaceUnwritable when a half-written commit mark cannot be
        taken back: then nothing was undone.
        """
        if self._committed:
            raise InvalidState(self._intent.execution_id, "committed", "it can only be reverted")
        if self._report is not None and not self._report.failed:
            return self._report
        intent = self._journal.intent() if self._journal is not None else None
        if self._journal is None or intent is None:
            return RollbackReport(untouched=tuple(self.paths))
        self._journal.unmark()
        self._report = roll_back(self._tree, self._journal, intent)
        return self._report

    def rescue(self, directory: Path) -> list[tuple[str, Path]]:
        """After an incomplete rollback, copies what only the journal holds into `directory`.

        Returns which path each copy is of; see `executor.host.rollback.rescue`.
        """
        if self._journal is None or self._report is None:
            return []
        return rescue(self._journal, self._intent, self._report, directory)

    def close(self) -> None:
        """Removes the journal of a change that is over, leaves any other to the next recovery."""
        journal, self._journal = self._journal, None
        if journal is None:
            return
        try:
            if journal.intent() is None or journal.outcome() is not None:
                journal.discard()
        except WorkspaceUnwritable as cause:
            logger.warning("a journal stays until the next recovery: %s", cause)
        finally:
            journal.close()

    def detach(self) -> None:
        """Lets go of the journal and leaves it as it is: recovery brings record and workspace together."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()

    @property
    def execution_id(self) -> str:
        return self._intent.execution_id

    @property
    def directories_created(self) -> frozenset[str]:
        """What the change makes besides its files."""
        return frozenset(self._intent.directories_created)

    @property
    def directories_emptied(self) -> frozenset[str]:
        """What the change removes besides its files."""
        return frozenset(saved.path for saved in self._intent.directories_emptied)

    @property
    def begun(self) -> bool:
        """Whether the journal stands, so that there may be something to undo."""
        return self._journal is not None and self._journal.intent() is not None

    @property
    def committed(self) -> bool:
        return self._committed

    @property
    def settled(self) -> bool:
        """Whether it was committed or rolled back."""
        return self._committed or self._report is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begun(self) -> Journal:
        if self._journal is None or (self._planned and not self._intent.changes):
            raise InvalidState(self._intent.execution_id, "not backed up", "call backup() first")
        return self._journal

    def _old_bytes(self, saved: list[SavedFile | None]) -> Iterator[bytes]:
        """Yields the old bytes of each path and says in `saved` where they end up."""
        offset = 0
        for planned in self._planned:
            if planned.found is None:
                saved.append(None)
                continue
            entry = self._tree.read(planned.change.path)
            if entry is None or sha256(entry.content) != planned.found.fingerprint.sha256:
                raise BaseChanged([(planned.change.path, "it changed while it was backed up")])
            status = planned.found.status
            saved.append(
                SavedFile(
                    sha256=planned.found.fingerprint.sha256,
                    mode=planned.found.fingerprint.mode,
                    uid=status.st_uid,
                    gid=status.st_gid,
                    stored=BEFORE_FILE,
                    offset=offset,
                    size=len(entry.content),
                )
            )
            offset += len(entry.content)
            yield entry.content

    def _stage(self, planned: list[_Planned]) -> None:
        """Writes every new file under its temporary name. Synced in groups: the first pays for the rest."""
        writing = [item for item in planned if item.new is not None]
        for start in range(0, len(writing), files.SYNCED_TOGETHER):
            opened: list[tuple[int, str]] = []
            try:
                for item in writing[start : start + files.SYNCED_TOGETHER]:
                    opened.append((self._write_temporary(item), item.change.path))
                for fd, path in opened:
                    with files.reporting("sync", path):
                        files.sync(fd)
            finally:
                for fd, _ in opened:
                    files.close(fd)

    def _write_temporary(self, item: _Planned) -> int:
        assert item.new is not None
        assert item.change.content is not None
        with files.reporting("write", item.change.path), self._tree.directory(item.staged_in) as directory:
            fd = files.create_file(item.temporary, dir_fd=directory)
            try:
                files.write_all(fd, item.change.content)
                if item.found is not None:
                    files.keep_owner(fd, item.found.status.st_uid, item.found.status.st_gid)
                files.set_mode(fd, item.new.mode)
            except BaseException:
                files.close(fd)
                raise
            return fd

    def _remove(self, item: _Planned) -> None:
        path = item.change.path
        with files.reporting("remove", path), self._tree.parent(path) as (directory, name):
            _refuse_edited(item, name, directory)
            files.unlink(name, dir_fd=directory)

    def _publish(self, item: _Planned) -> None:
        path = item.change.path
        with (
            files.reporting("write", path),
            self._tree.directory(item.staged_in) as staged,
            self._tree.parent(path) as (directory, name),
        ):
            if item.found is not None:
                _refuse_edited(item, name, directory)
                files.rename(item.temporary, name, dir_fd=staged, new_dir_fd=directory)
                return
            try:
                files.publish_new(item.temporary, name, dir_fd=staged, new_dir_fd=directory)
            except FileExistsError as cause:
                raise BaseChanged([(path, "somebody created it meanwhile")]) from cause

    def _remove_emptied(self) -> None:
        for saved in sorted(self._intent.directories_emptied, key=lambda d: d.path.count("/"), reverse=True):
            with files.reporting("remove", saved.path):
                remove_empty_cache(self._tree, saved.path)
                if self._tree.names(saved.path):
                    continue
                with suppress(FileNotFoundError), self._tree.parent(saved.path) as (above, name):
                    files.remove_directory(name, dir_fd=above)

    def _create_directories(self) -> None:
        for path in self._intent.directories_created:
            with files.reporting("create", path), self._tree.parent(path) as (above, name):
                try:
                    files.make_directory(name, _DIRECTORY_MODE, dir_fd=above)
                except FileExistsError as cause:
                    raise BaseChanged([(path, "somebody created it meanwhile")]) from cause
                with files.closing(files.open_directory(name, dir_fd=above)) as fd:
                    inherited = files.status_of(fd).st_mode & stat.S_ISGID
                    files.set_mode(fd, _DIRECTORY_MODE | inherited)

    def _sync_directories(self, planned: list[_Planned]) -> None:
        touched = {item.staged_in for item in planned} | {_above(item.change.path) for item in planned}
        touched |= {_above(path) for path in self._intent.directories_created}
        touched |= {_above(saved.path) for saved in self._intent.directories_emptied}
        for path in sorted(touched):
            with files.reporting("sync", path or "."), suppress(*NO_FILE), self._tree.directory(path) as fd:
                files.sync_directory(fd)

    def _keep(self, journal: Journal, path: str, stored: str) -> KeptFile | None:
        with files.reporting("keep", path):
            try:
                with self._tree.parent(path) as (directory, name):
                    fd = open_regular(name, path, dir_fd=directory)
            except NO_FILE:
                return None
            if fd is None:
                return None
            with files.closing(fd):
                status = files.status_of(fd)
                digest, size = journal.store(stored, fd)
        directories = [_saved_directory(self._tree, above) for above in ancestors(path)]
        saved = SavedFile(
            sha256=digest,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            stored=stored,
            offset=0,
            size=size,
        )
        return KeptFile(path=path, saved=saved, directories=tuple(d for d in directories if d is not None))

    def _noted(self, path: str) -> NotedFile:
        try:
            return NotedFile(path=path, found=self._tree.fingerprint(path))
        except (UnsafePath, WorkspaceUnwritable):
            entry = self._entry(path)
            instead = entry if entry is not None and entry.kind is not EntryKind.DIRECTORY else None
            return NotedFile(path=path, found=None, instead=instead)

    def _entry(self, path: str) -> NotedEntry | None:
        try:
            with (
                files.reporting("look at", path),
                suppress(*NO_FILE),
                self._tree.parent(path) as (directory, name),
            ):
                return entry_at(name, path, dir_fd=directory)
        except (UnsafePath, WorkspaceUnwritable) as cause:
            logger.warning("what a check did cannot be noted: %s", cause)
        return None


class _Plan:
    """How a changeset goes into a tree: what is judged, made, removed and staged where."""

    def __init__(self, tree: WorkspaceTree, changeset: Changeset, token: str) -> None:
        self._tree: Final = tree
        self._deleted: Final = {c.path for c in changeset.changes if c.operation is Operation.DELETE}
        self._written: Final = {c.path for c in changeset.changes if c.operation is not Operation.DELETE}
        _refuse_contradictions(changeset, self._written)
        tree.refuse_collisions(changeset.paths)
        self._refuse_linked_caches()
        self.changes: Final[list[_Planned]] = []
        problems: list[tuple[str, str]] = []
        for number, change in enumerate(changeset.changes):
            planned = self._plan(change, f"{PREFIX}{token}-{number}.tmp")
            if isinstance(planned, _Planned):
                self.changes.append(planned)
            else:
                problems.append(planned)
        _raise_changed(problems)
        self.directories_created: Final = self._missing_directories()
        self.directories_emptied: Final = self._emptied_directories()

    def _plan(self, change: FileChange, temporary: str) -> _Planned | tuple[str, str]:
        found: FoundFile | None = None
        if change.operation is Operation.CREATE:
            obstacle = self._obstacle(change.path)
            if obstacle is not None:
                return change.path, obstacle
        else:
            found = self._tree.find(change.path)
            difference = _difference(change, found)
            if difference is not None:
                return change.path, difference
        return _Planned(change, found, _new_fingerprint(change, found), self._staging(change.path), temporary)

    def _obstacle(self, path: str) -> str | None:
        """Why nothing can be created at `path`."""
        for above in ancestors(path):
            status = self._tree.status(above)
            if status is not None and not stat.S_ISDIR(status.st_mode) and above not in self._deleted:
                return f"{above!r} is {files.kind(status.st_mode)}"
        status = self._tree.status(path)
        if status is None or (stat.S_ISDIR(status.st_mode) and self._will_be_empty(path)):
            return None
        if stat.S_ISLNK(status.st_mode):
            raise UnsafePath(path, "it is a symbolic link")
        return "it exists already" if stat.S_ISREG(status.st_mode) else f"it is {files.kind(status.st_mode)}"

    def _will_be_empty(self, directory: str) -> bool:
        """Whether the changeset removes everything in a directory, and something at all."""
        if not any(path.startswith(f"{directory}/") for path in self._deleted):
            return False
        for name in self._tree.names(directory):
            path = f"{directory}/{name}"
            if path not in self._deleted and not self._is_own_cache(path) and not self._will_be_empty(path):
                return False
        return True

    def _is_own_cache(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        if name != CACHE:
            return False
        stems = {p.rpartition("/")[2].removesuffix(".py") for p in self._deleted if _above(p) == above}
        return all(is_bytecode_of(cached, stems) for cached in self._tree.names(path))

    def _staging(self, path: str) -> str:
        """The nearest directory above `path` that stands now; the rename from there is one step."""
        for above in ancestors(path):
            status = self._tree.status(above)
            if status is not None and stat.S_ISDIR(status.st_mode):
                return above
        return ""

    def _missing_directories(self) -> list[str]:
        """Topmost first."""
        needed = {
            above
            for planned in self.changes
            if planned.found is None
            for above in ancestors(planned.change.path)
        }
        missing = []
        for path in sorted(needed, key=lambda p: (p.count("/"), p)):
            status = self._tree.status(path)
            if status is None or not stat.S_ISDIR(status.st_mode):
                missing.append(path)
        return missing

    def _emptied_directories(self) -> list[SavedDirectory]:
        """Those that may be empty once the deletes are done; as git does, they go with their last file."""
        needed = {above for path in self._written for above in ancestors(path)}
        candidates = {above for path in self._deleted for above in ancestors(path)} - needed
        saved = (_saved_directory(self._tree, path) for path in sorted(candidates))
        return [directory for directory in saved if directory is not None]

    def _refuse_linked_caches(self) -> None:
        """Stale bytecode behind a link could not be removed without leaving the workspace."""
        for path in self._deleted | self._written:
            if path.endswith(".py"):
                above = _above(path)
                status = self._tree.status(f"{above}/{CACHE}" if above else CACHE)
                if status is not None and stat.S_ISLNK(status.st_mode):
                    raise UnsafePath(path, f"the {CACHE} beside it is a symbolic link")


def _refuse_contradictions(changeset: Changeset, written: set[str]) -> None:
    seen: set[str] = set()
    for change in changeset.changes:
        path = canonical_path(change.path)
        if path in seen:
            raise InvalidChange(f"{path!r} is changed twice", path=path)
        seen.add(path)
        if change.operation is Operation.DELETE:
            consistent = change.content is None and change.new_sha256 is None
        else:
            consistent = change.content is not None and sha256(change.content) == change.new_sha256
        if not consistent or (change.operation is Operation.CREATE) != (change.old_sha256 is None):
            raise InvalidChange(f"the {change.operation} of {path!r} contradicts itself", path=path)
        for above in ancestors(path):
            if above in written and path in written:
                raise InvalidChange(f"{above!r} is to be a file and a directory", path=path)


def _difference(change: FileChange, found: FoundFile | None) -> str | None:
    """How a file differs from the one the change was made for.

    Of the mode only what git records counts: whether the owner may execute it.
    """
    if found is None:
        return "it is missing"
    if found.fingerprint.sha256 != change.old_sha256:
        return "its content is another"
    if change.old_mode is not None and (change.old_mode ^ found.fingerprint.mode) & _OWNER_EXECUTES:
        return "it is executable" if found.fingerprint.mode & _OWNER_EXECUTES else "it is not executable"
    return None


def _new_fingerprint(change: FileChange, found: FoundFile | None) -> Fingerprint | None:
    """Where the change asks for no other mode, the file keeps the one it has."""
    if change.new_sha256 is None:
        return None
    if found is None:
        mode = FILE_MODE if change.new_mode is None else change.new_mode
    elif change.new_mode is None or change.new_mode == change.old_mode:
        mode = found.fingerprint.mode
    else:
        mode = change.new_mode
    return Fingerprint(change.new_sha256, mode & files.PERMISSION_BITS)


def _reread(tree: WorkspaceTree, planned: _Planned) -> _Planned | tuple[str, str]:
    """The plan with the file as it stands now, or how it is no longer the one that was backed up."""
    path = planned.change.path
    if planned.found is None:
        status = tree.status(path)
        if status is None or stat.S_ISDIR(status.st_mode):
            return planned
        return path, "somebody created it meanwhile"
    found = tree.find(path)
    if found is None:
        return path, "it is missing"
    if found.fingerprint != planned.found.fingerprint:
        return path, "it changed after it was backed up"
    return replace(planned, found=found)


def _refuse_edited(item: _Planned, name: str, directory: int) -> None:
    if item.found is None or not item.found.still_stands(name, directory):
        raise BaseChanged([(item.change.path, "somebody changed it meanwhile")])


def _raise_changed(problems: list[tuple[str, str]]) -> None:
    if problems:
        raise BaseChanged(problems)


def _tell(on_file: OnFile | None, item: _Planned) -> None:
    if on_file is not None:
        on_file(item.change)


def _saved_directory(tree: WorkspaceTree, path: str) -> SavedDirectory | None:
    status = tree.status(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return None
    return SavedDirectory(path=path, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid)


def _inside(root: Path, state_dir: Path) -> str | None:
    state_dir = state_dir.resolve()
    return str(state_dir.relative_to(root)) if state_dir.is_relative_to(root) else None


def _above(path: str) -> str:
    return path.rpartition("/")[0]
