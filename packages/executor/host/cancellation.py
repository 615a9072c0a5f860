"""Asking a running execution to stop: a file in `<state>/cancelling/` that its process looks for.

A file, not a signal: the number of a dead process may belong to another by now, and a process may run more
than one execution.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.host import files
from executor.host.presence import safe_name

logger = logging.getLogger(__name__)

FOLDER: Final = "cancelling"
# Seconds between two looks.
_INTERVAL: Final = 0.1


@dataclass(frozen=True, slots=True)
class CancelRequest:
    by: str
    reason: str | None


def request_cancel(state: Path, execution_id: str, request: CancelRequest) -> None:
    """Leaves the request where the process of the execution finds it. Raises WorkspaceUnwritable."""
    path = _path(state, execution_id)
    text = json.dumps({"by": request.by, "reason": request.reason})
    with files.reporting("create", str(path)):
        files.make_directories(path.parent)
        with files.closing(files.open_root(path.parent)) as folder:
            files.write_whole(path.name, text.encode("ascii"), dir_fd=folder)


def find_request(state: Path, execution_id: str) -> CancelRequest | None:
    try:
        value = json.loads(_path(state, execution_id).read_text("ascii"))
        return CancelRequest(str(value["by"]), value["reason"] and str(value["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # Whoever put it there wants it to stop.
        return CancelRequest("somebody", None)


def forget_request(state: Path, execution_id: str) -> None:
    """One that cannot be removed is of no account: nobody will look for it again."""
    path = _path(state, execution_id)
    try:
        files.remove_file(path)
    except OSError as cause:
        logger.warning("%s cannot be removed: %s", path, cause)


@contextmanager
def heeding(state: Path, execution_id: str, cancel: threading.Event) -> Iterator[None]:
    """Sets `cancel` when somebody asks for it while the block runs; takes the request away afterwards."""
    path = _path(state, execution_id)
    over = threading.Event()

    def look() -> None:
        while not over.wait(_INTERVAL):
            if path.exists():
                cancel.set()
                return

    watcher = threading.Thread(target=look, name="executor-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        forget_request(state, execution_id)


def _path(state: Path, execution_id: str) -> Path:
    return state / FOLDER / safe_name(execution_id)
