"""The artifacts of one execution wherever they are: in its folder, or, for logs, in the store that hosts share."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from executor.errors import ArtifactNotFound
from executor.host.files import close, status_of
from executor.models.times import parse_time

if TYPE_CHECKING:
    from executor.host.artifacts import ArtifactFolder
    from executor.models.execution import StepLog
    from executor.storage.base import ExecutionStorage


class KeptArtifacts:
    """`folder` is None where it is on another host.

    A log in the folder that is not as long as the one the store keeps is incomplete; the store's is read.
    """

    def __init__(self, store: ExecutionStorage, execution_id: str, folder: ArtifactFolder | None) -> None:
        self._store = store
        self._execution_id = execution_id
        self._folder = folder

    @cached_property
    def _logs(self) -> dict[str, StepLog]:
        return {log.name: log for log in self._store.list_step_logs(self._execution_id)}

    def names(self) -> list[str]:
        return [name for name, _, _ in self.listing()]

    def listing(self) -> list[tuple[str, int, float]]:
        """Every artifact by name, with its size in bytes and its time in seconds since the epoch."""
        found = {entry[0]: entry for entry in (self._folder.listing() if self._folder else ())}
        for log in self._logs.values():
            if log.name not in found or found[log.name][1] != log.size:
                found[log.name] = (log.name, log.size, parse_time(log.created_at).timestamp())
        return sorted(found.values())

    def open(self, name: str) -> int:
        """A descriptor to read an artifact with. Raises ArtifactNotFound for every name that is not listed."""
        kept = self._logs.get(name)
        descriptor = self._opened(name)
        if descriptor is not None and (kept is None or status_of(descriptor).st_size == kept.size):
            return descriptor
        content = None if kept is None else self._store.get_step_log(self._execution_id, name)
        if kept is not None and content is not None:
            if descriptor is not None:
                close(descriptor)
            return _in_memory(content, parse_time(kept.created_at).timestamp())
        if descriptor is None:
            raise ArtifactNotFound(self._execution_id, name)
        return descriptor

    def read(self, name: str) -> bytes:
        """Raises ArtifactNotFound."""
        with os.fdopen(self.open(name), "rb") as file:
            return file.read()

    def _opened(self, name: str) -> int | None:
        if self._folder is None:
            return None
        try:
            return self._folder.open(name)
        except ArtifactNotFound:
            return None


def _in_memory(content: bytes, modified: float) -> int:
    """A descriptor of a file that has no name; what reads artifacts need not know where they were."""
    descriptor = os.memfd_create("artifact", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.utime(descriptor, (modified, modified))
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        close(descriptor)
        raise
    return descriptor
