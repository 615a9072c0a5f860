"""Which executions have a live process: a locked file each in `<state>/running/`.

The kernel drops the lock when the process dies, however it dies. A file that can be locked belongs to an
execution that was cut short; recovery looks after it.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from executor.errors import WorkspaceUnwritable
from executor.host import files

logger = logging.getLogger(__name__)

FOLDER: Final = "running"


@dataclass(frozen=True, slots=True)
class Presence:
    """What a process leaves for whoever has to clean up after it."""

    execution_id: str
    workspace_id: str
    root: str
    pid: int


def safe_name(execution_id: str) -> str:
    """`execution_id` as one file name; ids of the usual shape stay as they are."""
    name = quote(execution_id, safe="")
    return "%2E" + name[1:] if name.startswith(".") else name


class Mark:
    """The mark of a process that is present; with `stays` it is left for recovery when the work is over."""

    def __init__(self) -> None:
        self.stays = False


@contextmanager
def present(state: Path, presence: Presence) -> Iterator[Mark]:
    """Marks the execution as live while the block runs, then removes the mark. An error leaves it in place.

    Raises BlockingIOError when another process is present, WorkspaceUnwritable when it cannot be marked.
    """
    name, mark = safe_name(presence.execution_id), Mark()
    with files.reporting("create", str(state / FOLDER)):
        files.make_directories(state / FOLDER)
    with _folder(state) as folder:
        if folder is None:
            raise WorkspaceUnwritable(str(state / FOLDER), "open", errno.ENOENT, "it was removed")
        descriptor = _make(name, presence, folder, str(state / FOLDER / name))
    try:
        yield mark
        if not mark.stays:
            clear(state, presence.execution_id)
    finally:
        files.close(descriptor)


def _make(name: str, presence: Presence, folder: int, path: str) -> int:
    """The open, locked mark, filled. Nobody sees it half made: that needs the lock of the folder."""
    with files.reporting("mark", path):
        descriptor = files.open_marker(name, create=True, dir_fd=folder)
    try:
        with files.reporting("mark", path):
            taken = files.try_lock(descriptor)
            if taken:
                files.rewrite(descriptor, _encode(presence))
        if not taken:
            raise BlockingIOError(errno.EAGAIN, "another process is present", path)
    except BaseException:
        files.close(descriptor)
        raise
    return descriptor


@contextmanager
def abandoned(state: Path) -> Iterator[list[Presence]]:
    """The executions whose process died, held against others who would recover them meanwhile.

    Remove a mark with `clear` once its execution is in order; marks left in place are found again.
    """
    held: list[int] = []
    found: list[Presence] = []
    try:
        with _folder(state) as folder:
            for name, descriptor in _tried(folder):
                if descriptor is None:
                    continue
                held.append(descriptor)
                presence = _decode(files.read_at(descriptor, 65_536, 0))
                if presence is None:
                    # Killed between creating the mark and filling it: nothing had begun.
                    _remove(state, name)
                else:
                    found.append(presence)
        yield found
    finally:
        for descriptor in held:
            files.close(descriptor)


def clear(state: Path, execution_id: str) -> None:
    _remove(state, safe_name(execution_id))


def _remove(state: Path, name: str) -> None:
    """A mark that cannot be removed is found again, and there is nothing to be done about it then."""
    try:
        with files.closing(files.open_root(state / FOLDER)) as folder:
            files.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as cause:
        logger.warning("the mark %s stays until the next recovery: %s", state / FOLDER / name, cause)


def any_marks(state: Path) -> bool:
    """Whether recovery may have something to do; cheap enough for every start."""
    try:
        with files.closing(files.open_root(state / FOLDER)) as folder:
            return bool(files.names(folder))
    except FileNotFoundError:
        return False
    except OSError as cause:
        raise files.unwritable(str(state / FOLDER), "open", cause) from cause


def is_marked(state: Path, execution_id: str) -> bool:
    """Whether a process works on this execution, or one died doing so and recovery has not been there."""
    with _folder(state) as folder:
        return folder is not None and files.status_or_none(safe_name(execution_id), dir_fd=folder) is not None


def is_live(state: Path, execution_id: str) -> bool:
    """Whether a process works on this execution now."""
    name = safe_name(execution_id)
    with _folder(state) as folder:
        if folder is None or files.status_or_none(name, dir_fd=folder) is None:
            return False
        descriptor = _try_lock(name, folder)
        if descriptor is None:
            return files.status_or_none(name, dir_fd=folder) is not None
        files.close(descriptor)
        return False


@contextmanager
def _folder(state: Path) -> Iterator[int | None]:
    """The open `<state>/running`, locked; None when there is none.

    Whoever makes a mark or tries the locks of others holds this lock for that moment. Else a mark that is
    just being made would look abandoned and be swept away, and its process would die unnoticed.
    """
    path = str(state / FOLDER)
    try:
        descriptor = files.open_root(state / FOLDER)
    except FileNotFoundError:
        yield None
        return
    except OSError as cause:
        raise files.unwritable(path, "open", cause) from cause
    with files.closing(descriptor):
        with files.reporting("lock", path):
            files.lock(descriptor)
        yield descriptor


def _tried(folder: int | None) -> Iterator[tuple[str, int | None]]:
    """Each mark by name, with what `_try_lock` says of it."""
    if folder is not None:
        for name in files.names(folder):
            yield name, _try_lock(name, folder)


def _try_lock(name: str, folder: int) -> int | None:
    """An open, locked descriptor of the file that stands at `name`; None when it is taken or gone."""
    try:
        descriptor = files.open_marker(name, create=False, dir_fd=folder)
    except FileNotFoundError:
        return None
    current = files.status_or_none(name, dir_fd=folder) if files.try_lock(descriptor) else None
    if current is None or files.identity(current) != files.identity(files.status_of(descriptor)):
        files.close(descriptor)
        return None
    return descriptor


def _encode(presence: Presence) -> bytes:
    return json.dumps(
        {
            "execution_id": presence.execution_id,
            "workspace_id": presence.workspace_id,
            "root": presence.root,
            "pid": presence.pid,
        }
    ).encode("ascii")


def _decode(data: bytes) -> Presence | None:
    try:
        value = json.loads(data)
        return Presence(value["execution_id"], value["workspace_id"], value["root"], value["pid"])
    except (ValueError, KeyError, TypeError):
        return None
