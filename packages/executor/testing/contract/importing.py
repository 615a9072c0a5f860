"""Executions of another database, many at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import (
    CorrelationMismatch,
    ExecutionExists,
    InvalidInput,
    InvalidNumber,
    InvalidTime,
    ParentNotFound,
    SelfParent,
    UnknownRiskLevel,
    UnknownStatus,
    UnknownStep,
    UnknownTriggerKind,
    UnknownVerdict,
)
from executor.models.execution import ExecutionRecord
from executor.storage.base import ExecutionStorage
from executor.storage.imports import BATCH_ROWS
from executor.testing.contract.base import Contract
from executor.testing.factories import as_record, finish, ids, row, start
from executor.testing.harness import StoreHarness
from executor.testing.strategies import rows as any_rows


class ImportContract(Contract):
    def test_what_was_exported_comes_back_equal(self, store: ExecutionStorage, harness: StoreHarness) -> None:
        finish(store, "a", title="ä", run_id="r", actor="ada", affected_paths=["x", "ü"])
        finish(store, "b", "a", status="failed")
        start(store, "c", "b", trigger_kind="repair")
        harness.write_behind([row("old id!", started_at="2020-01-01T00:00:00", affected_paths=None)])
        exported = store.list_executions().items

        store = harness.empty()
        assert 4 == store.record_many(exported)

        assert exported == store.list_executions().items
        assert 0 == store.last_event_position()

    def test_mappings_are_taken_as_records_are(self, store: ExecutionStorage) -> None:
        times = {"started_at": datetime(2026, 1, 1, tzinfo=UTC), "duration_seconds": 2}
        store.record_many([row("e", affected_paths=["a\0"], **times)])

        found = store.get_execution("e")

        assert found is not None
        assert (["a␀"], "2026-01-01T00:00:00.000000Z", "e", "manual", 1, 2.0, store.workspace_id) == (
            found.affected_paths,
            found.started_at,
            found.correlation_id,
            found.trigger_kind,
            found.attempt,
            found.duration_seconds,
            found.workspace_id,
        )

    def test_a_batch_may_stand_in_any_order(self, harness: StoreHarness) -> None:
        @given(rows=any_rows(tame=True), kinds=st.booleans())
        def check(rows: list[dict[str, Any]], kinds: bool) -> None:
            store = harness.empty()
            rows = [v for v in rows if v["execution_id"] and "\0" not in v["execution_id"]]
            known = {values["execution_id"] for values in rows}
            rows = [v for v in rows if v["parent_execution_id"] in known or v["parent_execution_id"] is None]
            try:
                store.record_many([as_record(values) if kinds else values for values in rows])
            except ParentNotFound:
                # A row that was left out took its children with it, and these theirs.
                return

            assert sorted(values["execution_id"] for values in rows) == sorted(
                ids(store.list_executions(limit=100))
            )
            for record in store.list_executions(limit=100):
                parent = store.get_execution(record.parent_execution_id or "")
                expected = parent.attempt or 1 if parent else 1
                retried = parent is not None and record.trigger_kind in ("retry", "repair")
                assert (expected + 1 if retried else 1) == record.attempt

        check()

    def test_ids_no_engine_can_hold_keep_their_family(self, store: ExecutionStorage) -> None:
        store.record_many([row("b\0", parent_execution_id="a\0"), row("a\0", correlation_id="t\0")])

        assert ["a␀", "b␀"] == sorted(ids(store.list_executions_by_correlation("t␀")))
        assert ["a␀"] == ids(store.get_execution_lineage("b␀")["ancestors"])

    def test_correlation_and_attempt_come_from_the_parent(self, store: ExecutionStorage) -> None:
        start(store, "stored", correlation_id="task")
        store.record_many(
            [
                row("b", parent_execution_id="a", trigger_kind="repair"),
                row("a", parent_execution_id="stored", trigger_kind="retry"),
                row("c", parent_execution_id="b", trigger_kind="retry", attempt=9),
            ]
        )

        chain = store.list_executions_by_correlation("task")

        assert {"stored": 1, "a": 2, "b": 3, "c": 9} == {r.execution_id: r.attempt for r in chain}

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"parent_execution_id": "e"}, SelfParent),
            ({"parent_execution_id": "gone"}, ParentNotFound),
            ({"parent_execution_id": "root", "correlation_id": "another"}, CorrelationMismatch),
            ({"trigger_kind": "cron"}, UnknownTriggerKind),
            ({"status": "running"}, UnknownStatus),
            ({"verdict": None}, UnknownVerdict),
            ({"risk_level": "tiny"}, UnknownRiskLevel),
            ({"error_step": "deploy"}, UnknownStep),
            ({"duration_seconds": float("nan")}, InvalidNumber),
            ({"files_changed": -1}, InvalidNumber),
            ({"attempt": -1}, InvalidNumber),
            ({"started_at": "yesterday"}, InvalidTime),
            ({"started_at": None}, InvalidTime),
            ({"ended_at": datetime(2026, 1, 1)}, InvalidTime),  # noqa: DTZ001 - what is refused
            ({"plan_id": None}, InvalidInput),
            ({"execution_id": ""}, InvalidInput),
            ({"title": 7}, InvalidInput),
            ({"affected_paths": "["}, InvalidInput),
            ({"affected_paths": "7"}, InvalidInput),
            ({"colour": "blue"}, InvalidInput),
        ],
        ids=str,
    )
    def test_a_row_that_cannot_stand_is_refused_with_its_batch(
        self, store: ExecutionStorage, values: dict[str, Any], error: type[Exception]
    ) -> None:
        start(store, "root")

        with pytest.raises(error):
            store.record_many([row("fine"), row("e") | values])

        assert ["root"] == ids(store.list_executions())

    def test_a_cycle_is_refused(self, store: ExecutionStorage) -> None:
        rows = [
            row(name, parent_execution_id=parent) for name, parent in (("a", "b"), ("b", "c"), ("c", "a"))
        ]

        with pytest.raises(InvalidInput, match="its own ancestor"):
            store.record_many(rows)

    def test_an_id_that_is_taken_is_named(self, store: ExecutionStorage) -> None:
        start(store, "taken")
        for rows in ([row("a"), row("taken")], [row("a"), row("b"), row("b")]):
            with pytest.raises(ExecutionExists) as caught:
                store.record_many(rows)

            assert rows[-1]["execution_id"] == caught.value.execution_id

        assert ["taken"] == ids(store.list_executions())

    def test_batches_before_a_refused_one_stay(self, store: ExecutionStorage) -> None:
        rows = (row(f"e{n:05}", status="lost" if n == BATCH_ROWS else "completed") for n in range(2**20))

        with pytest.raises(UnknownStatus):
            store.record_many(rows)

        assert BATCH_ROWS == store.get_statistics().total
        assert store.get_execution(f"e{BATCH_ROWS - 1:05}") is not None

    def test_records_are_not_changed_by_importing_them(self, store: ExecutionStorage) -> None:
        record = as_record(row("e"))
        before: ExecutionRecord = replace(record)

        store.record_many([record])

        assert before == record
