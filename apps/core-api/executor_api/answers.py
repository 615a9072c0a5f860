"""From what the library gives to what goes over the wire: the one place that maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import orjson

from executor.models.change import FileChange
from executor.models.detail import ExecutionDetail
from executor.models.execution import (
    EventRecord,
    ExecutionRecord,
    Lineage,
    LineCounts,
    LinkRecord,
    Page,
    StepRecord,
)
from executor_api import schemas
from executor_api.encoding import encoded_list


def execution(record: ExecutionRecord) -> dict[str, Any]:
    shown = record.to_dict()
    shown["files_changed"] = _count(shown["files_changed"])
    shown["attempt"] = _count(shown["attempt"]) or 1
    shown["duration_seconds"] = _seconds(shown["duration_seconds"])
    return shown


_SUMMARY: Final = tuple(schemas.LineageExecutionSummary.model_fields)
_summary_values: Final = attrgetter(*_SUMMARY)


def summary(record: ExecutionRecord) -> dict[str, Any]:
    shown = dict(zip(_SUMMARY, _summary_values(record), strict=True))
    shown["files_changed"] = _count(shown["files_changed"])
    shown["attempt"] = _count(shown["attempt"]) or 1
    shown["duration_seconds"] = _seconds(shown["duration_seconds"])
    return shown


def summaries(records: list[ExecutionRecord]) -> Any:
    """`records` may be empty afterwards."""
    return encoded_list(records, summary)


def detail(found: ExecutionDetail, transcript: str | None, first_attempt: str | None) -> dict[str, Any]:
    dropped = found.payload_dropped
    return {
        "execution": execution(found.execution),
        "unresolved": found.unresolved,
        "steps": [step(record) for record in found.steps],
        "plan": document(found.plan),
        "decision": document(found.decision),
        "approval": document(found.approval),
        "links": [link(record) for record in found.links],
        "reverted_by": found.reverted_by,
        "first_attempt_id": first_attempt,
        "artifact_path": found.execution.artifact_path,
        "transcript": transcript,
        "payload_dropped_at": dropped.timestamp if dropped else None,
    }


def executions(
    page: Page[ExecutionRecord],
    *,
    limit: int,
    offset: int,
    steps: Mapping[str, Sequence[StepRecord]] | None = None,
    lines: Mapping[str, LineCounts] | None = None,
    first_attempts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`steps`, `lines` and `first_attempts` by execution, where they were asked for."""
    shown = [execution(record) for record in page.items]
    if steps is not None:
        for item in shown:
            item["steps"] = [step_summary(step) for step in steps.get(item["execution_id"], ())]
    if lines is not None:
        for item in shown:
            counts = lines.get(item["execution_id"])
            item["lines_added"] = counts.added if counts else None
            item["lines_removed"] = counts.removed if counts else None
    if first_attempts is not None:
        for item in shown:
            item["first_attempt_id"] = first_attempts.get(item["execution_id"])
    return {
        "executions": encoded_list(shown, lambda item: item),
        "total": page.total,
        "total_at_least": page.total_at_least,
        "limit": limit,
        "offset": offset,
        "next_cursor": page.next_cursor,
    }


def lineage(found: Lineage, *, depth: int, limit: int) -> dict[str, Any]:
    """The lists of `found` may be empty afterwards."""
    return {
        "execution": summary(found["execution"]),
        "ancestors": summaries(found["ancestors"]),
        "descendants": summaries(found["descendants"]),
        "siblings": summaries(found["siblings"]),
        "truncated": found["truncated"],
        "depth": depth,
        "limit": limit,
    }


def step_summary(record: StepRecord) -> dict[str, Any]:
    return {
        "step_name": record.step_name,
        "status": record.status,
        "duration_seconds": _seconds(record.duration_seconds),
    }


def step(record: StepRecord) -> dict[str, Any]:
    return record.to_dict() | {"duration_seconds": _seconds(record.duration_seconds)}


def link(record: LinkRecord) -> dict[str, Any]:
    return {"source_id": record.source_id, "kind": record.kind, "target_id": record.target_id}


def events(execution_id: str, found: Iterable[EventRecord], after: int) -> dict[str, Any]:
    shown = [event.to_dict() for event in found]
    return {
        "execution_id": execution_id,
        "events": shown,
        "last_seq": shown[-1]["seq"] if shown else after,
    }


def changed_file(change: FileChange) -> dict[str, Any]:
    return {
        "operation": change.operation.value,
        "path": change.path,
        "old_sha256": change.old_sha256,
        "new_sha256": change.new_sha256,
        "lines_added": change.lines_added,
        "lines_removed": change.lines_removed,
    }


def document(value: msgspec.Struct | None) -> Any:
    """A plan, decision or approval as it is kept."""
    return None if value is None else orjson.Fragment(msgspec.json.encode(value))


def _count(value: object) -> int:
    # Old programs could write anything into a column of numbers.
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
