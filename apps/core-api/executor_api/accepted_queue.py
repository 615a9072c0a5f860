"""Executions that were accepted and have not been run: a file each in `<state>/queue/`.

A file is on the disk before its execution is recorded and goes when it has been run. Whoever starts next finds
what was accepted and not run.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from executor.host.presence import safe_name

FOLDER: Final = "queue"
_SUFFIX: Final = ".accepted"


class AcceptedQueue:
    """In the order of acceptance. One process at a time takes from it: the worker of the workspace."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def add(self, execution_id: str) -> None:
        """On the disk when this returns."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns():020}-{safe_name(execution_id)}{_SUFFIX}"
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, execution_id.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def waiting(self) -> list[str]:
        """Execution ids, the first accepted first."""
        found = []
        for path in self._files():
            # Whoever looks on while it is taken from finds that a file has gone since the listing.
            with suppress(FileNotFoundError):
                found.append(path.read_text())
        return found

    def remove(self, execution_id: str) -> None:
        for path in self._files():
            if path.name.partition("-")[2] == safe_name(execution_id) + _SUFFIX:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []
