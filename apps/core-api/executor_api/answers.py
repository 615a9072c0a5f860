"""From what the library gives to what goes over the wire: the one place that maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from executor.models.change import FileChange
from executor.models.execution import (
    EventRecord,
    ExecutionRecord,
    Lineage,
    LineCounts,
    LinkRecord,
    Page,
    StepRecord,
)


def execution(record: ExecutionRecord) -> dict[str, Any]:
    shown = record.to_dict()
    shown.update(
        files_changed=_count(record.files_changed),
        attempt=_count(record.attempt) or 1,
        duration_seconds=_seconds(record.duration_seconds),
    )
    return shown


def summary(record: ExecutionRecord) -> dict[str, Any]:
    return {
        "execution_id": record.execution_id,
        "plan_id": record.plan_id,
        "title": record.title,
        "status": record.status,
        "verdict": record.verdict,
        "risk_level": record.risk_level,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "duration_seconds": _seconds(record.duration_seconds),
        "files_changed": _count(record.files_changed),
        "attempt": _count(record.attempt) or 1,
        "error_step": record.error_step,
        "correlation_id": record.correlation_id,
        "parent_execution_id": record.parent_execution_id,
        "trigger_kind": record.trigger_kind,
        "run_id": record.run_id,
    }


def executions(
    page: Page[ExecutionRecord],
    *,
    limit: int,
    offset: int,
    steps: Mapping[str, Sequence[StepRecord]] | None = None,
    lines: Mapping[str, LineCounts] | None = None,
) -> dict[str, Any]:
    """`steps` and `lines` by execution, where they were asked for."""
    shown = [execution(record) for record in page.items]
    if steps is not None:
        for item in shown:
            item["steps"] = [step_summary(step) for step in steps.get(item["execution_id"], ())]
    if lines is not None:
        for item in shown:
            counts = lines.get(item["execution_id"])
            item["lines_added"] = counts.added if counts else None
            item["lines_removed"] = counts.removed if counts else None
    return {
        "executions": shown,
        "total": page.total,
        "total_at_least": page.total_at_least,
        "limit": limit,
        "offset": offset,
        "next_cursor": page.next_cursor,
    }


def lineage(found: Lineage, *, depth: int, limit: int) -> dict[str, Any]:
    return {
        "execution": summary(found["execution"]),
        "ancestors": [summary(record) for record in found["ancestors"]],
        "descendants": [summary(record) for record in found["descendants"]],
        "siblings": [summary(record) for record in found["siblings"]],
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
    return msgspec.to_builtins(value)


def _count(value: object) -> int:
    # Old programs could write anything into a column of numbers.
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
