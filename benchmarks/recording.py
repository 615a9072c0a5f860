"""A row of the data set, recorded through the store the way a program would: a start and an end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Final

from benchmarks.baseline.dataset import COLUMNS, PLACE, Row
from executor.models.execution import ExecutionRecord
from executor.storage.store import ExecutionStore

# What an answer of the store holds beyond the data set. The baseline gets the same columns, so that both
# answer with as much.
WIDE: Final = (
    *COLUMNS,
    *(field.name for field in fields(ExecutionRecord) if field.name not in COLUMNS),
)


def record(row: Sequence[Any]) -> ExecutionRecord:
    """A row in the order of WIDE, or of COLUMNS, which leaves the others unset."""
    return ExecutionRecord(**dict(zip(WIDE, row, strict=False)))


def recorder(store: ExecutionStore, row: Row) -> Callable[[], None]:
    """Records the row when it is called. What it has to unpack is unpacked here, before a clock runs."""
    paths = json.loads(row[PLACE["affected_paths"]])
    artifacts, error, step = row[16], row[17], row[18]
    correlation_id, parent, trigger, run = row[20:24]
    verified, healthy, rolled_back = bool(row[13]), bool(row[14]), bool(row[15])

    def run_once() -> None:
        store.record_execution_start(
            *(row[0], row[1], row[2], row[3], row[4], row[5], row[7], paths, artifacts),
            correlation_id,
            parent,
            trigger,
            run,
        )
        store.record_execution_end(
            row[0], row[6], 4.5, 3, verified, healthy, rolled_back, error_message=error, error_step=step
        )

    return run_once
