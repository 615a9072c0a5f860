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

from executor.errors import UnsafePath, WorkspaceUnwritable
from executor.host import files
from executor.host.bytecode import remove_bytecode
from executor.host.git import GitFailed, read_blobs, read_filtered
from executor.host.hashes import Entry
from executor.host.snapshot import Drift, Drifted, Snapshot, found_state, path_bytes
from executor.host.tree import WorkspaceTree, ancestors

logger = logging.getLogger(__name__)


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
        self._count = 0

    def run(self) -> list[tuple[str, str]]:
        self._clear_the_way()
        for path in self._drift.removed_directories:
            self._attempt(path, self._restore_directory)
        blobs = self._blobs()
        for change in self._drift.changes:
            if change.path not in self._failed:
                self._attempt(change.path, partial(self._restore, change, blobs))
        restored = [path for path in self._drift.changed_paths if path not in self._failed]
        for path in restored:
            self._attempt(path, self._remove_bytecode)
        return sorted(self._failed.items())

    def _attempt(self, path: str, action: Callable[[str], None]) -> None:
        try:
            with files.reporting("restore", path):
                action(path)
        except UnsafePath as cause:
            self._failed[path] = cause.reason
        except WorkspaceUnwritable as cause:
            self._failed[path] = str(cause)

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

    def _remove_file(self, path: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError), self._tree.parent(path) as (directory, name):
            files.unlink(name, dir_fd=directory)

    def _remove_directory(self, path: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError), self._tree.parent(path) as (directory, name):
            files.remove_directory(name, dir_fd=directory)

    def _restore_directory(self, path: str) -> None:
        entry = self._snapshot.directories[path_bytes(path)]
        with self._tree.parent(path) as (above, name):
            files.make_directory(name, 0o700, dir_fd=above)
            with files.closing(files.open_directory(name, dir_fd=above)) as fd:
                files.keep_owner(fd, entry.uid, entry.gid)
                files.set_mode(fd, stat.S_IMODE(entry.mode))
            files.sync_directory(above)

    def _blobs(self) -> dict[bytes, bytes]:
        """What git holds of the drifted files, in one question."""
        if not self._snapshot.in_git:
            return {}
        entries = (self._snapshot.entries.get(path_bytes(change.path)) for change in self._drift.changes)
        wanted = {entry.blob for entry in entries if entry is not None and entry.blob}
        try:
            return read_blobs(Path(self._snapshot.root), wanted, environ=self._environ)
        except GitFailed as failed:
            logger.warning("drifted files cannot be read from git: %s", failed.reason)
            return {}

    def _restore(self, change: Drifted, blobs: Mapping[bytes, bytes], path: str) -> None:
        directory_entry = self._snapshot.directories.get(path_bytes(path))
        if directory_entry is not None:
            with self._tree.directory(path) as fd:
                files.set_mode(fd, stat.S_IMODE(directory_entry.mode))
            return
        entry = self._snapshot.entries[path_bytes(path)]
        current = self._tree.status(path)
        if current is not None and stat.S_ISDIR(current.st_mode):
            self._failed[path] = "a directory stands there that holds something of others"
            return
        if not self._asfound_state(current, change):
            self._failed[path] = "somebody changed it after the check"
            return
        if not entry.mode:
            self._give_way(path, current)
            self._remove_file(path)
        elif change.what == "mode":
            self._set_mode(path, entry)
        elif entry.is_link:
            self._give_way(path, current)
            self._write(path, lambda directory, name: files.make_link(entry.link, name, dir_fd=directory))
        elif entry.is_file:
            content = self._content(path, entry, blobs)
            if content is None:
                self._failed[path] = "its bytes were not kept and git does not have them"
                return
            self._give_way(path, current)
            self._write(path, lambda directory, name: _write_file(directory, name, content, entry))
        else:
            self._failed[path] = f"it was {files.kind(entry.mode)} and cannot be made again"

    def _asfound_state(self, current: os.stat_result | None, change: Drifted) -> bool:
        if current is None or change.found is None:
            # What was in the way has been removed: nothing stands there, whatever was found.
            return current is None
        return found_state(current) == change.found

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
        if self._displace is None or current is None or not stat.S_ISREG(current.st_mode):
            return
        with (
            self._tree.parent(path) as (directory, name),
            files.closing(files.open_file(name, dir_fd=directory)) as fd,
        ):
            self._displace(path, fd)

    def _set_mode(self, path: str, entry: Entry) -> None:
        with (
            self._tree.parent(path) as (directory, name),
            files.closing(files.open_file(name, dir_fd=directory)) as fd,
        ):
            files.set_mode(fd, entry.permissions)
            files.sync(fd)

    def _write(self, path: str, create: Callable[[int, str], None]) -> None:
        self._count += 1
        temporary = f"{self._prefix}{os.getpid()}-{self._count}.tmp"
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
            files.sync_directory(directory)


def _write_file(directory: int, name: str, content: bytes, entry: Entry) -> None:
    with files.closing(files.create_file(name, dir_fd=directory)) as fd:
        files.write_all(fd, content)
        files.keep_owner(fd, entry.uid, entry.gid)
        files.set_mode(fd, entry.permissions)
        files.sync(fd)
