"""The one layer through which a workspace and its journal are touched.

Every function is one system call, or a loop over one, on a name relative to an open directory: nothing
follows a symbolic link, no descriptor reaches a child process, a call that a signal interrupts goes on, a
short write is continued. Errors are plain `OSError`; `reporting` turns them into `WorkspaceUnwritable`
where no caller has a use for the difference.

No other module of the host changes anything on disk, which a test checks in their sources. Replacing the name
`os` in this module is therefore enough to make any one operation of a real run fail.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Final

from executor.errors import WorkspaceUnwritable

CHUNK: Final = 1 << 20
PERMISSION_BITS: Final = 0o777
# Files written before the first of them is synced: that one pays for most of the others.
SYNCED_TOGETHER: Final = 64
# Directories open at once while a tree is removed; what lies deeper is moved up first.
_DEEPEST: Final = 32

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A FIFO or a terminal must not stop the walk: O_NONBLOCK and O_NOCTTY change nothing for regular files.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EMPTY: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reporting(operation: str, path: str) -> Iterator[None]:
    """Raises WorkspaceUnwritable, naming what was tried and where, for any `OSError` of the block."""
    try:
        yield
    except OSError as cause:
        raise unwritable(path, operation, cause) from cause


def unwritable(path: str, operation: str, cause: OSError) -> WorkspaceUnwritable:
    reason = cause.strerror or str(cause) or type(cause).__name__
    return WorkspaceUnwritable(path, operation, cause.errno or 0, reason)


def encode(name: str) -> bytes:
    """Names are UTF-8 whatever the locale says; bytes that are not come back as they went in."""
    return name.encode("utf-8", "surrogateescape")


def open_root(path: Path) -> int:
    """Opens a directory by its whole path; the only function here that follows links."""
    return os.open(encode(str(path)), _DIRECTORY)


def open_directory(name: str, *, dir_fd: int) -> int:
    """Raises NotADirectoryError for a symbolic link, as for everything else that is no directory."""
    return os.open(encode(name), _DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)


def open_file(name: str, *, dir_fd: int) -> int:
    """Opens for reading. The caller has seen that `name` is a regular file, and looks again."""
    return os.open(encode(name), _READ, dir_fd=dir_fd)


def create_file(name: str, *, dir_fd: int, mode: int = 0o600) -> int:
    """Creates a file, by default one only the owner can read, and opens it for writing. Raises FileExistsError.

    `mode` goes through the umask.
    """
    return os.open(encode(name), _CREATE, mode, dir_fd=dir_fd)


def open_marker(name: str, *, create: bool, dir_fd: int) -> int:
    """Opens a small file for reading and writing, made when `create` says so: one that is locked, not replaced."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    return os.open(encode(name), flags, 0o600, dir_fd=dir_fd)


def open_emptied(path: Path) -> int:
    """Opens a file by its whole path for writing, made or emptied; only the owner can read one that is made."""
    return os.open(encode(str(path)), _EMPTY, 0o600)


def close(fd: int) -> None:
    # Nothing is lost by a failing close: what has to last was synced, and that was checked.
    with suppress(OSError):
        os.close(fd)


@contextmanager
def closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        close(fd)


def read_chunks(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, CHUNK):
        yield chunk


def read_all(fd: int) -> bytes:
    return b"".join(read_chunks(fd))


def read_at(fd: int, size: int, offset: int) -> bytes:
    """`size` bytes from `offset`; fewer only where the file ends."""
    parts: list[bytes] = []
    while size > 0 and (part := os.pread(fd, min(size, CHUNK), offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Makes `data` all that stands in a file, by its whole path. Cut short, it holds less."""
    with closing(open_emptied(path)) as fd:
        write_all(fd, data)


def write_whole(name: str, data: bytes, *, dir_fd: int, durable: bool = False) -> None:
    """A file for the owner only that appears whole or not at all, and replaces what stands there.

    Synced only when it is to be `durable`.
    """
    with _filled(name, data, dir_fd=dir_fd, durable=durable) as temporary:
        rename(temporary, name, dir_fd=dir_fd, new_dir_fd=dir_fd)
    if durable:
        sync_directory(dir_fd)


def write_new(name: str, data: bytes, *, dir_fd: int, mode: int) -> None:
    """As `write_whole`, at a name nothing stands at. Raises FileExistsError and leaves what is there.

    `mode` goes through the umask.
    """
    with _filled(name, data, dir_fd=dir_fd, mode=mode) as temporary:
        publish_new(temporary, name, dir_fd=dir_fd, new_dir_fd=dir_fd)


@contextmanager
def _filled(
    name: str, data: bytes, *, dir_fd: int, mode: int = 0o600, durable: bool = False
) -> Iterator[str]:
    """The name of a temporary file that holds `data`; it goes when the block does not use it up."""
    temporary = f".{name}.{os.getpid()}"
    with suppress(FileNotFoundError):
        # Of a process that was killed and had this number.
        unlink(temporary, dir_fd=dir_fd)
    try:
        with closing(create_file(temporary, dir_fd=dir_fd, mode=mode)) as fd:
            write_all(fd, data)
            if durable:
                sync(fd)
        yield temporary
    except BaseException:
        with suppress(OSError):
            unlink(temporary, dir_fd=dir_fd)
        raise


def copy_file(
    name: str, found: os.stat_result, new_name: str, *, dir_fd: int, new_dir_fd: int
) -> os.stat_result:
    """Copies a regular file, with permissions and time, to a name nothing stands at; returns how the copy stands.

    `found` is how the file stands there. Raises FileExistsError, and OSError with EINVAL for what is no regular
    file; such a thing is not opened.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no regular file", name)
    mode = found.st_mode & PERMISSION_BITS
    original = os.open(encode(name), _READ, dir_fd=dir_fd)
    try:
        copy = os.open(encode(new_name), _CREATE, mode, dir_fd=new_dir_fd)
        try:
            # One byte more than there should be: most files then need one call.
            data = os.read(original, min(found.st_size + 1, CHUNK))
            while data:
                write_all(copy, data)
                if len(data) == found.st_size < CHUNK:
                    break
                data = os.read(original, CHUNK)
            os.utime(copy, ns=(found.st_mtime_ns, found.st_mtime_ns))
            made = os.fstat(copy)
            if made.st_mode & PERMISSION_BITS != mode:
                os.fchmod(copy, mode)
                made = os.fstat(copy)
            return made
        finally:
            close(copy)
    finally:
        close(original)


def rewrite(fd: int, data: bytes) -> None:
    """Makes `data` all that an open file holds. Cut short, it holds less."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    write_all(fd, data)


def sync(fd: int) -> None:
    os.fsync(fd)


def sync_directory(fd: int) -> None:
    """Makes the entries of a directory last. File systems that cannot do this (EINVAL) do not need it."""
    try:
        os.fsync(fd)
    except OSError as cause:
        if cause.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def status(name: str, *, dir_fd: int) -> os.stat_result:
    return os.stat(encode(name), dir_fd=dir_fd, follow_symlinks=False)


def status_or_none(name: str, *, dir_fd: int) -> os.stat_result | None:
    try:
        return status(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return None


def status_of(fd: int) -> os.stat_result:
    return os.fstat(fd)


def identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def identity_of_directory(path: Path) -> tuple[int, int]:
    """Of what a whole path leads to, links followed."""
    with closing(open_root(path)) as fd:
        return identity(status_of(fd))


def kind(mode: int) -> str:
    """The type of a file in words, for messages."""
    names = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return names.get(stat.S_IFMT(mode), "a special file")


def set_mode(fd: int, mode: int) -> None:
    os.fchmod(fd, mode)


def change_mode(name: str, mode: int, *, dir_fd: int) -> None:
    """As `set_mode`, of a file or directory that this user may not open. Follows no link."""
    with closing(os.open(encode(name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)) as fd:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101  # no path: a handle


def keep_owner(fd: int, uid: int, gid: int) -> None:
    """Gives the file the owner and group of the one it replaces, as far as this user may.

    Clears set-user-id bits, so the mode comes afterwards.
    """
    current = os.fstat(fd)
    for new_uid, new_gid in ((uid, gid), (-1, gid)):
        if (current.st_uid, current.st_gid) == (uid, gid):
            return
        try:
            os.fchown(fd, new_uid, new_gid)
        except OSError as cause:
            if cause.errno not in (errno.EPERM, errno.EINVAL):
                raise
        else:
            return


def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Replaces what stands at `new_name`, at once for everyone who looks."""
    os.rename(encode(name), encode(new_name), src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)


def publish_new(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Moves a file to a name nothing stands at. Raises FileExistsError and leaves what is there.

    Where the file system has no hard links the check and the move are two steps.
    """
    try:
        os.link(
            encode(name), encode(new_name), src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False
        )
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        if status_or_none(new_name, dir_fd=new_dir_fd) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name) from cause
        rename(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)
    else:
        unlink(name, dir_fd=dir_fd)


def unlink(name: str, *, dir_fd: int) -> None:
    os.unlink(encode(name), dir_fd=dir_fd)


def make_directory(name: str, mode: int, *, dir_fd: int) -> None:
    """`mode` goes through the umask; `set_mode` on the opened directory makes it exact."""
    os.mkdir(encode(name), mode, dir_fd=dir_fd)


def make_directories(path: Path, mode: int = 0o700) -> None:
    """Makes a directory only the owner can enter, and what is missing above it. One that is there stays."""
    missing = list(takewhile(lambda directory: not directory.is_dir(), (path, *path.parents)))
    for directory in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(encode(str(directory)), mode)  # noqa: PTH102  # through the name that faults replace


def remove_directory(name: str, *, dir_fd: int) -> None:
    os.rmdir(encode(name), dir_fd=dir_fd)


def remove_file(path: Path) -> None:
    """Removes a file by its whole path, when there is one."""
    with suppress(FileNotFoundError):
        os.unlink(encode(str(path)))  # noqa: PTH108  # through the name that faults replace


def remove_tree(path: Path) -> bool:
    """Removes a directory and all it holds, however deep; what a link leads to stays.

    What cannot be removed is passed over; True when all is gone.
    """
    try:
        with closing(open_root(path.parent)) as above:
            if status_or_none(path.name, dir_fd=above) is not None:
                _remove_tree(path.name, above)
            return status_or_none(path.name, dir_fd=above) is None
    except OSError:
        return not path.exists()


def _remove_tree(name: str, dir_fd: int) -> None:
    top = _open_removable(name, dir_fd)
    with closing(top):
        moved = 1
        # Directories that were too deep came up to the top, and have to be looked at in turn.
        while moved:
            moved = _empty(top, top, 0)
    with suppress(OSError):
        remove_directory(name, dir_fd=dir_fd)


def _open_removable(name: str, dir_fd: int) -> int:
    """Whoever made it may have taken the right to change it away."""
    with suppress(OSError):
        change_mode(name, 0o700, dir_fd=dir_fd)
    return open_directory(name, dir_fd=dir_fd)


def _empty(fd: int, top: int, depth: int) -> int:
    """Removes what a directory holds; returns how many directories were moved to `top` instead."""
    moved = 0
    for name in names(fd):
        with suppress(OSError):
            if not stat.S_ISDIR(status(name, dir_fd=fd).st_mode):
                unlink(name, dir_fd=fd)
            elif depth >= _DEEPEST:
                # A name nothing else has: that of the directory itself may be taken up there.
                rename(name, f".deep-{status(name, dir_fd=fd).st_ino}", dir_fd=fd, new_dir_fd=top)
                moved += 1
            else:
                with closing(_open_removable(name, fd)) as inner:
                    moved += _empty(inner, top, depth + 1)
                remove_directory(name, dir_fd=fd)
    return moved


def read_link(name: str, *, dir_fd: int) -> bytes:
    return os.readlink(encode(name), dir_fd=dir_fd)


def make_link(target: bytes, name: str, *, dir_fd: int) -> None:
    """Creates a symbolic link. Raises FileExistsError."""
    os.symlink(target, encode(name), dir_fd=dir_fd)


def names(fd: int) -> list[str]:
    """The entries of an open directory, in the order of their bytes."""
    return sorted(
        (os.fsencode(name).decode("utf-8", "surrogateescape") for name in os.listdir(fd)), key=encode
    )


def try_lock(fd: int) -> bool:
    """Takes the kernel's lock on an open file for as long as the description is open; does not wait."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(fd: int) -> None:
    """As `try_lock`, waiting for whoever holds it: for locks that are held for moments only."""
    fcntl.flock(fd, fcntl.LOCK_EX)


def mount_points() -> list[str]:
    """Where file systems are mounted, as the kernel spells the paths; empty where it does not tell."""
    try:
        with closing(os.open(b"/proc/self/mountinfo", _READ)) as fd:
            lines = read_all(fd).splitlines()
    except OSError:
        return []
    fields = (line.split(b" ") for line in lines)
    return [_unescape(field[4]).decode("utf-8", "surrogateescape") for field in fields if len(field) > 4]


def _unescape(field: bytes) -> bytes:
    for code in (b"\\040", b"\\011", b"\\012"):
        field = field.replace(code, bytes([int(code[1:], 8)]))
    return field.replace(b"\\134", b"\\")
