"""What a change in progress leaves on disk, so that whoever comes after a crash can undo or finish it.

One directory per execution in `<state>/journal/`, locked by the process that works on it:

    before.bin      the old bytes of every path, one after the other
    intent.json     what is going to happen; nothing in the workspace is touched before it stands here
    kept-<n>        bytes of files that checks might change
    checks.json     which files these are, and what the checks did
    displaced-<n>   bytes that a rollback took away from a kept file
    attachment-<x>  whatever the caller needs to have at hand in a recovery
    outcome.json    the last word: `after` is the commit mark, `before` the end of a rollback

Every file is synced before it counts, and counts from the rename that gives it its name.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from executor.errors import InvalidState, LockHeld, WorkspaceUnwritable
from executor.host import files
from executor.host.presence import safe_name
from executor.host.tree import Fingerprint
from executor.models.change import Operation

logger = logging.getLogger(__name__)

FOLDER: Final = "journal"
FORMAT: Final = 1
PREFIX: Final = ".executor-"

BEFORE_FILE: Final = "before.bin"
_INTENT: Final = "intent.json"
_CHECKS: Final = "checks.json"
_OUTCOME: Final = "outcome.json"


class DamagedBackup(WorkspaceUnwritable):
    """The journal no longer holds the bytes that were saved."""

    code = "damaged_backup"

    def __init__(self, path: str) -> None:
        super().__init__(path, "read", 0, "the backup is damaged")


class SavedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was, and where its bytes lie in the journal."""

    sha256: str
    mode: int
    uid: int
    gid: int
    stored: str
    offset: int
    size: int

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.sha256, self.mode)


class SavedDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """A directory that may have to be made again."""

    path: str
    mode: int
    uid: int
    gid: int


class IntendedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One path before and after. A new file is staged under `temporary` in the directory `staged_in`."""

    operation: Operation
    path: str
    old: SavedFile | None = None
    new: Fingerprint | None = None
    staged_in: str = ""
    temporary: str = ""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """All a recovery needs to know. `state_inside` is the state directory as a path in the workspace."""

    execution_id: str
    workspace_id: str
    root: str
    device: int
    inode: int
    state_inside: str | None
    pid: int
    token: str
    changes: tuple[IntendedChange, ...]
    directories_created: tuple[str, ...]
    directories_emptied: tuple[SavedDirectory, ...]
    format: Literal[1] = FORMAT

    @property
    def temporary_prefix(self) -> str:
        """What the names of all temporary files of this change begin with, and of no other's."""
        return f"{PREFIX}{self.token}-"


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    saved: SavedFile
    directories: tuple[SavedDirectory, ...] = ()


class EntryKind(StrEnum):
    FILE = "file"
    LINK = "link"
    DIRECTORY = "directory"
    OTHER = "other"


class NotedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something the checks made. `digest` is of a file's bytes or a link's target."""

    path: str
    kind: EntryKind
    digest: str = ""


class NotedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A kept file as the checks left it: None when they removed it or put something else `instead`."""

    path: str
    found: Fingerprint | None
    instead: NotedEntry | None = None


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """`running` from the moment files are kept until it is noted what the checks did."""

    running: bool = False
    kept: tuple[KeptFile, ...] = ()
    changed: tuple[NotedFile, ...] = ()
    created: tuple[NotedEntry, ...] = ()


