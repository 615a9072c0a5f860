"""The file of events follows the rows, whatever the disk does."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from executor.events.recorder import EventRecorder
from executor.events.redaction import Redactor
from executor.models.execution import EventRecord, EventType
from executor.storage.store import ExecutionStore
from support.faults import Fault, faulty

STARTED = ("exec_1", "plan_1", "cs_1", "dec_1", "0" * 64, "allow", "low", ["a"], "/artifacts")


def test_a_file_that_cannot_be_written_catches_up_when_it_can(tmp_path: Path) -> None:
    """Nobody else notices: the rows are the record, and whoever watches sees each event once."""
    path, seen = tmp_path / "events.jsonl", list[EventRecord]()
    with ExecutionStore(url=f"sqlite:///{tmp_path}/executor.db") as store:
        store.record_execution_start(*STARTED)
        recorder = EventRecorder(store, "exec_1", path, redactor=Redactor({}), observer=seen.append)
        recorder.catch_up()
        with faulty(Fault(nth=2, error=errno.ENOSPC, lasting=True)):
            recorder.emit(EventType.GATE_DECIDED)
            recorder.emit(EventType.ROLLBACK_START)
        recorder.emit(EventType.ROLLBACK_END)
        rows = store.list_events("exec_1")

    lines = path.read_bytes().splitlines()
    whole = [json.loads(line)["seq"] for line in lines if line.endswith(b"}")]
    assert [1, 2, 3, 4] == [row.seq for row in rows] == [event.seq for event in seen] == whole
    # The half line that fitted on the disk stands alone.
    assert len(whole) + 1 == len(lines)
