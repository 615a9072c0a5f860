"""Executions for tests, of which only the interesting values have to be named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from executor.models.execution import ExecutionRecord, LinkRecord
from executor.storage.base import ExecutionStorage


def start(
    store: ExecutionStorage, execution_id: str, parent: str | None = None, **values: Any
) -> ExecutionRecord:
    """Records a start; a child is a retry unless `trigger_kind` says otherwise."""
    given: dict[str, Any] = {
        "plan_id": f"plan_{execution_id}",
        "changeset_id": f"cs_{execution_id}",
        "decision_id": f"dec_{execution_id}",
        "checksum": f"sum_{execution_id}",
        "verdict": "allow",
        "risk_level": "low",
        "affected_paths": ["src/a.py"],
        "artifact_path": f"executions/{execution_id}",
        "parent_execution_id": parent,
        "trigger_kind": "manual" if parent is None else "retry",
    }
    return store.record_execution_start(execution_id, **(given | values))


def finish(store: ExecutionStorage, execution_id: str, parent: str | None = None, **values: Any) -> None:
    """Records a start and an end; `status` is completed unless given."""
    status = values.pop("status", "completed")
    start(store, execution_id, parent, **values)
    store.record_execution_end(execution_id, status)


def row(execution_id: str, **values: Any) -> dict[str, Any]:
    """A row as it stands in the table. What is not given is NULL or what version 0 requires."""
    given: dict[str, Any] = {
        "execution_id": execution_id,
        "plan_id": "plan_1",
        "changeset_id": "cs_1",
        "decision_id": "dec_1",
        "checksum": "abc",
        "verdict": "allow",
        "status": "completed",
        "started_at": "2026-01-01T00:00:00.000000Z",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "trigger_kind": None,
    }
    return given | values


def link_row(link: LinkRecord) -> dict[str, Any]:
    """A link as it stands in the table."""
    return {
        "source_id": link.source_id,
        "kind": link.kind,
        "target_id": link.target_id,
        "correlation_id": link.source_id,
    }


def as_record(values: Mapping[str, Any]) -> ExecutionRecord:
    """What `from_row` makes of a row of the table."""
    return ExecutionRecord.from_row(_Row(values))


class _Row(dict[str, Any]):
    """A mapping in the place of a driver's row."""

    def keys(self) -> Any:
        return list(super().keys())


def paths(*names: str) -> str:
    return json.dumps(names)


def ids(records: Iterable[ExecutionRecord]) -> list[str]:
    return [record.execution_id for record in records]
