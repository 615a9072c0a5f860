"""Hashes of the files of a workspace, and the cache that saves computing them again.

A hash is believed while inode, size, change time and modification time of the file are the same, and both
times were at least two seconds old when it was computed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from executor.host import files

logger = logging.getLogger(__name__)

# Larger files are watched by inode, size and times only.
HASH_LIMIT: Final = 1 << 30
# Some file systems keep times in steps of two seconds.
RACY_NS: Final = 2_000_000_000
_CACHE_FORMAT: Final = b"executor-hashes-1\n"
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stood at a path. `mode` is the whole of `st_mode`; 0 for nothing.

    `sha256` is of the bytes of a file, empty when it could not be read or is too large. `blob` is the id git
    gives these bytes, `indexed` the id the index has for the path where that is another one. `racy`: the
    times were too fresh to be trusted. `link` is the text of a symbolic link.
    """

    mode: int
    size: int = 0
    ino: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    uid: int = 0
    gid: int = 0
    sha256: bytes = b""
    blob: bytes = b""
    indexed: bytes = b""
    link: bytes = b""
    racy: bool = False

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.mode)


class Hasher:
    """Hashes files below a root, believing what is known of those that have not changed since."""

    def __init__(
        self, root: Path, known: Mapping[bytes, Entry], now_ns: int, *, blobs: str | None = None
    ) -> None:
        """`blobs` names the hash by which the repository knows contents; without it none is computed."""
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._known = known
        self._trusted_before = now_ns - RACY_NS
        self._blobs = blobs
        self._blob_size = hashlib.new(blobs).digest_size if blobs else 0
        self.computed = False

    def close(self) -> None:
        os.close(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def entry(self, path: bytes, status: os.stat_result, indexed: bytes) -> Entry:
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            link = self.link(path) if stat.S_ISLNK(mode) else b""
            return _entry(status, indexed=indexed, link=link)
        known = self._known.get(path)
        if known is not None and len(known.blob) == self._blob_size and same_state(known, status):
            sha256, blob = known.sha256, known.blob
        else:
            self.computed = True
            sha256, blob = self.hashes(path, status.st_size)
        racy = max(status.st_mtime_ns, status.st_ctime_ns) >= self._trusted_before
        return _entry(
            status, sha256=sha256, blob=blob, indexed=indexed if indexed != blob else b"", racy=racy
        )

    def hashes(self, path: bytes, size: int) -> tuple[bytes, bytes]:
        """SHA-256 and git's id of a file; empty for one that cannot be read or is too large."""
        if size > HASH_LIMIT:
            return b"", b""
        try:
            fd = os.open(path, _OPEN, dir_fd=self._root)
        except OSError:
            return b"", b""
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return b"", b""
            plain = hashlib.sha256()
            blob = hashlib.new(self._blobs, usedforsecurity=False) if self._blobs else None
            if blob is not None:
                blob.update(b"blob %d\0" % status.st_size)
            length = 0
            while chunk := os.read(fd, files.CHUNK):
                length += len(chunk)
                plain.update(chunk)
                if blob is not None:
                    blob.update(chunk)
        except OSError:
            return b"", b""
        finally:
            os.close(fd)
        whole = blob is not None and length == status.st_size
        return plain.digest(), blob.digest() if blob is not None and whole else b""

    def link(self, path: bytes) -> bytes:
        """The text of a symbolic link; empty when it cannot be read."""
        try:
            return os.readlink(path, dir_fd=self._root)
        except OSError:
            return b""


class _Hashes(msgspec.Struct, array_like=True, gc=False):
    root: bytes
    entries: dict[bytes, Entry]


def _hashes_file(state_dir: Path) -> Path:
    return state_dir / "cache" / "hashes"


def load_hashes(state_dir: Path | None, root: Path) -> dict[bytes, Entry]:
    """What is known; nothing for a file that is missing, damaged or about another directory."""
    if state_dir is None:
        return {}
    try:
        data = _hashes_file(state_dir).read_bytes()
    except OSError:
        return {}
    head = len(_CACHE_FORMAT)
    if not data.startswith(_CACHE_FORMAT) or zlib.crc32(data[head + 4 :]) != int.from_bytes(
        data[head : head + 4], "big"
    ):
        return {}
    try:
        hashes = msgspec.msgpack.decode(data[head + 4 :], type=_Hashes)
    except msgspec.MsgspecError:
        return {}
    return hashes.entries if hashes.root == os.fsencode(root) else {}


def save_hashes(state_dir: Path, root: Path, entries: Mapping[bytes, Entry]) -> None:
    """Without the racy ones. A cache that cannot be written costs time, nothing else."""
    lasting = {path: entry for path, entry in entries.items() if entry.sha256 and not entry.racy}
    body = msgspec.msgpack.encode(_Hashes(os.fsencode(root), lasting))
    data = _CACHE_FORMAT + zlib.crc32(body).to_bytes(4, "big") + body
    path = _hashes_file(state_dir)
    try:
        files.make_directories(path.parent)
        with files.closing(files.open_root(path.parent)) as folder:
            files.write_whole(path.name, data, dir_fd=folder)
    except OSError as cause:
        logger.info("the cache of hashes cannot be written: %s", cause)


def same_state(entry: Entry, status: os.stat_result) -> bool:
    return (
        entry.ctime_ns == status.st_ctime_ns
        and entry.mtime_ns == status.st_mtime_ns
        and entry.size == status.st_size
        and entry.ino == status.st_ino
    )


def _entry(
    status: os.stat_result,
    *,
    sha256: bytes = b"",
    blob: bytes = b"",
    indexed: bytes = b"",
    link: bytes = b"",
    racy: bool = False,
) -> Entry:
    return Entry(
        status.st_mode,
        status.st_size,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_uid,
        status.st_gid,
        sha256,
        blob,
        indexed,
        link,
        racy,
    )
