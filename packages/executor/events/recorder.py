"""Records what happens to one execution: row first, then the line beside the artifacts, then whoever watches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.events.lines import append_lines, last_seq
from executor.events.redaction import Redactor
from executor.models.execution import EventRecord, EventType
from executor.storage.base import ExecutionStorage

logger = logging.getLogger(__name__)

Observer = Callable[[EventRecord], None]

_BATCH = 1_000


class EventRecorder:
    """The events of one execution, in order.

    The store writes some events itself (start, steps, end); `catch_up` brings these, too, into the file
    and to the observer. Call it after each call to the store.
    """

    def __init__(
        self,
        store: ExecutionStorage,
        execution_id: str,
        path: Path,
        *,
        redactor: Redactor,
        observer: Observer | None = None,
    ) -> None:
        self._store = store
        self._execution_id = execution_id
        self._path = path
        self._redactor = redactor
        self._observer = observer
        self._seq = last_seq(path)
        self._behind = False

    def emit(self, event: EventType, data: Mapping[str, Any] | None = None) -> None:
        self._store.append_events(self._execution_id, [(event.value, self._redact(data or {}))])
        self.catch_up()

    def emit_many(self, events: list[tuple[EventType, Mapping[str, Any]]]) -> None:
        if events:
            rows = [(event.value, self._redact(data)) for event, data in events]
            self._store.append_events(self._execution_id, rows)
            self.catch_up()

    def catch_up(self) -> None:
        """Appends every event the file does not hold yet, and shows it to the observer.

        A file that cannot be written stays behind until it can: the rows are the record.
        """
        while events := self._store.list_events(self._execution_id, after=self._seq, limit=_BATCH):
            self._append(events)
            self._seq = events[-1].seq
            if self._observer is not None:
                for event in events:
                    self._observer(event)

    def _append(self, events: Sequence[EventRecord]) -> None:
        try:
            if self._behind:
                written = last_seq(self._path)
                while missed := self._missed(written, events[0].seq):
                    append_lines(self._path, missed)
                    written = missed[-1].seq
            append_lines(self._path, events)
        except OSError as cause:
            if not self._behind:
                logger.warning("%s is behind the record: %s", self._path, cause)
            self._behind = True
        else:
            self._behind = False

    def _missed(self, written: int, until: int) -> list[EventRecord]:
        """The next events that could not be written when they happened."""
        events = self._store.list_events(self._execution_id, after=written, limit=_BATCH)
        return [event for event in events if event.seq < until]

    def _redact(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {key: redact_value(value, self._redactor) for key, value in data.items()}


def redact_value(value: Any, redactor: Redactor) -> Any:
    """`value`, of JSON's kinds, with every text in it redacted; names of fields stay."""
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, list | tuple):
        return [redact_value(item, redactor) for item in value]
    if isinstance(value, Mapping):
        return {key: redact_value(item, redactor) for key, item in value.items()}
    return value
