"""A workspace seen through an open directory: every path is walked from there, link by link refused."""

from __future__ import annotations

import errno
import hashlib
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

from executor.changes.base import BaseEntry
from executor.changes.paths import is_protected
from executor.errors import InvalidChange, UnsafePath, WorkspaceNotFound
from executor.host import files

if TYPE_CHECKING:
    import os
    from typing import Self

READ_LIMIT: Final = 256 << 20
NO_FILE: Final = (FileNotFoundError, NotADirectoryError)


class Fingerprint(NamedTuple):
    """What a regular file is: SHA-256 of its bytes in hexadecimal, and all twelve mode bits."""

    sha256: str
    mode: int


class FoundFile(NamedTuple):
    """A regular file with what identifies this very state of it, cheaper to compare than its bytes."""

    fingerprint: Fingerprint
    status: os.stat_result

    def still_stands(self, name: str, dir_fd: int) -> bool:
        """Whether nobody has written, replaced or removed the file since; does not read it again."""
        now = files.status_or_none(name, dir_fd=dir_fd)
        return now is not None and _state_of(now) == _state_of(self.status)


class _Listing(NamedTuple):
    """The entries of one directory, by their spelling and by what is the same to some file systems."""

    names: frozenset[str]
    folded: dict[str, str]

    @classmethod
    def of(cls, names: list[str]) -> _Listing:
        return cls(frozenset(names), {fold(name): name for name in names})

    def other_spelling(self, name: str) -> str | None:
        return None if name in self.names else self.folded.get(fold(name))


