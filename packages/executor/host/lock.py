"""One execution at a time in a workspace: the kernel's lock on its root directory.

The lock does not depend on where the state directory lies, and dies with the process. It never reaches a
child: the descriptor is closed by exec, and by fork in the processes that do not exec.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import msgspec

from executor.errors import InvalidNumber, LockHeld, WorkspaceUnwritable
from executor.host import files
from executor.models.times import Clock, format_time, utc_now

if TYPE_CHECKING:
    from typing import Self

    from executor.host.tree import WorkspaceTree

POLL_SECONDS: Final = 0.05
_NOTE_LIMIT: Final = 4096


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, in its own words: good for a message, no proof of anything."""

    pid: int
    execution_id: str
    since: str

    def __str__(self) -> str:
        return f"execution {self.execution_id!r} (process {self.pid}, since {self.since})"


class WorkspaceLock:
    """The lock of one workspace, held from `acquire` to `release` or the end of the process."""

    def __init__(self, fd: int, state_dir: Path, note: str) -> None:
        self._fd, self._state_dir, self._note = fd, state_dir, note
        _held.add(self)

    @classmethod
    def acquire(
        cls,
        tree: WorkspaceTree,
        state_dir: Path,
        execution_id: str,
        *,
        wait_seconds: float = 0.0,
        clock: Clock = utc_now,
    ) -> Self:
        """Takes the lock, trying for `wait_seconds` and at least once.

        Raises LockHeld naming the holder, also when this same process holds it; WorkspaceUnwritable where
        the file system has no locks on directories.
        """
        if not 0 <= wait_seconds < float("inf"):
            raise InvalidNumber("wait", wait_seconds)
        with tree.directory("") as root:
            # A description of its own: `directory` closes what it yields.
            fd = files.open_directory(".", dir_fd=root)
        note = note_name(tree)
        try:
            if not _wait_for(fd, str(tree.root), wait_seconds):
                holder = read_holder(state_dir, note)
                raise LockHeld(str(tree.root), str(holder or "another process"), wait_seconds)
        except BaseException:
            files.close(fd)
            raise
        lock = cls(fd, state_dir, note)
        lock._write_note(Holder(pid=os.getpid(), execution_id=execution_id, since=format_time(clock())))
        return lock

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        if self._fd < 0:
            return
        _held.discard(self)
        # The note first: after the close it could be another's.
        for name in (self._temporary, self._note):
            with suppress(OSError), files.closing(files.open_root(self._state_dir)) as state:
                files.unlink(name, dir_fd=state)
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _drop(self) -> None:
        fd, self._fd = self._fd, -1
        files.close(fd)

    @property
    def _temporary(self) -> str:
        # One name for all: who holds the lock removes what a dead holder left.
        return f"{self._note}.tmp"

    def _write_note(self, holder: Holder) -> None:
        temporary = self._temporary
        # A message for others is not worth failing for.
        with suppress(OSError), files.closing(files.open_root(self._state_dir)) as state:
            with suppress(FileNotFoundError):
                files.unlink(temporary, dir_fd=state)
            with files.closing(files.create_file(temporary, dir_fd=state)) as fd:
                files.write_all(fd, msgspec.json.encode(holder))
            files.rename(temporary, self._note, dir_fd=state, new_dir_fd=state)


def read_holder(state_dir: Path, note: str) -> Holder | None:
    """What the holder wrote about itself; None when it wrote nothing readable."""
    try:
        with (
            files.closing(files.open_root(state_dir)) as state,
            files.closing(files.open_file(note, dir_fd=state)) as fd,
        ):
            return msgspec.json.decode(files.read_at(fd, _NOTE_LIMIT, 0), type=Holder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def note_name(tree: WorkspaceTree) -> str:
    """What the holder of the lock writes about itself stands in a file of this name in the state directory."""
    # Linked worktrees share a state directory and hold a lock each.
    return f"lock-{hashlib.sha256(files.encode(str(tree.root))).hexdigest()[:16]}.json"


def _wait_for(fd: int, root: str, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            if files.try_lock(fd):
                return True
        except OSError as cause:
            if cause.errno in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                reason = "its file system has no locks on directories"
                raise WorkspaceUnwritable(root, "lock", cause.errno, reason) from cause
            raise files.unwritable(root, "lock", cause) from cause
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(POLL_SECONDS, left))


def _drop_all_in_child() -> None:
    """A forked process shares the lock's description; while it lived, the lock would too."""
    for lock in tuple(_held):
        lock._drop()
    _held.clear()


_held: set[WorkspaceLock] = set()
os.register_at_fork(after_in_child=_drop_all_in_child)
