"""`events.jsonl`: the rendering of an execution's event rows beside its artifacts.

The rows are the record. The file is caught up from them: after each event while an execution runs, by
recovery after a crash. A line torn by a crash is closed before the next one is written; readers skip
lines that are no JSON object.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from executor.models.execution import EventRecord

LINE_BYTES: Final = 64 * 1024
_TAIL_BYTES: Final = 2 * LINE_BYTES


def event_line(event: EventRecord) -> bytes:
    """One ASCII line. A line over 64 KB keeps the event's identity and says `truncated`."""
    line = json.dumps(event.to_dict(), separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) <= LINE_BYTES:
        return line
    identity = EventRecord(
        event.event, event.execution_id, event.correlation_id, event.seq, event.timestamp, {"truncated": True}
    )
    return json.dumps(identity.to_dict(), separators=(",", ":")).encode("ascii") + b"\n"


def last_seq(path: Path) -> int:
    """The highest `seq` among the last whole lines of the file; 0 when there is no file or none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return 0
    return max((_seq(line) for line in tail.split(b"\n")), default=0)


def _seq(line: bytes) -> int:
    try:
        value: Any = json.loads(line)
    except ValueError:
        return 0
    seq = value.get("seq") if isinstance(value, dict) else None
    return seq if isinstance(seq, int) else 0


def append_lines(path: Path, events: Iterable[EventRecord]) -> None:
    """Appends in one write, after closing a torn last line."""
    data = b"".join(map(event_line, events))
    if not data:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size > 0 and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
