"""Asking a running execution to stop: a file in `<state>/cancelling/` that its process looks for.

A file, not a signal: the number of a dead process may belong to another by now, and a process may run more
than one execution.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.host.files import reporting
from executor.host.presence import safe_name

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
    with reporting("create", str(path)):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"by": request.by, "reason": request.reason}), "ascii")
        temporary.replace(path)


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
    _path(state, execution_id).unlink(missing_ok=True)


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