class Side(StrEnum):
    """Which of the two states a workspace is in when all is over."""

    BEFORE = "before"
    AFTER = "after"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The last word about a change; for `before` also what the rollback did."""

    side: Side
    restored: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    displaced: tuple[str, ...] = ()
    leftover_directories: tuple[str, ...] = ()


T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class FoundJournal:
    """A journal that stands in a state directory, its process dead or alive."""

    directory: Path
    execution_id: str
    workspace_id: str
    root: str
    pid: int


class Journal:
    """An open, locked journal. Methods raise WorkspaceUnwritable naming the file the system refused."""

    def __init__(self, directory: Path, fd: int) -> None:
        self.directory: Final = directory
        self._fd = fd

    @classmethod
    def create(cls, state_dir: Path, execution_id: str) -> Journal:
        """Makes the directory of a new journal; one that was begun and has no intent is begun anew.

        Raises InvalidState when the execution has a journal already: it has to be recovered first.
        """
        directory = state_dir / FOLDER / safe_name(execution_id)
        with files.reporting("create", str(directory)), _folder(state_dir) as folder:
            # Between the making and the locking a sweep would take it for abandoned.
            files.lock(folder)
            with suppress(FileExistsError):
                files.make_directory(directory.name, 0o700, dir_fd=folder)
            files.sync_directory(folder)
            journal = cls.open(directory)
        try:
            if journal._exists(_INTENT):
                rule = "its journal is still there; run `executor recover` first"
                raise InvalidState(execution_id, "unfinished", rule)
            journal._clear()
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, directory: Path) -> Journal:
        """Opens and locks a journal. Raises LockHeld while the process that writes it is alive."""
        with files.reporting("open", str(directory)):
            with files.closing(files.open_root(directory.parent)) as folder:
                fd = files.open_directory(directory.name, dir_fd=folder)
            try:
                locked = files.try_lock(fd)
            except OSError:
                files.close(fd)
                raise
        if not locked:
            files.close(fd)
            raise LockHeld(str(directory), "the process that writes it", 0)
        return cls(directory, fd)

    def close(self) -> None:
        """Lets go of the journal and leaves it where it is."""
        if self._fd >= 0:
            files.close(self._fd)
            self._fd = -1

    def append_before(self, parts: Iterable[bytes]) -> None:
        """Writes the old bytes of all paths, in order. They last, their name from `begin` on."""
        with (
            self._reporting("write", BEFORE_FILE),
            files.closing(files.create_file(BEFORE_FILE, dir_fd=self._fd)) as fd,
        ):
            for part in parts:
                files.write_all(fd, part)
            files.sync(fd)

    def begin(self, intent: Intent) -> None:
        """From the return of this call on, a crash is undone."""
        self._write(_INTENT, encode(intent))

    def intent(self) -> Intent | None:
        """None when nothing in the workspace can have been touched yet."""
        return self._read(_INTENT, Intent)

    def checks(self) -> Checks:
        return self._read(_CHECKS, Checks) or Checks()

    def write_checks(self, checks: Checks) -> None:
        self._write(_CHECKS, encode(checks))

    def outcome(self) -> Outcome | None:
        return self._read(_OUTCOME, Outcome)

    def mark(self, outcome: Outcome) -> None:
        """Writes the last word. An error leaves open whether it stands; `unmark` settles that."""
        self._write(_OUTCOME, encode(outcome))

    def unmark(self) -> None:
        with self._reporting("remove", _OUTCOME):
            if files.status_or_none(_OUTCOME, dir_fd=self._fd) is not None:
                files.unlink(_OUTCOME, dir_fd=self._fd)
                files.sync_directory(self._fd)

    def attach(self, name: str, data: bytes) -> None:
        self._write(f"attachment-{name}", data)

    def attachment(self, name: str) -> bytes | None:
        return self._read_bytes(f"attachment-{name}")

    def store(self, name: str, source: int) -> tuple[str, int]:
        """Copies an open file into the journal under `name`; returns its hash and size. Lasts on return."""
        temporary, digest, size = f"{name}.tmp", hashlib.sha256(), 0
        with self._reporting("write", name):
            self._drop(temporary)
            with files.closing(files.create_file(temporary, dir_fd=self._fd)) as fd:
                for chunk in files.read_chunks(source):
                    digest.update(chunk)
                    size += len(chunk)
                    files.write_all(fd, chunk)
                files.sync(fd)
            files.rename(temporary, name, dir_fd=self._fd, new_dir_fd=self._fd)
            files.sync_directory(self._fd)
        return digest.hexdigest(), size

    def holds(self, name: str) -> bool:
        with self._reporting("look at", name):
            return self._exists(name)

    def chunks(self, saved: SavedFile) -> Iterator[bytes]:
        """The bytes of a saved file. Raises DamagedBackup after the last when they are not what was saved."""
        digest = hashlib.sha256()
        with (
            self._reporting("read", saved.stored),
            files.closing(files.open_file(saved.stored, dir_fd=self._fd)) as fd,
        ):
            for offset in range(saved.offset, saved.offset + saved.size, files.CHUNK):
                wanted = min(files.CHUNK, saved.offset + saved.size - offset)
                chunk = files.read_at(fd, wanted, offset)
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != saved.sha256:
            raise DamagedBackup(str(self.directory / saved.stored))

    def raw_chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of any file of the journal, as they are."""
        with (
            self._reporting("read", name),
            files.closing(files.open_file(name, dir_fd=self._fd)) as fd,
        ):
            yield from files.read_chunks(fd)

    def discard(self) -> None:
        """Removes the journal. A crash half-way leaves an outcome, or no intent: nothing to be undone."""
        with files.reporting("remove", str(self.directory)):
            self._clear()
            with files.closing(files.open_root(self.directory.parent)) as folder:
                files.remove_directory(self.directory.name, dir_fd=folder)
                files.sync_directory(folder)
        self.close()

    def _clear(self) -> None:
        last = (_INTENT, _OUTCOME)
        names = files.names(self._fd)
        for name in [*(n for n in names if n not in last), *(n for n in last if n in names)]:
            files.unlink(name, dir_fd=self._fd)
            if name == _INTENT:
                files.sync_directory(self._fd)

    def _write(self, name: str, data: bytes) -> None:
        temporary = f"{name}.tmp"
        with self._reporting("write", name):
            self._drop(temporary)
            with files.closing(files.create_file(temporary, dir_fd=self._fd)) as fd:
                files.write_all(fd, data)
                files.sync(fd)
            files.rename(temporary, name, dir_fd=self._fd, new_dir_fd=self._fd)
            files.sync_directory(self._fd)

    def _read(self, name: str, kind: type[T]) -> T | None:
        data = self._read_bytes(name)
        return None if data is None else decode(data, kind, str(self.directory / name))

    def _read_bytes(self, name: str) -> bytes | None:
        with self._reporting("read", name):
            return _read_file(name, self._fd)

    def _drop(self, name: str) -> None:
        with suppress(FileNotFoundError):
            files.unlink(name, dir_fd=self._fd)

    def _exists(self, name: str) -> bool:
        return files.status_or_none(name, dir_fd=self._fd) is not None

    @contextmanager
    def _reporting(self, operation: str, name: str) -> Iterator[None]:
        with files.reporting(operation, str(self.directory / name)):
            yield