class WorkspaceTree:
    """The files below `root`, which stays open until `close`.

    A path is relative POSIX text. A method raises UnsafePath when the path or a part of it is a symbolic
    link, leaves the file system of the root, is protected (`.git`, the state directory) or not the kind
    of file asked for; WorkspaceUnwritable when the system refuses. Safe against links put in the way
    while it works: each step of the walk is a look at the open directory of the step before.
    """

    def __init__(self, root: Path, state_dir: Path | None = None) -> None:
        try:
            self.root: Final = root.resolve(strict=True)
            self._fd = files.open_root(self.root)
        except OSError as cause:
            raise WorkspaceNotFound(str(root), cause.strerror or "cannot be opened") from cause
        self._device: Final = files.status_of(self._fd).st_dev
        self._protected: set[tuple[int, int]] = set()
        self._mounts = _mounts_below(str(self.root))
        if state_dir is not None:
            self.protect(state_dir)

    def close(self) -> None:
        if self._fd >= 0:
            files.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the root."""
        return files.identity(files.status_of(self._fd))

    @property
    def in_place(self) -> bool:
        """Whether the root's path still leads to this directory."""
        try:
            return files.identity_of_directory(self.root) == self.identity
        except OSError:
            return False

    def protect(self, directory: Path) -> None:
        """Refuses every path through `directory` from now on, under whatever name it is reached."""
        try:
            self._protected.add(files.identity_of_directory(directory))
        except NO_FILE:
            return

    def read(self, path: str) -> BaseEntry | None:
        """The regular file at `path`; None when nothing stands there. The mode is its permission bits."""
        with self._open(path) as fd:
            if fd is None:
                return None
            found = files.status_of(fd)
            if found.st_size > READ_LIMIT:
                raise InvalidChange(f"{path!r} has {found.st_size} bytes, too many to change", path=path)
            return BaseEntry(files.read_all(fd), found.st_mode & files.PERMISSION_BITS)

    def fingerprint(self, path: str) -> Fingerprint | None:
        """Hash and mode of the regular file at `path`, None when nothing stands there."""
        found = self.find(path)
        return found.fingerprint if found else None

    def find(self, path: str) -> FoundFile | None:
        with self._open(path) as fd:
            return None if fd is None else found_file(fd)

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """An open descriptor of a directory of the workspace; `""` is the root.

        Raises FileNotFoundError or NotADirectoryError when there is none.
        """
        fd = files.open_directory(".", dir_fd=self._fd)
        try:
            at = ""
            for component in components(path) if path else ():
                at = f"{at}/{component}" if at else component
                below = self._step(fd, component, at, path)
                files.close(fd)
                fd = below
            yield fd
        finally:
            files.close(fd)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The open directory `path` lies in, and its last component; raises as `directory` does."""
        components(path)
        if path in self._mounts:
            raise UnsafePath(path, "another file system is mounted there")
        above, _, name = path.rpartition("/")
        with self.directory(above) as fd:
            yield fd, name

    def status(self, path: str) -> os.stat_result | None:
        """What stands at `path`, of whatever kind; None for nothing."""
        with files.reporting("look at", path):
            try:
                with self.parent(path) as (fd, name):
                    return files.status_or_none(name, dir_fd=fd)
            except NO_FILE:
                return None

    def names(self, path: str) -> list[str]:
        """The entries of a directory; none when there is no such directory."""
        with files.reporting("list", path or "."):
            try:
                with self.directory(path) as fd:
                    return files.names(fd)
            except NO_FILE:
                return []

    def refuse_collisions(self, paths: Iterable[str]) -> None:
        """Raises UnsafePath when a path differs only by case or normalisation from what stands there,
        or from another of the paths."""
        chosen: dict[str, str] = {}
        listings: dict[str, _Listing] = {}
        for path in paths:
            above = ""
            for component in components(path):
                at = f"{above}/{component}" if above else component
                if (same := chosen.setdefault(fold(at), at)) != at:
                    raise UnsafePath(path, f"{at!r} differs from {same!r} only by case or normalisation")
                if above not in listings:
                    listings[above] = _Listing.of(self.names(above))
                if (other := listings[above].other_spelling(component)) is not None:
                    raise UnsafePath(path, f"{other!r} is there, which differs only by case or normalisation")
                above = at

    @contextmanager
    def _open(self, path: str) -> Iterator[int | None]:
        with files.reporting("read", path):
            try:
                with self.parent(path) as (directory, name):
                    fd = open_regular(name, path, dir_fd=directory)
            except NO_FILE:
                fd = None
            if fd is None:
                yield None
                return
            with files.closing(fd):
                yield fd

    def _step(self, fd: int, component: str, at: str, path: str) -> int:
        try:
            below = files.open_directory(component, dir_fd=fd)
        except NotADirectoryError:
            if stat.S_ISLNK(files.status(component, dir_fd=fd).st_mode):
                raise UnsafePath(path, f"{at!r} is a symbolic link") from None
            raise
        try:
            found = files.status_of(below)
            if found.st_dev != self._device or at in self._mounts:
                raise UnsafePath(path, f"another file system is mounted at {at!r}")
            if files.identity(found) in self._protected:
                raise UnsafePath(path, f"{at!r} is the state directory")
        except BaseException:
            files.close(below)
            raise
        return below


def components(path: str) -> list[str]:
    """The parts of a relative path. Raises UnsafePath when one of them could lead elsewhere."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UnsafePath(path, "it is not a plain path inside the workspace")
    if "\0" in path:
        raise UnsafePath(path, "it holds a NUL")
    if (reason := _protected(path)) is not None:
        raise UnsafePath(path, reason)
    return parts


def ancestors(path: str) -> list[str]:
    """The directories `path` lies in, nearest first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def fold(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def open_regular(name: str, path: str, *, dir_fd: int) -> int | None:
    """Opens a regular file for reading; None when nothing stands there. Raises UnsafePath for the rest.

    It is looked at before it is opened, since opening alone can already move a tape.
    """
    found = files.status_or_none(name, dir_fd=dir_fd)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise UnsafePath(path, f"it is {files.kind(found.st_mode)}")
    try:
        fd = files.open_file(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    except OSError as cause:
        if cause.errno != errno.ELOOP:
            raise
        raise UnsafePath(path, "it is a symbolic link") from cause
    if not stat.S_ISREG(files.status_of(fd).st_mode):
        files.close(fd)
        raise UnsafePath(path, "it is no regular file")
    return fd


def found_file(fd: int) -> FoundFile:
    # The status before the bytes: an edit while they are read, or later, then shows in the status.
    status = files.status_of(fd)
    digest = hashlib.sha256()
    for chunk in files.read_chunks(fd):
        digest.update(chunk)
    return FoundFile(Fingerprint(digest.hexdigest(), stat.S_IMODE(status.st_mode)), status)


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


# The walk of one file asks several times.
_protected: Final = lru_cache(maxsize=4096)(is_protected)


def _mounts_below(root: str) -> frozenset[str]:
    prefix = root.rstrip("/") + "/"
    return frozenset(point[len(prefix) :] for point in files.mount_points() if point.startswith(prefix))
