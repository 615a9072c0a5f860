"""Which executions have a live process: a locked file each in `<state>/running/`.

The kernel drops the lock when the process dies, however it dies. A file that can be locked belongs to an
execution that was cut short; recovery looks after it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

FOLDER: Final = "running"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


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


@contextmanager
def present(state: Path, presence: Presence) -> Iterator[None]:
    """Marks the execution as live while the block runs, then removes the mark."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / safe_name(presence.execution_id)
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, _encode(presence))
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def abandoned(state: Path) -> Iterator[list[Presence]]:
    """The executions whose process died, held against others who would recover them meanwhile.

    Remove a mark with `clear` once its execution is in order; marks left in place are found again.
    """
    held: list[int] = []
    found: list[Presence] = []
    try:
        for path in _marks(state):
            descriptor = _try_lock(path)
            if descriptor is None:
                continue
            held.append(descriptor)
            presence = _decode(os.pread(descriptor, 65_536, 0))
            if presence is None:
                # Killed between creating the mark and filling it: nothing had begun.
                path.unlink(missing_ok=True)
            else:
                found.append(presence)
        yield found
    finally:
        for descriptor in held:
            os.close(descriptor)


def clear(state: Path, execution_id: str) -> None:
    (state / FOLDER / safe_name(execution_id)).unlink(missing_ok=True)


def any_marks(state: Path) -> bool:
    """Whether recovery may have something to do; cheap enough for every start."""
    return bool(_marks(state))


def is_live(state: Path, execution_id: str) -> bool:
    """Whether a process works on this execution now."""
    path = state / FOLDER / safe_name(execution_id)
    if not path.exists():
        return False
    descriptor = _try_lock(path)
    if descriptor is None:
        return path.exists()
    os.close(descriptor)
    return False


def _marks(state: Path) -> list[Path]:
    try:
        return sorted((state / FOLDER).iterdir())
    except FileNotFoundError:
        return []


def _try_lock(path: Path) -> int | None:
    """An open, locked descriptor of the file that stands at `path`; None when it is taken or gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        current = path.stat(follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    if current.st_ino != os.fstat(descriptor).st_ino:
        os.close(descriptor)
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