def find_journals(state_dir: Path, workspace_id: str | None = None) -> list[FoundJournal]:
    """The journals with an intent in a state directory, of one workspace or of all. Writes nothing.

    Linked worktrees share a state directory: look at `root` too. A journal may belong to a living
    process; whoever holds the lock of its workspace knows that it does not.
    """
    with files.reporting("list", str(state_dir / FOLDER)):
        found = [_look_at(directory) for directory in _directories(state_dir)]
    return [j for j in found if j is not None and workspace_id in (None, j.workspace_id)]


def find_journal(state_dir: Path, execution_id: str) -> FoundJournal | None:
    """The journal of one execution; what lies beside it does not matter."""
    directory = state_dir / FOLDER / safe_name(execution_id)
    with files.reporting("read", str(directory)):
        return _look_at(directory)


def leaves_journal(state_dir: Path, execution_id: str) -> bool:
    """Whether anything of the journal of an execution stands, with an intent or without."""
    directory = state_dir / FOLDER / safe_name(execution_id)
    with files.reporting("look at", str(directory)):
        try:
            with files.closing(files.open_root(directory)):
                return True
        except FileNotFoundError:
            return False


def _look_at(directory: Path) -> FoundJournal | None:
    try:
        with files.closing(files.open_root(directory)) as fd:
            data = _read_file(_INTENT, fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if data is None:
        return None
    intent = decode(data, Intent, str(directory / _INTENT))
    return FoundJournal(directory, intent.execution_id, intent.workspace_id, intent.root, intent.pid)


def discard_journal(found: FoundJournal) -> None:
    """Removes a journal whose outcome has been recorded.

    Raises InvalidState while it has none: what it holds may be the only way back.
    """
    journal = Journal.open(found.directory)
    try:
        if journal.outcome() is None:
            raise InvalidState(found.execution_id, "unfinished", "recover it before its journal is removed")
        journal.discard()
    finally:
        journal.close()


def sweep_journals(state_dir: Path) -> None:
    """Removes journals that were cut short before their intent: nothing had begun.

    Those of living processes are locked and stay.
    """
    try:
        with files.reporting("sweep", str(state_dir / FOLDER)):
            if not _directories(state_dir):
                return
            with _folder(state_dir) as folder:
                # Who begins a journal holds this lock until its directory has one of its own.
                files.lock(folder)
                for directory in _directories(state_dir):
                    _sweep(directory)
    except WorkspaceUnwritable as cause:
        logger.warning("unused journals stay: %s", cause)


def _sweep(directory: Path) -> None:
    try:
        journal = Journal.open(directory)
    except (LockHeld, WorkspaceUnwritable):
        return
    try:
        if journal.intent() is None:
            journal.discard()
    except WorkspaceUnwritable as cause:
        logger.warning("an unused journal stays: %s", cause)
    finally:
        journal.close()


def encode(value: msgspec.Struct) -> bytes:
    # The standard library's JSON, because it also carries names that are no valid UTF-8.
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode("ascii")


def decode(data: bytes, kind: type[T], path: str) -> T:
    try:
        return msgspec.convert(json.loads(data), type=kind)
    except (ValueError, msgspec.MsgspecError) as cause:
        reason = f"it is damaged, or a newer executor wrote it ({cause})"
        raise WorkspaceUnwritable(path, "read", 0, reason) from cause


def _directories(state_dir: Path) -> list[Path]:
    folder = state_dir / FOLDER
    try:
        with files.closing(files.open_root(folder)) as fd:
            return [folder / name for name in files.names(fd)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_file(name: str, directory: int) -> bytes | None:
    try:
        with files.closing(files.open_file(name, dir_fd=directory)) as fd:
            return files.read_all(fd)
    except FileNotFoundError:
        return None


@contextmanager
def _folder(state_dir: Path) -> Iterator[int]:
    """The open `<state>/journal`, made when it is missing."""
    with files.closing(files.open_root(state_dir)) as state:
        with suppress(FileExistsError):
            files.make_directory(FOLDER, 0o700, dir_fd=state)
            files.sync_directory(state)
        with files.closing(files.open_directory(FOLDER, dir_fd=state)) as folder:
            yield folder
