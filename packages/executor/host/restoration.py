"""Puts back what a check changed, from what was kept or from git."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from executor.errors import UnsafePath, WorkspaceUnwritable
from executor.host import files
from executor.host.bytecode import remove_bytecode
from executor.host.git import GitFailed, read_blobs, read_filtered
from executor.host.hashes import Entry, same_state
from executor.host.snapshot import Drift, Drifted, Snapshot, found_state, path_bytes
from executor.host.tree import READ_LIMIT, WorkspaceTree, ancestors

logger = logging.getLogger(__name__)

_BATCH_BYTES: Final = 32 << 20


def restore(
    snapshot: Snapshot,
    drift: Drift,
    tree: WorkspaceTree,
    *,
    contents: Callable[[str], bytes | None],
    displace: Callable[[str, int], None] | None = None,
    temporary_prefix: str = ".executor-restore-",
    environ: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Puts every path of `drift.changes` back as it was; the paths that stay otherwise, and why.

    `contents` gives the bytes of a path that were kept, None for one that was not: then git is asked. All
    bytes are compared with the hash taken before anything is written. A path that is no longer as `drift`
    found it was edited by somebody since, and is left alone. `displace` is given each file that is about to
    be overwritten, open for reading: it may hold somebody's work. Created files are removed only where they
    are in the way. Writing goes through temporary files whose names begin with `temporary_prefix`.

    Run `compare` afterwards: what a changed `.gitignore` had hidden comes into sight now.
    """
    return _Restoration(snapshot, drift, tree, contents, displace, temporary_prefix, environ).run()


