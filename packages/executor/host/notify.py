"""Tells others how executions come out: writes the notification down and has a process of its own deliver it.

Nothing here waits for the delivery, and nothing that goes wrong with it changes how an execution came out.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from executor.errors import InvalidSettings, RollbackIncomplete, WorkspaceUnwritable
from executor.events.recorder import redact_value
from executor.host.outbox import Outbox
from executor.host.scratch import SCRATCH_ID
from executor.host.settings import load_notify
from executor.models.execution import ExecutionStatus
from executor.models.times import format_time

if TYPE_CHECKING:
    from executor.events.redaction import Redactor
    from executor.models.execution import ExecutionRecord
    from executor.models.times import Clock
    from executor.storage.base import ExecutionStorage

logger = logging.getLogger(__name__)

RECOVERED: Final = "recovered"
_AWAITING: Final = "need_approval"
_VERSION: Final = 1
_MOST_PATHS: Final = 100
# Of the record: what tells a person, or a program, which execution it is and how it came out.
_FIELDS: Final = (
    *("execution_id", "correlation_id", "parent_execution_id", "trigger_kind", "attempt", "run_id"),
    *("title", "actor", "session", "status", "verdict", "risk_level", "files_changed", "duration_seconds"),
    *("error_step", "error_code", "error_message", "rolled_back", "base_commit", "branch"),
    *("started_at", "ended_at"),
)
# Seconds between two looks at what waits, for a process that goes on.
_PAUSE: Final = 60.0
# The shell goes at once, so that the process becomes nobody's child and leaves no zombie behind.
_DETACHED: Final = '"$@" &'


class Notifier:
    """Notifies about the executions of one workspace, as `[notify]` of its settings says."""

    def __init__(
        self,
        root: Path,
        state: Path,
        *,
        store: ExecutionStorage,
        environ: Mapping[str, str],
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._root, self._store, self._environ = root, store, environ
        self._redactor, self._clock = redactor, clock
        self._state = state
        self._outbox = Outbox(state)
        self._next_look = 0.0

    def check(self) -> None:
        """Raises InvalidSettings for settings that cannot be read: before a change, not after it."""
        load_notify(self._root)

    def tell(self, record: ExecutionRecord, *, recovered: bool = False) -> None:
        """Notifies of what has come of `record`, when that is asked for. Returns at once and raises nothing."""
        if (record.workspace_id or "").startswith(SCRATCH_ID):
            return
        try:
            settings = load_notify(self._root)
            names = (*((RECOVERED,) if recovered else ()), *_outcomes(record))
            name = next((name for name in names if settings is not None and name in settings.on), None)
            if name is None:
                return
            delivery_id, body = self._letter(record, name)
            self._outbox.post(delivery_id, body)
        except (InvalidSettings, WorkspaceUnwritable) as cause:
            logger.warning("nobody is notified of %s: %s", record.execution_id, cause)
            return
        self._deliver()

    def resume(self) -> None:
        """Has delivered what an earlier process could not, as far as its time has come."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _PAUSE
            if self._outbox.due():
                self._deliver()

    def _letter(self, record: ExecutionRecord, name: str) -> tuple[str, bytes]:
        last = self._store.list_events(record.execution_id, tail=1)
        delivery_id = f"{record.execution_id}-{name}-{last[-1].seq if last else 0}"
        decision = self._store.get_decision(record.execution_id)
        paths = list(record.affected_paths)
        value: dict[str, Any] = {
            "version": _VERSION,
            "delivery_id": delivery_id,
            "event": name,
            "text": _sentence(record, name, self._root),
            "timestamp": format_time(self._clock()),
            "workspace": {
                "workspace_id": record.workspace_id,
                "path": str(self._root),
                "host": socket.gethostname(),
            },
            "execution": {
                **{field: getattr(record, field) for field in _FIELDS},
                "affected_paths": paths[:_MOST_PATHS],
                "affected_paths_count": len(paths),
            },
            "reasons": list(decision.reasons) if decision is not None else [],
        }
        return delivery_id, msgspec.json.encode(redact_value(value, self._redactor))

    def _deliver(self) -> None:
        """Starts the process that empties the outbox; it ends by itself within a minute."""
        program = (sys.executable, "-P", "-m", "executor.host.delivery", str(self._state))
        try:
            subprocess.run(
                ["/bin/sh", "-c", _DETACHED, "executor-notify", *program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict(self._environ),
                start_new_session=True,
                check=False,
            )
        except OSError as cause:
            logger.warning("what is to be delivered waits for the next start: %s", cause)


def _outcomes(record: ExecutionRecord) -> tuple[str, ...]:
    """What an execution can be notified as. A rollback that is incomplete is one, too."""
    if record.awaiting_approval:
        return (_AWAITING,)
    if record.error_code == RollbackIncomplete.code:
        return (ExecutionStatus.ROLLED_BACK.value, ExecutionStatus.FAILED.value)
    return (str(record.status),)


def _sentence(record: ExecutionRecord, name: str, root: Path) -> str:
    title = record.title or record.execution_id
    error = f": {record.error_message}" if record.error_message else ""
    told = {
        _AWAITING: f"needs approval: executor approve {record.execution_id}",
        RECOVERED: f"was cut short and is recovered, {str(record.status).replace('_', ' ')}{error}",
        ExecutionStatus.ROLLED_BACK.value: f"was rolled back{error}",
        ExecutionStatus.FAILED.value: f"failed{error}",
        ExecutionStatus.COMPLETED.value: "is done",
    }
    if name == ExecutionStatus.ROLLED_BACK.value and record.error_code == RollbackIncomplete.code:
        return f"“{title}” in {root} failed, and not every file could be put back{error}"
    return f"“{title}” in {root} {told[name]}"
