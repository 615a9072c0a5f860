"""What a server serves: one database and the workspaces of this machine that record into it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from executor.errors import (
    ArtifactNotFound,
    ExecutionNotFound,
    ExecutorError,
    InvalidSettings,
    PayloadDropped,
)
from executor.host.artifacts import ArtifactFolder
from executor.host.git import find_workspace
from executor.host.kept_artifacts import KeptArtifacts
from executor.host.retention import names_artifact
from executor.migrations.facts import DatabaseSize, size
from executor.migrations.inspection import status
from executor.models.execution import ExecutionRecord
from executor.runtime import open_runtime
from executor.storage.location import DATABASE_FILE, resolve_workspace, state_directory
from executor.storage.store import ExecutionStore
from executor_api.problems import Refused
from executor_api.settings import Settings
from executor_api.workers import WorkerProcess

# With less than this an execution may find no room for its backups.
LEAST_FREE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class ServedWorkspace:
    workspace_id: str
    root: Path
    state: Path


class Served:
    """Opened on first use; `close` lets go of every connection.

    Raises InvalidSettings, when it is made, for workspaces that record into different databases.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._url = settings.environ.get("EXECUTOR_DATABASE_URL") or None
        self.roots = tuple(
            dict.fromkeys(find_workspace(resolve_workspace(start)) for start in settings.workspaces)
        )
        if not self.roots:
            raise InvalidSettings("no workspace to serve")
        states = {state_directory(root, settings.environ) for root in self.roots}
        if self._url is None and len(states) > 1:
            raise InvalidSettings(
                "these workspaces record into different databases; set EXECUTOR_DATABASE_URL to the one they share"
            )
        self._opening = threading.Lock()
        self._store: ExecutionStore | None = None
        self._workspaces: dict[str, ServedWorkspace] = {}
        self._workers: dict[str, WorkerProcess] = {}

    @property
    def store(self) -> ExecutionStore:
        return self._store or self._opened()

    @property
    def workspaces(self) -> dict[str, ServedWorkspace]:
        """By id."""
        self._store or self._opened()
        return self._workspaces

    def _opened(self) -> ExecutionStore:
        with self._opening:
            if self._store is None:
                found: dict[str, ServedWorkspace] = {}
                for root in self.roots:
                    runtime = open_runtime(root, environ=self.settings.environ)
                    try:
                        runtime.recover_abandoned()
                        found[runtime.workspace_id] = ServedWorkspace(
                            runtime.workspace_id, runtime.root, runtime.state
                        )
                    finally:
                        runtime.close()
                self._workspaces = found
                self._workers = {
                    name: WorkerProcess(workspace.root, workspace.state, self.settings.environ)
                    for name, workspace in found.items()
                }
                for worker in self._workers.values():
                    worker.go_on()
                self._store = ExecutionStore(self.roots[0], environ=self.settings.environ)
            return self._store

    def close(self) -> None:
        """Lets the workers finish what they run."""
        with self._opening:
            for worker in self._workers.values():
                worker.close()
            self._workers = {}
            if self._store is not None:
                self._store.close()
                self._store = None

    def worker(self, workspace_id: str | None = None) -> WorkerProcess:
        """The worker of a workspace that is served; without an id of the only one, else of the first.

        Raises Refused.
        """
        workspaces = self.workspaces
        name = next(iter(workspaces)) if workspace_id is None else workspace_id
        if name not in workspaces:
            raise Refused(
                409,
                "workspace_not_served",
                f"workspace {name!r} is not served here; GET /workspaces lists them",
            )
        return self._workers[name]

    def worker_of(self, record: ExecutionRecord) -> WorkerProcess:
        """The worker that can change the execution's workspace, else one that can change its record."""
        known = record.workspace_id if record.workspace_id in self.workspaces else None
        return self.worker(known)

    def record(self, execution_id: str) -> ExecutionRecord:
        """Raises ExecutionNotFound."""
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        return record

    def folder(self, record: ExecutionRecord) -> ArtifactFolder | None:
        """Where the artifacts are: this server serves the workspace, or they were imported into one it serves."""
        workspace = self.workspaces.get(record.workspace_id or "")
        if workspace is not None:
            return ArtifactFolder(workspace.state, record.execution_id)
        imported = (ArtifactFolder(w.state, record.execution_id) for w in self.workspaces.values())
        return next((folder for folder in imported if folder.exists()), None)

    def artifacts(self, execution_id: str) -> KeptArtifacts:
        """Raises ExecutionNotFound."""
        record = self.record(execution_id)
        return KeptArtifacts(self.store, execution_id, self.folder(record))

    def dropped_at(self, execution_id: str) -> str | None:
        """When gc dropped the payload of an execution, if it did."""
        event = self.store.get_payload_dropped(execution_id)
        return None if event is None else event.timestamp

    def refuse_dropped(self, execution_id: str) -> None:
        """Raises PayloadDropped."""
        dropped_at = self.dropped_at(execution_id)
        if dropped_at is not None:
            raise PayloadDropped(execution_id, dropped_at)

    @contextmanager
    def opened_artifact(self, execution_id: str, name: str) -> Iterator[int]:
        """A descriptor of the file. Raises ExecutionNotFound, ArtifactNotFound, PayloadDropped."""
        try:
            descriptor = self.artifacts(execution_id).open(name)
        except ArtifactNotFound:
            event = self.store.get_payload_dropped(execution_id)
            if event is not None and names_artifact(event, name):
                raise PayloadDropped(execution_id, event.timestamp) from None
            raise
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @property
    def _database(self) -> str | Path:
        return self._url or state_directory(self.roots[0], self.settings.environ) / DATABASE_FILE

    def database_size(self) -> DatabaseSize:
        """Of the database that is served. Raises what opening it raises."""
        self._store or self._opened()
        return size(self._database)

    def readiness(self) -> dict[str, Any]:
        """Whether database, schema and disk are as an execution needs them. Never raises."""
        found: dict[str, Any] = {
            "ready": False,
            "database": False,
            "schema_version": None,
            "schema_current": False,
            "disk_free_bytes": None,
            "disk": False,
        }
        state = state_directory(self.roots[0], self.settings.environ)
        try:
            self.store.last_event_position()
            found["database"] = True
            known = status(self._database)
            found["schema_version"] = known.current
            found["schema_current"] = known.current == known.newest
            free = shutil.disk_usage(state).free
            found["disk_free_bytes"] = free
            found["disk"] = free >= LEAST_FREE_BYTES
        except (ExecutorError, OSError):
            # What could not be found out is in the answer as not so.
            return found
        found["ready"] = found["schema_current"] and found["disk"]
        return found
