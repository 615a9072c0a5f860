"""The artifacts of one execution wherever they are: in its folder, or, for logs, in the store that hosts share."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from executor.errors import ArtifactNotFound
from executor.events.lines import last_seq
from executor.host.artifacts import CHANGESET, RESCUED, TRANSCRIPT
from executor.host.files import close, status_of
from executor.models.execution import EventType, StepStatus
from executor.models.times import parse_time

if TYPE_CHECKING:
    from executor.host.artifacts import ArtifactFolder
    from executor.models.execution import ExecutionRecord, StepLog
    from executor.storage.base import ExecutionStorage


_MEDIA_TYPES: Final = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".xml": "application/xml",
}
# The end of an execution is among its last events; what comes behind are later facts.
_LAST_EVENTS: Final = 5


def media_type(name: str) -> str:
    """What an artifact is, by its name; what a rollback rescued may be anything."""
    if name.startswith(f"{RESCUED}/"):
        return "application/octet-stream"
    if name == TRANSCRIPT:
        return "text/plain"
    return _MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


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
        found = {entry[0]: entry for entry in self._listed()}
        for log in self._logs.values():
            if log.name not in found or found[log.name][1] != log.size:
                found[log.name] = (log.name, log.size, parse_time(log.created_at).timestamp())
        return sorted(found.values())

    def missing(self, record: ExecutionRecord) -> list[str]:
        """Names that this execution has to have by now and that are not there, or not whole.

        A process that was killed, a full disk or somebody who tidied up leaves some out. Payload that gc
        dropped is not missing.
        """
        names = set(self.names())
        dropped = self._store.get_payload_dropped(record.execution_id) is not None
        expected = ["execution.json"] if record.ended else []
        if self._store.get_plan(record.execution_id) is not None:
            expected.append("plan.json")
        # A captured command that failed has a plan, and no change that could be decided about.
        if self._store.get_decision(record.execution_id) is not None:
            expected += ["decision.json", *(() if dropped else (CHANGESET,))]
        if not dropped:
            steps = self._store.get_execution_steps(record.execution_id)
            ended = [step for step in steps if step.status != StepStatus.RUNNING]
            expected += [step.log_ref for step in ended if step.log_ref]
        found = {name for name in expected if name not in names}
        if not self._has_events(record):
            found.add("events.jsonl")
        return sorted(found)

    def _has_events(self, record: ExecutionRecord) -> bool:
        """Whether the file goes as far as the rows did when the execution ended."""
        last = self._store.list_events(record.execution_id, tail=_LAST_EVENTS)
        ends = [event.seq for event in last if event.event == EventType.EXECUTION_END]
        wanted = ends[0] if ends else 1
        return not last or (self._folder is not None and last_seq(self._folder.events) >= wanted)

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

    def _listed(self) -> list[tuple[str, int, float]]:
        try:
            return self._folder.listing() if self._folder is not None else []
        except OSError:
            # On a disk that is away: as if it were on another host.
            return []

    def _opened(self, name: str) -> int | None:
        if self._folder is None:
            return None
        try:
            return self._folder.open(name)
        except (ArtifactNotFound, OSError):
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