class _Restoration:
    def __init__(
        self,
        snapshot: Snapshot,
        drift: Drift,
        tree: WorkspaceTree,
        contents: Callable[[str], bytes | None],
        displace: Callable[[str, int], None] | None,
        temporary_prefix: str,
        environ: Mapping[str, str] | None,
    ) -> None:
        self._snapshot, self._drift, self._tree = snapshot, drift, tree
        self._contents, self._displace, self._prefix = contents, displace, temporary_prefix
        self._environ = environ
        self._failed: dict[str, str] = {}
        self._moved: dict[str, str] = {}
        self._touched: set[str] = set()
        self._replaced: set[int] = set()
        self._count = 0

    def run(self) -> list[tuple[str, str]]:
        changes = [change for change in self._drift.changes if not self._is_directory(change)]
        for change in self._drift.changes:
            if self._is_directory(change):
                self._attempt(change.path, self._restore_directory_mode)
        self._set_moved_aside()
        self._clear_the_way()
        for path in self._drift.removed_directories:
            self._attempt(path, self._restore_directory)
        for batch in self._batches(changes):
            blobs = self._blobs(batch)
            for change in batch:
                self._attempt(change.path, partial(self._restore, change, blobs))
        for path in self._drift.changed_paths:
            if path not in self._failed:
                self._attempt(path, self._remove_bytecode)
        for path in sorted(self._touched):
            self._attempt(path or ".", self._sync)
        for path, temporary in self._moved.items():
            if path in self._failed:
                self._failed[path] += f"; its bytes are in {temporary}"
        return sorted(self._failed.items())

    def _attempt(self, path: str, action: Callable[[str], None]) -> None:
        if path in self._failed:
            return
        try:
            with files.reporting("restore", path):
                action(path)
        except UnsafePath as cause:
            self._failed[path] = cause.reason
        except WorkspaceUnwritable as cause:
            self._failed[path] = str(cause)

    def _is_directory(self, change: Drifted) -> bool:
        return path_bytes(change.path) in self._snapshot.directories

    def _set_moved_aside(self) -> None:
        """Takes moved files out of the places they were moved to, some of which are in the way."""
        wanted = set(self._drift.changed_paths)
        for old, new in self._drift.moved:
            if old not in wanted:
                continue
            entry = self._snapshot.entries[path_bytes(old)]
            # What cannot be moved back may still be restored from what was kept.
            with suppress(UnsafePath, WorkspaceUnwritable), files.reporting("move", new):
                self._set_aside(new, entry, old)

    def _set_aside(self, new: str, entry: Entry, old: str) -> None:
        found = self._tree.find(new) if old not in self._moved else None
        if found is None or bytes.fromhex(found.fingerprint.sha256) != entry.sha256:
            return
        temporary = self._temporary()
        with self._tree.parent(new) as (directory, name), self._tree.directory("") as top:
            files.rename(name, temporary, dir_fd=directory, new_dir_fd=top)
        self._moved[old] = temporary

    def _clear_the_way(self) -> None:
        """Removes what was made where a watched file or directory stood."""
        wanted = {*self._drift.changed_paths, *self._drift.removed_directories}
        for path in self._drift.created:
            if path in wanted or any(above in wanted for above in ancestors(path)):
                self._attempt(path, self._remove_file)
        for path in self._drift.created_directories:
            if path in wanted or any(above in wanted for above in ancestors(path)):
                self._attempt(path, self._remove_directory)

    def _remove_bytecode(self, path: str) -> None:
        remove_bytecode(self._tree, [path])

    def _sync(self, path: str) -> None:
        # What is no directory any more was restored as something else, and its entry is synced above it.
        with (
            suppress(FileNotFoundError, NotADirectoryError, UnsafePath),
            self._tree.directory("" if path == "." else path) as fd,
        ):
            files.sync_directory(fd)

    def _remove_file(self, path: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError), self._tree.parent(path) as (directory, name):
            files.unlink(name, dir_fd=directory)
        self._touched.add(path.rpartition("/")[0])

    def _remove_directory(self, path: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError), self._tree.parent(path) as (directory, name):
            files.remove_directory(name, dir_fd=directory)

    def _restore_directory(self, path: str) -> None:
        entry = self._snapshot.directories[path_bytes(path)]
        with self._tree.parent(path) as (above, name):
            with suppress(FileExistsError):
                files.make_directory(name, 0o700, dir_fd=above)
            with files.closing(files.open_directory(name, dir_fd=above)) as fd:
                files.keep_owner(fd, entry.uid, entry.gid)
                files.set_mode(fd, stat.S_IMODE(entry.mode))
        self._touched.add(path.rpartition("/")[0])

    def _restore_directory_mode(self, path: str) -> None:
        mode = stat.S_IMODE(self._snapshot.directories[path_bytes(path)].mode)
        with self._tree.parent(path) as (above, name):
            files.change_mode(name, mode, dir_fd=above)

    def _batches(self, changes: list[Drifted]) -> Iterator[list[Drifted]]:
        """As many as git's answer can be held in memory."""
        batch: list[Drifted] = []
        size = 0
        for change in changes:
            entry = self._snapshot.entries[path_bytes(change.path)]
            if batch and size + entry.size > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(change)
            size += entry.size
        if batch:
            yield batch

    def _blobs(self, changes: list[Drifted]) -> dict[bytes, bytes]:
        """What git holds of drifted files, in one question."""
        if not self._snapshot.in_git:
            return {}
        entries = [self._snapshot.entries[path_bytes(change.path)] for change in changes]
        wanted = {entry.blob for entry in entries if entry.blob and entry.size <= READ_LIMIT}
        try:
            return read_blobs(Path(self._snapshot.root), wanted, environ=self._environ)
        except GitFailed as failed:
            logger.warning("drifted files cannot be read from git: %s", failed.reason)
            return {}

    def _restore(self, change: Drifted, blobs: Mapping[bytes, bytes], path: str) -> None:
        entry = self._snapshot.entries[path_bytes(path)]
        current = self._tree.status(path)
        if current is not None and current.st_mode == entry.mode and same_state(entry, current):
            # It had only been out of reach.
            return
        if current is not None and stat.S_ISDIR(current.st_mode):
            self._failed[path] = "a directory stands there that holds something of others"
        elif not self._as_found(current, change):
            self._failed[path] = "somebody changed it after the check"
        elif not entry.mode:
            self._give_way(path, current)
            self._remove_file(path)
        elif change.what == "mode":
            self._set_mode(path, entry)
            self._replaced.add(entry.ino)
        elif entry.is_link:
            self._give_way(path, current)
            self._write(path, lambda directory, name: files.make_link(entry.link, name, dir_fd=directory))
        elif entry.is_file:
            self._restore_file(path, entry, current, blobs)
        else:
            self._failed[path] = f"it was {files.kind(entry.mode)} and cannot be made again"

    def _restore_file(
        self, path: str, entry: Entry, current: os.stat_result | None, blobs: Mapping[bytes, bytes]
    ) -> None:
        moved = self._moved.get(path)
        if moved is not None:
            self._give_way(path, current)
            with self._tree.directory("") as top, self._tree.parent(path) as (directory, name):
                files.rename(moved, name, dir_fd=top, new_dir_fd=directory)
            self._touched |= {"", path.rpartition("/")[0]}
            self._set_mode(path, entry)
            return
        content = self._content(path, entry, blobs)
        if content is None:
            self._failed[path] = "its bytes were not kept and git does not have them"
            return
        self._give_way(path, current)
        self._write(path, lambda directory, name: _write_file(directory, name, content, entry))

    def _as_found(self, current: os.stat_result | None, change: Drifted) -> bool:
        """Whether nothing stands there, so that nobody's work is lost, or what the check left."""
        if current is None or change.found is None:
            return current is None
        now = found_state(current)
        if current.st_ino in self._replaced:
            # Another name of the same file has been restored, which changed time and mode of the inode.
            now = now._replace(ctime_ns=change.found.ctime_ns, mode=change.found.mode)
        return now == change.found

    def _content(self, path: str, entry: Entry, blobs: Mapping[bytes, bytes]) -> bytes | None:
        for content in self._sources(path, entry, blobs):
            if content is not None and hashlib.sha256(content).digest() == entry.sha256:
                return content
        return None

    def _sources(self, path: str, entry: Entry, blobs: Mapping[bytes, bytes]) -> Iterator[bytes | None]:
        yield self._contents(path)
        yield blobs.get(entry.blob)
        if entry.indexed:
            with suppress(GitFailed):
                yield read_filtered(
                    Path(self._snapshot.root), entry.indexed, path_bytes(path), environ=self._environ
                )

    def _give_way(self, path: str, current: os.stat_result | None) -> None:
        if current is None:
            return
        self._replaced.add(current.st_ino)
        if self._displace is None or not stat.S_ISREG(current.st_mode):
            return
        with (
            self._tree.parent(path) as (directory, name),
            files.closing(files.open_file(name, dir_fd=directory)) as fd,
        ):
            self._displace(path, fd)

    def _set_mode(self, path: str, entry: Entry) -> None:
        with self._tree.parent(path) as (directory, name):
            files.change_mode(name, entry.permissions, dir_fd=directory)

    def _write(self, path: str, create: Callable[[int, str], None]) -> None:
        temporary = self._temporary()
        with self._tree.parent(path) as (directory, name):
            with suppress(FileNotFoundError):
                files.unlink(temporary, dir_fd=directory)
            try:
                create(directory, temporary)
                files.rename(temporary, name, dir_fd=directory, new_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    files.unlink(temporary, dir_fd=directory)
                raise
        self._touched.add(path.rpartition("/")[0])

    def _temporary(self) -> str:
        self._count += 1
        return f"{self._prefix}{os.getpid()}-{self._count}.tmp"


def _write_file(directory: int, name: str, content: bytes, entry: Entry) -> None:
    with files.closing(files.create_file(name, dir_fd=directory)) as fd:
        files.write_all(fd, content)
        files.keep_owner(fd, entry.uid, entry.gid)
        files.set_mode(fd, entry.permissions)
        files.sync(fd)
