"""Rows become records, events become text and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import lt
from typing import Any, Final

from executor.errors import InvalidInput
from executor.models.execution import (
    EventRecord,
    ExecutionRecord,
    LinkRecord,
    StepLog,
    StepRecord,
    WorkspaceRecord,
)
from executor.models.text import clean_text
from executor.models.token import TokenRecord
from executor.storage.engine import Row

# Of 64 KB a line of `events.jsonl` may have, what is left beside the fields every event has.
EVENT_DATA_BYTES: Final = 60 * 1024
_encoded: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
COMMON_FIELDS: Final = frozenset({"event", "execution_id", "correlation_id", "seq", "timestamp"})


def execution(row: Row, own_workspace_id: str | None) -> ExecutionRecord:
    return executions([row], own_workspace_id)[0]


def executions(rows: Iterable[Row], own_workspace_id: str | None) -> list[ExecutionRecord]:
    """Rows in the order of the record's fields; a database without truth values has numbers in their place."""
    records = [ExecutionRecord(*row) for row in rows]
    # One database answers always alike.
    numbered = bool(records) and type(records[0].rolled_back) is not bool
    for record in records:
        if numbered:
            record.verification_passed = bool(record.verification_passed)
            record.health_checks_passed = bool(record.health_checks_passed)
            record.rolled_back = bool(record.rolled_back)
        if record.workspace_id is None:
            record.workspace_id = own_workspace_id
    return records


def generations(rows: Iterable[Row], own_workspace_id: str | None) -> tuple[list[ExecutionRecord], int]:
    """Records by generation, start and id, and the last generation; rows end with theirs.

    Takes the rows one by one: thousands of wide tuples that live at the same time as their records are
    what the garbage collector then looks through, which costs as much as making the records.
    """
    depths: list[int] = []
    records = executions(_without_last(rows, depths), own_workspace_id)
    starts = [record.started_at for record in records]
    if not all(map(lt, zip(depths, starts, strict=True), islice(zip(depths, starts, strict=True), 1, None))):
        ids = [record.execution_id for record in records]
        places = list(zip(depths, starts, ids, strict=True))
        records = [records[number] for number in sorted(range(len(records)), key=places.__getitem__)]
    return records, max(depths, default=0)


def _without_last(rows: Iterable[Row], lasts: list[Any]) -> Iterator[Row]:
    for row in rows:
        lasts.append(row[-1])
        yield row[:-1]


def event(row: Row) -> EventRecord:
    name, execution_id, correlation_id, seq, timestamp, data, position = row
    return EventRecord(name, execution_id, correlation_id, seq, timestamp, _event_data(data), position)


def _event_data(text: object) -> Mapping[str, Any]:
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {}


def step(row: Row) -> StepRecord:
    return StepRecord(*row)


def step_log(row: Row) -> StepLog:
    execution_id, step_num, name, size, truncated, created_at = row
    return StepLog(execution_id, step_num, name, size, bool(truncated), created_at)


def step_log_content(row: Row) -> bytes | None:
    """The text of a row of size and compressed text. None when it is damaged."""
    size, compressed = row
    reading = zlib.decompressobj()
    try:
        # Never more than it says it holds, whatever somebody has put there.
        content = reading.decompress(bytes(compressed), max(size, 1))
    except zlib.error:
        return None
    return content if len(content) == size else None


def link(row: Row) -> LinkRecord:
    return LinkRecord(*row)


def token(row: Row) -> TokenRecord:
    return TokenRecord(*row)


def workspace(row: Row) -> WorkspaceRecord:
    return WorkspaceRecord(*row)


def event_text(data: Mapping[str, Any]) -> str:
    """An ASCII JSON object of at most 60 KB. What is longer is shortened and gets `truncated`.

    Raises InvalidInput for what is no JSON, or hides a field every event has.
    """
    text = _as_json(data)
    if not COMMON_FIELDS.isdisjoint(data):
        taken = ", ".join(sorted(COMMON_FIELDS.intersection(data)))
        raise InvalidInput(f"an event's own fields cannot be called {taken}; every event has these")
    if "\\u0000" in text or "\\ud" in text:
        text = _as_json(_cleaned(data))
    if len(text) <= EVENT_DATA_BYTES:
        return text
    for longest in (8192, 1024, 128):
        text = _as_json({**_shortened(_cleaned(data), longest), "truncated": True})
        if len(text) <= EVENT_DATA_BYTES:
            return text
    return _as_json({"truncated": True})


def _as_json(data: Mapping[str, Any]) -> str:
    try:
        return _encoded(data)
    except (TypeError, ValueError, RecursionError) as cause:
        raise InvalidInput(f"the fields of an event are no JSON: {cause}") from cause


def _cleaned(value: Any) -> Any:
    """With text as the engines hold it, surrogate pairs made whole; keys are text afterwards."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value


def _shortened(value: Any, longest: int) -> Any:
    """Texts cut to `longest` characters, lists and objects to a sixteenth as many members."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + "…"
    if isinstance(value, dict):
        kept = list(value.items())[: longest // 16]
        return {key[:longest]: _shortened(item, longest) for key, item in kept}
    if isinstance(value, list):
        return [_shortened(item, longest) for item in value[: longest // 16]]
    return value
